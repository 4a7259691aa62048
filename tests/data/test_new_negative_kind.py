"""A negative kind is a row: one that is added is a key of recipes, drawn, scored, rewarded and reported."""

import subprocess
import sys

import pytest
from drawn import draw_negatives

from infoagent.data.negative_kinds import NEGATIVES, NegativeKind, easy_kinds, hard_kinds
from infoagent.data.negatives import Counts
from infoagent.evaluation.summary import EASY, HARD
from infoagent.types import Negative, Problem

ADDED = """
import dataclasses, json, math, sys
import numpy as np
from infoagent.data import negative_kinds
from infoagent.data.negative_kinds import NEGATIVES, NegativeKind
from infoagent.types import Negative

def in_capitals(problem, lexicon, rng):
    for number in range(3):
        yield Negative("louder", problem.document.replace("4", str(5 + number)) + "!" * number)

easy = NegativeKind("length", False, "documents of a like length", "documents", shares=lambda p: str(len(p.document.split()) // 4))
hard = NegativeKind("louder", True, "louder documents", "louder documents", makes=in_capitals)
counterfactual = NEGATIVES.pop("counterfactual")
NEGATIVES.update({"length": easy, "counterfactual": counterfactual, "louder": hard})  # as rows of the file would

from infoagent.config import load_recipe
from infoagent.data.negatives import Counts, take_negatives
from infoagent.evaluation.summary import EASY, HARD, summarise
from infoagent.recipes import EvaluationRecipe
from infoagent.reporting.audit import hard_ceiling_nats
from infoagent.reporting.viewer import _mi
from infoagent.types import Problem

assert EASY == ("random", "topic", "sibling", "length") and HARD == ("counterfactual", "louder")
given = ["output_dir=x", "compressors=[{label: a}]", "negatives.counterfactual=0", "negatives.random=1", "negatives.length=2",
         "negatives.louder=2"]
recipe = load_recipe(EvaluationRecipe, None, given)
assert recipe.negatives.total == 5 and recipe.negatives.hard == 2
assert load_recipe(EvaluationRecipe, None, ["output_dir=x", "compressors=[{label: a}]"]).negatives.length == 0
saved = recipe.model_dump(mode="json")
assert saved["negatives"]["louder"] == 2 and hard_ceiling_nats({"recipe": saved}) == math.log(3)
assert EvaluationRecipe.model_validate(saved) == recipe

words = "the room has 4 degrees and a door that is shut by day as is its gate".split()
problems = [Problem(f"p{i}", " ".join(words[: 8 + i % 8]) + f" {i}", "How warm?", f"d{i}", answer="4") for i in range(24)]
drawn = take_negatives(problems, recipe.negatives.counts, 0)
assert len(drawn.problems) == 24
for problem, negatives in zip(drawn.problems, drawn.negatives, strict=True):
    assert [n.kind for n in negatives] == ["random", "length", "length", "louder", "louder"]
    assert all(len(n.document.split()) // 4 == len(problem.document.split()) // 4 for n in negatives[1:3])
    assert all("5 degrees" in n.document or "6 degrees" in n.document for n in negatives[3:])

from infoagent.records.grid import CompressionRecord, CompressorIdentity, DataIdentity

row = CompressionRecord(
    key="k", compressor=CompressorIdentity(label="a"), data=DataIdentity(name="d"), problem_id="p0", document_id="d0",
    candidates=["source", *(n.kind for n in drawn.negatives[0])], log_probs=[-1.0, -9.0, -8.0, -7.0, -2.0, -3.0],
)
def infonce(places):
    chosen = np.array([row.log_probs[i] for i in (0, *places)])
    return math.log(len(chosen)) + chosen[0] - np.logaddexp.reduce(chosen)
assert math.isclose(_mi(row, EASY), infonce((1, 2, 3))) and math.isclose(_mi(row, HARD), infonce((4, 5)))

from infoagent.reward.scoring import is_hard
assert [is_hard(n) for n in drawn.negatives[0]] == [False, False, False, True, True]
print("known everywhere")
"""


def test_two_kinds_that_are_added_are_known_everywhere():
    done = subprocess.run([sys.executable, "-c", ADDED], capture_output=True, text=True)
    assert done.stdout.strip().endswith("known everywhere"), done.stderr


def test_the_kinds_of_today_are_easy_or_hard_as_they_were():
    assert easy_kinds() == EASY == ("random", "topic", "sibling")
    assert hard_kinds() == HARD == ("counterfactual",)
    with pytest.raises(AssertionError, match="either shares or makes"):
        NegativeKind("neither", hard=True, name="n", source="s")


def test_a_kind_that_makes_documents_is_asked_in_its_order(monkeypatch):
    row = NegativeKind(
        "shouted",
        True,
        "shouted documents",
        "shouts",
        makes=lambda p, _, rng: (Negative("shouted", f"{p.document} {i}") for i in range(9)),
    )
    monkeypatch.setitem(NEGATIVES, "shouted", row)
    problem = Problem("a", "It is cold.", "How cold?", "a")
    few, many = (draw_negatives([problem], Counts(more={"shouted": n}), 0)[0] for n in (2, 5))
    assert [n.document for n in many] == [f"It is cold. {i}" for i in range(5)]
    assert few == many[:2]
