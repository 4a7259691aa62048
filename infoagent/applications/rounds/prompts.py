"""What models are told when they go on: a compressor that is asked again, a reader that asks, a context that is compacted.

The scorer's prefix of a round is the compressor's own prompt of that round with the document swapped, the questions and
texts of the rounds before left as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infoagent.lm.prompts import NO_NOTES, Prompt, chat_ids, compressor_messages, fill
from infoagent.lm.thinking import behind_any_thought

ASK_TEMPLATES = {
    "ask-v1": (
        "Question: {query}\n\nNotes so far: {notes}\n\n"
        "The notes were written by somebody who has the source; you have not. Write one new question to them, for what the "
        "notes lack to answer the question above. Reply with that question and nothing else."
    )
}
AGAIN = "{task}\nAdd what is new and do not repeat what you said."
"""A later round's part of the compressor's prompt; `task` is its template without the document."""


def ask_messages(query: str, notes: str, template: str = "ask-v1") -> list[dict[str, str]]:
    """The chat that asks the reader for its next question."""
    values = {"query": query, "notes": notes.strip() or NO_NOTES}
    return [{"role": "user", "content": fill(ASK_TEMPLATES[template], values)}]


def next_question(reply: str) -> str | None:
    """The question in a reply: its first line with text behind a thought, without quotation marks. Empty where there is
    none, None for a thought without an end."""
    said = behind_any_thought(reply)
    if said is None:
        return None
    lines = [line.strip().strip("\"'“”").strip() for line in said.splitlines()]
    return next((line for line in lines if line), "")


def round_messages(document: str, questions: Sequence[str], texts: Sequence[str], prompt: Prompt) -> list[dict[str, str]]:
    """The compressor's chat in round len(questions): document and first question, then each text it wrote and the next
    question. `texts` are those of the rounds before; without them it is the chat of a first round on the last question.

    Raises ValueError where there are texts and not one fewer than questions.
    """
    if not texts:
        return compressor_messages(document, questions[-1], prompt)
    if len(texts) != len(questions) - 1:
        raise ValueError(f"{len(texts)} texts and {len(questions)} questions: each question but the last has its text")
    chat = compressor_messages(document, questions[0], prompt)
    for text, question in zip(texts, questions[1:], strict=True):
        [told] = compressor_messages("", question, prompt)
        again = fill(AGAIN, {"task": told["content"].strip()})
        chat += [{"role": "assistant", "content": text}, {"role": "user", "content": again}]
    return chat


def round_ids(tokenizer: Any, document: str, questions: Sequence[str], texts: Sequence[str], prompt: Prompt) -> list[int]:
    """`round_messages` as the compressor's token ids, and with another document in its place the scorer's prefix. A model
    that can think is told not to: its thought would be z."""
    return chat_ids(tokenizer, round_messages(document, questions, texts, prompt), thinking=False)
