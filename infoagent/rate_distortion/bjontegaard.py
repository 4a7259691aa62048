"""Two compressors over their whole curves: tokens at equal value, value at equal tokens. Intervals over documents.

Shape legend: P points of a curve (one compressor at one setting each), D documents, the same for every point of both.

A curve is the points' mean rates and values, made non-decreasing by isotonic regression (a dip is read as noise) and
interpolated by PCHIP between log rate and value, which does not overshoot. BD-rate is the mean over the common range of
values of log rate_new − log rate_old, as a ratio. Classical BD fits one cubic through four points and returns nonsense
where a curve is not monotone; this does not. Where a longer setting is truly the worse one, pooling it pulls the better
one down; `best` reads the curve as its user would, who leaves the worse setting alone: the best value up to a rate.
Documents may be resampled here: a value was computed among negatives that were drawn before, so that no document ever
becomes its own negative.
Source: Bjøntegaard 2001 (VCEG-M33); Fritsch & Carlson 1980 (monotone cubics); Barlow et al. 1972 (isotonic).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import isotonic_regression

from infoagent.rate_distortion.resampling import FEWEST_CLUSTERS

Array = NDArray[np.float64]
SMALLEST_OVERLAP = 0.1
"""Of the narrower range of values: below it an average over the overlap says nothing of the curves."""
EQUAL = 1e-9
MOST_REFUSED = 0.05
"""Share of resamples without a comparison, above which the rest is no interval."""


@dataclass(frozen=True)
class Points:
    """What a compressor did: `rate_PD` tokens and `value_PD`, for each of its points and each document."""

    rate_PD: Array
    value_PD: Array

    def __post_init__(self) -> None:
        if self.rate_PD.ndim != 2 or self.rate_PD.shape != self.value_PD.shape or not self.rate_PD.size:
            raise ValueError(f"rates {self.rate_PD.shape} and values {self.value_PD.shape}: both must be (points, documents)")
        if not (np.isfinite(self.rate_PD).all() and np.isfinite(self.value_PD).all()):
            raise ValueError("a rate or value is not finite: leave failed compressions out, on both sides")

    def of(self, documents: NDArray[np.integer[Any]]) -> Points:
        return Points(self.rate_PD[:, documents], self.value_PD[:, documents])


@dataclass(frozen=True)
class Curve:
    """Mean rates (above 0, increasing) and values (non-decreasing) of a compressor; see the module."""

    rate_P: Array
    value_P: Array

    @classmethod
    def through(cls, points: Points, best: bool = False) -> Curve:
        """`best`: in place of pooling a dip with what it follows, the best value up to each rate (never below it). Of points with
        one rate the best alone counts: nobody takes the others."""
        rate_P, value_P = points.rate_PD.mean(axis=1), points.value_PD.mean(axis=1)
        if (rate_P <= 0).any():
            raise ValueError("a point writes nothing at all: it has no place on a logarithmic scale")
        order = np.argsort(rate_P, kind="stable")
        first = _starts(rate_P[order])
        rate_P, value_P = rate_P[order][first], np.maximum.reduceat(value_P[order], np.flatnonzero(first))
        if best:
            return cls(rate_P, np.maximum.accumulate(value_P))
        return cls(rate_P, np.asarray(isotonic_regression(value_P).x))

    @property
    def is_flat(self) -> bool:
        """One value at every rate, to rounding: a single point, or a dip that was pooled with all before it."""
        return bool(_starts(self.value_P).sum() == 1)

    def log_rate_at(self, value: Array | float) -> Array:
        """log of the rate at which a value is reached; values must lie within the curve's range."""
        # of a plateau the shortest point counts: it reaches the value
        first = _starts(self.value_P)
        if first.sum() == 1:
            return np.full(np.shape(value), np.log(self.rate_P[0]))
        return np.asarray(PchipInterpolator(self.value_P[first], np.log(self.rate_P[first]))(value))

    def value_at(self, rate: float) -> float:
        """The value at a rate; beyond the ends that of the nearest point."""
        if len(self.rate_P) == 1:
            return float(self.value_P[0])
        inside = np.clip(np.log(rate), np.log(self.rate_P[0]), np.log(self.rate_P[-1]))
        return float(PchipInterpolator(np.log(self.rate_P), self.value_P)(inside))


def _starts(ordered_P: Array) -> NDArray[np.bool_]:
    """Where a new number begins, to rounding: slopes between numbers that are all but equal overflow."""
    starts, last = np.ones(len(ordered_P), dtype=bool), ordered_P[0]
    for i in range(1, len(ordered_P)):
        starts[i] = ordered_P[i] - last > EQUAL * max(1.0, abs(ordered_P[-1] - ordered_P[0]))
        last = ordered_P[i] if starts[i] else last
    return starts


Kind = Literal["overlap", "at most"]


@dataclass(frozen=True)
class Comparison:
    """A number with its 95 % interval over documents; NaN bounds and a `note` where there is none."""

    value: float
    low: float
    high: float
    kind: Kind
    documents: int
    refused: float
    """Share of resamples in which the curves could not be compared."""
    note: str = ""


def rate_ratio(new: Curve, old: Curve) -> tuple[float, Kind]:
    """Rate of `new` over rate of `old` at equal value.

    "overlap": exp of the mean over the common values of the difference of log rates. Where these are few and `new`
    reaches beyond `old`, both are compared at the best value of `old` alone, which is what the mean tends to; so they
    are where `old` is flat and has no other. "at most": all of `new` lies at or above the best value of `old`, so that
    the ratio of `new`'s shortest point to the rate at which `old` reaches its best is an upper bound: at a lower value
    `new` would be shorter still. A single point of `new` within the range of `old`, or the shortest of a flat `new`, is
    compared at its value. Raises ValueError for curves that cannot be compared.
    """
    low, high = max(new.value_P[0], old.value_P[0]), min(new.value_P[-1], old.value_P[-1])
    if new.value_P[0] >= old.value_P[-1]:
        return float(np.exp(np.log(new.rate_P[0]) - old.log_rate_at(old.value_P[-1]))), "at most"
    if new.is_flat and old.value_P[0] <= new.value_P[0]:
        return float(np.exp(np.log(new.rate_P[0]) - old.log_rate_at(new.value_P[0]))), "overlap"
    widths = [c.value_P[-1] - c.value_P[0] for c in (new, old) if not c.is_flat]
    if old.is_flat or high <= low or not widths or high - low < SMALLEST_OVERLAP * min(widths):
        if low <= high == old.value_P[-1]:
            return float(np.exp(new.log_rate_at(high) - old.log_rate_at(high))), "overlap"
        raise ValueError(
            f"values from {new.value_P[0]:.3g} to {new.value_P[-1]:.3g} and from {old.value_P[0]:.3g} to "
            f"{old.value_P[-1]:.3g} overlap too little to compare rates; measure both at more lengths"
        )
    grid = np.linspace(low, high, 201)
    difference = new.log_rate_at(grid) - old.log_rate_at(grid)
    return float(np.exp(np.trapezoid(difference, grid) / (high - low))), "overlap"


def bd_tokens(new: Points, old: Points, rng: np.random.Generator, resamples: int = 2000, best: bool = False) -> Comparison:
    """Tokens of `new` as a share of those of `old` at equal value: 0.6 is 60 %. `best`: dips of `old` are not pooled,
    see `Curve.through`, which favours `old`.

    The interval is the percentile bootstrap over documents, the same resample for every point of both curves, so that
    hard documents are hard for both. Raises ValueError where the curves themselves cannot be compared.
    """
    value, kind = rate_ratio(Curve.through(new), Curve.through(old, best))
    return _with_interval(
        value, kind, lambda d: rate_ratio(Curve.through(new.of(d)), Curve.through(old.of(d), best))[0], new, old, rng, resamples
    )


def bd_value(new: Points, old: Points, rng: np.random.Generator, resamples: int = 2000) -> Comparison:
    """Value of `new` − value of `old` at equal rate: the mean over the points of `new`, each against the curve of `old`
    at the point's rate. Where `new` is shorter than the shortest of `old`, that one stands for `old`, which favours it.
    """

    def difference(a: Points, b: Points) -> float:
        curve = Curve.through(b)
        rates, values = a.rate_PD.mean(axis=1), a.value_PD.mean(axis=1)
        return float(np.mean([v - curve.value_at(max(r, 1e-9)) for r, v in zip(rates, values, strict=True)]))

    longest = float(old.rate_PD.mean(axis=1).max())
    beyond = int((new.rate_PD.mean(axis=1) > longest).sum())
    note = f"{beyond} points are longer than the longest of the other, which is held at its best value" if beyond else ""
    found = _with_interval(difference(new, old), "overlap", lambda d: difference(new.of(d), old.of(d)), new, old, rng, resamples)
    return Comparison(**{**vars(found), "note": "; ".join(n for n in (note, found.note) if n)})


def _with_interval(
    value: float, kind: Kind, statistic: Callable[[Any], float], new: Points, old: Points, rng: np.random.Generator, resamples: int
) -> Comparison:
    documents = new.rate_PD.shape[1]
    if old.rate_PD.shape[1] != documents:
        raise ValueError(f"{documents} and {old.rate_PD.shape[1]} documents: curves are compared on the same ones")
    nothing = float("nan")
    if documents < FEWEST_CLUSTERS:
        note = f"{documents} documents: intervals over documents need at least {FEWEST_CLUSTERS}"
        return Comparison(value, nothing, nothing, kind, documents, nothing, note)
    drawn = []
    for _ in range(resamples):
        try:
            drawn.append(statistic(rng.integers(documents, size=documents)))
        except ValueError:  # curves of this resample do not overlap: counted, not filled in
            continue
    refused = 1 - len(drawn) / resamples
    if refused > MOST_REFUSED:
        note = f"{100 * refused:.0f} % of the resamples have no comparison: the rest is no interval"
        return Comparison(value, nothing, nothing, kind, documents, refused, note)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Comparison(value, float(low), float(high), kind, documents, refused)
