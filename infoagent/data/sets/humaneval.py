"""`humaneval`: compressing code. For evaluation only.

The document is a function that works: signature, docstring and body. A reader of the compression is to write the body
again: the body as published is the reference that its likelihood is measured on, and the published tests tell whether
another one does the same, where a recipe has them run (grading.method: code).
Source: Chen et al. 2021, arXiv 2107.03374; `openai/openai_humaneval`, 164 functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import TEXT, Mistakes, Schema
from infoagent.grading.programs import functions_of
from infoagent.types import Problem, ProblemSet, Trial

HUB = Hub(
    "openai/openai_humaneval",
    {split: ("test",) for split in ("validation", "test", "all")},
    revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
)
_ROW: dict[str, Schema] = {"task_id": TEXT, "prompt": TEXT, "canonical_solution": TEXT, "test": TEXT, "entry_point": TEXT}


def load(path: str | None, split: str, revision: str | None) -> ProblemSet:
    """Every function. Raises InputError for rows that are not of the schema, or that no answer could pass."""
    source = open_source("humaneval", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    problems: list[Problem] = []
    for row in source.rows:
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        mistakes.add(row.where, _broken(row.content))
        identity, body = row.content["task_id"], row.content["canonical_solution"]
        name, head = row.content["entry_point"], row.content["prompt"]
        if mistakes.unique(row.where, "task_id", identity):
            problems.append(
                Problem(
                    identity,
                    head + body,
                    f"Write the body of the Python function {name}.",
                    identity,
                    answer=body,
                    needs=(),
                    trial=Trial(name, f"{row.content['test']}\ncheck({name})", head),
                )
            )
    mistakes.settle()
    return ProblemSet("humaneval", source.revision, split, tuple(problems))


def _broken(row: dict[str, str]) -> Iterator[str]:
    """What would make every answer wrong: code that is no Python, or that does not define what is called."""
    for field, what, code, name in (
        ("canonical_solution", "with the prompt it", row["prompt"] + row["canonical_solution"], row["entry_point"]),
        ("test", "it", row["test"], "check"),
    ):
        try:
            functions = functions_of(code, field)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            yield f"field {field!r}: {what} is no Python: {error}"
            continue
        if name not in functions:
            yield f"field {field!r}: {what} defines no function {name!r}, which is called"
