"""Unanswerable, contradictory and two-part questions on `records`, with the counterfactual documents that reward a right text.

Against the usual counterfactuals "not stated" tells nothing, for none of the documents states it, and one of two contradicting
values tells as much as both. So each kind has its own:

    records-unanswerable     the asked fact is taken out; the counterfactuals state it, each with another value
    records-contradictory    the asked fact is stated twice, with two values; the counterfactuals hold one of them only
    records-two-facts        two facts are asked for in one question; each counterfactual changes one of both

The records are drawn like those of `records`, from numbers of their own: no record of the one set is one of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.record_edits import Start, place_of, stated_twice, without_fact, without_place
from infoagent.data.sets.record_templates import Fact
from infoagent.data.sets.records import ATTEMPTS, COUNTERFACTUALS, SPLITS, make_known_problem, numbers_of, other_values, word_limits
from infoagent.data.sets.records import revision as records_revision
from infoagent.types import NOT_STATED, Change, InputError, Negative, Problem, ProblemSet

APART = 10_000_000
"""Each kind draws its records from so many numbers of its own; `records` has the first ones."""
VARIANT_STREAM = 1


@dataclass(frozen=True)
class HardRecords:
    """A kind of question. `make` writes the problem under an id; None where this record does not serve."""

    first: int
    description: str
    make: Callable[[str, Start], Problem | None]


def _unanswerable(identity: str, start: Start) -> Problem | None:
    def stated(value: str) -> Negative:
        text = start.record.text({start.fact.key: value})
        return Negative("counterfactual", text, (Change("fact", NOT_STATED, value, mentions=1),))

    return Problem(
        identity,
        without_fact(start.record, start.fact).text(),
        start.query,
        identity,
        group=_group(start),
        negatives=tuple(stated(value) for value in [start.value, *start.others][:COUNTERFACTUALS]),
        unanswerable=True,
    )


def _contradictory(identity: str, start: Start) -> Problem | None:
    """First the versions that lack one of the two mentions, then those that say one value twice, then those in which another
    value stands in the place of one."""
    record, fact, one = start.record, start.fact, start.value
    two, *further = start.others
    place = place_of(record, fact)
    at = int(start.rng.integers(place + 1, len(record.facts) + 1))
    both = stated_twice(record, fact, one, two, at)
    document = both.text()
    if document.count(one) != 1 or document.count(two) != 1:
        return None

    def without(mention: int, value: str) -> Negative:
        return Negative("counterfactual", without_place(both, mention).text(), (Change("fact", value, NOT_STATED, mentions=1),))

    def saying(first: str, second: str) -> Negative:
        old, new = (two, second) if first == one else (one, first)
        return Negative("counterfactual", stated_twice(record, fact, first, second, at).text(), (Change("fact", old, new, 1),))

    changed = [saying(*pair) for other in further for pair in ((one, other), (other, two))]
    found = [without(at, two), without(place, one), saying(one, one), saying(two, two), *changed]
    return Problem(
        identity,
        document,
        start.query,
        identity,
        group=_group(start),
        negatives=tuple(found[:COUNTERFACTUALS]),
        needs=(one, two),
        sides=tuple(both.line(f, value, wording) for f, value, wording in both.facts if f.key == fact.key),
    )


def _two_facts(identity: str, start: Start) -> Problem | None:
    """The counterfactuals change the first fact and the second in turn."""
    document = start.record.text()
    asked = [entry for entry in start.record.facts if entry[0].key != start.fact.key and document.count(entry[1]) == 1]
    if not asked:
        return None
    second, value, _ = asked[int(start.rng.integers(len(asked)))]
    others = other_values(second, value, COUNTERFACTUALS // 2, start.rng)
    pairs = list(zip(start.others, others, strict=False))

    def changed(fact: Fact, old: str, new: str) -> Negative:
        return Negative("counterfactual", start.record.text({fact.key: new}), (Change("fact", old, new, mentions=1),))

    negatives = [n for a, b in pairs for n in (changed(start.fact, start.value, a), changed(second, value, b))]
    other, another = pairs[0]
    choices = [f"{a} and {b}" for a in (start.value, other) for b in (value, another)]
    return Problem(
        identity,
        document,
        f"{start.query} {second.questions[int(start.rng.integers(len(second.questions)))]}",
        identity,
        answer=choices[0],
        choices=tuple(choices[int(i)] for i in start.rng.permutation(len(choices))),
        group=_group(start),
        negatives=tuple(negatives),
        needs=(start.value, value),
    )


def _group(start: Start) -> str:
    return f"{start.record.kind.name}: {start.record.group}"


HARD_RECORDS = {
    "records-unanswerable": HardRecords(1, "the asked fact is not stated; counterfactuals state it", _unanswerable),
    "records-contradictory": HardRecords(2, "it is stated twice, otherwise; counterfactuals hold one side", _contradictory),
    "records-two-facts": HardRecords(3, "two facts asked for at once; counterfactuals change one of both", _two_facts),
}


def make_problem(name: str, seed: int, split: str, index: int, min_words: int, max_words: int) -> Problem:
    """The problem number `index` of a split. Raises InputError for word limits that no record meets."""
    kind = HARD_RECORDS[name]
    for attempt in range(ATTEMPTS):
        number = kind.first * APART + index * ATTEMPTS + attempt
        problem, record, fact = make_known_problem(seed, split, number, min_words, max_words)
        assert problem.answer is not None
        rng = np.random.default_rng([seed, SPLITS[split], number, VARIANT_STREAM])
        others = other_values(fact, problem.answer, COUNTERFACTUALS, rng)
        start = Start(record, fact, problem.answer, problem.query, others, rng)
        made = kind.make(f"{name}-{split}-{seed}-{index:05d}", start)
        if made is not None and min_words <= len(made.document.split()) <= max_words:
            return made
    raise InputError(
        f"data.min_words = {min_words}, data.max_words = {max_words}: no problem of {name} came out so long in {ATTEMPTS} tries; "
        "it is a record with a sentence more or less, which needs some room between the two"
    )


@cache
def revision(name: str) -> str:
    """Hash of a fixed sample of problems, and of the records that they are made from."""
    sample = [make_problem(name, 0, split, index, 80, 400) for split in SPLITS for index in range(IDENTITY_SAMPLE)]
    return digest([records_revision(), *sample])


def load(name: str, split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """`limit` problems of a kind (default 2,000 to train, 200 to validate and to test)."""
    low, high = word_limits(min_words, max_words)
    make = partial(make_problem, name, seed)
    problems = tuple(make(part, index, low, high) for part, index in numbers_of(split, limit))
    return ProblemSet(name, revision(name), split, problems)
