"""Bounded deserialisation of foreign input: JSON and packed files, with limits on depth, digits and bytes.

    json_loads('{"a": [1, 2]}')        raises ValueError for JSON that no row of ours could be

A few hundred bytes can stand for gigabytes or for a nesting that no program walks. What is refused here is a `ValueError` of
one line; readers of files say which file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from infoagent.types import InputError

DEPTH = 100
"""Of lists and objects in each other: far beyond any data, and far below where Python's own functions stop."""
DIGITS = 300
"""Of a whole number: each one can be a float."""
MIB = 1 << 20
DOCUMENT_BYTES = 256 * MIB
"""Of one text or PDF, unpacked: fifty times the longest novels."""
FILE_BYTES = 2048 * MIB
"""Of one file of rows, unpacked."""
LINE_BYTES = 64 * MIB
"""Of one line of a file of rows: JSON takes up to thirty times its own size in memory."""
LIMIT_VARIABLE = "INFOAGENT_MAX_FILE_MIB"
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
_BLOCK = 1 << 20


class TooLarge(ValueError):
    """Input beyond a limit; the message says which."""


def limit_bytes(usual: int) -> int:
    """`usual`, or what INFOAGENT_MAX_FILE_MIB says. Raises InputError where that is no whole number above 0."""
    said = os.environ.get(LIMIT_VARIABLE)
    if not said:
        return usual
    mib = whole_number(said)
    if not mib:
        raise InputError(f"{LIMIT_VARIABLE} = {said[:40]!r}: must be a whole number of MiB above 0; or unset it")
    return mib * MIB


def whole_number(text: str) -> int | None:
    """The number that a text is, in at most nine digits and nothing else; None for any other text. (`isdigit` also holds of ²,
    which `int` does not read, and of more digits than it reads.)"""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits; at most {DIGITS} are read")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_whole)


def json_loads(content: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """`json.loads` with limits; `pairs` makes an object of its fields. Raises ValueError: JSONDecodeError or
    UnicodeDecodeError for what is no JSON, and plain ones of a line for nesting beyond DEPTH and whole numbers beyond
    DIGITS."""
    if isinstance(content, bytes):
        content = content.decode(json.detect_encoding(content), "surrogatepass")
    if content.startswith("\ufeff"):
        raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", content, 0)
    try:
        decoder = _DECODER if pairs is None else json.JSONDecoder(parse_int=_whole, object_pairs_hook=pairs)
        value = decoder.decode(content)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if content.count("[") + content.count("{") > DEPTH:
        check_depth(value)
    return value


_TOO_DEEP = f"nested too deep: more than {DEPTH} levels"


def check_depth(value: Any, depth: int = DEPTH) -> None:
    """Raises ValueError where lists and dicts stand in each other more than `depth` times; walks level by level."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for held in level
            if isinstance(held, dict | list)
            for inner in (held.values() if isinstance(held, dict) else held)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def opened(file: Path) -> IO[bytes]:
    """The file's content, unpacked where it is a gzip. Raises OSError where it may not be read."""
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b" or file.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(file)) if packed else file.open("rb")


def read_all(stream: IO[bytes], usual: int) -> bytes:
    """All bytes of a stream, counted as they are unpacked. Raises TooLarge, and what the stream raises."""
    limit = limit_bytes(usual)
    held = bytearray()
    while block := stream.read(_BLOCK):
        held += block
        if len(held) > limit:
            raise TooLarge(over_limit(limit))
    return bytes(held)


def unpacked(content: bytes, usual: int = DOCUMENT_BYTES) -> bytes:
    """Bytes that may be a gzip, unpacked. Raises TooLarge, or one of BROKEN_GZIP."""
    limit = limit_bytes(usual)
    if content[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(content)) as stream:
            return read_all(cast(IO[bytes], stream), usual)
    if len(content) > limit:
        raise TooLarge(over_limit(limit))
    return content


def over_limit(limit: int) -> str:
    """The line on what holds more than `limit` bytes."""
    return f"holds more than {limit // MIB} MiB, unpacked; cut it up, or set {LIMIT_VARIABLE} to allow more"
