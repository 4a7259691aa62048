"""Extractive question answering in SQuAD's forms; the set `squad` itself is for evaluation only.

Read from the nested JSON (`data[].paragraphs[].qas[]`), from flat rows (`id, title, context, question, answers {text [],
answer_start []}`) in any file of rows, or from the hub. Many sets have these forms, with or without titles, with whole
numbers as ids, and with ids that stand twice: they are read as they are. A question without an answer (SQuAD 2 has
unanswerable ones) is left out; the other annotators' answers are `references`. Group = article, by its title or, where it
has none, by its place. A file is one split.
Source: Rajpurkar et al. 2016, https://rajpurkar.github.io/SQuAD-explorer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import IDENTITY, STRING, Identities, ListOf, Maybe, Mistakes, Schema, Texts
from infoagent.data.reading.tables import Row
from infoagent.grading.words import count_words
from infoagent.types import Problem, ProblemSet

HUB = Hub(
    "rajpurkar/squad",
    {split: ("validation",) for split in ("validation", "test", "all")},  # its test split was never published
    revision="7b6d24c440a36b6815f21b70d25016731768db1f",
)
FORM = "data[].paragraphs[].{context, qas[].{id, question, answers[].text}}"
_ANSWERS = Maybe(ListOf({"text": STRING}))
_ARTICLE: dict[str, Schema] = {
    "title": Maybe(STRING),
    "paragraphs": ListOf({"context": STRING, "qas": ListOf({"id": IDENTITY, "question": STRING, "answers": _ANSWERS})}),
}
_ROW: dict[str, Schema] = {
    "id": IDENTITY, "title": Maybe(STRING), "context": STRING, "question": STRING, "answers": {"text": ListOf(STRING)},
}  # fmt: skip
_OWN_ID = re.compile("5[6-9ab][0-9a-f]{22}")
"""SQuAD's ids: 24 hexadecimal digits that begin with the second of their making, from 2015 to 2018."""


@dataclass
class Reading:
    """What the rows of a source gave."""

    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    benchmark: str | None = None
    """Why nobody should train on it, where the file itself tells."""


@dataclass(frozen=True)
class _Question:
    """A question as the file has it: where it stands, the article's name, the paragraph, and every annotator's answer."""

    where: str
    id: str | int
    article: str | None
    context: str
    question: str
    answers: tuple[str, ...]
    start: Any = None
    """The character of the paragraph that the first answer begins at, where the file says so."""


def load(path: str | None, split: str, min_words: int | None, max_words: int | None, revision: str | None = None) -> ProblemSet:
    """Every answerable question whose paragraph has min_words to max_words words. Raises InputError for a file that
    is missing, is no JSON, or has another structure (where it differs)."""
    source = open_source("squad", path, split, revision, HUB)
    found = read(source.name, source.rows, min_words, max_words)
    return ProblemSet("squad", source.revision, split, tuple(found.problems), found.left_out, found.benchmark)


def is_nested(content: Any) -> bool:
    """Whether a JSON value is a whole file in the nested form."""
    return isinstance(content, dict) and isinstance(content.get("data"), list)


def is_flat(content: Any) -> bool:
    """Whether a row is a flat one."""
    return isinstance(content, dict) and {"context", "question", "answers"} <= content.keys()


def read(name: str, rows: Iterable[Row], min_words: int | None = None, max_words: int | None = None) -> Reading:
    """The questions of nested and flat rows. Raises InputError with place and field of every mistake."""
    low, high = min_words or 1, max_words or 10**9
    mistakes, identities, texts = Mistakes(name), Identities(name), Texts()
    found, words = Reading(), dict[str, int]()
    own_ids = 0
    for question in _questions(rows, mistakes, found):
        context, document_id = texts.one(question.context)
        if document_id not in words:
            words[document_id] = count_words(context)
        cause = _why_not(question, words[document_id], low, high)
        if cause is not None:
            found.left_out[cause] += 1
            continue
        content = (document_id, question.question, question.answers)
        identity = identities.one(question.where, question.id, content)
        if identity is None:
            found.left_out["question that stands there twice"] += 1
            continue
        own_ids += _OWN_ID.fullmatch(identity) is not None
        found.problems.append(_problem(identity, question, context, document_id))
    mistakes.settle()
    identities.report()
    if found.benchmark is None and own_ids > len(found.problems) / 2:
        found.benchmark = "its questions bear SQuAD's ids"
    return found


def _why_not(question: _Question, words: int, low: int, high: int) -> str | None:
    """Why a question is no problem; None: it is one."""
    if not question.answers or not question.answers[0].strip():
        return "question without an answer"
    if not question.question.strip():
        return "question without a text"
    return None if low <= words <= high else "question on a paragraph that min_words and max_words rule out"


def _questions(rows: Iterable[Row], mistakes: Mistakes, found: Reading) -> Iterator[_Question]:
    for row in rows:
        content = row.content
        if is_nested(content):
            if content.get("canary"):
                found.benchmark = "it bears a canary against training"
            for number, article in enumerate(content["data"]):
                where = f"{row.where}: data[{number}]"
                if mistakes.fit(where, article, _ARTICLE):
                    yield from _of_article(where, article)
        elif isinstance(content, dict) and not content.keys() & {"context", "question", "answers"}:
            mistakes.rows += 1
            mistakes.add(row.where, [f"not in SQuAD's structure {FORM}, and no row with {', '.join(_ROW)}"])
        elif mistakes.fit(row.where, content, _ROW):
            yield _Question(
                row.where,
                content["id"],
                content.get("title"),
                content["context"],
                content["question"],
                tuple(content["answers"]["text"]),
                next(iter(content["answers"].get("answer_start") or ()), None),
            )


def _of_article(where: str, article: Mapping[str, Any]) -> Iterator[_Question]:
    name = article.get("title") or where.rpartition(": ")[2]
    for p, paragraph in enumerate(article["paragraphs"]):
        for q, question in enumerate(paragraph["qas"]):
            answers = question.get("answers") or ()
            yield _Question(
                f"{where}.paragraphs[{p}].qas[{q}]",
                question["id"],
                name,
                paragraph["context"],
                question["question"],
                tuple(answer["text"] for answer in answers),
                answers[0].get("answer_start") if answers else None,
            )


def _problem(identity: str, question: _Question, context: str, document_id: str) -> Problem:
    answers, start = question.answers, question.start
    stands = isinstance(start, int) and start >= 0 and context[start : start + len(answers[0])] == answers[0]
    return Problem(
        identity,
        context,
        question.question.strip(),
        document_id,
        answer=answers[0],
        group=question.article,
        part_of=question.article,
        answer_start=start if stands else None,
        references=tuple(dict.fromkeys(a for a in answers[1:] if a.strip() and a != answers[0])),
    )
