"""Scores of a report against a reference report, in the manner of RACE (Du et al., arXiv 2506.11763).

    report = Σ_d w_d · s_d(report) / Σ_d w_d        final = report / (report + reference)

over dimensions d with weights w. 0.5 says as good as the reference. RACE lets a model choose criteria and weights for each
task; here the dimensions are scored whole and the weights are the same for all tasks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from infoagent.parsing import json_loads

HIGHEST = 10.0
Scores = dict[str, float]


class NoScore(ValueError):
    """A judge's reply holds no scores; the message says what is wrong with it."""


@dataclass(frozen=True)
class Race:
    """`scores` and `reference_scores` by dimension, their weighted means, and `final`, the report's share of the two."""

    scores: Scores
    reference_scores: Scores
    report: float
    reference: float
    final: float


def race(scores: Scores, reference_scores: Scores, weights: Mapping[str, float]) -> Race:
    """Raises NoScore where both texts are scored 0 throughout: a share of nothing is unknown."""
    report, reference = weighted(scores, weights), weighted(reference_scores, weights)
    if report + reference <= 0:
        raise NoScore("both texts are scored 0, so that there is no share")
    return Race(scores, reference_scores, report, reference, report / (report + reference))


def weighted(scores: Scores, weights: Mapping[str, float]) -> float:
    """Mean of the scores by the weights, which need not sum to 1."""
    return sum(weights[name] * scores[name] for name in weights) / sum(weights.values())


def expected_score(log_probs: ArrayLike, scores: Sequence[float]) -> float:
    """Σ_s s · p(s), p the softmax of the log-probabilities of the scores as a judge's complete reply (nats).

    A real number also from a judge that would write something else. Raises NoScore where a value is not finite.
    """
    values = np.asarray(log_probs, dtype=np.float64)
    if not np.isfinite(values).all():
        raise NoScore("a score has no finite log-probability")
    shares = np.exp(values - values.max())
    return float(shares @ np.asarray(scores, dtype=np.float64) / shares.sum())


def parse_race(reply: str, dimensions: Sequence[str]) -> tuple[Scores, Scores]:
    """The scores of texts A and B from a JSON object, alone or in one code fence. Raises NoScore for anything else."""
    text = reply.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    try:
        content = json_loads(fenced[1] if fenced else text)
    except ValueError as error:
        raise NoScore(f"no JSON: {error}") from error
    found = []
    for name in ("A", "B"):
        part = content.get(name) if isinstance(content, dict) else None
        if not isinstance(part, dict):
            raise NoScore(f"no object {name!r}")
        found.append({d: _score(part.get(d), f"{name}.{d}") for d in dimensions})
    return found[0], found[1]


def _score(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NoScore(f"{where}: no number")
    if not 0 <= value <= HIGHEST:
        raise NoScore(f"{where} = {value}: not between 0 and {HIGHEST:g}")
    return float(value)


def parse_yes(reply: str) -> bool:
    """Whether a reply that begins with yes or no says yes. Raises NoScore for anything else."""
    match = re.match(r"\W*(yes|no)\b", reply, re.IGNORECASE)
    if match is None:
        raise NoScore("neither yes nor no")
    return match[1].lower() == "yes"
