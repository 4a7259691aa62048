"""Negatives: the documents that stand beside the source in the estimate, drawn once and by seed.

Which negatives are taken decides what the number measures: among random documents a name is enough, among
counterfactual ones only the fact itself. They are drawn before training, a fixed number for each problem, so that
the reward does not depend on the batch or on the number of processes.

Not every problem has as many as are asked for: a question about everything has no counterfactual document, a topic may
have one document only. `Counts.missing` says what happens then, in training, validation and evaluation alike.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from infoagent.data.counterfactual.documents import Lexicon
from infoagent.data.identity import identities, text_identity
from infoagent.data.negative_kinds import NEGATIVES, Counts
from infoagent.progress import Progress
from infoagent.types import InputError, Negative, Problem, ProblemSet

LARGE = 10_000
"""From so many texts on a draw no longer shuffles all of them, which would take as long as there are texts."""
PADDING_STREAM = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NegativeDraw:
    """Problems with their negatives, and what became of those that have too few."""

    places: tuple[int, ...]
    """Where the problems stood among those that were given."""
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]
    causes: Mapping[int, str] = field(default_factory=dict)
    """Why the problem at a place was left out."""
    short: Mapping[str, int] = field(default_factory=dict)
    """How many problems were kept though they have too few of a kind, by what was done."""

    @property
    def left_out(self) -> dict[str, int]:
        """How many problems were left out, by cause."""
        return dict(Counter(self.causes.values()))

    @property
    def lines(self) -> list[str]:
        """What was left out or is short, a line for each cause; none where all is as asked for."""
        total = len(self.problems) + len(self.causes)
        told = [f"left out, {cause}: {number} of {total} problems" for cause, number in self.left_out.items()]
        return told + [f"{what}: {number} of {total} problems" for what, number in self.short.items()]

    def of(self, data: ProblemSet) -> ProblemSet:
        """`data` with these problems; its `left_out` counts the others."""
        return replace(data, problems=tuple(self.problems), left_out={**data.left_out, **self.left_out})

    def about(self, data: ProblemSet) -> dict[str, Any]:
        """What a run file says about it."""
        left_out = {**data.left_out, **self.left_out}
        return {
            "data": data.name,
            "split": data.split,
            "problems": len(self.problems),
            "left_out": left_out,
            "short": dict(self.short),
        }


def take_negatives(
    problems: Sequence[Problem], counts: Counts, seed: int, quiet: bool = False, setting: str = "negatives.{kind}"
) -> NegativeDraw:
    """As `find_negatives`, with a warning for what was left out or is short. Raises InputError where nothing is left."""
    found = find_negatives(problems, counts, seed, quiet, setting)
    if problems and not found.problems:
        kinds = [kind for kind in NEGATIVES if counts.of(kind)]
        asked = ", ".join(f"{setting.format(kind=kind)} = {counts.of(kind)}" for kind in kinds)
        raise InputError(
            [
                f"{asked}: no problem has so many ({cause}: {number} of {len(problems)}); lower it, or bring other data"
                for cause, number in found.left_out.items()
            ]
        )
    for line in found.lines:
        logger.warning(line)
    return found


def find_negatives(
    problems: Sequence[Problem], counts: Counts, seed: int, quiet: bool = False, setting: str = "negatives.{kind}"
) -> NegativeDraw:
    """The problems that have their negatives, by the rule of `counts.missing`. A problem that is left out stays in the pool,
    so that its absence moves no other draw. `setting` is how the user names a number.

    Takes time linear in the problems and in the length of their documents. Raises InputError, one line for each kind with
    the number of problems that have too few, where `counts.missing` is "refuse".
    """
    found = _find(problems, counts, seed, quiet)
    if counts.missing == "refuse" and any(f.short for f in found):
        raise InputError(_refusals(problems, found, counts, setting))
    places: list[int] = []
    causes: dict[int, str] = {}
    short: Counter[str] = Counter()
    for place, one in enumerate(found):
        if not one.short:
            places.append(place)
            continue
        cause = " and ".join(f"fewer than {counts.of(kind)} {NEGATIVES[kind].name}" for kind in one.short)
        if counts.missing == "leave_out":
            causes[place] = cause
        elif counts.missing == "fewer":
            places.append(place)
            short[cause] += 1
        elif len(one.negatives) < counts.total:
            causes[place] = f"fewer than {counts.total} negatives of any kind"
        else:
            places.append(place)
            short[f"{cause}, padded with {', '.join(one.padded)}"] += 1
    return NegativeDraw(tuple(places), [problems[i] for i in places], [tuple(found[i].negatives) for i in places], causes, short)


@dataclass(frozen=True)
class _Found:
    """The negatives of one problem, how many it has of the kinds that it has too few of, and what stands in their place."""

    negatives: list[Negative]
    short: dict[str, int]
    padded: list[str]


class _Shelf:
    """Documents with their places, so that a draw costs the same however many stand there."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.names: list[str] = []
        self.place: dict[str, int] = {}

    def add(self, name: str, text: str) -> None:
        """`name` is the document's identity: of texts that are one document the first stands here."""
        if name not in self.place:
            self.place[name] = len(self.texts)
            self.texts.append(text)
            self.names.append(name)

    def draw(self, used: set[str], wanted: int, rng: np.random.Generator) -> list[int]:
        """Places of `wanted` documents in a drawn order, none of the used ones; all others where there are not so many."""
        taken = sorted(self.place[name] for name in used if name in self.place)
        free = len(self.texts) - len(taken)
        if free < wanted:
            return [place for place, name in enumerate(self.names) if name not in used]
        numbers = rng.permutation(free)[:wanted] if free < LARGE else rng.choice(free, wanted, replace=False)
        drawn = []
        for number in numbers:
            place = int(number)
            for gap in taken:  # the number counts free places only
                place += gap <= place
            drawn.append(place)
        return drawn


class _Pool:
    """All documents, and by kind those that share what the kind asks for: a topic, a whole."""

    def __init__(self, problems: Sequence[Problem], names: Sequence[str]) -> None:
        self.everything = _Shelf()
        self.by_kind: dict[str, dict[str, _Shelf]] = {kind: defaultdict(_Shelf) for kind in NEGATIVES}
        for name, problem in zip(names, problems, strict=True):
            self.everything.add(name, problem.document)
            for kind, shared in _shared(problem):
                self.by_kind[kind][shared].add(name, problem.document)

    def shelf(self, kind: str, problem: Problem) -> _Shelf:
        shared = dict(_shared(problem)).get(kind)
        return _Shelf() if shared is None else self.by_kind[kind][shared]

    def draw(self, kind: str, problem: Problem, used: set[str], wanted: int, rng: np.random.Generator) -> list[Negative]:
        """Negatives of a kind; they count as used from then on."""
        shelf = self.shelf(kind, problem)
        places = shelf.draw(used, wanted, rng)[:wanted]
        used.update(shelf.names[place] for place in places)
        return [Negative(kind, shelf.texts[place]) for place in places]


def _shared(problem: Problem) -> Iterator[tuple[str, str]]:
    """(kind, what a document of that kind has in common with this one)."""
    for kind, row in NEGATIVES.items():
        if row.shares is not None and (shared := row.shares(problem)) is not None:
            yield kind, shared


def _find(problems: Sequence[Problem], counts: Counts, seed: int, quiet: bool) -> list[_Found]:
    names = identities(p.document for p in problems)
    pool = _Pool(problems, names)
    made = any(counts.of(kind) for kind, row in NEGATIVES.items() if row.makes is not None)
    lexicon = Lexicon.from_problems(problems) if made else None
    found: dict[int, _Found] = {}
    # problems on one document follow each other: its facts are looked for once
    order = sorted(range(len(problems)), key=lambda i: pool.everything.place[names[i]])
    with Progress(len(problems), "draw negatives", "problem", quiet, leave=False) as bar:
        for place in order:
            found[place] = _of_one(problems[place], names[place], counts, seed, pool, lexicon)
            bar.update()
    return [found[place] for place in range(len(problems))]


def _of_one(problem: Problem, name: str, counts: Counts, seed: int, pool: _Pool, lexicon: Lexicon | None) -> _Found:
    identity = int.from_bytes(hashlib.sha256(problem.id.encode()).digest()[:8], "little")
    rng = np.random.default_rng([seed, identity])
    # its own stream: how many values an edit draws must not move the draw of the other kinds
    edits = {
        kind: row.makes(problem, lexicon, np.random.default_rng([seed, identity, 1]))
        for kind, row in NEGATIVES.items()
        if row.makes is not None
    }
    used = {name}
    drawn: dict[str, list[Negative]] = {}
    short: dict[str, int] = {}
    # hard kinds first: a document that is both of the topic and of the set counts as the harder one
    for kind in reversed(NEGATIVES):
        wanted = counts.of(kind)
        if not wanted:
            continue
        if kind in edits:  # in their order, so that fewer of them are a prefix of more of them
            drawn[kind] = list(islice(_different(edits[kind], used), wanted))
        else:
            drawn[kind] = pool.draw(kind, problem, used, wanted, rng)
        if len(drawn[kind]) < wanted:
            short[kind] = len(drawn[kind])
    padded: list[str] = []
    if short and counts.missing == "fill":
        rng = np.random.default_rng([seed, identity, PADDING_STREAM])
        for kind in reversed(NEGATIVES):  # the hardest that there are
            lacking = counts.total - sum(map(len, drawn.values()))
            more = (
                list(islice(_different(edits[kind], used), lacking))
                if kind in edits
                else pool.draw(kind, problem, used, lacking, rng)
            )
            if more:
                drawn[kind] = drawn.get(kind, []) + more
                padded.append(kind)
    return _Found([n for kind in NEGATIVES for n in drawn.get(kind, ())], short, padded)


def _different(edits: Iterator[Negative], used: set[str]) -> Iterator[Negative]:
    """Edits that are other documents than all before them; they count as used."""
    for negative in edits:
        name = text_identity(negative.document)
        if name not in used:
            used.add(name)
            yield negative


def _refusals(problems: Sequence[Problem], found: Sequence[_Found], counts: Counts, setting: str) -> list[str]:
    """A line for each kind that some problems have too few of."""
    lines = []
    for kind in NEGATIVES:
        held = [(p.id, f.short[kind]) for p, f in zip(problems, found, strict=True) if kind in f.short]
        if not held:
            continue
        numbers = Counter(number for _, number in held)
        least, named = min(numbers), setting.format(kind=kind)
        how_many = ", ".join(f"{times} with {number}" for number, times in sorted(numbers.items()))
        first = ", ".join(repr(identity) for identity, _ in held[:3]) + (", …" if len(held) > 3 else "")
        policy = {"-": "--missing", "n": "negatives.missing"}.get(setting[0], "missing")
        whose = f"{len(held)} of {len(problems)} problems have fewer ({how_many}: {first})"
        if len(held) == 1:
            whose = f"problem {first} has only {least}"
        lines.append(
            f"{named} = {counts.of(kind)}: {whose}; "
            f"lower {named} to {least}, bring more {NEGATIVES[kind].source}, or set {policy} to another value than refuse"
        )
    return lines
