"""Where a history may be cut: a tool call stays with its results, and what has not been answered yet stays.

    messages[:cut] goes into a memory, messages[cut:] stays as it was said

Messages are the dicts of `infoagent.data.reading.chat_logs`, as they came. Calls and results are told by their ids (OpenAI's
`tool_calls` and `tool_call_id`, Anthropic's `tool_use` and `tool_result` parts); those without ids belong together in their
order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infoagent.data.reading.chat_logs import SPEAKERS

Raw = Mapping[str, Any]


@dataclass
class Pairs:
    """The calls of a history and their results, by places in it."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    """(call, result)."""
    waiting: list[int] = field(default_factory=list)
    """Calls without a result so far."""
    mistakes: list[str] = field(default_factory=list)


def speaker_of(message: Raw) -> str:
    """User, Assistant, System or Tool; of a transcript the speaker's name."""
    role = message.get("role", message.get("from"))
    return str(message.get("speaker")) if role is None else SPEAKERS[str(role).lower()]


@dataclass
class _Call:
    place: int
    content: str
    result: str | None = None


def pairs_of(messages: Sequence[Raw]) -> Pairs:
    """Calls with their results. An id that was answered may be given to another call, as logs do. Mistakes: a result without
    its call, another result or an other call under an id that is in use, a message's id under another content."""
    found = Pairs()
    by_id: dict[str, _Call] = {}
    nameless: list[int] = []
    said: dict[str, str] = {}
    for place, message in enumerate(messages):
        if (identity := _text(message.get("id"))) and said.setdefault(identity, _json(message)) != _json(message):
            found.mistakes.append(f"messages[{place}]: another content than before under the message id {identity!r}")
        for call, content in _calls(message):
            if call is None:
                nameless.append(place)
                continue
            before = by_id.get(call)
            if before is None or before.result is not None:
                by_id[call] = _Call(place, content)
            elif before.content != content:
                found.mistakes.append(f"messages[{place}]: another call under the id {call!r}, whose first one has no result yet")
        for result, content in _results(message):
            called = None if result is None else by_id.get(result)
            if result is None and nameless:
                found.spans.append((nameless.pop(0), place))
            elif result is None:
                found.mistakes.append(f"messages[{place}]: a tool's result, and no call before it that waits for one")
            elif called is None:
                found.mistakes.append(f"messages[{place}]: a tool's result for the call {result!r}, which does not come before it")
            elif called.result not in (None, content):
                found.mistakes.append(f"messages[{place}]: another result than before for the call {result!r}")
            else:
                called.result = content
                found.spans.append((called.place, place))
    found.waiting = sorted([*nameless, *(call.place for call in by_id.values() if call.result is None)])
    return found


def legal_cuts(messages: Sequence[Raw], pairs: Pairs) -> list[int]:
    """All cuts that part no call from its result and take no call away that still waits."""
    first_waiting = min(pairs.waiting, default=len(messages))
    return [
        cut
        for cut in range(len(messages) + 1)
        if cut <= first_waiting and not any(call < cut <= result for call, result in pairs.spans)
    ]


def cut_before_newest(messages: Sequence[Raw], pairs: Pairs, newest: int) -> int:
    """The last legal cut that leaves at least the `newest` messages; 0 where there is none."""
    return max(cut for cut in legal_cuts(messages, pairs) if cut <= max(0, len(messages) - newest))


def _calls(message: Raw) -> Iterator[tuple[str | None, str]]:
    """(id, content) of each call."""
    calls = message.get("tool_calls") or []
    for call in [*(calls if isinstance(calls, list) else [calls]), *_parts(message, "tool_use")]:
        yield _text(call.get("id")), _json(call)
    if message.get("function_call") or str(message.get("from")).lower() == "function_call":
        yield None, ""


def _results(message: Raw) -> Iterator[tuple[str | None, str]]:
    """(id of the call, content) of each result."""
    for part in _parts(message, "tool_result"):
        yield _text(part.get("tool_use_id")), _json(part.get("content"))
    if speaker_of(message) == "Tool":
        yield _text(message.get("tool_call_id")), _json(message.get("content", message.get("value")))


def _parts(message: Raw, kind: str) -> list[Raw]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, dict) and part.get("type") == kind]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
