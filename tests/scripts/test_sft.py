"""train/sft.py as a user runs it: two rounds, killed in sampling and in fitting, refused with one line."""

import json

import pytest
from conftest import WITHOUT_TORCH, run_in_turn, run_killed_at
from conftest import run_script as run_with_tracking

from infoagent.files import read_jsonl

STEPS = 8  # 4 in each of two rounds: at most 6 texts × 2 epochs, 3 a step


QUIET = {"WANDB_MODE": "disabled"}  # wins over the recipe; stdout then holds the script's own lines alone


def run_script(*arguments, **environment):
    return run_with_tracking(*arguments, **QUIET, **environment)


def overrides(tiny_dir, out, *more):
    return [
        "configs/train/sft.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        "model.dtype=float32",
        "more_data=[]",
        "data.limit=9",
        "data.min_words=30",
        "data.max_words=40",
        "negatives.random=2",
        "negatives.counterfactual=2",
        "sampling.samples=4",
        "sampling.max_completion_tokens=8",
        "sampling.batch_problems=2",
        "sft.rounds=2",
        "sft.problems_per_round=6",
        "sft.batch_size=3",
        "sft.micro_batch=3",
        "sft.save_steps=1",
        "sft.learning_rate=0.01",
        "selection.min_gain_nats=0.001",
        "lora.r=4",
        "lora.dropout=0.1",
        "validation={limit: 4, metric: rate/tokens}",
        *more,
    ]


def adapter(out, step):
    from safetensors.torch import load_file

    return load_file(out / f"checkpoint-{step}" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def unbroken(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    result = run_script("train/sft.py", *overrides(tiny_dir, out), "--quiet")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [f"{out}/checkpoint-{STEPS // 2}", f"{out}/checkpoint-{STEPS}"]
    return out


def test_a_run_leaves_its_record(unbroken):
    rows = [r for r in read_jsonl(unbroken / "metrics.jsonl") if "validation/rate/tokens" not in r]
    assert [r["step"] for r in rows] == list(range(1, STEPS + 1))
    assert all("train/loss" in row for row in rows)
    for row in (rows[0], rows[STEPS // 2]):  # the first step of a round says what the round was made of
        names = {"reward/total", "mi/nats", "mi/hard_nats", "rate/tokens", "distortion/fact_missing"}
        assert names | {f"selected/{name}" for name in names} <= set(row)
        assert row["selected/reward/total"] > row["reward/total"]
    samples = read_jsonl(unbroken / "candidates.jsonl")
    assert [s["round"] for s in samples] == [1] * 24 + [2] * 24
    assert len({s["problem_id"] for s in samples}) == 9  # two slices of 6 from 9 problems
    for step, number in ((STEPS // 2, 1), (STEPS, 2)):
        checkpoint = unbroken / f"checkpoint-{step}"
        marker = json.loads((checkpoint / "infoagent.json").read_text())
        assert (marker["step"], marker["round"]) == (step, number)
        assert "context compressor" in (checkpoint / "README.md").read_text()
    assert not list(unbroken.glob("round-*"))
    assert json.loads((unbroken / "run.json").read_text())["recipe"]["seed"] == 0


def test_each_round_samples_from_the_adapter_of_the_one_before(unbroken):
    from infoagent.lm.models import adapter_revision

    policies = json.loads((unbroken / "candidates.json").read_text())["policies"]
    assert policies == {"1": "base", "2": adapter_revision(unbroken / f"checkpoint-{STEPS // 2}")}
    first, last = adapter(unbroken, STEPS // 2), adapter(unbroken, STEPS)
    assert all("lora" in name for name in last)
    assert max(float((last[n] - first[n]).abs().max()) for n in last) > 1e-4


def test_killed_in_sampling_and_in_fitting_it_ends_at_the_same_adapter(tiny_dir, tmp_path, unbroken):
    out = tmp_path / "run"
    command = ["train/sft.py", *overrides(tiny_dir, out), "--quiet"]
    samples, metrics = out / "candidates.jsonl", out / "metrics.jsonl"

    run_killed_at("candidates.jsonl#3", *command, **QUIET)  # in the first round's sampling
    assert len(samples.read_text().splitlines()) == 8
    run_killed_at("round-2/checkpoint-3/infoagent.json", *command, **QUIET)  # in the second's fit, while it saves
    assert (out / "round-2" / "checkpoint-2" / "infoagent.json").is_file()
    assert not (out / f"checkpoint-{STEPS}").exists()
    (out / "checkpoint-99").mkdir()  # what a kill while saving leaves behind
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    assert not (out / "checkpoint-99").exists()

    got, expected = (read_jsonl(d / "candidates.jsonl") for d in (out, unbroken))
    key = {(r["round"], r["problem_id"], r["sample"]): r for r in got}
    assert len(key) == len(got) == len(expected)
    for row in expected:
        again = key[row["round"], row["problem_id"], row["sample"]]
        assert again["token_ids"] == row["token_ids"]
        assert again["reward"] == pytest.approx(row["reward"], abs=1e-5)
    for a, b in zip(read_jsonl(metrics), read_jsonl(unbroken / "metrics.jsonl"), strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    for step in (STEPS // 2, STEPS):
        whole, resumed = adapter(unbroken, step), adapter(out, step)
        assert max(float((whole[n] - resumed[n]).abs().max()) for n in whole) < 1e-5


def test_a_finished_run_is_left_as_it_is_and_can_be_taken_further(tiny_dir, unbroken, tmp_path):
    import shutil

    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    before = (out / "metrics.jsonl").read_bytes()
    result = run_script("train/sft.py", *overrides(tiny_dir, out))
    assert result.returncode == 0, result.stderr
    assert "has all 2 rounds already" in result.stderr
    assert (out / "metrics.jsonl").read_bytes() == before
    result = run_script("train/sft.py", *overrides(tiny_dir, out, "sft.rounds=3"))
    assert result.returncode == 0, result.stderr
    marker = json.loads((out / result.stdout.split()[-1].rsplit("/", 1)[1] / "infoagent.json").read_text())
    assert marker["round"] == 3


def test_the_adapter_is_one_that_the_other_commands_take(tiny_dir, unbroken):
    from infoagent.lm.adapters import check_adapter
    from infoagent.lm.models import adapter_prompt, load
    from infoagent.recipes.sections import PromptSection

    checkpoint = f"{unbroken}/checkpoint-{STEPS}"
    check_adapter(checkpoint, str(tiny_dir))
    assert adapter_prompt(checkpoint) == PromptSection().model_dump()
    weights = load(str(tiny_dir), dtype="float32", adapter=checkpoint).model.state_dict()
    for name, tensor in adapter(unbroken, STEPS).items():
        assert (weights[name.replace(".weight", ".default.weight")] == tensor).all()


def test_rounds_are_measured_on_the_validation_split(unbroken):
    best = json.loads((unbroken / "best.json").read_text())
    assert [row["step"] for row in best["history"]] == [STEPS // 2, STEPS]
    least = min(best["history"], key=lambda row: row["rate/tokens"])
    assert best["checkpoint"] == f"checkpoint-{least['step']}"


def test_dry_run_shows_the_recipe_and_the_plan_without_torch():
    few = ("data.limit=120", "more_data=[]", "cost.gflops_per_second=50")
    result = run_script("-c", WITHOUT_TORCH, "train/sft.py", "configs/train/sft.yaml", "sft.rounds=3", *few, "--dry-run")
    assert result.returncode == 0, result.stderr
    for part in ("rounds: 3", "3 rounds of 120 problems × 8 samples", "92,160 generated", " in all", "memory: about"):
        assert part in result.stdout


BAD = [
    (["sft.roundz=3", "selection.top=0"], ["did you mean 'rounds'", "selection.top = 0"]),
    (["selection.quantile=0.5"], ["top 1 and quantile 0.5 are both set"]),
    (["reward.price=null", "reward.budget=12"], ["reward.budget: train/sft.py ranks samples under a fixed price"]),
    (["sft.micro_batch=5", "sft.batch_size=16"], ["micro_batch 5 does not divide batch_size 16"]),
    (["validation={every: 5}"], ["validation.every: train/sft.py measures the checkpoint of each round"]),
    (["model.name={tiny}", "more_data=[]", "data.limit=9"], ["9 problems are fewer than sft.problems_per_round = 120"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def refusals(tiny_dir, tmp_path_factory):
    """(what was said of each of BAD, where it would have written)."""
    out = tmp_path_factory.mktemp("bad") / "run"
    given = [[a.format(tiny=tiny_dir) if "{tiny}" in a else a for a in arguments] for arguments, _ in BAD]
    said = run_in_turn("train/sft.py", [["configs/train/sft.yaml", f"output_dir={out}", *more] for more in given], **QUIET)
    return said, out


@pytest.mark.parametrize(("number", "messages"), [(n, messages) for n, (_, messages) in enumerate(BAD)])
def test_bad_input_ends_with_one_line_each_and_code_2(refusals, number, messages):
    said, out = refusals
    result = said[number]
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(messages), result.stderr
    assert "Traceback" not in result.stderr
    for message in messages:
        assert any(message in line for line in lines), result.stderr
    assert not out.exists()


def test_a_resumed_run_with_another_recipe_is_refused_even_within_a_round(tiny_dir, unbroken, tmp_path):
    result = run_script("train/sft.py", *overrides(tiny_dir, unbroken, "sft.learning_rate=0.02", "sft.rounds=3"))
    assert result.returncode == 2
    assert "another recipe, sft.learning_rate differ" in result.stderr
