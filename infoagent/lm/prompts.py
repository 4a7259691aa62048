"""Prompts: versioned templates, rendered with each model's own chat template, as token ids.

The scorer's prefix is the compressor's own prompt with the document swapped. Both come from `compressor_ids`, so
that a frozen compressor that scores itself is scored under the very ids it sampled from.

The document stands first and the question after it: prompts that share a document, or the beginning of one, share
their first tokens, and the scorer computes those once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    "sentences-v1": (
        "{document}\n\n"
        "Summarise in exactly {sentences} the part of the text above that is needed to answer the question below. Do "
        "not answer it.\nQuestion: {query}"
    ),
    "memory-v1": (
        "{document}\n\n"
        "The text above holds earlier conversations of one user. Write a memory{budget} that stands in for them when "
        "this user comes back: who the user is and what they like, what they asked for and why, the names, numbers and "
        "dates in it, what was settled and what is still open."
    ),
    "compact-v1": (
        "{document}\n\n"
        "The text above is a conversation, or a summary of its earlier part and what was said since. Write a summary{budget} "
        "that takes its place: every fact of the earlier summary and every new one, each with its name, number or date."
    ),
    "plain-v1": "{document} {query}",  # for models trained from scratch, which know no instruction
}
PREDICTOR_TEMPLATES = {
    "answer-v1": "Notes: {compression}\n\nQuestion: {query}\n\nAnswer from the notes with a short phrase and nothing else.",
    "json-v1": (
        "Notes: {compression}\n\nQuestion: {query}{options}\n\n"
        "Answer from the notes. Reply with one JSON object and nothing else, in this form:\n"
        '{"explanation": "<in one or two sentences, what the notes say about it>", "answer": "<the answer alone>"}'
    ),
    "choice-v1": (
        "Notes: {compression}\n\nQuestion: {query}{options}\n\n"
        "Which option do the notes support best? Reply with its letter and nothing else."
    ),
    "free-v1": (
        "Notes: {compression}\n\nTask: {query}\n\n"
        "Do the task. What it is about stands in the notes alone. Reply with the finished text and nothing else."
    ),
}
JUDGE_TEMPLATES = {
    "judge-v1": (
        "Question: {query}\n\nReference answer: {reference}\n\nReply to be judged: {reply}\n\n"
        "Is the reply correct? The reference answer counts, not what you know.\n"
        "- Correct: it gives the same answer, in whatever words. Rounding, another unit of the same amount and details "
        "that contradict nothing do no harm.\n"
        "- Not correct: another answer, a part of an answer that needs all its parts, two answers at once, or none, such "
        "as saying that it cannot be known (unless that is the reference answer).\n"
        "Reply with one JSON object and nothing else, in this form:\n"
        '{"correct": true or false, "reason": "<one sentence>"}'
    ),
}
NO_NOTES = "(none)"
"""What a predictor reads in place of an empty compression."""
NO_REPLY = "(nothing)"
"""What a judge reads in place of an empty reply."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of the options in choice-v1: the first choice is A."""


def check_template(name: str) -> None:
    if name not in COMPRESSOR_TEMPLATES:
        raise InputError(f"prompt.template: {name!r} is unknown; allowed: {', '.join(COMPRESSOR_TEMPLATES)}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """`template` with each {name} replaced by its value. What looks like a {name} within a value stays as it is."""
    # in one pass, and not by format: documents contain braces
    return re.sub(r"\{(" + "|".join(values) + r")\}", lambda match: values[match[1]], template)


def compressor_messages(
    document: str,
    query: str,
    template: str = "query-v1",
    budget_words: int | None = None,
    budget_tokens: int | None = None,
    sentences: int | None = None,
) -> list[dict[str, str]]:
    """The chat that asks for a compression, of a length in words or in tokens where one is given.

    `sentences` is the exact number of them; a template that names it needs it, and no other takes it (InputError).
    """
    text = COMPRESSOR_TEMPLATES[template]
    if ("{sentences}" in text) != (sentences is not None):
        hint = "names a number of sentences; give one" if sentences is None else "names no number of sentences; drop it"
        raise InputError(f"prompt.sentences = {sentences}: template {template!r} {hint}")
    if sentences is not None and (budget_words or budget_tokens):
        raise InputError(
            f"prompt.template = {template!r}: names no budget beside its {sentences} sentences; drop the budget"
        )
    budget = f" of at most {budget_words} words" if budget_words else ""
    if budget_tokens:
        budget = f" of at most {budget_tokens} tokens"
    count = f"{sentences} sentence" + ("" if sentences == 1 else "s")
    filled = fill(text, {"budget": budget, "sentences": count, "query": query, "document": document})
    return [{"role": "user", "content": filled}]


def predictor_messages(
    compression: str, query: str, template: str = "answer-v1", choices: Sequence[str] = ()
) -> list[dict[str, str]]:
    """The chat that asks for an answer from the compression alone.

    `choices` become lettered options where the template has a place for them: choice-v1, which needs at least two
    (InputError), and json-v1, which does without. The others never show them.
    """
    if template == "choice-v1" and len(choices) < 2:
        raise InputError(f"predictor template 'choice-v1': the question {query[:60]!r} has no choices; use answer-v1")
    values = {"compression": compression.strip() or NO_NOTES, "query": query, "options": lettered(choices)}
    return [{"role": "user", "content": fill(PREDICTOR_TEMPLATES[template], values)}]


def lettered(choices: Sequence[str]) -> str:
    """Choices as a block of lines `A) …`, after a line break; nothing for none. Raises InputError beyond 26."""
    if len(choices) > len(LETTERS):
        raise InputError(f"a question has {len(choices)} choices; at most {len(LETTERS)} can be lettered")
    return "".join(f"\n{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))


def judge_messages(query: str, reference: str, reply: str, template: str = "judge-v1") -> list[dict[str, str]]:
    """The chat that asks whether `reply` says what `reference` says: JSON {"correct": bool, "reason": str}."""
    values = {"query": query, "reference": reference, "reply": reply.strip() or NO_REPLY}
    return [{"role": "user", "content": fill(JUDGE_TEMPLATES[template], values)}]


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
    sentences: int | None = None,
) -> list[int]:
    """The prompt of the compressor, and with another document in its place the prefix of the scorer."""
    messages = compressor_messages(document, query, template, budget_words, budget_tokens, sentences)
    return chat_ids(tokenizer, messages)


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
