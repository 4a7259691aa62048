"""Edits of a record before it is written: a fact taken out, or stated a second time with another value.

What is absent or two-sided is made here, for training (`hard_records`) and for the hard inputs of a test (`hard_cases`) alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infoagent.data.sets.record_templates import Fact
from infoagent.data.sets.records import Record


@dataclass(frozen=True)
class Start:
    """What an edit begins with: a record, the fact that is asked for, its value, a question, other values, randomness."""

    record: Record
    fact: Fact
    value: str
    query: str
    others: list[str]
    rng: np.random.Generator


def place_of(record: Record, fact: Fact) -> int:
    """Where the record states the fact first, counted in facts."""
    return next(i for i, (f, _, _) in enumerate(record.facts) if f.key == fact.key)


def without_fact(record: Record, fact: Fact) -> Record:
    """The record without a fact; remarks that followed it follow the one before."""
    return without_place(record, place_of(record, fact))


def without_place(record: Record, place: int) -> Record:
    """The record without the fact at `place`, where another mention of the same fact may stay."""
    fillers = tuple((after if after < place else max(0, after - 1), text) for after, text in record.fillers)
    return replace(record, facts=record.facts[:place] + record.facts[place + 1 :], fillers=fillers)


def stated_twice(record: Record, fact: Fact, first: str, second: str, at: int) -> Record:
    """The record with `first` as the fact's value, and the fact once more at place `at` (behind the first mention) with the
    value `second`, in other words where there are any."""
    wording = (record.facts[place_of(record, fact)][2] + 1) % len(fact.sentences)
    facts = [(f, first if f.key == fact.key else v, w) for f, v, w in record.facts]
    facts.insert(at, (fact, second, wording))
    fillers = tuple((after if after < at else after + 1, text) for after, text in record.fillers)
    return replace(record, facts=tuple(facts), fillers=fillers)
