"""Records: one JSON line for each compression and for each prediction, addressed by its content.

The key of a record is the hash of everything that decides it, so a killed or extended run goes on where it was and
computes nothing twice. A failure is a record with its cause, never a value.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from infoagent.store import read_jsonl
from infoagent.types import InputError

RECORDS_FILE = "records.jsonl"


def content_key(**parts: Any) -> str:
    """Hash of `parts` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RecordFile:
    """Records of one output directory, appended and flushed one by one."""

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / RECORDS_FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            rows = read_jsonl(self.path)
            self.rows = {row["key"]: row for row in rows}
            if not self.path.read_bytes().endswith(b"\n"):  # a killed process left half a line: cut it off
                self.path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")

    def done(self, key: str) -> bool:
        """Whether the record is there and did not fail: failures are tried again."""
        return key in self.rows and self.rows[key]["status"] == "ok"

    def append(self, row: dict[str, Any]) -> None:
        self.rows[row["key"]] = row
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_records(directory: str | Path) -> list[dict[str, Any]]:
    """The records of an evaluation, the last one of each key. Raises InputError if the directory holds none."""
    path = Path(directory) / RECORDS_FILE
    if not path.is_file():
        raise InputError(
            f"{directory}: holds no {RECORDS_FILE}; give the output_dir of eval/frozen.py or eval/checkpoint.py"
        )
    return list({row["key"]: row for row in read_jsonl(path)}.values())
