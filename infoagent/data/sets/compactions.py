"""Growing conversations as problems: what each of several compactions must keep of all that was said so far.

Compaction r of a history reads [memory of r − 1, turns since] and its memory m_r is judged against the whole history up to there:

    document  x_r   the turns 1 … r · every
    news            the last `every` of them, which the compactor reads behind its own memory of the rest
    negatives       x_r with one fact changed, everywhere it returns; a different fact in each, drawn over all turns so far

so that a fact of the first turn that is forgotten in the third compaction costs in the third and in every later one. Nobody is asked
anything: facts are found by type, and weights say which types count. To leave one document out of several apart, a memory must hold
every fact in which they differ.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np

from infoagent.data.counterfactual.documents import Lexicon, typed_counterfactuals
from infoagent.data.fact_types import WEIGHTS, weighted_facts
from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.histories import RECORD_WORDS, draw_turns, read_talks
from infoagent.data.splits import splits_of
from infoagent.types import InputError, Negative, Problem, ProblemSet

EVERY, COMPACTIONS = 3, 5
VERSIONS = 8
"""Counterfactual histories that are made of each document, of which a recipe takes the first; what it asks for beyond them changes
facts whatever their type."""
QUERY = "What was said so far?"
"""For templates that name a question; a compaction has none."""
STREAMS = {"train": 12, "validation": 13, "test": 11}
"""Of seeded histories: those of the test split are the ones that eval/applications/compaction.py asks about."""
POOL_STREAM, SPAN_STREAM = 14, 15
POOL = 40
"""Seeded histories whose facts take the place of others."""

Course = tuple[int | None, int | None, Mapping[str, float] | None]
"""Turns between two compactions, how many there are, and the weight of each type of fact; None takes the default."""
Told = tuple[str, tuple[str, ...]]
"""(id, turns) of a history."""


def load_seeded(
    split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None, course: Course = (None, None, None)
) -> ProblemSet:
    """Histories whose turns each bring a record, enough of them for `limit` problems (40 without one)."""
    every, compactions, facts = course[0] or EVERY, course[1] or COMPACTIONS, course[2]
    low = min_words or min(RECORD_WORDS[0], max_words or RECORD_WORDS[0])
    words = (low, max_words or max(RECORD_WORDS[1], low))
    number = -(-(limit or 40 * compactions) // compactions)
    streams = STREAMS.values() if split == "all" else [STREAMS[split]]
    told = [
        (f"record-histories-{stream}-{seed}-{index:05d}", draw_turns([seed, stream, index], every * compactions, words))
        for stream in streams
        for index in range(number)
    ]
    shape = (every, compactions)
    return _problems("record-histories", seeded_revision(), split, told, _pool(seed, words), limit, seed, shape, facts, Counter())


def load_own(path: str | None, split: str, limit: int | None, seed: int, course: Course = (None, None, None)) -> ProblemSet:
    """Conversations of a file, whole ones in each split and equal ones in the same; those with too few turns are left out and
    counted. Raises InputError for every bad row, and where no history is long enough."""
    left_out: Counter[str] = Counter()
    revision, talks = read_talks("conversations", path, None, left_out)
    every, compactions, facts = course[0] or EVERY, course[1] or COMPACTIONS, course[2]
    number = every * compactions
    # one talk under two ids, or saved at several lengths, is one document
    splits = splits_of([written(turns[:number]) for _, turns, _ in talks], [identity for identity, _, _ in talks])
    of_split = [(identity, turns) for (identity, turns, _), own in zip(talks, splits, strict=True) if split in ("all", own)]
    long = [(identity, turns[:number]) for identity, turns in of_split if len(turns) >= number]
    if len(long) < len(of_split):
        left_out[f"conversation of fewer than {number} turns"] += len(of_split) - len(long)
    if not long:
        raise InputError(
            f"data.path = {path!r}: none of the {len(of_split)} conversations of split {split!r} has the {number} turns that "
            f"{compactions} compactions every {every} turns need; lower data.compactions or data.every, or take split all"
        )
    order = np.random.default_rng(seed).permutation(len(long))
    told, shape = [long[int(i)] for i in order], (every, compactions)
    return _problems("histories", revision, split, told, long, limit, seed, shape, facts, left_out)


def _pool(seed: int, words: tuple[int, int]) -> list[Told]:
    """Where other values of seeded histories come from: apart from them, so that a history's versions do not depend on how many
    stand beside it."""
    return [(f"{index}", draw_turns([seed, POOL_STREAM, index], 4, words)) for index in range(POOL)]


@cache
def seeded_revision() -> str:
    """Hash of a fixed sample of the seeded histories, their versions included."""
    lexicon = _lexicon(_pool(0, RECORD_WORDS))
    drawn = {f"{index}": draw_turns([0, STREAMS["train"], index], EVERY, RECORD_WORDS) for index in range(IDENTITY_SAMPLE)}
    return digest(_problem(identity, turns, 1, EVERY, lexicon, WEIGHTS, 0) for identity, turns in drawn.items())


def _lexicon(pool: Sequence[Told]) -> Lexicon:
    return Lexicon.from_problems([Problem(identity, written(turns), QUERY, identity) for identity, turns in pool])


def _problems(
    name: str,
    revision: str,
    split: str,
    told: Sequence[Told],
    pool: Sequence[Told],
    limit: int | None,
    seed: int,
    shape: tuple[int, int],
    facts: Mapping[str, float] | None,
    left_out: Counter[str],
) -> ProblemSet:
    """Whole histories only, so many that there are at most `limit` problems, one at least. Values for their versions come from
    `pool`."""
    every, compactions = shape
    weights = {**WEIGHTS, **(facts or {})}
    lexicon = _lexicon(pool)
    problems: list[Problem] = []
    most = len(told) if limit is None else max(1, limit // compactions)
    for identity, turns in told:
        if len(problems) == most * compactions:
            break
        rounds = [_problem(identity, turns[: r * every], r, every, lexicon, weights, seed) for r in range(1, compactions + 1)]
        if all(len(problem.negatives) > 0 for problem in rounds):
            problems += rounds
        else:
            left_out["history with a compaction before any fact of the weighted types was said"] += 1
    if not problems:
        counted = ", ".join(name for name, weight in weights.items() if weight)
        raise InputError(f"data: no history of {len(told)} states a fact of the types {counted} in its first {every} turns")
    return ProblemSet(name, revision, split, tuple(problems), +left_out)


def written(turns: Sequence[str]) -> str:
    """Turns as a model reads them."""
    return "\n\n".join(turns)


def _problem(
    identity: str, turns: Sequence[str], number: int, every: int, lexicon: Lexicon, weights: Mapping[str, float], seed: int
) -> Problem:
    document = written(turns)
    stamp = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "little")
    rng = np.random.default_rng([seed, SPAN_STREAM, number, stamp])
    made = versions(document, lexicon, weights, rng)
    return Problem(
        id=f"{identity}/{number}",
        document=document,
        query=QUERY,
        document_id=identity,
        part_of=identity,
        negatives=tuple(negative for negative, _ in zip(made, range(VERSIONS), strict=False)),
        needs=(),
        news=written(turns[-every:]),
    )


def versions(document: str, lexicon: Lexicon, weights: Mapping[str, float], rng: np.random.Generator) -> Iterator[Negative]:
    """Counterfactual documents, each with another fact changed, as long as there are facts; drawn without replacement with odds
    by the weight of their group, whatever their place."""
    facts = weighted_facts(document, weights)
    if not facts:
        return
    weight_F = np.array([weight for _, weight in facts])
    # the exponential race: the order of draws without replacement by weight
    for place in np.argsort(rng.exponential(size=len(facts)) / weight_F):
        span, _ = facts[int(place)]
        asked = Problem("", document, QUERY, "", answer=span.text, answer_start=span.start)
        made = next(typed_counterfactuals(asked, lexicon, rng), None)
        if made is not None:
            yield made
