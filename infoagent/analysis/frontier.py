"""Trained compressors over the curve of frozen ones, from the records of an evaluation directory.

A point is a compressor at one setting: mean tokens against mean value, on the problems that every point has. Frozen
points with different prompts make the frozen curve; each checkpoint is held against it, and all checkpoints together as
a curve of their own. Problems of one document count as one; over several data sets all documents stand together.

A directory may hold what earlier recipes left there. Of compressors under one label (a checkpoint trained anew at the
same path, another max_tokens) the one of the last evaluation counts, or else the last that was written. Refused are
checkpoints of several places under one label, and points scored among different negatives.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.evaluation.summary import EASY, HARD
from infoagent.information import mean_interval, share_interval
from infoagent.rate_distortion.bjontegaard import Points, bd_tokens, bd_value
from infoagent.records.files import grid_of, read_records
from infoagent.records.grid import (
    CompressionRecord,
    CompressorIdentity,
    DataIdentity,
    Draw,
    PredictionRecord,
    compressions_of,
    known,
    predictions_of,
)
from infoagent.records.json_form import as_json
from infoagent.records.rate_points import RatePoint
from infoagent.store import read_if_run
from infoagent.types import InputError

AMONG = {"hard": HARD, "easy": EASY, "all": EASY + HARD}
"""The negatives of what is information."""
VALUES = {
    "hard": ("MI among counterfactuals (nats)", lambda r, _: r.mi_nats(AMONG["hard"])),
    "easy": ("MI among other documents (nats)", lambda r, _: r.mi_nats(AMONG["easy"])),
    "all": ("MI, all negatives (nats)", lambda r, _: r.mi_nats(AMONG["all"])),
    "fact": ("asked fact stands in it", lambda r, _: float(r.fact_kept)),
    "accuracy": ("questions answered from it", lambda _, right: float(right)),
}
TOGETHER = "all sets together"


@dataclass(frozen=True)
class Point:
    """One compressor on the common problems: a mean of each document, in the order of `documents` of its set."""

    label: str
    trained: bool
    rate_D: NDArray[np.float64]
    value_D: NDArray[np.float64]
    right_D: NDArray[np.float64] | None
    """Share of questions answered from it; None where no predictor was asked about each of them."""

    def mean(self, documents: Sequence[str]) -> RatePoint:
        return RatePoint(
            label=self.label,
            trained=self.trained,
            tokens=mean_interval(self.rate_D, documents),
            value=mean_interval(self.value_D, documents),
            accuracy=None if self.right_D is None else share_interval(self.right_D, documents),
        )


def find_frontier(directory: str | Path, value: str, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """Points and comparisons of every data set and of all together, ready for JSON.

    Raises InputError where the directory has no frozen curve or no trained point.
    """
    sets, found = {}, []
    for name, groups in _by_set(directory, value).items():
        _check_alike(f"{directory}: {name}", groups)
        documents, points, left_out = _points(name, groups, value)
        sets[name] = documents, points
        row = _compare(name, documents, points, np.random.default_rng(seed), resamples)
        found.append({**row, "left_out": left_out})
    if len(sets) > 1:
        documents, points = _together(sets)
        found.append(_compare(TOGETHER, documents, points, np.random.default_rng(seed), resamples))
    return {"value": value, "title": VALUES[value][0], "sets": found}


Who = tuple[str, bool]
"""(label, trained)."""
Answered = tuple[CompressionRecord, bool | None]
"""A compression, and whether a question was answered from it; None where nobody was asked."""


def _by_set(directory: str | Path, value: str) -> dict[str, dict[Who, list[Answered]]]:
    """Compressions by LMs, by data set and compressor, each with the answer from it."""
    records = grid_of(read_records(directory))
    current = set(read_if_run(directory).get("record_keys", []))
    answers = _answers(predictions_of(records), current)
    sets: dict[str, dict[Who, list[Answered]]] = defaultdict(lambda: defaultdict(list))
    for record in compressions_of(records):
        # the frozen curve is the model's own
        if not record.is_ok or not record.is_scored or record.compressor.kind != "lm":
            continue
        right = answers.get(record.key)
        if value in AMONG and not record.has_negatives(AMONG[value]):  # among itself alone it tells nothing, not 0 nats
            continue
        if {"fact": record.fact_kept, "accuracy": right}.get(value, True) is None:
            continue
        trained = record.compressor.adapter is not None
        sets[record.data.name][record.compressor.label, trained].append((record, right))
    for groups in sets.values():
        for who, rows in groups.items():
            counting = {r.key for r in last_measured([r for r, _ in rows], current)}
            groups[who] = [(r, right) for r, right in rows if r.key in counting]
    frozen = {label for groups in sets.values() for label, trained in groups if not trained}
    trained_labels = {label for groups in sets.values() for label, trained in groups if trained}
    if not frozen or not trained_labels:
        raise InputError(
            f"{directory}: holds {len(frozen)} frozen and {len(trained_labels)} trained compressors with {value!r}; a "
            "frontier needs both: run eval/frozen.py, and eval/checkpoint.py for each checkpoint, with this output_dir"
        )
    return sets


def _answers(predictions: Sequence[PredictionRecord], current: Collection[str]) -> dict[str, bool]:
    """By compression whether the question was answered: of several predictors by one for the whole data set, that of the last
    evaluation before others. What failed, a judge too, says nothing."""
    given = [p for p in predictions if p.is_ok and p.correct is not None]
    given.sort(key=lambda p: p.key not in current)
    reader: dict[str, str] = {}
    found: dict[str, bool] = {}
    for prediction in given:
        if prediction.predictor.title == reader.setdefault(prediction.data.name, prediction.predictor.title):
            found.setdefault(prediction.compression_key, known(prediction.correct))
    return found


def last_measured(records: Sequence[CompressionRecord], current: Collection[str]) -> list[CompressionRecord]:
    """Of the records of one label those that were measured as the last ones: as one of the keys `current`, those of the
    last evaluation, or else as the last that was written. One of each draw: grids of other documents of the same set may have
    written into the directory before, and their problems have the same names.

    Raises InputError where the label stands for checkpoints of several places: all but one would drop out of sight."""
    _check_one_place(records)
    last = next((r for r in records if r.key in current), records[-1])
    alike = [r for r in records if _identity(r) == _identity(last)]
    return list({r.draw: r for r in sorted(alike, key=lambda r: r.key in current)}.values())


def _check_one_place(records: Sequence[CompressionRecord]) -> None:
    """A label is the end of a checkpoint's path, which those of two runs may have in common."""
    places = {os.path.abspath(r.compressor.adapter): r.compressor.adapter for r in records if r.compressor.adapter is not None}
    if len(places) > 1:
        raise InputError(
            f"{records[0].compressor.label!r} is the label of {' and of '.join(sorted(places.values()))}; rename their directories "
            "such that the last two names differ, and evaluate them again in a new output_dir"
        )


def _identity(record: CompressionRecord) -> tuple[CompressorIdentity, DataIdentity]:
    """What is measured: a compressor on a text of a known revision."""
    return replace(record.compressor, label=""), record.data


def _check_alike(where: str, groups: Mapping[Who, Sequence[Answered]]) -> None:
    """Raise InputError unless all points stand on the same documents among the same numbers of negatives, on the problems that
    they share."""
    first: dict[Draw, tuple[str, Sequence[str], str | None]] = {}
    for (label, _), rows in groups.items():
        for draw, record in {r.draw: r for r, _ in rows}.items():
            kinds, text = known(record.candidates), record.document_key
            other, expected, read = first.setdefault(draw, (label, kinds, text))
            if None not in (text, read) and text != read:
                raise InputError(
                    f"{where}: {other!r} and {label!r} were asked on different documents of one name, such as {draw[1]!r}; "
                    "evaluate both again by one recipe, in a new output_dir"
                )
            if expected != kinds:
                raise InputError(
                    f"{where}: {other!r} was scored among {len(expected) - 1} negatives and {label!r} among "
                    f"{len(kinds) - 1} or other kinds; evaluate both again by one recipe, in a new output_dir"
                )


def _points(name: str, groups: Mapping[Who, Sequence[Answered]], value: str) -> tuple[list[str], list[Point], dict[str, Any]]:
    """(documents, points) on the problems that all groups have, one number for each document; and what was left out."""
    of = VALUES[value][1]
    tables = {
        who: {r.draw: (r.document_id, float(known(r.rate_tokens)), of(r, right)) for r, right in rows}
        for who, rows in groups.items()
    }
    common = sorted(set.intersection(*(set(t) for t in tables.values())))
    if not common:
        raise InputError(f"{name}: no problem was compressed by all of {', '.join(sorted(w for w, _ in groups))}")
    everything = set().union(*(set(t) for t in tables.values()))
    left_out = {"problems": len(everything) - len(common), "held": {label: len(t) for (label, _), t in tables.items()}}
    documents = sorted({next(iter(tables.values()))[draw][0] for draw in common})
    points = []
    for (label, trained), table in tables.items():
        by_document: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for draw in common:
            document, rate, number = table[draw]
            by_document[document].append((rate, number))
        means = np.array([np.mean(by_document[d], axis=0) for d in documents])
        answered = {r.draw: (r.document_id, right) for r, right in groups[label, trained] if right is not None}
        share: dict[str, list[float]] = defaultdict(list)
        for draw in common:
            if draw in answered:
                document, right = answered[draw]
                share[document].append(float(right))
        right_D = np.array([np.mean(share[d]) for d in documents]) if set(share) == set(documents) else None
        points.append(Point(label, trained, means[:, 0], means[:, 1], right_D))
    return documents, sorted(points, key=lambda p: (p.trained, float(p.rate_D.mean()))), left_out


def _together(sets: Mapping[str, tuple[list[str], list[Point]]]) -> tuple[list[str], list[Point]]:
    """The points that every set has, with the documents of all sets beside one another."""
    documents = [f"{name}: {d}" for name, (ids, _) in sets.items() for d in ids]
    by_label = [{p.label: p for p in points} for _, points in sets.values()]
    points = []
    for label, first in by_label[0].items():
        if all(label in labels for labels in by_label):
            same = [labels[label] for labels in by_label]
            right = [p.right_D for p in same if p.right_D is not None]
            points.append(
                Point(
                    label,
                    first.trained,
                    np.concatenate([p.rate_D for p in same]),
                    np.concatenate([p.value_D for p in same]),
                    np.concatenate(right) if len(right) == len(same) else None,
                )
            )
    return documents, sorted(points, key=lambda p: (p.trained, float(p.rate_D.mean())))


def _compare(
    name: str, documents: Sequence[str], points: Sequence[Point], rng: np.random.Generator, resamples: int
) -> dict[str, Any]:
    frozen = _stack([p for p in points if not p.trained])
    trained = [p for p in points if p.trained]
    curves = {p.label: [p] for p in trained}
    if len(trained) > 1:
        curves["all checkpoints"] = trained
    comparisons = []
    for label, some in curves.items():
        new = _stack(some)
        row: dict[str, Any] = {"label": label, "value_at_equal_tokens": asdict(bd_value(new, frozen, rng, resamples))}
        try:
            row["tokens_at_equal_value"] = asdict(bd_tokens(new, frozen, rng, resamples))
            row["tokens_against_best"] = asdict(bd_tokens(new, frozen, rng, resamples, best=True))
        except ValueError as error:
            row["tokens_refused"] = str(error)
        comparisons.append(row)
    return {
        "data": name,
        "documents": len(documents),
        "points": as_json([p.mean(documents) for p in points]),
        "comparisons": comparisons,
    }


def _stack(points: Sequence[Point]) -> Points:
    return Points(np.stack([p.rate_D for p in points]), np.stack([p.value_D for p in points]))
