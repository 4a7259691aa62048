"""Documents from files: plain text, Markdown and PDF, as one text and as paragraphs.

    read_document(Path("report.pdf")).text

Suffixes count in any case, and each file may be gzipped. What cannot be read is one line that names the file, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infoagent.data.passages import paragraphs_of
from infoagent.data.reading.apart import read_apart
from infoagent.data.reading.markdown import markdown_paragraphs
from infoagent.data.reading.pdf import pdf_paragraphs
from infoagent.data.reading.tables import TOO_LARGE, BadFile, decoded, kind_of, read_bytes
from infoagent.parsing import BROKEN_GZIP, TooLarge, unpacked
from infoagent.types import InputError

PLAIN = (".txt", ".text")
MARKDOWN = (".md", ".markdown")
SHORT = 20_000
"""Characters of Markdown that are read without a process apart: what costs the square of its length costs little there."""
SUFFIXES = (*PLAIN, *MARKDOWN, ".pdf")


@dataclass(frozen=True)
class Document:
    """What a file says. `text` is the file's own, of a PDF its paragraphs with a blank line between them; `left_out`
    counts what was not taken, by cause."""

    text: str
    paragraphs: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def read_document(file: Path, content: bytes | None = None) -> Document:
    """The document in `file`, whose bytes may be given where they have been read already.

    Raises BadFile, an InputError of one line that names the file, where it cannot be read or holds no text.
    """
    kind = kind_of(file)
    if kind not in SUFFIXES:
        raise InputError(f"{file}: does not end in {', '.join(SUFFIXES)}; bring its text as one of them")
    content = _unpacked(file, read_bytes(file) if content is None else content)
    if kind == ".pdf":
        left_out: Counter[str] = Counter()
        paragraphs = pdf_paragraphs(content, str(file), left_out)
        return Document("\n\n".join(paragraphs), tuple(paragraphs), left_out)
    text = decoded(content, str(file))
    paragraphs = _markdown(text, str(file)) if kind in MARKDOWN else paragraphs_of(text)
    if not (paragraphs if kind in MARKDOWN else text.strip()):
        raise BadFile(f"{file}: the document is empty", "file without text")
    return Document(text, tuple(paragraphs))


def document_files(root: Path, counts: Counter[str]) -> list[Path]:
    """`root` itself, or the files below a folder that end in one of SUFFIXES; the others are counted by their suffix."""
    if root.is_file():
        return [root]
    files = sorted(f for f in root.rglob("*") if f.is_file())
    found = [f for f in files if kind_of(f) in SUFFIXES]
    counts.update(f"file of another kind ({kind_of(f) or 'no suffix'})" for f in files if kind_of(f) not in SUFFIXES)
    return found


def _unpacked(file: Path, content: bytes) -> bytes:
    try:
        return unpacked(content)
    except TooLarge as error:
        raise BadFile(f"{file}: {error}", TOO_LARGE) from error
    except BROKEN_GZIP as error:
        raise BadFile(f"{file}: not a whole gzip file: {error}", "damaged file") from error


def _markdown(text: str, where: str) -> list[str]:
    return markdown_paragraphs(text) if len(text) <= SHORT else read_apart("markdown", where, text.encode())["paragraphs"]
