"""Problem × compressor × predictor → records.

For each compression: its text and rate; its log-probability under the source and under easy (random, topic, sibling)
and hard (counterfactual) negatives, by the compressor's own frozen base; whether the asked fact stands in it and
what in it is made up. For each predictor: which choice it takes and the answer's NLL, seeing only the compression.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from infoagent.audit import measure
from infoagent.data.negatives import Counts, draw_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, content_key
from infoagent.grading import states_fact, unsupported_spans
from infoagent.lm.answering import PREDICTOR_TEMPLATE, answer_log_probs
from infoagent.lm.context import fit_to_context
from infoagent.lm.generation import generate
from infoagent.lm.models import adapter_revision, check_adapter, context_tokens, load_config, load_tokenizer, resolve
from infoagent.lm.prompts import (
    chat_ids,
    check_template,
    compressor_ids,
    end_of_turn_id,
    predictor_messages,
    text_ids,
)
from infoagent.lm.scoring import continuation_ids
from infoagent.recipes import CompressorSection, EvaluationRecipe, ModelSection
from infoagent.types import Compression, InputError, Negative, Problem, ProblemSet

ANSWER_TOKENS = 64
"""Room left for an answer when a predictor's context is checked."""


@dataclass(frozen=True)
class Cell:
    """One compressor on one data set, with its problems as this compressor's context allows them."""

    compressor: CompressorSection
    revision: str
    adapter_revision: str | None
    data: ProblemSet
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a compression beside its problem."""
        revisions = {"revision": self.revision, "adapter_revision": self.adapter_revision}
        return {**self.compressor.model_dump(exclude={"label"}), **revisions}


def plan_cells(recipe: EvaluationRecipe) -> list[Cell]:
    """Load data, check names, adapters and context lengths, draw negatives; no model is loaded.

    Raises InputError with all mistakes of the grid.
    """
    mistakes: list[str] = []
    cells: list[Cell] = []
    counts = Counts(**recipe.negatives.model_dump(exclude={"seed", "watch_only"}))
    sets = [load_data(**section.model_dump(exclude={"truncate"})) for section in recipe.data]
    names = [data.name for data in sets]
    if len(set(names)) < len(names):
        raise InputError(
            f"data: two sections are named {max(names, key=names.count)!r}; evaluate them in two output_dirs"
        )
    for predictor in recipe.predictors:
        try:
            mistakes += _predictor_mistakes(predictor, recipe, sets)
        except InputError as error:
            mistakes += error.problems
    for compressor in recipe.compressors:
        try:
            check_template(compressor.prompt.template)
            adapter = compressor.model.adapter
            if adapter is not None:
                check_adapter(adapter, compressor.model.name)
            reference = resolve(compressor.model.name, compressor.model.revision)
            tokenizer, context = load_tokenizer(reference), context_tokens(load_config(reference))
            for section, data in zip(recipe.data, sets, strict=True):
                problems = fit_to_context(
                    data.problems, tokenizer, context, compressor.max_tokens, section.truncate,
                    **compressor.prompt.model_dump(),
                )  # fmt: skip
                negatives = draw_negatives(problems, counts, recipe.negatives.seed)
                revision = None if adapter is None else adapter_revision(adapter)
                cells.append(Cell(compressor, reference.revision, revision, data, problems, negatives))
        except InputError as error:
            mistakes += [line for line in error.problems if line not in mistakes]
    if mistakes:
        raise InputError(mistakes)
    return cells


def _predictor_mistakes(predictor: ModelSection, recipe: EvaluationRecipe, sets: Sequence[ProblemSet]) -> list[str]:
    """Is the predictor there, and can it read a whole document where the grid hands it one?"""
    if predictor.adapter is not None:
        check_adapter(predictor.adapter, predictor.name)
    reference = resolve(predictor.name, predictor.revision)
    tokenizer, context = load_tokenizer(reference), context_tokens(load_config(reference))
    if not any(c.kind == "full-document" for c in recipe.compressors):
        return []
    mistakes = []
    for data in sets:
        longest = max(data.problems, key=lambda p: len(p.document))
        prompt = chat_ids(tokenizer, predictor_messages(longest.document, longest.query, PREDICTOR_TEMPLATE))
        if len(prompt) + ANSWER_TOKENS > context:
            mistakes.append(
                f"predictors: {predictor.name!r} holds {context} tokens, the full document of problem {longest.id!r} "
                f"takes {len(prompt)}; leave the full-document anchor out, or use another predictor"
            )
    return mistakes


def evaluate(recipe: EvaluationRecipe, cells: Sequence[Cell], quiet: bool = False) -> list[dict[str, Any]]:
    """The records of this grid; what recipe.output_dir holds already is not computed again.

    The directory may hold records of other grids as well: they are kept, and not returned.
    """
    records = RecordFile(recipe.output_dir)
    pool = ModelPool(recipe.memory_mib)
    current: list[dict[str, Any]] = []
    for cell in cells:
        # one bar for each kind of work: a compression costs many times what a prediction does
        title = f"{cell.compressor.label} on {cell.data.name}"
        work = len(cell.problems) * recipe.samples
        keys: list[str] = []
        with tqdm(total=work, desc=f"{title}: compress and score", unit="text", disable=quiet) as bar:
            for sample in range(recipe.samples):
                keys += _compress(recipe, cell, sample, records, pool, bar)
        for predictor in recipe.predictors:
            with tqdm(total=work, desc=f"{title}: {predictor.name} answers", unit="text", disable=quiet) as bar:
                keys += _predict(recipe, cell, predictor, records, pool, bar)
        # a label is a name for this grid only, so it comes from the recipe and not from an earlier record
        label = {"label": cell.compressor.label}
        current += [{**(row := records.rows[key]), "compressor": {**row["compressor"], **label}} for key in keys]
    return current


def compression_key(recipe: EvaluationRecipe, cell: Cell, index: int, sample: int) -> str:
    problem = cell.problems[index]
    return content_key(
        kind="compression", compressor=cell.identity, problem=[problem.id, problem.document, problem.query],
        negatives=[n.document for n in cell.negatives[index]], sample=sample, seed=recipe.seed,
    )  # fmt: skip


def _compress(
    recipe: EvaluationRecipe, cell: Cell, sample: int, records: RecordFile, pool: ModelPool, bar: Any
) -> list[str]:
    """Compress and score every problem of a cell once. Returns the keys of its records."""
    keys = [compression_key(recipe, cell, i, sample) for i in range(len(cell.problems))]
    for batch in _batches(len(cell.problems), recipe.batch_size):
        missing = [i for i in batch if not records.done(keys[i])]
        bar.update(len(batch) - len(missing))
        if not missing:
            continue
        # the whole batch is drawn again even if a part is there: the draw depends on the batch
        for index, compression in zip(batch, _write(recipe, cell, batch, sample, pool), strict=True):
            if index in missing:
                row = _compression_record(recipe, cell, index, compression, pool)
                records.append({"key": keys[index], **row})
                bar.update(1)
    return keys


def _write(
    recipe: EvaluationRecipe, cell: Cell, batch: Sequence[int], sample: int, pool: ModelPool
) -> list[Compression]:
    problems = [cell.problems[i] for i in batch]
    section = cell.compressor
    if section.kind != "lm":  # the anchors: everything, or nothing
        tokenizer = pool.judge(frozen_base(section)).tokenizer
        texts = [p.document if section.kind == "full-document" else "" for p in problems]
        return [
            Compression(p.id, text, tuple(text_ids(tokenizer, text)), "stop", sample, 0.0)
            for p, text in zip(problems, texts, strict=True)
        ]
    lm = pool.get(section.model)
    stamp = f"{recipe.seed} {sample} {problems[0].id}"
    return generate(
        lm,
        [_prompt(lm.tokenizer, p.document, p.query, section) for p in problems],
        [p.id for p in problems],
        section.max_tokens,
        section.temperature,
        seed=int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:4], "little"),
        sample=sample,
    )


def frozen_base(section: CompressorSection) -> ModelSection:
    return section.model.model_copy(update={"adapter": None})


def _prompt(tokenizer: Any, document: str, query: str, section: CompressorSection) -> list[int]:
    return compressor_ids(tokenizer, document, query, **section.prompt.model_dump())


def _compression_record(
    recipe: EvaluationRecipe, cell: Cell, index: int, compression: Compression, pool: ModelPool
) -> dict[str, Any]:
    problem, negatives = cell.problems[index], cell.negatives[index]
    record: dict[str, Any] = {
        "kind": "compression",
        "status": "ok",
        "compressor": {"label": cell.compressor.label, **cell.identity},
        "data": {"name": cell.data.name, "revision": cell.data.revision, "split": cell.data.split},
        "problem_id": problem.id,
        "document_id": problem.document_id,
        "group": problem.group,
        "query": problem.query,
        "answer": problem.answer,
        "sample": compression.sample,
        "seed": recipe.seed,
        "text": compression.text,
        "finish": compression.finish,
        "rate_tokens": compression.rate_tokens,
        "rate_bytes": compression.rate_bytes,
        "generation_seconds": compression.seconds,
    }
    if cell.compressor.kind != "lm":
        return record  # an anchor was not sampled from a model: it has no log-probability
    if problem.answer is not None:
        record["fact_kept"] = states_fact(compression.text, problem.answer)
    record["unsupported"] = unsupported_spans(compression.text, problem.document, problem.query)
    record["audit"] = measure(compression.text, problem)
    judge = pool.judge(frozen_base(cell.compressor))  # the frozen and the trained are judged by the same model
    tokenizer = judge.tokenizer
    prefixes = [
        _prompt(tokenizer, document, problem.query, cell.compressor)
        for document in (problem.document, *(n.document for n in negatives))
    ]
    start = time.perf_counter()
    try:
        log_probs = judge.scorer.score(prefixes, [continuation_ids(compression, end_of_turn_id(tokenizer))])
    except FloatingPointError as error:
        return {**record, "status": "failed", "error": f"scoring: {error}"}
    record["candidates"] = ["source", *(n.kind for n in negatives)]
    record["log_probs"] = log_probs[0].tolist()
    record["scoring_seconds"] = time.perf_counter() - start
    return record


def predictor_identity(predictor: ModelSection) -> dict[str, Any]:
    """What decides an answer beside the compression and the question."""
    return {
        **predictor.model_dump(),
        "revision": resolve(predictor.name, predictor.revision).revision,
        "adapter_revision": None if predictor.adapter is None else adapter_revision(predictor.adapter),
        "template": PREDICTOR_TEMPLATE,
    }


def _predict(
    recipe: EvaluationRecipe, cell: Cell, predictor: ModelSection, records: RecordFile, pool: ModelPool, bar: Any
) -> list[str]:
    """Which choice does a predictor take that sees the compression and the question alone? Returns the keys."""
    identity = predictor_identity(predictor)
    keys = []
    for sample in range(recipe.samples):
        for index, problem in enumerate(cell.problems):
            bar.update(1)
            source = records.rows[compression_key(recipe, cell, index, sample)]
            if problem.answer is None or source["status"] != "ok":
                continue
            key = content_key(kind="prediction", compression=source["key"], predictor=identity, choices=problem.choices)
            keys.append(key)
            if records.done(key):
                continue
            row = {
                "key": key, "kind": "prediction", "status": "ok", "compression_key": source["key"],
                "compressor": source["compressor"], "predictor": identity, "data": source["data"],
                "problem_id": problem.id, "document_id": problem.document_id, "sample": sample,
            }  # fmt: skip
            try:
                row |= _answer(pool, predictor, source["text"], problem)
            except FloatingPointError as error:
                row |= {"status": "failed", "error": f"prediction: {error}"}
            records.append(row)
    return keys


def _answer(pool: ModelPool, predictor: ModelSection, text: str, problem: Problem) -> dict[str, Any]:
    """log p(choice as the complete reply) for every choice; without choices only the answer's NLL."""
    judge = pool.judge(predictor)
    options = problem.choices or (str(problem.answer),)
    [log_probs] = answer_log_probs(judge.scorer, judge.tokenizer, [text], problem.query, options)
    right = options.index(str(problem.answer))
    result: dict[str, Any] = {
        "answer_nll_nats": float(-log_probs[right]),
        "choice_log_probs": log_probs.tolist(),
    }
    if problem.choices:
        result["correct"] = int(np.argmax(log_probs)) == right
    return result


def _batches(number: int, size: int) -> Iterator[range]:
    for start in range(0, number, size):
        yield range(start, min(start + size, number))
