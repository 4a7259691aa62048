"""`qasper`: questions on NLP papers whose answer is a piece of the text. For evaluation only.

The document is the whole paper: title, abstract, and sections under their headings. Questions whose every annotator
answered in words of his own, with yes or no, or not at all are left out. Group = paper.
Source: Dasigi et al. 2021, arXiv 2105.03011; the hub's `allenai/qasper` in its parquet form, a file of such rows, or the
authors' own files, {paper: {title, abstract, full_text [{section_name, paragraphs}], qas [{question, answers}]}}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import STRING, TEXT, Identities, ListOf, Maybe, Mistakes, Schema
from infoagent.data.reading.tables import Row
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
_PAPER: dict[str, Schema] = {
    "title": STRING, "abstract": Maybe(STRING),
    "full_text": ListOf({"section_name": Maybe(STRING), "paragraphs": ListOf(STRING)}),
    "qas": ListOf({"question": TEXT, "question_id": TEXT, "answers": ListOf({"answer": _ANSWER})}),
}  # fmt: skip


def load(path: str | None, split: str, revision: str | None) -> ProblemSet:
    """Every question with an extractive answer. The first annotator's is `answer`, the others' are `references`. Ids that
    stand twice, as in the authors' own sample, are told apart and reported."""
    source = open_source("qasper", path, split, revision, HUB)
    mistakes, identities = Mistakes(source.name), Identities(source.name)
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for row in _papers(source.rows, mistakes):
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        found = list(_contradictions(row.content))
        mistakes.add(row.where, found)
        if found:
            continue
        extractive = list(_problems(row.content))
        left_out["question without an extractive answer"] += len(row.content["qas"]["question"]) - len(extractive)
        for number, problem in extractive:
            where = f"{row.where}: qas[{number}]"
            identity = identities.one(where, problem.id, (problem.document_id, problem.query, problem.answer))
            if identity is None:
                left_out["question that stands there twice"] += 1
            else:
                problems.append(problem if identity == problem.id else replace(problem, id=identity))
    mistakes.settle()
    identities.report()
    return ProblemSet("qasper", source.revision, split, tuple(problems), +left_out)


def _papers(rows: Iterable[Row], mistakes: Mistakes) -> Iterator[Row]:
    """The papers in the hub's form. In the authors' own a file is one object of all papers by their ids."""
    for row in rows:
        content = row.content
        if isinstance(content, dict) and content and not content.keys() & _ROW.keys():
            papers = [Row(f"{row.where}: paper {name!r}", (name, paper)) for name, paper in content.items()]
        elif isinstance(content, dict) and isinstance(content.get("full_text"), list):
            papers = [Row(row.where, (content.get("id"), content))]
        else:
            yield row
            continue
        for paper in papers:
            if mistakes.fit(paper.where, paper.content[1], _PAPER):
                yield Row(paper.where, _as_row(*paper.content))


def _as_row(identity: Any, paper: Mapping[str, Any]) -> dict[str, Any]:
    """An author's paper as the hub has it: lists of fields in place of lists of objects."""
    sections, questions = paper["full_text"], paper["qas"]
    return {
        "id": identity,
        "title": paper["title"],
        "abstract": paper.get("abstract"),
        "full_text": {
            "section_name": [section.get("section_name") for section in sections],
            "paragraphs": [section["paragraphs"] for section in sections],
        },
        "qas": {
            "question": [question["question"] for question in questions],
            "question_id": [question["question_id"] for question in questions],
            "answers": [{"answer": [given["answer"] for given in question["answers"]]} for question in questions],
        },
    }


def _contradictions(row: Mapping[str, Any]) -> Iterator[str]:
    """Lists that stand beside each other and differ in length."""
    for field, (first, *others) in (("full_text", ("section_name", "paragraphs")), ("qas", ("question", "question_id", "answers"))):
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


def _problems(row: Mapping[str, Any]) -> Iterator[tuple[int, Problem]]:
    """(number of the question, the problem)."""
    document = paper_text(row)
    questions = row["qas"]
    asked = zip(questions["question"], questions["question_id"], questions["answers"], strict=True)
    for number, (question, identity, given) in enumerate(asked):
        extractive = [a for a in given["answer"] if any(span.strip() for span in a["extractive_spans"])]
        if not extractive:
            continue
        answers = [", ".join(span for span in a["extractive_spans"] if span.strip()) for a in extractive]
        # evidence may name a figure, which is no part of the text
        evidence = [e for e in extractive[0].get("evidence") or [] if e.strip() and e in document]
        problem = Problem(
            id=identity,
            document=document,
            query=question.strip(),
            document_id=row["id"],
            answer=answers[0],
            group=row["id"],
            evidence=tuple(evidence),
            references=tuple(dict.fromkeys(a for a in answers[1:] if a != answers[0])),
        )
        yield number, problem
