"""The enumerated optimum and a policy's value, against plain loops and the reward of training."""

import itertools

import numpy as np
import pytest
from drawn import draw_negatives
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.applications.shannon.optimum import best_strings, candidates_of, mean_terms, source_information, terms_of
from infoagent.applications.shannon.reached import reached_by, sample_policy, source_candidates
from infoagent.applications.shannon.recipe import ShannonRecipe
from infoagent.applications.shannon.run import share_of
from infoagent.applications.shannon.teacher import teacher_texts
from infoagent.applications.shannon.tiny_lm import TinySettings, train_tiny_lm
from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.data.sets.shannon import FACTS, all_states, state_of
from infoagent.information import infonce_terms
from infoagent.lm.models import load
from infoagent.lm.prompts import Prompt, end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.pricing.parts import Price
from infoagent.reward.mi_reward import MIReward
from infoagent.types import Compression


@st.composite
def tables(draw):
    """A table of strings, states and problems with their candidates."""
    strings, states, number = draw(st.integers(2, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    own = rng.integers(states, size=number).tolist()
    negatives = rng.integers(states, size=(number, draw(st.integers(1, 6)))).tolist()
    lengths = np.sort(rng.integers(0, 5, size=strings))
    return rng.normal(-5, 3, size=(strings, states)), own, negatives, lengths, rng.random(strings) < 0.2


def naive_reward(log_probs, z, own, negatives, length, gated, price, gate):
    """The reward as it is defined: columns of the own document and of each negative."""
    if gated:
        return gate
    row = np.array([[log_probs[z][own], *(log_probs[z][k] for k in negatives)]])
    return float(infonce_terms(row, np.zeros(1, dtype=np.intp))[0]) - price * length


@settings(max_examples=60, deadline=None)
@given(tables(), st.floats(0.0, 2.0))
def test_the_optimum_is_that_of_all_policies(table, price):
    """Every map from states to strings, tried one by one: none earns more, and the found one earns what it says."""
    log_probs, own, negatives, lengths, gated = table
    log_probs, lengths, gated = log_probs[:5], lengths[:5], gated[:5]
    candidates = candidates_of(own, negatives, log_probs.shape[1])
    found = best_strings(mean_terms(log_probs, candidates), lengths, gated, price, -1.0)
    present = sorted(set(own))

    def value(policy):
        return np.mean(
            [
                naive_reward(log_probs, policy[o], o, n, lengths[policy[o]], gated[policy[o]], price, -1.0)
                for o, n in zip(own, negatives, strict=True)
            ]
        )

    every = [dict(zip(present, zs, strict=True)) for zs in itertools.product(range(len(log_probs)), repeat=len(present))]
    assert found.value_nats(candidates) == pytest.approx(max(value(policy) for policy in every), abs=1e-9)
    assert found.value_nats(candidates) == pytest.approx(value({d: int(found.best_D[d]) for d in present}), abs=1e-9)
    assert all(found.best_D[d] == -1 and np.isnan(found.reward_D[d]) for d in set(range(log_probs.shape[1])) - set(own))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_terms_of_compressions_are_those_of_their_columns(table):
    log_probs, own, negatives, _, _ = table
    candidates = candidates_of(own, negatives, log_probs.shape[1])
    rng = np.random.default_rng(0)
    problem, z = rng.integers(len(own), size=20), rng.integers(len(log_probs), size=20)
    found = terms_of(log_probs[z], problem, candidates)
    for c in range(20):
        expected = naive_reward(log_probs, z[c], own[problem[c]], negatives[problem[c]], 0, False, 0.0, 0.0)
        assert found[c] == pytest.approx(expected, abs=1e-9)


def test_a_bound_on_the_length_rules_longer_strings_out():
    candidates = candidates_of([0], [[1]], 2)  # K = 2, ceiling 0.693
    log_probs = np.array([[-9.0, -9.0], [-1.0, -30.0]])  # silence, and a word that tells all
    found = best_strings(mean_terms(log_probs, candidates), np.array([0, 1]), np.zeros(2, dtype=bool), 0.2, -1.0)
    assert found.best_D[0] == 1
    assert found.ruled_out(candidates, longest=1) == 1.0  # log 2 − 0.2 against log 2 − 0.4
    cheap = best_strings(mean_terms(log_probs - 3 * np.eye(2), candidates), np.array([0, 3]), np.zeros(2, bool), 0.2, -1.0)
    assert cheap.ruled_out(candidates, longest=1) == 0.0


@settings(max_examples=40, deadline=None)
@given(tables())
def test_information_about_the_source_is_below_the_mutual_information(table):
    """For any policy, here a random one, E[log q(z|d) / q(z)] is at most I(D;Z)."""
    log_probs, _, _, _, _ = table
    states = log_probs.shape[1]
    rng = np.random.default_rng(1)
    source, policy = rng.dirichlet(np.ones(states)), rng.dirichlet(np.ones(len(log_probs)), size=states)
    told = np.stack([source_information(log_probs, np.full(len(log_probs), d), source) for d in range(states)])
    joint = source[:, None] * policy
    truth = np.sum(joint * np.log(joint / (source[:, None] * joint.sum(0)[None])))
    assert (joint * told).sum() <= truth + 1e-9


def test_share_and_its_interval():
    rng = np.random.default_rng(0)
    optimum = rng.uniform(1, 2, size=400)
    reached = 0.9 * optimum + rng.normal(0, 0.1, size=400)
    share = share_of(reached, optimum)
    assert share.low < 0.9 < share.high
    assert share.value == pytest.approx(reached.sum() / optimum.sum())
    assert share_of(optimum, optimum).value == 1.0
    with pytest.raises(ValueError, match="a share of that says nothing"):
        share_of(reached, -optimum)


@pytest.fixture(scope="module")
def young(tmp_path_factory):
    """A tiny model of a few steps: its samples are of every sort, empty and cut off ones too."""
    directory = tmp_path_factory.mktemp("young") / "lm"
    train_tiny_lm(directory, TinySettings(steps=25, batch=64, hidden=32, layers=1), quiet=True)
    return load(str(directory), dtype="float32", device="cpu")


def test_a_policy_is_priced_as_in_training(young):
    """Sample by sample the reward of infoagent.reward, which scores every candidate of every problem."""
    recipe = ShannonRecipe(output_dir="x", grpo={"max_completion_tokens": 5}, negatives={"random": 0, "counterfactual": 7}).run(
        0.3, 0
    )
    problems = load_data("shannon", split="test", limit=6).problems
    negatives = draw_negatives(problems, Counts(counterfactual=7), 0)
    candidates = source_candidates(problems, negatives)
    compressions = sample_policy(young, "plain-v1", candidates, 8, 5, 1.0, seed=1)
    found = reached_by(young, recipe, candidates, compressions)
    reward = MIReward(
        problems=problems,
        negatives=negatives,
        tokenizer=young.tokenizer,
        prompt=Prompt("plain-v1", thinking=False),
        price=Price(0.3, truncated_penalty_nats=recipe.reward.truncated_penalty_nats),
        scorer=Scorer(young.model),
    )
    assert {z.finish for z in compressions} == {"stop", "length"}
    for i in range(len(problems)):
        scored = reward.score(i, compressions[8 * i : 8 * i + 8])
        assert found.reward_N[i] == pytest.approx(np.mean([s.reward for s in scored]), abs=1e-3)
        assert found.tokens_N[i] == np.mean([s.rate for s in scored])
    assert found.truncated == np.mean([z.finish == "length" for z in compressions])


def test_shares_of_said_defaults_are_counted_by_hand(young):
    problems = load_data("shannon", split="test", limit=30).problems
    candidates = source_candidates(problems, [p.negatives[:3] for p in problems])
    compressions = sample_policy(young, "plain-v1", candidates, 4, 5, 1.0, seed=2)
    recipe = ShannonRecipe(output_dir="x", grpo={"max_completion_tokens": 5}).run(0.3, 0)
    found = reached_by(young, recipe, candidates, compressions)
    assert set(found.default_said) == {"state", "place"}
    for index, name in ((2, "state"), (3, "place")):
        default = FACTS[index].default
        said = [
            np.mean([default in z.text.split() for z in compressions[4 * i : 4 * i + 4]])
            for i, p in enumerate(problems)
            if state_of(p.document)[index] == default
        ]
        assert found.default_said[name].value == pytest.approx(np.mean(said))
        assert found.default_said[name].n == len(said)
    assert len(all_states()) == candidates.counts_ND.shape[1]


def test_the_teacher_stands_between_the_whole_document_and_the_best_of_all_its_subsequences(young, tmp_path):
    """Of the four words of a document: 15 texts, priced by the table that the optimum is taken from."""
    young.model.save_pretrained(tmp_path / "lm")
    young.tokenizer.save_pretrained(tmp_path / "lm")
    recipe = ShannonRecipe(
        output_dir=str(tmp_path), grpo={"max_completion_tokens": 5}, negatives={"random": 0, "counterfactual": 7}
    )
    problems = load_data("shannon", split="test", limit=8).problems
    negatives = draw_negatives(problems, Counts(counterfactual=7), 0)
    candidates, end = source_candidates(problems, negatives), end_of_turn_id(young.tokenizer)
    for price in (0.05, 0.5):
        run = recipe.run(price, 0)
        rewards = []
        for kept in itertools.product([True, False], repeat=4):
            texts = [" ".join(itertools.compress(state_of(p.document), kept)) for p in problems]
            ids = [tuple(text_ids(young.tokenizer, text)) for text in texts]
            assert {len(i) for i in ids} == {sum(kept)}
            made = [Compression(p.id, t, i, "stop", stop_id=end) for p, t, i in zip(problems, texts, ids, strict=True)]
            rewards.append(reached_by(young, run, candidates, made).reward_N)
        reward_N, tokens_N = teacher_texts(run, problems, negatives, quiet=True)
        assert (reward_N >= rewards[0] - 1e-4).all()
        assert (reward_N <= np.max(rewards, axis=0) + 1e-4).all()
        assert ((tokens_N >= 1) & (tokens_N <= 4)).all()
    assert (reward_N > rewards[0] + 1e-3).any()  # at the higher price it deletes
