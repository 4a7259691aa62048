"""The records.jsonl files of an output directory, one for each process, and what counts of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from infoagent.files import read_jsonl
from infoagent.records.grid import KINDS, GridRecord, missing_in, record_of
from infoagent.records.json_form import Json
from infoagent.store import read_if_run
from infoagent.types import InputError

RECORDS_FILE = "records.jsonl"
PROBLEMS_FILE, DOCUMENTS_FILE = "problems.jsonl", "documents.jsonl"
"""The texts that records name by key."""
Row = Json
"""A line of records.jsonl."""


def rows_of(directory: Path) -> Iterator[Row]:
    """Every line, in the order of the files. Raises InputError, with file and line, for one that lacks a field."""
    for path in sorted(directory.glob("records*.jsonl")):
        yield from read_jsonl(path, missing_in)


def take(held: dict[str, Row], row: Row) -> None:
    """Of the lines of one key the last counts, but a failure never hides a result."""
    before = held.get(row["key"])
    if before is None or before["status"] != "ok" or row["status"] == "ok":
        held[row["key"]] = row


def last_of_each_key(directory: str | Path) -> list[Row]:
    """The lines that count, of whatever kind."""
    held: dict[str, Row] = {}
    for row in rows_of(Path(directory)):
        take(held, row)
    return list(held.values())


def read_records(directory: str | Path) -> list[Row]:
    """The lines of an evaluation that count. Raises InputError if the directory holds none, or a later version's."""
    if not any(Path(directory).glob("records*.jsonl")):
        raise InputError(f"{directory}: holds no {RECORDS_FILE}; give the output_dir of eval/frozen.py or eval/checkpoint.py")
    read_if_run(directory)
    return last_of_each_key(directory)


def grid_of(rows: Sequence[Row]) -> list[GridRecord]:
    """The compressions and predictions among lines."""
    return [record_of(row) for row in rows if row.get("kind") in KINDS]
