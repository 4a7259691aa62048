"""A whole run of rounds or of compactions: records, then the summary with what it needs to be repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infoagent.applications.rounds.compaction import CompactionPlan, run_compaction
from infoagent.applications.rounds.compaction_summary import against_last, summarise_compaction
from infoagent.applications.rounds.recipe import StepsRecipe
from infoagent.applications.rounds.steps import Workplace
from infoagent.applications.rounds.talks import RoundsPlan, run_rounds
from infoagent.applications.rounds.talks_summary import summarise_rounds
from infoagent.costs import price_snapshot
from infoagent.evaluation.replies import check_endpoints
from infoagent.files import only_writer, write_json
from infoagent.store import SCHEMA_VERSION, check_output_dir, provenance
from infoagent.types import RunFailed

ROUNDS_FILE, COMPACTION_FILE = "rounds.json", "compaction.json"


def measure_rounds(plan: RoundsPlan, quiet: bool) -> dict[str, Any]:
    """Run what is missing, write rounds.json, and return its content. Raises RunFailed where no talk came to its end."""
    with _opened(plan.recipe, "rounds") as place:
        talks = run_rounds(plan, place, quiet)
        data = {"name": plan.data.name, "revision": plan.data.revision, "split": plan.data.split}
        data |= {name: plan.drawn[name] for name in ("left_out", "short")}
        about = {"data": data, "problems": len(plan.problems)}
        found = _write(plan.recipe, ROUNDS_FILE, {**about, **summarise_rounds(plan.recipe, place, talks)})
    if not any(system["after"] for system in found["systems"]):
        causes = Counter(cause for system in found["systems"] for cause in system["failed_causes"])
        raise RunFailed(
            f"no talk came to its end ({', '.join(causes)}); {plan.recipe.output_dir}/records.jsonl tells why; the same "
            "command tries again what failed"
        )
    return found


def measure_compaction(plan: CompactionPlan, quiet: bool) -> dict[str, Any]:
    """Run what is missing, write compaction.json, and return its content."""
    with _opened(plan.recipe, "compaction") as place:
        courses = run_compaction(plan, place, quiet)
        about = {
            "data": {"name": plan.data.name, "revision": plan.data.revision, "left_out": dict(plan.data.left_out)},
            "histories": len(plan.data.histories),
        }
        summary = {
            "compactors": summarise_compaction(plan.recipe, place, courses),
            "against_last": against_last(plan.recipe, place, courses),
        }
        return _write(plan.recipe, COMPACTION_FILE, {**about, **summary})


@contextmanager
def _opened(recipe: StepsRecipe, kind: str) -> Iterator[Workplace]:
    check_output_dir(recipe.output_dir, kind)
    check_endpoints(recipe.answering)
    with only_writer(recipe.output_dir):
        write_json(Path(recipe.output_dir) / "run.json", {"kind": kind, **_provenance(recipe)})
        yield Workplace.open(recipe)


def _provenance(recipe: StepsRecipe) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe.model_dump(mode="json"),
        "price_snapshot": price_snapshot(),
        **provenance(),
    }


def _write(recipe: StepsRecipe, name: str, found: dict[str, Any]) -> dict[str, Any]:
    write_json(Path(recipe.output_dir) / name, {**_provenance(recipe), **found})
    return found
