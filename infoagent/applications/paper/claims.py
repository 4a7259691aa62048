"""Does a published claim hold on what was measured here? One of four verdicts, from intervals and not from point values.

    holds                     the whole interval lies on the paper's side, or within the band around its number
    does not hold             the whole interval lies on the other side, or outside the band
    not decided               the interval reaches to both sides; with n documents, and what would have been seen
    cannot be asked here      something is missing: what is said

A ratio's interval is of first order on the log scale. Where both values are known document by document and on the same ones, it is
Student's t of their relative differences; else half widths, relative to their values, are added in quadrature, which is wider than
the truth and errs towards not decided. A value that is the same in every document tells no spread. Counted costs have no interval
and are compared as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infoagent.applications.paper.pairing import RelativeValues
from infoagent.applications.paper.published import (
    PUBLISHED,
    Agreement,
    Ahead,
    Correlation,
    Direction,
    FactorOrder,
    Near,
    NoGain,
    NotAsked,
    Published,
    Side,
)
from infoagent.information.intervals import t_interval
from infoagent.information.matrix import TOO_SATURATED

NO_DOCUMENTS: RelativeValues = {}
Point = Mapping[str, Any]
Value = Mapping[str, Any]
HOLDS, FAILS, UNDECIDED, UNASKED = "holds", "does not hold", "not decided", "cannot be asked here"
DECIDED = (HOLDS, FAILS)
ALL = "all data"
FEWEST_POINTS = 4
"""Of a correlation: Fisher's interval needs more than three."""
NORMAL_95 = 1.96
ROUNDING = 1e-9
"""Differences of relative values below it are none."""


@dataclass(frozen=True)
class Answer:
    """A verdict, our number with its interval where there is one, and why where the verdict needs it."""

    verdict: str
    ours: dict[str, float] | None = None
    why: str | None = None


class Missing(ValueError):
    """What a question needs and this run does not have."""


def check_claims(
    figure: str,
    points: Sequence[Point],
    analysis: Mapping[str, Any],
    published: Sequence[Published] = PUBLISHED,
    relative: RelativeValues = NO_DOCUMENTS,
) -> list[dict[str, Any]]:
    """Every claim about `figure`, for each data set that it is about: verdict, both numbers, one sentence.

    `points` as `figures.points_of` makes them, `analysis` the content of analysis.json, `relative` what each document adds.
    """
    regression = analysis.get("regression", {})
    regression = regression.get("without_mi", regression)
    found = []
    for claim in published:
        if claim.figure != figure:
            continue
        sets = [claim.data] if claim.data else list(dict.fromkeys(p["data"] for p in points))
        if isinstance(claim.question, FactorOrder | NoGain | NotAsked):
            sets = [ALL]
        for data in sets:
            answer = ask(claim, [p for p in points if data in (ALL, p["data"])], regression, relative)
            found.append(claim_row(claim, data, answer))
    return found


def claim_row(claim: Published, data: str, answer: Answer) -> dict[str, Any]:
    """A claim with its answer on one data set, ready for JSON."""
    return {
        "quantity": claim.quantity,
        "data": data,
        "says": claim.says,
        "paper": claim.value,
        "ours": answer.ours,
        "verdict": answer.verdict,
        "why": answer.why,
        "sentence": _sentence(claim, data, answer),
    }


def _sentence(claim: Published, data: str, answer: Answer) -> str:
    text = f"{claim.quantity}, {data}: "
    if answer.ours is not None:
        text += f"{answer.ours['value']:.3g}"
        if "low" in answer.ours:
            text += f" [{answer.ours['low']:.3g}, {answer.ours['high']:.3g}]"
        text += " here, "
    text += f"{claim.value:.3g} in the paper; " if claim.value is not None else "the paper: " + claim.says + "; "
    return text + answer.verdict + (f" ({answer.why})" if answer.why else "")


def ask(
    claim: Published, points: Sequence[Point], regression: Mapping[str, Any], relative: RelativeValues = NO_DOCUMENTS
) -> Answer:
    """The verdict of one claim on the points of one data set and the regression of all answers."""
    question = claim.question
    try:
        match question:
            case NotAsked():
                return Answer(UNASKED, None, question.why)
            case Direction():
                return _direction(question, points, relative)
            case Near():
                return _near(question, points, relative)
            case Ahead():
                return _ahead(question, points, relative)
            case Correlation():
                return _signed(correlation_of(points), below=question.expected < 0)
            case Agreement():
                return _agreement(points)
            case FactorOrder():
                return _order(question, points, regression)
            case NoGain():
                return _no_gain(question, regression)
    except Missing as missing:
        return Answer(UNASKED, None, str(missing))
    raise AssertionError(question)


def measured(point: Point, measure: str, predictor: str | None = None) -> Value | None:
    """A point's value under a measure's name; accuracy and nll belong to a predictor, by default the first."""
    if measure not in ("accuracy", "nll_nats"):
        found: Value | None = point["measures"].get(measure)
        return found
    titles = list(point["predictors"])
    title = predictor if predictor is not None else next(iter(titles), None)
    return point["predictors"][title].get(measure) if title in point["predictors"] else None


def _value(points: Sequence[Point], side: Side, measure: str, relative: RelativeValues) -> Value:
    label, predictor = side
    point = next((p for p in points if p["label"] == label), None)
    if point is None:
        raise Missing(f"needs {label!r} on this data set")
    found = measured(point, measure, predictor)
    if found is None:
        who = f" with {predictor}" if predictor else ""
        raise Missing(f"{label!r} has no {measure.removesuffix('_nats')}{who}")
    title = None if measure != "accuracy" else predictor or next(iter(point["predictors"]))
    by_document = relative.get((point["data"], label, title, measure))
    return {**found, "documents": point["documents"], **({"relative": by_document} if by_document else {})}


def _half_width(value: Value) -> float:
    """Half of the interval; 0 for a count. Raises Missing where the interval is unknown, or has no width: documents that are all
    alike do not tell how far others may lie."""
    if "low" not in value:
        return 0.0
    if value["low"] is None or math.isnan(value["low"]):
        raise Missing("an interval is unknown")
    if value["high"] - value["low"] <= ROUNDING * abs(value["value"]):
        raise Missing("no document differs: the spread is unknown")
    return float(value["high"] - value["low"]) / 2


def ratio(over: Value, under: Value) -> dict[str, float]:
    """over / under with its interval; no interval where both are counts. Raises Missing where there is none to give.

    With `relative` values of the same documents in both, x_d and y_d: half width on the log scale t · s(x_d − y_d) / √n."""
    if over["value"] <= 0 or under["value"] <= 0:
        raise Missing("a value is not above 0, so no ratio can be formed")
    value = over["value"] / under["value"]
    if "low" not in over and "low" not in under:
        return {"value": value}
    spread = _paired(over, under) or math.hypot(*(_half_width(v) / v["value"] for v in (over, under)))
    return {"value": value, "low": value * math.exp(-spread), "high": value * math.exp(spread), **_documents(over, under)}


def _paired(over: Value, under: Value, factors: tuple[float, float] = (1.0, 1.0)) -> float:
    """Half of the interval of the mean difference of relative values, each times its factor; 0 where the two are not known on the
    same documents, or differ on none: that no pair differs is no reason to be sure."""
    one, two = (v.get("relative", {}) for v in (over, under))
    if len(one) < 2 or one.keys() != two.keys():
        return 0.0
    differences_D = np.array([factors[0] * one[d] - factors[1] * two[d] for d in one])
    low, high = t_interval(differences_D)
    return (high - low) / 2 if np.ptp(differences_D) > ROUNDING else 0.0


def _documents(*values: Value) -> dict[str, float]:
    """n: the fewest documents of several values, where they tell."""
    return {"n": min(v["documents"] for v in values)} if all("documents" in v for v in values) else {}


def _largest(question: Direction | Near, points: Sequence[Point], relative: RelativeValues) -> dict[str, float]:
    """The largest ratio of all pairs that are there; a pair that is not is left out as long as another is."""
    found, missing = [], []
    for over, under in question.pairs:
        try:
            sides = [_value(points, side, question.measure, relative) for side in (over, under)]
            if all(side.get("saturation", 0) > TOO_SATURATED for side in sides):
                raise Missing(
                    "both are at the ceiling log K: what is alike is the number of candidates, and per token 1 / length; ask among "
                    "more or harder ones"
                )
            found.append(ratio(*sides))
        except Missing as error:
            missing.append(str(error))
    if not found:
        raise Missing("; ".join(dict.fromkeys(missing)))
    return max(found, key=lambda r: r["value"])


def _ends(ours: Mapping[str, float]) -> tuple[float, float]:
    return ours.get("low", ours["value"]), ours.get("high", ours["value"])


def _direction(question: Direction, points: Sequence[Point], relative: RelativeValues) -> Answer:
    ours = _largest(question, points, relative)
    low, high = _ends(ours)
    lies = f"the paper's number lies {'inside' if low <= question.expected <= high else 'outside'}"
    if low > 1 or high < 1:
        return (
            Answer(HOLDS, ours, f"in direction; {lies} the interval")
            if (low > 1) == (question.expected > 1)
            else Answer(FAILS, ours, "the direction is the other")
        )
    seen = f"from a ratio of {high / ours['value']:.2g} on, about, it would not"
    return Answer(UNDECIDED, ours, f"the interval holds 1{_with_n(ours)}; {seen}; {lies}")


def _near(question: Near, points: Sequence[Point], relative: RelativeValues) -> Answer:
    ours = _largest(question, points, relative)
    low, high = _ends(ours)
    least, most = (question.expected * (1 + sign * question.tolerance) for sign in (-1, 1))
    band = f"within {100 * question.tolerance:.0f} % of {question.expected:.3g}"
    if least <= low and high <= most:
        return Answer(HOLDS, ours, band)
    if high < least or low > most:
        return Answer(FAILS, ours, f"not {band}")
    return Answer(UNDECIDED, ours, f"the interval{_with_n(ours)} reaches beyond what is {band}")


def _with_n(ours: Mapping[str, float]) -> str:
    return f" with n = {ours['n']:.0f}" if "n" in ours else ""


def _ahead(question: Ahead, points: Sequence[Point], relative: RelativeValues) -> Answer:
    there = [label for label in question.compressors if any(p["label"] == label for p in points)]
    if not there:
        raise Missing(f"needs one of {', '.join(question.compressors)} on this data set")
    best = max((_value(points, (label, None), "accuracy", relative) for label in there), key=lambda v: v["value"])
    other = _value(points, (question.other, None), "accuracy", relative)
    half = _paired(best, other, (best["value"], other["value"])) or math.hypot(_half_width(best), _half_width(other))
    value, spread = 100 * (best["value"] - other["value"]), 100 * half
    return _signed({"value": value, "low": value - spread, "high": value + spread, **_documents(best, other)}, below=False)


def _signed(ours: dict[str, float], below: bool) -> Answer:
    """On the expected side of 0?"""
    low, high = _ends(ours)
    if low <= 0 <= high:
        seen = (high - low) / 2
        return Answer(UNDECIDED, ours, f"the interval holds 0{_with_n(ours)}; from {seen:.2g} on, about, it would not")
    return Answer(HOLDS if (high < 0) == below else FAILS, ours)


def _agreement(points: Sequence[Point]) -> Answer:
    """Two precisions of one model are two scorers, and no two proxies."""
    ours = agreement_of(points)
    models = {p["scorer"].rsplit(" (", 1)[0] for p in points if p.get("scorer")}
    if len(models) < 2:
        return Answer(UNASKED, ours, "the scorers are one model, " + ", ".join(sorted(models)) + "; a proxy is another")
    return _signed(ours, below=False)


def correlation(xs: Sequence[float], ys: Sequence[float]) -> dict[str, float]:
    """Pearson's r with Fisher's 95 % interval tanh(artanh r ± 1.96/√(n − 3)). Raises Missing below four points, and
    where one side does not vary."""
    n = len(xs)
    if n < FEWEST_POINTS:
        raise Missing(f"{n} points: a correlation needs at least {FEWEST_POINTS}")
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    xx = sum((x - mean_x) ** 2 for x in xs)
    yy = sum((y - mean_y) ** 2 for y in ys)
    if xx <= 1e-18 or yy <= 1e-18:
        raise Missing("one of the two does not vary over the points")
    r = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / math.sqrt(xx * yy)
    centre = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))
    half = NORMAL_95 / math.sqrt(n - 3)
    return {"value": r, "low": math.tanh(centre - half), "high": math.tanh(centre + half), "n": n}


def correlation_of(points: Sequence[Point]) -> dict[str, float]:
    """r of MI (nats) with the log of the reference answer's perplexity, over the compressors of one data set."""
    pairs = []
    for point in points:
        mi = measured(point, "mi_nats")
        for title in point["predictors"]:
            nll = measured(point, "nll_nats", title)
            if mi is not None and nll is not None:
                pairs.append((mi["value"], nll["value"]))
                break  # the first predictor that tells the likelihood, the same for every compressor
    return correlation([x for x, _ in pairs], [y for _, y in pairs])


def agreement_of(points: Sequence[Point]) -> dict[str, float]:
    """The least r, over pairs of scorers, of what both find for the same compressors."""
    by_scorer: dict[str, dict[str, float]] = {}
    for point in points:
        mi = measured(point, "mi_nats")
        if mi is not None and point.get("scorer"):
            by_scorer.setdefault(point["scorer"], {})[point["label"]] = mi["value"]
    if len(by_scorer) < 2:
        raise Missing(f"{len(by_scorer)} scorers: agreement needs two")
    found = []
    for one, two in itertools.combinations(by_scorer.values(), 2):
        shared = [label for label in one if label in two]
        found.append(correlation([one[label] for label in shared], [two[label] for label in shared]))
    return min(found, key=lambda r: r["value"])


def _order(question: FactorOrder, points: Sequence[Point], regression: Mapping[str, Any]) -> Answer:
    effects: list[tuple[float, float]] = []
    for term in question.terms:
        top = max(_coefficients(term, regression), key=lambda c: abs(c["value"]))
        reach = _doublings(points) if term == "parameters_doubled" else 1.0
        effects.append((reach * abs(top["value"]), reach * (top["high"] - top["low"]) / 2))
    steps = [(a - b, math.hypot(u, v)) for (a, u), (b, v) in itertools.pairwise(effects)]
    if all(step > spread for step, spread in steps):
        return Answer(HOLDS)
    if any(step < -spread for step, spread in steps):
        return Answer(FAILS)
    return Answer(UNDECIDED, None, "the intervals of the coefficients overlap: no order is shown")


def _no_gain(question: NoGain, regression: Mapping[str, Any]) -> Answer:
    [found] = _coefficients(question.term, regression)
    ours = {name: found[name] for name in ("value", "low", "high")}
    if ours["low"] > 0:
        return Answer(FAILS, ours, "log-odds, above 0")
    if ours["high"] < question.least:
        return Answer(HOLDS, ours, f"log-odds, below {question.least:g}")
    return Answer(UNDECIDED, ours, f"log-odds; the interval holds 0 and {question.least:g}, which would matter")


def _coefficients(term: str, regression: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "coefficients" not in regression:
        raise Missing(str(regression.get("refused", "there is no regression of these answers")))
    found = [c for c in regression["coefficients"] if c["name"].split("[")[0] == term]
    if not found:
        raise Missing(f"the regression has no term {term!r}: it did not vary, or could not be told from another")
    return found


def _doublings(points: Sequence[Point]) -> float:
    sizes = [p["parameters"] for p in points if "parameters" in p]
    if not sizes or min(sizes) == max(sizes):
        raise Missing("compressors are of one size")
    return math.log2(max(sizes) / min(sizes))
