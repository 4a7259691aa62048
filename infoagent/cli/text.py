"""Reading what the user hands in."""

from __future__ import annotations

from pathlib import Path

from infoagent.data.reading.documents import SUFFIXES, read_document
from infoagent.data.reading.tables import decoded, kind_of, read_bytes, read_standard_input
from infoagent.types import InputError


def read_input(name: str) -> str:
    """The text of a file as `data.name=text` reads it; a file of another suffix is plain text, "-" standard input. Raises
    InputError, one line, where it cannot be read or holds no text."""
    if name == "-":
        text = read_standard_input()
    elif not Path(name).is_file():
        raise InputError(f"{name}: no such file; give a file of text, Markdown or PDF, or - for standard input")
    elif kind_of(Path(name)) in SUFFIXES:
        return read_document(Path(name)).text
    else:
        text = decoded(read_bytes(Path(name)), name)
    if not text.strip():
        raise InputError(f"{name}: the document is empty")
    return text
