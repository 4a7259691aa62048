"""inspect_ai: a compaction strategy that writes its memory by a Compactor.

    from infoagent.integrations.inspect_ai import MemoryCompaction
    from infoagent.lm.compacting import CompactionSettings, Compactor

    strategy = MemoryCompaction(Compactor("smollm2-135m", CompactionSettings(budget=600)), threshold=0.8)
    agent = react(tools=[...], compaction=strategy)

System messages and the sample's own input stay, as with inspect_ai's strategies; the newest messages as the compactor's
settings say. Where no memory comes out, the history stays as it is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from inspect_ai.model import ChatMessage, ChatMessageUser, CompactionStrategy, Model
from inspect_ai.tool import ToolInfo

from infoagent.lm.compacting import HEADING, UNCHANGED, UNREAD, Compactor
from infoagent.types import InputError

logger = logging.getLogger(__name__)
MEMORY = "summary"
"""Key of the metadata by which inspect_ai knows a message that stands for earlier ones."""


class MemoryCompaction(CompactionStrategy):
    """The older messages as a memory, the newest as they were said."""

    def __init__(self, compactor: Compactor, *, threshold: int | float = 0.9) -> None:
        """`threshold`: tokens, or the part of the context, from which on inspect_ai compacts."""
        super().__init__(type="summary", threshold=threshold, memory=False)
        self.compactor = compactor

    async def compact(
        self, model: Model, messages: list[ChatMessage], tools: list[ToolInfo]
    ) -> tuple[list[ChatMessage], ChatMessageUser | None]:
        """(what the model reads next, the memory; None where the history is unchanged). The agent's `model` is not asked."""
        preamble = [m for m in messages if m.role == "system" or m.source == "input"]
        said = [m for m in messages if m not in preamble]
        try:
            result = await anyio.to_thread.run_sync(partial(self.compactor.compact, [as_openai(m) for m in said]))
        except InputError as error:
            return _unchanged(messages, "; ".join(error.problems)), None
        if result.memory is None:
            return _unchanged(messages, str(result.cause)), None
        if result.left_out:
            logger.warning(UNREAD, result.unread)
        memory = ChatMessageUser(content=HEADING + result.memory, metadata={MEMORY: True})
        return [*preamble, memory, *said[result.gone :]], memory


def _unchanged(messages: list[ChatMessage], cause: str) -> list[ChatMessage]:
    logger.warning(UNCHANGED, cause)
    return messages


def as_openai(message: ChatMessage) -> dict[str, Any]:
    """The message as chat logs have it: text, calls with JSON arguments, results and failures with the id of their call; of
    parts that are no text their type."""
    said = message.content if isinstance(message.content, str) else [_part(part) for part in message.content]
    found: dict[str, Any] = {"role": message.role, "content": said or None}
    calls: Sequence[Any] = getattr(message, "tool_calls", None) or ()
    if calls:
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.function, "arguments": json.dumps(call.arguments)}}
            for call in calls
        ]
    if message.role == "tool":
        found |= {"tool_call_id": message.tool_call_id, "name": message.function, "content": _result(message, said)}
    elif not calls and not said:
        found["content"] = ""
    return found


def _result(message: Any, said: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """What a tool gave back. inspect_ai keeps the reason of a call that failed beside the content."""
    if message.error is None:
        return said
    reason = f"Error: {message.error.message}"
    if isinstance(said, str):
        return f"{reason}\n{said}" if said else reason
    return [{"type": "text", "text": reason}, *said]


def _part(part: Any) -> dict[str, Any]:
    if part.type == "tool_use":  # run by the provider: its result stands in it, and nothing comes back that it would wait for
        ended = f"Error: {part.error}" if part.error else part.result
        return {"type": "text", "text": f"{part.name}({part.arguments}): {ended}"}
    return {"type": "text", "text": part.text} if part.type == "text" else {"type": part.type}
