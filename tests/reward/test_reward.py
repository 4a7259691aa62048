"""The reward against a hand count, its gates, and its gradient's direction."""

import json
import math
from types import SimpleNamespace

import exact_channels
import numpy as np
import pytest
from drawn import draw_negatives
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny import tiny_model, tiny_tokenizer

from infoagent.config import load_recipe
from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.information import infonce_terms
from infoagent.lm.answering import answer_log_probs
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.pricing.objectives import Objective, clipped_terms, total_variation_terms
from infoagent.pricing.parts import PARTS, Part, Price, Sample, reward_parts
from infoagent.recipes import GRPORecipe
from infoagent.reporting import plots
from infoagent.reward.metrics import ScoredCompression, summarise
from infoagent.reward.mi_reward import MIReward
from infoagent.tracking import METRICS, known_metric
from infoagent.training.callbacks import step_metrics
from infoagent.training.recipe_reward import build_reward
from infoagent.types import Compression, InputError, Problem, RunFailed

PROBLEMS = list(load_data("records", split="train", limit=8, min_words=40, max_words=60).problems)


@pytest.fixture(scope="module")
def reward():
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    made = MIReward(
        PROBLEMS,
        draw_negatives(PROBLEMS, Counts(random=2, counterfactual=3), 0),
        tokenizer,
        Prompt(thinking=False),
        price=Price(0.02),
    )
    made.scorer = Scorer(tiny_model(len(tokenizer)))
    return made


def ids(reward, text, stop=True):
    return text_ids(reward.tokenizer, text) + ([reward.tokenizer.eos_token_id] if stop else [])


def sample(earned, tokens, finish="stop", text="the pulse", **more):
    problem = Problem("p", "Pulse 80.", "what pulse?", "g")
    return Sample(problem, Compression("p", text, tuple(range(tokens)), finish), earned, **more)


def test_the_parts_by_hand():
    price = Price(0.02, truncated_penalty_nats=0.3, unsupported_nats=0.2, over_nats=0.1, under_nats=0.05)
    objective = Objective(information_weight=2.0, answer_weight=0.5)
    three_unsupported = "pulse 81, 82 and 83"
    whole = sample(1.5, 10, "length", three_unsupported, answer_nats=-0.4, budget=8)
    assert reward_parts(whole, price, objective) == pytest.approx(
        {"information": 3.0, "rate": -0.2, "answer": -0.2, "budget": -0.2, "unsupported": -0.6, "truncated": -0.3}
    )
    assert reward_parts(sample(1.5, 5, budget=8), price, objective)["budget"] == pytest.approx(-0.15)
    plain = reward_parts(sample(0.5, 10), Price(0.02), Objective())
    assert plain == pytest.approx({"information": 0.5, "rate": -0.2})


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_part_that_is_not_finite_is_an_error_not_a_reward(wrong):
    with pytest.raises(FloatingPointError, match="information"):
        reward_parts(sample(wrong, 1), Price(0.0), Objective())


@pytest.fixture
def questions(monkeypatch):
    """A part as someone adds it: a function and a row."""
    part = Part(
        "questions",
        "reward/questions",
        "its part for question marks",
        lambda s, _: s.compression.text.count("?"),
        label="questions",
    )
    monkeypatch.setitem(PARTS, part.name, part)


def test_a_part_from_outside_is_weighed_by_the_recipe_paid_logged_and_drawn(reward, questions, tmp_path):
    asked = ["output_dir=x", "reward.parts={questions: -0.25}"]
    recipe = load_recipe(GRPORecipe, "configs/train/records.yaml", asked)
    prepared = SimpleNamespace(problems=reward.problems, negatives=reward.negatives, tokenizer=reward.tokenizer)
    made = build_reward(recipe, prepared, reward.scorer)
    metrics = {}
    got = made([None] * 2, [None] * 2, [ids(reward, "why? how?"), ids(reward, "so")], [0, 0], log_metric=metrics.__setitem__)
    assert [s.parts.get("questions") for s in made.last] == [-0.5, 0.0]
    assert got == pytest.approx([sum(s.parts.values()) for s in made.last])
    assert step_metrics(metrics)["reward/questions"] == pytest.approx(-0.25)
    assert ">questions<" in plots.training([{"step": 1, "reward/total": 0.5, **step_metrics(metrics)}])
    without = load_recipe(GRPORecipe, "configs/train/records.yaml", ["output_dir=x"])
    [silent] = build_reward(without, prepared, reward.scorer).score(0, [made.last[0].compression])
    assert "questions" not in silent.parts


@pytest.mark.parametrize(
    ("weights", "said"),
    [("{question: 1}", "question: is no part of the reward; parts that are weighted here: .*questions"),
     ("{unsupported: 1}", "unsupported: has a key of its own in this section")],
)  # fmt: skip
def test_a_weight_of_no_part_is_refused_with_the_recipe(questions, weights, said):
    with pytest.raises(InputError, match=said):
        load_recipe(GRPORecipe, "configs/train/records.yaml", ["output_dir=x", f"reward.parts={weights}"])


def test_a_metric_is_a_row_and_one_without_is_an_error(reward, monkeypatch):
    reward = with_scorer(reward, reward.scorer, observers=[lambda *_: {"words/long": 0.5}])
    state, metrics = SimpleNamespace(global_step=0), {}
    arguments = ([None], [None], [ids(reward, "the pulse")], [0])
    with pytest.raises(ValueError, match="'words/long': has no row in METRICS"):
        reward(*arguments, log_metric=metrics.__setitem__, trainer_state=state)
    with pytest.raises(ValueError, match="'rate/pages'"):
        step_metrics({"rate/pages": 1.0})
    monkeypatch.setitem(METRICS, "words/long", "share of words above ten letters")
    reward(*arguments, log_metric=metrics.__setitem__, trainer_state=state)
    assert step_metrics({**metrics, "rewards/mi_minus_rate/mean": 1.0})["words/long"] == 0.5
    assert known_metric("validation/words/long") == "validation/words/long"


LOG_PROBS = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-60, -0.1))


@given(LOG_PROBS, st.floats(0.5, 8))
def test_clipped_terms_equal_their_naive_twin_and_stay_in_their_bounds(log_probs, clip):
    source = np.arange(len(log_probs)) % log_probs.shape[1]
    naive = []
    for row, s in zip(log_probs, source, strict=True):
        leads = [min(max(row[s] - other, -clip), clip) for other in row]
        naive.append(-math.log(sum(math.exp(-lead) for lead in leads) / len(row)))
    found = clipped_terms(log_probs, source, clip)
    assert found == pytest.approx(naive, abs=1e-9)
    number = log_probs.shape[1]
    assert (found <= math.log(number) - math.log1p((number - 1) * math.exp(-clip)) + 1e-9).all()
    assert (found >= -clip - 1e-9).all()
    assert clipped_terms(log_probs, source, 1e3) == pytest.approx(infonce_terms(log_probs, source), abs=1e-6)


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(2, 6))
def test_total_variation_terms_average_to_the_distance_of_the_enumerated_channel(seed, inputs, outputs):
    conditional = np.random.default_rng(seed).dirichlet(np.full(outputs, 0.7), size=inputs)  # p(z | x), x uniform
    marginal = conditional.mean(axis=0)
    expected = 0.5 * np.abs(conditional / inputs - marginal / inputs).sum()
    log_probs, source, weights = exact_channels.enumerate_outputs(conditional)
    assert (weights * total_variation_terms(log_probs, source)).sum() / inputs == pytest.approx(expected, abs=1e-9)


def test_reward_equals_a_hand_count_with_the_naive_scorer(reward):
    texts = ["the pulse", "no idea at all"]
    rewards = reward([None] * 2, [None] * 2, [ids(reward, t) for t in texts], problem_index=[3, 3])
    problem, negatives = PROBLEMS[3], reward.negatives[3]
    prefixes = [compressor_ids(reward.tokenizer, d, problem.query) for d in (problem.document, *(n.document for n in negatives))]
    log_probs = reward.scorer.score_one_by_one(prefixes, [ids(reward, t) for t in texts])
    for row, text, got in zip(log_probs, texts, rewards, strict=True):
        shares = np.exp(row - row.max())
        expected = math.log(6) + math.log(shares[0] / shares.sum()) - 0.02 * len(text.encode())
        assert got == pytest.approx(expected, abs=1e-3)


def test_rewards_keep_the_order_of_rows_that_mix_problems(reward):
    texts, problems = ["aaa", "bb", "cccc", "d"], [1, 2, 1, 2]
    mixed = reward([None] * 4, [None] * 4, [ids(reward, t) for t in texts], problem_index=problems)
    alone = [reward([None], [None], [ids(reward, t)], problem_index=[p])[0] for t, p in zip(texts, problems, strict=True)]
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
        **{**{f: getattr(reward, f) for f in ("problems", "negatives", "tokenizer", "prompt")}, "price": Price(0.1, "bytes")}
    )
    by_bytes.scorer = reward.scorer
    [got] = by_bytes([None], [None], [ids(reward, "é")], problem_index=[0])
    assert got == pytest.approx(by_bytes.last[0].mi_nats - 0.1 * 2)


class Faulty:
    """A scorer that cannot read one text, as a served one that answers with an error for it."""

    concurrency = 1

    def __init__(self, scorer, bad):
        self.scorer, self.bad = scorer, bad

    def score(self, prefixes, continuations):
        if any(list(c) == self.bad for c in continuations):
            raise FloatingPointError("log-probability is not finite")
        return self.scorer.score(prefixes, continuations)


def with_scorer(reward, scorer, **more):
    fields = ("problems", "negatives", "tokenizer", "prompt", "price")
    return MIReward(**{**{f: getattr(reward, f) for f in fields}, "scorer": scorer, **more})


def test_a_sample_that_the_scorer_fails_on_has_no_reward_and_its_siblings_keep_theirs(reward):
    rows = [ids(reward, t) for t in ("the pulse", "bad", "no idea")]
    faulty = with_scorer(reward, Faulty(reward.scorer, rows[1]))
    metrics = {}
    got = faulty([None] * 3, [None] * 3, rows, problem_index=[2] * 3, log_metric=metrics.__setitem__)
    assert got[1] is None
    assert "not finite" in faulty.last[1].failed
    alone = reward([None] * 2, [None] * 2, [rows[0], rows[2]], problem_index=[2] * 2)
    assert [got[0], got[2]] == pytest.approx(alone, abs=1e-4)
    assert metrics["reward/failed"] == pytest.approx(1 / 3)
    assert metrics["reward/total"] == pytest.approx(np.mean([got[0], got[2]]))


def test_a_run_stops_when_too_many_samples_fail(reward):
    bad = ids(reward, "bad")
    faulty = with_scorer(reward, Faulty(reward.scorer, bad), max_failed_share=0.1)
    for _ in range(3):  # one of eight each time: 12 % of what was seen, but only a handful
        faulty([None] * 8, [None] * 8, [bad] + [ids(reward, "ok")] * 7, problem_index=[0] * 8)
    with pytest.raises(RunFailed, match=r"failed on 4 of the last 32 .* not finite"):
        faulty([None] * 8, [None] * 8, [bad] + [ids(reward, "ok")] * 7, problem_index=[0] * 8)


def test_the_answer_part_is_what_the_notes_add_to_the_answer(reward):
    made = with_scorer(reward, reward.scorer, objective=Objective(answer_weight=0.5))
    rows = [ids(reward, t) for t in ("the pulse is 80", "nothing")]
    made([None] * 2, [None] * 2, rows, problem_index=[1] * 2)
    problem = PROBLEMS[1]
    found = [
        answer_log_probs(made.scorer, made.tokenizer, [note], problem.query, [problem.answer])[0, 0]
        for note in ("the pulse is 80", "nothing", "")
    ]
    for scored, value in zip(made.last, found, strict=False):
        assert scored.parts["answer"] == pytest.approx(0.5 * (value - found[2]), abs=1e-3)
        assert scored.reward == pytest.approx(sum(scored.parts.values()))


def test_a_budget_of_a_row_stands_in_its_prompt_and_is_priced(reward):
    made = with_scorer(reward, reward.scorer, price=Price(0.0, over_nats=0.1, under_nats=0.01))
    row = ids(reward, "the pulse")  # nine tokens of one byte
    metrics = {}
    got = made([None] * 2, [None] * 2, [row] * 2, [4, 4], budget=[5, 12], log_metric=metrics.__setitem__)
    assert [s.parts["budget"] for s in made.last] == pytest.approx([-0.4, -0.03])
    assert metrics["rate/adherence_error"] == pytest.approx(np.median([4 / 5, 3 / 12]))
    assert metrics["rate/over_budget"] == 0.5
    problem, negatives = PROBLEMS[4], made.negatives[4]
    for value, tokens in zip(got, (5, 12), strict=True):
        prefixes = [
            compressor_ids(made.tokenizer, d, problem.query, Prompt(budget_tokens=tokens))
            for d in (problem.document, *(n.document for n in negatives))
        ]
        [log_probs] = made.scorer.score_one_by_one(prefixes, [row])
        expected = math.log(6) + log_probs[0] - np.logaddexp.reduce(log_probs)
        assert value == pytest.approx(expected - (0.4 if tokens == 5 else 0.03), abs=1e-3)


def test_watched_negatives_are_logged_and_earn_nothing(reward):
    row = ids(reward, "the pulse")
    watching = with_scorer(reward, reward.scorer, watch_only=True, price=Price(0.0))
    easy_only = with_scorer(
        reward,
        reward.scorer,
        price=Price(0.0),
        negatives=[tuple(n for n in negatives if n.kind != "counterfactual") for negatives in reward.negatives],
    )
    metrics = {}
    [got] = watching([None], [None], [row], [0], log_metric=metrics.__setitem__)
    assert got == pytest.approx(easy_only([None], [None], [row], [0])[0], abs=1e-4)
    assert metrics["mi/ceiling_nats"] == pytest.approx(math.log(3))
    reward([None], [None], [row], [0])
    assert metrics["mi/hard_nats"] == pytest.approx(reward.last[0].hard_nats, abs=1e-4)


def test_scripts_may_score_by_themselves(reward):
    z = Compression("x", "", (), "stop")
    [scored] = reward.score(0, [z])
    assert (scored.gated, scored.reward, scored.parts) == (True, -1.0, {"gate": -1.0})


def test_the_embedded_model_rewards_the_fact_and_not_its_counterfactual(smollm):
    """On real text the reward orders: right fact, no fact, wrong fact."""
    problems = list(load_data("records", split="test", limit=2, min_words=40, max_words=60).problems)
    made = MIReward(
        problems, draw_negatives(problems, Counts(counterfactual=2), 0), smollm.tokenizer, Prompt(thinking=False), price=Price(0.0)
    )
    made.scorer = Scorer(smollm.model)
    end = [smollm.tokenizer.eos_token_id]
    right, none, wrong = [], [], []
    for i, (problem, negatives) in enumerate(zip(problems, made.negatives, strict=True)):
        other = negatives[0].changed.split(" → ")[1]
        texts = [f"It says {problem.answer}.", "It says nothing about that.", f"It says {other}."]
        rows = [text_ids(smollm.tokenizer, t) + end for t in texts]
        for kept, value in zip((right, none, wrong), made([None] * 3, [None] * 3, rows, problem_index=[i] * 3), strict=True):
            kept.append(value)
    assert np.mean(right) > 0.8 * math.log(3)
    assert abs(np.mean(none)) < 0.3
    assert np.mean(wrong) < -1


def test_a_budget_is_in_tokens_whatever_the_length_costs():
    problem = Problem("p", "Pulse 80.", "what pulse?", "g")
    text = Compression("p", "the pulse is eighty", tuple(range(20)), "stop")
    scored = ScoredCompression(problem=problem, compression=text, rate=90.0, mi_nats=1.0, reward=1.0, budget=20)
    metrics = summarise([scored], Price(0.01, rate="bytes"), candidates=3)
    assert (metrics["rate/adherence_error"], metrics["rate/over_budget"]) == (0.0, 0.0)
