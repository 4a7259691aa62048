"""Making sure that a prompt fits the model's context, before the model loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from infoagent.lm.detokenization import cut_to_room
from infoagent.lm.prompts import QUERY, Prompt, compressor_ids, text_ids
from infoagent.types import InputError, Negative, Problem

Truncation = Literal["error", "head", "tail", "middle"]
CUT_MARK = " … "
JOINS = 16
"""Tokens that a text may take beyond the sum of its parts: decoded and encoded again, or joined from lines."""


def fit_to_context(
    problems: Sequence[Problem],
    tokenizer: Any,
    context_tokens: int,
    reply_tokens: int,
    truncate: Truncation,
    prompt: Prompt = QUERY,
    setting: str | None = "data.truncate",
) -> list[Problem]:
    """Problems whose prompts, with `reply_tokens` more, fit into `context_tokens`.

    Documents that do not fit are refused ("error": InputError with their lengths), or shortened to their "head",
    their "tail", or both ends without the "middle", at borders of characters. Their negatives are shortened in the
    same way. `setting` is how the user names `truncate`; None: they cannot.
    A prompt that picks sentences is bounded whatever the document: nothing is shortened then.
    """
    mistakes = []
    fitted = []
    # any document may stand as a negative under any question: room is left for the longest question
    longest_query = max((p.query for p in problems), key=lambda query: len(text_ids(tokenizer, query)), default="")
    empty = len(compressor_ids(tokenizer, "", longest_query, prompt)) + reply_tokens
    if prompt.pick_tokens is not None:
        if (length := empty + prompt.pick_tokens + JOINS) > context_tokens:
            raise InputError(
                f"prompt.pick_tokens = {prompt.pick_tokens}: prompt and reply take {length} tokens, the model's context holds "
                f"{context_tokens}; lower it"
            )
        return list(problems)
    for problem in problems:
        texts = [problem.document, *(n.document for n in problem.negatives)]
        # a token holds at least one byte, so most documents need not be tokenised here
        if empty + max(len(text.encode()) for text in texts) <= context_tokens:
            fitted.append(problem)
            continue
        length = empty + max(len(text_ids(tokenizer, text)) for text in texts)
        if length <= context_tokens:
            fitted.append(problem)
        elif truncate == "error":
            shorter = "shorten it" if setting is None else f"set {setting} to head, tail or middle"
            mistakes.append(
                f"document of problem {problem.id!r}: prompt and reply take {length} tokens, the model's context holds "
                f"{context_tokens}; {shorter}, or use a model with a longer context"
            )
        else:
            fitted.append(_shorten(problem, _cutter(tokenizer, context_tokens - empty, truncate)))
    if mistakes:
        shown = mistakes[:5]
        raise InputError(shown + ([f"and {len(mistakes) - 5} more documents are too long"] if len(mistakes) > 5 else []))
    return fitted


def _shorten(problem: Problem, cut: Callable[[str], str]) -> Problem:
    return replace(
        problem,
        document=cut(problem.document),
        negatives=tuple(Negative(n.kind, cut(n.document), n.changes) for n in problem.negatives),
    )


def _cutter(tokenizer: Any, room: int, truncate: Truncation) -> Callable[[str], str]:
    room -= JOINS  # the cut mark takes some too
    if room < 1:
        raise InputError("the question and the reply alone fill the model's context; shorten them")

    def cut(text: str) -> str:
        if len(text_ids(tokenizer, text)) <= room:
            return text
        if truncate == "head":
            return cut_to_room(tokenizer, text, room)
        if truncate == "tail":
            return cut_to_room(tokenizer, text, room, keep="tail")
        head = cut_to_room(tokenizer, text, room // 2)
        return head + CUT_MARK + cut_to_room(tokenizer, text, room - room // 2, keep="tail")

    return cut
