"""Prompts: versioned templates, rendered with each model's own chat template, as token ids.

The scorer's prefix is the compressor's own prompt with the document swapped. Both come from `compressor_ids`, so
that a frozen compressor that scores itself is scored under the very ids it sampled from.

The document stands first and the question after it: prompts that share a document, or the beginning of one, share
their first tokens, and the scorer computes those once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infoagent.lm.chat_template import MARKS, chat_template_ids, end_of_turn_id, template_marks
from infoagent.lm.control_tokens import meant_ids, text_ids
from infoagent.lm.picking import pick
from infoagent.recipes.sections import PromptSection
from infoagent.types import InputError

__all__ = ["MARKS", "end_of_turn_id", "template_marks", "text_ids"]  # others take them from here

COMPRESSOR_TEMPLATES = {
    "query-v1": (
        "{document}\n\nSummarise in one short sentence{budget} the part of the text above that is needed to answer: {query}"
    ),
    "agnostic-v1": ("{document}\n\nWrite a short summary{budget} of the text above that keeps its facts: numbers, names, dates."),
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
    "think-v1": (
        "{document}\n\n"
        "First think between <think> and </think> about which part of the text above is needed to answer: {query}\n"
        "Then, behind </think>, summarise that part in one short sentence{budget}."
    ),
    "form-v1": (
        "{document}\n\nTake from the text above what is needed to answer the question below{budget}.\nQuestion: {query}\n{form}"
    ),
    "agnostic-form-v1": ("{document}\n\nTake from the text above its facts{budget}: numbers, names, dates.\n{form}"),
    "compact-v1": (
        "{document}\n\n"
        "The text above is a conversation, or a summary of its earlier part and what was said since. Write a summary{budget} "
        "that takes its place: every fact of the earlier summary and every new one, each with its name, number or date."
    ),
    "compact-keep-v1": (
        "{document}\n\n"
        "The text above is a conversation, or a summary of its earlier part and what was said since. Write a summary{budget} "
        "that takes its place: every fact of the earlier summary and every new one, each with its name, number or date. Above "
        "all, and in the same words: {query}"
    ),
    "plain-v1": "{document} {query}",  # for models trained from scratch, which know no instruction
}
WITHOUT_THOUGHT = {"think-v1": "query-v1"}
"""Templates that ask for a thought in words, and what they ask for without."""
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
    "math-v1": (
        "Notes: {compression}\n\nProblem: {query}\n\n"
        "Solve the problem with the numbers of the notes. End with the final answer as \\boxed{}."
    ),
    "code-v1": "Notes: {compression}\n\nTask: {query}\n\nReply with the Python code of the function and nothing else.",
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
    )
}
NOT_PICKED = "no sentences are picked here, where the text is read for more than one question or behind a server; drop it"
NO_NOTES = "(none)"
"""What a predictor reads in place of an empty compression."""
NO_REPLY = "(nothing)"
"""What a judge reads in place of an empty reply."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of the options in choice-v1: the first choice is A."""


@dataclass(frozen=True)
class Prompt:
    """What a compressor is told beside a document and a question: a template and what its places hold."""

    template: str = "query-v1"
    budget_words: int | None = None
    budget_tokens: int | None = None
    sentences: int | None = None
    """Their exact number; a template that names it needs it, and no other takes it."""
    pick_tokens: int | None = None
    """Of the document, so much is read: the sentences that BM25 picks for the question."""
    form: str | None = None
    """What is said of a structured form; likewise."""
    thinking: bool | None = None
    """As in `chat_ids`: whether the model is told to think before it writes."""

    @classmethod
    def of(cls, section: PromptSection, form: str | None = None, thinking: bool | None = None) -> Prompt:
        return cls(**section.model_dump(), form=form, thinking=thinking)


QUERY = Prompt()
"""What is asked where nothing else is said."""


def names_question(template: str) -> bool:
    """Whether a compression depends on the question; also for a template of earlier versions."""
    return "{query}" in COMPRESSOR_TEMPLATES.get(template, "{query}")


def check_prompt(section: PromptSection, may_pick: bool = True) -> None:
    """`may_pick`: whether sentences of the document can be picked there."""
    name = section.template
    if name not in COMPRESSOR_TEMPLATES:
        raise InputError(f"prompt.template: {name!r} is unknown; allowed: {', '.join(COMPRESSOR_TEMPLATES)}")
    if section.pick_tokens is not None and not names_question(name):
        raise InputError(
            f"prompt.pick_tokens = {section.pick_tokens}: template {name!r} names no question to pick sentences for; "
            "drop it, or take query-v1"
        )
    if section.pick_tokens is not None and not may_pick:
        raise InputError(f"prompt.pick_tokens = {section.pick_tokens}: {NOT_PICKED}")


def check_predictor_template(name: str | None, where: str) -> None:
    """None is the one that comes with the mode."""
    if name is not None and name not in PREDICTOR_TEMPLATES:
        raise InputError(f"{where}.template {name!r}: is unknown; allowed: {', '.join(PREDICTOR_TEMPLATES)}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """`template` with each {name} replaced by its value. What looks like a {name} within a value stays as it is."""
    # in one pass, and not by format: documents contain braces
    return re.sub(r"\{(" + "|".join(values) + r")\}", lambda match: values[match[1]], template)


def compressor_messages(document: str, query: str, prompt: Prompt = QUERY, tokenizer: Any = None) -> list[dict[str, str]]:
    """The chat that asks for a compression, the document's sentences picked as the prompt says. Raises InputError where the template
    names what the prompt has not, or has no place for what it has, and where tokens are to be picked without a tokenizer."""
    if prompt.pick_tokens is not None:
        if tokenizer is None:
            raise InputError(f"prompt.pick_tokens = {prompt.pick_tokens}: {NOT_PICKED}")
        document = pick(tokenizer, document, query, prompt.pick_tokens)
    template, sentences, form = prompt.template, prompt.sentences, prompt.form
    text = COMPRESSOR_TEMPLATES[template]
    if ("{form}" in text) != (form is not None):
        hint = "names a form; give one" if form is None else "has no place for a form; take form-v1"
        raise InputError(f"prompt.template = {template!r}: {hint}")
    if ("{sentences}" in text) != (sentences is not None):
        hint = "names a number of sentences; give one" if sentences is None else "names no number of sentences; drop it"
        raise InputError(f"prompt.sentences = {sentences}: template {template!r} {hint}")
    if sentences is not None and (prompt.budget_words or prompt.budget_tokens):
        raise InputError(f"prompt.template = {template!r}: names no budget beside its {sentences} sentences; drop the budget")
    budget = f" of at most {prompt.budget_words} words" if prompt.budget_words else ""
    if prompt.budget_tokens:
        budget = f" of at most {prompt.budget_tokens} tokens"
    count = f"{sentences} sentence" + ("" if sentences == 1 else "s")
    filled = fill(text, {"budget": budget, "sentences": count, "query": query, "document": document, "form": form or ""})
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


def chat_ids(tokenizer: Any, messages: Sequence[dict[str, str]], thinking: bool | None = None) -> list[int]:
    """Token ids of a chat up to and including the assistant's header. Control tokens in the messages are plain text.

    `thinking` turns the thinking mode of the chat template on or off; None leaves it alone. Off is what the template
    has for it, else an empty thought; a template without such a mode gives the same ids in all three cases.
    """
    switch = None if thinking is None else thinking_switch(tokenizer)
    said = {} if switch is None else {switch: thinking}
    ids = chat_template_ids(tokenizer, messages, **said)
    if thinking is False and switch is None and (marks := template_marks(tokenizer)) is not None:
        opened = "" if opens_thought(tokenizer, ids, marks) else marks[0]
        ids += meant_ids(tokenizer, f"{opened}\n{marks[1]}\n\n")
    return ids


UNFINISHED = "unfinished thinking"
"""The cause of a failure: a thought without an end, so that there is no reply."""
SWITCHES = ("enable_thinking", "thinking")
"""Variables of chat templates that turn thinking on and off."""


def thinking_switch(tokenizer: Any) -> str | None:
    """The variable of the chat template that turns thinking on and off; None where it has none."""
    template = tokenizer.chat_template or ""
    expressions = " ".join(_expressions(template))
    names = re.sub(r"'[^']*'|\"[^\"]*\"", "", expressions)
    return next((name for name in SWITCHES if re.search(rf"(?<![\w.]){name}(?!\w)", names)), None)


def _expressions(template: str) -> Iterator[str]:
    """What stands in braces: `{{ … }}` and `{% … %}`."""
    opening, closing = re.compile(r"\{[{%]"), re.compile(r"[%}]\}")
    at = 0
    while (start := opening.search(template, at)) and (end := closing.search(template, start.end())):
        yield template[start.start() : end.end()]
        at = end.end()


def can_think(tokenizer: Any) -> bool:
    """Whether `thinking` decides anything in `chat_ids`."""
    return thinking_switch(tokenizer) is not None or template_marks(tokenizer) is not None


def opens_thought(tokenizer: Any, prompt: Sequence[int], marks: tuple[str, str]) -> bool:
    """Whether a prompt ends in an open thought, so that the reply begins inside it."""
    return str(tokenizer.decode(list(prompt[-8:]))).rstrip().endswith(marks[0])


def compressor_ids(tokenizer: Any, document: str, query: str, prompt: Prompt = QUERY) -> list[int]:
    """The prompt of the compressor, and with another document in its place the prefix of the scorer.

    A model without a thinking mode that is asked for a thought in words finds it opened.
    """
    ids = chat_ids(tokenizer, compressor_messages(document, query, prompt, tokenizer), prompt.thinking)
    if prompt.thinking and prompt.template in WITHOUT_THOUGHT and template_marks(tokenizer) is None:
        ids += meant_ids(tokenizer, f"{MARKS[0][0]}\n")  # else few models open a thought by themselves
    return ids
