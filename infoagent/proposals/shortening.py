"""Sentence compression by deletion: texts with one part less.

A search against a scorer starts from a text and goes on from the best of these as long as the reward rises.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import regex

from infoagent.data.counterfactual.documents import words_with_places
from infoagent.grading.words import has_spaceless
from infoagent.proposals.pieces import closes_brackets

_BRACKETED = regex.compile(r"[(\[（【][^()\[\]（）【】]*[)\]）】]")
_APPOSITION = regex.compile(r"[,،、，][^,،、，;:]*(?=[,،、，;:.。]|$)")


def shortenings(text: str) -> list[str]:
    """What is left without one bracket, one part between commas, the beginning or the end up to some word, or one word.

    In this order, none twice, none empty, none with an open bracket. Every one is a subsequence of the text.
    """
    shorter = (_tidy(piece) for piece in _deletions(text))
    return [z for z in dict.fromkeys(shorter) if z and z != text and any(c.isalnum() for c in z) and closes_brackets(z)]


def _deletions(text: str) -> Iterator[str]:
    for pattern in (_BRACKETED, _APPOSITION):
        for match in pattern.finditer(text):
            yield text[: match.start()].rstrip() + text[match.end() :]
    words = [(start, end) for _, start, end in words_with_places(text)] if has_spaceless(text) else _runs(text)
    for start, _ in words[1:]:
        yield text[start:]
    for _, end in reversed(words[:-1]):
        yield text[:end]
    for (start, _), (following, _) in itertools.pairwise(words[1:]):
        yield text[:start] + text[following:]


def _runs(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in regex.finditer(r"\S+", text)]


def _tidy(text: str) -> str:
    return text.strip().strip(",;:،、，").strip()
