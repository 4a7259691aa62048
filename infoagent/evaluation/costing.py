"""Mean costs from records: a number is there only where every record of its group has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from infoagent.baselines import picker_of
from infoagent.costs import Architecture, break_even_questions, generation_flops, paper_flops
from infoagent.lm.prompts import names_question
from infoagent.recipes.compressors import WRITERS
from infoagent.records.grid import CompressionRecord, GridRecord, PredictionRecord
from infoagent.records.summaries import CompressorCost, PredictorCost, Summary
from infoagent.types import ANCHORS

Record = dict[str, Any]


def _is_free(kind: str) -> bool:
    """Whether it runs no model, so that its FLOPs are none. Raises InputError for a kind that nobody knows."""
    return kind in ANCHORS or (kind not in WRITERS and picker_of(kind).free)


def _mean(records: Sequence[GridRecord], name: str) -> float | None:
    """None: not every record has it, so the mean is unknown."""
    values = [value for r in records if (value := getattr(r, name)) is not None]
    return sum(values) / len(values) if values and len(values) == len(records) else None


def _gflops(records: Sequence[GridRecord]) -> tuple[float | None, float | None, float | None]:
    """(total, decode, as the paper counts) per record."""
    if records and all(isinstance(r, CompressionRecord) and _is_free(r.compressor.kind) for r in records):
        return 0.0, 0.0, 0.0
    prefill, decode, paper = (_mean(records, f"gflops_{part}") for part in ("prefill", "decode", "paper"))
    total = None if prefill is None or decode is None else prefill + decode
    return total, decode, paper


def flops_fields(architecture: Architecture | None, prompt_tokens: int, new_tokens: int) -> Record:
    """GFLOP of a generation, prefill and decode apart, and as the paper counts; nothing for an unknown architecture."""
    if architecture is None:
        return {}
    flops = generation_flops(architecture, prompt_tokens, new_tokens)
    return {
        "parameters": architecture.parameters,
        "gflops_prefill": flops.prefill / 1e9,
        "gflops_decode": flops.decode / 1e9,
        "gflops_paper": paper_flops(architecture, prompt_tokens, new_tokens) / 1e9,
    }


def compressor_cost(compressions: Sequence[CompressionRecord]) -> CompressorCost:
    """Per draw, those without a z included: GFLOP in all, of decoding, as the paper counts; seconds; tokens per second;
    tokens written in all, and those of thoughts; $ of a server."""
    total, decode, paper = _gflops(compressions)
    seconds = _mean(compressions, "generation_seconds")
    written = _mean(compressions, "written_tokens")
    tokens = written if written is not None else _mean(compressions, "rate_tokens")
    speed = tokens / seconds if tokens is not None and seconds else None
    return CompressorCost(
        compressor_gflops_total=total,
        compressor_gflops_decode=decode,
        compressor_gflops_paper=paper,
        seconds=seconds,
        tokens_per_second=speed,
        written_tokens=written,
        thinking_tokens=_mean(compressions, "thinking_tokens"),
        compressor_usd=_mean(compressions, "usd"),
    )


def predictor_cost(predictions: Sequence[PredictionRecord], compressions: Sequence[CompressionRecord]) -> PredictorCost:
    """Per question: the predictor's GFLOP, money and seconds, and those of compressor and predictor together.

    Who answers or compresses over HTTP has a price and no known FLOPs, who runs here has FLOPs and no price: local
    compute has no price list, so money is what is paid to others.
    """
    keys = {r.compression_key for r in predictions}
    used = [r for r in compressions if r.key in keys]
    total, decode, _ = _gflops(predictions)
    before_total, before_decode, _ = _gflops(used)
    usd = _mean(predictions, "usd")
    judge_usd = _mean(predictions, "judge_usd")
    before_usd = _mean(used, "usd")  # None: compressed here
    both = None if total is None or before_total is None else total + before_total
    return PredictorCost(
        predictor_gflops_total=total,
        predictor_usd=usd,
        judge_usd=judge_usd,
        seconds=_mean(predictions, "seconds"),
        gflops_total=both,
        gflops_decode=None if decode is None or before_decode is None else decode + before_decode,
        usd_total=None if usd is None and before_usd is None else (usd or 0.0) + (before_usd or 0.0),
    )


def with_break_even(summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries, and of each predictor of a compressor: from how many questions about a document compressing costs less
    than reading all of it, in GFLOP and in money, as far as both are known.

    A compression that depends on the question is made anew for each, so that it pays always or never. The decision is on
    cost alone; what is lost in accuracy stands beside it.
    """
    whole = {s.data.name: s for s in summaries if s.compressor.kind == "full-document"}
    return [_beside(whole[s.data.name], s) if s.is_point and s.data.name in whole else s for s in summaries]


def _beside(whole: Summary, summary: Summary) -> Summary:
    """A summary with its break-even points against the whole document."""
    kind, cost = summary.compressor.kind, summary.cost
    asks = names_question(summary.compressor.template) if kind in WRITERS else picker_of(kind).asks
    paid = 0.0 if cost.compressor_usd is None else cost.compressor_usd
    predictors = dict(summary.predictors)
    for name, predictor in summary.predictors.items():
        reading, other = predictor.cost, whole.predictors[name].cost if name in whole.predictors else PredictorCost()
        units = {
            "gflops": (cost.compressor_gflops_total, reading.predictor_gflops_total, other.predictor_gflops_total),
            "usd": (paid, reading.predictor_usd, other.predictor_usd),
        }
        even = {
            unit: break_even_questions(compress, from_compression, from_document, per_question=asks)
            for unit, (compress, from_compression, from_document) in units.items()
            if compress is not None and from_compression is not None and from_document is not None
        }
        predictors[name] = replace(predictor, break_even=even or None)
    return replace(summary, predictors=predictors)
