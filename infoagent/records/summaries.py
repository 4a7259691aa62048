"""Summaries of an evaluation: the numbers of a compressor on a data set, with intervals clustered by document.

The one place that knows how they stand in summary.json. NaN here is null there: a number that few documents leave
undetermined. A number that does not exist is None here and absent there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infoagent.costs import BreakEven
from infoagent.files import read_json
from infoagent.records.grid import CompressorIdentity, DataIdentity, Settings
from infoagent.records.json_form import MissingField, always, from_json, object_of, record_of_object
from infoagent.store import SCHEMA_VERSION, check_version
from infoagent.types import ANCHORS, Finding, InputError

SUMMARY_FILE, ANALYSIS_FILE = "summary.json", "analysis.json"


@dataclass(frozen=True, kw_only=True)
class InformationSummary:
    """An `MIEstimate` without its rows, which follow from the records."""

    infonce_nats: float
    leave_one_out_nats: float
    midpoint_nats: float
    midpoint_ci_nats: list[float]
    stderr_nats: float
    ci_nats: list[float]
    detectable_nats: float
    ceiling_nats: float
    saturation: float
    at_k: dict[str, float]
    n_documents: int
    n_compressions: int
    dropped: int = 0
    beta: float | None = always(default=None)
    warnings: list[str] = field(default_factory=list)
    headroom_nats: float
    left_out_as_padded: int | None = None
    """Compressions with fewer negatives of these kinds than most."""
    extra: Settings = field(default_factory=dict)

    @property
    def interval_nats(self) -> tuple[float, float, float]:
        """InfoNCE and its 95 % interval."""
        low, high = self.ci_nats
        return self.infonce_nats, low, high

    @property
    def says_nothing(self) -> bool:
        """Whether its interval is wider than all that lies between 0 and the ceiling: too few documents."""
        low, high = self.ci_nats
        return high - low > self.ceiling_nats

    @property
    def cautions(self) -> list[str]:
        """What a reader has to know before believing the value: the estimator's warnings, whom it leaves out, and whether it says
        nothing."""
        notes = list(self.warnings)
        if self.left_out_as_padded:
            notes.append(
                f"over {self.n_compressions} of {self.n_compressions + self.left_out_as_padded} compressions: the others have "
                "fewer negatives of these kinds, and other numbers beside it are over all"
            )
        if not self.says_nothing:
            return notes
        width = self.ci_nats[1] - self.ci_nats[0]
        return [
            *notes,
            f"its interval is {width:.2f} nats wide, more than the ceiling of {self.ceiling_nats:.2f}: {self.n_documents} "
            "documents are too few to say anything; take more",
        ]


@dataclass(frozen=True, kw_only=True)
class CompressorCost:
    """Means per draw, those without a z included; None: not known of every draw."""

    compressor_gflops_total: float | None = None
    compressor_gflops_decode: float | None = None
    compressor_gflops_paper: float | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    written_tokens: float | None = None
    thinking_tokens: float | None = None
    compressor_usd: float | None = None
    """What a server asked; None: compressed here."""
    extra: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PredictorCost:
    """Means per question: the predictor's, the judge's, and those of compressor and predictor together."""

    predictor_gflops_total: float | None = None
    predictor_usd: float | None = None
    judge_usd: float | None = None
    seconds: float | None = None
    gflops_total: float | None = None
    gflops_decode: float | None = None
    usd_total: float | None = None
    extra: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PredictorSummary:
    """What a predictor makes of a compressor's texts. In the file the findings stand beside the counts, under names with
    a slash."""

    values: dict[str, Finding]
    n: int
    failed: int
    failed_causes: dict[str, int]
    unparseable: int
    cost: PredictorCost
    judge_agreement: dict[str, float] | None = None
    right_of_all: Finding | None = None
    """Share of all draws asked that were answered right, those without a z counted as wrong. A failed predictor says neither."""
    break_even: dict[str, BreakEven] | None = None
    """By unit of cost, gflops and usd."""
    extra: Settings = field(default_factory=dict)

    @property
    def error(self) -> Finding | None:
        """Share of questions answered wrong; None: nothing was graded."""
        return self.values.get("distortion/error")

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> PredictorSummary:
        counts = {name: value for name, value in row.items() if "/" not in name}
        return record_of_object(cls, {"values": {name: row[name] for name in row if "/" in name}, **counts})

    def to_json(self) -> dict[str, Any]:
        row = object_of(self)
        return {**row.pop("values"), **row}


@dataclass(frozen=True)
class DrawsWithoutZ(Finding):
    """Share of draws that hold no z, and how many for which cause."""

    causes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LengthAdherence:
    """An `Adherence` and the length that was asked for."""

    requested_tokens: float
    median_error: Finding
    over_budget: float
    median_achieved: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The numbers of one compressor on one data set."""

    data: DataIdentity
    compressor: CompressorIdentity
    label: str
    curve: str
    n_compressions: int
    n_documents: int
    failed: int
    failed_causes: dict[str, int]
    price: float
    """Of a token, in nats."""
    values: dict[str, Finding]
    estimates: dict[str, InformationSummary]
    """Among easy, hard and all negatives."""
    predictors: dict[str, PredictorSummary]
    cost: CompressorCost
    without_z: DrawsWithoutZ | None = None
    """Of a compressor with a form or a thought."""
    adherence: LengthAdherence | None = None
    """Of a compressor that was asked for a length."""
    extra: Settings = field(default_factory=dict)

    @property
    def is_point(self) -> bool:
        """Whether it is a point of a curve: the whole document and none are its ends."""
        return self.compressor.kind not in ANCHORS

    @property
    def rate_tokens(self) -> Finding | None:
        return self.values.get("rate/tokens")

    def error_of(self, predictor: str) -> Finding | None:
        """Share of questions that `predictor` answered wrong; None: it was not asked, or nothing was graded."""
        return self.value_of(predictor, "distortion/error")

    def value_of(self, predictor: str, name: str) -> Finding | None:
        """A number of what `predictor` answered; None: it was not asked, or has no such number."""
        asked = self.predictors.get(predictor)
        return None if asked is None else asked.values.get(name)


def first_predictor(summaries: Sequence[Summary], name: str = "distortion/error") -> str | None:
    """Who stands for all of several summaries: the first predictor that has the number in any. One for all, so that no axis mixes
    the answers of two; None: nobody was asked."""
    return next((title for s in summaries for title, p in s.predictors.items() if name in p.values), None)


@dataclass(frozen=True, kw_only=True)
class SummaryFile:
    """A summary.json as it is read."""

    summaries: list[Summary]
    commit: str = "unknown"
    started: str = "unknown"


def read_summaries(directory: str | Path) -> list[Summary]:
    """The summaries of an evaluation directory. Raises InputError where the file is missing or of another version."""
    path = Path(directory) / SUMMARY_FILE
    if not path.is_file():
        raise InputError(f"{directory}: holds no {SUMMARY_FILE}; give the output_dir of eval/frozen.py")
    return read_summary_file(path).summaries


def read_summary_file(path: str | Path, lacking: str | None = None) -> SummaryFile:
    """A summary.json, or one kept as a baseline, with its provenance. Raises InputError for anything else, in the words
    of `lacking` where it holds no summaries."""
    content = read_json(path)
    check_version(content, path)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version {version}; this version reads {SCHEMA_VERSION}: evaluate again (records are reused)"
        )
    if not isinstance(content.get("summaries"), list):
        raise InputError(lacking or f"{path}: holds no summaries; evaluate again (records are reused)")
    try:
        return from_json(SummaryFile, {**content, "summaries": unknown_as_nan(content["summaries"])})
    except MissingField as error:
        raise InputError(f"{path}: {error} is missing; evaluate again (records are reused)") from None


def read_analysis(directory: str | Path, needed: bool = True) -> dict[str, Any]:
    """The content of analysis.json, whose points `rate_points` reads. Raises InputError where it is of a later version or
    missing; not `needed`, a missing one is empty."""
    path = Path(directory) / ANALYSIS_FILE
    if not needed and not path.is_file():
        return {}
    content: dict[str, Any] = read_json(path)
    check_version(content, path)
    return content


MAY_BE_UNKNOWN = (
    "low", "high", "leave_one_out_nats", "midpoint_nats", "midpoint_ci_nats", "stderr_nats", "ci_nats", "detectable_nats",
)  # fmt: skip
"""Numbers of results that few documents leave undetermined: null in the file, NaN here."""


def unknown_as_nan(value: Any) -> Any:
    """What a file of results holds, with NaN for the numbers that are null there."""
    if isinstance(value, list):
        return [unknown_as_nan(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {
        key: (math.nan if v is None else [math.nan if x is None else x for x in v] if isinstance(v, list) else v)
        if key in MAY_BE_UNKNOWN
        else unknown_as_nan(v)
        for key, v in value.items()
    }
