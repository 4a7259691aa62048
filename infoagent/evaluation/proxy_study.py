"""Which scorer can be trusted: rank correlations between scorers and with accuracy, verdicts that turn, and what each costs.

The self-score is that of the compressor's own frozen model. A scorer is trusted for one kind of negatives where

    1. the lower end of the 95 % interval of its rank correlation (Spearman, over compressions) with the self-score is at
       least `trusted_correlation`, and
    2. no verdict turns: of any two compressors that the self-score tells apart (paired by document, 95 %), the scorer's
       mean difference has the same sign.

Both are fixed before anything is measured. The smallest trusted scorer is the one with the least weights, then the least
work. Calibrated values are those of log-probabilities times a scale that was fitted on other documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from infoagent.evaluation.analysis import KINDS, plain
from infoagent.evaluation.summary import EASY, HARD, Record, columns, predictor_title
from infoagent.information import infonce_terms, mean_interval
from infoagent.information.calibration import Calibration, fit_beta
from infoagent.rate_distortion.ranks import difference_in_agreement, rank_agreement
from infoagent.rate_distortion.resampling import Refused

SELF = "self"
Json = dict[str, Any]
Scored = Mapping[str, Sequence[Record]]
"""Compressions by scorer, SELF among them, each with that scorer's log-probabilities."""


def fit_scales(scored: Scored, data: str) -> dict[str, Calibration]:
    """The critic scale of each scorer on one data set, from rows that are not evaluated."""
    found = {}
    for scorer, rows in scored.items():
        own = [r for r in rows if r["status"] == "ok" and r["data"]["name"] == data]
        if own:
            log_probs = np.array([_columns(r, EASY + HARD) for r in own])
            source = np.zeros(len(own), dtype=np.intp)
            ids = sorted({r["document_id"] for r in own})
            found[scorer] = fit_beta(
                log_probs, source, document=[r["document_id"] for r in own], scorer=scorer, document_ids=ids
            )
    return found


def study(
    scored: Scored, predictions: Sequence[Record], scales: Mapping[str, Mapping[str, Calibration]],
    trusted_correlation: float, seed: int, resamples: int,
) -> Json:  # fmt: skip
    """For each data set and kind of negatives a part with its `scorers`; ready for JSON but for NaN.

    scales: by data set and scorer; a data set without any is given uncalibrated alone.
    """
    parts = []
    for data in dict.fromkeys(r["data"]["name"] for r in scored[SELF]):
        for among, kinds in KINDS.items():
            table = _Table.of(scored, data, kinds)
            if table is not None:
                parts.append(
                    _part(table, data, among, predictions, scales.get(data, {}), trusted_correlation, seed, resamples)
                )
    return {"trusted_correlation": trusted_correlation, "seed": seed, "resamples": resamples, "parts": parts}


class _Table:
    """The compressions that every scorer could score, in one order, with the log-probabilities of each."""

    def __init__(self, rows: Mapping[str, list[Record]], kinds: Sequence[str], left_out: int) -> None:
        self.rows, self.left_out = rows, left_out
        own = rows[SELF]
        self.documents = [r["document_id"] for r in own]
        self.labels = [r["compressor"]["label"] for r in own]
        self.draws = [(r["problem_id"], r["seed"], r["sample"]) for r in own]
        self.log_probs = {s: np.array([_columns(r, kinds) for r in table]) for s, table in rows.items()}

    @classmethod
    def of(cls, scored: Scored, data: str, kinds: Sequence[str]) -> _Table | None:
        tables = {s: {r["key"]: r for r in rows if r["data"]["name"] == data} for s, rows in scored.items()}
        good = {s: {k for k, r in t.items() if r["status"] == "ok" and "log_probs" in r} for s, t in tables.items()}
        keys = [k for k in tables[SELF] if all(k in g for g in good.values())]
        if not keys or len(columns(tables[SELF][keys[0]], kinds)) < 2:
            return None
        return cls({s: [t[k] for k in keys] for s, t in tables.items()}, kinds, len(tables[SELF]) - len(keys))

    def terms(self, scorer: str, beta: float) -> np.ndarray:
        """(N,) InfoNCE of each compression, in nats."""
        log_probs_NK = beta * self.log_probs[scorer]
        return infonce_terms(log_probs_NK, np.zeros(len(log_probs_NK), dtype=np.intp))


def _columns(record: Record, kinds: Sequence[str]) -> list[float]:
    return [record["log_probs"][i] for i in columns(record, kinds)]


def _part(
    table: _Table, data: str, among: str, predictions: Sequence[Record], scales: Mapping[str, Calibration],
    trusted_correlation: float, seed: int, resamples: int,
) -> Json:  # fmt: skip
    ours = {r["key"] for r in table.rows[SELF]}
    answers: dict[str, dict[str, float]] = {}  # predictor → compression → right or wrong
    for r in predictions:
        if r["status"] == "ok" and "correct" in r and r["compression_key"] in ours:
            answers.setdefault(predictor_title(r), {})[r["compression_key"]] = float(r["correct"])
    reference = table.terms(SELF, 1.0)
    known = _differences(table, reference)
    found = []
    for scorer in table.rows:
        row: Json = {"scorer": scorer, **_cost(table.rows[scorer])}
        betas = {"plain": 1.0}
        if scorer in scales:
            betas["calibrated"] = scales[scorer].beta
            row["calibration"] = {"beta": scales[scorer].beta, "documents": scales[scorer].n_documents,
                                  "warnings": list(scales[scorer].warnings)}  # fmt: skip
        for name, beta in betas.items():
            terms = table.terms(scorer, beta)
            row[name] = {"mi_nats": plain(mean_interval(terms, table.documents))}
            if scorer != SELF:
                row[name] |= _against_self(table, terms, reference, known, trusted_correlation, seed, resamples)
            row[name]["accuracy"] = {
                title: _against_answers(table, terms, reference, right, scorer, seed, resamples)
                for title, right in answers.items()
            }
        found.append(row)
    return {
        "data": data, "among": among, "ceiling_nats": math.log(table.log_probs[SELF].shape[1]),
        "compressions": len(table.documents), "documents": len(set(table.documents)), "left_out": table.left_out,
        "compressors": len(set(table.labels)), "verdicts": sum(d["shown"] for d in known.values()), "scorers": found,
        "smallest_trusted": {name: _smallest(found, name) for name in ("plain", "calibrated")},
    }  # fmt: skip


def _cost(rows: Sequence[Record]) -> Json:
    """Per compression; the self-score's own FLOPs are not told apart from those of the grid."""
    found: Json = {"seconds": float(np.mean([r["scoring_seconds"] for r in rows]))}
    if "gflop" in rows[0]:
        found |= {"gflop": float(np.mean([r["gflop"] for r in rows])), "weight_mib": rows[0]["weight_mib"]}
    return found


def _against_self(
    table: _Table, terms: np.ndarray, reference: np.ndarray, known: Mapping[tuple[str, str], Json],
    trusted_correlation: float, seed: int, resamples: int,
) -> Json:  # fmt: skip
    ranks = rank_agreement(terms, reference, table.documents, table.labels, np.random.default_rng(seed), resamples)
    own = _differences(table, terms)
    shown = [pair for pair, d in known.items() if d["shown"]]
    turned = [list(p) for p in shown if known[p]["difference"] * own[p]["difference"] <= 0]
    lost = sum(not own[p]["shown"] for p in shown)
    verdicts = {"kept": len(shown) - lost, "lost": lost, "turned": turned,
                "new": sum(d["shown"] and not known[p]["shown"] for p, d in own.items())}  # fmt: skip
    low = None if isinstance(ranks, Refused) or isinstance(ranks.spearman, Refused) else ranks.spearman.low
    return {
        "shift_nats": plain(mean_interval(terms - reference, table.documents)), "self": ranks.to_dict(),
        "verdicts": verdicts, "trusted": low is not None and low >= trusted_correlation and not turned,
    }  # fmt: skip


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
        gain = mean_interval(
            [values[one][d][1] - values[other][d][1] for d in shared], [values[one][d][0] for d in shared]
        )
        found[one, other] = {"difference": gain.value, "shown": gain.low > 0 or gain.high < 0}
    return found


def _against_answers(
    table: _Table, terms: np.ndarray, reference: np.ndarray, right: Mapping[str, float], scorer: str, seed: int,
    resamples: int,
) -> Json:  # fmt: skip
    """Rank correlation with right and wrong answers, and how much better it is than the self-score's."""
    where = [n for n, r in enumerate(table.rows[SELF]) if r["key"] in right]
    score = [right[table.rows[SELF][n]["key"]] for n in where]
    documents, labels = [table.documents[n] for n in where], [table.labels[n] for n in where]
    ranks = rank_agreement(terms[where], score, documents, labels, np.random.default_rng(seed), resamples)
    result = ranks.to_dict()
    if scorer != SELF and not isinstance(ranks, Refused):
        gain = difference_in_agreement(
            terms[where], reference[where], score, documents, np.random.default_rng(seed), resamples
        )
        result["over_self"] = gain.to_dict()
    return result


def _smallest(rows: Sequence[Json], name: str) -> Json:
    trusted = [r for r in rows if r.get(name, {}).get("trusted")]
    if not trusted:
        return {"refused": "no scorer meets the criterion"}
    best = min(trusted, key=lambda r: (r["weight_mib"], r["gflop"]))
    return {"scorer": best["scorer"], "weight_mib": best["weight_mib"], "gflop": best["gflop"]}
