"""Error bars: the distances from a value to the ends of its 95 % interval, as Matplotlib's `errorbar` takes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from infoagent.types import Finding

Interval = tuple[float, float | None, float | None]
"""(value, low, high)."""


def interval_of(found: Finding | Mapping[str, Any]) -> Interval:
    """Of a finding, or of one in a file; a count there has no ends."""
    return interval_of(vars(found)) if isinstance(found, Finding) else (found["value"], found.get("low"), found.get("high"))


def error_bars(intervals: Iterable[Interval]) -> list[list[float]]:
    """(2, N): value − low and high − value, for `xerr` or `yerr`. NaN, which draws no bar, where an end is unknown: a bar of
    length 0 would claim that the value is certain."""
    rows = list(intervals)
    return [[_distance(value, low) for value, low, _ in rows], [_distance(value, high) for value, _, high in rows]]


def _distance(value: float, end: float | None) -> float:
    return math.nan if end is None else abs(value - end)
