"""`wildchat`: what a user asked a chat model in ten conversations, as one memory to compress.

English conversations of 4 to 8 turns in the order of their time; ten that follow each other make one user's document, and
the first 1,000 such users are taken. Questions are stored ones (data.questions) or blanks. Splits are by user.
Source: Zhao et al. 2024, arXiv 2405.01470; `allenai/WildChat-1M`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infoagent.data.questions import SourceDocument
from infoagent.data.reading.chat_logs import Message, read_messages
from infoagent.data.reading.hub import Hub, Source
from infoagent.data.reading.schema import STRING, TEXT, WHOLE, Kind, Mistakes, Schema
from infoagent.types import InputError

HUB = Hub(
    "allenai/WildChat-1M",
    {split: ("train",) for split in ("train", "validation", "test", "all")},
    revision="7d6490e462285cf85d91eabea0f9a954fbddcd1f",
)
TURNS = (4, 8)
CONVERSATIONS = 10
USERS = 1000


def _moment(value: Any) -> datetime | None:
    """A time as parquet, ISO 8601, or seconds or milliseconds since 1970 give it; None for anything else."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):  # not a time that a calendar has
        return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_TIME = Kind("a time, e.g. 2023-04-09T00:02:53+00:00", lambda value: _moment(value) is not None)
_ROW: dict[str, Schema] = {"conversation_hash": TEXT, "timestamp": _TIME, "turn": WHOLE, "language": STRING}


@dataclass(frozen=True)
class User:
    """Ten conversations that follow each other: when, and who said what."""

    id: str
    conversations: tuple[tuple[datetime, tuple[Message, ...]], ...]


def memories(source: Source, left_out: Counter[str]) -> list[SourceDocument]:
    """A document for each user."""
    return [SourceDocument(user.id, _memory(user), None) for user in users_of(source, left_out)]


def users_of(source: Source, left_out: Counter[str]) -> list[User]:
    """Ten conversations each; what is not taken is counted in `left_out`. Raises InputError with a line for every bad row."""
    mistakes = Mistakes(source.name)
    kept: list[tuple[datetime, str, tuple[Message, ...]]] = []
    for row in source.rows:
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        if row.content["language"] != "English" or not TURNS[0] <= row.content["turn"] <= TURNS[1]:
            left_out[f"conversation that is not English or not of {TURNS[0]} to {TURNS[1]} turns"] += 1
            continue
        messages, found = read_messages("conversation", row.content.get("conversation"), left_out)
        mistakes.add(row.where, found)
        moment = _moment(row.content["timestamp"])
        assert moment is not None
        kept.append((moment, row.content["conversation_hash"], tuple(messages)))
    mistakes.settle()
    kept.sort(key=lambda entry: entry[:2])
    if len(kept) < CONVERSATIONS:
        raise InputError(
            f"{source.name}: holds {len(kept)} English conversations of {TURNS[0]} to {TURNS[1]} turns; a document is made of "
            f"{CONVERSATIONS} of them"
        )
    parts = [kept[start : start + CONVERSATIONS] for start in range(0, len(kept), CONVERSATIONS)]
    users = [
        User(f"user-{number:04d}", tuple((moment, messages) for moment, _, messages in part))
        for number, part in enumerate(parts[:USERS])
        if len(part) == CONVERSATIONS
    ]
    left_out[f"conversation beyond {USERS} users of {CONVERSATIONS}"] += len(kept) - CONVERSATIONS * len(users)
    return users


def _memory(user: User) -> str:
    return "\n\n".join(
        f"Conversation {number}, {moment.date().isoformat()}\n" + "\n".join(message.text for message in messages)
        for number, (moment, messages) in enumerate(user.conversations, 1)
    )
