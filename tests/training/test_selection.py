"""Which samples teach, against twins that look at every subset and every pair."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.recipes import SFTRecipe
from infoagent.training.estimate import describe_sft, most_kept
from infoagent.training.selection import best_of_n, pairs_by_margin

GAIN = 0.25  # a quarter: sums of quarters are exact, so the twins and the arrays never differ by rounding


@st.composite
def samples(draw):
    """Rewards in quarters, so that ties are common; failed ones NaN; few different texts."""
    number = draw(st.integers(0, 14))
    rewards = draw(
        st.lists(st.one_of(st.integers(-6, 6).map(lambda i: i / 4), st.just(math.nan)), min_size=number, max_size=number)
    )
    groups = draw(st.lists(st.integers(0, 2), min_size=number, max_size=number))
    lengths = draw(st.lists(st.integers(0, 3), min_size=number, max_size=number))
    gated = draw(st.lists(st.booleans(), min_size=number, max_size=number))
    texts = draw(st.lists(st.sampled_from("abcde"), min_size=number, max_size=number))
    return {"rewards": rewards, "groups": groups, "lengths": lengths, "gated": gated, "texts": texts}


def members(s, group):
    return [i for i in range(len(s["texts"])) if s["groups"][i] == group and not math.isnan(s["rewards"][i])]


def better(s, i, j):
    """Does i go before j?"""
    return (-s["rewards"][i], s["lengths"][i], i) < (-s["rewards"][j], s["lengths"][j], j)


def naive_best(s, top=None, quantile=None):
    """A sample is kept iff it passes every condition of its own, and fewer than `top` better texts do."""
    kept = []
    for i, text in enumerate(s["texts"]):
        group = members(s, s["groups"][i])
        if i not in group:
            continue

        def passes(j, group=group):
            values = sorted(s["rewards"][k] for k in group)
            enough = s["rewards"][j] - sum(values) / len(values) >= GAIN - 1e-12
            if quantile is not None:
                place = quantile * (len(values) - 1)
                low, high = values[math.floor(place)], values[math.ceil(place)]
                enough &= s["rewards"][j] >= low + (high - low) * (place - math.floor(place)) - 1e-12
            return enough and not s["gated"][j]

        before = {s["texts"][j] for j in group if better(s, j, i) and passes(j)}
        if passes(i) and text not in before and (top is None or len(before) < top):
            kept.append(i)
    return kept


@given(samples(), st.integers(1, 4))
def test_the_top_of_each_group_is_what_a_count_of_the_better_ones_says(s, top):
    # sums of at most 14 quarters over n: the mean can miss a quarter by rounding, so compare a hair below it
    assert best_of_n(**s, top=top, min_gain_nats=GAIN - 1e-12).tolist() == naive_best(s, top=top)


@given(samples(), st.sampled_from([0.0, 0.5, 0.75, 1.0]))
def test_a_quantile_keeps_what_stands_at_or_above_it(s, quantile):
    floor = best_of_n(**s, quantile=quantile, min_gain_nats=GAIN - 1e-12).tolist()
    assert floor == naive_best(s, quantile=quantile)


def sft_recipe(samples, **selection):
    return SFTRecipe.model_validate(
        {
            "output_dir": "unused",
            "data": {"split": "train", "limit": 6, "min_words": 25, "max_words": 30},
            "sampling": {"samples": samples},
            "selection": selection,
        }
    )


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=9, unique=True), st.floats(0, 1), st.integers(1, 9), st.booleans())
def test_a_plan_names_the_most_that_can_be_kept(rewards, quantile, top, by_quantile):
    rule = {"quantile": quantile} if by_quantile else {"top": top}
    recipe, n = sft_recipe(len(rewards), **rule), len(rewards)

    def kept(values):
        return len(best_of_n(values, [0] * n, [1] * n, [False] * n, [str(i) for i in range(n)], **rule))

    assert kept(rewards) <= most_kept(recipe)
    assert kept([math.nan, *rewards[1:]]) <= most_kept(recipe), "a failed sample makes no room for more"
    if by_quantile:  # and no more than that: one far below all others leaves these above the mean
        assert kept([-1e6, *range(1, n)]) == most_kept(recipe)


@pytest.mark.parametrize(
    ("selection", "proposals", "said"),
    [
        ({"quantile": 0.0}, None, "at most 42 texts kept in a round (more where rewards are equal), "),
        ({"quantile": 0.5}, None, "at most 24 texts kept in a round (more where rewards are equal), "),
        ({"quantile": 1.0}, None, "at most 6 texts kept in a round (more where rewards are equal), "),
        ({}, None, "at most 6 texts kept in a round, "),
        ({"top": 2}, None, "at most 12 texts kept in a round, "),
        (
            {"quantile": 0.0},
            {"keep": 8, "shorten_rounds": 1, "shorten_keep": 4},
            f"about {6 * (8 + 8 + 4 - 1)} texts kept in a round",
        ),
        ({"top": 2}, {}, "at most 12 texts kept in a round, "),
    ],
)
def test_the_plan_of_six_problems_and_eight_samples(selection, proposals, said):
    recipe = sft_recipe(8, **selection)
    asked = SFTRecipe.model_validate({**recipe.model_dump(), "sampling": {"samples": 8, "proposals": proposals}})
    assert said in describe_sft(asked)


@given(samples(), st.integers(1, 4))
def test_the_chosen_are_never_gated_failed_or_below_their_group(s, top):
    chosen = best_of_n(**s, top=top, min_gain_nats=GAIN)
    assert (np.diff(chosen) > 0).all()
    for i in chosen:
        group = [s["rewards"][j] for j in members(s, s["groups"][i])]
        assert not s["gated"][i]
        assert s["rewards"][i] > sum(group) / len(group)
    for group in set(s["groups"]):
        assert sum(s["groups"][i] == group for i in chosen) <= top


@given(samples(), st.permutations(range(3)), st.floats(-5, 5))
def test_names_of_groups_and_a_shift_of_a_groups_rewards_change_nothing(s, names, shift):
    shift = round(shift * 4) / 4
    moved = [r + shift * (g == 1) for r, g in zip(s["rewards"], s["groups"], strict=True)]
    other = {**s, "rewards": moved, "groups": [names[g] for g in s["groups"]]}
    assert best_of_n(**other, top=2, min_gain_nats=0.2).tolist() == best_of_n(**s, top=2, min_gain_nats=0.2).tolist()
    pairs = {"margin_nats": 0.25, "per_problem": 3, "all_pairs": True}
    assert sorted(pairs_by_margin(**other, **pairs)) == sorted(pairs_by_margin(**s, **pairs))


def test_a_group_without_signal_teaches_nothing():
    same = {"groups": [0] * 3, "lengths": [1, 2, 3], "gated": [False] * 3, "texts": list("abc")}
    assert best_of_n([0.1] * 3, **same, top=1, min_gain_nats=1e-3).size == 0
    assert pairs_by_margin([0.1] * 3, **same, margin_nats=1e-3, per_problem=3) == []


def test_a_sample_alone_in_its_group_needs_a_least_reward():
    alone = {"groups": [0, 1], "lengths": [5, 5], "gated": [False, False], "texts": ["a", "b"], "top": 1}
    assert best_of_n([0.9, 0.4], **alone).size == 0
    assert best_of_n([0.9, 0.4], **alone, min_reward_nats=0.5).tolist() == [0]
    assert best_of_n([0.9, 0.4], **alone | {"gated": [True, False]}, min_reward_nats=0.5).size == 0


def test_ties_go_to_the_shorter_then_to_the_earlier_sample():
    columns = {"groups": [0] * 5, "gated": [False] * 5, "texts": list("abcde")}
    rewards = [0.0, 2.0, 2.0, 2.0, -2.0]
    assert best_of_n(rewards, lengths=[1, 9, 4, 4, 1], **columns, top=1).tolist() == [2]
    assert best_of_n(rewards, lengths=[1, 9, 4, 4, 1], **columns, top=2).tolist() == [2, 3]


def test_gated_samples_count_in_the_mean_and_failed_ones_do_not():
    columns = {"groups": [0, 0, 0], "lengths": [1, 1, 1], "texts": list("abc")}
    assert best_of_n([0.4, 0.5, -1.0], gated=[False, False, True], **columns, top=2).tolist() == [0, 1]
    assert best_of_n([0.4, 0.5, math.nan], gated=[False, False, False], **columns, top=2).tolist() == [1]


def naive_pairs(s, margin, per_problem, all_pairs):
    found = []
    for group in dict.fromkeys(g for i, g in enumerate(s["groups"]) if not math.isnan(s["rewards"][i])):
        order = sorted(members(s, group), key=lambda i: (-s["rewards"][i], s["lengths"][i], i))
        if all_pairs:
            options = [(a, b) for a in order for b in order if order.index(a) < order.index(b)]
            options.sort(key=lambda p: s["rewards"][p[1]] - s["rewards"][p[0]])  # stable: better ranks stay first
        else:
            options = [(order[k], order[-1 - k]) for k in range(len(order) // 2)]
        kept = []
        for a, b in options:
            told = [(s["texts"][x], s["texts"][y]) for x, y in kept]
            if (
                s["rewards"][a] - s["rewards"][b] >= margin
                and not s["gated"][a]
                and s["texts"][a] != s["texts"][b]
                and (s["texts"][a], s["texts"][b]) not in told
                and len(kept) < per_problem
            ):
                kept.append((a, b))
        found += kept
    return found


@given(samples(), st.sampled_from([0.25, 0.5, 1.0]), st.integers(1, 5), st.booleans())
def test_pairs_are_those_of_a_plain_enumeration(s, margin, per_problem, all_pairs):
    got = pairs_by_margin(**s, margin_nats=margin, per_problem=per_problem, all_pairs=all_pairs)
    assert got == naive_pairs(s, margin, per_problem, all_pairs)


def test_a_gated_sample_may_lose_and_never_win():
    columns = {"groups": [0, 0], "lengths": [3, 0], "texts": ["a fact", ""]}
    assert pairs_by_margin([1.0, -1.0], gated=[False, True], **columns, margin_nats=0.5, per_problem=1) == [(0, 1)]
    assert pairs_by_margin([1.0, -1.0], gated=[True, False], **columns, margin_nats=0.5, per_problem=1) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "either top or quantile"),
        ({"top": 1, "quantile": 0.5}, "either top or quantile"),
        ({"top": 0}, "at least 1"),
        ({"quantile": 1.5}, "between 0 and 1"),
        ({"top": 1, "min_gain_nats": 0.0}, "above 0"),
        ({"top": 1, "groups": [0]}, "one value for each"),
    ],
)
def test_wrong_rules_are_refused(wrong, message):
    columns = {"rewards": [1.0, 0.0], "groups": [0, 0], "lengths": [1, 1], "gated": [False, False], "texts": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        best_of_n(**{**columns, **wrong})


@pytest.mark.parametrize("wrong", [{"margin_nats": 0.0, "per_problem": 1}, {"margin_nats": 1.0, "per_problem": 0}])
def test_wrong_margins_are_refused(wrong):
    with pytest.raises(ValueError, match=r"above 0|at least 1"):
        pairs_by_margin([1.0], [0], [1], [False], ["a"], **wrong)
