"""Cloze questions: a span of one sentence of a text is blanked, the span is the answer.

Works on any text, so documents without questions can be used as they are. The blanked span is a code term, a date, a time,
a number or a name; the wrong choices are spans of the same kind and form (years for a year) from the same topic.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoagent.data.blanks import Blank, blanks_of
from infoagent.data.counterfactual.spans import span_pattern
from infoagent.data.segmentation import sentence_spans, sentences
from infoagent.grading.words import count_words
from infoagent.types import Problem

__all__ = ["BLANK", "Passage", "make_questions", "questions_and_rest", "sentences"]

BLANK = "____"
SENTENCE_WORDS = (6, 60)
WRONG_CHOICES = 3
NO_SPAN = "passage without a span to ask for"
NO_CHOICE = "passage whose spans have no wrong choice of their kind"

Pool = Mapping[tuple[str, str], Sequence[str]]
"""(kind, form) → the distinct spans, sorted: the draw must not depend on the order of a set."""


@dataclass(frozen=True)
class Passage:
    """A document cut from a longer text `part_of`, of topic `group`."""

    id: str
    text: str
    group: str
    part_of: str


def make_questions(passages: Sequence[Passage], seed: int) -> list[Problem]:
    """One cloze question for each passage that has a span with at least one wrong choice of its kind and form.

    Wrong choices come from the same group, and only where that is too small from the other groups; none of them
    stands in the passage. Passages without such a span are left out; `questions_and_rest` counts them.
    """
    return questions_and_rest(passages, seed)[0]


def questions_and_rest(passages: Sequence[Passage], seed: int) -> tuple[list[Problem], Counter[str]]:
    """(the questions of `make_questions`, the number of passages left out by cause)."""
    by_group: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    everywhere: dict[tuple[str, str], set[str]] = defaultdict(set)
    found = [blanks_of(passage.text) for passage in passages]
    for passage, blanks in zip(passages, found, strict=True):
        for blank in blanks:
            by_group[passage.group][blank.kind, blank.form].add(blank.text)
            everywhere[blank.kind, blank.form].add(blank.text)
    near = {group: {kind: sorted(texts) for kind, texts in kinds.items()} for group, kinds in by_group.items()}
    far = {kind: sorted(texts) for kind, texts in everywhere.items()}
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for passage, blanks in zip(passages, found, strict=True):
        options = _options(passage.text, blanks)
        problem = _question(passage, options, near.get(passage.group, {}), far, seed) if options else None
        if problem is None:
            left_out[NO_CHOICE if options else NO_SPAN] += 1
        else:
            problems.append(problem)
    return problems, left_out


def _options(text: str, blanks: Sequence[Blank]) -> list[tuple[int, int, Blank]]:
    """(start and end of the sentence, span) of the spans that can be asked for: they stand in the text once, in a sentence
    of a usual length."""
    options = []
    for start, end in sentence_spans(text):
        inside = [blank for blank in blanks if start <= blank.start and blank.end <= end]
        if inside and SENTENCE_WORDS[0] <= count_words(text[start:end]) <= SENTENCE_WORDS[1]:
            once = [blank for blank in inside if len(list(span_pattern(blank.text).places(text))) == 1]
            options += [(start, end, blank) for blank in once]
    return options


def _question(passage: Passage, options: Sequence[tuple[int, int, Blank]], near: Pool, far: Pool, seed: int) -> Problem | None:
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(passage.text.encode()).digest()[:8], "little")])
    for position in rng.permutation(len(options)):
        start, end, blank = options[int(position)]
        wrong = _wrong_choices(blank, passage.text, near, rng)
        if len(wrong) < WRONG_CHOICES:
            more = _wrong_choices(blank, passage.text, far, rng)
            wrong += [w for w in more if w not in wrong][: WRONG_CHOICES - len(wrong)]
        if not wrong:
            continue
        choices = [blank.text, *wrong]
        blanked = passage.text[start : blank.start] + BLANK + passage.text[blank.end : end]
        return Problem(
            id=passage.id,
            document=passage.text,
            query=f"Which {blank.kind} stands in the place of {BLANK}: {blanked.strip()}",
            document_id=passage.id,
            answer=blank.text,
            choices=tuple(choices[int(i)] for i in rng.permutation(len(choices))),
            group=passage.group,
            part_of=passage.part_of,
            evidence=(passage.text[start:end].strip(),),
        )
    return None


def _wrong_choices(blank: Blank, document: str, pool: Pool, rng: np.random.Generator) -> list[str]:
    of_its_kind = pool.get((blank.kind, blank.form), ())
    usable = [s for s in of_its_kind if s not in document and s not in blank.text and blank.text not in s]
    return [usable[int(i)] for i in rng.permutation(len(usable))[:WRONG_CHOICES]]
