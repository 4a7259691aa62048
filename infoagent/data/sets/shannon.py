"""`shannon`: documents that state four independent facts of known distribution, so that limits can be computed.

A document is `№ 17 red small intact home`: a number and one word for each fact. Two facts are uniform, two are skewed,
with a default that is best left unsaid when tokens cost enough. The tokenizer of the tiny model that reads these
documents (infoagent.applications.shannon.tiny_lm) drops the number. So two documents may state the same facts and read alike to
the model, and are two documents all the same.

Every problem brings its own negatives: documents drawn independently from the source. The own facts may come up among
them, under another number, as often as the source says. That is what InfoNCE assumes of its candidates, so the mean of
log K + log r is a lower bound of I(X;Z) where X are the facts, and never exceeds their entropy:

    naming everything earns log K − log(1 + n), n the negatives with the same facts, n ~ Binomial(K − 1, P(x)),

whose mean lies between −log(P(x) + (1 − P(x)) / K) and −log P(x). Were the own facts left out of the negatives, naming
everything would always earn log K, which can be more than there is to know.

A problem is a function of (seed, split, index).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.records import SPLITS
from infoagent.types import InputError, Negative, Problem, ProblemSet

DEFAULT_SIZE = {"train": 2000, "validation": 200, "test": 400}
NEGATIVES = 63
"""Negatives that a problem brings; a recipe takes the first `negatives.counterfactual` of them."""
QUERY = "describe"
MARK = "№"


@dataclass(frozen=True)
class SourceFact:
    """A fact: its values, one word each and no word twice, and how probable each is."""

    name: str
    values: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def default(self) -> str | None:
        """The value that goes without saying, if one is more probable than all others together."""
        best = max(range(len(self.values)), key=lambda v: self.probabilities[v])
        return self.values[best] if self.probabilities[best] > 0.5 else None


FACTS = (
    SourceFact("colour", ("red", "green", "blue", "black"), (0.25, 0.25, 0.25, 0.25)),
    SourceFact("size", ("small", "large"), (0.5, 0.5)),
    SourceFact("state", ("intact", "worn", "broken"), (0.85, 0.10, 0.05)),
    SourceFact("place", ("home", "abroad", "lost"), (0.80, 0.15, 0.05)),
)

State = tuple[str, ...]
"""One value for each fact, in the order of the facts."""


def all_states(facts: Sequence[SourceFact] = FACTS) -> list[State]:
    """Every combination of values, the last fact running fastest."""
    return list(itertools.product(*(fact.values for fact in facts)))


def state_probabilities(facts: Sequence[SourceFact] = FACTS) -> np.ndarray:
    """(D,) probability of each state, in the order of `all_states`."""
    return np.array([np.prod(p) for p in itertools.product(*(fact.probabilities for fact in facts))])


def state_of(document: str) -> State:
    """The facts that a document states."""
    return tuple(document.split()[2:])


def text_of(state: State, number: int) -> str:
    return f"{MARK} {number} {' '.join(state)}"


def draw_states(rng: np.random.Generator, number: int) -> list[State]:
    """`number` independent draws from the source."""
    columns = [rng.choice(len(fact.values), size=number, p=fact.probabilities) for fact in FACTS]
    return [tuple(fact.values[int(v)] for fact, v in zip(FACTS, row, strict=True)) for row in zip(*columns, strict=True)]


def make_problem(seed: int, split: str, index: int) -> Problem:
    """The problem number `index` of a split, with NEGATIVES negatives of its own."""
    rng = np.random.default_rng([seed, SPLITS[split], index])
    own, *others = draw_states(rng, NEGATIVES + 1)
    # numbers without repetition: equal facts under another number are another document
    numbers = rng.permutation(9999)[: NEGATIVES + 1] + 1
    identity = f"shannon-{split}-{seed}-{index:05d}"
    return Problem(
        id=identity,
        document=text_of(own, int(numbers[0])),
        query=QUERY,
        document_id=identity,
        negatives=tuple(
            Negative("counterfactual", text_of(state, int(number))) for state, number in zip(others, numbers[1:], strict=True)
        ),
    )


TURNS = 2
"""Of a history."""


def make_course(seed: int, split: str, index: int) -> list[Problem]:
    """The history number `index`, a problem for each compaction: the first turn tells two facts, the second the other two."""
    whole = make_problem(seed, split, index)

    def turns(document: str) -> list[str]:
        mark, number, *words = document.split()
        return [f"{mark} {number} {' '.join(words[:2])}", f"{mark} {number} {' '.join(words[2:])}"]

    return [
        replace(
            whole,
            id=f"{whole.id}/{told}",
            document="\n\n".join(turns(whole.document)[:told]),
            news=turns(whole.document)[told - 1],
            part_of=whole.id,
            negatives=tuple(replace(n, document="\n\n".join(turns(n.document)[:told])) for n in whole.negatives),
        )
        for told in range(1, TURNS + 1)
    ]


@cache
def revision() -> str:
    """Hash of a fixed sample of problems."""
    return digest(make_problem(0, split, index) for split in SPLITS for index in range(IDENTITY_SAMPLE))


@cache
def turns_revision() -> str:
    """The same of the histories of two turns."""
    return digest(problem for split in SPLITS for index in range(IDENTITY_SAMPLE) for problem in make_course(0, split, index))


def load(split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """`limit` problems of `split` (default 2,000 to train, 200 to validate, 400 to test).

    Raises InputError for word limits: every document has the same length.
    """
    if min_words is not None or max_words is not None:
        raise InputError("data.min_words, data.max_words: every document of shannon has 6 words; leave both out")
    splits = list(SPLITS) if split == "all" else [split]
    problems = [
        make_problem(seed, name, index) for name in splits for index in range(limit if limit is not None else DEFAULT_SIZE[name])
    ]
    if split == "all" and limit is not None:
        problems = problems[:limit]
    return ProblemSet("shannon", revision(), split, tuple(problems))


def load_turns(split: str, limit: int | None, seed: int) -> ProblemSet:
    """Histories of two turns, so many that they are at most `limit` problems, one at least."""
    splits = list(SPLITS) if split == "all" else [split]
    histories = [
        make_course(seed, name, index)
        for name in splits
        for index in range(DEFAULT_SIZE[name] if limit is None else max(1, limit // TURNS))
    ]
    problems = [problem for history in histories for problem in history]
    if split == "all" and limit is not None:
        problems = problems[: max(TURNS, limit // TURNS * TURNS)]
    return ProblemSet("shannon-turns", turns_revision(), split, tuple(problems))
