"""What a compactor reads while it imitates a text: the part of it that was said before, as its own memory, and the newest turns.

    text      a; b; c; d         chosen by the reward for the whole history so far
    prompt    [memory a; b, news]          a and b stand in the turns before the news
    target    a; b; c; d

So a memory learns to carry on what it holds and to add what is new, from texts that were chosen for whole histories.
"""

from __future__ import annotations

import regex

from infoagent.grading.words import contains
from infoagent.lm.compacting import context_text
from infoagent.proposals.sources import LIST
from infoagent.types import Problem

_BORDER = regex.compile(r";\s+|(?<=[.!?])\s+")


def carried_reading(problem: Problem, text: str) -> str:
    """The context that `text` is to be written from. Raises ValueError for a problem that is no growing conversation."""
    if problem.news is None:
        raise ValueError(f"problem {problem.id!r} is no growing conversation")
    before = problem.document.removesuffix(problem.news)
    memory = [piece for piece in _BORDER.split(text) if contains(before, piece)]
    return context_text((LIST if LIST in text else " ").join(memory), [problem.news])
