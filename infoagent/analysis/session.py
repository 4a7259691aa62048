"""A whole evaluation: records, texts, run.json, summary.json, analysis.json. What eval/frozen.py and
eval/checkpoint.py share."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.analysis.curves import analyse
from infoagent.costs import price_snapshot
from infoagent.evaluation.cells import Cell
from infoagent.evaluation.costing import with_break_even
from infoagent.evaluation.records import RecordFile, Shard
from infoagent.evaluation.replies import check_endpoints, check_sandbox
from infoagent.evaluation.runner import collect, evaluate
from infoagent.evaluation.summary import summarise
from infoagent.files import only_writer, read_jsonl, write_json, write_jsonl
from infoagent.lm.machine.device import default_device
from infoagent.lm.scoring.jobs import Processes, current_processes
from infoagent.mirror import wandb_mode
from infoagent.phases import PhaseTimes
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import DOCUMENTS_FILE, PROBLEMS_FILE
from infoagent.records.grid import GridRecord, PredictionRecord
from infoagent.records.json_form import as_json
from infoagent.records.summaries import ANALYSIS_FILE, SUMMARY_FILE, Summary
from infoagent.store import SCHEMA_VERSION, check_output_dir, provenance, text_id
from infoagent.types import RunFailed

logger = logging.getLogger(__name__)


def run_grid(
    recipe: EvaluationRecipe, cells: Sequence[Cell], quiet: bool, shard: Shard
) -> tuple[list[GridRecord], list[Summary]] | None:
    """Evaluate this process's share. Returns (records, summaries) where everything is there; None where this was one
    part of the work, and another process or a later call summarises."""
    wandb_mode(recipe.tracking.wandb)  # a login that is missing is said before the work, not after
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    processes = current_processes(on_cpu=default_device() == "cpu") if launched else Processes()
    made = provenance()
    records, summaries = run_evaluation(recipe, cells, quiet or shard.index > 0, shard, made)
    if shard.number == 1:
        return records, summaries
    if not launched:
        print(f"shard {shard.index + 1} of {shard.number} done; when all are, run the same command without --shard")
        return None
    processes.wait()
    return None if shard.index else finish_together(recipe, cells, made)


def run_evaluation(
    recipe: EvaluationRecipe,
    cells: Sequence[Cell],
    quiet: bool,
    shard: Shard = Shard(),  # noqa: B008 (frozen)
    made: Mapping[str, Any] | None = None,
) -> tuple[list[GridRecord], list[Summary]]:
    """Evaluate the grid and write what it found. Returns (records, summaries) of these cells. `made`: commit, command and start,
    of the moment at which it begins: the tree may change while it runs.

    One of several shards only adds its records; the call without a shard, after them, computes what is missing and
    summarises everything.
    """
    made = made or provenance()
    check_output_dir(recipe.output_dir, "evaluate")
    check_endpoints(recipe)
    check_sandbox(recipe)
    times = PhaseTimes()
    with only_writer(recipe.output_dir, shard.suffix):
        _begin(recipe, cells, made)
        records = evaluate(recipe, cells, quiet, shard, times)
        summaries = []
        if shard.number == 1:
            with times("analyse"):
                summaries = _write_results(recipe, cells, records, made)
    logger.info("%s: %s", recipe.output_dir, times.line())
    return records, summaries


def finish_together(
    recipe: EvaluationRecipe, cells: Sequence[Cell], made: Mapping[str, Any]
) -> tuple[list[GridRecord], list[Summary]]:
    """Summarise what the processes of one launch left; they have all ended their share."""
    records = collect(recipe, cells, RecordFile(recipe.output_dir))
    return records, _write_results(recipe, cells, records, made)


def check_compressions(summaries: Sequence[Summary]) -> None:
    """Raises RunFailed where something was to be compressed and not one compression could be measured; records and tables
    are kept all the same."""
    asked = [s for s in summaries if s.is_point]
    if asked and all(s.failed == s.n_compressions for s in asked):
        causes = Counter[str]()
        for summary in asked:
            causes.update(summary.failed_causes)
        told = ", ".join(f"{cause}: {count}" for cause, count in causes.items())
        raise RunFailed(f"no compression could be measured ({told}); records.jsonl tells of each")


def _begin(recipe: EvaluationRecipe, cells: Sequence[Cell], made: Mapping[str, Any]) -> None:
    """run.json before the first record, so that a killed grid goes on as it began; that of an earlier grid stays."""
    file = Path(recipe.output_dir) / "run.json"
    if not file.is_file():
        write_json(file, _facts(recipe, cells, made))


def _facts(recipe: EvaluationRecipe, cells: Sequence[Cell], made: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": "evaluate",
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe.model_dump(mode="json"),
        "data_revisions": {c.data.name: c.data.revision for c in cells},
        "drawn": [
            {
                "data": c.data.name,
                "split": c.data.split,
                "problems": len(c.problems),
                "left_out": dict(c.data.left_out),
                "short": dict(c.short),
            }
            for c in {c.data.name: c for c in cells}.values()
        ],
        "tokenizers": {c.compressor.model.name: c.revision for c in cells},
        "price_snapshot": price_snapshot(),
        "seeds": recipe.seeds,
        **made,
    }


def _say_anew(out: Path, records: Sequence[GridRecord]) -> None:
    """Say anew what the file says otherwise: labels and what the data tell of a problem are those of the last grid, and
    whoever reads the file alone must find what the tables say."""
    held = RecordFile(out)
    held.append(*(r for r in records if _told(held.record(r.key)) != _told(r)))


def _told(record: GridRecord) -> tuple[Any, ...]:
    """What of a record its key does not decide."""
    told = (record.compressor.label, record.compressor.curve, record.data, record.document_id)
    if isinstance(record, PredictionRecord):
        return *told, record.predictor.label
    return *told, record.group, record.answer, record.fact_kept, record.audit


def _write_results(
    recipe: EvaluationRecipe, cells: Sequence[Cell], records: Sequence[GridRecord], made: Mapping[str, Any]
) -> list[Summary]:
    out = Path(recipe.output_dir)
    _say_anew(out, records)
    _keep_texts(out, cells)
    run = _facts(recipe, cells, made)
    write_json(out / "run.json", {**run, "record_keys": [r.key for r in records]})
    summaries = with_break_even(summarise(records, recipe.price))
    write_json(out / SUMMARY_FILE, {**run, "summaries": as_json(summaries)})
    analysis = analyse(records, seed=recipe.seeds[0], resamples=recipe.resamples)
    write_json(out / ANALYSIS_FILE, {"schema_version": SCHEMA_VERSION, **analysis})
    return summaries


def _keep_texts(out: Path, cells: Sequence[Cell]) -> None:
    """Questions and documents beside the records, which name them by key; each once, over all grids of a directory."""
    problems = {(r["data"], r["problem_id"], r["document_key"]): r for r in _rows(out / PROBLEMS_FILE)}
    documents = {r["document_key"]: r for r in _rows(out / DOCUMENTS_FILE)}
    for cell in cells:
        for p in cell.problems:
            key = text_id(p.document)
            documents[key] = {"document_key": key, "text": p.document}
            problems[cell.data.name, p.id, key] = {
                "data": cell.data.name, "problem_id": p.id, "document_key": key, "query": p.query, "answer": p.answer,
                "choices": list(p.choices), "evidence": list(p.evidence), "group": p.group,
            }  # fmt: skip
    for name, found in ((PROBLEMS_FILE, problems.values()), (DOCUMENTS_FILE, documents.values())):
        write_jsonl(out / name, found)


def _rows(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path) if path.is_file() else []
