"""What a compressor is not even asked: documents that are no text, have none, or do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infoagent.data.sets.hard_cases import EMPTY, NOT_TEXT
from infoagent.data.sets.hard_texts import has_text
from infoagent.lm.prompts import Prompt, compressor_ids

TOO_LONG = "beyond the context"


@dataclass(frozen=True)
class Refusal:
    """A document that is not compressed: the cause in two words, and one line with what to do."""

    cause: str
    error: str


@dataclass(frozen=True)
class Admitted:
    """A document that is compressed: its prompt, or None where it goes part by part."""

    prompt: tuple[int, ...] | None


def admit(
    document: str, query: str, tokenizer: Any, prompt: Prompt, reply_tokens: int, context_tokens: int, parts: bool
) -> Refusal | Admitted:
    """Whether a document can be compressed for a question; `parts`: one beyond the context goes part by part."""
    place = next((i for i, c in enumerate(document) if "\ud800" <= c <= "\udfff"), None)
    if place is not None:
        return Refusal(NOT_TEXT, f"character {place} is half a surrogate pair, which no encoding holds; decode it anew")
    if not has_text(document):
        return Refusal(EMPTY, "the document has no letter and no digit; there is nothing to compress")
    # a document of many times the context need not be tokenised to be known as too long: a token has 16 letters at most
    if len(document) <= 16 * context_tokens:
        ids = compressor_ids(tokenizer, document, query, prompt)
        if len(ids) + reply_tokens <= context_tokens:
            return Admitted(tuple(ids))
    if parts:
        return Admitted(None)
    return Refusal(TOO_LONG, f"prompt and reply are above the context of {context_tokens} tokens; set long=parts")
