"""Rate-distortion points: a compressor at one length, mean tokens against a mean value, each with its interval.

The one place that knows how they stand in frontier-*.json, where an interval that is not known is null, and in
analysis.json, where a reason stands in its place: {"value", "n", "refused"}. Read, an unknown interval is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infoagent.records.grid import Settings
from infoagent.records.json_form import MissingField, as_json, object_of, record_of_object
from infoagent.types import Finding, InputError

ONE_DOCUMENT = "one document has no interval"
NO_SPREAD = "the spread is unknown"


def has_interval(found: Finding) -> bool:
    return math.isfinite(found.low) and math.isfinite(found.high)


def with_reason(found: Finding, reason: str = NO_SPREAD) -> dict[str, Any]:
    """A finding as JSON, with `reason` in the place of an interval that is not known."""
    return as_json(found) if has_interval(found) else {"value": found.value, "n": found.n, "refused": reason}


@dataclass(frozen=True, kw_only=True)
class RatePoint:
    """One compressor on the questions that it shares with others: means over documents."""

    label: str
    trained: bool | None = None
    """Whether an adapter was trained; None: not told apart."""
    tokens: Finding
    value: Finding
    """Higher is better."""
    distortion: Finding | None = None
    """What is missing to the best value."""
    accuracy: Finding | None = None
    """Share of questions answered from it; None: not every document was asked about."""
    extra: Settings = field(default_factory=dict)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RatePoint:
        """Of either form. Raises MissingField."""
        return record_of_object(cls, {name: _read(name, v) if name in MEASURED else v for name, v in row.items()})

    def with_reasons(self) -> dict[str, Any]:
        """As it stands in analysis.json."""
        found = {name: getattr(self, name) for name in MEASURED}
        reasons = {n: with_reason(f, NO_SPREAD if f.n > 1 else ONE_DOCUMENT) for n, f in found.items() if f is not None}
        return {name: reasons.get(name, value) for name, value in object_of(self).items()}


MEASURED = ("tokens", "value", "distortion", "accuracy")


def _read(name: str, row: Any) -> Any:
    """A finding's JSON with NaN for bounds that are null there, or that a reason stands for."""
    if not isinstance(row, Mapping):
        raise MissingField(name)
    bounds = {side: math.nan for side in ("low", "high") if "refused" in row or row.get(side, 0.0) is None}
    return {key: value for key, value in row.items() if key != "refused"} | bounds


def rate_points(rows: Sequence[Mapping[str, Any]], where: str) -> list[RatePoint]:
    """The points of a part of a file. Raises InputError, in one line, where a field is missing."""
    try:
        return [RatePoint.from_json(row) for row in rows]
    except MissingField as error:
        raise InputError(f"{where}: a point lacks {error}; draw it again (records are reused)") from None
