"""LangChain and LangGraph: the summarisation middleware with a Compactor in its model's place.

    from infoagent.integrations.langchain import CompactionMiddleware
    from infoagent.lm.compacting import CompactionSettings, Compactor

    compactor = Compactor("smollm2-135m", CompactionSettings(budget=600, keep=("re:ORD-[0-9]+",)))
    agent = create_agent(model, tools, middleware=[CompactionMiddleware(model, compactor, trigger=("tokens", 8000))])

The middleware decides when, and which messages go; they become one message with the memory. System messages stay, in front. Where
no memory comes out, or one of what LangChain takes away would be in none (a call that still waits for its result), the history
stays as it is and the agent goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import SystemMessage, convert_to_openai_messages

from infoagent.lm.compacting import HEADING, UNCHANGED, UNREAD, Compactor
from infoagent.types import InputError

logger = logging.getLogger(__name__)
LANGCHAINS_HEADING = "Here is a summary of the conversation to date:\n\n"
"""What SummarizationMiddleware puts in front of a memory. The message is marked too: MARK."""
MARK = ("lc_source", "summarization")


class NotCompacted(Exception):
    """No memory came out; the text says why."""


class CompactionMiddleware(SummarizationMiddleware):
    """`SummarizationMiddleware` (`trigger`, `keep`, `token_counter` are its own), summarising by a Compactor."""

    def __init__(self, model: Any, compactor: Compactor, **settings: Any) -> None:
        """`model` is the agent's, asked for nothing but its limits. Raises ValueError as LangChain does."""
        self.compactor = compactor
        super().__init__(model, summarizer=self._memory, trim_tokens_to_summarize=None, **settings)

    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        try:
            return _system_in_front(state, super().before_model(state, runtime))
        except NotCompacted as error:
            logger.warning(UNCHANGED, error)
            return None

    async def abefore_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        try:
            return _system_in_front(state, await super().abefore_model(state, runtime))
        except NotCompacted as error:
            logger.warning(UNCHANGED, error)
            return None

    def _memory(self, messages: Sequence[Any]) -> str:
        """Of messages that LangChain has cut off already: of these it keeps none itself."""
        try:
            result = self.compactor.compact([said for m in messages for said in _as_openai(_as_memory(m))], newest=0)
        except InputError as error:
            raise NotCompacted("; ".join(error.problems)) from error
        if result.memory is None:
            raise NotCompacted(str(result.cause))
        own = sum(isinstance(message, SystemMessage) for message in messages)
        if rest := len(result.messages) - own - 1:
            raise NotCompacted(f"{rest} of the messages that would go stand in no memory: a call among them waits for its result")
        if result.left_out:
            logger.warning(UNREAD, result.unread)
        return result.memory


READ = ("text", "tool_use", "tool_result")
"""Types of blocks that a compactor reads."""


def _as_openai(message: Any) -> list[dict[str, Any]]:
    """The message as chat logs have it. Of a block that LangChain cannot convert (a PDF, a recording) the type stands for it, as
    of others that no compactor reads. Raises NotCompacted where it converts the rest neither."""
    try:
        return list(convert_to_openai_messages([message]))
    except (ValueError, KeyError, TypeError) as error:
        blocks = message.content if isinstance(message.content, list) else []
        readable = [b for b in blocks if isinstance(b, str) or b.get("type") in READ]
        if len(readable) == len(blocks):  # no block is to blame, and nothing that was said may be left out
            raise NotCompacted(f"LangChain cannot convert a message: {error}") from error
    unread = [{"type": str(b.get("type") or next(iter(b), "block"))} for b in blocks if b not in readable]
    first, *others = _as_openai(message.model_copy(update={"content": readable}))
    said = first.get("content") or []
    parts = [{"type": "text", "text": said}] if isinstance(said, str) else list(said)
    return [{**first, "content": parts + unread}, *others]


def _as_memory(message: Any) -> Any:
    """A memory that LangChain has put into the history, under our heading: a compactor reads it as the memory that it is, and
    not as something that the user said."""
    key, value = MARK
    if message.additional_kwargs.get(key) != value or not isinstance(message.content, str):
        return message
    return message.model_copy(update={"content": HEADING + message.content.removeprefix(LANGCHAINS_HEADING)})


def _system_in_front(state: Any, update: dict[str, Any] | None) -> dict[str, Any] | None:
    """LangChain's update, which begins with the removal of all messages, with the system messages that went with the old ones."""
    if update is None:
        return None
    removal, *others = update["messages"]
    system = [m for m in state["messages"] if isinstance(m, SystemMessage) and m not in others]
    return {**update, "messages": [removal, *system, *others]}
