"""Compressions and their scores: the first half of a grid.

Cells that are scored alike go together: under one document and question the prefixes are read once, and the texts of
all compressors follow them. A picking compressor is no language model; its text is scored by the frozen model of its
section, which did not draw it: a lower bound on what the text tells.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infoagent.audit import measure
from infoagent.evaluation.cells import Cell
from infoagent.evaluation.costing import flops_fields
from infoagent.evaluation.models import ModelPool, ModelScorer
from infoagent.evaluation.records import RecordFile, Row, Shard, batches, content_key
from infoagent.evaluation.replies import Replies
from infoagent.evaluation.summary import EASY, HARD
from infoagent.evaluation.writing import Written, write
from infoagent.grading import states_facts, unsupported_spans
from infoagent.information.tokens import token_information
from infoagent.lm.detokenization import token_pieces
from infoagent.lm.models import frozen
from infoagent.lm.prompts import compressor_ids, end_of_turn_id
from infoagent.lm.scoring.columns import TokenLogProbs
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.lm.scoring.pairs import each_alone, pair_log_probs, total
from infoagent.recipes import EvaluationRecipe
from infoagent.records.grid import CompressionRecord, CompressorIdentity, DataIdentity, GridRecord, PredictionRecord, TokenNats
from infoagent.records.json_form import from_json
from infoagent.store import text_id
from infoagent.types import Compression, Problem

DIGITS = 4
"""Of the nats of single tokens, which are for reading; log-probabilities of whole texts are kept in full."""


def compression_key(cell: Cell, index: int, sample: int, seed: int) -> str:
    problem = cell.problems[index]
    return content_key(
        kind="compression",
        compressor=cell.identity,
        problem=[problem.id, problem.document, problem.query],
        negatives=[n.document for n in cell.negatives[index]],
        sample=sample,
        seed=seed,
    )


def compress_pack(
    recipe: EvaluationRecipe,
    pack: Sequence[Cell],
    sample: int,
    seed: int,
    records: RecordFile,
    pool: ModelPool,
    replies: Replies,
    shard: Shard,
    bar: Any,
) -> None:
    """Compress and score every problem of cells that are scored alike. What is there already is left alone."""
    for number, batch in batches(len(pack[0].problems), recipe.batch_size):
        if not shard.has(number):
            continue
        missing = {i: [cell for cell in pack if not records.settled(compression_key(cell, i, sample, seed))] for i in batch}
        bar.update(sum(len(pack) - len(cells) for cells in missing.values()))
        written = {
            (id(cell), i): text
            for cell in pack
            if any(cell in cells for cells in missing.values())
            # the whole batch is drawn again even if a part is there: the draw depends on the batch
            for i, text in zip(batch, write(cell, batch, sample, seed, pool, replies), strict=True)
        }
        for i, cells in missing.items():
            if cells:
                records.append(*_records(cells, i, [written[id(cell), i] for cell in cells], sample, seed, pool))
                bar.update(len(cells))


def _records(
    cells: Sequence[Cell], index: int, written: Sequence[Written], sample: int, seed: int, pool: ModelPool
) -> list[CompressionRecord]:
    records = [_record(cell, index, found, sample, seed, pool) for cell, found in zip(cells, written, strict=True)]
    there = [(place, found.z) for place, found in enumerate(written) if found.z is not None]
    if cells[0].scored and there:
        # the frozen and the trained are scored by one model
        base = pool.scorer(frozen(cells[0].compressor.model), cells[0].engine)
        with pool.times("score"):
            scores = _scores(cells[0], index, [z for _, z in there], base)
        for (place, _), fields in zip(there, scores, strict=True):
            records[place] = replace(records[place], **fields)
    return records


def _record(cell: Cell, index: int, written: Written, sample: int, seed: int, pool: ModelPool) -> CompressionRecord:
    problem, section = cell.problems[index], cell.compressor
    record = CompressionRecord(
        key=compression_key(cell, index, sample, seed),
        compressor=from_json(CompressorIdentity, {"label": section.label, "curve": section.curve_name, **cell.identity}),
        data=_data(cell),
        problem_id=problem.id,
        document_id=problem.document_id,
        document_key=text_id(problem.document),
        group=problem.group,
        query=problem.query,
        answer=problem.answer,
        sample=sample,
        seed=seed,
        engine=cell.engine,
        reply=written.reply,
        sampler=False if cell.scored and not cell.is_drawn_as_scored else None,
        **_cost(cell, problem, written, pool),
    )
    z = written.z
    if z is None:
        return replace(record, status="failed", cause=written.cause, error=written.error, final=written.is_final)
    record = replace(record, text=z.text, finish=z.finish, rate_tokens=z.rate_tokens, rate_bytes=z.rate_bytes)
    if not cell.scored:
        return record
    return replace(
        record,
        fact_kept=states_facts(z.text, problem.facts),
        unsupported=unsupported_spans(z.text, problem.document, problem.query),
        audit=measure(z.text, problem),
    )


def as_known_now(record: GridRecord, cell: Cell, index: int) -> GridRecord:
    """`record` of a problem with what its key does not cover as the data of this grid say it: an answer that was added or
    corrected, a document that was named otherwise. None of it is paid for again."""
    problem = cell.problems[index]
    if isinstance(record, PredictionRecord):
        return replace(record, data=_data(cell), document_id=problem.document_id)
    now = replace(record, data=_data(cell), document_id=problem.document_id, group=problem.group, answer=problem.answer)
    if now.text is None or not cell.scored:
        return now
    kept = states_facts(now.text, problem.facts)
    if (kept, problem.answer) == (record.fact_kept, record.answer):
        return now  # the audit reads the whole document: only where the facts are others
    return replace(now, fact_kept=kept, audit=measure(now.text, problem))


def _data(cell: Cell) -> DataIdentity:
    return DataIdentity(name=cell.data.name, revision=cell.data.revision, split=cell.data.split)


def _cost(cell: Cell, problem: Problem, written: Written, pool: ModelPool) -> Row:
    """What the compression took, of everything that was written: z, its spelling, the thought before it."""
    section = cell.compressor
    if section.kind == "endpoint":
        return {"prompt_tokens": written.cost["usage"]["prompt_tokens"], **written.cost}
    if section.kind != "lm":
        return {"prompt_tokens": 0, **written.cost}
    tokenizer = pool.tokenizer(section.model)
    prompt = compressor_ids(tokenizer, problem.document, problem.query, cell.asked)
    flops = flops_fields(pool.architecture(section.model), len(prompt), written.cost["written_tokens"])
    return {"prompt_tokens": len(prompt), **written.cost, **flops}


def _scores(cell: Cell, index: int, compressions: Sequence[Compression], base: ModelScorer) -> list[Row]:
    """The scores of texts under the candidates of one problem. A text that cannot be scored fails alone."""
    query, tokenizer, end = cell.problems[index].query, base.tokenizer, end_of_turn_id(base.tokenizer)
    prefixes = [tuple(compressor_ids(tokenizer, d, query, cell.scored_as)) for d in cell.candidates(index)]

    def score(together: Sequence[Compression]) -> list[Row]:
        start = time.perf_counter()
        strings = [continuation_ids(z, end) for z in together]
        columns = pair_log_probs(base.scorer, [(prefix, string) for string in strings for prefix in prefixes])
        found = [_score_fields([columns[p, s] for p in prefixes], cell.kinds(index), s, tokenizer) for s in strings]
        seconds = (time.perf_counter() - start) / len(together)
        return [{**part, "scoring_seconds": seconds} for part in found]

    return each_alone(score, compressions, failed_score)


def failed_score(error: Exception) -> Row:
    return {"status": "failed", "cause": "scoring", "error": f"scoring: {error}"}


def _score_fields(rows: Sequence[TokenLogProbs], kinds: Sequence[str], ids: Sequence[int], tokenizer: Any) -> Row:
    """`rows`: of each candidate, whose kinds are `kinds`."""
    tokens: dict[str, Any] = {}
    for name, among in (("pool_nats", EASY), ("counterfactual_nats", HARD)):
        chosen = [row for row, kind in zip(rows, kinds, strict=True) if kind == "source" or kind in among]
        if len(chosen) > 1:
            nats = token_information(np.stack(chosen), 0).nats_L
            tokens[name] = [round(float(value), DIGITS) for value in nats]
    return {
        "candidates": list(kinds),
        "log_probs": [total(row) for row in rows],
        "tokens": TokenNats(pieces=token_pieces(tokenizer, ids), **tokens),
    }
