"""infoagent merge: base + adapter as one model that any library loads, or nothing at all."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from infoagent.cli import main
from infoagent.lm import merging
from infoagent.lm.models import adapter_budget_range, load_weights, merged_prompt, resolve


def save_adapter(base, directory, **more):
    reference = resolve(str(base))
    policy = get_peft_model(
        load_weights(reference, "float32", "cpu"),
        LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **more),
    )
    torch.manual_seed(3)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    policy.save_pretrained(directory)
    record = {"base_model": str(base), "prompt": {"template": "query-v1", "budget_words": 5}, "budget_range": [4, 40]}
    (directory / "infoagent.json").write_text(json.dumps(record))
    return directory


@pytest.fixture(scope="module")
def adapter(tiny_dir, tmp_path_factory):
    return save_adapter(tiny_dir, tmp_path_factory.mktemp("adapter") / "checkpoint-3")


def logits(model, ids):
    with torch.inference_mode():
        return model(input_ids=ids).logits.log_softmax(-1)


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_the_merged_model_is_the_adapter_on_its_base(capsys, tiny_dir, tmp_path, more):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = save_adapter(tiny_dir, tmp_path / "checkpoint-3", **more)
    out = tmp_path / "deep" / "merged"
    assert main(["merge", str(adapter), "--out", str(out), "--dtype", "float32"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out)
    assert "nats a token" in printed.err
    merged = AutoModelForCausalLM.from_pretrained(out)
    base = AutoModelForCausalLM.from_pretrained(tiny_dir, dtype=torch.float32)
    ids = torch.randint(0, 250, (2, 50), generator=torch.Generator().manual_seed(0))  # not the text of its own check
    plain = logits(base, ids)
    expected = logits(PeftModel.from_pretrained(base, adapter).eval(), ids)
    assert torch.allclose(logits(merged, ids), expected, atol=1e-4)
    assert (plain - expected).abs().max() > 0.1
    tokenizer, original = AutoTokenizer.from_pretrained(out), AutoTokenizer.from_pretrained(tiny_dir)
    chat = [{"role": "user", "content": "Ein Text – with ünïcode."}]
    assert tokenizer.apply_chat_template(chat) == original.apply_chat_template(chat)
    assert merged.generation_config.eos_token_id == base.generation_config.eos_token_id
    assert merged.generation_config.pad_token_id == base.generation_config.pad_token_id


def test_it_remembers_its_prompt_and_what_it_was_made_of(adapter, tmp_path):
    revisions = []
    for name, dtype in (("a", "bfloat16"), ("b", "bfloat16"), ("c", "float32")):
        assert main(["merge", str(adapter), "--out", str(tmp_path / name), "--dtype", dtype]) == 0
        reference = resolve(str(tmp_path / name))
        revisions.append(reference.revision)
        assert load_weights(reference, dtype, "cpu").config.dtype == getattr(torch, dtype)
    assert revisions[0] == revisions[1] != revisions[2]
    assert merged_prompt(reference) == {"template": "query-v1", "budget_words": 5}
    assert adapter_budget_range(reference.path) == (4, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_merge_that_is_not_the_adapter_leaves_nothing_behind(capsys, adapter, tmp_path, monkeypatch):
    from peft.tuners.lora import LoraModel

    whole = LoraModel.merge_and_unload

    def broken(self, *arguments, **more):
        model = whole(self, *arguments, **more)
        model.model.layers[0].mlp.down_proj.weight.data[0] += 1.0
        return model

    monkeypatch.setattr(LoraModel, "merge_and_unload", broken)
    assert main(["merge", str(adapter), "--out", str(tmp_path / "merged"), "--dtype", "float32"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "0.001 are allowed; nothing was written" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_merge_that_is_killed_leaves_no_model(adapter, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(merging, "prompt_log_probs", killed)
    assert main(["merge", str(adapter), "--out", str(tmp_path / "merged")]) == 130
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no such directory"), ("run", "did you mean"), ("empty", "holds no adapter_config.json")]
)
def test_what_is_no_checkpoint_is_refused(capsys, adapter, tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "checkpoint-3").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-3" / "adapter_config.json").write_text("{}")
    assert main(["merge", str(tmp_path / name), "--out", str(tmp_path / "merged")]) == 2
    assert message in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(capsys, adapter, tmp_path):
    (tmp_path / "merged").mkdir()
    assert main(["merge", str(adapter), "--out", str(tmp_path / "merged")]) == 2
    assert "exists already" in capsys.readouterr().err
    (adapter / "adapter_model.safetensors").rename(tmp_path / "away")
    assert main(["merge", str(adapter), "--out", str(tmp_path / "other")]) == 2
    (tmp_path / "away").rename(adapter / "adapter_model.safetensors")
    assert "adapter_model.safetensors are missing" in capsys.readouterr().err
