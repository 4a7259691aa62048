"""Validation: right numbers, the right checkpoint, and a training that never notices it."""

import json
import random
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run_script

from infoagent.files import read_jsonl
from infoagent.lm.generation import generate
from infoagent.lm.models import load
from infoagent.lm.prompts import compressor_ids
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.pricing.parts import Price
from infoagent.recipes import GRPORecipe, SFTRecipe
from infoagent.tracking import Tracker
from infoagent.training.preparation import prepare
from infoagent.training.recipe_reward import build_reward
from infoagent.training.run import TrainingRun
from infoagent.training.run_directory import BEST_FILE, mark_complete, read_best, superfluous_checkpoints, write_run_file
from infoagent.training.validation import ValidationCallback, validation_metrics, was_measured, write_best
from infoagent.training.validation_checks import plan_validation
from infoagent.types import InputError, RunFailed

TIMES = ("scorer/", "time/", "memory/", "train/step_seconds")
"""What a metric begins with that no two runs have alike."""


def overrides(tiny_dir, out, *more):
    return [
        "configs/train/records.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        "model.dtype=float32",
        "data.limit=12",
        "data.min_words=30",
        "data.max_words=40",
        "grpo.steps=4",
        "grpo.num_generations=4",
        "grpo.prompts_per_step=2",
        "grpo.max_completion_tokens=8",
        "grpo.save_steps=2",
        "grpo.learning_rate=0.01",
        "tracking.wandb=disabled",
        "lora.r=4",
        "negatives.random=2",
        "negatives.counterfactual=2",
        "--quiet",
        *more,
    ]


def trajectory(out):
    rows = [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in read_jsonl(out / "metrics.jsonl")]
    return [row for row in rows if "reward/total" in row]


def weights(checkpoint):
    from safetensors.torch import load_file

    return load_file(checkpoint / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def run(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("validated") / "run"
    result = run_script("train/grpo.py", *overrides(tiny_dir, out, "validation.limit=3"))
    assert result.returncode == 0, result.stderr
    return out, result


def test_every_checkpoint_is_measured_and_the_best_is_named(run):
    out, result = run
    best = json.loads((out / "best.json").read_text())
    assert [row["step"] for row in best["history"]] == [2, 4]
    assert best["value"] == max(row["objective/nats"] for row in best["history"])
    assert best["checkpoint"] == f"checkpoint-{best['step']}"
    logged = {r["step"]: r for r in read_jsonl(out / "metrics.jsonl") if "validation/objective/nats" in r}
    assert [logged[row["step"]]["validation/objective/nats"] for row in best["history"]] == [
        row["objective/nats"] for row in best["history"]
    ]
    assert f"best of 2 checkpoints by validation, objective/nats = {best['value']:.4g}" in result.stderr
    assert result.stdout.strip().endswith("checkpoint-4")
    assert "objective/nats = " in (out / "checkpoint-4" / "README.md").read_text()


def test_training_takes_the_same_steps_with_and_without_it(run, tiny_dir, tmp_path):
    out, _ = run
    result = run_script("train/grpo.py", *overrides(tiny_dir, tmp_path / "run"))
    assert result.returncode == 0, result.stderr
    assert trajectory(tmp_path / "run") == trajectory(out)
    with_it, without = weights(out / "checkpoint-4"), weights(tmp_path / "run" / "checkpoint-4")
    assert all(torch.equal(with_it[name], without[name]) for name in without)
    assert not (tmp_path / "run" / BEST_FILE).exists()


def test_killed_before_a_checkpoint_was_measured_it_is_measured_on_resume(run, tiny_dir, tmp_path):
    unbroken, _ = run
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    shutil.rmtree(out / "checkpoint-4")
    (out / BEST_FILE).unlink()
    result = run_script("train/grpo.py", *overrides(tiny_dir, out, "validation.limit=3"))
    assert result.returncode == 0, result.stderr
    expected, got = (json.loads((d / BEST_FILE).read_text()) for d in (unbroken, out))
    assert got["checkpoint"] == expected["checkpoint"]
    for a, b in zip(expected["history"], got["history"], strict=True):
        assert b == pytest.approx(a, abs=1e-5)


def test_killed_before_its_last_checkpoint_was_measured_it_is_measured_when_called_again(run, tiny_dir, tmp_path):
    unbroken, _ = run
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    whole = json.loads((unbroken / BEST_FILE).read_text())
    [left, last] = whole["history"]
    write_best_anew = {**whole, "checkpoint": "checkpoint-2", "step": 2, "value": left[whole["metric"]], "history": [left]}
    (out / BEST_FILE).write_text(json.dumps(write_best_anew))
    weights_before = (out / "checkpoint-4" / "adapter_model.safetensors").read_bytes()
    for _ in range(2):  # and once is enough
        result = run_script("train/grpo.py", *overrides(tiny_dir, out, "validation.limit=3"))
        assert result.returncode == 0, result.stderr
        assert "has all 4 steps already" in result.stderr
        got = json.loads((out / BEST_FILE).read_text())
        assert got["checkpoint"] == whole["checkpoint"]
        assert [row["step"] for row in got["history"]] == [2, 4]
        assert got["history"][1] == pytest.approx(last, abs=1e-5)
    assert (out / "checkpoint-4" / "adapter_model.safetensors").read_bytes() == weights_before
    assert sum("validation/mi/nats" in row for row in read_jsonl(out / "metrics.jsonl")) >= 2


# ---- the numbers ----------------------------------------------------------------------------------------------


def recipe(tiny_dir, out, **more):
    content = {
        "output_dir": str(out),
        "model": {"name": str(tiny_dir), "dtype": "float32"},
        "data": {"split": "train", "limit": 4, "min_words": 30, "max_words": 40},
        "negatives": {"random": 1, "counterfactual": 2},
        "validation": {"limit": 3, "temperature": 0.0, "price": 0.1},
        "lora": {"r": 2},
    }
    return GRPORecipe.model_validate({**content, **more})


@pytest.fixture
def measured(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path / "run")
    plan = plan_validation(made, 8, save_steps=2)
    lm = load(str(tiny_dir), dtype="float32", device="cpu")
    reward = build_reward(made, prepare(made, 8), Scorer(lm.model))
    return made, plan, lm, reward


def test_its_metrics_are_those_of_a_naive_computation(measured, tmp_path):
    _, plan, lm, reward = measured
    tracker = Tracker(tmp_path / "run", {}, "disabled")
    found = ValidationCallback(plan, reward, tracker, quiet=True).measure(lm.model)
    assert len(plan.prepared.problems) == 3
    totals, hard, tokens = [], [], []
    compressions = generate(lm, plan.prompts, [p.id for p in plan.prepared.problems], 8, 0.0, 0)
    for problem, negatives, z in zip(plan.prepared.problems, plan.prepared.negatives, compressions, strict=True):
        documents = [problem.document, *(n.document for n in negatives)]
        prefixes = [compressor_ids(lm.tokenizer, d, problem.query) for d in documents]
        [row] = Scorer(lm.model).score_one_by_one(prefixes, [continuation_ids(z, lm.tokenizer.eos_token_id)])

        def infonce(columns, row=row):
            return np.log(len(columns)) + row[0] - np.log(np.exp(row[columns] - row.max()).sum()) - row.max()

        totals.append(infonce(list(range(len(row)))))
        hard.append(infonce([0, *(i for i, n in enumerate(negatives, 1) if n.kind == "counterfactual")]))
        tokens.append(len(z.token_ids))
    assert found["mi/nats"] == pytest.approx(np.mean(totals), abs=1e-4)
    assert found["rate/tokens"] == np.mean(tokens)
    assert found["objective/nats"] == pytest.approx(np.mean(totals) - 0.1 * np.mean(tokens), abs=1e-4)
    assert found["objective/hard_nats"] == pytest.approx(np.mean(hard) - 0.1 * np.mean(tokens), abs=1e-4)


def test_validation_problems_are_not_those_of_training(measured):
    made, plan, _, _ = measured
    trained = {p.document for p in prepare(made, 8).problems}
    assert trained.isdisjoint(p.document for p in plan.prepared.problems)


def test_random_states_and_mode_are_put_back(measured):
    _, plan, lm, reward = measured
    lm.model.train()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    price = reward.price
    ValidationCallback(plan, reward, None, quiet=True).measure(lm.model)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002
    assert lm.model.training
    assert reward.price is price


def test_a_gated_text_counts_in_the_objective_and_a_failed_one_does_not(measured):
    _, plan, lm, reward = measured
    problem = plan.prepared.problems[0]
    reward.problems, reward.negatives = plan.prepared.problems, plan.prepared.negatives
    prompts = [compressor_ids(lm.tokenizer, problem.document, problem.query)]
    [spoken] = reward.score(0, generate(lm, prompts, [problem.id], 8, 0.0, 0))
    gated = reward._priced(problem, spoken.compression, None, None)
    failed = reward._priced(problem, spoken.compression, "OSError: gone", None)
    found = validation_metrics([spoken, gated, failed], Price(0.1, gate_nats=-2.0), 4)
    assert found["objective/nats"] == pytest.approx((spoken.mi_nats - 0.1 * spoken.rate - 2.0) / 2)
    assert found["reward/failed"] == pytest.approx(1 / 3)
    assert "objective/nats" not in validation_metrics([failed], Price(0.1), 4)


class FailsOften:
    """A scorer that is gone for the first texts of a measurement and is back for the last."""

    concurrency = 1

    def __init__(self, scorer, times):
        self.scorer, self.left = scorer, times

    def score(self, *arguments):
        self.left -= 1
        if self.left >= 0:
            raise OSError("the scorer is gone")
        return self.scorer.score(*arguments)


def test_a_measurement_of_the_few_texts_that_could_be_scored_is_none(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path / "run", validation={"limit": 8, "temperature": 0.0})
    plan = plan_validation(made, 8, save_steps=2)
    lm = load(str(tiny_dir), dtype="float32", device="cpu")
    for failures, is_enough in ((3, True), (4, False)):  # a tenth of 30, which a handful counts as
        reward = build_reward(made, prepare(made, 8), FailsOften(Scorer(lm.model), failures))
        callback = ValidationCallback(plan, reward, None)
        if is_enough:
            assert callback.measure(lm.model)["reward/failed"] == pytest.approx(failures / 8)
        else:
            with pytest.raises(RunFailed, match=f"failed on {failures} of the last"):
                callback.measure(lm.model)


def test_what_is_watched_only_raises_no_ceiling(measured):
    made, plan, lm, _ = measured
    watching = made.model_copy(update={"negatives": made.negatives.model_copy(update={"watch_only": True})})
    reward = build_reward(watching, prepare(watching, 8), Scorer(lm.model))
    assert reward.candidates(0) == 2  # its document and one random one; the two versions earn nothing
    assert ValidationCallback(plan, reward, None).measure(lm.model)["mi/ceiling_nats"] == pytest.approx(np.log(2))


# ---- which checkpoint -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "best"), [("mi/nats", 2), ("rate/tokens", 3), ("distortion/fact_missing", 1)])
def test_the_best_is_best_in_the_direction_of_its_metric(tmp_path, metric, best):
    for step in (1, 2, 3):
        mark_complete(tmp_path / f"checkpoint-{step}", step=step)
    history = [
        {"step": 1, "mi/nats": 1.0, "rate/tokens": 9.0, "distortion/fact_missing": 0.1},
        {"step": 2, "mi/nats": 2.0, "rate/tokens": 8.0, "distortion/fact_missing": 0.2},
        {"step": 3, "mi/nats": 2.0, "rate/tokens": 7.0, "distortion/fact_missing": 0.3},
        {"step": 4, "mi/nats": 9.0, "rate/tokens": 1.0, "distortion/fact_missing": 0.0},  # its checkpoint is gone
    ]
    write_best(tmp_path, metric, history)
    assert json.loads((tmp_path / BEST_FILE).read_text())["checkpoint"] == f"checkpoint-{best}"


def test_a_checkpoint_without_the_metric_is_never_the_best(tmp_path):
    for step in (1, 2):
        mark_complete(tmp_path / f"checkpoint-{step}", step=step)
    write_best(tmp_path, "mi/nats", [{"step": 1, "mi/nats": -5.0}, {"step": 2}])
    assert json.loads((tmp_path / BEST_FILE).read_text())["step"] == 1


def test_the_best_checkpoint_outlives_the_limit(tmp_path):
    for step in (1, 2, 3, 4):
        mark_complete(tmp_path / f"checkpoint-{step}", step=step)
    assert [d.name for d in superfluous_checkpoints(tmp_path, 1)] == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    write_best(tmp_path, "mi/nats", [{"step": s, "mi/nats": -abs(s - 2)} for s in (1, 2, 3)])
    assert [d.name for d in superfluous_checkpoints(tmp_path, 1)] == ["checkpoint-1", "checkpoint-3"]


@pytest.mark.parametrize("measures", [True, False])
@pytest.mark.parametrize("kept", [(), (10,)])
def test_a_checkpoint_that_is_made_anew_is_measured_anew(tmp_path, kept, measures):
    """Without its checkpoints a directory begins anew, and the steps come again with other weights."""
    made = SFTRecipe(output_dir=str(tmp_path), tracking={"wandb": "disabled"})
    write_run_file(tmp_path, made.model_dump(mode="json"))
    for step in (10, 20):
        mark_complete(tmp_path / f"checkpoint-{step}", step=step)
    write_best(tmp_path, "mi/nats", [{"step": step, "mi/nats": float(step)} for step in (10, 20)])
    for step in {10, 20} - set(kept):
        shutil.rmtree(tmp_path / f"checkpoint-{step}")
    run = TrainingRun(made, "sft", True)
    run.plan = SimpleNamespace(metric="mi/nats") if measures else None
    with run:
        mark_complete(tmp_path / "checkpoint-20", step=20)
        assert not was_measured(tmp_path / "checkpoint-20")
        assert was_measured(tmp_path / "checkpoint-10") == bool(kept)
        assert (read_best(tmp_path) or {}).get("step") == (10 if kept else None)


# ---- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "environment", "message"),
    [
        ({"validation": {"every": 3}}, {}, "must be a multiple of save_steps = 2"),
        ({"validation": {}, "data": {"split": "all"}}, {}, "trains on the validation problems too"),
        ({"validation": {"metric": "mi/hard_nats"}, "negatives": {"counterfactual": 0}}, {}, "negatives.counterfactual"),
        ({"validation": {}}, {"ACCELERATE_USE_FSDP": "true"}, "sharded"),
        ({"validation": {}}, {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "sharded"),
    ],
)
def test_mistakes_are_found_before_a_model_loads(tiny_dir, tmp_path, monkeypatch, more, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        plan_validation(recipe(tiny_dir, tmp_path, **more), 8, save_steps=2)


def test_zero_3_of_a_file_of_deepspeeds_is_sharded(tiny_dir, tmp_path, monkeypatch):
    (tmp_path / "stage.json").write_text('{"zero_optimization": {"stage": 3}}')
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "stage.json"))
    with pytest.raises(InputError, match="sharded"):
        plan_validation(recipe(tiny_dir, tmp_path, validation={}), 8, save_steps=2)
    (tmp_path / "stage.json").write_text('{"zero_optimization": {"stage": 2}}')
    assert plan_validation(recipe(tiny_dir, tmp_path), 8, save_steps=2) is not None


def test_zero_2_is_not_sharded(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    assert plan_validation(recipe(tiny_dir, tmp_path), 8, save_steps=2) is not None
    assert plan_validation(recipe(tiny_dir, tmp_path, validation=None), 8, save_steps=2) is None


def test_any_rate_asks_for_the_same_budgets_at_every_checkpoint(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path, reward={"budget_range": [4, 8]})
    plan, again = (plan_validation(made, 8, save_steps=2) for _ in range(2))
    assert plan.budgets == again.budgets
    assert all(4 <= budget <= 8 for budget in plan.budgets)
    for ids, budget in zip(plan.prompts, plan.budgets, strict=True):
        assert f"at most {budget} tokens" in plan.prepared.tokenizer.decode(ids)
