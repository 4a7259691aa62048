"""`python-reference`: the language reference that every Python carries, cut into passages with cloze questions.

`pydoc_data.topics` holds 79 topics and 65,000 words in Python 3.11. The text differs between Python versions, and so does
the revision, which is the hash of all passages and questions of the usual length.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

from infoagent.data.cloze import Passage, questions_and_rest
from infoagent.data.passages import cut_prose, without_repetition
from infoagent.data.revisions import digest
from infoagent.data.splits import splits_of
from infoagent.types import ProblemSet

WORDS = (120, 250)


def passages(split: str, low: int, high: int) -> tuple[list[Passage], Counter[str]]:
    """(the passages of low to high words of a split, the words of all splits that are left out, by cause)."""
    from pydoc_data.topics import topics

    texts = {name: str(text) for name, text in topics.items()}
    found: list[Passage] = []
    left_out: Counter[str] = Counter()
    for name, paragraphs in without_repetition(texts).items():
        cut, rest = cut_prose(name, paragraphs, low, high, group=name)
        found += cut
        left_out += rest
    splits = splits_of([p.text for p in found], [p.group for p in found])
    return [p for p, home in zip(found, splits, strict=True) if split in ("all", home)], left_out


@cache
def revision() -> str:
    """Hash of every problem of the usual length."""
    return digest(questions_and_rest(passages("all", *WORDS)[0], 0)[0])


def load(split: str, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """Passages of 120 to 250 words, group = topic; splits by topic."""
    low = min_words if min_words is not None else min(WORDS[0], max_words or WORDS[0])
    high = max_words if max_words is not None else max(WORDS[1], low)
    kept, left_out = passages(split, low, high)
    problems, without = questions_and_rest(kept, seed)
    return ProblemSet("python-reference", revision(), split, tuple(problems), left_out + without)
