"""`python-reference`: the language reference that every Python carries, cut into passages with cloze questions.

`pydoc_data.topics` holds 79 topics and 65,000 words in Python 3.11. The text differs between Python versions, so its
hash is the revision.
"""

from __future__ import annotations

import hashlib
import json

from infoagent.data.cloze import Passage, make_questions
from infoagent.data.passages import cut, without_repetition
from infoagent.data.splits import splits_of
from infoagent.types import ProblemSet


def passages(split: str, low: int, high: int) -> tuple[list[Passage], str]:
    """(the passages of low to high words of a split, the revision of the text)."""
    from pydoc_data.topics import topics

    texts = {name: str(text) for name, text in topics.items()}
    revision = "sha256:" + hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]
    found = [
        passage
        for name, paragraphs in without_repetition(texts).items()
        for passage in cut(name, paragraphs, low, high, group=name)
    ]
    splits = splits_of([p.text for p in found], [p.group for p in found])
    return [p for p, home in zip(found, splits, strict=True) if split in ("all", home)], revision


def load(split: str, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """Passages of 120 to 250 words, group = topic; splits by topic."""
    low = min_words if min_words is not None else min(120, max_words or 120)
    high = max_words if max_words is not None else max(250, low)
    kept, revision = passages(split, low, high)
    return ProblemSet("python-reference", revision, split, tuple(make_questions(kept, seed)))
