"""Reading what the user hands in."""

from __future__ import annotations

import sys
from pathlib import Path

from infoagent.data.pdf import pdf_paragraphs
from infoagent.types import InputError


def read_document(name: str) -> str:
    """The text of a file, of a PDF its paragraphs with a blank line between them; of standard input for "-". Raises
    InputError, one line, where it cannot be read or holds no text."""
    if Path(name).suffix.lower() != ".pdf":
        return read_text(name)
    try:
        content = Path(name).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{name}: no such file; give a text file or a PDF, or - for standard input") from None
    return "\n\n".join(pdf_paragraphs(content, name))


def read_text(name: str) -> str:
    try:
        # some programs begin a file with a byte order mark, which is no part of its text
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{name}: no such file; give a text file, or - for standard input") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if not text.strip():
        raise InputError(f"{name}: the document is empty")
    return text
