"""Cutting long texts into passages, and files or topics into splits."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import pairwise, starmap

from infoagent.data.cloze import Passage
from infoagent.data.segmentation import halves, sentences
from infoagent.grading.words import count_words

SPLIT_SHARES = (("train", 0.70), ("validation", 0.15), ("test", 0.15))
USUAL_WIDTH_QUANTILE = 0.9
LEAST_WIDTH = 40
"""Characters; shorter lines are those of a poem, not of wrapped prose."""
FILLED = 0.9
"""A filled line and the next word take more than this share of the width."""
TOO_SHORT = "words of texts below min_words"
REST = "words of rests below min_words"
LISTING = "words in or around listings without an end of sentence"


def cut(name: str, paragraphs: Sequence[str], min_words: int, max_words: int, group: str) -> list[Passage]:
    """Passages of min_words to max_words words that hold all of the paragraphs' words in their order.

    They are made of whole paragraphs, else of whole sentences, else (tables, listings) of lines, and where a line or a
    sentence is too long for what is left, of its parts between words. What remains at the end below min_words joins the
    passage before it, or shares the words of both with it; only where neither gives two of the right length is it left
    out, which `cut_and_rest` counts.
    """
    return cut_and_rest(name, paragraphs, min_words, max_words, group)[0]


def cut_and_rest(
    name: str, paragraphs: Sequence[str], min_words: int, max_words: int, group: str
) -> tuple[list[Passage], Counter[str]]:
    """(the passages of `cut`, the number of words left out by cause)."""
    packed: list[list[str]] = []
    waiting = deque(paragraph for paragraph in paragraphs if paragraph.strip())
    current: list[str] = []
    count = 0
    enough = (min_words + max_words) // 2
    while waiting:
        piece = waiting.popleft()
        words = count_words(piece)
        if words > max_words or (count + words > max_words and count < min_words):
            waiting.extendleft(reversed(_parts(piece)))
            continue
        if count + words > max_words:
            packed.append(current)
            current, count = [], 0
        current.append(piece)
        count += words
        if count >= enough:
            packed.append(current)
            current, count = [], 0
    left_out: Counter[str] = Counter()
    if count >= min_words:
        packed.append(current)
    elif current:
        joined = _shared([*packed[-1], *current], min_words, max_words) if packed else None
        if joined is None:
            left_out[REST if packed else TOO_SHORT] += count
        else:
            packed[-1:] = joined
    return [_passage(name, index, pieces, group) for index, pieces in enumerate(packed)], left_out


def _shared(pieces: Sequence[str], low: int, high: int) -> list[list[str]] | None:
    """The pieces as one passage, or as two of low to high words, the most alike there are; None where neither goes."""
    counts = [count_words(piece) for piece in pieces]
    if sum(counts) <= high:
        return [list(pieces)]
    for parts, sizes in ((pieces, counts), _in_sentences(pieces)):
        total = sum(sizes)
        before = {at: sum(sizes[:at]) for at in range(1, len(parts))}
        cuts = [at for at, words in before.items() if low <= words <= high and low <= total - words <= high]
        if cuts:
            _, at = min((abs(2 * before[at] - total), at) for at in cuts)
            return [list(parts[:at]), list(parts[at:])]
    return None


def _in_sentences(pieces: Sequence[str]) -> tuple[list[str], list[int]]:
    found = [sentence for piece in pieces for sentence in sentences(piece)]
    return found, [count_words(sentence) for sentence in found]


def _parts(piece: str) -> list[str]:
    """The sentences of a piece, else its lines, else its two halves."""
    for parts in (sentences(piece), [line.strip() for line in piece.split("\n") if line.strip()]):
        if len(parts) > 1:
            return parts
    return [part.strip() for part in halves(piece)]


def cut_prose(
    name: str, paragraphs: Sequence[str], min_words: int, max_words: int, group: str
) -> tuple[list[Passage], Counter[str]]:
    """(passages of whole paragraphs, or of whole sentences of long ones; the number of words left out by cause).

    For a reference in which grammar and tables are no text to ask about: a stretch of more than max_words words without
    an end of sentence is left out with the unfinished passage before it, and so are rests below min_words.
    """
    pieces: list[str] = []
    for paragraph in paragraphs:
        pieces += [paragraph] if count_words(paragraph) <= max_words else sentences(paragraph)
    packed: list[list[str]] = []
    left_out: Counter[str] = Counter()
    current: list[str] = []
    count = 0
    for piece in pieces:
        words = count_words(piece)
        if words > max_words:
            left_out[LISTING] += count + words
            current, count = [], 0
            continue
        if count + words > max_words:
            if count >= min_words:
                packed.append(current)
            else:
                left_out[REST] += count
            current, count = [], 0
        current.append(piece)
        count += words
        if count >= (min_words + max_words) // 2:
            packed.append(current)
            current, count = [], 0
    if count >= min_words:
        packed.append(current)
    elif count:
        left_out[REST] += count
    return [_passage(name, index, pieces, group) for index, pieces in enumerate(packed)], left_out


def _passage(name: str, index: int, pieces: Sequence[str], group: str) -> Passage:
    return Passage(id=f"{name}-{index:03d}", text="\n".join(pieces), group=group, part_of=name)


def paragraphs_of(text: str, wrapped: bool = False) -> list[str]:
    """Paragraphs between blank lines.

    Prose is unwrapped: all of it in a text that is known to be `wrapped`, but for its grammar and interpreter sessions; else
    the blocks whose lines are filled to the width of the text. Logs, code, transcripts and poems keep their lines.
    """
    result = []
    width = 0 if wrapped else _wrapping_width(text)
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.strip().splitlines()]
        if not lines or all(set(line) <= set("*=-~^#") for line in lines):
            continue
        keeps_lines = ">>>" in block or "::=" in block or block.lstrip().startswith(("* ", "- ", "|", "+-"))
        keeps_lines = keeps_lines or not (wrapped or _is_filled(lines, width))
        if keeps_lines and not wrapped:  # the first line's indentation, too
            lines = textwrap.dedent("\n".join(line.rstrip() for line in block.strip("\r\n").splitlines())).splitlines()
        lines = [line for line in lines if not (len(line) > 3 and set(line) <= set("*=-~^"))]  # underlined headings
        result.append(("\n" if keeps_lines else " ").join(lines))
    return result


def _wrapping_width(text: str) -> int:
    """The usual length of a text's long lines; 0 where it is too small for lines that were wrapped."""
    lengths = sorted(len(line.strip()) for line in text.splitlines() if line.strip())
    width = lengths[int(USUAL_WIDTH_QUANTILE * len(lengths))] if lengths else 0
    return width if width >= LEAST_WIDTH else 0


def _is_filled(lines: Sequence[str], width: int) -> bool:
    """Whether no line could have taken the first word of the next, as when prose is wrapped, and the lines go on with words."""
    if not width or any(not before for before in lines):
        return False
    full = all(len(line) + 1 + len(after.split()[0]) > FILLED * width for line, after in pairwise(lines))
    return full and 2 * sum(starmap(_goes_on, pairwise(lines))) >= len(lines) - 1


def _goes_on(before: str, line: str) -> bool:
    """Whether a line goes on with a word where the line before has not ended a sentence, or with a small letter."""
    first = line.lstrip("\"'“‘„«([*_`")[:1]
    return first.isalpha() and (not first.isupper() or before[-1] not in ".!?:;")


def without_repetition(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """The paragraphs of each text, each paragraph once over all texts: it stays in the shortest text that has it.

    Long pages quote short ones; a paragraph in two topics would let a split leak into another.
    """
    seen: set[str] = set()
    result: dict[str, list[str]] = {}
    for name in sorted(texts, key=lambda n: (len(texts[n]), n)):
        fresh = []
        for paragraph in paragraphs_of(texts[name], wrapped=True):
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
