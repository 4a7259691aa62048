"""Transcribed meetings with questions whose answers are in other words: query-based summarisation, as QMSum has it.

A row is a meeting: `meeting_transcripts [{speaker, content}]`, `general_query_list` and `specific_query_list` of {query,
answer}. The document is the whole transcript, one for all questions on it. Group = meeting.
Source: Zhong et al. 2021, arXiv 2104.05938; https://github.com/Yale-LILY/QMSum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infoagent.data.reading.chat_logs import Message
from infoagent.data.reading.schema import STRING, TEXT, ListOf, Maybe, Mistakes, Schema, Texts
from infoagent.data.reading.tables import Row
from infoagent.data.sets.squad import Reading
from infoagent.types import Problem

_QUERIES = Maybe(ListOf({"query": TEXT, "answer": TEXT}))
_ROW: dict[str, Schema] = {
    "meeting_transcripts": ListOf({"speaker": TEXT, "content": STRING}, least=1),
    "general_query_list": _QUERIES, "specific_query_list": _QUERIES,
}  # fmt: skip


def is_meeting(row: Any) -> bool:
    """Whether a row is a meeting."""
    return isinstance(row, dict) and "meeting_transcripts" in row


def read(name: str, rows: Iterable[Row]) -> Reading:
    """Every question of every meeting. Raises InputError with place and field of every mistake."""
    mistakes, texts, found = Mistakes(name), Texts(), Reading()
    for number, row in enumerate(rows):
        if mistakes.fit(row.where, row.content, _ROW):
            document, document_id = texts.one(transcript(row.content))
            meeting = f"meeting-{number:04d}"
            asked = list(_queries(row.content))
            found.left_out.update(["meeting without a question"] if not asked else [])
            found.problems += [
                Problem(f"{meeting}-{place:02d}", document, query.strip(), document_id, answer=answer, group=meeting)
                for place, (query, answer) in enumerate(asked)
            ]
    mistakes.settle()
    return found


def transcript(row: Mapping[str, Any]) -> str:
    """A line for each thing that was said, with its speaker."""
    return "\n".join(Message(m["speaker"], m["content"].strip()).text for m in row["meeting_transcripts"])


def _queries(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in ("general_query_list", "specific_query_list"):
        yield from ((query["query"], query["answer"]) for query in row.get(field) or ())
