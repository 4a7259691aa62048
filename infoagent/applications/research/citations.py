"""Does the cited source say the sentence?

A sentence is cited by marks such as [3], [1, 4] or [2-5] in it, or right behind its full stop. The lexical check holds it
against the whole text of the sources that it cites: all its numbers and names must stand there, and of its other words
nearly all. What it cannot see is a wrong relation between right words, and a negation.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from infoagent.audit.measures import unknown_words
from infoagent.data.segmentation import sentences
from infoagent.grading import unsupported_spans

UNKNOWN_SHARE = 0.25
"""A supported sentence has at most this share of words that neither its sources have nor are common."""

_NUMBERS = r"\[\s*\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\s*\]"
_MARK = re.compile(_NUMBERS)
_BEHIND = re.compile(rf"([.!?])((?:\s*{_NUMBERS})+)")
_RANGE = re.compile(r"(\d+)\s*[–-]\s*(\d+)")


@dataclass(frozen=True)
class CitedSentence:
    """A sentence of a report without its marks, the numbers that it cites, and those of them that name a source."""

    text: str
    numbers: tuple[int, ...]
    valid: tuple[int, ...]

    @property
    def invalid(self) -> int:
        return len(self.numbers) - len(self.valid)


def cited_sentences(report: str, shown: Collection[int]) -> list[CitedSentence]:
    """All sentences of a report with words in them, in order; `shown` are the numbers of the sources it was written from."""
    found = []
    for line in report.splitlines():
        # a mark behind the full stop belongs to the sentence before it
        for sentence in sentences(_BEHIND.sub(r"\2\1", line)):
            text = " ".join(_MARK.sub(" ", sentence).split())
            if not any(c.isalpha() for c in text):
                continue
            numbers = tuple(dict.fromkeys(n for mark in _MARK.findall(sentence) for n in _numbers(mark)))
            found.append(CitedSentence(text, numbers, tuple(n for n in numbers if n in shown)))
    return found


def _numbers(mark: str) -> list[int]:
    numbers: list[int] = []
    for part in re.split(r"[,;]", mark.strip("[] ")):
        span = _RANGE.fullmatch(part.strip())
        if span is not None and int(span[1]) <= int(span[2]):
            numbers += range(int(span[1]), int(span[2]) + 1)
        else:
            numbers += [int(n) for n in re.findall(r"\d+", part)]
    return numbers


def cited_text(sentence: CitedSentence, texts: Mapping[int, str]) -> str:
    """What its sources say, together."""
    return "\n\n".join(texts[number] for number in sentence.valid)


def supported(sentence: CitedSentence, texts: Mapping[int, str]) -> bool:
    """The lexical check; a sentence that names no source is not supported. `texts` are the sources by number."""
    if not sentence.valid:
        return False
    source = cited_text(sentence, texts)
    unknown = unknown_words(sentence.text, source)
    return not unsupported_spans(sentence.text, source) and (unknown is None or unknown <= UNKNOWN_SHARE)
