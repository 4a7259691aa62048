"""The reward against a hand count, its gates, and its gradient's direction."""

import json
import math

import numpy as np
import pytest
from tiny import tiny_model, tiny_tokenizer

from infoagent.data.negatives import Counts, draw_negatives
from infoagent.data.registry import load_data
from infoagent.lm.prompts import compressor_ids, text_ids
from infoagent.lm.scoring import Scorer
from infoagent.reward import MIReward, Price, reward_nats

PROBLEMS = list(load_data("records", split="train", limit=8, min_words=40, max_words=60).problems)


@pytest.fixture(scope="module")
def reward():
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    made = MIReward(
        PROBLEMS,
        draw_negatives(PROBLEMS, Counts(random=2, counterfactual=3), 0),
        tokenizer,
        Price(0.02),
        "query-v1",
        None,
    )
    made.scorer = Scorer(tiny_model(len(tokenizer)))
    return made


def ids(reward, text, stop=True):
    return text_ids(reward.tokenizer, text) + ([reward.tokenizer.eos_token_id] if stop else [])


def test_formula():
    value = reward_nats(np.array([1.5, 0.5, math.nan]), np.array([10.0, 20.0, 0.0]), np.array([False, True, False]),
                        np.array([False, False, True]), Price(0.02, truncated_penalty_nats=0.3, gate_nats=-2.0))  # fmt: skip
    assert value == pytest.approx([1.5 - 0.2, 0.5 - 0.4 - 0.3, -2.0])


def test_a_nan_outside_a_gate_is_an_error_not_a_reward():
    with pytest.raises(FloatingPointError, match="1 of 2"):
        reward_nats(np.array([1.0, math.nan]), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), Price(0.0))


def test_reward_equals_a_hand_count_with_the_naive_scorer(reward):
    texts = ["the pulse", "no idea at all"]
    rewards = reward([None] * 2, [None] * 2, [ids(reward, t) for t in texts], problem_index=[3, 3])
    problem, negatives = PROBLEMS[3], reward.negatives[3]
    prefixes = [
        compressor_ids(reward.tokenizer, d, problem.query) for d in (problem.document, *(n.document for n in negatives))
    ]
    log_probs = reward.scorer.score_one_by_one(prefixes, [ids(reward, t) for t in texts])
    for row, text, got in zip(log_probs, texts, rewards, strict=True):
        shares = np.exp(row - row.max())
        expected = math.log(6) + math.log(shares[0] / shares.sum()) - 0.02 * len(text.encode())
        assert got == pytest.approx(expected, abs=1e-3)


def test_rewards_keep_the_order_of_rows_that_mix_problems(reward):
    texts, problems = ["aaa", "bb", "cccc", "d"], [1, 2, 1, 2]
    mixed = reward([None] * 4, [None] * 4, [ids(reward, t) for t in texts], problem_index=problems)
    alone = [
        reward([None], [None], [ids(reward, t)], problem_index=[p])[0] for t, p in zip(texts, problems, strict=True)
    ]
    assert mixed == pytest.approx(alone, abs=1e-4)


def test_rewards_do_not_depend_on_how_rows_are_split_over_processes(reward):
    rows = [ids(reward, t) for t in ("one", "two", "three", "four")]
    together = reward([None] * 4, [None] * 4, rows, problem_index=[0, 0, 5, 5])
    first = reward([None] * 2, [None] * 2, rows[:2], problem_index=[0, 0])
    second = reward([None] * 2, [None] * 2, rows[2:], problem_index=[5, 5])
    assert together == pytest.approx(first + second, abs=1e-4)


def test_gates_and_penalties(reward):
    rows = [
        ids(reward, ""),
        ids(reward, "  \n"),
        ids(reward, "ha " * 12),
        ids(reward, "cut off", stop=False),
        ids(reward, "cut off"),
    ]
    metrics = {}
    rewards = reward([None] * 5, [None] * 5, rows, problem_index=[0] * 5, log_metric=metrics.__setitem__)
    assert rewards[:3] == [-1.0, -1.0, -1.0]
    assert reward.last[3].compression.finish == "length"
    assert rewards[3] == pytest.approx(reward.last[3].mi_nats - 0.02 * 7 - 0.5)
    assert metrics["reward/gated"] == pytest.approx(0.6)
    assert metrics["reward/truncated"] == pytest.approx(0.2)
    assert "mi/nats" in metrics
    assert metrics["mi/ceiling_nats"] == pytest.approx(math.log(6))


def test_when_all_are_gated_no_information_is_logged(reward):
    metrics = {}
    assert reward([None], [None], [ids(reward, "")], problem_index=[0], log_metric=metrics.__setitem__) == [-1.0]
    assert "mi/nats" not in metrics
    assert all(math.isfinite(v) for v in metrics.values())
    json.dumps(metrics, allow_nan=False)


def test_bytes_as_the_rate(reward):
    by_bytes = MIReward(
        **{
            **{f: getattr(reward, f) for f in ("problems", "negatives", "tokenizer", "template", "budget_words")},
            "price": Price(0.1, "bytes"),
        }
    )
    by_bytes.scorer = reward.scorer
    [got] = by_bytes([None], [None], [ids(reward, "é")], problem_index=[0])
    assert got == pytest.approx(by_bytes.last[0].mi_nats - 0.1 * 2)


def test_the_embedded_model_rewards_the_fact_and_not_its_counterfactual(smollm):
    """On real text the reward orders: right fact, no fact, wrong fact."""
    problems = list(load_data("records", split="test", limit=6, min_words=80, max_words=100).problems)
    made = MIReward(
        problems, draw_negatives(problems, Counts(counterfactual=4), 0), smollm.tokenizer, Price(0.0), "query-v1", None
    )
    made.scorer = Scorer(smollm.model)
    end = [smollm.tokenizer.eos_token_id]
    right, none, wrong = [], [], []
    for i, (problem, negatives) in enumerate(zip(problems, made.negatives, strict=True)):
        other = negatives[0].changed.split(" → ")[1]
        texts = [f"It says {problem.answer}.", "It says nothing about that.", f"It says {other}."]
        rows = [text_ids(smollm.tokenizer, t) + end for t in texts]
        for kept, value in zip(
            (right, none, wrong), made([None] * 3, [None] * 3, rows, problem_index=[i] * 3), strict=True
        ):
            kept.append(value)
    assert np.mean(right) > 0.8 * math.log(5)
    assert abs(np.mean(none)) < 0.3
    assert np.mean(wrong) < -1
