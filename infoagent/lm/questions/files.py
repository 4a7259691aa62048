"""The files of written questions: FILE.jsonl with the questions, FILE.failed.jsonl with the replies that gave none.

Every reply is a line of one of the two as soon as it comes, with what it has cost (`paid`), so that a killed call loses
none that came and pays for none twice, and a spending limit holds over all calls on a file. A line of the second file:
    {"document_sha256", "document_id", "kind", "status": "failed", "cause", "seed"} and "reply" or "error", and "paid".
Earlier versions wrote one line for all tries of a question there, with "attempts" in place of "seed" and "reply".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.data.questions import StoredQuestion, paid_mistake, read_questions
from infoagent.data.reading.schema import Unreadable
from infoagent.data.reading.tables import file_rows
from infoagent.files import cut_half_line, hold_file, write_jsonl
from infoagent.types import InputError

Place = tuple[str, str]
"""The hash of a document, and a kind of question."""


@dataclass(frozen=True)
class QuestionFiles:
    """What both files hold: the questions, how often each place was asked in vain, and what all of it has cost."""

    questions: tuple[StoredQuestion, ...]
    tried: Counter[Place]
    paid_usd: float


def failures_path(path: str | Path) -> Path:
    """FILE.failed.jsonl for FILE.jsonl."""
    return Path(path).with_suffix(".failed.jsonl")


def check_file(path: str | Path, header: dict[str, Any]) -> None:
    """Raise InputError unless `path` is free, or a file of questions made in the same way."""
    file = Path(path)
    if not file.exists():
        return
    if file.is_dir():
        raise InputError(f"{file}: is a directory; name a file")
    try:
        before = json.loads(file.read_bytes().split(b"\n", 1)[0])
    except ValueError:
        before = None
    if not isinstance(before, dict) or "questions_version" not in before:
        raise InputError(f"{file}: is there and holds no questions; name another file")
    different = [
        f"{key} was {before.get(key)!r} and is {header[key]!r} now"
        for key in header
        if key not in ("created", "commit") and before.get(key) != header[key]
    ]
    if different:
        raise InputError(f"{file}: its questions were made otherwise, {'; '.join(different)}; name another file")


def open_files(path: str | Path, header: dict[str, Any]) -> QuestionFiles:
    """What stands in the files; a new one gets its header. Raises InputError for a file that holds anything else."""
    file, failures = Path(path), failures_path(path)
    hold_file(file)
    check_file(file, header)
    if not file.exists():
        write_jsonl(file, [header])  # a killed process leaves a whole header or no file
    cut_half_line(file)
    stored = read_questions(str(file)).questions
    tried: Counter[Place] = Counter()
    paid = [question.paid for question in stored]
    if failures.is_file():
        cut_half_line(failures)
        for row in file_rows(failures, ":"):
            _check_failure(row.content, row.where)
            times = len(row.content["attempts"]) if "attempts" in row.content else 1
            tried[row.content["document_sha256"], row.content["kind"]] += times
            paid.append(row.content.get("paid"))
    return QuestionFiles(stored, tried, math.fsum(cost["usd"] for cost in paid if cost is not None))


def _check_failure(row: Any, where: str) -> None:
    if isinstance(row, Unreadable):
        raise InputError(f"{where}: {row.reason}; the questions beside it are whole: move this file away to go on")
    is_known = (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in ("document_sha256", "kind"))
        and isinstance(row.get("attempts", []), list)
        and ("paid" not in row or paid_mistake(row["paid"]) is None)
    )
    if not is_known:
        raise InputError(f"{where}: is no line that `infoagent questions` wrote; move this file away to go on")
