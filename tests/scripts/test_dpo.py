"""train/dpo.py as a user runs it: on the samples of an earlier run and on its own, killed, refused with one line."""

import json

import pytest
from conftest import WITHOUT_TORCH, run_killed_at
from conftest import run_script as run_with_tracking

from infoagent.files import read_jsonl

TINY = (
    "model.dtype=float32", "more_data=[]", "data.limit=6", "data.min_words=30", "data.max_words=40", "negatives.random=2",
    "negatives.counterfactual=2", "sampling.samples=4", "sampling.max_completion_tokens=8", "lora.r=4",
    "tracking.wandb=disabled",
)  # fmt: skip


QUIET = {"WANDB_MODE": "disabled"}  # wins over the recipe; stdout then holds the script's own lines alone


def run_script(*arguments, **environment):
    return run_with_tracking(*arguments, **QUIET, **environment)


def overrides(tiny_dir, out, candidates, *more):
    return [
        "configs/train/dpo.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        *TINY,
        f"candidates=[{candidates}]",
        "dpo.batch_size=3",
        "dpo.save_steps=1",
        "dpo.learning_rate=0.01",
        "dpo.epochs=2",
        "pairs.margin_nats=0.05",
        "pairs.per_problem=1",
        f"init_adapter={candidates}/checkpoint-1" if candidates else "init_adapter=null",
        *more,
    ]


def adapter(out, step):
    from safetensors.torch import load_file

    return load_file(out / f"checkpoint-{step}" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def samples(tiny_dir, tmp_path_factory):
    """What train/sft.py leaves: one round of samples."""
    out = tmp_path_factory.mktemp("samples") / "sft"
    result = run_script(
        "train/sft.py",
        "configs/train/sft.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        *TINY,
        "sft.rounds=1",
        "sft.problems_per_round=6",
        "sft.epochs=1",
        "selection.min_gain_nats=0.001",
        "--quiet",
    )
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def trained(tiny_dir, samples, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    result = run_script("train/dpo.py", *overrides(tiny_dir, out, samples), "--quiet")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"{out}/checkpoint-4"
    return out


def test_pairs_of_an_earlier_run_are_learnt(trained):
    rows = read_jsonl(trained / "metrics.jsonl")
    assert [r["step"] for r in rows] == [1, 2, 3, 4]  # 6 pairs, twice, 3 a step
    assert rows[0]["chosen/number"] == rows[0]["rejected/number"] == 6
    assert rows[0]["chosen/reward/total"] > rows[0]["reward/total"] > rows[0]["rejected/reward/total"]
    assert rows[0]["train/loss"] == pytest.approx(0.6931, abs=1e-3)  # log 2: the policy is the reference
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    assert rows[-1]["preference/margin_nats"] > 0
    marker = json.loads((trained / "checkpoint-4" / "infoagent.json").read_text())
    assert marker["step"] == 4
    assert all("lora" in name for name in adapter(trained, 4))
    assert not (trained / "candidates.jsonl").exists()


def test_killed_and_resumed_it_ends_at_the_same_adapter(tiny_dir, samples, trained, tmp_path):
    out = tmp_path / "run"
    command = ["train/dpo.py", *overrides(tiny_dir, out, samples), "--quiet"]
    run_killed_at("metrics.jsonl#3", *command, **QUIET)
    assert (out / "checkpoint-2" / "infoagent.json").is_file()
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stderr
    whole, resumed = adapter(trained, 4), adapter(out, 4)
    assert max(float((whole[n] - resumed[n]).abs().max()) for n in whole) < 1e-5
    for a, b in zip(read_jsonl(out / "metrics.jsonl"), read_jsonl(trained / "metrics.jsonl"), strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    result = run_script(*command)
    assert "has all 4 steps already" in result.stderr


def test_own_samples_are_drawn_from_the_adapter_it_starts_from(tiny_dir, samples, tmp_path):
    out, start = tmp_path / "run", f"{samples}/checkpoint-1"
    more = (f"init_adapter={start}", "dpo.epochs=1", "validation={limit: 4, metric: rate/tokens}")
    result = run_script("train/dpo.py", *overrides(tiny_dir, out, "", *more), "--quiet")
    assert result.returncode == 0, result.stderr
    from infoagent.lm.models import adapter_revision

    assert json.loads((out / "candidates.json").read_text())["policies"] == {"1": adapter_revision(start)}
    assert len(read_jsonl(out / "candidates.jsonl")) == 24
    # the reference is the adapter it starts from, not the base: at the first step nothing has moved away from it
    assert read_jsonl(out / "metrics.jsonl")[0]["train/loss"] == pytest.approx(0.6931, abs=1e-3)
    assert json.loads((out / "best.json").read_text())["checkpoint"].startswith("checkpoint-")


def test_dry_run_shows_the_recipe_and_the_plan_without_torch():
    few = ("data.limit=20", "more_data=[]", "cost.gflops_per_second=50")
    result = run_script("-c", WITHOUT_TORCH, "train/dpo.py", "configs/train/dpo.yaml", "pairs.per_problem=3", *few, "--dry-run")
    assert result.returncode == 0, result.stderr
    for part in ("per_problem: 3", "at most 60 pairs from samples of runs/sft", "trained on", " in all"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["dpo.betta=1", "pairs.strategy=best"], ["did you mean 'beta'", "pairs.strategy = 'best'"]),
        (["dpo.label_smoothing=0.1"], ["has a meaning for loss_type robust only"]),
        (["reward.price=null", "reward.budget_range=[5, 9]"], ["reward.budget_range: train/dpo.py ranks samples"]),
        (["candidates=[{samples}, nowhere]"], ["'nowhere' holds no candidates.jsonl"]),
        (["candidates=[{samples}]", "negatives.random=3"], ["was scored with other settings, negatives.random differ"]),
    ],
)  # fmt: skip
def test_bad_input_ends_with_one_line_each_and_code_2(tiny_dir, samples, tmp_path, arguments, messages):
    out = tmp_path / "run"
    given = [a.replace("{samples}", str(samples)) for a in arguments]
    result = run_script("train/dpo.py", *overrides(tiny_dir, out, samples, *given))
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(messages), result.stderr
    assert "Traceback" not in result.stderr
    for message in messages:
        assert any(message in line for line in lines), result.stderr
    assert not out.exists()
