"""`qasper`: questions on NLP papers whose answer is a piece of the text. For evaluation only.

The document is the whole paper: title, abstract, and sections under their headings. Questions whose every annotator
answered in words of his own, with yes or no, or not at all are left out. Group = paper.
Source: Dasigi et al. 2021, arXiv 2105.03011; the hub's `allenai/qasper` in its parquet form, or a file of such rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infoagent.data.hub import Hub, open_source
from infoagent.data.schema import STRING, TEXT, ListOf, Maybe, Mistakes, Schema
from infoagent.types import Problem, ProblemSet

# the main branch holds a script, which `datasets` no longer runs
HUB = Hub(
    "allenai/qasper",
    {"validation": ("validation",), "test": ("test",), "all": ("train", "validation", "test")},
    revision="06806e4608976fc2fac0a090ac425d5b2b29caf4",
    branch="refs/convert/parquet",
)
_ANSWER: dict[str, Schema] = {"extractive_spans": ListOf(STRING), "evidence": Maybe(ListOf(STRING))}
_ROW: dict[str, Schema] = {
    "id": TEXT, "title": STRING, "abstract": Maybe(STRING),
    "full_text": {"section_name": ListOf(Maybe(STRING)), "paragraphs": ListOf(ListOf(STRING))},
    "qas": {
        "question": ListOf(TEXT), "question_id": ListOf(TEXT), "answers": ListOf({"answer": ListOf(_ANSWER)}),
    },
}  # fmt: skip


def load(path: str | None, split: str, revision: str | None) -> ProblemSet:
    """Every question with an extractive answer. The first annotator's is `answer`, the others' are `references`."""
    source = open_source("qasper", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    problems: list[Problem] = []
    for row in source.rows:
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        found = list(_contradictions(row.content))
        mistakes.add(row.where, found)
        for problem in [] if found else _problems(row.content):
            if mistakes.unique(row.where, "qas.question_id", problem.id):
                problems.append(problem)
    mistakes.settle()
    return ProblemSet("qasper", source.revision, split, tuple(problems))


def _contradictions(row: Mapping[str, Any]) -> Iterator[str]:
    """Lists that stand beside each other and differ in length."""
    for field, (first, *others) in (("full_text", ("section_name", "paragraphs")),
                                    ("qas", ("question", "question_id", "answers"))):  # fmt: skip
        for other in others:
            if len(row[field][other]) != len(row[field][first]):
                yield f"field '{field}.{other}': must be as long as '{field}.{first}'"


def paper_text(row: Mapping[str, Any]) -> str:
    """Title, abstract and sections, each under its heading, with a blank line between them."""
    full = row["full_text"]
    parts = [row["title"].strip(), "\n".join(("Abstract", row["abstract"])) if row.get("abstract") else ""]
    parts += [
        "\n".join(([name] if name else []) + [paragraph for paragraph in paragraphs if paragraph.strip()])
        for name, paragraphs in zip(full["section_name"], full["paragraphs"], strict=True)
    ]
    return "\n\n".join(part for part in parts if part.strip())


def _problems(row: Mapping[str, Any]) -> Iterator[Problem]:
    document = paper_text(row)
    questions = row["qas"]
    for question, identity, given in zip(
        questions["question"], questions["question_id"], questions["answers"], strict=True
    ):
        extractive = [a for a in given["answer"] if any(span.strip() for span in a["extractive_spans"])]
        if not extractive:
            continue
        answers = [", ".join(span for span in a["extractive_spans"] if span.strip()) for a in extractive]
        # evidence may name a figure, which is no part of the text
        evidence = [e for e in extractive[0].get("evidence") or [] if e.strip() and e in document]
        yield Problem(
            id=identity,
            document=document,
            query=question.strip(),
            document_id=row["id"],
            answer=answers[0],
            group=row["id"],
            evidence=tuple(evidence),
            references=tuple(dict.fromkeys(a for a in answers[1:] if a != answers[0])),
        )
