"""Questions made from the text itself: a span of one sentence is blanked, the span is the answer.

Works on any text, so documents without questions can be used as they are. The blanked span is a number, a code
term or a name; the wrong choices are spans of the same type from the same topic.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoagent.data.counterfactuals import span_pattern
from infoagent.grading.words import count_words
from infoagent.types import Problem

BLANK = "____"
SENTENCE_WORDS = (6, 60)
WRONG_CHOICES = 3

SPAN_TYPES: dict[str, re.Pattern[str]] = {
    # quoted or structured identifiers: "__init__()", sys.path, MAX_SIZE, TypeError
    "code term": re.compile(
        r'(?<=")[A-Za-z_*@.][^"\n]{0,38}[^"\s,](?=")|\b[A-Za-z]\w+(?:\.\w+)+\b(?:\(\))?|\b\w*[A-Za-z]_\w+\b(?:\(\))?'
        r"|\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b"
    ),
    "number": re.compile(
        r"(?<![\w.])[$€£]?\d+(?:,\d{3})*(?:\.\d+)?(?:\s?(?:%|percent|million|billion|thousand))?(?![\w])"
    ),
    "name": re.compile(r"(?<=[a-z,;] )[A-Z][\w'’-]+(?: (?:of |de |van |von )?[A-Z][\w'’-]+){0,3}"),
}
_SENTENCE_END = re.compile(r"(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?])[\"”)]?\s+(?=[A-Z\"“(*\[])")


@dataclass(frozen=True)
class Span:
    """A blankable piece of a sentence."""

    kind: str
    text: str


@dataclass(frozen=True)
class Passage:
    """A document cut from a longer text `part_of`, of topic `group`."""

    id: str
    text: str
    group: str
    part_of: str


def sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE_END.split(text) if s.strip()]


def find_spans(text: str) -> list[Span]:
    """All spans of `text` that could be blanked, in order, each text once, its first type."""
    found: dict[str, Span] = {}
    for kind, pattern in SPAN_TYPES.items():
        for match in pattern.finditer(text):
            found.setdefault(match.group(), Span(kind, match.group()))
    return sorted(found.values(), key=lambda span: text.find(span.text))


def make_questions(passages: Sequence[Passage], seed: int) -> list[Problem]:
    """One cloze question for each passage that has a span with at least one wrong choice of its type.

    Wrong choices come from the same group, and only where that is too small from the other groups; none of them
    stands in the passage. Passages without such a span are left out.
    """
    by_group: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    everywhere: dict[str, set[str]] = defaultdict(set)
    for passage in passages:
        for span in find_spans(passage.text):
            by_group[passage.group][span.kind].add(span.text)
            everywhere[span.kind].add(span.text)
    # sorted once: the draw must not depend on the order of a set
    near = {g: {k: sorted(v) for k, v in kinds.items()} for g, kinds in by_group.items()}
    far = {k: sorted(v) for k, v in everywhere.items()}
    problems = [_question(passage, near[passage.group], far, seed) for passage in passages if passage.group in near]
    return [p for p in problems if p is not None]


def _question(
    passage: Passage, near: Mapping[str, Sequence[str]], far: Mapping[str, Sequence[str]], seed: int
) -> Problem | None:
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(passage.text.encode()).digest()[:8], "little")])
    options: list[tuple[str, Span]] = []
    for sentence in sentences(passage.text):
        if not SENTENCE_WORDS[0] <= count_words(sentence) <= SENTENCE_WORDS[1]:
            continue
        for span in find_spans(sentence):
            if len(span_pattern(span.text).findall(passage.text)) == 1:  # one place in the document is asked for
                options.append((sentence, span))
    for position in rng.permutation(len(options)):
        sentence, span = options[int(position)]
        wrong = _wrong_choices(span, passage.text, near.get(span.kind, ()), rng)
        if len(wrong) < WRONG_CHOICES:
            more = _wrong_choices(span, passage.text, far.get(span.kind, ()), rng)
            wrong += [w for w in more if w not in wrong][: WRONG_CHOICES - len(wrong)]
        if not wrong:
            continue
        choices = [span.text, *wrong]
        blanked = span_pattern(span.text).sub(BLANK, sentence)
        return Problem(
            id=passage.id,
            document=passage.text,
            query=f"Which {span.kind} stands in the place of {BLANK}: {blanked}",
            document_id=passage.id,
            answer=span.text,
            choices=tuple(choices[int(i)] for i in rng.permutation(len(choices))),
            group=passage.group,
            part_of=passage.part_of,
            evidence=(sentence,),
        )
    return None


def _wrong_choices(span: Span, document: str, pool: Sequence[str], rng: np.random.Generator) -> list[str]:
    usable = [s for s in pool if s not in document and s not in span.text and span.text not in s]
    return [usable[int(i)] for i in rng.permutation(len(usable))[:WRONG_CHOICES]]
