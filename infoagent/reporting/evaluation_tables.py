"""What the page tells of each compressor beside the first table: answers, information, costs, and what explains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.costs import BreakEven
from infoagent.records.summaries import Summary
from infoagent.reporting.tables import with_interval
from infoagent.types import Finding

ANSWER_COLUMNS = (
    "compressor", "predictor", "accuracy", "F1", "answer NLL (nats)", "NLL a token", "asked", "failed", "unreadable",
)  # fmt: skip


def answer_rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """A line for each compressor and predictor; – where a number does not exist."""
    rows = []
    for s in summaries:
        for name, p in s.predictors.items():
            rows.append(
                [
                    s.label,
                    name,
                    _share(p.error),
                    _share(p.values.get("distortion/f1_missing")),
                    _plain(p.values.get("distortion/nll")),
                    _plain(p.values.get("distortion/nll_per_token")),
                    str(p.n),
                    str(p.failed),
                    str(p.unparseable),
                ]
            )
    return rows


def _share(missing: Finding | None) -> str:
    if missing is None:
        return "–"
    value, low, high = (100 * (1 - end) for end in (missing.value, missing.high, missing.low))
    return with_interval(value, low, high, 0) + " %"


def _plain(found: Finding | None) -> str:
    return "–" if found is None else with_interval(found.value, found.low, found.high)


INFORMATION_COLUMNS = ("compressor", "candidates", "MI (nats)", "ceiling", "saturated", "headroom", "MI at K")
CANDIDATES = {"easy": "other documents", "hard": "changed facts", "all": "all"}


def information_rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """A line for each compressor and kind of negatives: the estimate, how near its ceiling, and what it is at fewer K."""
    return [
        [
            s.label,
            title,
            with_interval(*e.interval_nats),
            f"{e.ceiling_nats:.2f}",
            f"{100 * e.saturation:.0f} %",
            f"{e.ceiling_nats - e.infonce_nats:.2f}",
            ", ".join(f"{k}: {v:.2f}" for k, v in e.at_k.items()),
        ]
        for s in summaries
        for key, title in CANDIDATES.items()
        if (e := s.estimates.get(key)) is not None
    ]


COST_COLUMNS = (
    "compressor", "predictor", "accuracy", "GFLOP to compress", "as the paper counts", "GFLOP to answer", "GFLOP together",
    "USD", "seconds", "tokens/s", "cheaper than the whole document",
)  # fmt: skip


def cost_rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """A line for each compressor and predictor; – where a cost is not known."""
    rows = []
    for s in summaries:
        for name, predictor in s.predictors.items():
            cost, error = predictor.cost, predictor.error
            rows.append(
                [
                    s.label,
                    name,
                    "–" if error is None else f"{100 * (1 - error.value):.0f} %",
                    _number(s.cost.compressor_gflops_total),
                    _number(s.cost.compressor_gflops_paper),
                    _number(cost.predictor_gflops_total),
                    _number(cost.gflops_total),
                    "–" if cost.usd_total is None else f"{cost.usd_total:.2g}",
                    _number(s.cost.seconds),
                    _number(s.cost.tokens_per_second),
                    _pays(predictor.break_even or {}),
                ]
            )
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def _pays(break_even: Mapping[str, BreakEven]) -> str:
    parts = []
    for unit, even in break_even.items():
        when = f"from {even.questions:.1f} questions" if even.verdict == "from" else even.verdict
        parts.append(f"{'in FLOPs' if unit == 'gflops' else 'in money'} {when}")
    return "; ".join(parts) or "–"


REGRESSION_COLUMNS = ("term", "with MI [95 %]", "p", "without MI [95 %]", "p")


def regression_rows(analysis: Mapping[str, Any]) -> tuple[list[list[str]], list[str]]:
    """(rows, notes): the mixed logistic regression of correctness with and without MI; the notes say on what it stands,
    what was left out and why, or why there is none."""
    found = analysis.get("regression", {"refused": "analysis.json holds none"})
    readings = {"with MI": found, "without MI": found.get("without_mi", {"refused": "not computed"})}
    notes, by_term = [], [{c["name"]: c for c in reading.get("coefficients", [])} for reading in readings.values()]
    for name, reading in readings.items():
        if "coefficients" not in reading:
            notes.append(f"{name}: {reading.get('refused', 'not computed')}")
            continue
        notes.append(f"{name}: {reading['rows']} answers to {reading['questions']} questions on {reading['documents']} documents")
        notes += [str(reading["note"])] if "note" in reading else []
    references = found.get("references", {})
    if references and any(by_term):
        notes.append("held against " + ", ".join(f"{what} {level}" for what, level in references.items()))
    for out in found.get("left_out", []):
        notes.append(f"left out: {out['term']}{' ' + str(out['level']) if 'level' in out else ''}, {out['reason']}")
    terms = dict.fromkeys(term for table in by_term for term in table)
    return [[term, *(cell for table in by_term for cell in _coefficient(table.get(term)))] for term in terms], notes


def _coefficient(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["–", "–"]
    return [f"{found['value']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]", f"{found['p']:.2g}"]


FRONT_COLUMNS = ("data", "measured by", "compressor", "on the front", "on it in so many resamples")


def front_rows(analysis: Mapping[str, Any]) -> list[list[str]]:
    """Which points no other beats in tokens and value, of answers and of information; points that never are stay out."""
    rows = []
    for part in (*analysis["sets"], *analysis.get("mi", [])):
        who = [part["data"], part.get("predictor") or (f"MI, {part['value']}" if "value" in part else "fact kept")]
        front = part.get("front", {})
        if "labels" not in front:
            rows.append([*who, str(front.get("refused", "not computed")), "", ""])
            continue
        for label, share in front["share_of_resamples"].items():
            if share > 0 or label in front["labels"]:
                rows.append([*who, label, "yes" if label in front["labels"] else "no", f"{100 * share:.0f} %"])
    return rows
