"""Negatives drawn for tests: all that are asked for, or an InputError."""

from collections.abc import Sequence
from dataclasses import replace

from infoagent.data.negatives import Counts, find_negatives
from infoagent.types import InputError, Negative, Problem


def draw_negatives(problems: Sequence[Problem], counts: Counts, seed: int) -> list[tuple[Negative, ...]]:
    """For each problem its negatives. Raises InputError where the data cannot give as many, unless told otherwise."""
    drawn = find_negatives(problems, replace(counts, missing="refuse" if counts.missing == "leave_out" else counts.missing), seed)
    if drawn.causes:
        raise InputError(drawn.lines)
    return drawn.negatives
