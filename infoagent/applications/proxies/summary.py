"""Which scorer can be trusted: rank correlations between scorers and with accuracy, verdicts that turn, and what each costs.

The self-score is that of the compressor's own frozen model. A scorer is trusted for one kind of negatives where

    1. the lower end of the interval of its rank correlation (Spearman, over compressions) with the self-score is at least
       `trusted_correlation`, at level 1 − 0.05 / k for k scorers (Bonferroni): the best of several is picked, and
    2. no verdict turns: of any two compressors that the self-score tells apart (paired by document, 95 %), the scorer's
       mean difference has the same sign.

Both are fixed before anything is measured. The smallest trusted scorer is the one with the least weights, then the least
work. Each scorer is held against the self-score on the compressions that both could score. Calibrated values, the
self-score's too, are those of log-probabilities times a scale that was fitted on other documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from infoagent.analysis.curves import KINDS
from infoagent.evaluation.summary import EASY, HARD, evenly
from infoagent.information import infonce_terms, mean_interval
from infoagent.information.calibration import Calibration, fit_beta
from infoagent.rate_distortion.ranks import difference_in_agreement, rank_agreement, spearman_low
from infoagent.rate_distortion.resampling import FEWEST_CLUSTERS, Refused
from infoagent.records.grid import CompressionRecord, PredictionRecord, known
from infoagent.records.json_form import Json
from infoagent.records.rate_points import with_reason
from infoagent.types import RunFailed

SELF = "self"
Scored = Mapping[str, Sequence[CompressionRecord]]
"""Compressions by scorer, SELF among them, each with that scorer's log-probabilities."""


@dataclass(frozen=True, kw_only=True)
class ProxyRecord(CompressionRecord):
    """A compression with the log-probabilities of another scorer, and what these took. None: not known."""

    gflop: float | None = None
    weight_mib: float | None = None


def fit_scales(scored: Scored, data: str) -> dict[str, Calibration]:
    """The critic scale of each scorer on one data set, from rows that are not evaluated."""
    found = {}
    for scorer, rows in scored.items():
        own = [r for r in rows if r.is_ok and r.data.name == data]
        if own:
            log_probs = np.array([r.log_probs_among(EASY + HARD) for r in own])
            source = np.zeros(len(own), dtype=np.intp)
            ids = sorted({r.document_id for r in own})
            found[scorer] = fit_beta(log_probs, source, document=[r.document_id for r in own], scorer=scorer, document_ids=ids)
    return found


def study(
    scored: Scored,
    predictions: Sequence[PredictionRecord],
    scales: Mapping[str, Mapping[str, Calibration]],
    trusted_correlation: float,
    seed: int,
    resamples: int,
) -> Json:
    """For each data set and kind of negatives a part with its `scorers`; ready for JSON but for NaN.

    scales: by data set and scorer; a data set without any is given uncalibrated alone.
    """
    parts = []
    for data in dict.fromkeys(r.data.name for r in scored[SELF]):
        for among, kinds in KINDS.items():
            tables = {s: _Table.of(scored[SELF], rows, s, data, kinds) for s, rows in scored.items()}
            if len(tables[SELF]) and tables[SELF].rows[SELF][0].has_negatives(kinds):
                parts.append(_part(tables, data, among, predictions, scales.get(data, {}), trusted_correlation, seed, resamples))
    if not parts:
        raise RunFailed("no compression has a self-score to hold the scorers against; the records of the grid say what failed")
    return {"trusted_correlation": trusted_correlation, "seed": seed, "resamples": resamples, "parts": parts}


class _Table:
    """The compressions that the compressor's model and one scorer could score, in one order, with the log-probabilities
    of both. `left_out`: those that the self-score has, or should have, beside them."""

    def __init__(self, rows: Mapping[str, Sequence[CompressionRecord]], kinds: Sequence[str], left_out: int) -> None:
        self.rows, self.left_out = rows, left_out
        own = rows[SELF]
        self.documents = [r.document_id for r in own]
        self.labels = [r.compressor.label for r in own]
        self.draws = [r.draw for r in own]
        self.log_probs = {s: np.array([r.log_probs_among(kinds) for r in table]) for s, table in rows.items()}

    @classmethod
    def of(
        cls, own: Sequence[CompressionRecord], other: Sequence[CompressionRecord], scorer: str, data: str, kinds: Sequence[str]
    ) -> _Table:
        ours, theirs = ({r.key: r for r in rows if r.data.name == data and r.is_ok and r.is_scored} for rows in (own, other))
        even = {r.key for r in evenly(list(ours.values()), kinds)}
        keys = [k for k in ours if k in theirs and k in even]
        asked = sum(r.data.name == data for r in own) if scorer == SELF else len(ours)
        rows = {SELF: [ours[k] for k in keys], scorer: [theirs[k] for k in keys]}
        return cls(rows, kinds, asked - len(keys))

    def __len__(self) -> int:
        return len(self.documents)

    def terms(self, scorer: str, beta: float) -> np.ndarray:
        """(N,) InfoNCE of each compression, in nats."""
        log_probs_NK = beta * self.log_probs[scorer]
        return infonce_terms(log_probs_NK, np.zeros(len(log_probs_NK), dtype=np.intp))


def _part(
    tables: Mapping[str, _Table],
    data: str,
    among: str,
    predictions: Sequence[PredictionRecord],
    scales: Mapping[str, Calibration],
    trusted_correlation: float,
    seed: int,
    resamples: int,
) -> Json:
    own = tables[SELF]
    level = 1 - 0.05 / max(1, len(tables) - 1)
    answers: dict[str, dict[str, float]] = {}  # predictor → compression → right or wrong
    ours = {r.key for r in own.rows[SELF]}
    for r in predictions:
        if r.is_ok and r.correct is not None and r.compression_key in ours:
            answers.setdefault(r.predictor.title, {})[r.compression_key] = float(r.correct)
    needed = min(FEWEST_CLUSTERS, len(set(own.documents)))
    found = []
    for scorer, table in tables.items():
        row: Json = {"scorer": scorer, "left_out": table.left_out}
        found.append(row)
        if (held := len(set(table.documents))) < needed:
            row["refused"] = f"{held} of {len(set(own.documents))} documents scored, {needed} are needed"
            continue
        row |= _cost(table.rows[scorer])
        betas = {"plain": (1.0, 1.0)}  # the scorer's and the self-score's
        if scorer in scales and SELF in scales:
            betas["calibrated"] = scales[scorer].beta, scales[SELF].beta
            row["calibration"] = {
                "beta": scales[scorer].beta,
                "documents": scales[scorer].n_documents,
                "warnings": list(scales[scorer].warnings),
            }
        for name, (beta, own_beta) in betas.items():
            terms, reference = table.terms(scorer, beta), table.terms(SELF, own_beta)
            row[name] = {"mi_nats": with_reason(mean_interval(terms, table.documents))}
            if scorer != SELF:
                row[name] |= _against_self(table, terms, reference, trusted_correlation, level, seed, resamples)
            row[name]["accuracy"] = {
                title: _against_answers(table, terms, reference, right, scorer, seed, resamples) for title, right in answers.items()
            }
    told_apart = _differences(own, own.terms(SELF, 1.0))
    return {
        "data": data,
        "among": among,
        "ceiling_nats": math.log(own.log_probs[SELF].shape[1]),
        "compressions": len(own),
        "documents": len(set(own.documents)),
        "left_out": own.left_out,
        "compressors": len(set(own.labels)),
        "verdicts": sum(d["shown"] for d in told_apart.values()),
        "level": level,
        "scorers": found,
        "smallest_trusted": {name: _smallest(found, name) for name in ("plain", "calibrated") if any(name in row for row in found)},
    }


def _cost(rows: Sequence[CompressionRecord]) -> Json:
    """Per compression; the self-score's own FLOPs are not told apart from those of the grid. None: not known."""
    found: Json = {"seconds": float(np.mean([known(r.scoring_seconds) for r in rows]))}
    by_proxy = [r for r in rows if isinstance(r, ProxyRecord)]
    if by_proxy:
        spent = [r.gflop for r in by_proxy if r.gflop is not None]
        found |= {"gflop": float(np.mean(spent)) if len(spent) == len(by_proxy) else None, "weight_mib": by_proxy[0].weight_mib}
    return found


def _against_self(
    table: _Table, terms: np.ndarray, reference: np.ndarray, trusted_correlation: float, level: float, seed: int, resamples: int
) -> Json:
    ranks = rank_agreement(terms, reference, table.documents, table.labels, np.random.default_rng(seed), resamples)
    low = spearman_low(terms, reference, table.documents, np.random.default_rng(seed), level, resamples)
    known, own = _differences(table, reference), _differences(table, terms)
    shown = [pair for pair, d in known.items() if d["shown"]]
    turned = [list(p) for p in shown if known[p]["difference"] * own[p]["difference"] <= 0]
    lost = sum(not own[p]["shown"] for p in shown)
    verdicts = {
        "kept": len(shown) - lost,
        "lost": lost,
        "turned": turned,
        "new": sum(d["shown"] and not known[p]["shown"] for p, d in own.items()),
    }
    return {
        "shift_nats": with_reason(mean_interval(terms - reference, table.documents)),
        "self": ranks.to_dict(),
        "criterion": low.to_dict() if isinstance(low, Refused) else {"level": level, "low": low},
        "verdicts": verdicts,
        "trusted": not isinstance(low, Refused) and low >= trusted_correlation and not turned,
    }


def _differences(table: _Table, terms: np.ndarray) -> dict[tuple[str, str], Json]:
    """Mean difference of each two compressors on the draws that both have, and whether its interval leaves 0 out."""
    values: dict[str, dict[Any, tuple[str, float]]] = {}
    for label, draw, document, term in zip(table.labels, table.draws, table.documents, terms, strict=True):
        values.setdefault(label, {})[draw] = document, float(term)
    found = {}
    for one, other in combinations(values, 2):
        shared = [draw for draw in values[one] if draw in values[other]]
        if len({values[one][draw][0] for draw in shared}) < 2:
            continue
        gain = mean_interval([values[one][d][1] - values[other][d][1] for d in shared], [values[one][d][0] for d in shared])
        found[one, other] = {"difference": gain.value, "shown": gain.low > 0 or gain.high < 0}
    return found


def _against_answers(
    table: _Table, terms: np.ndarray, reference: np.ndarray, right: Mapping[str, float], scorer: str, seed: int, resamples: int
) -> Json:
    """Rank correlation with right and wrong answers, and how much better it is than the self-score's."""
    where = [n for n, r in enumerate(table.rows[SELF]) if r.key in right]
    score = [right[table.rows[SELF][n].key] for n in where]
    documents, labels = [table.documents[n] for n in where], [table.labels[n] for n in where]
    ranks = rank_agreement(terms[where], score, documents, labels, np.random.default_rng(seed), resamples)
    result = ranks.to_dict()
    if scorer != SELF and not isinstance(ranks, Refused):
        gain = difference_in_agreement(terms[where], reference[where], score, documents, np.random.default_rng(seed), resamples)
        result["over_self"] = gain.to_dict()
    return result


def _smallest(rows: Sequence[Json], name: str) -> Json:
    trusted = [r for r in rows if r.get(name, {}).get("trusted")]
    if not trusted:
        return {"refused": "no scorer meets the criterion"}
    known = [r for r in trusted if None not in (r["weight_mib"], r["gflop"])]
    unknown = [r["scorer"] for r in trusted if r not in known]
    if not known:
        return {"refused": f"what {', '.join(unknown)} costs is not known"}
    best = min(known, key=lambda r: (r["weight_mib"], r["gflop"]))
    return {"scorer": best["scorer"], "weight_mib": best["weight_mib"], "gflop": best["gflop"], "costs_unknown": unknown}
