"""`continuations`: how a text goes on, for likelihood alone.

A passage of the Python language reference is cut at a sentence: what stands before is the document, what follows is the
answer, on whose likelihood a compression of the document is measured. Many texts go on well, so nothing here is right or
wrong; a compression is better the more likely it makes the one that was written. The same is done with your own texts by
`infoagent questions`, whose answers may be any writing.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

from infoagent.data.cloze import Passage
from infoagent.data.revisions import digest
from infoagent.data.segmentation import sentences
from infoagent.data.sets import python_reference
from infoagent.grading.words import count_words
from infoagent.types import Problem, ProblemSet

WORDS = (90, 200)
"""Of the document."""
CONTINUATION_WORDS = (15, 60)
QUERY = "Write how the text goes on."


def load(split: str, min_words: int | None, max_words: int | None) -> ProblemSet:
    """Passages with their continuations, group = topic; splits by topic."""
    low = min_words if min_words is not None else min(WORDS[0], max_words or WORDS[0])
    high = max_words if max_words is not None else max(WORDS[1], low)
    problems, left_out = _problems(split, low, high)
    return ProblemSet("continuations", revision(), split, tuple(problems), left_out)


@cache
def revision() -> str:
    """Hash of every problem of the usual length."""
    return digest(_problems("all", *WORDS)[0])


def _problems(split: str, low: int, high: int) -> tuple[list[Problem], Counter[str]]:
    found, left_out = python_reference.passages(split, low + CONTINUATION_WORDS[0], high + CONTINUATION_WORDS[1])
    problems = [problem for passage in found if (problem := _cut(passage, low, high)) is not None]
    left_out["passage without an end of the right length"] += len(found) - len(problems)
    return problems, +left_out


def _cut(passage: Passage, low: int, high: int) -> Problem | None:
    """The passage without its last sentences, and these, where both are long enough."""
    parts = sentences(passage.text)
    for i in range(len(parts) - 1, 0, -1):
        rest = " ".join(" ".join(parts[i:]).split())
        if count_words(rest) < CONTINUATION_WORDS[0]:
            continue
        start = passage.text.rindex(parts[i])
        document = passage.text[:start].strip()
        if count_words(rest) > CONTINUATION_WORDS[1] or not low <= count_words(document) <= high:
            return None
        return Problem(passage.id, document, QUERY, passage.id, answer=rest, group=passage.group, part_of=passage.part_of, needs=())
    return None
