"""Trained compressors over the curve of frozen ones, from the records of an evaluation directory.

A point is a compressor at one setting: mean tokens against mean value, on the problems that every point has. Frozen
points with different prompts make the frozen curve; each checkpoint is held against it, and all checkpoints together as
a curve of their own. Problems of one document count as one; over several data sets all documents stand together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.evaluation.records import read_records
from infoagent.evaluation.summary import EASY, HARD, Record, mi_term_nats
from infoagent.information import mean_interval
from infoagent.rate_distortion.bjontegaard import Points, bd_tokens, bd_value
from infoagent.types import InputError

VALUES = {
    "hard": ("MI among counterfactuals (nats)", lambda r: mi_term_nats(r, HARD)),
    "easy": ("MI among other documents (nats)", lambda r: mi_term_nats(r, EASY)),
    "all": ("MI, all negatives (nats)", lambda r: mi_term_nats(r, EASY + HARD)),
    "fact": ("asked fact stands in it", lambda r: float(r["fact_kept"])),
}
TOGETHER = "all sets together"


@dataclass(frozen=True)
class Point:
    """One compressor on the common problems: means over documents, in the order of `documents` of its set."""

    label: str
    trained: bool
    rate_D: NDArray[np.float64]
    value_D: NDArray[np.float64]
    accuracy: float | None

    def to_dict(self, documents: Sequence[str]) -> dict[str, Any]:
        return {
            "label": self.label,
            "trained": self.trained,
            "tokens": asdict(mean_interval(self.rate_D, documents)),
            "value": asdict(mean_interval(self.value_D, documents)),
            **({"accuracy": self.accuracy} if self.accuracy is not None else {}),
        }


def find_frontier(directory: str | Path, value: str, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """Points and comparisons of every data set and of all together, ready for JSON.

    Raises InputError where the directory has no frozen curve or no trained point.
    """
    sets = {name: _points(rows, value) for name, rows in _by_set(directory, value).items()}
    found = []
    for name, (documents, points) in sets.items():
        found.append(_compare(name, documents, points, np.random.default_rng(seed), resamples))
    if len(sets) > 1:
        documents, points = _together(sets)
        found.append(_compare(TOGETHER, documents, points, np.random.default_rng(seed), resamples))
    return {"value": value, "title": VALUES[value][0], "sets": found}


def _by_set(directory: str | Path, value: str) -> dict[str, dict[tuple[str, bool], list[Record]]]:
    """Records of LM compressors by data set and (label, trained). Predictions are joined to them as "correct"."""
    rows = read_records(directory)
    answers = {r["compression_key"]: r["correct"] for r in rows if r["kind"] == "prediction" and "correct" in r}
    found: dict[str, dict[tuple[str, bool], list[Record]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["kind"] != "compression" or row["status"] != "ok" or "log_probs" not in row:
            continue
        if value == "fact" and "fact_kept" not in row:
            continue
        trained = row["compressor"]["model"]["adapter"] is not None
        joined = {**row, "correct": answers[row["key"]]} if row["key"] in answers else row
        found[row["data"]["name"]][(row["compressor"]["label"], trained)].append(joined)
    frozen = {label for groups in found.values() for label, trained in groups if not trained}
    trained_labels = {label for groups in found.values() for label, trained in groups if trained}
    if not frozen or not trained_labels:
        raise InputError(
            f"{directory}: holds {len(frozen)} frozen and {len(trained_labels)} trained compressors with {value!r}; a "
            "frontier needs both: run eval/frozen.py, and eval/checkpoint.py for each checkpoint, with this output_dir"
        )
    return found


def _points(groups: Mapping[tuple[str, bool], Sequence[Record]], value: str) -> tuple[list[str], list[Point]]:
    """(documents, points) on the problems that all groups have, one number for each document."""
    of = VALUES[value][1]
    tables = {
        who: {(r["problem_id"], r["sample"]): (r["document_id"], float(r["rate_tokens"]), of(r)) for r in rows}
        for who, rows in groups.items()
    }
    common = sorted(set.intersection(*(set(t) for t in tables.values())))
    if not common:
        raise InputError(f"no problem was compressed by all of {', '.join(sorted(w for w, _ in groups))}")
    documents = sorted({next(iter(tables.values()))[key][0] for key in common})
    points = []
    for (label, trained), table in tables.items():
        by_document: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for key in common:
            document, rate, number = table[key]
            by_document[document].append((rate, number))
        means = np.array([np.mean(by_document[d], axis=0) for d in documents])
        right = [float(r["correct"]) for r in groups[(label, trained)] if "correct" in r]
        accuracy = float(np.mean(right)) if right else None
        points.append(Point(label, trained, means[:, 0], means[:, 1], accuracy))
    return documents, sorted(points, key=lambda p: (p.trained, float(p.rate_D.mean())))


def _together(sets: Mapping[str, tuple[list[str], list[Point]]]) -> tuple[list[str], list[Point]]:
    """The points that every set has, with the documents of all sets beside one another."""
    documents = [f"{name}: {d}" for name, (ids, _) in sets.items() for d in ids]
    by_label = [{p.label: p for p in points} for _, points in sets.values()]
    points = []
    for label, first in by_label[0].items():
        if all(label in labels for labels in by_label):
            same = [labels[label] for labels in by_label]
            points.append(
                Point(
                    label, first.trained, np.concatenate([p.rate_D for p in same]),
                    np.concatenate([p.value_D for p in same]), None,
                )
            )  # fmt: skip
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
        except ValueError as error:
            row["tokens_refused"] = str(error)
        comparisons.append(row)
    return {
        "data": name,
        "documents": len(documents),
        "points": [p.to_dict(documents) for p in points],
        "comparisons": comparisons,
    }


def _stack(points: Sequence[Point]) -> Points:
    return Points(np.stack([p.rate_D for p in points]), np.stack([p.value_D for p in points]))
