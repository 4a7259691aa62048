"""Questions that a model wrote for documents that bring none, stored once and read ever after.

The file is JSONL. Its first line says how the questions were made:
    {"questions_version": 1, "model", "model_revision", "template", "temperature", "seed", "created", "commit",
     "data": {"name", "revision"}}
and each line after it holds one question:
    {"document_sha256", "document_id", "kind", "query", "answer"}, and where it is known "evidence", and what a server
    was paid for it: "paid": {"usd", "prompt_tokens", …}.
A question belongs to the document whose text has this hash: ids may come to name other texts, a hash cannot.
`infoagent questions` writes such files.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.data.reading.schema import HALF_PAIR, Unreadable, reported, shown
from infoagent.data.reading.tables import file_rows
from infoagent.types import InputError, Problem

QUESTIONS_VERSION = 1
KINDS = ("extractive", "email", "rap", "poem", "memory")
HEADER: dict[str, type | tuple[type, ...]] = {
    "questions_version": int, "model": str, "model_revision": str, "template": str, "temperature": (int, float),
    "seed": int, "created": str, "commit": str, "data": dict,
}  # fmt: skip
REQUIRED = ("document_sha256", "document_id", "kind", "query", "answer")
OPTIONAL = ("evidence",)
WITHOUT_QUESTION = "document without a stored question"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceDocument:
    """A text that may get questions. `group` names its topic, `part_of` the longer text that it was cut from."""

    id: str
    text: str
    group: str | None
    part_of: str | None = None


@dataclass(frozen=True)
class StoredQuestion:
    """A line of the file."""

    document_sha256: str
    document_id: str
    kind: str
    query: str
    answer: str
    evidence: str | None = None
    paid: dict[str, Any] | None = None


@dataclass(frozen=True)
class StoredQuestions:
    """A whole file: its header, and its questions in their order."""

    header: dict[str, Any]
    questions: tuple[StoredQuestion, ...]


def document_hash(text: str) -> str:
    """64 hexadecimal digits: the SHA-256 of the text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def attach_questions(documents: Sequence[SourceDocument], path: str) -> list[Problem]:
    """The stored questions of `documents` as problems, in the order of the documents, then of the file.

    The id of a problem is `DOCUMENT#KIND-N`, N counted within document and kind. Documents without a question are
    left out, with a warning. Raises InputError where the file is wrong, and where no document has a question.
    """
    stored = read_questions(path)
    by_text: dict[str, list[StoredQuestion]] = defaultdict(list)
    for question in stored.questions:
        by_text[question.document_sha256].append(question)
    problems: list[Problem] = []
    without = 0
    for document in documents:
        found = by_text.get(document_hash(document.text), [])
        without += not found
        numbers: Counter[str] = Counter()
        for question in found:
            number = numbers[question.kind]
            numbers[question.kind] += 1
            problems.append(
                Problem(
                    id=f"{document.id}#{question.kind}-{number}",
                    document=document.text,
                    query=question.query,
                    document_id=document.id,
                    answer=question.answer,
                    group=document.group,
                    part_of=document.part_of,
                    evidence=(question.evidence,) if question.evidence else (),
                )
            )
    if not problems:
        made_for = stored.header["data"]
        raise InputError(
            f"data.questions = {path!r}: its {len(stored.questions)} questions belong to none of the {len(documents)} "
            f"documents; they were written for {made_for['name']}, revision {made_for['revision']}: load that data, cut "
            "in the same way (min_words, max_words, split), or write questions anew with `infoagent questions`"
        )
    if without:
        log.warning("%s: %d of %d documents have no question and are left out", path, without, len(documents))
    return problems


def documents_without(documents: Sequence[SourceDocument], path: str) -> int:
    """How many of the documents no stored question belongs to."""
    asked = {question.document_sha256 for question in read_questions(path).questions}
    return sum(document_hash(document.text) not in asked for document in documents)


def read_questions(path: str) -> StoredQuestions:
    """A file of questions. Raises InputError with a line for every mistake, up to 20 of them."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"data.questions = {path!r}: no such file; `infoagent questions` writes one")
    rows = list(file_rows(file, ":"))
    if not rows:
        raise InputError(f"{file}: is empty; its first line must be the header of `infoagent questions`")
    header = rows[0].content
    mistakes = [f"{rows[0].where}: {mistake}" for mistake in _header_mistakes(header)]
    if mistakes:
        raise InputError(mistakes)
    found: list[StoredQuestion] = []
    places: dict[tuple[str, str, str], str] = {}
    for row in rows[1:]:
        wrong = _row_mistakes(row.content)
        if not wrong:
            identity = (row.content["document_sha256"], row.content["kind"], row.content["query"])
            if identity in places:
                wrong = [f"field 'query': stands already in line {places[identity]} for this document; drop one"]
            places.setdefault(identity, row.where.rpartition(":")[2])
            found.append(StoredQuestion(**row.content))
        mistakes += [f"{row.where}: {mistake}" for mistake in wrong]
    if mistakes:
        raise InputError(reported(mistakes, str(file), "mistakes"))
    return StoredQuestions(header, tuple(found))


def _header_mistakes(header: Any) -> list[str]:
    if isinstance(header, Unreadable):
        return [header.reason]
    if not isinstance(header, dict) or "questions_version" not in header:
        return ["field 'questions_version': missing; the first line must be the header of `infoagent questions`"]
    if header["questions_version"] != QUESTIONS_VERSION:
        return [
            f"field 'questions_version': {header['questions_version']!r} is not known; this version reads "
            f"{QUESTIONS_VERSION}: write the questions anew with `infoagent questions`"
        ]
    mistakes = []
    for field, kind in HEADER.items():
        if field not in header:
            mistakes.append(f"field {field!r}: missing; a header holds {', '.join(HEADER)}")
        elif not isinstance(header[field], kind) or isinstance(header[field], bool):
            mistakes.append(f"field {field!r}: of the wrong type {shown(header[field])}")
    if not mistakes:
        mistakes += [
            f"field 'data.{field}': must be a string"
            for field in ("name", "revision")
            if not isinstance(header["data"].get(field), str)
        ]
    return mistakes


def _row_mistakes(row: Any) -> list[str]:
    if isinstance(row, Unreadable):
        return [row.reason]
    if not isinstance(row, dict):
        return [f"a line must be a JSON object, got {shown(row)}"]
    mistakes = []
    for field in (*REQUIRED, *OPTIONAL):
        value = row.get(field)
        if field not in row and field in REQUIRED:
            mistakes.append(f"field {field!r}: missing; required are {', '.join(REQUIRED)}")
        elif field in row and not (isinstance(value, str) and value.strip()):
            mistakes.append(f"field {field!r}: must be a string that is not empty, got {shown(value)}")
        elif isinstance(value, str) and HALF_PAIR.search(value):
            mistakes.append(f"field {field!r}: holds half a surrogate pair, which is no text")
    if "paid" in row and (mistake := paid_mistake(row["paid"])) is not None:
        mistakes.append(f"field 'paid': {mistake}")
    if not mistakes and row["kind"] not in KINDS:
        mistakes.append(f"field 'kind': {row['kind']!r} is unknown; allowed are {', '.join(KINDS)}")
    if not mistakes and not re.fullmatch("[0-9a-f]{64}", row["document_sha256"]):
        mistakes.append("field 'document_sha256': must be 64 hexadecimal digits in lower case")
    unknown = sorted(set(row) - {*REQUIRED, *OPTIONAL, "paid"})
    if unknown:
        mistakes.append(f"field {unknown[0]!r}: unknown; allowed are {', '.join((*REQUIRED, *OPTIONAL, 'paid'))}")
    return mistakes


def paid_mistake(paid: Any) -> str | None:
    """What is wrong with a cost: it must be an object whose `usd` is a number of at least 0."""
    usd = paid.get("usd") if isinstance(paid, dict) else None
    if isinstance(usd, int | float) and not isinstance(usd, bool) and 0 <= usd < math.inf:
        return None
    return f"must hold usd, a number of at least 0, got {shown(paid)}"
