"""Is one compressor better than another, question by question, and is it better at equal length?

Differences are paired: both compressors answered the same questions. Documents are the independent unit, so the
interval and the t test take the mean difference of each document. Right-or-wrong answers with one question a document are
tested by McNemar's exact test, which needs no normal distribution: of the questions that only one of the two gets
right, each is either's with probability ½. A difference is shown where the test's p is below 5 % and the interval
leaves 0 out.

The smallest difference that would have been shown with 80 % power stands beside, so that "nothing shown" cannot be read
as "the same". Lengths are compared too: a longer text is allowed to say more, and 10 % is the most that counts as equal.
Source: McNemar 1947; Connor 1987 (power of the paired test); Holm 1979 (several quantities).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binom, binomtest, t

from infoagent.information import detectable_difference, mean_interval
from infoagent.rate_distortion.resampling import cluster_index

Array = NDArray[np.float64]
LEVEL = 0.05
POWER = 0.8
EQUAL_LENGTH = 0.1
"""Relative difference of mean lengths up to which they count as equal."""
FEWEST_FOR_ADJUSTING = 8


@dataclass(frozen=True)
class Verdict:
    """New less old. What cannot be given is None, and `notes` say why."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    test: str
    n: int
    """Questions."""
    documents: int
    detectable: float | None
    """The smallest difference that these n would show with 80 % power."""
    outcome: str
    """"better", "worse", "not distinguishable", or "the same" where no question differs."""
    length: str
    """"equal", "shorter" or "longer"."""
    length_ratio: float
    """Mean tokens of new over mean tokens of old."""
    adjusted: tuple[float, float, float] | None
    """Where lengths are not equal: the difference at equal length with its interval, by regression on log length."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The verdict in words: "better at equal length", "better and shorter", "better but longer" …"""
        if self.outcome in ("not distinguishable", "the same"):
            return self.outcome + ("" if self.length == "equal" else f", and {self.length}")
        if self.length == "equal":
            return f"{self.outcome} at equal length"
        agrees = (self.outcome == "better") == (self.length == "shorter")
        return f"{self.outcome} {'and' if agrees else 'but'} {self.length}"


def verdict(
    new: ArrayLike,
    old: ArrayLike,
    documents: Sequence[Hashable],
    new_tokens: ArrayLike,
    old_tokens: ArrayLike,
    binary: bool,
    higher_is_better: bool = True,
) -> Verdict:
    """Compare two compressors on the same questions: values, document, and tokens of each question, in one order.

    Raises ValueError for no questions, columns of different length, numbers that are not finite, negative lengths or an
    old compressor that writes nothing at all, and binary values other than 0 and 1.
    """
    columns = [np.asarray(c, dtype=np.float64) for c in (new, old, new_tokens, old_tokens)]
    _check(columns, len(documents), binary)
    first, second, long, short = columns
    difference_Q = first - second
    member_Q = cluster_index(documents)
    difference_D = _means(difference_Q, member_Q)
    n, D = len(first), len(difference_D)
    difference, notes = float(difference_D.mean()), []
    low = high = None
    spread = float(np.std(difference_D, ddof=1)) if D > 1 else math.nan
    if spread > 1e-12:  # below it all differences are the same up to rounding
        found = mean_interval(difference_D)
        low, high = found.low, found.high
    else:
        why = "one document" if D < 2 else "all documents differ by the same" if difference else "no document differs"
        notes.append(f"{why}: no interval")
    exact = binary and n == D
    p: float | None
    detectable: float | None
    if exact:
        p, test = mcnemar(first, second), "McNemar, exact"
        detectable = detectable_share(float((difference_Q != 0).mean()), n)
    else:
        test = "paired t over documents"
        p = None if low is None else float(2 * t.sf(abs(difference) / (spread / math.sqrt(D)), D - 1))
        detectable = None if low is None else detectable_difference(spread, D, POWER)
        if binary:
            notes.append(f"McNemar's exact p = {mcnemar(first, second):.3g} takes questions of one document for independent")
    if detectable is None:
        notes.append(f"no difference can be shown with n = {n}" if exact else "the detectable difference is unknown")
    shown = p is not None and p < LEVEL and (low is None or high is None or low > 0 or high < 0)
    better = (difference > 0) == higher_is_better
    outcome = ("better" if better else "worse") if shown else "not distinguishable"
    if not difference_Q.any():
        outcome = "the same"
    ratio = float(_means(long, member_Q).mean() / _means(short, member_Q).mean())
    length = "equal" if abs(ratio - 1) <= EQUAL_LENGTH else "shorter" if ratio < 1 else "longer"
    adjusted = None
    if length != "equal" and outcome != "the same":
        log_ratio_D = _means(np.log1p(long) - np.log1p(short), member_Q)
        adjusted = at_equal_length(difference_D, log_ratio_D)
        if adjusted is None:
            notes.append("too few documents, or none near equal length: no adjusted difference")
    return Verdict(difference, low, high, p, test, n, D, detectable, outcome, length, ratio, adjusted, tuple(notes))


def _check(columns: Sequence[Array], documents: int, binary: bool) -> None:
    if not documents or {len(c) for c in columns} != {documents}:
        raise ValueError(f"columns of {[len(c) for c in columns]} questions, {documents} documents: must be as many, above 0")
    if not all(np.isfinite(c).all() for c in columns):
        raise ValueError("a number is not finite: leave questions out where one of the two failed")
    if (columns[2] < 0).any() or (columns[3] < 0).any() or not columns[3].any():
        raise ValueError("lengths must be at least 0, and the old compressor write something")
    if binary and not all(np.isin(c, (0.0, 1.0)).all() for c in columns[:2]):
        raise ValueError("binary values must be 0 or 1; average draws only where binary is false")


def _means(values_Q: Array, member_Q: NDArray[np.intp]) -> Array:
    return np.bincount(member_Q, values_Q) / np.bincount(member_Q)


def mcnemar(new: ArrayLike, old: ArrayLike) -> float:
    """Exact two-sided p: of the questions that only one got right, how many are new's, under probability ½; 1 without any."""
    new_Q, old_Q = np.asarray(new, dtype=bool), np.asarray(old, dtype=bool)
    won, lost = int((new_Q & ~old_Q).sum()), int((~new_Q & old_Q).sum())
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def mcnemar_power(difference: float, discordance: float, n: int, level: float = LEVEL) -> float:
    """P(McNemar's exact p < level) over n questions: M ~ Bin(n, discordance) differ, and of these each is new's with
    probability (1 + difference/discordance)/2."""
    m_M = np.arange(n + 1)
    # the most questions on the losing side that still give a two-sided p below the level
    most_M = binom.ppf(level / 2, m_M, 0.5)
    most_M = np.where(2 * binom.cdf(most_M, m_M, 0.5) < level, most_M, most_M - 1)
    share = min(1.0, (1 + difference / discordance) / 2)
    power_M = binom.cdf(most_M, m_M, share) + binom.cdf(most_M, m_M, 1 - share)
    return float(binom.pmf(m_M, n, discordance) @ power_M)


def detectable_share(discordance: float, n: int, power: float = POWER) -> float | None:
    """The smallest difference of two shares that McNemar's exact test shows with `power` on n questions.

    `discordance` is the share of questions that only one of the two got right; a difference above it is taken with all
    of them on one side. None where not even a difference of 1 is shown.
    """

    def missing(difference: float) -> float:
        return mcnemar_power(difference, max(discordance, difference), n) - power

    if missing(1.0) < 0:
        return None
    return float(brentq(missing, 1e-9, 1.0, xtol=1e-6))


def at_equal_length(difference_D: Array, log_ratio_D: Array) -> tuple[float, float, float] | None:
    """Intercept of difference on log(length new / length old), with its 95 % t interval: the difference at equal length.

    None below 8 documents, for ratios that are all the same, and where no document's ratio lies on the other side of 0,
    which would be extrapolation.
    """
    D = len(difference_D)
    if D < FEWEST_FOR_ADJUSTING or np.ptp(log_ratio_D) < 1e-9 or log_ratio_D.min() > 0 or log_ratio_D.max() < 0:
        return None
    x_D2 = np.stack([np.ones(D), log_ratio_D], axis=1)
    inverse = np.linalg.inv(x_D2.T @ x_D2)
    beta = inverse @ x_D2.T @ difference_D
    # HC3: the spread of differences may grow with the ratio; Long & Ervin 2000
    leverage_D = np.einsum("di,ij,dj->d", x_D2, inverse, x_D2)
    error_D = (difference_D - x_D2 @ beta) / np.maximum(1 - leverage_D, 1e-9)
    scores_D2 = x_D2 * error_D[:, None]
    error = float(np.sqrt((inverse @ scores_D2.T @ scores_D2 @ inverse)[0, 0]))
    half = float(t.ppf(0.975, D - 2)) * error
    return float(beta[0]), float(beta[0]) - half, float(beta[0]) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p, in the order given: max over the smaller ones of (number of the not smaller) · p, at most 1."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    result = np.empty(len(p))
    result[order] = adjusted
    return [float(value) for value in result]


def compare_line(
    name: str,
    new_values: ArrayLike,
    old_values: ArrayLike,
    documents: Sequence[Hashable],
    new_tokens: ArrayLike,
    old_tokens: ArrayLike,
    binary: bool,
    higher_is_better: bool,
    unit: str = "",
) -> dict[str, Any]:
    """One quantity as a line of a report, ready for JSON; keys without a value are absent. Arguments as for `verdict`."""
    found = verdict(new_values, old_values, documents, new_tokens, old_tokens, binary, higher_is_better)
    line: dict[str, Any] = {
        "name": name, "difference": found.difference, "low": found.low, "high": found.high, "p": found.p,
        "test": found.test, "n": found.n, "documents": found.documents, "detectable": found.detectable,
        "length_ratio": found.length_ratio, "verdict": found.label, "sentence": sentence(found, unit),
        "notes": list(found.notes),
    }  # fmt: skip
    if found.adjusted is not None:
        line["at_equal_length"] = dict(zip(("value", "low", "high"), found.adjusted, strict=True))
    return {k: v for k, v in line.items() if v is not None}


def with_holm(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines with "p_holm" beside each p, adjusted for all of them together."""
    adjusted = iter(holm([line["p"] for line in lines if "p" in line]))
    return [{**line, "p_holm": next(adjusted)} if "p" in line else dict(line) for line in lines]


def sentence(found: Verdict, unit: str = "") -> str:
    """ "better at equal length: +0.28 nats [0.02, 0.56], n = 30"."""
    after = f" {unit}" if unit else ""
    n = f"n = {found.n}" + (f" of {found.documents} documents" if found.documents < found.n else "")
    if found.outcome == "the same":
        return f"{found.label}: no question differs, {n}{_lengths(found)}"
    interval = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
    size = f"{number(found.difference, signed=True)}{after}{interval}"
    if found.outcome == "not distinguishable":
        would = "" if found.detectable is None else f" (a difference of {number(found.detectable)}{after} would be)"
        rest = f" with {n}{would}: {size}"
        return found.outcome + rest + _lengths(found)
    adjusted = ""
    if found.adjusted is not None:
        value, low, high = found.adjusted
        adjusted = f"; at equal length {number(value, signed=True)}{after} [{number(low)}, {number(high)}]"
    return f"{found.label}: {size}, {n}{_lengths(found)}{adjusted}"


def _lengths(found: Verdict) -> str:
    if found.length == "equal":
        return ""
    return f"; {100 * abs(found.length_ratio - 1):.0f} % {found.length}"


def number(value: float | None, signed: bool = False) -> str:
    """Two digits that count: 0.28, −12, 0.0031."""
    assert value is not None
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{abs(value):.{min(digits, 6)}f}"
    if not any(c in "123456789" for c in text):
        return "0"
    return ("−" if value < 0 else "+" if signed else "") + text
