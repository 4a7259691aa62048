"""What a grid's records say beyond means: laws through curves, curves against each other, what explains accuracy.

Curves are compared and fitted on questions that all their points have, so that no point is easier than another; what is
left out is counted. A question's draws (samples, seeds) are averaged first. All intervals are over documents.

`analyse` gives, ready for JSON and with {"refused": reason} in the place of what cannot be given:

    sets        for each data set and predictor: measure, curves, bd, front, mi_accuracy where answers were graded,
                mi_likelihood where the reference answer has a likelihood (log p per token, in nats)
    mi          for each data set and kind of negatives: the same of MI, without predictor
    regression  of every answer at once, with MI and (`without_mi`) without
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from infoagent.analysis.explaining import explain
from infoagent.evaluation.summary import EASY, HARD
from infoagent.information import mean_interval
from infoagent.progress import each
from infoagent.rate_distortion.bjontegaard import Comparison, Points, bd_tokens, bd_value
from infoagent.rate_distortion.controlled import control_for_length
from infoagent.rate_distortion.fits import fit_curve
from infoagent.rate_distortion.pareto import pareto_front
from infoagent.rate_distortion.resampling import cluster_index, draw_counts
from infoagent.recipes.compressors import WRITERS
from infoagent.records.grid import KINDS as RECORDS
from infoagent.records.grid import CompressionRecord, GridRecord, PredictionRecord, compressions_of, known, predictions_of
from infoagent.records.json_form import Json
from infoagent.records.rate_points import RatePoint
from infoagent.types import ANCHORS, Finding

KINDS = {"hard": HARD, "all": EASY + HARD}
MOST_BD_RESAMPLES = 500
"""Curves are resampled in pairs, one by one: more would take longer than the rest of the analysis together."""
Scores = list[tuple[CompressionRecord, float]]
"""Compressions, each with a number of it or of the answer from it."""


@dataclass(frozen=True)
class Answered:
    """A question at one point: means over its draws."""

    document: str
    tokens: float
    value: float


@dataclass(frozen=True)
class Series:
    """Values of all points of a data set; higher is better, `best` the most there can be."""

    name: Json
    best: float
    bounds: tuple[float, float]
    """Of the floor of best − value."""
    points: dict[str, dict[str, Answered]]
    curves: dict[str, list[str]]
    """Labels of each curve, by its name; language models first, so that they are held against the others."""


def analyse(records: Sequence[GridRecord], seed: int = 0, resamples: int = 1000, quiet: bool = True) -> Json:
    """See the module. `records` are those of one grid, under one label each; failed ones are left out and counted."""
    joined = _join(records)
    sets: list[Json] = []
    mi: list[Json] = []
    series = [(part, True) for part in _accuracy(joined)] + [(part, False) for part in _information(joined)]
    for part, with_mi in each(series, len(series), "analysis", "set", quiet):
        found = {**part.name, **_of_series(part, seed, resamples)}
        if with_mi:
            sets.append({**found, **_mi_scores(joined, part.name, seed, resamples)})
        else:
            mi.append(found)
    return {
        "schema_version": 1,
        "seed": seed,
        "resamples": resamples,
        "failed": {kind: sum(isinstance(r, of) and not r.is_ok for r in records) for kind, of in RECORDS.items()},
        "sets": sets,
        "mi": mi,
        "regression": explain(joined.answers),
    }


Answer = tuple[CompressionRecord, PredictionRecord]


@dataclass(frozen=True)
class Joined:
    """Compressions that did not fail, and (compression, prediction) of answers that were graded, in order."""

    compressions: list[CompressionRecord]
    answers: list[Answer]
    likelihoods: list[Answer]
    """The same of answers whose reference has a likelihood, graded or not."""

    def data(self) -> list[str]:
        return list(dict.fromkeys(r.data.name for r in self.compressions))


def _join(records: Sequence[GridRecord]) -> Joined:
    compressions = {r.key: r for r in compressions_of(records) if r.is_ok}
    predictions = [
        (compressions[r.compression_key], r) for r in predictions_of(records) if r.is_ok and r.compression_key in compressions
    ]
    return Joined(
        list(compressions.values()),
        [(z, a) for z, a in predictions if a.correct is not None],
        [(z, a) for z, a in predictions if a.answer_tokens is not None],
    )


def _accuracy(joined: Joined) -> Iterator[Series]:
    """One series for each data set and predictor: its errors, or where nothing was graded what the reference answer lacks
    in likelihood; the asked fact where there is neither."""
    for data in joined.data():
        graded: dict[str, Scores] = defaultdict(list)
        for z, answer in joined.answers:
            if z.data.name == data:
                graded[answer.predictor.title].append((z, float(known(answer.correct))))
        kept = [(z, float(z.fact_kept)) for z in joined.compressions if z.data.name == data and z.fact_kept is not None]
        for predictor, rows in graded.items():
            yield _series({"data": data, "predictor": predictor, "measure": "error"}, rows, 1.0, (0.0, 1.0))
        told: dict[str, Scores] = defaultdict(list)
        for z, answer in joined.likelihoods:
            if z.data.name == data and answer.predictor.title not in graded:
                told[answer.predictor.title].append((z, log_likelihood_nats(answer)))
        for predictor, rows in told.items():
            name = {"data": data, "predictor": predictor, "measure": "nll_per_token"}
            yield _series(name, rows, 0.0, (0.0, math.inf))
        if not graded and not told and kept:
            yield _series({"data": data, "predictor": None, "measure": "fact_missing"}, kept, 1.0, (0.0, 1.0))


def _information(joined: Joined) -> Iterator[Series]:
    """MI among each kind of negatives; its distortion is what is missing to the ceiling log K."""
    for data in joined.data():
        for value, kinds in KINDS.items():
            rows = [z for z in joined.compressions if z.data.name == data and z.has_negatives(kinds)]
            if rows:
                ceiling = max(math.log(len(z.log_probs_among(kinds))) for z in rows)
                name = {"data": data, "value": value, "measure": "nats_below_ceiling", "ceiling_nats": ceiling}
                yield _series(name, [(z, z.mi_nats(kinds)) for z in rows], ceiling, (0.0, math.inf))


def _series(name: Json, rows: Scores, best: float, bounds: tuple[float, float]) -> Series:
    draws: dict[str, dict[str, Scores]] = defaultdict(lambda: defaultdict(list))
    curves: dict[str, list[str]] = defaultdict(list)
    for z, value in rows:
        label = z.compressor.label
        draws[label][z.problem_id].append((z, value))
        if z.compressor.kind in ANCHORS:  # everything and nothing are ends, no curve
            continue
        if label not in (curve := curves[z.compressor.curve_name]):
            curve.append(label)
    points = {
        label: {
            problem: Answered(
                some[0][0].document_id,
                float(np.mean([known(z.rate_tokens) for z, _ in some])),
                float(np.mean([value for _, value in some])),
            )
            for problem, some in table.items()
        }
        for label, table in draws.items()
    }
    models = {z.compressor.curve_name for z, _ in rows if z.compressor.kind in WRITERS}
    return Series(name, best, bounds, points, {c: curves[c] for c in sorted(curves, key=lambda c: c not in models)})


@dataclass(frozen=True)
class Common:
    """Points on the questions that all of them have: (points, questions) tokens and values."""

    labels: list[str]
    documents: list[str]
    tokens_PQ: np.ndarray
    value_PQ: np.ndarray
    left_out: int

    def by_document(self) -> Points:
        """Means of each document's questions."""
        index_Q = cluster_index(self.documents)
        share_QD = np.eye(index_Q.max() + 1)[index_Q]
        share_QD /= share_QD.sum(axis=0)
        return Points(self.tokens_PQ @ share_QD, self.value_PQ @ share_QD)


def _common(series: Series, labels: Sequence[str]) -> Common | None:
    tables = [series.points[label] for label in labels]
    shared = sorted(set.intersection(*(set(t) for t in tables)))
    if not shared:
        return None
    return Common(
        list(labels),
        [tables[0][p].document for p in shared],
        np.array([[t[p].tokens for p in shared] for t in tables]),
        np.array([[t[p].value for p in shared] for t in tables]),
        len(set().union(*(set(t) for t in tables))) - len(shared),
    )


NOTHING_SHARED = {"refused": "no question was answered at every point; evaluate all points on the same questions"}


def _of_series(series: Series, seed: int, resamples: int) -> Json:
    return {
        "curves": [_curve(series, name, labels, seed, resamples) for name, labels in series.curves.items()],
        "bd": [
            _pair(series, new, old, seed, min(resamples, MOST_BD_RESAMPLES))
            for new, old in combinations(series.curves, 2)
            if len(series.curves[new]) + len(series.curves[old]) > 2  # two points are a matter of a paired difference
        ],
        "front": _front(series, seed, resamples),
    }


def _curve(series: Series, name: str, labels: Sequence[str], seed: int, resamples: int) -> Json:
    common = _common(series, labels)
    if common is None:
        return {"curve": name, **NOTHING_SHARED}
    order = np.argsort(common.tokens_PQ.mean(axis=1), kind="stable")
    points = [
        RatePoint(
            label=common.labels[p],
            tokens=_mean(common.tokens_PQ[p], common.documents),
            value=_mean(common.value_PQ[p], common.documents),
            distortion=_mean(series.best - common.value_PQ[p], common.documents),
        ).with_reasons()
        for p in order
    ]
    fit = fit_curve(
        common.tokens_PQ, series.best - common.value_PQ, common.documents, np.random.default_rng(seed), resamples, series.bounds
    )
    return {"curve": name, "questions": len(common.documents), "left_out": common.left_out, "points": points, "fit": fit.to_dict()}


def _mean(values: np.ndarray, documents: Sequence[str]) -> Finding:
    if len(set(documents)) < 2:
        return Finding(float(values.mean()), math.nan, math.nan, 1)
    return mean_interval(values, documents)


def _pair(series: Series, new: str, old: str, seed: int, resamples: int) -> Json:
    """Two curves: tokens of `new` over those of `old` at equal value, and value of `new` less `old`'s at equal tokens."""
    labels = [*series.curves[new], *series.curves[old]]
    common = _common(series, labels)
    row: Json = {"new": new, "old": old}
    if common is None:
        return {**row, **NOTHING_SHARED}
    every, first = common.by_document(), len(series.curves[new])
    sides = [Points(every.rate_PD[part], every.value_PD[part]) for part in (slice(first), slice(first, None))]
    row |= {"questions": len(common.documents), "left_out": common.left_out}
    comparisons: dict[str, Callable[..., Comparison]] = {"tokens_at_equal_value": bd_tokens, "value_at_equal_tokens": bd_value}
    for name, compare in comparisons.items():
        try:
            row[name] = _comparison(compare(*sides, np.random.default_rng(seed), resamples))
        except ValueError as error:
            row[name] = {"refused": str(error)}
    return row


def _comparison(found: Comparison) -> Json:
    numbers = {k: v for k, v in vars(found).items() if v != ""}
    if math.isfinite(found.low) and math.isfinite(found.high):
        return numbers
    del numbers["low"], numbers["high"]
    return {**numbers, "refused": found.note}


def _front(series: Series, seed: int, resamples: int) -> Json:
    """The points that no other beats in tokens and value, and how often each is one in resamples of documents."""
    common = _common(series, list(series.points))
    if common is None:
        return dict(NOTHING_SHARED)
    points = common.by_document()
    D = points.rate_PD.shape[1]
    counts_BD = draw_counts(np.random.default_rng(seed), resamples, D) / D
    labels = np.array(common.labels)
    often = np.zeros(len(labels))
    for rate_P, value_P in zip(counts_BD @ points.rate_PD.T, counts_BD @ points.value_PD.T, strict=True):
        often[pareto_front(rate_P.tolist(), value_P.tolist())] += 1
    front = pareto_front(points.rate_PD.mean(axis=1).tolist(), points.value_PD.mean(axis=1).tolist())
    return {
        "labels": labels[front].tolist(),
        "share_of_resamples": dict(zip(labels.tolist(), (often / resamples).tolist(), strict=True)),
        "questions": len(common.documents),
        "left_out": common.left_out,
    }


def log_likelihood_nats(answer: PredictionRecord) -> float:
    """log p(reference answer) per token: the negative log of its perplexity."""
    return -known(answer.answer_nll_nats) / known(answer.answer_tokens)


def _mi_scores(joined: Joined, name: Mapping[str, Any], seed: int, resamples: int) -> Json:
    """MI of each compression against the scores of the answer from it, for each kind of negatives."""

    def of(answers: Sequence[Answer], score: Callable[[PredictionRecord], float]) -> Scores:
        return [(z, score(a)) for z, a in answers if a.predictor.title == name["predictor"]]

    if name["predictor"] is None:
        scores = {"mi_accuracy": [(z, float(z.fact_kept)) for z in joined.compressions if z.fact_kept is not None]}
    else:
        scores = {
            "mi_accuracy": of(joined.answers, lambda a: float(known(a.correct))),
            "mi_likelihood": of(joined.likelihoods, log_likelihood_nats),
        }
    return {
        key: _mi_score([(z, value) for z, value in pairs if z.data.name == name["data"]], seed, resamples)
        for key, pairs in scores.items()
        if any(z.data.name == name["data"] for z, _ in pairs)
    }


def _mi_score(pairs: Scores, seed: int, resamples: int) -> Json:
    """MI against a score, length controlled."""
    result: Json = {}
    for value, kinds in KINDS.items():
        rows = [(z, score) for z, score in pairs if z.has_negatives(kinds)]
        if not rows:
            result[value] = {"refused": "no answered compression was scored among such negatives"}
            continue
        found = control_for_length(
            [z.mi_nats(kinds) for z, _ in rows],
            [score for _, score in rows],
            [known(z.rate_tokens) for z, _ in rows],
            [z.problem_id for z, _ in rows],
            [z.document_id for z, _ in rows],
            [z.compressor.label for z, _ in rows],
            np.random.default_rng(seed),
            resamples,
        )
        result[value] = {**found.to_dict(), "left_out": len(pairs) - len(rows)}
    return result
