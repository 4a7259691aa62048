"""Compressions and their scores: the first half of a grid.

Cells that are scored alike go together: under one document and question the prefixes are read once, and the texts of
all compressors follow them. A picking compressor is no language model; its text is scored by the frozen model of its
section, as a critic, which is a lower bound on what the text tells.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from infoagent.audit import measure
from infoagent.baselines import compress_extractive
from infoagent.costs import Architecture, generation_flops, paper_flops
from infoagent.evaluation.cells import Cell, frozen_base
from infoagent.evaluation.models import Judge, ModelPool
from infoagent.evaluation.records import RecordFile, Row, Shard, batches, content_key
from infoagent.evaluation.summary import EASY, HARD
from infoagent.grading import states_fact, unsupported_spans
from infoagent.information.tokens import token_information
from infoagent.lm.columns import TokenLogProbs
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring import continuation_ids
from infoagent.recipes import EvaluationRecipe
from infoagent.recipes.evaluation import EXTRACTIVE
from infoagent.store import text_id
from infoagent.types import Compression

DIGITS = 4
"""Of the nats of single tokens, which are for reading; log-probabilities of whole texts are kept in full."""


def compression_key(cell: Cell, index: int, sample: int, seed: int) -> str:
    problem = cell.problems[index]
    return content_key(
        kind="compression", compressor=cell.identity, problem=[problem.id, problem.document, problem.query],
        negatives=[n.document for n in cell.negatives[index]], sample=sample, seed=seed,
    )  # fmt: skip


def compress_pack(
    recipe: EvaluationRecipe, pack: Sequence[Cell], sample: int, seed: int, records: RecordFile, pool: ModelPool,
    shard: Shard, bar: Any,
) -> None:  # fmt: skip
    """Compress and score every problem of cells that are scored alike. What is there already is left alone."""
    for number, batch in batches(len(pack[0].problems), recipe.batch_size):
        if not shard.has(number):
            continue
        missing = {
            i: [cell for cell in pack if not records.done(compression_key(cell, i, sample, seed))] for i in batch
        }
        bar.update(sum(len(pack) - len(cells) for cells in missing.values()))
        written = {
            (id(cell), i): text
            for cell in pack
            if any(cell in cells for cells in missing.values())
            # the whole batch is drawn again even if a part is there: the draw depends on the batch
            for i, text in zip(batch, _write(cell, batch, sample, seed, pool), strict=True)
        }
        for i, cells in missing.items():
            if cells:
                rows = _records(cells, i, [written[id(cell), i] for cell in cells], seed, pool)
                records.append(*rows)
                bar.update(len(rows))


def _write(cell: Cell, batch: Sequence[int], sample: int, seed: int, pool: ModelPool) -> list[Compression]:
    with pool.times("generate"):
        return _written(cell, batch, sample, seed, pool)


def _written(cell: Cell, batch: Sequence[int], sample: int, seed: int, pool: ModelPool) -> list[Compression]:
    problems = [cell.problems[i] for i in batch]
    section = cell.compressor
    if section.kind == "lm":
        tokenizer = pool.tokenizer(section.model)
        stamp = f"{seed} {sample} {problems[0].id}"
        return pool.writer(section.model, cell.engine)(
            [compressor_ids(tokenizer, p.document, p.query, **section.prompt.model_dump()) for p in problems],
            [p.id for p in problems],
            section.max_tokens,
            section.temperature,
            seed=int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:4], "little"),
            sample=sample,
        )
    tokenizer = pool.tokenizer(frozen_base(section))
    found = []
    for problem in problems:
        start = time.perf_counter()
        if section.kind in EXTRACTIVE:
            text = compress_extractive(
                section.kind, problem, sentences=section.sentences, tokens=section.tokens,
                count_tokens=lambda t: len(text_ids(tokenizer, t)), seed=seed * 1000 + sample,
            )  # fmt: skip
        else:
            text = problem.document if section.kind == "full-document" else ""
        ids = tuple(text_ids(tokenizer, text))
        found.append(Compression(problem.id, text, ids, "stop", sample, time.perf_counter() - start))
    return found


def _records(
    cells: Sequence[Cell], index: int, compressions: Sequence[Compression], seed: int, pool: ModelPool
) -> list[Row]:
    rows = [_record(cell, index, z, seed, pool) for cell, z in zip(cells, compressions, strict=True)]
    if cells[0].scored:
        # the frozen and the trained are judged by one model
        judge = pool.judge(frozen_base(cells[0].compressor), cells[0].engine)
        with pool.times("score"):
            found = _scores(cells[0], index, compressions, judge)
        for row, part in zip(rows, found, strict=True):
            row |= part
    return rows


def _record(cell: Cell, index: int, compression: Compression, seed: int, pool: ModelPool) -> Row:
    problem, section = cell.problems[index], cell.compressor
    row: Row = {
        "key": compression_key(cell, index, compression.sample, seed),
        "kind": "compression",
        "status": "ok",
        "compressor": {"label": section.label, "curve": section.curve_name, **cell.identity},
        "data": {"name": cell.data.name, "revision": cell.data.revision, "split": cell.data.split},
        "problem_id": problem.id,
        "document_id": problem.document_id,
        "document_key": text_id(problem.document),
        "group": problem.group,
        "query": problem.query,
        "answer": problem.answer,
        "sample": compression.sample,
        "seed": seed,
        "engine": cell.engine,
        "text": compression.text,
        "finish": compression.finish,
        "rate_tokens": compression.rate_tokens,
        "rate_bytes": compression.rate_bytes,
        "prompt_tokens": 0,
        "generation_seconds": compression.seconds,
    }
    if section.kind == "lm":
        tokenizer = pool.tokenizer(section.model)
        prompt = compressor_ids(tokenizer, problem.document, problem.query, **section.prompt.model_dump())
        row["prompt_tokens"] = len(prompt)
        row |= flops_fields(pool.architecture(section.model), len(prompt), compression.rate_tokens)
    if cell.scored:
        if problem.facts:
            row["fact_kept"] = all(states_fact(compression.text, fact) for fact in problem.facts)
        row["unsupported"] = unsupported_spans(compression.text, problem.document, problem.query)
        row["audit"] = measure(compression.text, problem)
    return row


def flops_fields(architecture: Architecture | None, prompt_tokens: int, new_tokens: int) -> Row:
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


def _scores(cell: Cell, index: int, compressions: Sequence[Compression], judge: Judge) -> list[Row]:
    """The scores of texts under the candidates of one problem. A text that cannot be scored fails alone."""
    problem, negatives, tokenizer = cell.problems[index], cell.negatives[index], judge.tokenizer
    documents = [problem.document, *(n.document for n in negatives)]
    prompt = cell.compressor.prompt.model_dump()
    prefixes = [tuple(compressor_ids(tokenizer, d, problem.query, **prompt)) for d in documents]
    end = end_of_turn_id(tokenizer)
    strings = [continuation_ids(z, end) for z in compressions]
    start = time.perf_counter()
    try:
        columns = _columns(judge, prefixes, strings)
        found: list[Row] = [
            _score_fields(c, prefixes, negatives, s, tokenizer) for c, s in zip(columns, strings, strict=True)
        ]
    except FloatingPointError as error:
        if len(compressions) == 1:
            return [{"status": "failed", "cause": "scoring", "error": f"scoring: {error}"}]
        return [part for z in compressions for part in _scores(cell, index, [z], judge)]
    seconds = (time.perf_counter() - start) / len(compressions)
    return [{**part, "scoring_seconds": seconds} for part in found]


Columns = dict[tuple[int, ...], TokenLogProbs]


def _columns(judge: Judge, prefixes: Sequence[tuple[int, ...]], strings: Sequence[tuple[int, ...]]) -> list[Columns]:
    """For each string the log-probabilities of its tokens under each prefix; equal ones are computed once."""
    distinct, texts = list(dict.fromkeys(prefixes)), list(dict.fromkeys(strings))
    by_text: dict[tuple[int, ...], Columns] = {text: {} for text in texts}
    for k, columns in judge.scorer.score_tokens(distinct, texts):
        for text, column in zip(texts, columns, strict=True):
            if not np.isfinite(column).all():
                raise FloatingPointError("a token has no finite log-probability; try dtype float32")
            by_text[text][distinct[k]] = column
    return [by_text[string] for string in strings]


def _score_fields(
    columns: Columns, prefixes: Sequence[tuple[int, ...]], negatives: Sequence[Any], ids: Sequence[int], tokenizer: Any
) -> Row:
    kinds = ["source", *(n.kind for n in negatives)]
    rows = [columns[prefix] for prefix in prefixes]
    tokens: Row = {"pieces": [tokenizer.decode([i]) for i in ids]}
    for name, among in (("pool_nats", EASY), ("counterfactual_nats", HARD)):
        chosen = [row for row, kind in zip(rows, kinds, strict=True) if kind == "source" or kind in among]
        if len(chosen) > 1:
            nats = token_information(np.stack(chosen), 0).nats_L
            tokens[name] = [round(float(value), DIGITS) for value in nats]
    return {
        "candidates": kinds,
        "log_probs": [float(row.sum(dtype=np.float64)) for row in rows],
        "tokens": tokens,
    }
