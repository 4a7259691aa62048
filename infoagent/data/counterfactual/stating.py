"""Counterfactual documents of an unanswerable question: the same text with a sentence more that answers it.

Among documents that all lack the fact, "not stated" tells nothing; here the others state it. The type of the value is read off
the English question word (who, when, how many, …), the value is drawn as for any edit, and the sentence is the question with
the value behind it, at the end of a drawn sentence. A question of no known type has none, which the draw of negatives counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import regex

from infoagent.data.counterfactual.amounts import other_year
from infoagent.data.counterfactual.lexicon import Lexicon, new_value
from infoagent.data.counterfactual.spans import Span, typed_spans
from infoagent.data.segmentation import sentence_spans
from infoagent.types import NOT_STATED, Change, Negative, Problem

ASKED = (
    ("year", "1987", r"\b(?:what|which) year\b"),
    ("date", "12 May 1990", r"\bwhen\b|\b(?:what|which) (?:day|date)\b"),
    ("percentage", "30 %", r"\b(?:what|which|how (?:high|large|big)) (?:an? |the )?(?:percentage|share|percent)\b"),
    ("money", "$500", r"\bhow much (?:money|(?:did|does|do|was|were|is|will)\b.*\b(?:cost|pay|paid|earn|spend|spent|worth))\b"),
    ("number", "40", r"\bhow many\b|\b(?:what|which) number\b"),
    ("person", "John Baker", r"\bwho(?:m|se)?\b|\b(?:what|which) (?:man|woman|person|king|queen|president)\b"),
    ("place", "Vienna", r"\bwhere\b|\b(?:what|which) (?:city|town|country|state|place|region)\b"),
)  # fmt: skip
"""(kind of span, one of its values, questions that ask for it); the first that fits says the kind."""
_SENTENCE = regex.compile(r"[.!?。！？…]\W*$")
_ASKED = tuple((kind, value, regex.compile(pattern, regex.IGNORECASE)) for kind, value, pattern in ASKED)


def asked_kind(query: str) -> tuple[str, str] | None:
    """(the kind of span that a question asks for, one of its values); None where no English question word tells."""
    return next(((kind, value) for kind, value, pattern in _ASKED if pattern.search(query)), None)


def stating_documents(problem: Problem, lexicon: Lexicon, rng: np.random.Generator, avoid: set[str]) -> Iterator[Negative]:
    """The document with a sentence that states a value of the asked kind: at one place, each time another value."""
    asked = asked_kind(problem.query)
    if asked is None:
        return
    kind, example = asked
    used = {example, *avoid}
    ends = [end for _, end in sentence_spans(problem.document)] or [len(problem.document)]
    place = ends[int(rng.integers(len(ends)))]
    years = [s.text for s in typed_spans(problem.document) if s.kind == "year" and s.text.isdecimal()]
    while True:
        if kind == "date":  # another date is of the same year
            year = years[int(rng.integers(len(years)))] if years else "1990"
            example = f"12 May {other_year(year, rng)}"
        # the kind, not this place, says what fits
        text = f"{example}. {problem.document}"
        value = new_value(Span(kind, example, 0, len(example)), lexicon, rng, text, problem.query, used)
        if value is None or value in used:  # all values that there are
            return
        used.add(value)
        document = _put_in(problem.document, place, f"{problem.query.strip()} {value}.")
        yield Negative("counterfactual", document, (Change(kind, NOT_STATED, value, mentions=1),))


def _put_in(document: str, place: int, sentence: str) -> str:
    """The document with a sentence more at the end of the one before `place`, all white space kept; behind what is no sentence
    (an item of a list, a row of a table) on lines of its own."""
    before, after = document[:place].rstrip(), document[place:]
    gap = document[len(before) : place]
    apart = gap if "\n" in gap and not _SENTENCE.search(before) else " "
    return f"{before}{apart if before else ''}{sentence}{gap or (' ' if after else '')}{after}"
