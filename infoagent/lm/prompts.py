"""Prompts: versioned templates, rendered with each model's own chat template, as token ids.

The scorer's prefix is the compressor's own prompt with the document swapped. Both come from `compressor_ids`, so
that a frozen compressor that scores itself is scored under the very ids it sampled from.

The document stands first and the question after it: prompts that share a document, or the beginning of one, share
their first tokens, and the scorer computes those once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infoagent.types import InputError

COMPRESSOR_TEMPLATES = {
    "query-v1": (
        "{document}\n\n"
        "Summarise in one short sentence{budget} the part of the text above that is needed to answer: {query}"
    ),
    "agnostic-v1": (
        "{document}\n\nWrite a short summary{budget} of the text above that keeps its facts: numbers, names, dates."
    ),
    "plain-v1": "{document} {query}",  # for models trained from scratch, which know no instruction
}
PREDICTOR_TEMPLATES = {
    "answer-v1": "Notes: {compression}\n\nQuestion: {query}\n\nAnswer from the notes with a short phrase and nothing else.",
}
NO_NOTES = "(none)"
"""What a predictor reads in place of an empty compression."""


def check_template(name: str) -> None:
    if name not in COMPRESSOR_TEMPLATES:
        raise InputError(f"prompt.template: {name!r} is unknown; allowed: {', '.join(COMPRESSOR_TEMPLATES)}")


def compressor_messages(
    document: str,
    query: str,
    template: str = "query-v1",
    budget_words: int | None = None,
    budget_tokens: int | None = None,
) -> list[dict[str, str]]:
    """The chat that asks for a compression, of a length in words or in tokens where one is given."""
    budget = f" of at most {budget_words} words" if budget_words else ""
    if budget_tokens:
        budget = f" of at most {budget_tokens} tokens"
    text = COMPRESSOR_TEMPLATES[template]
    # replace, not format: documents contain braces
    for key, value in (("budget", budget), ("query", query), ("document", document)):
        text = text.replace("{" + key + "}", value, 1)
    return [{"role": "user", "content": text}]


def predictor_messages(compression: str, query: str, template: str = "answer-v1") -> list[dict[str, str]]:
    """The chat that asks for an answer from the compression alone."""
    text = PREDICTOR_TEMPLATES[template]
    for key, value in (("query", query), ("compression", compression.strip() or NO_NOTES)):
        text = text.replace("{" + key + "}", value, 1)
    return [{"role": "user", "content": text}]


def chat_ids(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a chat up to and including the assistant's header."""
    if not tokenizer.chat_template:
        raise InputError(
            f"model {tokenizer.name_or_path!r}: its tokenizer has no chat template; use an instruction-tuned model"
        )
    encoded = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=True, return_dict=True)
    return [int(i) for i in encoded["input_ids"]]


def compressor_ids(
    tokenizer: Any,
    document: str,
    query: str,
    template: str = "query-v1",
    budget_words: int | None = None,
    budget_tokens: int | None = None,
) -> list[int]:
    """The prompt of the compressor, and with another document in its place the prefix of the scorer."""
    return chat_ids(tokenizer, compressor_messages(document, query, template, budget_words, budget_tokens))


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of a continuation: never joined with its prefix as a string, so no merge crosses the border."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]


def end_of_turn_id(tokenizer: Any) -> int:
    """The token that ends an assistant's turn, read off the model's own chat template.

    In most instruction models it is the tokenizer's EOS; where the template ends the turn with another special
    token (Gemma), that one counts.
    """
    header = chat_ids(tokenizer, [{"role": "user", "content": "a"}])
    closed = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        tokenize=True,
        return_dict=True,
    )["input_ids"]
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
    for token in closed[len(header) :]:
        if int(token) in special:
            return int(token)
    if tokenizer.eos_token_id is None:
        raise InputError(f"model {tokenizer.name_or_path!r}: neither its template nor its tokenizer has an end of turn")
    return int(tokenizer.eos_token_id)
