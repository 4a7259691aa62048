"""The warm start of any rate: the best text of each length, and each asked for by the tokens that it has."""

import math
from collections import defaultdict

import pytest

from infoagent.config import load_recipe
from infoagent.lm.models import load
from infoagent.lm.prompts import Prompt, compressor_messages
from infoagent.recipes import SFTRecipe
from infoagent.training.choice import keep_best
from infoagent.training.estimate import most_kept
from infoagent.training.fitting import imitation_rows
from infoagent.training.preparation import prepare
from infoagent.types import InputError
from tests.training.test_proposing import LONGEST, PROBLEMS, draw, recipe

BUDGETS = [12, 50]
"""Tokens of the tiny model: a letter or two each."""


@pytest.fixture(scope="module")
def made(tiny_dir):
    made = recipe(tiny_dir, sources=["sentences", "clauses", "windows"], keep=None, shorten_rounds=0)
    made.reward.price, made.reward.budget_range = None, BUDGETS
    made.selection.min_gain_nats, made.selection.min_reward_nats = 1e-6, -9.0
    return made


@pytest.fixture(scope="module")
def prepared(made):
    return prepare(made, LONGEST)


@pytest.fixture(scope="module")
def drawn(made, prepared, tiny_dir, tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn"), made, load(str(tiny_dir), dtype="float32", device="cpu"), prepared)


def test_the_best_of_each_length_is_kept_and_none_that_no_budget_asks_for(made, drawn):
    """Against the rule written out: of a problem's texts whose tokens lie in one half doubling the first of the best."""
    groups = defaultdict(list)
    for candidate in drawn:
        tokens = candidate.scored.compression.rate_tokens
        if BUDGETS[0] <= tokens <= BUDGETS[1]:
            half = next(h for h in range(20) if 2 ** ((h - 0.5) / 2) < tokens < 2 ** ((h + 0.5) / 2))
            groups[candidate.scored.problem.id, half].append(candidate)
    best = {name: max(group, key=lambda c: c.scored.reward) for name, group in groups.items()}
    assert len(best) >= 3 * PROBLEMS, "several lengths of each problem"
    kept = keep_best(drawn, made.selection, made.reward.budget_range)
    assert len(kept) == len(best)
    assert sorted(c.scored.reward for c in kept) == pytest.approx(sorted(c.scored.reward for c in best.values()))
    assert len(kept) <= PROBLEMS * most_kept(made)
    assert len(keep_best(drawn, made.selection)) == PROBLEMS, "without budgets one of each problem"


def test_each_is_asked_for_by_its_own_length(made, prepared, drawn):
    kept = keep_best(drawn, made.selection, made.reward.budget_range)
    for candidate, row in zip(kept, imitation_rows(prepared, made, kept), strict=True):
        z, problem = candidate.scored.compression, candidate.scored.problem
        [message] = compressor_messages(problem.document, problem.query, Prompt(budget_tokens=len(z.token_ids)))
        trained = [token for token in row["labels"] if token != -100]
        assert trained[:-1] == list(z.token_ids)
        assert message["content"] in prepared.tokenizer.decode(row["input_ids"])
        assert f"of at most {len(z.token_ids)} tokens" in message["content"]


def test_as_many_texts_are_announced_as_there_are_lengths(made):
    lengths = {round(2 * math.log2(tokens)) for tokens in range(BUDGETS[0], BUDGETS[1] + 1)}
    assert most_kept(made) == min(len(lengths), made.sampling.texts)


@pytest.mark.parametrize(
    "more", [["sampling.samples=4"], ["sampling.proposals=null", "sampling.samples=4"], ["sampling.proposals.greedy=true"]]
)
def test_texts_that_were_asked_for_without_a_budget_are_refused(more):
    with pytest.raises(InputError, match=r"reward\.budget_range: a text is imitated as the answer to a budget of its own length"):
        load_recipe(SFTRecipe, "configs/train/any_rate_warm.yaml", more)
