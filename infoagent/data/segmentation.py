"""Sentence boundary detection: where the sentences of a text in any script begin and end.

The rules of each language (abbreviations, initials, marks that end a sentence) are those of Wikimedia's `sentencex`,
chosen by the script that a block of text is written in. Around it stands what concerns the form of a text: a list's
items, a table's rows and headings are sentences of their own, a quotation's sentences are cut like others, a closing
mark stays with the sentence before it. Sentences are places in the text, so nothing of it can be lost or changed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator

LONGEST = 1000
"""Characters. What goes on longer without an end of sentence is a listing: its lines stand for sentences."""
PHRASE = 60
"""Characters. Thai and Lao mark no end of sentence but a space: phrases shorter than this stay with those before."""

_LETTERS = {
    "ru": "\u0400-\u052f", "el": "\u0370-\u03ff", "hy": "\u0530-\u058f", "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff\u0750-\u077f", "hi": "\u0900-\u097f", "bn": "\u0980-\u09ff", "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff", "ta": "\u0b80-\u0bff", "te": "\u0c00-\u0c7f", "kn": "\u0c80-\u0cff", "ml": "\u0d00-\u0d7f",
    "th": "\u0e00-\u0e7f", "lo": "\u0e80-\u0eff", "my": "\u1000-\u109f", "ka": "\u10a0-\u10ff", "am": "\u1200-\u137f",
    "km": "\u1780-\u17ff", "ko": "\u1100-\u11ff\uac00-\ud7af", "ja": "\u3040-\u30ff", "zh": "\u3400-\u4dbf\u4e00-\u9fff",
}  # fmt: skip
_BY_SCRIPT = {language: re.compile(f"[{letters}]") for language, letters in _LETTERS.items()}
_OTHER_SCRIPT = re.compile("[" + "".join(_LETTERS.values()) + "]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
KANA_SHARE = 0.1
"""Japanese is written in Chinese characters as well: so much of kana among the two tells it."""

_ITEM = r"(?:[*+•◦▪‣·-]|\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})[.)])"
_NEW_BLOCK = re.compile(
    r"\n[^\S\n]*\n\s*"  # a blank line
    rf"|\n(?=[^\S\n]*(?:{_ITEM}[^\S\n]|#{{1,6}}[^\S\n]|\|))"  # before an item, a heading, a row
    r"|(?<=\|)[^\S\n]*\n"  # behind a row
)
_HEADING = re.compile(r"(?m)^[^\S\n]*#{1,6}[^\S\n][^\n]*\n")
_MARKER_ALONE = re.compile(rf"\s*{_ITEM}\s*")
_QUOTES = re.compile('["“”„«»「」『』]')
_CLOSERS = re.compile(r"(?:[\"'”’»」』)\]}）】》〉]|[\u00a0\u202f ]»|“(?!\w))+")
_REFERENCE = re.compile(r"(?:\[[^\[\]\n]{1,40}\]|:\d{1,4}(?:[,–-] ?\d{1,4})*(?![\w:]))+")
_IDEOGRAPHIC_END = re.compile("[。！？｡]+")
_GOES_ON = re.compile(r"[\s\"'“”«»—–-]*")
_TITLE = re.compile(r"(?:^|[\s(])(?:[\u0621-\u064a]|डॉ|डा|प्रो|पं|श्री|ड|ডা|ড|মো|திரு|డా|ഡോ|ડૉ|ਡਾ)\.\s*$")
_SPACE_IN = {language: re.compile(f"(?<=[{_LETTERS[language]}])[^\\S\\n]+(?=[{_LETTERS[language]}])") for language in ("th", "lo")}


def sentence_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """(start, end) of the sentences, in characters: the first starts at 0, each ends where the next starts, the last at
    len(text). White space behind a sentence belongs to it, and at the text's start to the first.

    `language` is an ISO 639-1 code; without it each block of text is read by the rules of its script's largest
    language, English for Latin letters.
    """
    borders: list[int] = []
    for start, end in _blocks(text):
        borders += [start + border for border in _borders(text[start:end], language)]
        borders.append(end)
    spans: list[tuple[int, int]] = []
    start = 0
    for border in borders:
        piece = text[start:border]
        if not any(c.isalnum() for c in piece) and spans:  # marks alone belong to what stands before
            spans[-1] = (spans[-1][0], border)
        elif border < len(text) and (not piece.strip() or _MARKER_ALONE.fullmatch(piece)):
            continue  # `1.` belongs to what it counts
        elif start < border:
            spans.append((start, border))
        start = border
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def sentence_pieces(text: str, language: str | None = None) -> list[str]:
    """The sentences with the white space behind them: joined, they are the text."""
    return [text[start:end] for start, end in sentence_spans(text, language)]


def sentences(text: str, language: str | None = None) -> list[str]:
    """The sentences of a text without white space around them; none where it holds white space alone."""
    return [piece.strip() for piece in sentence_pieces(text, language) if piece.strip()]


def halves(text: str) -> tuple[str, str]:
    """`text` in two, joined the same again: at the white space next to its middle (which stays with the first), and in
    one without any (Chinese, base64) next to the middle, at no place inside a character with its accents."""
    middle = len(text) // 2
    borders = [m.end() for m in re.finditer(r"\s+", text) if m.start() > 0 and m.end() < len(text)]
    if borders:
        border = min(borders, key=lambda b: abs(b - middle))
    else:
        whole = [i for i in range(1, len(text)) if not unicodedata.category(text[i]).startswith("M")]
        border = min(whole or [middle], key=lambda b: abs(b - middle))
    return text[:border], text[border:]


def script_language(text: str) -> str:
    """The code of the largest language that is written in most of the text's letters."""
    if _OTHER_SCRIPT.search(text) is None:
        return "en"
    counts = {language: len(pattern.findall(text)) for language, pattern in _BY_SCRIPT.items()}
    counts["en"] = len(_LATIN.findall(text))
    if counts["ja"] > KANA_SHARE * (counts["ja"] + counts["zh"]):
        counts["ja"] += counts["zh"]
    return max(counts, key=lambda language: counts[language])


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches that no sentence goes beyond: paragraphs, items, rows, headings."""
    borders = {m.end() for m in _NEW_BLOCK.finditer(text)} | {m.end() for m in _HEADING.finditer(text)} | {len(text)}
    start = 0
    for border in sorted(borders):
        if start < border:
            yield start, border
        start = border


def _borders(block: str, language: str | None) -> list[int]:
    """Places inside a block where a sentence ends and the next begins."""
    code = language or script_language(block)
    found = _ends(block, code, masked=_QUOTES)
    borders: list[int] = []
    start = 0
    for end in [*found, len(block)]:
        if end - start > LONGEST:
            borders += [start + inner for inner in _inner(block[start:end], code)]
        if end < len(block):
            borders.append(end)
        start = end
    return borders


def _inner(piece: str, code: str) -> list[int]:
    """Borders in what is too long for a sentence: its lines, else the sentences inside its brackets."""
    lines = [m.end() for m in re.finditer(r"\n", piece) if piece[: m.end()].strip() and piece[m.end() :].strip()]
    return lines or _ends(piece, code, masked=re.compile(_QUOTES.pattern[:-1] + "()\\[\\]{}（）【】]"))


def _ends(block: str, code: str, masked: re.Pattern[str]) -> list[int]:
    # imported late: whoever cuts no text needs no compiled library
    from sentencex import segment

    # Same length, character for character. sentencex 1.0 breaks on white space of several bytes, takes a stray quotation
    # mark for the beginning of a quotation without an end, and keeps whole quotations together; half a surrogate pair
    # cannot be handed to it.
    plain = re.sub(r"\s", " ", masked.sub(" ", re.sub("[\ud800-\udfff]", "\ufffd", block)))
    raw: set[int] = set()
    start = 0
    # stretch by stretch: sentencex takes the square of a text's length where no white space stands
    for stop in [*(m.end() for m in _IDEOGRAPHIC_END.finditer(plain)), len(plain)]:
        for piece in segment(code, plain[start:stop]):
            raw.add(start + len(piece.rstrip()))
            start += len(piece)
        raw.add(stop)
        start = stop
    if code in _SPACE_IN:
        raw |= {m.start() for m in _SPACE_IN[code].finditer(block)}
    opening = _opening_marks(block)
    found: list[int] = []
    before = 0
    for end in sorted(raw):
        border = _behind(block, end, opening)
        if not before < border < len(block) or not _is_border(block, before, end, border):
            continue
        if code in _SPACE_IN and block[end - 1] not in ".!?…" and border - before < PHRASE:
            continue
        found.append(border)
        before = border
    return found


def _opening_marks(block: str) -> set[int]:
    """Places of straight quotation marks before a letter that stand where one opens: every second of its kind."""
    places: set[int] = set()
    for mark in "\"'":
        places.update(m.start() for m in list(re.finditer(mark, block))[::2] if block[m.end() : m.end() + 1].isalnum())
    return places


def _behind(block: str, end: int, opening: Collection[int]) -> int:
    """Where the next sentence begins, given where this one's last mark ends: behind closing marks, references such as
    [3], and white space."""
    if closers := _CLOSERS.match(block, end):
        end = closers.end() - (closers.end() - 1 in opening)
    if reference := _REFERENCE.match(block, end):
        end = reference.end()
    space = re.compile(r"\s*").match(block, end)
    assert space is not None  # nothing matches as well
    return space.end()


def _is_border(block: str, start: int, end: int, border: int) -> bool:
    mark, behind = block[end - 1], block[end:border]
    if mark == "." and not behind and block[border].isalnum():  # os.path, A.B
        return False
    if _TITLE.search(block[max(start, end - 12) : end]):  # no title is so long
        return False
    # “Really?” asked Mr Jones. «Где он?» — спросил он.
    goes_on = _GOES_ON.match(block, border)
    assert goes_on is not None  # nothing matches as well
    quoted = _QUOTES.search(behind) is not None or "—" in goes_on.group()
    return not (quoted and block[goes_on.end() : goes_on.end() + 1].islower())
