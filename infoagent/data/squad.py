"""`squad`: questions on Wikipedia paragraphs, group = article. For evaluation only: a benchmark is not trained on.

Read from a file in SQuAD's own nested JSON (`data[].paragraphs[].qas[]`), plain or gzipped, from a file of the hub's flat
rows (`id, title, context, question, answers {text [], answer_start []}`), or from the hub. A question whose first answer
is empty (SQuAD 2 has unanswerable ones) is left out; the other annotators' answers are `references`. A file is one split.
Source: Rajpurkar et al. 2016, https://rajpurkar.github.io/SQuAD-explorer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infoagent.data.hub import Hub, Row, Source, open_source, read_json
from infoagent.data.schema import STRING, TEXT, ListOf, Mistakes, Schema
from infoagent.grading.words import count_words
from infoagent.types import InputError, Problem, ProblemSet

HUB = Hub(
    "rajpurkar/squad",
    {split: ("validation",) for split in ("validation", "test", "all")},  # its test split was never published
    revision="7b6d24c440a36b6815f21b70d25016731768db1f",
)
TABLES = (".jsonl", ".jsonl.gz", ".parquet")
_ROW: dict[str, Schema] = {
    "id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": {"text": ListOf(STRING)},
}  # fmt: skip


def load(
    path: str | None, split: str, min_words: int | None, max_words: int | None, revision: str | None = None
) -> ProblemSet:
    """Every answerable question whose paragraph has min_words to max_words words. Raises InputError for a file that
    is missing, is no JSON, or has another structure (where it differs)."""
    limits = (min_words or 1, max_words or 10**9)
    if path is None or Path(path).expanduser().is_dir() or path.endswith(TABLES):
        source = open_source("squad", path, split, revision, HUB)
        return ProblemSet("squad", source.revision, split, tuple(_flat(source, *limits)))
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"data.path = {path!r}: no such file")
    if revision is not None:
        raise InputError(f"data.revision = {revision!r}: a local copy is identified by its content; drop it")
    content, identity = read_json(file)
    if isinstance(content, list) and content and isinstance(content[0], dict) and "context" in content[0]:
        rows = (Row(f"{file}: row {number}", row) for number, row in enumerate(content, start=1))
        return ProblemSet("squad", identity, split, tuple(_flat(Source(path, identity, rows), *limits)))
    try:
        problems = tuple(_nested(content["data"], *limits))
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{file}: not in SQuAD's structure data[].paragraphs[].{{context, qas[].{{id, question, answers[].text}}}}: "
            f"{type(error).__name__} at {error}"
        ) from error
    return ProblemSet("squad", identity, split, problems)


def _nested(articles: list[dict[str, Any]], low: int, high: int) -> Iterator[Problem]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            if low <= count_words(paragraph["context"]) <= high:
                for question in paragraph["qas"]:
                    answers = [a["text"] for a in question["answers"]]
                    start = question["answers"][0].get("answer_start") if answers else None
                    if answers and answers[0].strip():
                        yield _problem(
                            question["id"], article["title"], paragraph["context"], question["question"], answers, start
                        )


def _flat(source: Source, low: int, high: int) -> Iterator[Problem]:
    mistakes = Mistakes(source.name)
    for row in source.rows:
        if mistakes.fit(row.where, row.content, _ROW) and mistakes.unique(row.where, "id", row.content["id"]):
            content, answers = row.content, row.content["answers"]["text"]
            starts = row.content["answers"].get("answer_start")
            if answers and answers[0].strip() and low <= count_words(content["context"]) <= high:
                yield _problem(
                    content["id"], content["title"], content["context"], content["question"], answers,
                    starts[0] if starts else None,
                )  # fmt: skip
    mistakes.settle()


def _problem(
    identity: str, title: str, context: str, question: str, answers: Sequence[str], start: Any = None
) -> Problem:
    stands = isinstance(start, int) and start >= 0 and context[start : start + len(answers[0])] == answers[0]
    return Problem(
        identity, context, question.strip(), "sha256:" + hashlib.sha256(context.encode()).hexdigest()[:16],
        answer=answers[0], group=title, part_of=title, answer_start=start if stands else None,
        references=tuple(dict.fromkeys(a for a in answers[1:] if a.strip() and a != answers[0])),
    )  # fmt: skip
