"""Chat logs: messages with a role, a content and tool calls, in the forms that APIs and published sets have.

    {"role": "user", "content": "…"}                                        OpenAI's chat completions, WildChat, tau-bench
    {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": …, "arguments": "{…}"}}]}
    {"role": "tool", "name": …, "content": "…"}                             what a tool gave back
    {"role": …, "content": [{"type": "text", "text": "…"}, …]}              content in parts
    {"from": "human", "value": "…"}                                         ShareGPT
    {"speaker": "Anna", "content": "…"}                                     transcripts: the name is the speaker

A conversation is a row that holds such messages under one of MESSAGES.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infoagent.data.reading.schema import HALF_PAIR, IDENTITY, shown

MESSAGES = ("turns", "messages", "traj", "conversation", "conversations", "meeting_transcripts")
IDS = ("id", "conversation_id", "conversation_hash", "uuid")
SPEAKERS = {
    "user": "User", "human": "User",
    "assistant": "Assistant", "gpt": "Assistant", "chatgpt": "Assistant", "bing": "Assistant", "bard": "Assistant",
    "model": "Assistant", "function_call": "Assistant",
    "system": "System", "developer": "System",
    "tool": "Tool", "function": "Tool", "observation": "Tool", "ipython": "Tool",
}  # fmt: skip
"""Roles, and who speaks."""


@dataclass(frozen=True)
class Message:
    """What one speaker said, tool calls as `name(arguments)`."""

    speaker: str
    content: str

    @property
    def text(self) -> str:
        return f"{self.speaker}: {self.content}"


def messages_field(row: Any) -> str | None:
    """The field of a row that holds its messages; None where there is none."""
    return next((f for f in MESSAGES if isinstance(row, dict) and row.get(f) is not None), None)


def conversation_id(row: Mapping[str, Any], number: int) -> str:
    """The row's id, or tau-bench's task and trial, or the row's number from 1."""
    for field in IDS:
        if IDENTITY.fits(row.get(field)):
            return str(row[field])
    if IDENTITY.fits(row.get("task_id")):
        trial = row.get("trial")
        return f"{row['task_id']}-{trial}" if IDENTITY.fits(trial) else str(row["task_id"])
    return f"conversation-{number:05d}"


def read_messages(field: str, values: Any, left_out: Counter[str]) -> tuple[list[Message], list[str]]:
    """(messages, mistakes). Parts that are no text are counted in `left_out`, by their type."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return [], [f"field {field!r}: must be a list of messages, got {shown(values)}"]
    if not values:
        return [], [f"field {field!r}: must be a list of at least 1, this one has 0"]
    messages: list[Message] = []
    mistakes: list[str] = []
    for number, value in enumerate(values):
        place = f"{field}[{number}]"
        found = list(_message_mistakes(place, value))
        mistakes += found
        if not found:
            messages.append(Message(_speaker(value), _said(value, left_out)))
    return messages, mistakes


def turns_of(messages: Sequence[Message]) -> tuple[str, ...]:
    """What was said, from each message of the user up to the next; where nobody is the user, each message is a turn."""
    asks = any(message.speaker == "User" for message in messages)
    turns: list[list[str]] = []
    for message in messages:
        if message.speaker == "User" or not asks or not turns:
            turns.append([])
        turns[-1].append(message.text)
    return tuple("\n".join(parts) for parts in turns)


def _message_mistakes(place: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"field {place!r}: must be an object, got {shown(value)}"
        return
    role_field = next((f for f in ("role", "from", "speaker") if f in value), None)
    if role_field is None:
        yield f"field '{place}.role': missing; a message has role and content, from and value, or speaker and content"
    else:
        role = value[role_field]
        if role_field == "speaker":
            if not isinstance(role, str) or not role.strip():
                yield f"field '{place}.speaker': must be a name, got {shown(role)}"
        elif not isinstance(role, str) or role.lower() not in SPEAKERS:
            yield f"field '{place}.{role_field}': must be one of {', '.join(SPEAKERS)}, got {shown(role)}"
    content_field = "value" if "value" in value else "content"
    content = value.get(content_field)
    name = f"{place}.{content_field}"
    if content is None and not _calls(value):
        if content_field not in value:
            yield f"field {name!r}: missing"
    elif isinstance(content, list):
        for number, part in enumerate(content):
            if not isinstance(part, str) and not (isinstance(part, dict) and isinstance(part.get("type"), str)):
                yield f"field '{name}[{number}]': must be a text, or an object with a type, got {shown(part)}"
    elif content is not None and not isinstance(content, str):
        yield f"field {name!r}: must be a string, null or a list of parts, got {shown(content)}"
    if HALF_PAIR.search(json.dumps(value, ensure_ascii=False, default=str)):
        yield f"field {place!r}: holds half a surrogate pair, which is no text"
    for number, call in enumerate(_calls(value)):
        if not isinstance(call, dict) or not isinstance(_function(call).get("name"), str):
            yield f"field '{place}.tool_calls[{number}]': needs the name of a function, got {shown(call)}"


def _speaker(value: Mapping[str, Any]) -> str:
    if "role" not in value and "from" not in value:
        return str(value["speaker"]).strip()
    speaker = SPEAKERS[str(value.get("role", value.get("from"))).lower()]
    name = value.get("name")
    return f"{speaker} {name}" if speaker == "Tool" and isinstance(name, str) and name.strip() else speaker


def _said(value: Mapping[str, Any], left_out: Counter[str]) -> str:
    content = value["value"] if "value" in value else value.get("content")
    parts = [content] if isinstance(content, str) else [_part(part, left_out) for part in content or ()]
    return "\n".join([part.strip() for part in parts if part.strip()] + [_written(call) for call in _calls(value)])


def _part(part: str | Mapping[str, Any], left_out: Counter[str]) -> str:
    """A part of a content as text: text itself, a call, or what a tool gave back."""
    if isinstance(part, str):
        return part
    if isinstance(part.get("text"), str):
        return str(part["text"])
    if part["type"] == "tool_use":
        return _written({"function": {"name": part.get("name", ""), "arguments": part.get("input")}})
    if part["type"] == "tool_result":
        inner = part.get("content")
        return inner if isinstance(inner, str) else "\n".join(_part(p, left_out) for p in inner or ())
    left_out[f"part of a message that is no text ({part['type']})"] += 1
    return ""


def _calls(value: Mapping[str, Any]) -> list[Any]:
    calls = value.get("tool_calls") or []
    legacy = value.get("function_call")
    return [*(calls if isinstance(calls, list) else [calls]), *([{"function": legacy}] if legacy else [])]


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = call.get("function", call)
    return inner if isinstance(inner, dict) else {}


def _written(call: Mapping[str, Any]) -> str:
    """`name(arguments)`, the arguments as they were sent."""
    function = _function(call)
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return f"{function['name']}({text})"
