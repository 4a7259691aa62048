"""Records → numbers with intervals, clustered by document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from scipy.stats import binomtest

from infoagent.audit import MEASURES, distinct_n
from infoagent.data.negative_kinds import easy_kinds, hard_kinds
from infoagent.evaluation.costing import compressor_cost, predictor_cost
from infoagent.grading import agreement
from infoagent.information import MIEstimate, estimate_mi, mean_interval
from infoagent.rate_distortion.adherence import adherence
from infoagent.records.grid import CompressionRecord, GridRecord, PredictionRecord, columns, known
from infoagent.records.json_form import as_json
from infoagent.types import Finding

R = TypeVar("R", CompressionRecord, PredictionRecord)
Compressed = TypeVar("Compressed", bound=CompressionRecord)

EASY, HARD = easy_kinds(), hard_kinds()


def even(candidates: Sequence[Sequence[str]], kinds: Sequence[str]) -> list[int]:
    """Which rows have as many negatives of `kinds` as most have: one K for a matrix. The others were padded
    (`negatives.missing = fill`): they have fewer of one kind and more of another."""
    numbers = [len(columns(row, kinds)) for row in candidates]
    sizes = Counter(numbers)
    usual = max(sizes, key=lambda size: (size > 1, sizes[size], size), default=0)
    return [i for i, number in enumerate(numbers) if number == usual]


def evenly(records: Sequence[Compressed], kinds: Sequence[str]) -> list[Compressed]:
    """The records that `even` names."""
    return [records[i] for i in even([known(r.candidates) for r in records], kinds)]


def estimate(records: Sequence[CompressionRecord], kinds: Sequence[str]) -> MIEstimate | None:
    """The MI estimate of a group of compressions, or None where the run drew no negatives of `kinds`. Over those that have
    as many as most: see `even`."""
    records = evenly(records, kinds)
    rows = [r.log_probs_among(kinds) for r in records]
    if len(rows[0]) < 2:
        return None
    source = np.zeros(len(rows), dtype=np.intp)  # every compression has its own candidates, its source first
    drawn = all(r.sampler is not False for r in records)
    return estimate_mi(np.array(rows), source, document=[r.document_id for r in records], sampler=drawn)


@dataclass(frozen=True)
class Quantity(Generic[R]):
    """A number that a record has: how it is computed, which field it needs, and among which negatives."""

    value: Callable[[R], float]
    needs: str
    kinds: tuple[str, ...] = ()
    part: str | None = None
    """A key inside that field: a measure that not every text has."""

    def exists(self, record: R) -> bool:
        held = getattr(record, self.needs)
        if held is None or (self.part is not None and self.part not in held):
            return False
        return not self.kinds or (isinstance(record, CompressionRecord) and record.has_negatives(self.kinds))


def _audit_quantity(name: str) -> Quantity[CompressionRecord]:
    return Quantity(lambda r: float(known(r.audit)[name]), "audit", part=name)


def compression_quantities(price: float) -> dict[str, Quantity[CompressionRecord]]:
    """Numbers of a compression, under the house's names."""

    def objective(kinds: tuple[str, ...]) -> Quantity[CompressionRecord]:
        return Quantity(lambda r: r.mi_nats(kinds) - price * known(r.rate_tokens), "log_probs", kinds)

    return {
        "mi/nats": Quantity(lambda r: r.mi_nats(EASY + HARD), "log_probs", EASY + HARD),
        "mi/easy_nats": Quantity(lambda r: r.mi_nats(EASY), "log_probs", EASY),
        "mi/hard_nats": Quantity(lambda r: r.mi_nats(HARD), "log_probs", HARD),
        "rate/tokens": Quantity(lambda r: float(known(r.rate_tokens)), "rate_tokens"),
        "rate/bytes": Quantity(lambda r: float(known(r.rate_bytes)), "rate_bytes"),
        "objective/nats": objective(EASY + HARD),
        "objective/hard_nats": objective(HARD),
        "distortion/fact_missing": Quantity(lambda r: float(not r.fact_kept), "fact_kept"),
        "faithfulness/unsupported": Quantity(lambda r: float(bool(r.unsupported)), "unsupported"),
        "rate/truncated": Quantity(lambda r: float(r.finish == "length"), "log_probs"),
        **{f"audit/{name}": _audit_quantity(name) for name in MEASURES},
    }


def of_all_quantities(records: Sequence[CompressionRecord]) -> dict[str, Quantity[CompressionRecord]]:
    """MI of all draws, for negatives that `records` have: a draw without a z is a symbol that the critic finds equally likely
    under every candidate, so its InfoNCE term is 0.

    With this symbol the mean stays a lower bound. Over the draws with a z alone it is none: the sources of these are the
    documents for which one came about, the negatives are not.
    """

    def of_all(kinds: tuple[str, ...]) -> Quantity[CompressionRecord]:
        return Quantity(lambda r: r.mi_nats(kinds) if r.is_ok else 0.0, "status")

    good = [r for r in records if r.is_ok]
    among = {"mi/of_all_nats": EASY + HARD, "mi/easy_of_all_nats": EASY, "mi/hard_of_all_nats": HARD}
    return {name: of_all(kinds) for name, kinds in among.items() if good and all(r.has_negatives(kinds) for r in good)}


PREDICTION_QUANTITIES: dict[str, Quantity[PredictionRecord]] = {
    "distortion/error": Quantity(lambda r: float(not r.correct), "correct"),
    "distortion/f1_missing": Quantity(lambda r: 1 - float(known(r.f1)), "f1"),
    "distortion/nll": Quantity(lambda r: float(known(r.answer_nll_nats)), "answer_nll_nats"),
    "distortion/nll_per_token": Quantity(lambda r: known(r.answer_nll_nats) / known(r.answer_tokens), "answer_tokens"),
}
"""nll_per_token is the log of the reference answer's perplexity."""


def finding(records: Sequence[R], quantity: Quantity[R]) -> Finding | None:
    """Mean over documents with its interval, or None where no record has the quantity."""
    having = [r for r in records if quantity.exists(r)]
    if not having:
        return None
    return mean_interval([quantity.value(r) for r in having], [r.document_id for r in having])


def summarise(records: Sequence[GridRecord], price: float) -> list[dict[str, Any]]:
    """One summary for each (data, compressor), in the order of the records; ready for JSON."""
    groups: dict[tuple[str, str], list[CompressionRecord]] = defaultdict(list)
    predictions: dict[tuple[str, str], dict[str, list[PredictionRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        where = record.data.name, record.compressor.label
        if isinstance(record, CompressionRecord):
            groups[where].append(record)
        else:
            predictions[where][record.predictor.title].append(record)
    return [_summary(rows, predictions[where], price) for where, rows in groups.items()]


def _summary(
    rows: Sequence[CompressionRecord], predictions: Mapping[str, Sequence[PredictionRecord]], price: float
) -> dict[str, Any]:
    good = [r for r in rows if r.is_ok]
    drawn = [r for r in rows if r.is_drawn]
    compressor = rows[0].compressor
    result: dict[str, Any] = {
        "data": as_json(rows[0].data),
        "compressor": as_json(compressor),
        "label": compressor.label,
        "curve": compressor.curve_name,
        "n_compressions": len(rows),
        "n_documents": len({r.document_id for r in rows}),
        "failed": len(rows) - len(good),
        "failed_causes": _causes(rows),
        "price": price,
        "values": {},
        "estimates": {},
        "predictors": {},
        "cost": compressor_cost(drawn),
    }
    if any(r.reply is not None for r in drawn):  # a form or a thought: not every draw holds a z
        lost = [not r.is_ok for r in drawn]
        result["without_z"] = {**_share(lost, [r.document_id for r in drawn]), "causes": result["failed_causes"]}
        for name, quantity in of_all_quantities(drawn).items():
            result["values"][name] = vars(finding(drawn, quantity))
    scored = [r for r in good if r.is_scored]
    asked = compressor.budget_tokens
    if asked is not None and scored:
        kept = adherence([asked] * len(scored), [known(r.rate_tokens) for r in scored], [r.document_id for r in scored])
        result["adherence"] = {"requested_tokens": asked, **asdict(kept)}
    for name, quantity in compression_quantities(price).items():
        found = finding(good, quantity)
        if found is not None and not name.startswith("mi/"):  # MI comes with its ceiling, below
            result["values"][name] = vars(found)
    texts = [known(r.text) for r in good if r.audit is not None and r.sample == 0]
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
            right = {r.compression_key: r.correct for r in answers if r.is_ok and r.correct is not None}
            with_answer = [r for r in drawn if r.answer is not None]
            if right and with_answer:
                of_all = _share([right.get(r.key, False) for r in with_answer], [r.document_id for r in with_answer])
                result["predictors"][predictor]["right_of_all"] = of_all
    return result


def _causes(records: Sequence[GridRecord]) -> dict[str, int]:
    return dict(Counter("unknown" if r.cause is None else r.cause for r in records if not r.is_ok))


def _share(events: Sequence[bool], documents: Sequence[str]) -> dict[str, float]:
    """How often something happened, with a 95 % interval: Clopper and Pearson's where each document stands once, else over
    document means."""
    if len(set(documents)) < len(documents):
        return vars(mean_interval([float(e) for e in events], documents))
    found = binomtest(sum(events), len(events)).proportion_ci()
    return {"value": sum(events) / len(events), "low": float(found.low), "high": float(found.high), "n": len(events)}


def _predictor_summary(answers: Sequence[PredictionRecord], compressions: Sequence[CompressionRecord]) -> dict[str, Any]:
    answered = [r for r in answers if r.is_ok]
    values = {name: finding(answered, quantity) for name, quantity in PREDICTION_QUANTITIES.items()}
    result: dict[str, Any] = {
        **{name: vars(found) for name, found in values.items() if found is not None},
        "n": len(answers),
        "failed": len(answers) - len(answered),
        "failed_causes": _causes(answers),
        "unparseable": sum(r.grade is not None and r.grade.unparseable for r in answered),
        "cost": predictor_cost(answered, compressions),
    }
    judged = [(bool(r.correct), bool(r.exact_grade.correct)) for r in answered if r.exact_grade is not None]
    if judged:  # an answer that the exact grader could not read counts as wrong there
        result["judge_agreement"] = agreement([judge for judge, _ in judged], [exact for _, exact in judged])
    return result
