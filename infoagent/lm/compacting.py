"""Compaction of a history: its older messages become a memory, the newest stay as they were said.

    messages → [system messages, memory, newest messages]

    checked: calls and results paired, ids unique → cut → what must stand to the letter found in the part that goes → memory
    written within the budget, part by part where that part is longer than the context → what it lacks to the letter put
    behind it → checked again

A compaction that fails changes nothing: the history comes back as it was, with the cause. To be compacted again, the memory
is a message like any other.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import regex

from infoagent.data.reading.chat_cut import cut_before_newest, pairs_of, speaker_of
from infoagent.data.reading.chat_logs import Message, read_messages, turns_of
from infoagent.grading.facts import is_looping
from infoagent.lm.long_text import CompressionTask, compress_texts, room_of
from infoagent.lm.models import LoadedModel, find_by_name, load, trained_prompt
from infoagent.lm.prompts import Prompt, text_ids
from infoagent.types import AUTO, InputError

HEADING = "Summary of the conversation so far: "
"""What a memory begins with, for whoever reads the history next."""
UNCHANGED = "the history was not compacted, and is unchanged: %s"
"""What a log says where a caller goes on with the history that it had."""
UNREAD = "the memory knows nothing of: %s"
"""What a log says of parts that are no text."""
TO_THE_LETTER = "To the letter: "
REGEX = "re:"
REGEX_SECONDS = 5.0
LEAST_MEMORY = 16
"""Tokens that are left for the memory's own words at least."""
FAULTS = (RuntimeError, FloatingPointError, MemoryError, OSError)
"""Of torch, of a model that returns NaN, of the memory, of the disk."""
_ALONE = threading.Lock()
"""Held while a memory is written, by any Compactor: agents run in many threads, a model is read once, and all draws come from
torch's one generator, whose seed another thread would set anew between two tokens."""
Raw = dict[str, Any]


class NoneCanGo(InputError):
    """Of a history that is right: none of its messages can go while the newest stay."""


def context_text(memory: str, turns: Sequence[str]) -> str:
    """A context as a model reads it: the memory of what was before, if there is one, and the turns since."""
    parts = [HEADING + memory.strip()] if memory.strip() else []
    return "\n\n".join([*parts, *turns])


@dataclass(frozen=True)
class CompactionSettings:
    """How histories are compacted."""

    budget: int
    """The memory's longest length in tokens of the model, without its heading."""
    newest: int = 6
    """Messages that stay as they are; more where a call would be parted from its result."""
    keep: tuple[str, ...] = ()
    """Texts that stand in the memory to the letter where they stand in what goes; `re:PATTERN` is a regular expression, each
    of whose matches does."""
    query: str = ""
    """What the memory must let a reader answer; without one it keeps facts of every kind."""
    prompt: Prompt | None = None
    """Of an adapter: the prompt that it was trained with."""
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Compaction:
    """A history after compaction. Where `status` is not compacted, `messages` are those that came, and `cause` says why."""

    status: Literal["compacted", "short", "failed"]
    """short: what would go is no longer than the budget, or of one history among several none can."""
    messages: list[Raw]
    cause: str | None = None
    memory: str | None = None
    gone: int = 0
    """Messages that the memory stands for."""
    tokens_before: int = 0
    """Of the messages that go, as the model reads them."""
    tokens: int = 0
    """Of the memory."""
    kept: tuple[str, ...] = ()
    """What had to stand to the letter."""
    added: tuple[str, ...] = ()
    """What of it the model had left out, so that it was put behind its text."""
    parts: int = 0
    """Prompts that the part that goes was read in."""
    seconds: float = 0.0
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Parts of messages that are no text and that the memory knows nothing of (images, say), by their type."""

    @property
    def unread(self) -> str:
        """`left_out` in words; empty where every part was read."""
        return ", ".join(f"{number} {what}" for what, number in self.left_out.items())


@dataclass(frozen=True)
class HistoryCut:
    """A history that was checked and cut. `system` messages stay in front."""

    messages: list[Raw]
    system: list[Raw]
    old: list[Raw]
    newest: list[Raw]
    said: tuple[Message, ...]
    """What the old messages say."""
    left_out: Mapping[str, int]
    """Parts of old messages that are no text, by their type."""

    @property
    def text(self) -> str:
        """As a compactor is trained to read it: the memory of an earlier compaction in front, then turn after turn."""
        memory, turns = "", self.said
        if turns and turns[0].content.startswith(HEADING):
            memory, turns = turns[0].content.removeprefix(HEADING), turns[1:]
        return context_text(memory, turns_of(turns))


def cut_history(messages: Sequence[Raw], newest: int) -> HistoryCut:
    """Raises InputError, a line for each mistake: roles and contents that are not known, results without their calls, one id
    for two contents; and NoneCanGo."""
    _, mistakes = read_messages("messages", messages, Counter())
    if mistakes:
        raise InputError(mistakes)
    pairs = pairs_of(messages)
    if pairs.mistakes:
        raise InputError(pairs.mistakes)
    cut = cut_before_newest(messages, pairs, newest)
    system = [message for message in messages[:cut] if speaker_of(message) == "System"]
    old = [message for message in messages[:cut] if speaker_of(message) != "System"]
    if not old:
        why = "the newest are tied together by their tool calls" if len(messages) > newest + len(system) else "they are all new"
        raise NoneCanGo(
            f"messages: none of the {len(messages)} can go while the newest {newest} stay ({why}); let fewer stay, or come back later"
        )
    left_out: Counter[str] = Counter()
    said, _ = read_messages("messages", old, left_out)
    return HistoryCut(list(messages), system, old, list(messages[cut:]), tuple(said), left_out)


def must_stand(history: HistoryCut, keep: Sequence[str]) -> tuple[str, ...]:
    """What of `keep` stands in the messages that go, in the order of its first place there. Raises InputError for a pattern
    that is none, or that takes too long."""
    text, places = history.text, dict[str, int]()
    for entry in keep:
        if not entry.startswith(REGEX):
            if entry in text:
                places.setdefault(entry, text.index(entry))
            continue
        try:
            for match in regex.finditer(entry.removeprefix(REGEX), text, timeout=REGEX_SECONDS):
                if match[0].strip():
                    places.setdefault(match[0], match.start())
        except regex.error as error:
            raise InputError(f"keep: {entry!r} is no regular expression: {error}") from error
        except TimeoutError as error:
            raise InputError(
                f"keep: {entry!r} takes more than {REGEX_SECONDS:g} s on this history; write it more simply"
            ) from error
    found = sorted(places, key=lambda entry: places[entry])
    return tuple(entry for entry in found if not any(entry != other and entry in other for other in found))


class Compactor:
    """One model that compacts histories: a name as everywhere, and an adapter. Its weights are read when the first memory is
    written; its tokenizer at once, so that wrong input is told before. May be called from many threads, which take turns."""

    def __init__(self, name: str, settings: CompactionSettings, adapter: str | None = None, dtype: str = AUTO) -> None:
        """Raises InputError where the model or the adapter is not there, or do not belong together."""
        self.model, self.settings, self.dtype = find_by_name(name, adapter=adapter), settings, dtype
        if adapter is not None:
            from infoagent.lm.adapter_fit import check_fit  # it brings torch

            check_fit(adapter, self.model.pinned.reference)
        asks = True if settings.query else None if settings.keep else False  # what is kept is asked for where a prompt asks
        recorded, self._budget_range = trained_prompt(adapter, self.model.reference, asks)
        if recorded:
            self.settings = replace(settings, prompt=Prompt(**recorded))

    @cached_property
    def lm(self) -> LoadedModel:
        return load(self.model.reference.name, dtype=self.dtype, adapter=self.model.adapter)

    def plan(self, messages: Sequence[Raw], newest: int | None = None) -> tuple[HistoryCut, tuple[str, ...]]:
        """The history cut, and what must stand to the letter; no text is written. Raises InputError as `compact` does."""
        history = cut_history(messages, self.settings.newest if newest is None else newest)
        kept = must_stand(history, self.settings.keep)
        if self._tokens(history.text) > self.settings.budget:
            self._task(kept)
        return history, kept

    def compact(self, messages: Sequence[Raw], newest: int | None = None) -> Compaction:
        """The history with its older messages replaced by a memory. `newest` in place of that of the settings.

        Raises InputError where the history or the settings are wrong. What goes wrong in the model raises nothing: status is
        failed, and the messages are those that came.
        """
        history, kept = self.plan(messages, newest)
        before = self._tokens(history.text)
        if before <= self.settings.budget:
            why = f"the {len(history.old)} messages that would go take {before} tokens, no more than the budget of {self.settings.budget}"
            return Compaction("short", history.messages, why, tokens_before=before)
        task = self._task(kept)
        try:
            with _ALONE:
                started = time.perf_counter()
                [written] = compress_texts(self.lm, [history.text], task)
        except FAULTS as error:  # the history must survive
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            return Compaction("failed", history.messages, why, tokens_before=before)
        memory, added = with_letters(written.text, kept)
        cause = self._fault(written.text, memory, kept)
        if cause is not None:
            return Compaction("failed", history.messages, cause, tokens_before=before)
        compacted = [*history.system, _memory_message(history.old[0], memory), *history.newest]
        return Compaction(
            "compacted", compacted, None, memory, len(history.old), before, self._tokens(memory), kept, added,
            written.parts, time.perf_counter() - started, history.left_out,
        )  # fmt: skip

    def _fault(self, written: str, memory: str, kept: Sequence[str]) -> str | None:
        lost = [entry for entry in kept if entry not in memory]
        if not written.strip():
            return "the model wrote nothing"
        if is_looping(written):
            return f"the model's text runs in a loop: {written[-60:]!r}"
        if lost:
            return f"to be kept to the letter, and lost: {', '.join(map(repr, lost[:5]))}"
        if (tokens := self._tokens(memory)) > self.settings.budget:
            return f"the memory takes {tokens} tokens, the budget is {self.settings.budget}"
        return None

    def _task(self, kept: Sequence[str]) -> CompressionTask:
        """How the memory is written; what must stand to the letter has its room beside it."""
        settings = self.settings
        own = settings.budget - (self._tokens("\n" + _letters(kept)) + 1 if kept else 0)
        if own < min(LEAST_MEMORY, settings.budget):
            needed = settings.budget - own + LEAST_MEMORY
            raise InputError(
                f"budget = {settings.budget}: what must stand to the letter takes {settings.budget - own} tokens alone; "
                f"raise it to {needed} at least, or keep less"
            )
        asked = [*([settings.query] if settings.query else []), *([", ".join(kept)] if kept else [])]
        prompt = settings.prompt or Prompt(template="compact-keep-v1" if asked else "compact-v1")
        task = CompressionTask("; ".join(asked), prompt, own, settings.temperature, settings.seed, budget_range=self._budget_range)
        room_of(self.model.tokenizer, self.model.context_tokens, task)
        return task

    def _tokens(self, text: str) -> int:
        return len(text_ids(self.model.tokenizer, text))


def with_letters(text: str, kept: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """(the text with what it lacks of `kept` behind it, what that was)."""
    said = text.strip()
    added = tuple(entry for entry in kept if entry not in said)
    return ("\n".join([said, _letters(added)]) if added else said), added


def _letters(entries: Sequence[str]) -> str:
    return TO_THE_LETTER + "; ".join(entries)


def _memory_message(like: Mapping[str, Any], memory: str) -> Raw:
    """The memory in the form that the history has."""
    content = HEADING + memory
    if "from" in like and "role" not in like:
        return {"from": "human", "value": content}
    if "role" not in like:
        return {"speaker": "Memory", "content": content}
    return {"role": "user", "content": content}
