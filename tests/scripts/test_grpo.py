"""train/grpo.py as a user runs it: killed and resumed, on two processes, refused with one line."""

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from conftest import WITHOUT_TORCH, run_in_turn, run_killed_at, run_script
from wandb_files import read_back

from infoagent.files import read_jsonl
from infoagent.training.faults import check_finite_weights
from infoagent.types import RunFailed

TIMES = ("scorer/", "time/", "memory/", "train/step_seconds")
"""What a metric begins with that no two runs have alike."""


def overrides(tiny_dir, out, steps=6):
    return [
        "configs/train/records.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        "model.dtype=float32",
        "data.limit=12",
        "data.min_words=30",
        "data.max_words=40",
        f"grpo.steps={steps}",
        "grpo.num_generations=4",
        "grpo.prompts_per_step=2",
        "grpo.max_completion_tokens=10",
        "grpo.save_steps=2",
        "grpo.learning_rate=0.01",
        "tracking.wandb=disabled",
        "lora.r=4",
        "negatives.random=2",
        "negatives.counterfactual=2",
        "reward.price=null",
        "reward.budget=6",
        "reward.price_warmup_steps=1",
    ]


def trajectory(out):
    return [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in read_jsonl(out / "metrics.jsonl")]


def adapter(out, step):
    from safetensors.torch import load_file

    return load_file(out / f"checkpoint-{step}" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def unbroken(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    result = run_script("train/grpo.py", *overrides(tiny_dir, out), "tracking.wandb=offline")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("checkpoint-6")
    return out


def test_a_run_leaves_its_record(unbroken):
    rows = read_jsonl(unbroken / "metrics.jsonl")
    assert [r["step"] for r in rows] == [1, 2, 3, 4, 5, 6]
    assert {
        "mi/nats",
        "mi/easy_nats",
        "mi/hard_nats",
        "rate/tokens",
        "reward/total",
        "train/kl",
        "scorer/seconds",
        "train/step_seconds",
    } <= set(rows[0])
    for row in rows:
        parts = [row["reward/mi"], row["reward/rate"], row["reward/cut_off"]]  # none earns anything but these
        assert row["reward/total"] == pytest.approx(sum(parts), abs=1e-4)
    run = json.loads((unbroken / "run.json").read_text())
    assert run["data_revision"].startswith("sha256:")
    assert run["recipe"]["seed"] == 0
    assert (unbroken / "samples.jsonl").is_file()
    assert rows[1]["rate/price"] == pytest.approx(0.02)  # the first step is the warm-up
    for row, after in itertools.pairwise(rows[1:]):
        expected = row["rate/price"] + 0.01 * (row["rate/tokens"] / 6 - 1)
        assert after["rate/price"] == pytest.approx(max(0.0, expected), abs=1e-6)
    record = json.loads((unbroken / "checkpoint-6" / "infoagent.json").read_text())
    assert record["step"] == 6
    assert record["prompt"]["template"] == "query-v1"


def test_training_moves_the_adapter_and_leaves_no_other_weights(unbroken):
    first, last = adapter(unbroken, 2), adapter(unbroken, 6)
    assert all("lora" in name for name in last)
    assert max(float((last[n] - first[n]).abs().max()) for n in last) > 1e-4
    assert not (unbroken / "checkpoint-6" / "model.safetensors").exists()


def test_killed_in_mid_step_and_resumed_it_takes_the_same_way(tiny_dir, tmp_path, unbroken):
    out = tmp_path / "run"
    # with three steps written down, so that step 3 and what follows must be done again
    run_killed_at("metrics.jsonl#4", "train/grpo.py", *overrides(tiny_dir, out), "tracking.wandb=offline")
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    begun_as = (out / "wandb_id").read_text()
    (out / "checkpoint-99").mkdir()  # what a kill while saving leaves behind
    result = run_script("train/grpo.py", *overrides(tiny_dir, out), "tracking.wandb=offline")
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stderr
    assert not (out / "checkpoint-99").exists()

    expected, got = trajectory(unbroken), trajectory(out)
    assert len(got) == len(expected)
    for a, b in zip(expected, got, strict=True):
        assert b == pytest.approx(a, abs=1e-5)
    whole, resumed = adapter(unbroken, 6), adapter(out, 6)
    assert max(float((whole[n] - resumed[n]).abs().max()) for n in whole) < 1e-5

    _, resumed = read_back(out, ended=False)  # the killed one may have lost W&B's last seconds, and so its beginning
    assert resumed.run.run_id == begun_as
    assert [line["step"] for line in resumed.history if "mi/nats" in line] == [3, 4, 5, 6]


def test_begun_from_an_adapter_and_killed_in_a_later_pass_it_takes_the_same_way(tiny_dir, tmp_path, unbroken):
    """Two steps are a pass over four problems; the reference of the divergence is the base, and no copy of the adapter is kept."""
    more = [f"init_adapter={unbroken}/checkpoint-6", "data.limit=4", "grpo.save_steps=3", "grpo.beta=0.05"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = run_script("train/grpo.py", *overrides(tiny_dir, whole, 5), *more)
    assert result.returncode == 0, result.stderr
    assert trajectory(whole)[0]["train/kl"] > 1e-4  # the adapter has moved away from the base before
    assert not list(whole.glob("checkpoint-*/*/adapter_model.safetensors"))
    run_killed_at("metrics.jsonl#5", "train/grpo.py", *overrides(tiny_dir, broken, 5), *more)
    result = run_script("train/grpo.py", *overrides(tiny_dir, broken, 5), *more)
    assert f"resuming from {broken}/checkpoint-3" in result.stderr
    for a, b in zip(trajectory(whole), trajectory(broken), strict=True):
        assert b == pytest.approx(a, abs=1e-5)
    begun, ended, resumed = adapter(unbroken, 6), adapter(whole, 5), adapter(broken, 5)
    assert max(float((ended[n] - resumed[n]).abs().max()) for n in ended) < 1e-5
    assert max(float((ended[n] - begun[n]).abs().max()) for n in ended) > 1e-3


def test_the_offline_run_says_what_the_directory_says(tiny_dir, unbroken):
    [run] = read_back(unbroken)
    assert (run.run.run_group, run.run.job_type, run.run.project) == ("run", "grpo", "infoagent")
    assert run.config["grpo"]["steps"] == 6
    lines = [line for line in run.history if "mi/nats" in line]
    assert lines == read_jsonl(unbroken / "metrics.jsonl")  # every value of every step
    [model] = [a for a in run.artifacts if a.type == "model"]  # the last; none was named the best
    facts = json.loads(model.metadata)
    held = json.loads((unbroken / "run.json").read_text())
    assert facts == {
        "base_model": str(tiny_dir),
        "base_revision": held["base_revision"],
        "data_revision": held["data_revision"],
        "step": 6,
        "commit": held["commit"],
    }
    assert "step-6" in model.aliases
    kept = {c.path: Path(c.local_path).read_bytes() for c in model.manifest.contents}
    checkpoint = unbroken / "checkpoint-6"
    assert kept == {
        n: (checkpoint / n).read_bytes()
        for n in ("adapter_model.safetensors", "adapter_config.json", "infoagent.json", "README.md")
    }
    assert json.loads((checkpoint / "infoagent.json").read_text())["group"] == "run"


def test_a_finished_run_is_left_as_it_is(tiny_dir, unbroken):
    before = (unbroken / "metrics.jsonl").read_bytes()
    result = run_script("train/grpo.py", *overrides(tiny_dir, unbroken))
    assert result.returncode == 0, result.stderr
    assert "has all 6 steps already" in result.stderr
    assert result.stdout.strip().endswith("checkpoint-6")
    assert (unbroken / "metrics.jsonl").read_bytes() == before
    assert not (unbroken / "checkpoint-7").exists()


def test_rloo_follows_a_budget_of_each_prompt(tiny_dir, tmp_path):
    out = tmp_path / "run"
    result = run_script(
        "train/grpo.py",
        *overrides(tiny_dir, out, steps=3),
        "reward.budget=null",
        "reward.budget_range=[3, 8]",
        "grpo.algorithm=rloo",
        "reward.objective=tv",
    )
    assert result.returncode == 0, result.stderr
    rows = read_jsonl(out / "metrics.jsonl")
    assert all({"rate/adherence_error", "rate/over_budget", "reward/budget"} <= set(row) for row in rows)
    assert all(abs(row["reward/mi"]) <= 1 for row in rows)  # total variation
    budgets = {row["budget"] for row in read_jsonl(out / "samples.jsonl")}
    assert budgets <= set(range(3, 9))
    for step in (2, 3):  # the last step is kept though save_steps is 2
        assert json.loads((out / f"checkpoint-{step}" / "infoagent.json").read_text())["budget_range"] == [3, 8]


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_harms_no_other(tiny_dir, tmp_path, unbroken):
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    for late in ("checkpoint-4", "checkpoint-6"):
        shutil.rmtree(out / late)
    before = {f.name: f.read_bytes() for f in (out / "checkpoint-2").iterdir()}
    # no file may grow beyond 20 kB: a write fails in its middle, as on a full disk
    result = run_script("train/grpo.py", *overrides(tiny_dir, out), limits={"FSIZE": 20_000})
    assert result.returncode == 1, result.stderr
    assert "failed: " in result.stderr
    assert "run the same command again" in result.stderr
    assert "Traceback" not in result.stderr
    assert {f.name: f.read_bytes() for f in (out / "checkpoint-2").iterdir()} == before
    assert not (out / "checkpoint-4" / "infoagent.json").exists()


def test_a_policy_that_breaks_ends_the_run_without_a_broken_checkpoint(tiny_dir, tmp_path):
    out = tmp_path / "run"
    result = run_script(
        "train/grpo.py", *overrides(tiny_dir, out), "grpo.learning_rate=1e12", "grpo.warmup_steps=0", "grpo.save_steps=1"
    )
    assert result.returncode == 1, result.stderr
    assert "failed: " in result.stderr
    assert "lower grpo.learning_rate" in result.stderr
    assert "Traceback" not in result.stderr
    for marker in out.glob("checkpoint-*/infoagent.json"):
        assert all(bool(w.isfinite().all()) for w in adapter(out, marker.parent.name.rsplit("-", 1)[1]).values())


def test_a_checkpoint_whose_weights_are_not_finite_is_never_complete():
    model = torch.nn.Linear(2, 2)
    check_finite_weights(1, model)
    model.weight.data[1, 0] = float("inf")
    with pytest.raises(RunFailed, match="step 4: 1 trained weights are not finite, weight first; lower the learning rate"):
        check_finite_weights(4, model)
    model.weight.requires_grad_(False)  # frozen: not ours to judge
    check_finite_weights(5, model)


def test_dry_run_shows_the_recipe_and_the_plan_without_torch():
    few = ("data.limit=20", "cost.gflops_per_second=50")
    result = run_script("-c", WITHOUT_TORCH, "train/grpo.py", "configs/train/records.yaml", "reward.price=0.05", *few, "--dry-run")
    assert result.returncode == 0, result.stderr
    for part in ("price: 0.05", "100 steps of 2 problems", "GFLOP a step", "memory: about", "money:"):
        assert part in result.stdout


BAD = [
    (["configs/nowhere.yaml"], ["no such recipe"]),
    (["configs/train/records.yaml", "reward.price=-1", "grpo.stepz=3"], ["reward.price = -1", "did you mean 'steps'"]),
    (["configs/train/records.yaml", "data.name=jsonl", "data.path={bad}"], [":2: field 'document'"]),
    (["configs/train/records.yaml", "model.name={tiny}", "data.name=jsonl", "data.path={long}", "data.split=all", "data.max_words=null",
      "grpo.prompts_per_step=1"],
     ["model's context holds 4096; set data.truncate"]),
    (["configs/train/records.yaml", "init_adapter=nowhere"], ["no such directory"]),
    (["configs/train/records.yaml", "model.name={tiny}", "init_adapter={adapter}"], ["trained on 'another/base'"]),
    (["configs/train/records.yaml", "negatives.sibling=2", "model.name={tiny}"], ["negatives.sibling = 2"]),
    (["configs/train/records.yaml", "model.adapter=x", "model.name={tiny}"], ["name it as init_adapter"]),
    (["configs/train/records.yaml", "data.limit=1", "model.name={tiny}"], ["fewer than grpo.prompts_per_step = 2"]),
    (["configs/train/records.yaml", "reward.budget=10"], ["price 0.02 and budget 10 are both set"]),
    (["configs/train/budget.yaml", "reward.budget=0.5"], ["budget 0.5: must be at least 1"]),
    (["configs/train/budget.yaml", "reward.budget=41"], ["reward.budget: 41 is above max_completion_tokens 40"]),
    (["configs/train/any_rate.yaml", "reward.budget_range=[8, 64]"], ["64 is above max_completion_tokens 48"]),
    (["configs/train/records.yaml", "reward.information_weight=0"], ["both 0: nothing rewards what is kept"]),
    (["configs/train/records.yaml", "grpo.micro_batch=3"], ["micro_batch 3 does not divide"]),
    (["configs/train/records.yaml", "data.split=test", "model.name={tiny}"], ["is kept for evaluation"]),
    (["configs/train/records.yaml", "data={{name: squad, path: x.json, split: all}}", "model.name={tiny}"],
     ["is for evaluation only"]),
    (["configs/train/records.yaml", "data={{name: jsonl, path: '{plain}', split: all, min_words: null, max_words: null}}",
      "reward.answer_weight=0.5", "grpo.prompts_per_step=1", "model.name={tiny}"], ["none of the 1 problems has an answer"]),
    (["configs/train/records.yaml", "scorer.model.name=smollm2-135m", "model.name={tiny}"], ["its vocabulary is not"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def refusals(tiny_dir, tmp_path_factory):
    """(what was said of each of BAD, where it would have written)."""
    tmp_path = tmp_path_factory.mktemp("bad")
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "document": "x", "query": "?"}\n{"id": "b", "query": "?"}\n')
    (tmp_path / "long.jsonl").write_text(json.dumps({"id": "a", "document": "word " * 3000, "query": "?"}))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "another/base"}')
    (tmp_path / "plain.jsonl").write_text('{"id": "a", "document": "x", "query": "?"}\n')
    places = {
        "plain": tmp_path / "plain.jsonl",
        "bad": tmp_path / "bad.jsonl",
        "long": tmp_path / "long.jsonl",
        "adapter": tmp_path / "adapter",
        "tiny": tiny_dir,
    }
    cases = [[a.format(**places) for a in arguments] for arguments, _ in BAD]
    outs = [tmp_path / f"run-{n}" for n in range(len(cases))]
    more = [[] if "nowhere.yaml" in case[0] else [f"output_dir={out}"] for case, out in zip(cases, outs, strict=True)]
    said = run_in_turn("train/grpo.py", [[*case, *own] for case, own in zip(cases, more, strict=True)])
    return list(zip(said, outs, strict=True))


@pytest.mark.parametrize(("number", "messages"), [(n, messages) for n, (_, messages) in enumerate(BAD)])
def test_bad_input_ends_with_one_line_each_and_code_2(refusals, number, messages):
    result, out = refusals[number]
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(messages)
    assert "Traceback" not in result.stderr
    for message in messages:
        assert any(message in line for line in lines), result.stderr
    assert not os.path.exists(out)
