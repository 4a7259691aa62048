"""The same compressions under other scorers: what a proxy in the compressor's place changes.

A scorer reads its own prompt of each document, under its own chat template, and tells how likely the text is, split by
its own tokenizer: also where it is the sampler's, whose sampled tokens may have been others for the same text. With a
scorer that is not the sampler the estimate is a lower bound on I(X;Z|Q), tight only where the scorer is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.evaluation.cells import Cell, packs
from infoagent.evaluation.compressing import compression_key
from infoagent.evaluation.models import Judge, ModelPool
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.evaluation.summary import summarise
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import context_tokens, load_config, load_tokenizer, resolve
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring import continuation_ids
from infoagent.progress import Progress
from infoagent.recipes import EvaluationRecipe, ModelSection
from infoagent.types import Compression, InputError

DIRECTORY = "proxies"
DTYPES = ("float32", "bfloat16")


def parse_scorer(text: str) -> ModelSection:
    """From `name` or `name:dtype`. Raises InputError."""
    name, sign, dtype = text.rpartition(":")
    if not sign:
        return ModelSection(name=text)
    if dtype not in DTYPES or not name:
        raise InputError(f"--scorer {text}: must be NAME or NAME:DTYPE with a dtype of {', '.join(DTYPES)}")
    return ModelSection.model_validate({"name": name, "dtype": dtype})


def check_scorers(scorers: Sequence[ModelSection], cells: Sequence[Cell]) -> None:
    """Is each scorer there, and does it hold the longest prompt? Raises InputError, before a model is loaded."""
    mistakes: list[str] = []
    for section in scorers:
        try:
            reference = resolve(section.name, section.revision)
            tokenizer, context = load_tokenizer(reference), context_tokens(load_config(reference))
            for cell in cells:
                prompt = cell.scored_as
                fit_to_context(cell.problems, tokenizer, context, cell.compressor.max_tokens, "error", **prompt)
        except InputError as error:
            mistakes += [
                line for line in (f"scorer {section.name}: {p}" for p in error.problems) if line not in mistakes
            ]
    if mistakes:
        raise InputError(mistakes)


def proxy_summaries(
    recipe: EvaluationRecipe,
    cells: Sequence[Cell],
    records: Sequence[Row],
    scorers: Sequence[ModelSection],
    quiet: bool,
) -> dict[str, list[dict[str, Any]]]:
    """Summaries of the grid's compressions as each scorer sees them, by the scorer's title. What was scored before is
    kept in output_dir/proxies; a text that cannot be scored is a failed record."""
    kept = RecordFile(Path(recipe.output_dir) / DIRECTORY)
    written = {r["key"]: r for r in records if r["kind"] == "compression" and r["status"] == "ok" and "log_probs" in r}
    found: dict[str, list[dict[str, Any]]] = {}
    for section in scorers:
        title = f"{section.name} ({section.dtype})"
        pool = ModelPool(recipe.memory_mib)  # its own, so that one scorer is in memory at a time
        with Progress(len(written), f"{title} scores", "text", quiet) as bar:
            rows = [
                row for pack in packs(cells) for row in _score_pack(recipe, pack, written, section, kept, pool, bar)
            ]
        found[title] = summarise(rows, recipe.price)
    return found


def _score_pack(
    recipe: EvaluationRecipe, pack: Sequence[Cell], written: dict[str, Row], section: ModelSection, kept: RecordFile,
    pool: ModelPool, bar: Any,
) -> list[Row]:  # fmt: skip
    """The compressions of cells with one prompt, with the log-probabilities of `section` in place of their own."""
    draws = [(seed, sample) for seed in recipe.seeds for sample in range(recipe.samples)]
    revision = resolve(section.name, section.revision).revision
    rows: list[Row] = []
    for index in range(len(pack[0].problems)):
        keys = [
            key
            for cell in pack
            for seed, sample in draws
            if (key := compression_key(cell, index, sample, seed)) in written
        ]
        names = {
            k: content_key(kind="proxy", compression=k, scorer=section.model_dump(), revision=revision) for k in keys
        }
        missing = [key for key in keys if not kept.done(names[key])]
        if missing:
            scored = _score(pack[0], index, [written[key] for key in missing], pool.judge(section))
            results = zip(missing, scored, strict=True)
            kept.append(*({"key": names[k], "kind": "proxy", "compression_key": k, **part} for k, part in results))
        for key in keys:
            result = kept.rows[names[key]]
            own = {
                name: value for name, value in written[key].items() if name not in ("log_probs", "tokens", "candidates")
            }
            rows.append({**own, **{name: value for name, value in result.items() if name not in ("key", "kind")}})
        bar.update(len(keys))
    return rows


def _score(cell: Cell, index: int, rows: Sequence[Row], judge: Judge) -> list[Row]:
    """log p(z | x, q) of each text under the source and its negatives, in nats."""
    problem, tokenizer = cell.problems[index], judge.tokenizer
    documents = [problem.document, *(n.document for n in cell.negatives[index])]
    prompt = cell.scored_as
    prefixes = [tuple(compressor_ids(tokenizer, d, problem.query, **prompt)) for d in documents]
    end = end_of_turn_id(tokenizer)
    texts = [
        continuation_ids(Compression(r["problem_id"], r["text"], tuple(text_ids(tokenizer, r["text"])), r["finish"], r["sample"], 0.0), end)
        for r in rows
    ]  # fmt: skip
    distinct, strings = list(dict.fromkeys(prefixes)), list(dict.fromkeys(texts))
    sums: dict[tuple[Any, Any], float] = {}
    for k, columns in judge.scorer.score_tokens(distinct, strings):
        for string, column in zip(strings, columns, strict=True):
            sums[distinct[k], string] = float(column.sum(dtype=np.float64))
    kinds = ["source", *(n.kind for n in cell.negatives[index])]
    found: list[Row] = []
    for string in texts:
        log_probs = [sums[prefix, string] for prefix in prefixes]
        if np.isfinite(log_probs).all():
            found.append({"status": "ok", "candidates": kinds, "log_probs": log_probs})
        else:
            error = "a token has no finite log-probability; try NAME:float32"
            found.append({"status": "failed", "cause": "scoring", "error": error})
    return found
