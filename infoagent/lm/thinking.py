"""Compressors that think before they write: the thought is no part of z, but it is paid for.

A reply is a thought between marks and z behind it. What is asked for here is p(z | x, q) with the thought summed out; it
cannot be scored, so that z is scored as if it had been written without one (`compressor_ids(..., thinking=False)`). Any
scorer gives a lower bound on I(X;Z|Q), and this one no upper bound: the scorer is not the sampler.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infoagent.files import clean_text
from infoagent.lm.control_tokens import meant_ids
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.prompts import MARKS, opens_thought, template_marks, text_ids
from infoagent.types import Compression, InputError

Writer = Callable[..., list[Compression]]
"""(prompts, problem ids, most tokens, temperature, seed=, sample=) → texts."""
Marks = tuple[str, str]


@dataclass(frozen=True)
class Thinking:
    """How long a thought may be. `forced`: one that is not over by then, or that its author broke off, is ended, and z is
    written from what there is; otherwise there is no z."""

    most_tokens: int
    forced: bool


@dataclass(frozen=True)
class Thought:
    """What a thinking compressor wrote. `z` is None for a thought without an end. `tokens` are all that were written or
    put in its mouth, `thinking_tokens` those of the thought with its marks; `text` is all of it."""

    z: Compression | None
    tokens: int
    thinking_tokens: int
    text: str
    seconds: float


def marks_of(tokenizer: Any, asked_in_words: bool, model: str) -> Marks:
    """The marks of a model's thoughts. Raises InputError for one that has no thinking mode and is not asked in words."""
    marks = template_marks(tokenizer)
    if marks is None and not asked_in_words:
        raise InputError(
            f"thinking: the chat template of {model!r} has no thinking mode; drop it, or set prompt.template to think-v1, "
            "which asks for a thought in words"
        )
    return marks or MARKS[0]


def generate_thinking(
    write: Writer,
    tokenizer: Any,
    marks: Marks,
    prompts: Sequence[Sequence[int]],
    problem_ids: Sequence[str],
    max_tokens: int,
    temperature: float,
    seed: int,
    sample: int,
    thinking: Thinking,
) -> list[Thought]:
    """A thought and behind it a z of at most `max_tokens`, for each prompt. `write` draws them, in any engine."""
    room = thinking.most_tokens + (0 if thinking.forced else max_tokens)
    drawn = write(prompts, problem_ids, room, temperature, seed=seed, sample=sample)
    opened = [opens_thought(tokenizer, prompt, marks) for prompt in prompts]
    if thinking.forced:
        drawn = _ended(write, tokenizer, marks, prompts, opened, drawn, max_tokens, temperature, seed, sample)
    return [
        take_apart(tokenizer, marks, found, is_open, max_tokens, thinking) for found, is_open in zip(drawn, opened, strict=True)
    ]


def _ended(
    write: Writer,
    tokenizer: Any,
    marks: Marks,
    prompts: Sequence[Sequence[int]],
    opened: Sequence[bool],
    drawn: Sequence[Compression],
    max_tokens: int,
    temperature: float,
    seed: int,
    sample: int,
) -> list[Compression]:
    """What was cut at the budget, gone on with: behind a closing mark where the thought was not over. So is a thought whose
    author ended the turn in its middle."""
    closing = tuple(meant_ids(tokenizer, f"\n{marks[1]}\n\n"))
    begun = {}
    for i, found in enumerate(drawn):
        split = split_ids(tokenizer, marks, found.token_ids, opened[i])
        if split is None or found.finish == "length":
            begun[i] = found.token_ids + (closing if split is None else ())
    rest = []
    if begun:
        ahead = [[*prompts[i], *ids] for i, ids in begun.items()]
        names = [drawn[i].problem_id for i in begun]
        rest = write(ahead, names, max_tokens, temperature, seed=seed + 1, sample=sample)
    result = list(drawn)
    for (i, ids), more in zip(begun.items(), rest, strict=True):
        seconds = drawn[i].seconds + more.seconds
        result[i] = replace(
            more, token_ids=ids + more.token_ids, seconds=seconds, text=decode_whole(tokenizer, [*ids, *more.token_ids])
        )
    return result


def take_apart(tokenizer: Any, marks: Marks, found: Compression, opened: bool, max_tokens: int, thinking: Thinking) -> Thought:
    """The thought and the z of a whole reply."""
    text = decode_whole(tokenizer, found.token_ids)
    split = split_ids(tokenizer, marks, found.token_ids, opened)
    if split is None or (not thinking.forced and len(found.token_ids) - len(split) > thinking.most_tokens):
        return Thought(None, len(found.token_ids), len(found.token_ids), text, found.seconds)
    ids, spent = split[:max_tokens], len(found.token_ids) - len(split)
    cut = len(split) > max_tokens
    z = replace(
        found,
        text=clean_text(decode_whole(tokenizer, ids, skip_special_tokens=True)),
        token_ids=ids,
        finish="length" if cut else found.finish,
        stop_id=None if cut else found.stop_id,
    )
    return Thought(z, len(found.token_ids), spent, text, found.seconds)


def split_ids(tokenizer: Any, marks: Marks, ids: Sequence[int], opened: bool) -> tuple[int, ...] | None:
    """The ids behind the last closing mark and the white space after it; all ids of a reply that does not think; None
    for a thought that is not closed."""
    text = str(tokenizer.decode(list(ids)))
    behind = behind_thought(text, marks, opened)
    if behind is None:
        return None
    closed = text.count(marks[1])
    if not closed:
        return tuple(ids)
    # the first ids whose text holds every closing mark
    first = bisect_left(range(len(ids)), closed, key=lambda k: str(tokenizer.decode(list(ids[: k + 1]))).count(marks[1]))
    rest = list(ids[first + 1 :])
    while rest and not str(tokenizer.decode(rest[:1])).strip():
        rest.pop(0)
    if str(tokenizer.decode(rest)).strip() != behind.strip():  # the mark's last token holds a part of z
        rest = text_ids(tokenizer, behind_thought(decode_whole(tokenizer, ids), marks, opened) or "")
    return tuple(rest)


def behind_thought(text: str, marks: Marks, opened: bool = False) -> str | None:
    """What stands behind the last closing mark; all of a text that does not think; None for a thought without an end."""
    _, mark, rest = text.rpartition(marks[1])
    if (opened and not mark) or marks[0] in rest:
        return None
    return rest.lstrip() if mark else text


def behind_any_thought(text: str) -> str | None:
    """As `behind_thought`, where nobody says which marks the writer has: any of MARKS."""
    # the last mark of all counts: one kind may be named in a thought of the other
    end = max((text.rfind(closing) + len(closing) for _, closing in MARKS if closing in text), default=0)
    rest = text[end:]
    if any(opening in rest for opening, _ in MARKS):
        return None
    return rest.lstrip() if end else text
