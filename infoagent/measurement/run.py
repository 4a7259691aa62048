"""Problem → compressions → score matrix of one compressor, killed and gone on with at any moment.

Compressions are kept as they are sampled, scores column by column under the hash of their content; both are split
over the processes of `accelerate launch`, and neither depends on how many there are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.data.registry import load_data
from infoagent.evaluation.records import RecordFile, content_key
from infoagent.files import read_jsonl
from infoagent.information.scores import ScoreMatrix
from infoagent.information.stratified import Strata, draw_strata
from infoagent.lm.context import fit_to_context
from infoagent.lm.generation import batch_seed, generate
from infoagent.lm.models import FoundModel, LoadedModel, find_model, frozen, load
from infoagent.lm.prompts import Prompt, check_prompt, compressor_ids
from infoagent.lm.scoring.jobs import Processes, scorer_identity
from infoagent.measurement.calibration import read_calibration, scorer_name
from infoagent.measurement.pool import Pool, express, score_pool
from infoagent.measurement.pool_draw import DrawnPool, choose_pool, draw_pool, left_out_lines, refuse_repeated
from infoagent.progress import Progress
from infoagent.recipes import InformationRecipe, ModelSection
from infoagent.records.files import RECORDS_FILE
from infoagent.store import text_id
from infoagent.types import Compression, InputError, Problem, ProblemSet

__all__ = ["Measurement", "draw_pool", "measure", "plan_measurement", "refuse_repeated"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """Everything that is decided before a model loads."""

    recipe: InformationRecipe
    data: ProblemSet
    pool: DrawnPool
    compressor: FoundModel
    scorer: FoundModel
    beta: float | None
    """Critic scale of the proxy that scores, if one is calibrated."""

    @property
    def problems(self) -> list[Problem]:
        """One for each document of the pool."""
        return self.pool.problems

    @property
    def drawn(self) -> dict[str, Any]:
        """What was left out or has too few counterfactual documents, by cause: for what is kept on disk."""
        return {
            "data": self.data.name,
            "split": self.data.split,
            "problems": len(self.problems),
            "left_out": {**self.data.left_out, **self.pool.left_out},
            "short": self.pool.short,
        }

    @property
    def scorer_section(self) -> ModelSection:
        """The compressor's own frozen base unless a proxy is named."""
        return self.recipe.scorer or frozen(self.recipe.compressor.model)

    @property
    def is_sampler(self) -> bool:
        """Whether the scorer's distribution is the one that the compressions were drawn from."""
        section = self.recipe.compressor
        same = self.recipe.scorer is None or self.recipe.scorer == section.model
        return same and section.model.adapter is None and section.temperature == 1.0


def plan_measurement(recipe: InformationRecipe, quiet: bool = False) -> Measurement:
    """Load data, check names and lengths, draw the pool and the counterfactuals. Raises InputError, all mistakes."""
    section = recipe.compressor
    check_prompt(section.prompt)
    models: list[FoundModel] = []
    mistakes: list[str] = []
    for named in (section.model, recipe.scorer or frozen(section.model)):
        try:
            models.append(find_model(named).pinned)
        except InputError as error:
            mistakes += [line for line in error.problems if line not in mistakes]
    if mistakes:
        raise InputError(mistakes)
    compressor, scorer = models
    data = load_data(**recipe.data.asked)

    def fitted(problems: list[Problem]) -> list[Problem]:
        for model in models[: 1 if scorer.reference == compressor.reference else 2]:
            problems = fit_to_context(
                problems, model.tokenizer, model.context_tokens, section.max_tokens, recipe.data.truncate, Prompt.of(section.prompt)
            )
        refuse_repeated({p.id: p.document for p in problems})  # cut to the same head, two documents are one
        return problems

    pool = choose_pool(recipe, data.problems, fitted, quiet)
    for line in left_out_lines(data, pool):
        logger.warning(line)
    problems = pool.problems
    if recipe.near and any(p.group is None for p in problems):
        raise InputError(f"near = {recipe.near}: the data has no groups to tell which documents are near; set near=0")
    beta = None
    if recipe.calibration is not None and recipe.scorer is not None:
        reference = scorer.reference
        held = scorer_identity(reference.name, reference.revision, recipe.scorer.dtype, scorer.adapter_revision)
        documents = [text_id(p.document) for p in problems]
        beta = read_calibration(recipe.calibration, scorer_name(held), documents).beta
    return Measurement(recipe, data, pool, compressor, scorer, beta)


def measure(plan: Measurement, processes: Processes, quiet: bool) -> ScoreMatrix:
    """Sample what is missing, score what is missing, and put the matrix together (the same on every process)."""
    recipe = plan.recipe
    section = recipe.compressor
    compressions, lm = _compressions(plan, processes, quiet)
    scorer_section = plan.scorer_section
    scorer_model = lm if scorer_section in (section.model, frozen(section.model)) else None
    base_only = scorer_model is not None and scorer_section.adapter is None and section.model.adapter is not None
    lm = None  # one model in memory at a time
    if scorer_model is None:
        scorer_model = load(scorer_section.name, plan.scorer.reference.revision, scorer_section.dtype, scorer_section.adapter)
    continuations = express(
        scorer_model.tokenizer, compressions, recipe.scorer in (None, section.model), scorer_model.reference.name
    )

    position = {p.id: i for i, p in enumerate(plan.problems)}
    own_C = [position[z.problem_id] for z in compressions]
    pool = Pool(
        documents=plan.problems,
        problems=[plan.problems[i] for i in own_C],
        versions={p.id: found for p, found in zip(plan.problems, plan.pool.counterfactuals, strict=True)},
        query=recipe.query,
        strata=None if recipe.far is None else _strata(recipe, recipe.far, own_C, [p.group for p in plan.problems]),
    )
    matrix = score_pool(
        scorer_model,
        scorer_section.adapter,
        pool,
        continuations,
        [f"{z.problem_id}#{z.sample}" for z in compressions],
        Prompt.of(section.prompt),
        Path(recipe.output_dir) / "scores",
        recipe.memory_mib,
        recipe.tokens,
        processes,
        quiet,
        base_only,
    )
    matrix.about.update(
        sampler=plan.is_sampler,
        compressor={**section.model_dump(), "revision": plan.compressor.reference.revision},
        data={"name": plan.data.name, "revision": plan.data.revision, "split": plan.data.split},
        drawn=plan.drawn,
        preset=recipe.preset,
        seed=recipe.seed,
        print_clipped=recipe.print_clipped,
        rate_tokens=float(np.mean([z.rate_tokens for z in compressions])),
    )
    return matrix


def _strata(recipe: InformationRecipe, far: int, own_C: Sequence[int], topics: Sequence[str | None]) -> Strata:
    """Which documents each compression is scored under; near ones are those of its topic, if any are asked for."""
    near_of: list[list[int]] = [[] for _ in topics]
    if recipe.near:
        near_of = [[k for k, t in enumerate(topics) if t is not None and t == topic] for topic in topics]
    return draw_strata(len(topics), own_C, near_of, recipe.near, far, np.random.default_rng(recipe.seed))


def _compressions(plan: Measurement, processes: Processes, quiet: bool) -> tuple[list[Compression], LoadedModel | None]:
    """All compressions in the order of problems and samples; the model if it had to be loaded."""
    recipe, section = plan.recipe, plan.recipe.compressor
    directory = Path(recipe.output_dir) / "compressions"
    identity = {**section.model_dump(exclude={"label"}), **plan.compressor.identity}
    batches = []
    for sample in range(recipe.samples):
        for start in range(0, len(plan.problems), recipe.batch_size):
            problems = plan.problems[start : start + recipe.batch_size]
            # a draw depends on the whole batch, so a batch is the unit that is kept
            texts = [[p.id, p.document, p.query] for p in problems]
            batches.append((content_key(compressor=identity, problems=texts, sample=sample, seed=recipe.seed), sample, problems))
    held = _read_batches(directory)
    missing = [b for b in batches if b[0] not in held]
    processes.wait()
    mine = missing[processes.index :: processes.number]
    lm = None
    if mine:
        lm = load(section.model.name, plan.compressor.reference.revision, section.model.dtype, section.model.adapter)
        records = RecordFile(directory / str(processes.index))
        total = sum(len(problems) for _, _, problems in mine)
        with Progress(total, "compress", "text", quiet) as bar:
            for key, sample, problems in mine:
                drawn = _draw(lm, problems, sample, recipe)
                records.append({"key": key, "status": "ok", "compressions": [vars(z) for z in drawn]})
                bar.update(len(problems))
    processes.wait()
    held = _read_batches(directory)
    found = {(z.problem_id, z.sample): z for key, _, _ in batches for z in held[key]}
    return [found[p.id, s] for p in plan.problems for s in range(recipe.samples)], lm


def _draw(lm: LoadedModel, problems: Sequence[Problem], sample: int, recipe: InformationRecipe) -> list[Compression]:
    section = recipe.compressor
    prompts = [compressor_ids(lm.tokenizer, p.document, p.query, Prompt.of(section.prompt)) for p in problems]
    ids, seed = [p.id for p in problems], batch_seed(recipe.seed, sample, problems[0].id)
    return generate(lm, prompts, ids, section.max_tokens, section.temperature, seed, sample)


def _read_batches(directory: Path) -> dict[str, list[Compression]]:
    rows: Iterable[dict[str, Any]] = (r for f in sorted(directory.glob(f"*/{RECORDS_FILE}")) for r in read_jsonl(f))
    return {row["key"]: [Compression(**{**z, "token_ids": tuple(z["token_ids"])}) for z in row["compressions"]] for row in rows}
