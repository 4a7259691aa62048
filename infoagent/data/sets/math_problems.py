r"""`math`: compressing a line of reasoning. For evaluation only.

The document is the worked solution, the query the problem, the answer what the solution puts into its last \boxed{…}.
Group = subject (`type`; MATH-500 calls it `subject`, and brings `unique_id` and `answer`).
Source: Hendrycks et al. 2021, arXiv 2103.03874; `EleutherAI/hendrycks_math`, seven subjects.
"""

from __future__ import annotations

from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import IDENTITY, TEXT, Maybe, Mistakes, Schema
from infoagent.grading.mathematics import boxed
from infoagent.types import Problem, ProblemSet

HUB = Hub(
    "EleutherAI/hendrycks_math",
    # what is trained on elsewhere serves for choosing; the test problems report
    {"validation": ("train",), "test": ("test",), "all": ("train", "test")},
    revision="21a5633873b6a120296cce3e2df9d5550074f4a3",
    configs=(
        "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
        "precalculus",
    ),
)  # fmt: skip
_ROW: dict[str, Schema] = {"problem": TEXT, "type": TEXT, "solution": TEXT}
_ROW_500: dict[str, Schema] = {
    "problem": TEXT, "subject": TEXT, "solution": TEXT, "answer": Maybe(TEXT), "unique_id": Maybe(IDENTITY),
}  # fmt: skip


def load(path: str | None, split: str, revision: str | None) -> ProblemSet:
    """Every problem. Raises InputError for rows that are not of the schema or whose solution boxes no answer."""
    source = open_source("math", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    problems: list[Problem] = []
    for number, row in enumerate(source.rows):
        content = row.content
        is_500 = isinstance(content, dict) and "subject" in content and "type" not in content
        if not mistakes.fit(row.where, content, _ROW_500 if is_500 else _ROW):
            continue
        answer = (content.get("answer") if is_500 else None) or boxed(content["solution"])
        if answer is None:
            mistakes.add(row.where, [r"field 'solution': has no answer in \boxed{…}"])
            continue
        # MATH's rows have no id; a pinned revision keeps their order
        identity = str(content.get("unique_id") or f"math-{number:05d}") if is_500 else f"math-{number:05d}"
        if not mistakes.unique(row.where, "unique_id", identity):
            continue
        problems.append(
            Problem(
                identity,
                content["solution"],
                content["problem"].strip(),
                identity,
                answer=answer,
                group=content["subject" if is_500 else "type"],
            )
        )
    mistakes.settle()
    return ProblemSet("math", source.revision, split, tuple(problems))
