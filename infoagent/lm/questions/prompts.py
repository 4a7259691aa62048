"""What a model is asked when it writes questions, and what counts as a reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from infoagent.grading.words import count_words
from infoagent.lm.prompts import UNFINISHED, fill
from infoagent.lm.thinking import behind_any_thought

States = Callable[[str, str], bool]
"""(text, answer) → whether the answer stands in the text."""

LONGEST_EXTRACTIVE_WORDS = 30
SHORTEST_CREATIVE_WORDS = 8
CREATIVE = ("email", "rap", "poem")
QUOTES = " \"'“”‘’«»"

_FORM = "Reply in this form and with nothing else:\nQUESTION: <{what_question}>\nANSWER: <{what_answer}>{earlier}"
_TASKS = {
    "extractive": (
        "Write one question that the text above answers, and its answer. The answer is a short phrase (a name, a number, "
        "a date, a few words) copied from the text letter by letter. The question makes sense without the text and does "
        "not contain the answer."
    ),
    "email": (
        "Think of an email that someone may want to have written with the text above at hand. Write the request for it, "
        "which says to whom and to what end, and then the email itself. All facts in it come from the text."
    ),
    "rap": (
        "Think of a rap about a matter of the text above. Write the request for it, which names the matter, and then the "
        "rap itself, eight to sixteen lines that rhyme. All facts in it come from the text."
    ),
    "poem": (
        "Think of a poem about a matter of the text above. Write the request for it, which names the matter, and then the "
        "poem itself, eight to sixteen lines. All facts in it come from the text."
    ),
    "memory": (
        "The text above holds earlier conversations of one user. Write a new message of this user that can be answered "
        "well only by someone who remembers those conversations, and the answer to it, in one to three sentences. The "
        "message does not repeat what has to be remembered."
    ),
}
_CALLED = {
    "extractive": ("the question", "the phrase"),
    "email": ("the request", "the email"),
    "rap": ("the request", "the rap"),
    "poem": ("the request", "the poem"),
    "memory": ("the message", "the answer"),
}
QUESTION_TEMPLATES = {
    "questions-v1": {
        kind: f"{{document}}\n\n{_TASKS[kind]} " + fill(_FORM, {"what_question": question, "what_answer": answer})
        for kind, (question, answer) in _CALLED.items()
    }
}
"""For each version, the prompt of each kind."""
_SIGNS = r"(?:[^\w\n]|_)*"  # within a line: over line ends, a reply of blank lines alone takes the square of its length
_QUESTION = re.compile(rf"^{_SIGNS}QUESTION{_SIGNS}?:[*_ \t]*", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(rf"^{_SIGNS}ANSWER{_SIGNS}?:[*_ \t]*", re.IGNORECASE | re.MULTILINE)


class RejectedReply(ValueError):
    """A reply that is no usable question; the message says why."""


def question_prompt(document: str, kind: str, earlier: Sequence[str] = (), template: str = "questions-v1") -> str:
    """The prompt for a question of a kind, another one than the `earlier` ones."""
    listed = "".join(f"\n- {query}" for query in earlier)
    other = f"\nThese are taken already, so write about something else:{listed}" if earlier else ""
    return fill(QUESTION_TEMPLATES[template][kind], {"document": document, "earlier": other})


def read_reply(reply: str, kind: str, document: str, states: States, earlier: Sequence[str] = ()) -> tuple[str, str]:
    """(question, answer) of a reply. Raises RejectedReply with the cause.

    An extractive answer must stand in the document, and not in the question.
    """
    text = behind_any_thought(reply)
    if text is None:  # what stands in it is a draft
        raise RejectedReply(UNFINISHED)
    opening = _QUESTION.search(text)
    if opening is None:
        raise RejectedReply("no line QUESTION:")
    closing = _ANSWER.search(text, opening.end())
    if closing is None:
        raise RejectedReply("no line ANSWER:")
    question = " ".join(text[opening.end() : closing.start()].split()).strip("*_ ")
    answer = text[closing.end() :].strip().strip("*_").strip()
    another = _QUESTION.search(answer)
    if another is not None:
        raise RejectedReply("more than one question")
    for name, part in (("question", question), ("answer", answer)):
        if not re.search(r"\w", part):
            raise RejectedReply(f"an empty {name}")
        if part.strip("<>.") in _CALLED[kind]:
            raise RejectedReply(f"the form's own words as {name}")
    if _comparable(question) in map(_comparable, earlier):
        raise RejectedReply("a question that stands already")
    if kind == "extractive":
        if count_words(answer) > LONGEST_EXTRACTIVE_WORDS:
            raise RejectedReply(f"an answer of more than {LONGEST_EXTRACTIVE_WORDS} words")
        answer = _bare(answer)
        if not states(document, answer):
            raise RejectedReply("an answer that does not stand in the document")
        if states(question, answer):
            raise RejectedReply("a question that gives its answer away")
    elif kind in CREATIVE and count_words(answer) < SHORTEST_CREATIVE_WORDS:
        raise RejectedReply(f"an answer of less than {SHORTEST_CREATIVE_WORDS} words")
    return question, answer


def _bare(answer: str) -> str:
    """A phrase without quotation marks around it and without the full stop of a sentence; `U.S.` keeps its own."""
    bare = answer.strip(QUOTES)
    if bare.endswith(".") and "." not in bare.split()[-1][:-1]:
        bare = bare[:-1]
    return bare.strip(QUOTES)


def _comparable(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
