"""The model card: what it says is what the records say, and nothing of this machine."""

import json

import pytest
from huggingface_hub import ModelCard, ModelCardData

from infoagent.cli import main
from infoagent.files import read_jsonl, write_json
from infoagent.lm.models import adapter_revision
from infoagent.lm.vllm.adapters import servable
from infoagent.training.model_card import write_card
from infoagent.types import InputError

ADAPTER = {"r": 16, "lora_alpha": 32, "use_dora": False, "use_rslora": False, "modules_to_save": None}
FACTS = {
    "base_model": "smollm2-135m",
    "base_revision": "sha256:b179-c1",
    "prompt": {"template": "query-v1", "budget_words": 12, "budget_tokens": None},
    "data_revision": "sha256:4129",
    "step": 30,
}


@pytest.fixture
def checkpoint(tmp_path):
    run = tmp_path / "my-run"
    directory = run / "checkpoint-30"
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (directory / "infoagent.json").write_text(json.dumps(FACTS))
    of_peft = ModelCard.from_template(ModelCardData(base_model="/root/.cache/of/this/machine"))  # as PEFT saves it
    of_peft.save(directory / "README.md")
    rows = [{"step": s, "reward/total": float(s), "rate/tokens": 40.0 - s} for s in range(1, 41)]
    rows += [{"step": 30, "validation/mi/nats": 1.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    recipe = {
        "seed": 7,
        "data": {"name": "jsonl", "path": str(tmp_path / "mine.jsonl"), "split": "train"},
        "reward": {"price": 0.05, "rate": "tokens", "budget": None, "budget_range": None},
        "negatives": {"random": 3, "topic": 0, "counterfactual": 4, "seed": 0},
        "lora": {"quantize": "none"},
    }
    provenance = {
        "commit": "abc123",
        "versions": {"peft": "0.21.2", "trl": "not installed"},
        "started": "2026-01-02T03:04:05Z",
        "machine": "Linux, 2 cores",
        "command": f"train/grpo.py {tmp_path}",
    }
    (run / "run.json").write_text(json.dumps({"recipe": recipe, **provenance}))
    return directory


def comparison(checkpoint, name="checkpoint-30"):
    values = {"rate/tokens": {"trained": 11.39, "frozen": 27.08, "difference": {"value": -15.69, "low": -17.4, "high": -13.98}}}
    return [{"data": "records", "price": 0.02, "checkpoint": str(checkpoint.parent / name), "values": values}]


def test_it_says_what_the_records_say(checkpoint):
    text = write_card(checkpoint).read_text()
    card = ModelCard(text)  # the hub's own reader
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert (card.data.library_name, card.data.pipeline_tag) == ("peft", "text-generation")
    assert "lora" in card.data.tags
    for part in (
        "| seed | 7 |",
        "| step | 30 |",
        "| commit | abc123 |",
        "template query-v1, budget_words 12",
        "revision sha256:4129",
        "price 0.05 nats per unit of tokens",
        "3 random, 4 counterfactual",
        "peft 0.21.2",
        "jsonl mine.jsonl (split train)",
        # steps 1 to 10 and 21 to 30 by hand; 31 to 40 came after this checkpoint
        "| reward/total | 5.5 | 25.5 |",
        "| rate/tokens | 34.5 | 14.5 |",
        "30 steps",
        "vllm serve $(infoagent models path smollm2-135m) --enable-lora --max-lora-rank 16 ",
    ):
        assert part in text, part
    assert "trl" not in text.split("versions")[1].split("\n")[0]


def test_it_names_no_path_of_this_machine(checkpoint, tmp_path):
    (checkpoint / "infoagent.json").write_text(json.dumps({**FACTS, "base_model": str(tmp_path / "models" / "mine")}))
    text = write_card(checkpoint).read_text()
    assert str(tmp_path) not in text
    assert "/root" not in text
    assert "mine (a local model)" in text
    assert ModelCard(text).data.base_model is None


@pytest.mark.parametrize(
    ("more", "part", "absent"),
    [
        ({"use_dora": True}, "vLLM does not support DoRA", "--enable-lora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save (lm_head)", "--enable-lora"),
        ({"r": 1000}, "is above vLLM's largest, 512", "--enable-lora"),
        ({"r": 20}, "--max-lora-rank 32 ", "cannot load it"),
        ({"use_rslora": True}, "--max-lora-rank 16 ", "cannot load it"),
    ],
)
def test_it_says_whether_vllm_can_serve_it(checkpoint, more, part, absent):
    (checkpoint / "adapter_config.json").write_text(json.dumps({**ADAPTER, **more}))
    text = write_card(checkpoint).read_text()
    assert part in text
    assert absent not in text
    assert (servable({**ADAPTER, **more}) is None) == ("--enable-lora" in text)


def test_the_evaluation_goes_in_if_it_is_of_this_checkpoint(capsys, checkpoint, tmp_path):
    (tmp_path / "eval").mkdir()
    file = tmp_path / "eval" / "comparison.json"
    file.write_text(json.dumps(comparison(checkpoint)))
    assert main(["card", str(checkpoint), "--evaluation", str(tmp_path / "eval")]) == 0
    assert capsys.readouterr().out.strip() == str(checkpoint / "README.md")
    text = (checkpoint / "README.md").read_text()
    assert "| length (tokens) | 27.08 | 11.39 | -15.69 [-17.40, -13.98] | better |" in text
    file.write_text(json.dumps(comparison(checkpoint, "checkpoint-20")))
    assert main(["card", str(checkpoint), "--evaluation", str(tmp_path / "eval")]) == 2
    assert f"not {checkpoint}" in capsys.readouterr().err
    assert (checkpoint / "README.md").read_text() == text


def test_the_numbers_of_another_run_with_the_same_two_last_names_stay_out(checkpoint, tmp_path):
    evaluation = tmp_path / "eval"
    [mine] = comparison(checkpoint)
    write_json(evaluation / "comparison.json", [mine | {"checkpoint": "other/my-run/checkpoint-30"}])
    with pytest.raises(InputError, match="compares other/my-run/checkpoint-30, not "):
        write_card(checkpoint, evaluation)
    (checkpoint / "adapter_model.safetensors").write_bytes(b"weights")
    here = adapter_revision(checkpoint)
    write_json(evaluation / "comparison.json", [mine | {"checkpoint": "moved", "checkpoint_revision": here}])
    assert "Evaluation on records" in write_card(checkpoint, evaluation).read_text()
    write_json(evaluation / "comparison.json", [mine | {"checkpoint_revision": "trained anew"}])
    with pytest.raises(InputError, match="evaluate this checkpoint"):
        write_card(checkpoint, evaluation)


def test_a_card_that_somebody_wrote_is_not_replaced(capsys, checkpoint):
    (checkpoint / "README.md").write_text("---\nbase_model: mine\n---\n\n# My adapter\n")
    assert main(["card", str(checkpoint)]) == 2
    assert "was not written by infoagent" in capsys.readouterr().err
    assert "# My adapter" in (checkpoint / "README.md").read_text()


def test_what_is_no_checkpoint_is_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"no comparison\.json"):
        write_card(checkpoint, tmp_path)
    with pytest.raises(InputError, match=r"no infoagent\.json"):
        write_card(tmp_path)


def test_without_its_run_it_says_so(checkpoint):
    (checkpoint.parent / "run.json").unlink()
    (checkpoint.parent / "metrics.jsonl").unlink()
    text = write_card(checkpoint).read_text()
    assert "did not come with it" in text
    assert "No metrics came with this checkpoint." in text


def test_validation_is_in_it_once_it_was_measured(checkpoint):
    history = [{"step": 20, "mi/nats": 1.5}, {"step": 30, "mi/nats": 2.25}]
    best = {"checkpoint": "checkpoint-30", "step": 30, "metric": "mi/nats", "value": 2.25, "history": history}
    (checkpoint.parent / "best.json").write_text(json.dumps(best))
    assert "mi/nats = 2.25; the best checkpoint of its run so far" in write_card(checkpoint).read_text()
    assert len(read_jsonl(checkpoint.parent / "metrics.jsonl")) == 41


def test_its_command_asks_where_the_prompt_does(checkpoint):
    assert 'document.txt --query "what must be answered" --adapter CHECKPOINT' in write_card(checkpoint).read_text()
    write_json(checkpoint / "infoagent.json", {**FACTS, "prompt": {"template": "compact-v1"}})
    assert "infoagent compress document.txt --adapter CHECKPOINT" in write_card(checkpoint).read_text()
