"""Records → numbers with intervals, clustered by document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from infoagent.audit import MEASURES, distinct_n
from infoagent.data.negative_kinds import easy_kinds, hard_kinds
from infoagent.evaluation.costing import compressor_cost, predictor_cost
from infoagent.grading import agreement
from infoagent.information import MIEstimate, estimate_mi, infonce_terms, mean_interval
from infoagent.rate_distortion.adherence import adherence
from infoagent.types import Finding

Record = dict[str, Any]
Value = Callable[[Record], float]

EASY, HARD = easy_kinds(), hard_kinds()


def columns(record: Record, kinds: Sequence[str]) -> list[int]:
    """The columns of the source and of the negatives of `kinds`."""
    return [i for i, kind in enumerate(record["candidates"]) if kind == "source" or kind in kinds]


def mi_term_nats(record: Record, kinds: Sequence[str]) -> float:
    """InfoNCE of one compression among the source and its negatives of `kinds`."""
    row = np.array([[record["log_probs"][i] for i in columns(record, kinds)]])
    return float(infonce_terms(row, np.zeros(1, dtype=np.intp))[0])


def evenly(records: Sequence[Record], kinds: Sequence[str]) -> list[Record]:
    """The records that have as many negatives of `kinds` as most have: one K for a matrix. The others were padded
    (`negatives.missing = fill`): they have fewer of one kind and more of another."""
    sizes = Counter(len(columns(r, kinds)) for r in records)
    usual = max(sizes, key=lambda size: (size > 1, sizes[size], size), default=0)
    return [r for r in records if len(columns(r, kinds)) == usual]


def estimate(records: Sequence[Record], kinds: Sequence[str]) -> MIEstimate | None:
    """The MI estimate of a group of compressions, or None where the run drew no negatives of `kinds`. Over those that have
    as many as most: see `evenly`."""
    records = evenly(records, kinds)
    rows = [[r["log_probs"][i] for i in columns(r, kinds)] for r in records]
    if len(rows[0]) < 2:
        return None
    source = np.zeros(len(rows), dtype=np.intp)  # every compression has its own candidates, its source first
    drawn = all(r.get("sampler", True) for r in records)
    return estimate_mi(np.array(rows), source, document=[r["document_id"] for r in records], sampler=drawn)


@dataclass(frozen=True)
class Quantity:
    """A number that a record has: how it is computed, which field it needs, and among which negatives."""

    value: Value
    needs: str
    kinds: tuple[str, ...] = ()
    part: str | None = None
    """A key inside that field: a measure that not every text has."""

    def exists(self, record: Record) -> bool:
        if self.needs not in record or (self.part is not None and self.part not in record[self.needs]):
            return False
        return not self.kinds or len(columns(record, self.kinds)) > 1


def _audit_quantity(name: str) -> Quantity:
    return Quantity(lambda r: float(r["audit"][name]), "audit", part=name)


def compression_quantities(price: float) -> dict[str, Quantity]:
    """Numbers of a compression, under the house's names."""
    return {
        "mi/nats": Quantity(lambda r: mi_term_nats(r, EASY + HARD), "log_probs", EASY + HARD),
        "mi/easy_nats": Quantity(lambda r: mi_term_nats(r, EASY), "log_probs", EASY),
        "mi/hard_nats": Quantity(lambda r: mi_term_nats(r, HARD), "log_probs", HARD),
        "rate/tokens": Quantity(lambda r: float(r["rate_tokens"]), "rate_tokens"),
        "rate/bytes": Quantity(lambda r: float(r["rate_bytes"]), "rate_bytes"),
        "objective/nats": Quantity(
            lambda r: mi_term_nats(r, EASY + HARD) - price * r["rate_tokens"], "log_probs", EASY + HARD
        ),
        "objective/hard_nats": Quantity(lambda r: mi_term_nats(r, HARD) - price * r["rate_tokens"], "log_probs", HARD),
        "distortion/fact_missing": Quantity(lambda r: float(not r["fact_kept"]), "fact_kept"),
        "faithfulness/unsupported": Quantity(lambda r: float(bool(r["unsupported"])), "unsupported"),
        "rate/truncated": Quantity(lambda r: float(r["finish"] == "length"), "log_probs"),
        **{f"audit/{name}": _audit_quantity(name) for name in MEASURES},
    }


def of_all_quantities(records: Sequence[Record]) -> dict[str, Quantity]:
    """MI of all draws, for negatives that `records` have: a draw without a z is a symbol that the critic finds equally likely
    under every candidate, so its InfoNCE term is 0.

    With this symbol the mean stays a lower bound. Over the draws with a z alone it is none: the sources of these are the
    documents for which one came about, the negatives are not.
    """
    good = [r for r in records if r["status"] == "ok"]
    return {
        name: Quantity(lambda r, kinds=kinds: mi_term_nats(r, kinds) if r["status"] == "ok" else 0.0, "status")  # type: ignore[misc]
        for name, kinds in (
            ("mi/of_all_nats", EASY + HARD), ("mi/easy_of_all_nats", EASY), ("mi/hard_of_all_nats", HARD),
        )
        if good and all("log_probs" in r and len(columns(r, kinds)) > 1 for r in good)
    }  # fmt: skip


PREDICTION_QUANTITIES = {
    "distortion/error": Quantity(lambda r: float(not r["correct"]), "correct"),
    "distortion/f1_missing": Quantity(lambda r: 1 - float(r["f1"]), "f1"),
    "distortion/nll": Quantity(lambda r: float(r["answer_nll_nats"]), "answer_nll_nats"),
    "distortion/nll_per_token": Quantity(lambda r: r["answer_nll_nats"] / r["answer_tokens"], "answer_tokens"),
}
"""nll_per_token is the log of the reference answer's perplexity."""


def finding(records: Sequence[Record], quantity: Quantity) -> Finding | None:
    """Mean over documents with its interval, or None where no record has the quantity."""
    known = [r for r in records if quantity.exists(r)]
    if not known:
        return None
    return mean_interval([quantity.value(r) for r in known], [r["document_id"] for r in known])


def predictor_title(record: Record) -> str:
    """A predictor's name in tables."""
    return str(record["predictor"].get("label") or record["predictor"]["name"])


def summarise(records: Sequence[Record], price: float) -> list[dict[str, Any]]:
    """One summary for each (data, compressor), in the order of the records; ready for JSON."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    predictions: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        where = (record["data"]["name"], record["compressor"]["label"])
        if record["kind"] == "compression":
            groups[where].append(record)
        elif record["kind"] == "prediction":
            predictions[where][predictor_title(record)].append(record)
    return [_summary(data, label, rows, predictions[(data, label)], price) for (data, label), rows in groups.items()]


def _summary(
    data: str, label: str, rows: Sequence[Record], predictions: Mapping[str, Sequence[Record]], price: float
) -> dict[str, Any]:
    good = [r for r in rows if r["status"] == "ok"]
    drawn = [r for r in rows if r["status"] == "ok" or r.get("final")]  # a server that failed drew nothing
    result: dict[str, Any] = {
        "data": rows[0]["data"],
        "compressor": rows[0]["compressor"],
        "label": label,
        "curve": rows[0]["compressor"].get("curve", label),
        "n_compressions": len(rows),
        "n_documents": len({r["document_id"] for r in rows}),
        "failed": len(rows) - len(good),
        "failed_causes": dict(Counter(r.get("cause", "unknown") for r in rows if r["status"] != "ok")),
        "price": price,
        "values": {},
        "estimates": {},
        "predictors": {},
        "cost": compressor_cost(drawn),
    }
    if any("reply" in r for r in drawn):  # a form or a thought: not every draw holds a z
        lost = [r["status"] != "ok" for r in drawn]
        result["without_z"] = {**_share(lost, [r["document_id"] for r in drawn]), "causes": result["failed_causes"]}
        for name, quantity in of_all_quantities(drawn).items():
            result["values"][name] = vars(finding(drawn, quantity))
    scored = [r for r in good if "log_probs" in r]
    asked = rows[0]["compressor"].get("prompt", {}).get("budget_tokens")
    if asked is not None and scored:
        kept = adherence([asked] * len(scored), [r["rate_tokens"] for r in scored], [r["document_id"] for r in scored])
        result["adherence"] = {"requested_tokens": asked, **asdict(kept)}
    for name, quantity in compression_quantities(price).items():
        found = finding(good, quantity)
        if found is not None and not name.startswith("mi/"):  # MI comes with its ceiling, below
            result["values"][name] = vars(found)
    texts = [r["text"] for r in good if "audit" in r and r["sample"] == 0]
    alike = distinct_n(texts, 2)
    if alike is not None:  # one number of the whole set: it has no interval
        result["values"]["audit/distinct_2_set"] = vars(Finding(alike, float("nan"), float("nan"), len(texts)))
    if scored:
        for name, kinds in (("easy", EASY), ("hard", HARD), ("all", EASY + HARD)):
            mi = estimate(scored, kinds)
            if mi is not None:
                details = mi.to_dict()
                for long in ("per_compression_nats", "per_document_nats"):
                    del details[long]  # they follow from the records
                padded = len(scored) - len(evenly(scored, kinds))
                result["estimates"][name] = {**details, **({"left_out_as_padded": padded} if padded else {})}
    for predictor, answers in predictions.items():
        result["predictors"][predictor] = _predictor_summary(answers, good)
        if "without_z" in result:
            right = {
                r["compression_key"]: bool(r["correct"]) for r in answers if r["status"] == "ok" and "correct" in r
            }
            asked = [r for r in drawn if r["answer"] is not None]
            if right and asked:
                of_all = _share([right.get(r["key"], False) for r in asked], [r["document_id"] for r in asked])
                result["predictors"][predictor]["right_of_all"] = of_all
    return result


def _share(events: Sequence[bool], documents: Sequence[str]) -> dict[str, float]:
    """How often something happened, with a 95 % interval: Clopper and Pearson's where each document stands once, else over
    document means."""
    if len(set(documents)) < len(documents):
        return vars(mean_interval([float(e) for e in events], documents))
    found = binomtest(sum(events), len(events)).proportion_ci()
    return {"value": sum(events) / len(events), "low": float(found.low), "high": float(found.high), "n": len(events)}


def _predictor_summary(answers: Sequence[Record], compressions: Sequence[Record]) -> dict[str, Any]:
    answered = [r for r in answers if r["status"] == "ok"]
    values = {name: finding(answered, quantity) for name, quantity in PREDICTION_QUANTITIES.items()}
    result: dict[str, Any] = {
        **{name: vars(found) for name, found in values.items() if found is not None},
        "n": len(answers),
        "failed": len(answers) - len(answered),
        "failed_causes": dict(Counter(r.get("cause", "unknown") for r in answers if r["status"] != "ok")),
        "unparseable": sum(bool(r.get("grade", {}).get("unparseable")) for r in answered),
        "cost": predictor_cost(answered, compressions),
    }
    judged = [r for r in answered if "exact_grade" in r]
    if judged:  # an answer that the exact grader could not read counts as wrong there
        pairs = [r["correct"] for r in judged], [r["exact_grade"]["correct"] for r in judged]
        result["judge_agreement"] = agreement(*pairs)
    return result
