"""Records → numbers with intervals, clustered by document."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.stats import binomtest

from infoagent.audit import MEASURES, distinct_n
from infoagent.data.negative_kinds import easy_kinds, hard_kinds
from infoagent.evaluation.costing import compressor_cost, predictor_cost
from infoagent.grading import agreement
from infoagent.information import MIEstimate, estimate_mi, mean_interval, share_interval
from infoagent.rate_distortion.adherence import adherence
from infoagent.records.grid import CompressionRecord, CompressorIdentity, GridRecord, PredictionRecord, columns, known
from infoagent.records.summaries import DrawsWithoutZ, InformationSummary, LengthAdherence, PredictorSummary, Summary
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


def of_one_kind(candidates: Sequence[Sequence[str]], kinds: Sequence[str]) -> bool:
    """Whether the negatives of `kinds` are all of one kind, and so stand for the pool that they were drawn from. Near documents
    beside far ones are more than in any pool: the mean over them is no marginal, and leave-one-out no upper bound."""
    return len({kind for row in candidates for kind in row if kind in kinds}) < 2


def estimate(records: Sequence[CompressionRecord], kinds: Sequence[str]) -> MIEstimate | None:
    """The MI estimate of a group of compressions, or None where the run drew no negatives of `kinds`. Over those that have
    as many as most: see `even`."""
    records = evenly(records, kinds)
    rows = [r.log_probs_among(kinds) for r in records]
    if len(rows[0]) < 2:
        return None
    source = np.zeros(len(rows), dtype=np.intp)  # every compression has its own candidates, its source first
    drawn = all(r.is_drawn_as_scored for r in records)
    one_pool = of_one_kind([known(r.candidates) for r in records], kinds)
    return estimate_mi(np.array(rows), source, document=[r.document_id for r in records], sampler=drawn, even=one_pool)


@dataclass(frozen=True)
class Quantity(Generic[R]):
    """A number that a record has: how it is computed, which field it needs, and among which negatives."""

    value: Callable[[R], float]
    needs: str
    kinds: tuple[str, ...] = ()
    part: str | None = None
    """A key inside that field: a measure that not every text has."""
    share: bool = False
    """It lies within 0 and 1, and often at one of them."""

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
        "distortion/fact_missing": Quantity(lambda r: float(not r.fact_kept), "fact_kept", share=True),
        "faithfulness/unsupported": Quantity(lambda r: float(bool(r.unsupported)), "unsupported", share=True),
        "rate/truncated": Quantity(lambda r: float(r.finish == "length"), "log_probs", share=True),
        **{f"audit/{name}": _audit_quantity(name) for name in MEASURES},
    }


def of_all_quantities(records: Sequence[CompressionRecord]) -> dict[str, Quantity[CompressionRecord]]:
    """MI of all draws, for negatives that `records` have: a draw without a z is a symbol that the scorer finds equally likely
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
    "distortion/error": Quantity(lambda r: float(not r.correct), "correct", share=True),
    "distortion/f1_missing": Quantity(lambda r: 1 - float(known(r.f1)), "f1", share=True),
    "distortion/nll": Quantity(lambda r: float(known(r.answer_nll_nats)), "answer_nll_nats"),
    "distortion/nll_per_token": Quantity(lambda r: known(r.answer_nll_nats) / known(r.answer_tokens), "answer_tokens"),
}
"""nll_per_token is the log of the reference answer's perplexity."""


def finding(records: Sequence[R], quantity: Quantity[R]) -> Finding | None:
    """Mean over documents with its interval, or None where no record has the quantity."""
    having = [r for r in records if quantity.exists(r)]
    if not having:
        return None
    interval = share_interval if quantity.share else mean_interval
    return interval([quantity.value(r) for r in having], [r.document_id for r in having])


def summarise(records: Sequence[GridRecord], price: float) -> list[Summary]:
    """One summary for each (data, compressor), in the order of the records."""
    groups: dict[tuple[str, str], list[CompressionRecord]] = defaultdict(list)
    predictions: dict[tuple[str, str], dict[str, list[PredictionRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        where = record.data.name, record.compressor.label
        if isinstance(record, CompressionRecord):
            groups[where].append(record)
        else:
            predictions[where][record.predictor.title].append(record)
    return [_summary(rows, predictions[where], price) for where, rows in groups.items()]


def _summary(rows: Sequence[CompressionRecord], predictions: Mapping[str, Sequence[PredictionRecord]], price: float) -> Summary:
    good = [r for r in rows if r.is_ok]
    drawn = [r for r in rows if r.is_drawn]
    scored = [r for r in good if r.is_scored]
    without_z = _without_z(drawn)
    compressor = rows[0].compressor
    return Summary(
        data=rows[0].data,
        compressor=compressor,
        label=compressor.label,
        curve=compressor.curve_name,
        n_compressions=len(rows),
        n_documents=len({r.document_id for r in rows}),
        failed=len(rows) - len(good),
        failed_causes=_causes(rows),
        price=price,
        values=_values(good, [] if without_z is None else drawn, price),
        estimates={
            name: among
            for name, kinds in (("easy", EASY), ("hard", HARD), ("all", EASY + HARD))
            if scored and (among := _information(scored, kinds)) is not None
        },
        predictors={
            predictor: _predictor_summary(answers, good, [] if without_z is None else drawn)
            for predictor, answers in predictions.items()
        },
        cost=compressor_cost(drawn),
        without_z=without_z,
        adherence=_adherence(compressor, scored),
    )


def _causes(records: Sequence[GridRecord]) -> dict[str, int]:
    return dict(Counter("unknown" if r.cause is None else r.cause for r in records if not r.is_ok))


def _without_z(drawn: Sequence[CompressionRecord]) -> DrawsWithoutZ | None:
    """What became of the draws, not of requests that no server answered; None where every draw is a z and nothing else. One that
    failed may have no reply: a server can hide its thought."""
    if all(r.is_ok and r.reply is None for r in drawn):
        return None
    lost = _share([not r.is_ok for r in drawn], [r.document_id for r in drawn])
    return DrawsWithoutZ(**vars(lost), causes=_causes(drawn))


def _values(good: Sequence[CompressionRecord], of_all: Sequence[CompressionRecord], price: float) -> dict[str, Finding]:
    """Findings of the compressions that did not fail, behind MI of all draws where some hold no z."""
    values = {name: finding(of_all, quantity) for name, quantity in of_all_quantities(of_all).items()}
    for name, quantity in compression_quantities(price).items():
        if not name.startswith("mi/"):  # MI comes with its ceiling, in the estimates
            values[name] = finding(good, quantity)
    texts = [known(r.text) for r in good if r.audit is not None and r.sample == 0]
    alike = distinct_n(texts, 2)
    if alike is not None:  # one number of the whole set: it has no interval
        values["audit/distinct_2_set"] = Finding(alike, float("nan"), float("nan"), len(texts))
    return {name: value for name, value in values.items() if value is not None}


def _adherence(compressor: CompressorIdentity, scored: Sequence[CompressionRecord]) -> LengthAdherence | None:
    asked = compressor.budget_tokens
    if asked is None or not scored:
        return None
    kept = adherence([asked] * len(scored), [known(r.rate_tokens) for r in scored], [r.document_id for r in scored])
    return LengthAdherence(requested_tokens=asked, **vars(kept))


def _information(scored: Sequence[CompressionRecord], kinds: Sequence[str]) -> InformationSummary | None:
    mi = estimate(scored, kinds)
    if mi is None:
        return None
    details = mi.to_dict()
    for long in ("per_compression_nats", "per_document_nats"):
        del details[long]  # they follow from the records
    padded = len(scored) - len(evenly(scored, kinds))
    return InformationSummary(**details, left_out_as_padded=padded or None)


def _share(events: Sequence[bool], documents: Sequence[str]) -> Finding:
    """How often something happened, with a 95 % interval: Clopper and Pearson's where each document stands once, else over
    document means."""
    if len(set(documents)) < len(documents):
        return share_interval([float(e) for e in events], documents)
    interval = binomtest(sum(events), len(events)).proportion_ci()
    return Finding(sum(events) / len(events), float(interval.low), float(interval.high), len(events))


def _predictor_summary(
    answers: Sequence[PredictionRecord], compressions: Sequence[CompressionRecord], of_all: Sequence[CompressionRecord]
) -> PredictorSummary:
    """`of_all`: the draws, where some hold no z."""
    answered = [r for r in answers if r.is_ok]
    values = {name: finding(answered, quantity) for name, quantity in PREDICTION_QUANTITIES.items()}
    # an answer that the exact grader could not read counts as wrong there
    judged = [(bool(r.correct), bool(r.exact_grade.correct)) for r in answered if r.exact_grade is not None]
    right = {r.compression_key: known(r.correct) for r in answered if r.correct is not None}
    asked = [r for r in of_all if r.answer is not None and (not r.is_ok or r.key in right)]  # not where the predictor failed
    return PredictorSummary(
        values={name: value for name, value in values.items() if value is not None},
        n=len(answers),
        failed=len(answers) - len(answered),
        failed_causes=_causes(answers),
        unparseable=sum(r.grade is not None and r.grade.unparseable for r in answered),
        cost=predictor_cost(answered, compressions),
        judge_agreement=agreement([judge for judge, _ in judged], [exact for _, exact in judged]) if judged else None,
        right_of_all=_share([right.get(r.key, False) for r in asked], [r.document_id for r in asked]) if right and asked else None,
    )
