"""Local files of rows: JSON, JSON lines, CSV and parquet, plain or gzipped, with or without a byte order mark.

JSON is read by `json` and not by `datasets`, which guesses types over a whole column: there "2021-05-08" becomes a date, a
4 beside a "4" a string, and a missing field a null, so that no row could be held to a schema. Parquet has its types. A cell
of CSV is a string, an empty one no value; the first line names the columns.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from infoagent.data.reading.schema import Unreadable
from infoagent.parsing import (
    BROKEN_GZIP,
    DOCUMENT_BYTES,
    FILE_BYTES,
    LINE_BYTES,
    MIB,
    TooLarge,
    json_loads,
    limit_bytes,
    opened,
    over_limit,
    read_all,
)
from infoagent.types import InputError

JSON_LINES = (".jsonl", ".ndjson")
PUBLISHED = (".json", *JSON_LINES, ".parquet")
"""What published sets come in; each may be gzipped."""
_DELIMITERS = (",", ";", "\t")
_MARK = b"\xef\xbb\xbf"
_BATCH_ROWS = 256
"""Of parquet, read at once: one long text may stand in every row and be stored once."""
_CELLS = 100_000_000
"""Of a parquet file: a few bytes stand for millions of cells that are alike."""


STANDARD_INPUT = "standard input"
TOO_LARGE = "file beyond the limit of size"


class BadFile(InputError):
    """One file that cannot be read; `cause` says why in words that many files may share, to be counted by."""

    def __init__(self, line: str, cause: str) -> None:
        super().__init__(line)
        self.cause = cause


@dataclass(frozen=True)
class Row:
    """A row, and where it stands: file or hub id, and its number from 1."""

    where: str
    content: Any


def kind_of(file: Path) -> str:
    """The last suffix in lower case, that of a gzipped file without its `.gz`."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def table_files(name: str, path: str, kinds: tuple[str, ...] = PUBLISHED, setting: str | None = None) -> list[Path]:
    """The file, or the files of the folder, that can be read. Raises InputError where there is none. `setting` is how the
    user names `path`, where no recipe does."""
    given = f"{setting or 'data.path ='} {path!r}"
    root = Path(path).expanduser()
    if not root.exists():
        raise InputError(f"{given}: no such file or folder")
    files = sorted(f for f in root.rglob("*") if f.is_file()) if root.is_dir() else [root]
    readable = [f for f in files if kind_of(f) in kinds]
    if not readable:
        what = "holds no file that ends" if root.is_dir() else "does not end"
        reads = f"data.name={name} reads those" if setting is None else "those are read"
        raise InputError(f"{given}: {what} in {', '.join(kinds)}, or one of them and .gz; {reads}")
    return readable


def bytes_identity(*files: Path) -> str:
    """`sha256:` and 16 hexadecimal digits of the bytes of the files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return "sha256:" + digest.hexdigest()[:16]


def read_json(file: Path) -> tuple[Any, str]:
    """The content of a JSON file and its identity. Raises InputError where it is no JSON."""
    try:
        with _opened(file) as stream:
            value = json_loads(read_all(stream, FILE_BYTES).removeprefix(_MARK))
    except TooLarge as error:
        raise BadFile(f"{file}: {error}", TOO_LARGE) from error
    except (ValueError, *BROKEN_GZIP) as error:
        raise InputError(f"{file}: not valid JSON: {error}") from error
    return value, bytes_identity(file)


def file_rows(file: Path, between: str = ": row ") -> Iterator[Row]:
    """The rows of one file, in its order; a row that is no JSON is `Unreadable`. Its place is FILE, `between`, and the
    number of its line (JSON lines, CSV), or of the row. Raises InputError for a file that cannot be read as a whole."""
    kind = kind_of(file)
    if kind == ".parquet":
        yield from _parquet_rows(file, between)
    elif kind in (".csv", ".tsv"):
        yield from _csv_rows(file, between)
    elif kind == ".json" and not _holds_lines(file):
        content, _ = read_json(file)
        if isinstance(content, list):
            yield from (Row(f"{file}{between}{number}", row) for number, row in enumerate(content, start=1))
        else:
            yield Row(str(file), content)
    else:
        yield from _json_lines(file, between)


def read_bytes(file: Path) -> bytes:
    """The bytes of a document's file. Raises BadFile where it may not be read, or holds too many."""
    try:
        with file.open("rb") as stream:
            return read_all(stream, DOCUMENT_BYTES)
    except TooLarge as error:
        raise BadFile(f"{file}: {error}", TOO_LARGE) from error
    except OSError as error:
        raise BadFile(f"{file}: cannot be read: {error.strerror or error}", "file that may not be read") from error


def read_standard_input() -> str:
    """Standard input as a text in UTF-8, whatever the locale. Raises BadFile where it is none, or holds too much."""
    try:
        return decoded(read_all(sys.stdin.buffer, DOCUMENT_BYTES), STANDARD_INPUT)
    except TooLarge as error:
        raise BadFile(f"{STANDARD_INPUT}: {error}", TOO_LARGE) from error


def read_text(file: Path) -> str:
    """A text file in UTF-8, gzipped or not, without its byte order mark. Raises InputError for any other."""
    try:
        with _opened(file) as stream:
            content = read_all(stream, FILE_BYTES)
    except TooLarge as error:
        raise BadFile(f"{file}: {error}", TOO_LARGE) from error
    except BROKEN_GZIP as error:
        raise InputError(f"{file}: not a whole gzip file: {error}") from error
    return decoded(content, str(file))


def decoded(content: bytes, where: str) -> str:
    """UTF-8 without its byte order mark. Raises BadFile for anything else."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = f"{where}: not UTF-8 at byte {error.start}; save it as UTF-8"
        raise BadFile(line, "file that is not in UTF-8") from error


def _opened(file: Path) -> IO[bytes]:
    """The file's content, unpacked. Raises BadFile where it may not be read."""
    try:
        return opened(file)
    except OSError as error:
        raise BadFile(f"{file}: cannot be read: {error.strerror or error}", "file that may not be read") from error


def _holds_lines(file: Path) -> bool:
    """Whether a .json file is one of JSON lines under a name of its own: its first line is a row, and others follow."""
    try:
        with _opened(file) as stream:
            lines = _lines(stream)
            first = json_loads(next(lines, b"").removeprefix(_MARK))
            return isinstance(first, dict) and any(line.strip() for line in lines)
    except (ValueError, *BROKEN_GZIP):
        return False


def _json_lines(file: Path, between: str) -> Iterator[Row]:
    with _opened(file) as stream:
        yield from stream_rows(stream, str(file), between)


def stream_rows(stream: IO[bytes], name: str, between: str = ": row ") -> Iterator[Row]:
    """JSON lines of an open stream, one row a line; its number is that of the line. Only \\n ends a line: strings may hold
    other line ends. Raises InputError as `file_rows`."""
    try:
        for number, line in enumerate(_lines(stream), start=1):
            if line.strip() in (b"", _MARK):
                continue
            try:
                row = json_loads(line.removeprefix(_MARK))
            except UnicodeDecodeError as error:
                row = Unreadable(f"not valid JSON: not UTF-8 at byte {error.start} of the line")
            except json.JSONDecodeError as error:
                row = Unreadable(f"not valid JSON: {error.msg} at column {error.colno}")
            except ValueError as error:
                row = Unreadable(f"not valid JSON: {error}")
            yield Row(f"{name}{between}{number}", row)
    except TooLarge as error:
        raise BadFile(f"{name}: {error}", TOO_LARGE) from error
    except BROKEN_GZIP as error:
        raise InputError(f"{name}: not a whole gzip file: {error}") from error


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, counted as they are unpacked. Raises TooLarge."""
    limit = limit_bytes(FILE_BYTES)
    total = 0
    for number in count(1):
        line = stream.readline(LINE_BYTES + 1)
        total += len(line)
        if len(line) > LINE_BYTES:
            raise TooLarge(f"line {number} holds more than {LINE_BYTES // MIB} MiB; cut it up")
        if total > limit:
            raise TooLarge(over_limit(limit))
        if not line:
            return
        yield line


def _csv_rows(file: Path, between: str) -> Iterator[Row]:
    """Rows by the names of the first line, which also tells the delimiter: the one that gives the most columns."""
    text = read_text(file)
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    before = csv.field_size_limit(max(len(text), csv.field_size_limit()))  # a cell may be a whole book
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        names = next(reader, [])
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise InputError(f"{file}: column {twice[0]!r} stands twice in the first line")
        start = reader.line_num + 1
        for cells in reader:
            where = f"{file}{between}{start}"
            start = reader.line_num + 1
            if len(cells) > len(names):
                yield Row(where, Unreadable(f"has {len(cells)} cells, the first line names {len(names)} columns"))
            elif any(cells):  # pandas writes its index as a column without a name
                yield Row(where, {name: cell for name, cell in zip(names, cells, strict=False) if name and cell})
    except csv.Error as error:
        raise InputError(f"{file}: not valid CSV near line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(before)


def _parquet_rows(file: Path, between: str) -> Iterator[Row]:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with _opened(file) as stream:
            table = parquet.ParquetFile(io.BytesIO(read_all(stream, FILE_BYTES)) if isinstance(stream, gzip.GzipFile) else file)
            number = 0
            cells = table.metadata.num_rows * table.metadata.num_columns
            if cells > _CELLS:
                raise TooLarge(f"claims {cells} cells; at most {_CELLS} are read")
            held, limit = 0, limit_bytes(FILE_BYTES)
            for batch in table.iter_batches(batch_size=_BATCH_ROWS):
                held += batch.nbytes
                if held > limit:
                    raise TooLarge(over_limit(limit))
                for row in batch.to_pylist():
                    number += 1
                    row.pop("__index_level_0__", None)  # pandas' index
                    yield Row(f"{file}{between}{number}", row)
    except InputError:
        raise
    except TooLarge as error:
        raise BadFile(f"{file}: {error}", TOO_LARGE) from error
    except BROKEN_GZIP as error:
        raise InputError(f"{file}: not a whole gzip file: {error}") from error
    # a damaged file breaks pyarrow in whatever place it happens to be
    except (arrow.ArrowException, OSError, ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file}: not a parquet file: {reason}") from error
