"""Cutting long texts into passages, and files or topics into splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from infoagent.data.cloze import Passage, sentences
from infoagent.grading.words import count_words

SPLIT_SHARES = (("train", 0.70), ("validation", 0.15), ("test", 0.15))


def cut(name: str, paragraphs: Sequence[str], min_words: int, max_words: int, group: str) -> list[Passage]:
    """Passages of min_words to max_words words, made of whole paragraphs, or of whole sentences of long ones.

    A rest below min_words at the end is left out.
    """
    pieces: list[str] = []
    for paragraph in paragraphs:
        pieces += [paragraph] if count_words(paragraph) <= max_words else sentences(paragraph)
    passages: list[Passage] = []
    current: list[str] = []
    count = 0
    for piece in pieces:
        words = count_words(piece)
        if words > max_words:  # a table or a listing without an end of sentence: no passage
            current, count = [], 0
            continue
        if count + words > max_words:
            if count >= min_words:
                passages.append(_passage(name, len(passages), current, group))
            current, count = [], 0
        current.append(piece)
        count += words
        if count >= (min_words + max_words) // 2:
            passages.append(_passage(name, len(passages), current, group))
            current, count = [], 0
    if count >= min_words:
        passages.append(_passage(name, len(passages), current, group))
    return passages


def _passage(name: str, index: int, pieces: Sequence[str], group: str) -> Passage:
    return Passage(id=f"{name}-{index:03d}", text="\n".join(pieces), group=group, part_of=name)


def paragraphs_of(text: str) -> list[str]:
    """Paragraphs between blank lines. Prose is unwrapped; grammar and interpreter sessions keep their lines."""
    result = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.strip().splitlines()]
        if not lines or all(set(line) <= set("*=-~^#") for line in lines):
            continue
        keeps_lines = ">>>" in block or "::=" in block or block.lstrip().startswith(("* ", "- ", "|", "+-"))
        lines = [line for line in lines if not (len(line) > 3 and set(line) <= set("*=-~^"))]  # underlined headings
        result.append(("\n" if keeps_lines else " ").join(lines))
    return result


def without_repetition(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The paragraphs of each text, each paragraph once over all texts: it stays in the shortest text that has it.

    Long pages quote short ones; a paragraph in two topics would let a split leak into another.
    """
    seen: set[str] = set()
    result: dict[str, list[str]] = {}
    for name in sorted(texts, key=lambda n: (len(texts[n]), n)):
        fresh = []
        for paragraph in paragraphs_of(texts[name]):
            key = " ".join(paragraph.split())
            if key not in seen:
                seen.add(key)
                fresh.append(paragraph)
        result[name] = fresh
    return {name: result[name] for name in texts}


def split_of(sizes: Mapping[str, int]) -> dict[str, str]:
    """Which split each whole (topic, file, group) belongs to.

    Wholes are taken in the order of the hash of their name and fill train, validation and test up to their shares
    of the total size, so that no split depends on the order of the data.
    """
    total = sum(sizes.values())
    assignment: dict[str, str] = {}
    filled = 0
    for name in sorted(sizes, key=lambda n: hashlib.sha256(n.encode()).hexdigest()):
        position = (filled + sizes[name] / 2) / total
        border = 0.0
        for split, share in SPLIT_SHARES:
            border += share
            if position < border or split == SPLIT_SHARES[-1][0]:
                assignment[name] = split
                break
        filled += sizes[name]
    return assignment
