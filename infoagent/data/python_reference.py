"""`python-reference`: the language reference that every Python carries, cut into passages with cloze questions.

`pydoc_data.topics` holds 79 topics and 65,000 words in Python 3.11. The text differs between Python versions, so its
hash is the revision.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from infoagent.data.cloze import Passage, questions_and_rest
from infoagent.data.passages import cut_prose, split_of, without_repetition
from infoagent.types import ProblemSet


def passages(split: str, low: int, high: int) -> tuple[list[Passage], str, Counter[str]]:
    """(the passages of low to high words of a split, the revision of the text, the words of all splits left out)."""
    from pydoc_data.topics import topics

    texts = {name: str(text) for name, text in topics.items()}
    revision = "sha256:" + hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]
    found: list[Passage] = []
    left_out: Counter[str] = Counter()
    for name, paragraphs in without_repetition(texts).items():
        cut, rest = cut_prose(name, paragraphs, low, high, group=name)
        found += cut
        left_out += rest
    sizes: dict[str, int] = {}
    for passage in found:
        sizes[passage.group] = sizes.get(passage.group, 0) + 1
    assigned = split_of(sizes)
    return [p for p in found if split in ("all", assigned[p.group])], revision, left_out


def load(split: str, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """Passages of 120 to 250 words, group = topic; splits by topic."""
    low = min_words if min_words is not None else min(120, max_words or 120)
    high = max_words if max_words is not None else max(250, low)
    kept, revision, left_out = passages(split, low, high)
    problems, without = questions_and_rest(kept, seed)
    return ProblemSet("python-reference", revision, split, tuple(problems), left_out + without)
