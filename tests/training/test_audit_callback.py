"""The audit of a run: accuracy against a direct computation, flags said once, nothing random touched, resume."""

import json
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import run_script
from drawn import draw_negatives
from tiny import tiny_model, tiny_tokenizer

from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.files import read_jsonl
from infoagent.lm.prompts import PREDICTOR_TEMPLATES, Prompt, chat_ids, end_of_turn_id, predictor_messages, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.pricing.parts import Price
from infoagent.recipes import GRPORecipe
from infoagent.reward.mi_reward import MIReward
from infoagent.tracking import Tracker
from infoagent.training.audit_callback import AUDIT_FILE, AccuracyProbe, AuditCallback, audit_callbacks
from infoagent.training.callbacks import step_metrics

PROBLEMS = list(load_data("records", split="train", limit=6, min_words=40, max_words=60).problems)
TEMPLATE = next(iter(PREDICTOR_TEMPLATES))


@pytest.fixture
def reward():
    tokenizer = tiny_tokenizer()
    negatives = draw_negatives(PROBLEMS, Counts(random=1, counterfactual=1), 0)
    made = MIReward(PROBLEMS, negatives, tokenizer, Prompt(thinking=False), price=Price(0.02))
    made.scorer = Scorer(tiny_model(len(tokenizer)))
    return made


def call(reward, texts, problems, step):
    """The reward as TRL calls it in `step` (from 1 on), and the metrics that it logs."""
    metrics = {}
    rows = [[*text_ids(reward.tokenizer, t), reward.tokenizer.eos_token_id] for t in texts]
    rewards = reward(
        [None] * len(rows),
        [None] * len(rows),
        rows,
        problem_index=problems,
        log_metric=metrics.__setitem__,
        trainer_state=SimpleNamespace(global_step=step - 1),
    )
    return rewards, metrics


def picks_the_answer(reward, problem, note):
    """One prompt and one choice at a time."""
    end = end_of_turn_id(reward.tokenizer)
    prefix = chat_ids(reward.tokenizer, predictor_messages(note, problem.query, TEMPLATE))
    worth = [
        reward.scorer.score_one_by_one([prefix], [[*text_ids(reward.tokenizer, choice), end]])[0, 0] for choice in problem.choices
    ]
    return problem.choices[int(np.argmax(worth))] == problem.answer


def test_accuracy_is_what_one_by_one_scoring_gives(reward):
    reward.observers.append(AccuracyProbe(reward, every=4))
    problems = [0, 1, 0, 2, 3, 4]
    texts = [f"note {i}: {PROBLEMS[p].answer}" if i % 2 else "nothing" for i, p in enumerate(problems)]
    _, metrics = call(reward, texts, problems, step=1)
    right = [picks_the_answer(reward, PROBLEMS[p], t) for p, t in zip(problems, texts, strict=True)]
    assert metrics["audit/accuracy"] == pytest.approx(np.mean(right))
    assert metrics["audit/closed_book"] == pytest.approx(np.mean([picks_the_answer(reward, p, "") for p in PROBLEMS]))
    assert 0 < sum(right) < len(right), "the case tells nothing"


def test_two_problems_of_one_id_are_each_asked_their_own_question(reward):
    """Two data sets may both begin with the id 1."""
    first, second = (replace(p, id="1") for p in PROBLEMS[:2])
    asked = []

    def answers(scorer, tokenizer, texts, query, choices):
        asked.append((query, texts))
        return np.zeros((len(texts), len(choices)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infoagent.training.audit_callback.answer_log_probs", answers)
        AccuracyProbe(reward, every=1)._accuracy("audit/accuracy", [(first, "one"), (second, "two"), (first, "three")])
    assert asked == [(first.query, ["one", "three"]), (second.query, ["two"])]


def test_accuracy_comes_when_it_is_due_and_changes_no_reward(reward):
    plain, _ = call(reward, ["a note", "another"], [0, 1], step=4)
    reward.observers.append(AccuracyProbe(reward, every=4))
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for step in range(1, 10):
        rewards, metrics = call(reward, ["a note", "another"], [0, 1], step)
        assert ("audit/accuracy" in metrics) == (step in (1, 4, 8))
        assert ("audit/closed_book" in metrics) == (step == 1)
        assert "audit/copy_rate" not in metrics  # too short to have one
        assert metrics["audit/distinct_2"] == 1.0
        assert rewards == pytest.approx(plain, abs=1e-5)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert reward.scorer.model.training is False


def test_a_metric_that_cannot_be_measured_is_left_out_and_said(reward, monkeypatch, caplog):
    reward.observers.append(AccuracyProbe(reward, every=1))
    call(reward, ["a note"], [0], step=2)

    def fail(*_, **__):
        raise FloatingPointError("not finite")

    monkeypatch.setattr("infoagent.training.audit_callback.answer_log_probs", fail)
    _, metrics = call(reward, ["a note"], [0], step=2)
    assert "audit/accuracy" not in metrics
    assert "mi/nats" in metrics
    assert "step 2: accuracy was not measured: not finite" in caplog.text


def test_problems_without_choices_have_no_accuracy(reward):
    probe = AccuracyProbe(reward, every=1)
    call(reward, ["a note"], [0], step=1)
    [scored] = reward.last
    reward.problems = [replace(p, choices=()) for p in PROBLEMS]
    assert probe([replace(scored, problem=reward.problems[0])], 1) == {}


def logs_of_a_hacking_run(steps):
    """Log lines as the trainer gives them: MI rises, the fact goes missing from the middle on."""
    rng = np.random.default_rng(0)
    return [
        {
            "reward": 1.0,
            "loss": 0.1,
            "rate/tokens": 20.0,
            "mi/nats": 1.0 + i / steps + 0.05 * rng.normal(),
            "distortion/fact_missing": 0.2 + 0.6 * (i > steps / 2) + 0.05 * rng.normal(),
            "step_time": 3.0,
        }
        for i in range(steps)
    ]


def run(callback, tracker, logs, first=1):
    callback.on_train_begin(None, SimpleNamespace(global_step=first - 1), None)
    for step, line in enumerate(logs[first - 1 :], start=first):
        tracker.log(step, step_metrics(line))
        callback.on_log(None, SimpleNamespace(global_step=step), None, logs=line)


def test_a_flag_is_said_once_and_written_down(tmp_path, capsys):
    run(AuditCallback(tmp_path), Tracker(tmp_path, {}, wandb="disabled"), logs_of_a_hacking_run(60))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("audit, step")]
    content = json.loads((tmp_path / AUDIT_FILE).read_text())
    [flag] = content["flags"]
    assert content["step"] == 60
    assert flag["name"] == "fact_lost"
    assert flag["standing"] is True
    assert 30 < flag["first_step"] <= 60
    assert len(said) == 1
    assert said[0].startswith(f"audit, step {flag['first_step']}, alarm fact_lost: MI rose from ")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_resumed_run_ends_at_the_same_audit_and_says_nothing_twice(tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    logs = logs_of_a_hacking_run(60)
    run(AuditCallback(whole), Tracker(whole, {}, wandb="disabled"), logs)
    tracker = Tracker(broken, {}, wandb="disabled")
    run(AuditCallback(broken), tracker, logs[:57])
    tracker.log(57, {"validation/mi/nats": 9.0})  # a row that is no training step
    capsys.readouterr()
    run(AuditCallback(broken), Tracker(broken, {}, wandb="disabled", resume_step=55), logs, first=56)
    assert json.loads((broken / AUDIT_FILE).read_text()) == json.loads((whole / AUDIT_FILE).read_text())
    assert [r["step"] for r in read_jsonl(broken / "metrics.jsonl")] == list(range(1, 61))
    assert "audit, step" not in capsys.readouterr().err


def test_a_fresh_start_forgets_an_earlier_run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "rate/tokens": 3.0}) + "\n")
    callback = AuditCallback(tmp_path)
    callback.on_train_begin(None, SimpleNamespace(global_step=0), None)
    assert callback.history.rows == []


def test_the_recipe_decides(reward, tmp_path):
    def recipe(**more):
        return GRPORecipe.model_validate({"output_dir": str(tmp_path), **more})

    assert audit_callbacks(recipe(audit={"enabled": False}), reward, is_main=True) == []
    assert reward.observers == []
    assert audit_callbacks(recipe(), reward, is_main=False) == []  # other processes measure, one keeps the record
    assert [o.every for o in reward.observers] == [5]
    [callback] = audit_callbacks(recipe(negatives={"counterfactual": 4}), reward, is_main=True)
    assert callback.hard_ceiling_nats == pytest.approx(np.log(5))
    [callback] = audit_callbacks(recipe(negatives={"counterfactual": 0}), reward, is_main=True)
    assert callback.hard_ceiling_nats is None


def test_a_run_takes_the_same_steps_with_and_without_the_audit(tiny_dir, tmp_path):
    rows = {}
    for name, setting in (("on", "audit.every=2"), ("off", "audit.enabled=false")):
        result = run_script(
            "train/grpo.py",
            "configs/train/records.yaml",
            f"output_dir={tmp_path / name}",
            f"model.name={tiny_dir}",
            "model.dtype=float32",
            "data.limit=8",
            "data.min_words=30",
            "data.max_words=40",
            "grpo.steps=3",
            "grpo.num_generations=4",
            "grpo.prompts_per_step=2",
            "grpo.max_completion_tokens=10",
            "grpo.save_steps=3",
            "grpo.learning_rate=0.01",
            "tracking.wandb=disabled",
            "lora.r=4",
            setting,
        )
        assert result.returncode == 0, result.stderr
        rows[name] = read_jsonl(tmp_path / name / "metrics.jsonl")
    probed = [{n for n in row if n in ("audit/accuracy", "audit/closed_book")} for row in rows["on"]]
    assert probed == [{"audit/accuracy", "audit/closed_book"}, {"audit/accuracy"}, set()]
    for on, off in zip(rows["on"], rows["off"], strict=True):
        assert set(on) - set(off) <= {"audit/accuracy", "audit/closed_book"}
        for name in (n for n in off if not n.startswith(("scorer/", "time/", "memory/", "train/step_seconds"))):
            assert on[name] == pytest.approx(off[name], abs=1e-6), name
    assert json.loads((tmp_path / "on" / AUDIT_FILE).read_text()) == {"step": 3, "flags": []}
    assert not (tmp_path / "off" / AUDIT_FILE).exists()
