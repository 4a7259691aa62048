"""Kinds of negatives in one table: which other documents stand beside the source, and whether they are hard.

A new kind is a row, and a function in a file of its own where it makes documents: recipes then have a number for it
(`negatives.KIND`), it is drawn, scored, and counted among the easy or the hard ones in rewards, summaries and reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from infoagent.data.counterfactual.documents import Lexicon, counterfactuals
from infoagent.types import Negative, Problem

Makes = Callable[[Problem, Lexicon | None, np.random.Generator], Iterator[Negative]]
"""(problem, what documents of the set say, randomness) → its negatives, in an order of which a beginning is taken."""
Missing = Literal["leave_out", "fill", "fewer", "refuse"]
"""What happens to a problem with fewer negatives of a kind than asked for: it is left out and counted; it is padded with
other negatives, so that every problem has the same number; it keeps what it has; or the data is refused."""


@dataclass(frozen=True)
class NegativeKind:
    """Documents of the set that share something with the problem's own, or documents that are made from it."""

    kind: str
    """Its name in recipes and records."""
    hard: bool
    """It is the same document with what q asks about changed: only the facts tell them apart."""
    name: str
    """In plain words, in the plural."""
    source: str
    """What to bring more of where there are too few."""
    shares: Callable[[Problem], str | None] | None = None
    """What a document of this kind has in common with the problem's; None: it has none of them."""
    makes: Makes | None = None

    def __post_init__(self) -> None:
        assert (self.shares is None) != (self.makes is None), f"{self.kind}: either shares or makes"


NEGATIVES: dict[str, NegativeKind] = {
    n.kind: n
    for n in (
        NegativeKind("random", False, "other documents", "documents", shares=lambda problem: ""),
        NegativeKind(
            "topic", False, "documents of the same group", "documents of the same group", shares=lambda problem: problem.group
        ),
        NegativeKind(
            "sibling",
            False,
            "other parts of the same text",
            "parts of the same text (data with `part_of`, such as passages)",
            shares=lambda problem: problem.part_of,
        ),
        NegativeKind(
            "counterfactual",
            True,
            "counterfactual documents",
            "counterfactual documents (an answer that stands in the document, choices, more documents to take values from)",
            makes=counterfactuals,
        ),
    )
}
"""From the easiest to the hardest: negatives stand in this order, and a document of two kinds counts as the harder one."""


def easy_kinds() -> tuple[str, ...]:
    """Kinds that tell which document it is."""
    return tuple(kind for kind, row in NEGATIVES.items() if not row.hard)


def hard_kinds() -> tuple[str, ...]:
    """Kinds that tell whether the facts are kept."""
    return tuple(kind for kind, row in NEGATIVES.items() if row.hard)


def is_hard(negative: Negative) -> bool:
    """Whether only the facts tell it apart from the source."""
    return NEGATIVES[negative.kind].hard


@dataclass(frozen=True)
class Counts:
    """How many negatives of each kind, and what happens where the data have fewer."""

    random: int = 0
    topic: int = 0
    sibling: int = 0
    counterfactual: int = 0
    missing: Missing = "refuse"
    more: Mapping[str, int] = field(default_factory=dict)
    """Of further kinds, by name."""

    def of(self, kind: str) -> int:
        return int(self.more[kind] if kind in self.more else getattr(self, kind, 0))

    @property
    def total(self) -> int:
        return sum(self.of(kind) for kind in NEGATIVES)
