"""`word-problems`: arithmetic over statements of a seeded document.

A document states two numbers of each of several things (crates and their price, trips and seats, chairs and hours),
between remarks. A question asks for a product of the two, a sum or a difference: its answer stands nowhere in the
document and follows from two numbers of it, which a compression has to keep. All numbers of a document differ.
Counterfactuals are exact: the same document with one of the two numbers changed, and so with another answer; the wrong
choices are their answers.

A problem is a function of (seed, split, index).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.records import SPLITS
from infoagent.data.sets.statements import draw_layout, draw_problem, problem_set
from infoagent.types import Change, Negative, Problem, ProblemSet

SIZES = {"train": 2000, "validation": 200, "test": 200}
WORDS = (60, 110)
THINGS = 5
FEWEST = 3
"""Things that every document states; the question asks about the first of them."""
COUNTERFACTUALS = 8
CHOICES = 4
COUNTS, RATES = (13, 61), (2, 13)


@dataclass(frozen=True)
class Kind:
    """One kind of document. A statement holds {thing}, {count} and {rate}; questions hold {a} and {b}."""

    name: str
    opening: str
    places: tuple[str, ...]
    things: tuple[str, ...]
    statements: tuple[str, ...]
    total: str
    both: str
    more: str
    remarks: tuple[str, ...]


KINDS = (
    Kind(
        "market", "Delivery note of {place}.",
        ("Castle Market", "Harbour Market", "Station Market", "Bridge Market"),
        ("apples", "pears", "plums", "carrots", "onions", "leeks", "cherries", "beans"),
        ("Of {thing} {count} crates came in, at {rate} euros a crate.",
         "{count} crates of {thing} were unloaded; one crate costs {rate} euros."),
        "How many euros do all crates of {a} cost together?",
        "How many crates of {a} and of {b} came in together?",
        "How many more crates of {a} than of {b} came in?",
        ("The driver was late because of fog.", "Empty boxes go back with the next lorry.", "The scales were checked in spring.",
         "Nobody complained about the quality.", "The note was signed at the gate.", "Bruised fruit was sorted out first.",
         "The cold room is being repaired at the moment.", "A copy of this note hangs in the office."),
    ),
    Kind(
        "tours", "Weekly plan of {place}.",
        ("Lake Tours", "Northern Coaches", "Valley Lines", "Blue Ferry"),
        ("the mill route", "the forest route", "the castle route", "the island route", "the museum route",
         "the vineyard route", "the lighthouse route"),
        ("On {thing} there are {count} trips a week with {rate} seats each.",
         "{count} trips a week go along {thing}, and every one has {rate} seats."),
        "How many seats are there in a week on {a}?",
        "How many trips a week are there on {a} and on {b} together?",
        "How many more trips a week are there on {a} than on {b}?",
        ("Dogs travel free of charge.", "The plan changes when the schools close.", "Tickets are sold at the pier as well.",
         "Drivers take turns on Sundays.", "The loudspeakers were replaced last month.", "Guests like the stop at the bakery.",
         "A guide comes along if enough people ask.", "Rain is no reason to cancel."),
    ),
    Kind(
        "workshop", "Orders of {place}.",
        ("Keller Joinery", "Old Town Workshop", "Hansen and Daughter", "the Riverside Carpenters"),
        ("chairs", "stools", "benches", "shelves", "tables", "doors", "ladders"),
        ("{count} {thing} are on order, and each takes {rate} hours.",
         "A customer wants {count} {thing}; {rate} hours are planned for each."),
        "How many hours do all {a} on order take?",
        "How many {a} and {b} are on order together?",
        "How many more {a} than {b} are on order?",
        ("The wood comes from a forest nearby.", "The large saw was sharpened on Monday.", "Two apprentices help in the afternoon.",
         "Paint is chosen by the customer.", "The stove in the corner is out of use.", "Screws are ordered by the bookkeeper.",
         "The yard must be kept free for lorries.", "Offcuts are given to the school."),
    ),
)  # fmt: skip


def make_problem(seed: int, split: str, index: int, low: int, high: int) -> Problem:
    """The problem number `index` of a split."""
    identity = f"word-problems-{split}-{seed}-{index:05d}"
    rng = np.random.default_rng([seed, SPLITS[split], index])
    return draw_problem(rng, lambda rng: _attempt(rng, identity, low, high), "word-problems", low, high)


def _attempt(rng: np.random.Generator, identity: str, low: int, high: int) -> Problem | None:
    kind = KINDS[int(rng.integers(len(KINDS)))]
    place = kind.places[int(rng.integers(len(kind.places)))]
    things = [kind.things[int(i)] for i in rng.permutation(len(kind.things))[:THINGS]]
    counts, rates = (rng.permutation(np.arange(*bounds)).tolist() for bounds in (COUNTS, RATES))
    numbers = [*counts[:THINGS], *rates[:THINGS]]
    spare = [counts[THINGS:], rates[THINGS:]]
    wording = [kind.statements[int(rng.integers(len(kind.statements)))] for _ in things]
    operation = ("total", "both", "more")[int(rng.integers(3))]
    if operation == "more":
        numbers[:2] = sorted(numbers[:2], reverse=True)
    asked = (0, THINGS) if operation == "total" else (0, 1)
    """Places in `numbers` of the two that the answer needs."""

    def statements(numbers: list[int]) -> list[str]:
        rows = zip(wording, things, numbers[:THINGS], numbers[THINGS:], strict=True)
        told = [text.format(thing=thing, count=count, rate=rate) for text, thing, count, rate in rows]
        return [*told, *kind.remarks]

    def answer(numbers: list[int]) -> int:
        one, other = (numbers[i] for i in asked)
        return one * other if operation == "total" else one + other if operation == "both" else one - other

    layout = draw_layout(rng, kind.opening.format(place=place), statements(numbers), FEWEST, low, high)
    if layout is None or str(answer(numbers)) in re.findall(r"\d+", layout.text(statements(numbers))):
        return None  # an answer that stands there could be copied
    negatives: dict[int, Negative] = {}  # by answer, since each has another one
    for turn in range(2 * len(spare[0])):  # the two numbers by turns
        at = asked[turn % 2]
        others = spare[at // THINGS]
        new = others[turn // 2 % len(others)]
        changed = [new if i == at else number for i, number in enumerate(numbers)]
        if answer(changed) > 0 and answer(changed) != answer(numbers) and len(negatives) < COUNTERFACTUALS:
            change = Change("number", str(numbers[at]), str(new), mentions=1)
            negatives.setdefault(answer(changed), Negative("counterfactual", layout.text(statements(changed)), (change,)))
    if len(negatives) < COUNTERFACTUALS:
        return None
    choices = [str(n) for n in (answer(numbers), *list(negatives)[: CHOICES - 1])]
    return Problem(
        identity,
        layout.text(statements(numbers)),
        getattr(kind, operation).format(a=things[0], b=things[1]),
        identity,
        answer=str(answer(numbers)),
        choices=tuple(choices[int(i)] for i in rng.permutation(len(choices))),
        group=f"{kind.name}: {place}",
        negatives=tuple(negatives.values()),
        needs=tuple(str(numbers[i]) for i in asked),
        evidence=tuple(statements(numbers)[: 1 if operation == "total" else 2]),
    )


@cache
def revision() -> str:
    """Hash of a fixed sample of problems."""
    return digest(make_problem(0, split, index, *WORDS) for split in SPLITS for index in range(IDENTITY_SAMPLE))


def load(split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """`limit` problems of `split` (default 2,000 to train, 200 to validate and to test)."""
    low = min_words if min_words is not None else min(WORDS[0], max_words or WORDS[0])
    high = max_words if max_words is not None else max(WORDS[1], low)
    return problem_set(
        "word-problems", revision(), split, limit, SIZES, lambda part, index: make_problem(seed, part, index, low, high)
    )
