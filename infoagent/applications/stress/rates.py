"""How often each compressor fails in which way, and whether the trained one fails less often than its frozen self.

A rate has Wilson's interval. Both compressors had the same cases, so they are compared by McNemar's exact test: of the
cases in which only one of them failed, each is either's with probability ½. Several kinds are asked for the same failure,
so its p values are adjusted over kinds (Holm 1979).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from infoagent.analysis.verdict import LEVEL, detectable_share, holm, mcnemar
from infoagent.applications.stress.failures import FAILURES, failures_of
from infoagent.applications.stress.hard_inputs_checks import InputsPlan
from infoagent.data.sets.hard_cases import HARD_KINDS, revision
from infoagent.evaluation.records import Row
from infoagent.information import infonce_terms, mean_interval, paired_difference, wilson_interval

SHOWN_TEXT = 300
Table = dict[str, dict[str, dict[str, bool]]]
"""[label][case key][failure]: whether it happened."""


def summarise_inputs(plan: InputsPlan, rows: Sequence[Row], replies: Mapping[str, Row]) -> dict[str, Any]:
    """Rates, information and comparisons by kind, ready for JSON."""
    cases = {case.key: case for case in plan.cases}
    table: Table = {section.label: {} for section in plan.compressors}
    for row in rows:
        reply = replies.get(row["key"])
        table[row["compressor"]["label"]][row["case_key"]] = failures_of(cases[row["case_key"]], row, reply)
    kinds: list[str] = [kind for kind in HARD_KINDS if any(case.kind == kind for case in plan.cases)]
    of_kind = {kind: [case.key for case in plan.cases if case.kind == kind] for kind in kinds}
    return {
        "compressors": [s.label for s in plan.compressors],
        "pair": plan.pair,
        "cases": {kind: len(keys) for kind, keys in of_kind.items()},
        "cases_revision": revision(plan.cases),
        "context_tokens": plan.contexts,
        "outcomes": {
            label: {
                kind: dict(Counter(_outcome(r) for r in rows if r["compressor"]["label"] == label and r["case"]["kind"] == kind))
                for kind in kinds
            }
            for label in table
        },
        "rates": _rates(table, of_kind),
        "comparisons": [] if plan.pair is None else _compare(table[plan.pair[0]], table[plan.pair[1]], of_kind),
        "information": _information(plan, rows, of_kind),
        "examples": _examples(plan, rows, replies, table),
    }


def _outcome(row: Row) -> str:
    return row["outcome"] if row["outcome"] == "written" else f"{row['outcome']}: {row['cause']}"


def _rates(table: Table, of_kind: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A line for each kind × failure that is defined for it, with each compressor's share."""
    lines = []
    for kind, keys in of_kind.items():
        for failure in FAILURES:
            shares = {}
            for label, found in table.items():
                values = [found[key][failure] for key in keys if failure in found[key]]
                if values:
                    shares[label] = {"count": sum(values), **asdict(wilson_interval(sum(values), len(values)))}
            if shares:
                lines.append({"kind": kind, "failure": failure, "shares": shares})
    return lines


def _compare(
    trained: Mapping[str, Mapping[str, bool]], frozen: Mapping[str, Mapping[str, bool]], of_kind: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """For each failure and kind the cases in which only one of the two failed, with McNemar's p and Holm's over kinds."""
    lines: list[dict[str, Any]] = []
    for failure in FAILURES:
        own: list[dict[str, Any]] = []
        for kind, keys in of_kind.items():
            both = [key for key in keys if failure in trained[key] and failure in frozen[key]]
            if not both:
                continue
            new, old = (np.array([side[key][failure] for key in both]) for side in (trained, frozen))
            own.append(
                {
                    "kind": kind,
                    "failure": failure,
                    "n": len(both),
                    "frozen": float(old.mean()),
                    "trained": float(new.mean()),
                    "only_frozen": int((old & ~new).sum()),
                    "only_trained": int((new & ~old).sum()),
                    "p": mcnemar(new, old),
                    "detectable": detectable_share(float((new != old).mean()), len(both)),
                }
            )
        for line, adjusted in zip(own, holm([line["p"] for line in own]) if own else [], strict=True):
            fewer = line["trained"] < line["frozen"]
            verdict = "no difference shown" if adjusted >= LEVEL else "better" if fewer else "worse"
            lines.append({**line, "p_holm": adjusted, "verdict": verdict})
    return lines


def _information(plan: InputsPlan, rows: Sequence[Row], of_kind: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """InfoNCE among the document's own counterfactuals, by kind; the paired difference where there is a pair."""
    terms: dict[str, dict[str, float]] = {section.label: {} for section in plan.compressors}
    candidates: dict[str, int] = {}
    for row in rows:
        if "log_probs" in row:
            log_probs_1K = np.array([row["log_probs"]])
            terms[row["compressor"]["label"]][row["case_key"]] = float(infonce_terms(log_probs_1K, np.array([0]))[0])
            candidates[row["case_key"]] = log_probs_1K.shape[1]
    lines = []
    for kind, keys in of_kind.items():
        for size in sorted({candidates[key] for key in keys if key in candidates}):
            same = [key for key in keys if candidates.get(key) == size]
            line: dict[str, Any] = {"kind": kind, "candidates": size, "ceiling_nats": float(np.log(size)), "mi_nats": {}}
            for label, found in terms.items():
                values = [found[key] for key in same if key in found]
                if values:
                    line["mi_nats"][label] = asdict(mean_interval(values))
            if plan.pair is not None:
                trained, frozen = (terms[label] for label in plan.pair)
                both = [key for key in same if key in trained and key in frozen]
                if both:
                    difference = paired_difference([trained[k] for k in both], [frozen[k] for k in both])
                    line["difference_nats"] = asdict(difference)
            lines.append(line)
    return lines


def _examples(plan: InputsPlan, rows: Sequence[Row], replies: Mapping[str, Row], table: Table) -> list[dict[str, Any]]:
    """The first case of each kind: what every compressor made of it, and how it failed."""
    first: dict[str, str] = {}
    for case in plan.cases:
        first.setdefault(case.kind, case.key)
    cases = {case.key: case for case in plan.cases}
    found = []
    for row in rows:
        key, label = row["case_key"], row["compressor"]["label"]
        if key not in first.values():
            continue
        case, reply = cases[key], replies.get(row["key"])
        failed = [name for name, happened in table[label][key].items() if happened]
        found.append(
            {
                "kind": case.kind,
                "case": case.id,
                "query": case.query,
                "values": list(case.values),
                "compressor": label,
                "text": row["text"][:SHOWN_TEXT] if row["outcome"] == "written" else _outcome(row),
                "reply": None if reply is None or reply["status"] != "ok" else reply["text"][:SHOWN_TEXT],
                "failures": failed,
            }
        )
    return found
