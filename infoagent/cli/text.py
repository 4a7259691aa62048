"""Reading what the user hands in."""

from __future__ import annotations

import sys
from pathlib import Path

from infoagent.types import InputError


def read_text(name: str) -> str:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{name}: no such file; give a text file, or - for standard input") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if not text.strip():
        raise InputError(f"{name}: the document is empty")
    return text
