"""Records: one JSON line for each compression, reply and prediction, addressed by its content.

The key of a record is the hash of everything that decides it, so a killed or extended run goes on where it was and
computes and pays for nothing twice. A failure is a record with its cause, never a value. What belongs together is
written in one piece: after a kill it is there as a whole or not at all.

Processes that share the work write a file each (`records-2of4.jsonl`), and every one of them reads all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from infoagent.files import append_jsonl
from infoagent.parsing import whole_number
from infoagent.records.files import Row, rows_of, take
from infoagent.records.grid import CompressionRecord, GridRecord, record_of
from infoagent.records.json_form import as_json
from infoagent.types import InputError

PAID = ("reply", "search", "source")
"""Kinds of records that others want money for."""


@dataclass(frozen=True)
class Shard:
    """Which part of the work a process does: `index` of `number`, counted from 0."""

    index: int = 0
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `2/4`, the second of four. Raises InputError."""
        first, _, second = text.partition("/")
        index, number = whole_number(first), whole_number(second)
        if index is None or number is None or not 1 <= index <= number:
            raise InputError(f"--shard {text[:40]}: must be I/N with 1 ≤ I ≤ N, e.g. --shard 2/4")
        return cls(index - 1, number)

    @property
    def suffix(self) -> str:
        return "" if self.number == 1 else f"-{self.index + 1}of{self.number}"

    def has(self, batch: int) -> bool:
        """Whether the batch with this number is this process's. Whole batches, since a draw depends on its batch."""
        return batch % self.number == self.index


UNSETTLED = '"dtype":"auto"'
"""Within a string the quotation marks are escaped, so no text of the data looks like it."""


def content_key(**parts: Any) -> str:
    """Hash of `parts` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert UNSETTLED not in text, "a key of dtype auto would name two types: settle() comes before any key"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RecordFile:
    """Records of one output directory."""

    def __init__(self, directory: str | Path, shard: Shard = Shard()) -> None:
        self.directory = Path(directory)
        self.path = self.directory / f"records{shard.suffix}.jsonl"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, Row] = {}
        self.paid_usd = 0.0
        """What all requests of this directory have cost, failed ones and earlier runs included."""
        self.read()

    def read(self) -> None:
        """Take in what stands in the files of all processes."""
        self.rows, self.paid_usd = {}, 0.0
        for row in rows_of(self.directory):
            self._take(row)

    def _take(self, row: Row) -> None:
        take(self.rows, row)
        if row.get("kind") in PAID:
            self.paid_usd += row.get("usd", 0.0)

    def done(self, key: str) -> bool:
        """Whether the record is there and did not fail: failures are tried again."""
        return key in self.rows and self.rows[key]["status"] == "ok"

    def settled(self, key: str) -> bool:
        """Whether nothing is left to do: it is done, or its failure is final. A draw that is no z stays one: to draw
        again until it is would choose among draws."""
        return key in self.rows and (self.rows[key]["status"] == "ok" or self.rows[key].get("final", False))

    def compression(self, key: str) -> CompressionRecord:
        return cast(CompressionRecord, record_of(self.rows[key]))

    def record(self, key: str) -> GridRecord:
        return record_of(self.rows[key])

    def append(self, *rows: Row | GridRecord) -> None:
        """Add rows, all of them in one piece."""
        for row in append_jsonl(self.path, [as_json(row) for row in rows]):
            self._take(row)


def batches(number: int, size: int) -> Iterator[tuple[int, Sequence[int]]]:
    """(number of the batch, its indices)."""
    for batch, start in enumerate(range(0, number, size)):
        yield batch, range(start, min(start + size, number))
