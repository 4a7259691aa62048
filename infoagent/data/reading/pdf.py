"""Paragraphs of a PDF's text: what a page says, without the lines that stand on every page.

A PDF holds lines, not paragraphs. They are put together again by what can be seen of them: a line that is shorter than
the others and ends a sentence ends its paragraph, a word divided at the end of a line is joined, and a paragraph may go
on over the end of a page. Scans hold no text and are refused.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from infoagent.data.reading.apart import read_apart
from infoagent.data.reading.tables import BadFile

if TYPE_CHECKING:
    from pypdf import PageObject

EDGE_LINES = 3
"""Running headers and page numbers are looked for among so many lines at the top and at the bottom of each page."""
EDGE_CHARACTERS = 300
"""A longer line is no running header."""
EDGE_NUMBERS = 10
"""Of a line: each may be the page's, and is looked for on all pages."""
LONGEST_WORD = 200
SHORT_LINE = 0.75
"""A line below this share of the usual width was not filled up: something ended there."""
USUAL_WIDTH_QUANTILE = 0.9

_ENDS = re.compile(r"[.!?:;][\"'”’)\]]*$")
_ITEM = re.compile(r"(?:[•◦▪‣*–-]|\(?\d{1,2}[.)]|\([a-z]\))\s+\S")
_DIVIDED = re.compile(r"[^\W\d_]-$")
_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\x00": "", "\xa0": " "}

log = logging.getLogger(__name__)


def pdf_paragraphs(content: bytes, where: str, left_out: Counter[str] | None = None) -> list[str]:
    """The paragraphs of a PDF file's `content`; pages without text are counted in `left_out`. A file that is encrypted,
    but opens without a password, is read. Raises BadFile where it is damaged, needs a password, holds no text, or goes over
    the limits of `infoagent.data.reading.apart`."""
    found = read_apart("pdf", where, content)
    if found["empty"]:
        if left_out is not None:
            left_out["PDF page without text"] += found["empty"]
        log.warning("%s: %d of %d pages hold no text and are left out", where, found["empty"], found["pages"])
    return list(found["paragraphs"])


def parsed(content: bytes, where: str) -> dict[str, Any]:
    """`paragraphs`, the number of `pages`, and how many of them are `empty`; in this process, without limits. Raises
    BadFile."""
    texts = _page_texts(content, where)
    lines = [[" ".join(line.split()) for line in _clean(text).split("\n")] for text in texts]
    empty = sum(not text.strip() for text in texts)
    return {"paragraphs": rebuilt(without_running_lines(lines)), "pages": len(texts), "empty": empty}


def _page_texts(content: bytes, where: str) -> list[str]:
    """The text of each page."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError, WrongPasswordError

    try:
        pages = PdfReader(io.BytesIO(content)).pages
        texts = [page.extract_text() for page in pages]
        pictures = sum(not text.strip() and _has_picture(page) for page, text in zip(pages, texts, strict=True))
    except (FileNotDecryptedError, WrongPasswordError) as error:
        line = f"{where}: is encrypted and does not open without its password; save a copy without one"
        raise BadFile(line, "PDF that needs a password") from error
    except DependencyError as error:
        line = f"{where}: needs a library that is not installed ({error}); pip install 'pypdf[crypto]'"
        raise BadFile(line, "PDF that needs a library") from error
    # a damaged file breaks the parser in whatever place it happens to be
    except (
        PyPdfError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
        RuntimeError,
        OSError,
        struct.error,
        zlib.error,
    ) as error:
        raise BadFile(
            f"{where}: cannot be read as a PDF ({type(error).__name__}: {' '.join(str(error).split())[:100]}); open it and "
            "save it anew, or bring its text as .txt",
            "damaged PDF",
        ) from error
    empty = sum(not text.strip() for text in texts)
    if empty == len(texts):
        what = (
            f"is a scan: {pictures} of its {len(texts)} pages are pictures and none holds text"
            if pictures
            else (f"none of its {len(texts)} pages holds text, they may be scans")
        )
        cause = "scanned PDF without text" if pictures else "PDF without text"
        raise BadFile(f"{where}: {what}; run text recognition (OCR) first", cause)
    return texts


def _has_picture(page: PageObject) -> bool:
    """Whether a page shows an image: what a scanner makes of it."""
    from pypdf.generic import DictionaryObject

    objects = page.get("/Resources", DictionaryObject()).get_object().get("/XObject", DictionaryObject()).get_object()
    return any(held.get_object().get("/Subtype") == "/Image" for held in objects.values())


def _clean(text: str) -> str:
    for old, new in _LIGATURES.items():
        text = text.replace(old, new)
    return re.sub("[\ud800-\udfff]", "\ufffd", text)  # half a surrogate pair is no text and cannot be written


def without_running_lines(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """`pages` without headers, footers and page numbers: the lines at a page's edge that stand on most pages.

    Two lines that differ in their numbers are the same if one of the numbers counts the pages. A page's first or last
    line is one of them as well if it begins or ends with that number, as in `3 Methods 17`.
    """
    keys = [_edge_keys(lines, number) for number, lines in enumerate(pages)]
    seen = Counter(key for page in keys for key in set().union(*page.values()))
    running = {key for key, count in seen.items() if count >= 2 and count > len(pages) / 2}
    return [
        [line for index, line in enumerate(lines) if running.isdisjoint(page.get(index, ()))]
        for lines, page in zip(pages, keys, strict=True)
    ]


def _edge_keys(lines: Sequence[str], page: int) -> dict[int, set[str]]:
    """For each line at the edge of a page, what it may be recognised by on other pages."""
    filled = [index for index, line in enumerate(lines) if line]
    found: dict[int, set[str]] = {}
    for index in {*filled[:EDGE_LINES], *filled[-EDGE_LINES:]}:
        line = lines[index]
        if len(line) > EDGE_CHARACTERS:
            continue
        found[index] = {line}
        for match in islice(re.finditer(r"\d{1,6}", line), EDGE_NUMBERS):
            counted = int(match.group()) - page
            found[index].add(f"{line[: match.start()]}\x00{counted}\x00{line[match.end() :]}")
            if index in (filled[0], filled[-1]) and (match.start() == 0 or match.end() == len(line)):
                found[index].add(f"\x00{counted}")
    return found


def rebuilt(pages: Sequence[Sequence[str]]) -> list[str]:
    """Paragraphs from the lines of all pages. A page's end ends no paragraph by itself."""
    lines = [line for page in pages for line in page]
    widths = sorted(len(line) for line in lines if line)
    if not widths:
        return []
    width = widths[min(int(USUAL_WIDTH_QUANTILE * len(widths)), len(widths) - 1)]
    words = Counter(re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", "\n".join(lines)))
    paragraphs: list[list[str]] = []  # of each the lines, since a text that grows line by line costs its square
    before = ""
    gap = False
    for line in lines:
        if not line:
            gap = True
            continue
        if not paragraphs or _begins(before, line, gap, width):
            paragraphs.append([line])
        else:
            _join(paragraphs[-1], line, words)
        before, gap = line, False
    return ["".join(parts) for parts in paragraphs]


def _begins(before: str, line: str, gap: bool, width: int) -> bool:
    """Whether `line` begins a paragraph; `gap`: a blank line stands before it, which some programs write everywhere."""
    if _ITEM.match(line):
        return True
    goes_on = line[0].islower()
    if _ENDS.search(before) is None and goes_on:
        return False
    return gap or (len(before) < SHORT_LINE * width and not goes_on)


def _join(parts: list[str], line: str, words: Counter[str]) -> None:
    """One line after another: a word divided at the end of a line loses its hyphen, unless it is written with one."""
    last = parts[-1]
    if last.endswith("\xad"):
        parts[-1] = last[:-1]
    elif not _DIVIDED.search(last[-2:]) or not line[0].islower():
        parts.append(" ")
    else:
        first, second = _last_word(parts), re.split(r"[^\w-]", line[:LONGEST_WORD])[0]
        if words[first + second] <= words[first[:-1] + second]:
            parts[-1] = last[:-1]
    parts.append(line)


def _last_word(parts: Sequence[str]) -> str:
    tail = ""
    for part in reversed(parts):
        tail = part[-LONGEST_WORD:] + tail
        if len(tail) >= LONGEST_WORD:
            break
    return re.split(r"[^\w-]", tail)[-1]
