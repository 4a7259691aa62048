r"""`math`: compressing a line of reasoning. For evaluation only.

The document is the worked solution, the query the problem, the answer what the solution puts into its last \boxed{…}.
Group = subject (`type`). Source: Hendrycks et al. 2021, arXiv 2103.03874; `EleutherAI/hendrycks_math`, seven subjects.
"""

from __future__ import annotations

from infoagent.data.hub import Hub, open_source
from infoagent.data.schema import TEXT, Mistakes, Schema
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


def load(path: str | None, split: str, revision: str | None) -> ProblemSet:
    """Every problem. Raises InputError for rows that are not of the schema or whose solution boxes no answer."""
    source = open_source("math", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    problems: list[Problem] = []
    for number, row in enumerate(source.rows):
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        answer = boxed(row.content["solution"])
        if answer is None:
            mistakes.add(row.where, [r"field 'solution': has no answer in \boxed{…}"])
            continue
        identity = f"math-{number:05d}"  # the rows have no id; a pinned revision keeps their order
        problems.append(
            Problem(
                identity, row.content["solution"], row.content["problem"].strip(), identity, answer=answer,
                group=row.content["type"],
            )
        )  # fmt: skip
    mistakes.settle()
    return ProblemSet("math", source.revision, split, tuple(problems))
