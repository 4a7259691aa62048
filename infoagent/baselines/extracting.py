"""Extractive compressors: text in, text out, of a number of sentences or within a number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from infoagent.baselines.pickers import PICKERS, Picker, picker_of, unknown
from infoagent.data.characters import clusters
from infoagent.data.segmentation import sentences as split_sentences
from infoagent.types import InputError, Problem

SHOWN = 10
"""Problems that are named one by one when a kind cannot compress them."""


def compress_extractive(
    kind: str, problem: Problem, *, sentences: int | None, tokens: int | None, count_tokens: Callable[[str], int], seed: int
) -> str:
    """Sentences of the document, whole and in its order, joined by a space: the best `sentences`, or with `tokens`
    as many of the best as `count_tokens` of the joined text allows, up to the first that does not fit.

    The best are, by kind: `lead` the first, `tail` the last, `random-sentences` drawn from (seed, document), `bm25`
    and `textrank` those of the highest score, `oracle` those that hold the evidence or the answer, then their
    neighbours (modules `ranking` and `oracle` say how each orders ties and what it does without a score).
    `llmlingua2` drops words instead, and takes `tokens` only.

    Where not even the best sentence fits, it is cut at a word border, and a single word that does not fit between two
    characters; `tail` keeps the end of what is cut, the others the beginning. The result is never empty and never
    above `tokens`. Sentences are those of `infoagent.data.cloze.sentences`; asking for more than there are takes all.

    Raises InputError for an unknown kind, both or neither of `sentences` and `tokens`, one below 1, a document without
    text, a budget that holds no character, a problem that the oracle cannot use, and `llmlingua2` without its package.
    """
    picker = _checked(kind, sentences, tokens)
    found = split_sentences(problem.document)
    if not found:
        raise InputError(f"{kind}: the document of problem {problem.id!r} has no text; leave the problem out")
    if picker.order is None:
        assert picker.drop_words is not None
        assert tokens is not None  # _checked saw to it
        text = picker.drop_words(problem.document, tokens, count_tokens)
        return text if count_tokens(text) <= tokens else cut(text, tokens, count_tokens)
    order = picker.order(found, problem, seed)
    if tokens is None:
        return _joined(found, order[:sentences])

    def fits(k: int) -> bool:
        return count_tokens(_joined(found, order[:k])) <= tokens

    kept = _most(len(order), fits)
    if kept:
        return _joined(found, order[:kept])
    return cut(found[order[0]], tokens, count_tokens, from_end=picker.from_end)


def unusable(kind: str, problems: Sequence[Problem]) -> dict[int, str]:
    """Of the problems that `kind` cannot compress the place, and a line with the cause: no text, no place of evidence or answer for
    the oracle. Raises InputError where it can work on none, for the first ten of them, and where its package is missing."""
    picker = picker_of(kind)
    if picker.ready is not None:
        picker.ready()
    causes: dict[int, str] = {}
    for place, problem in enumerate(problems):
        found = split_sentences(problem.document)
        if not found:
            causes[place] = f"{kind}: the document of problem {problem.id!r} has no text; leave the problem out"
        elif picker.usable is not None:
            try:
                picker.usable(found, problem)
            except InputError as error:
                causes[place] = error.problems[0]
    if causes and len(causes) == len(problems):
        raise InputError(first_of(kind, causes, len(problems)))
    return causes


def cannot_work(kind: str) -> str:
    """The cause under which such problems are counted."""
    return f"problem that {kind} cannot compress"


def first_of(kind: str, causes: Mapping[int, str], total: int) -> list[str]:
    """The lines of `unusable`, the first ten of them."""
    lines = list(causes.values())
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"{kind}: and {len(lines) - SHOWN} more of {total} problems likewise"]


def check_extractive(kind: str, problems: Sequence[Problem]) -> None:
    """Raises InputError where `kind` cannot compress all of `problems`. The first ten problems are named."""
    if causes := unusable(kind, problems):
        raise InputError(first_of(kind, causes, len(problems)))


def cut(text: str, tokens: int, count_tokens: Callable[[str], int], from_end: bool = False) -> str:
    """The longest beginning of `text` (or end) in whole words within `tokens`; of a first word that is too long, the
    longest in characters. Raises InputError where not even one character fits."""
    words = text.split()

    def part(pieces: Sequence[str], k: int, between: str) -> str:
        return between.join(pieces[len(pieces) - k :] if from_end else pieces[:k])

    kept = _most(len(words), lambda k: count_tokens(part(words, k, " ")) <= tokens)
    if kept:
        return part(words, kept, " ")
    word = words[-1 if from_end else 0]
    for pieces in (clusters(word), list(word)):  # half a flag is more than nothing
        kept = _most(len(pieces), lambda k: count_tokens(part(pieces, k, "")) <= tokens)  # noqa: B023
        if kept:
            return part(pieces, kept, "")
    raise InputError(f"tokens: {tokens} do not hold a single character of {word[:20]!r}; raise the number")


def _joined(found: Sequence[str], chosen: Sequence[int]) -> str:
    return " ".join(found[i] for i in sorted(chosen))


def _most(n: int, fits: Callable[[int], bool]) -> int:
    """The largest k ≤ n with fits(k), given that whatever fits still fits when it is shorter; 0 where 1 does not.

    Doubles first: a budget is mostly far below the document, and long texts are slow to count.
    """
    low, high = 0, 1
    while high <= n and fits(high):
        low, high = high, 2 * high
    high = min(high, n + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _checked(kind: str, sentences: int | None, tokens: int | None) -> Picker:
    mistakes = [] if kind in PICKERS else [unknown(kind)]
    given = {name: n for name, n in (("sentences", sentences), ("tokens", tokens)) if n is not None}
    if len(given) != 1:
        mistakes.append(f"{kind}: needs sentences or tokens, one of the two; got {len(given)}")
    mistakes += [f"{kind}: {name} = {n}; must be at least 1" for name, n in given.items() if n < 1]
    if kind in PICKERS and PICKERS[kind].order is None and "tokens" not in given:
        mistakes.append(f"{kind}: drops words, not sentences; set tokens")
    if mistakes:
        raise InputError(mistakes)
    return PICKERS[kind]
