"""Candidate spans: pieces of a document that could answer a question, cut where language allows it.

A piece is a place (start, end) in the document. It never begins or ends inside a typed fact or inside what a
counterfactual changes, so that a fact stands in it whole or not at all, and its brackets are closed.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import regex

from infoagent.data.counterfactual.documents import words_with_places
from infoagent.data.counterfactual.spans import typed_spans
from infoagent.data.negative_kinds import is_hard
from infoagent.data.ranking import bm25_order
from infoagent.data.segmentation import sentence_spans
from infoagent.grading.words import has_spaceless
from infoagent.types import Negative, Problem

Place = tuple[int, int]

MATCHING_SENTENCES = 3
"""So many of the best by BM25 are cut, beside those in which the counterfactuals differ."""
LONGEST_WINDOW = 32
"""Words."""
MOST_PARTS = 6
"""Of a sentence, between its punctuation; a list of fifty would have 1,275 runs."""

_BORDER = regex.compile(r"(?<=[,;:—–،؛、，；：)\]])|(?=[(\[—–])")
_SPLITS_FACT = regex.compile(r"[\p{L}\p{N}]|[.!?。！？]\s")
"""July 1, 1890 is one fact where all of it changes; what stands before and behind a full stop are two."""
_CLOSING = {"(": ")", "[": "]", "“": "”", "„": "“”", "«": "»", "»": "«", "”": "”"}
"""What each sign may be closed by: quotation marks of “English”, „German“, „Polish”, «French», »Danish« and ”Swedish”."""
_OPENS_TOO = regex.compile(r"(?:^|(?<=[\s(\[“„«]))[“»”](?=[\w(\[“„«»”])")
"""Where a mark that closes in some languages opens: behind a space and before a word."""
_EDGES = " \t\n,;:—–-،؛、，；："


def changed_places(problem: Problem, negatives: Sequence[Negative]) -> list[Place]:
    """Where the document differs from its counterfactual versions, in order, overlapping places joined.

    Nobody needs to know the answer: what the versions change says what is asked. Empty without counterfactuals.
    """
    return list(_changed_places(problem.document, tuple(n.document for n in negatives if is_hard(n))))


@lru_cache(maxsize=64)
def _changed_places(document: str, versions: tuple[str, ...]) -> tuple[Place, ...]:
    old = words_with_places(document)
    words_old = [word for word, *_ in old]
    places: list[Place] = []
    for version in versions:
        words_new = [word for word, *_ in words_with_places(version)]
        for tag, i, j, _, _ in difflib.SequenceMatcher(None, words_old, words_new, autojunk=False).get_opcodes():
            if tag != "equal" and j > i:
                places.append((old[i][1], old[j - 1][2]))
    return tuple(_joined(places, lambda between: _SPLITS_FACT.search(document[between]) is None))


def _joined(places: Sequence[Place], close: Callable[[slice], bool] = lambda between: False) -> list[Place]:
    """Places in order; those that overlap are one, and those that are `close` by what stands between them."""
    joined: list[Place] = []
    for start, end in sorted(places):
        if joined and (start < joined[-1][1] or close(slice(joined[-1][1], start))):
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def telling_sentences(problem: Problem, negatives: Sequence[Negative]) -> list[Place]:
    """The sentences worth cutting: those that a counterfactual changes, then the best by BM25 of the question, none twice."""
    document = problem.document
    sentences = [trimmed(document, place) for place in sentence_spans(document)]
    sentences = [(start, end) for start, end in sentences if end > start]
    changed = changed_places(problem, negatives)
    holding = [s for s in sentences if any(s[0] < end and start < s[1] for start, end in changed)]
    ranked = [sentences[i] for i in bm25_order([document[slice(*s)] for s in sentences], problem.query)] if sentences else []
    return list(dict.fromkeys([*holding, *ranked[:MATCHING_SENTENCES]]))


def clauses(document: str, sentence: Place) -> Iterator[Place]:
    """The runs of one or more parts of a sentence between its inner punctuation, the whole sentence left out."""
    start, end = sentence
    inner = [start + m.start() for m in _BORDER.finditer(document[start:end])]
    borders = sorted({start, *inner, end})
    for one, other in itertools.combinations(range(len(borders)), 2):
        if other - one <= MOST_PARTS and (borders[one], borders[other]) != (start, end):
            yield borders[one], borders[other]


def windows(document: str, sentence: Place, facts: Sequence[Place]) -> Iterator[Place]:
    """Runs of words of a sentence that end where a fact or a clause ends.

    A text that breaks off behind a fact still reads as language ("won the cup in 1998"); one that breaks off behind any
    word does not ("won the cup in"). The beginning may be any word.
    """
    start, end = sentence
    inner = document[start:end]
    words = [(start + m.start(), start + m.end()) for m in regex.finditer(r"\S+", inner)]
    if has_spaceless(inner):
        words = [(start + a, start + b) for _, a, b in words_with_places(inner)]
    ends = {b for _, b in facts if start < b <= end} | {b for _, b in clauses(document, sentence)} | {end}
    for last in sorted(ends):
        for first, _ in [w for w in words if w[0] < last][-LONGEST_WINDOW:]:
            yield first, last


def gathered(problem: Problem, negatives: Sequence[Negative], words_before: int | None) -> list[Place]:
    """Where the facts stand that the counterfactuals change, in order, each with at most `words_before` words of its sentence in
    front and the last word of its sentence where that is all that follows (22 plants). None: the whole sentence; all of it but its
    full stop also where a bracket would stay open. Places that overlap are one, and none begins or ends inside a fact.
    """
    document, facts = problem.document, fact_places(problem, negatives)
    sentences = [trimmed(document, place) for place in sentence_spans(document)]
    places: list[Place] = []
    for start, end in changed_places(problem, negatives):
        first, last = next(((a, b) for a, b in sentences if a <= start < b), (start, end))
        first, last = min(first, start), max(last, end)
        if words_before is None:
            places.append((first, last))
            continue
        words = [first + m.start() for m in regex.finditer(r"\S+", document[first:start])]
        noun = regex.fullmatch(r"( \w+)[.!?]?", document[end:last])
        piece = _whole_facts((min([*words[-words_before:], start]), end + (len(noun[1]) if noun else 0)), facts)
        if not closes_brackets(document[slice(*piece)]):
            piece = _whole_facts((first, last - (last > end and document[last - 1] in ".!?")), facts)
        places.append(piece)
    return _joined([trimmed(document, place) for place in places])


def _whole_facts(place: Place, facts: Sequence[Place]) -> Place:
    """The place and what it cuts of facts."""
    start, end = place
    return min([start, *(a for a, b in facts if a < start < b)]), max([end, *(b for a, b in facts if a < end < b)])


def fact_places(problem: Problem, negatives: Sequence[Negative]) -> list[Place]:
    """The typed facts of the document and what its counterfactuals change; those that overlap are one.

    A more, an is or a not is no fact here: there is one in each clause, and nothing ends behind it.
    """
    typed = [(s.start, s.end) for s in typed_spans(problem.document) if s.kind not in ("comparative", "negation")]
    return _joined([*typed, *changed_places(problem, negatives)])


def whole_pieces(document: str, places: Iterator[Place], facts: Sequence[Place]) -> Iterator[Place]:
    """The places without white space and punctuation at their edges that cut no fact and leave no bracket open, none twice."""
    seen: set[Place] = set()
    for place in places:
        start, end = trimmed(document, place)
        if (start, end) in seen or not any(c.isalnum() for c in document[start:end]):
            continue
        seen.add((start, end))
        if not any(a < start < b or a < end < b for a, b in facts) and closes_brackets(document[start:end]):
            yield start, end


def trimmed(document: str, place: Place) -> Place:
    """`place` without the white space and the separating punctuation at its edges."""
    start, end = place
    while start < end and document[start] in _EDGES:
        start += 1
    while end > start and document[end - 1] in _EDGES:
        end -= 1
    return start, end


def closes_brackets(text: str) -> bool:
    """Whether each bracket and quotation mark that has a partner meets it in the text, and straight quotes come in pairs."""
    opened: list[str] = []
    opening = {match.start() for match in _OPENS_TOO.finditer(text)}
    for at, sign in enumerate(text):
        if at in opening:
            opened.append(sign)
        elif opened and sign in _CLOSING[opened[-1]]:
            opened.pop()
        elif sign in "([“„«":
            opened.append(sign)
        elif sign in ")]»”":
            return False
    return not opened and text.count('"') % 2 == 0
