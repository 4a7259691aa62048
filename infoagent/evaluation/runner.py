"""Problem × compressor × predictor → records.

For each compression: its text and rate; its log-probability under the source and under easy (random, topic, sibling)
and hard (counterfactual) negatives; whether the asked fact stands in it and what in it is made up. For each predictor:
what it answers, seeing only the compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infoagent.evaluation.cells import Cell, packs, plan_cells
from infoagent.evaluation.compressing import as_known_now, compress_pack, compression_key
from infoagent.evaluation.engines import EnginePool, served_sections
from infoagent.evaluation.estimate import describe_rest
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.predicting import predict_cell, prediction_key
from infoagent.evaluation.records import RecordFile, Shard
from infoagent.evaluation.replies import Replies
from infoagent.phases import PhaseTimes
from infoagent.progress import Progress, say
from infoagent.recipes import EvaluationRecipe
from infoagent.records.grid import GridRecord, PredictionRecord, record_of

__all__ = ["Cell", "collect", "evaluate", "plan_cells"]


def evaluate(
    recipe: EvaluationRecipe,
    cells: Sequence[Cell],
    quiet: bool = False,
    shard: Shard = Shard(),  # noqa: B008 (frozen)
    times: PhaseTimes | None = None,
) -> list[GridRecord]:
    """Compute what recipe.output_dir does not hold yet of this process's share. Returns the records of this grid.

    The directory may hold records of other grids as well: they are kept, and not returned.
    """
    records = RecordFile(recipe.output_dir, shard)
    times = times or PhaseTimes()
    engines = EnginePool(served_sections(recipe, cells), recipe.vllm, times)
    pool = ModelPool(recipe.memory_mib, times, engines)
    replies = Replies(recipe, records, pool, shard.number)
    draws = [(seed, sample) for seed in recipe.seeds for sample in range(recipe.samples)]
    if not quiet:
        sets = {cell.data.name: cell.data for cell in cells}
        say(f"{recipe.output_dir}: {describe_rest(recipe, list(sets.values()), _held(cells, draws, records))}")
    try:
        for pack in packs(cells):
            # one bar for each kind of work: a compression costs many times what a prediction does
            title = ", ".join(cell.compressor.label for cell in pack[:2]) + (" …" if len(pack) > 2 else "")
            work = len(pack) * len(pack[0].problems) * len(draws) // shard.number
            with Progress(work, f"{title} on {pack[0].data.name}: compress and score", "text", quiet) as bar:
                for seed, sample in draws:
                    compress_pack(recipe, pack, sample, seed, records, pool, replies, shard, bar)
        for predictor in recipe.predictors:
            work = sum(len(cell.problems) for cell in cells) * len(draws) // shard.number
            with Progress(work, f"{predictor.title} answers", "text", quiet) as bar:
                for cell in cells:
                    for seed, sample in draws:
                        with pool.times("predict"):
                            predict_cell(recipe, cell, predictor, sample, seed, records, replies, pool, shard, bar)
    finally:
        engines.close()
    return collect(recipe, cells, records)


def _held(cells: Sequence[Cell], draws: Sequence[tuple[int, int]], records: RecordFile) -> set[str]:
    """Labels of the compressors of which every compression is there."""
    missing = {
        cell.compressor.label
        for cell in cells
        for seed, sample in draws
        if not all(records.settled(compression_key(cell, i, sample, seed)) for i in range(len(cell.problems)))
    }
    return {cell.compressor.label for cell in cells} - missing


def collect(recipe: EvaluationRecipe, cells: Sequence[Cell], records: RecordFile) -> list[GridRecord]:
    """The records of a grid as far as they are there, under the labels of this recipe and with what its data say today."""
    found: list[GridRecord] = []
    for cell in cells:
        # a label is a name for this grid only, so it comes from the recipe and not from an earlier record
        label, curve = cell.compressor.label, cell.compressor.curve_name
        asked: dict[str, tuple[int, str | None]] = {}  # of each key the problem, and the title of the predictor that answers
        for seed in recipe.seeds:
            for sample in range(recipe.samples):
                indices = range(len(cell.problems))
                asked |= {compression_key(cell, i, sample, seed): (i, None) for i in indices}
                for predictor in recipe.predictors:
                    asked |= {prediction_key(recipe, cell, predictor, i, sample, seed): (i, predictor.title) for i in indices}
        for key, (index, title) in asked.items():
            if key not in records.rows:
                continue
            record = as_known_now(record_of(records.rows[key]), cell, index)
            record = replace(record, compressor=replace(record.compressor, label=label, curve=curve))
            if isinstance(record, PredictionRecord):
                record = replace(record, predictor=replace(record.predictor, label=title))
            found.append(record)
    return found
