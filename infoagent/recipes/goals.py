"""The specification of eval/goals.py: goals, each a bound or several on numbers of records, decided by one rule for all."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import Name, PositiveInt, refuse_twice

Measure = Literal[
    "fact_kept", "tokens", "tokens_ratio", "hard_nats", "language_kept", "unsupported", "adherence", "accuracy", "answer_nll_nats"
]  # fmt: skip
MEASURES: tuple[str, ...] = get_args(Measure)
"""Computed in infoagent/analysis/goals.py."""
ALONE, PAIRED = ("adherence",), ("tokens_ratio",)
"""Measures that are of one compressor, and those that are of two."""
BOUNDS = ("at_least", "at_most", "interval_above")
Number = Annotated[float, Field(allow_inf_nan=False)]
Labels = Name | list[Name]


def listed(names: Labels | None) -> list[str]:
    return [] if names is None else [names] if isinstance(names, str) else list(names)


class BoundSection(Section):
    """One number and the bound that it has to keep."""

    measure: Measure | None = None
    """`fact_kept`: share of compressions that state the asked fact. `tokens`: mean length. `tokens_ratio`: mean length over
    that of `against`. `hard_nats`: mutual information among counterfactuals, in nats. `language_kept`: share in the language
    of their document, of those that tell. `unsupported`: share with a number or name that the document does not have.
    `adherence`: median |achieved − asked| / asked of lengths. `accuracy`: share of questions that the predictor answers right
    from it. `answer_nll_nats`: −log p(reference answer | compression)."""
    json_place: Name | None = None
    """In the place of a measure: a number, or {value, low, high, n}, in a JSON file beside the specification, as in
    `../speed.json > minutes`."""
    against: Name | None = None
    """The bound is on the difference to this compressor, on the same problems and draws."""
    predictor: Name | None = None
    """Of accuracy and answer_nll_nats: who answers, by its title; None: the only one."""
    at_least: Number | None = None
    """Of the point estimate."""
    at_most: Number | None = None
    """Of the point estimate."""
    interval_above: Number | None = None
    """The whole 95 % interval lies above."""

    @model_validator(mode="after")
    def _one_of_each(self) -> BoundSection:
        if (self.measure is None) == (self.json_place is None):
            raise ValueError("needs measure or json_place, one of the two")
        if sum(getattr(self, name) is not None for name in BOUNDS) != 1:
            raise ValueError(f"needs one of {', '.join(BOUNDS)}")
        if self.against is not None and (self.measure is None or self.measure in ALONE):
            raise ValueError(f"{self.measure or 'json_place'} is of one compressor; drop against")
        if self.against is None and self.measure in PAIRED:
            raise ValueError(f"{self.measure} is of two compressors; set against")
        if self.predictor is not None and self.measure not in ("accuracy", "answer_nll_nats"):
            raise ValueError(f"{self.measure or 'json_place'} asks no predictor; drop predictor")
        return self

    @property
    def rule(self) -> str:
        """The bound in words."""
        name = next(name for name in BOUNDS if getattr(self, name) is not None)
        return f"{name.replace('_', ' ')} {getattr(self, name):g}"

    def is_kept_by(self, value: float, low: float) -> bool:
        """Whether a number with the lower end of its interval keeps the bound. `low` counts for interval_above alone."""
        if self.at_least is not None:
            return value >= self.at_least
        return value <= self.at_most if self.at_most is not None else low > (self.interval_above or 0.0)


class GoalSection(Section):
    """A goal: it is met where every bound is kept. The first bound's number is the goal's."""

    id: Name
    goal: Name
    """In words, for the table."""
    data: Labels | None = None
    """Data sets, by the name that their records have or that the command line gave their directory. Several are pooled."""
    compressor: Name | None = None
    """A compressor by its label in the records, or by a name of `labels`."""
    bounds: Annotated[list[BoundSection], Field(min_length=1)]

    @model_validator(mode="after")
    def _whose(self) -> GoalSection:
        measured = any(bound.measure is not None for bound in self.bounds)
        if measured != (self.compressor is not None) or measured != bool(listed(self.data)):
            hint = "set data and compressor" if measured else "its numbers stand in JSON files; drop data and compressor"
            raise ValueError(f"{self.id!r}: {hint}")
        return self


class GoalsRecipe(Section):
    """eval/goals.py: what records must show."""

    labels: dict[Name, Labels] = Field(default_factory=dict)
    """What a name of this file is called in records: one label, or several that are pooled, such as three training seeds."""
    fewest_questions: PositiveInt = 1
    """Of each data set; with fewer a goal is not decided."""
    goals: Annotated[list[GoalSection], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids(self) -> GoalsRecipe:
        refuse_twice("goals", [goal.id for goal in self.goals])
        return self

    def called(self, name: str) -> list[str]:
        """The labels of a compressor in records."""
        return listed(self.labels.get(name, name))
