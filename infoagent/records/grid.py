"""Records of an evaluation grid: a compression with its scores, and a prediction made from it. Units are in the names.

The one place that knows how they stand in records.jsonl. Fields without a value are None here and absent there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from infoagent.grading import Grade
from infoagent.information import infonce_terms
from infoagent.records.json_form import MissingField, always, from_json
from infoagent.types import FinishReason

Settings = Mapping[str, Any]
Draw = tuple[str, str, int | None, int]
"""Data set, problem, seed and sample: what two compressors are compared on."""
COMPRESSION, PREDICTION = "compression", "prediction"
T = TypeVar("T")


def known(value: T | None) -> T:
    """A field that is there: who asks has seen to it."""
    assert value is not None
    return value


def columns(candidates: Sequence[str], kinds: Sequence[str]) -> list[int]:
    """The columns of the source and of the negatives of `kinds`."""
    return [i for i, kind in enumerate(candidates) if kind == "source" or kind in kinds]


@dataclass(frozen=True, kw_only=True)
class CompressorIdentity:
    """Who compressed: what it is called here, and in `extra` all settings that decide what it writes."""

    label: str
    curve: str | None = None
    kind: str = "lm"
    extra: Settings = field(default_factory=dict)

    @property
    def curve_name(self) -> str:
        return self.curve or self.label

    @property
    def model(self) -> Settings:
        """The model, for an endpoint the server's."""
        return self._section("server" if self.kind == "endpoint" else "model")

    @property
    def adapter(self) -> str | None:
        """The trained adapter; None: frozen."""
        return self._section("model").get("adapter")

    @property
    def template(self) -> str:
        return str(self._section("prompt").get("template", ""))

    @property
    def budget_tokens(self) -> float | None:
        return self._section("prompt").get("budget_tokens")

    @property
    def sentences(self) -> int | None:
        return self.extra.get("sentences") or self._section("prompt").get("sentences")

    def _section(self, name: str) -> Settings:
        return self.extra.get(name) or {}


@dataclass(frozen=True, kw_only=True)
class PredictorIdentity:
    """Who answered, or graded."""

    label: str | None = None
    kind: str | None = None
    name: str = ""
    extra: Settings = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.label or self.name


@dataclass(frozen=True, kw_only=True)
class DataIdentity:
    """Which texts: a set, its content, and the part that was drawn from."""

    name: str
    revision: str = ""
    split: str = ""
    extra: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GradeRecord:
    """A `Grade` as it is kept; records of earlier versions hold less of it."""

    method: str | None = None
    correct: bool | None = None
    score: float | None = None
    parsed: str | None = always(default=None)
    unparseable: bool = False
    f1: float | None = always(default=None)
    detail: str = ""
    extra: Settings = field(default_factory=dict)

    @classmethod
    def of(cls, grade: Grade) -> GradeRecord:
        return cls(**vars(grade))


@dataclass(frozen=True, kw_only=True)
class TokenNats:
    """What single tokens of a compression tell, in nats, among other documents and among changed facts."""

    pieces: Sequence[str] | None = None
    pool_nats: Sequence[float] | None = None
    counterfactual_nats: Sequence[float] | None = None
    extra: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CompressionRecord:
    """z of one draw: its length, and log p(z | document) under the source and its negatives; or why there is none."""

    key: str
    kind: str = COMPRESSION
    status: str = "ok"
    compressor: CompressorIdentity
    data: DataIdentity
    problem_id: str
    document_id: str
    document_key: str | None = None
    group: str | None = always(default=None)
    query: str | None = always(default=None)
    answer: str | None = always(default=None)
    sample: int = 0
    seed: int | None = None
    engine: str | None = None
    prompt_tokens: int | None = None
    reply_key: str | None = None
    usage: Settings | None = None
    usd: float | None = None
    """What a server asked; None: compressed here."""
    generation_seconds: float | None = None
    written_tokens: int | None = None
    """z, its spelling and the thought before it."""
    thinking_tokens: int | None = None
    thinking_estimated: bool | None = None
    parameters: int | None = None
    gflops_prefill: float | None = None
    gflops_decode: float | None = None
    gflops_paper: float | None = None
    reply: str | None = None
    """All that was written, where that is not z."""
    sampler: bool | None = None
    """False: the scorer did not draw it, so that no upper bound holds."""
    text: str | None = None
    finish: FinishReason | None = None
    rate_tokens: int | None = None
    rate_bytes: int | None = None
    fact_kept: bool | None = None
    unsupported: Sequence[str] | None = None
    audit: Mapping[str, float] | None = None
    candidates: Sequence[str] | None = None
    """"source", and the kind of each negative."""
    log_probs: Sequence[float] | None = None
    """Of z under each candidate, in nats."""
    tokens: TokenNats | None = None
    scoring_seconds: float | None = None
    cause: str | None = None
    error: str | None = None
    final: bool | None = None
    """Of a failure: it is what the compressor wrote, and asking again would choose among draws."""
    extra: Settings = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"

    @property
    def is_drawn(self) -> bool:
        """Whether something was written, with a z or without: a server that failed drew nothing."""
        return self.is_ok or bool(self.final)

    @property
    def draw(self) -> Draw:
        """What another compressor's record must share to be its pair."""
        return self.data.name, self.problem_id, self.seed, self.sample

    @property
    def is_drawn_as_scored(self) -> bool:
        """Whether the scorer drew it. What a picker or an adapter wrote is scored by a frozen model, whatever records from
        before `sampler` told that leave open."""
        return self.sampler is not False and self.compressor.kind == "lm" and self.compressor.adapter is None

    @property
    def is_scored(self) -> bool:
        return self.log_probs is not None

    def has_negatives(self, kinds: Sequence[str]) -> bool:
        """Whether it was scored among negatives of `kinds`."""
        return self.is_scored and len(columns(known(self.candidates), kinds)) > 1

    def log_probs_among(self, kinds: Sequence[str]) -> list[float]:
        """log p(z | x) under the source and the negatives of `kinds`, in nats."""
        log_probs = known(self.log_probs)
        return [log_probs[i] for i in columns(known(self.candidates), kinds)]

    def mi_nats(self, kinds: Sequence[str]) -> float:
        """InfoNCE of this compression among the source and its negatives of `kinds`."""
        return float(infonce_terms(np.array([self.log_probs_among(kinds)]), np.zeros(1, dtype=np.intp))[0])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a predictor makes of a text and a question, and how that was graded; or why there is none."""

    status: str = "ok"
    answer_nll_nats: float | None = None
    """−log p(reference answer | compression)."""
    answer_tokens: int | None = None
    choice_log_probs: Sequence[float] | None = None
    reply_key: str | None = None
    usage: Settings | None = None
    usd: float | None = None
    seconds: float | None = None
    parameters: int | None = None
    gflops_prefill: float | None = None
    gflops_decode: float | None = None
    gflops_paper: float | None = None
    reply: str | None = None
    correct: bool | None = None
    grade: GradeRecord | None = None
    f1: float | None = None
    judge_reply_key: str | None = None
    judge_usd: float | None = None
    exact_grade: GradeRecord | None = None
    """What the exact grader says where a judge decides."""
    cause: str | None = None
    error: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.status == "ok"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked of whom, from which compression."""

    key: str
    kind: str = PREDICTION
    status: str = "ok"
    compression_key: str
    compressor: CompressorIdentity
    predictor: PredictorIdentity
    data: DataIdentity
    problem_id: str
    document_id: str
    sample: int = 0
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class PredictionRecord(Answer, Question):  # the fields of Question stand first
    """What a predictor answered from one compression and the question alone."""

    extra: Settings = field(default_factory=dict)

    @property
    def draw(self) -> Draw:
        return self.data.name, self.problem_id, self.seed, self.sample


GridRecord = CompressionRecord | PredictionRecord
KINDS: dict[str, type[CompressionRecord] | type[PredictionRecord]] = {COMPRESSION: CompressionRecord, PREDICTION: PredictionRecord}


def record_of(row: Mapping[str, Any]) -> GridRecord:
    """The record of a line of records.jsonl that is of one of KINDS. Raises MissingField."""
    return from_json(KINDS[row["kind"]], row)


def missing_in(row: Mapping[str, Any]) -> list[str]:
    """The field that a line lacks, for `read_jsonl`; lines of other kinds need a key and a status."""
    try:
        if row.get("kind") in KINDS:
            record_of(row)
    except MissingField as error:
        return [str(error)]
    return [name for name in ("key", "status") if name not in row]


def compressions_of(records: Sequence[GridRecord]) -> list[CompressionRecord]:
    return [r for r in records if isinstance(r, CompressionRecord)]


def predictions_of(records: Sequence[GridRecord]) -> list[PredictionRecord]:
    return [r for r in records if isinstance(r, PredictionRecord)]
