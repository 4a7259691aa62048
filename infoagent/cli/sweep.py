"""`infoagent sweep`: a W&B sweep file run here, one run after the other, and the frontier of what it trained."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from pathlib import Path

from infoagent.config import load_recipe
from infoagent.lm.settling import settle
from infoagent.recipes import EvaluationRecipe, GRPORecipe
from infoagent.training.sweep.grid import SweepRun, plan_sweep


def sweep(arguments: argparse.Namespace) -> int:
    file, runs = plan_sweep(arguments.sweep, arguments.out)
    if arguments.evaluate is not None:
        where = json.dumps(str(Path(arguments.out) / "eval"))
        load_recipe(EvaluationRecipe, arguments.evaluate, [f"output_dir={where}"])
    from infoagent.training.sweep.run import RECORD_FILE, Sweep

    work = Sweep(arguments.sweep, file, runs, arguments.out, arguments.quiet)
    if arguments.dry_run:
        _show(work.rows, runs)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the running training along
    failed = work.run(arguments.evaluate)
    print(Path(arguments.out) / RECORD_FILE)
    if failed:
        print(f"failed: {failed} of {len(runs)} runs; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _show(rows: dict[str, dict[str, object]], runs: list[SweepRun]) -> None:
    print(f"plan: {len(runs)} runs, one after the other")
    for run in runs:
        values = " ".join(f"{key}={json.dumps(value)}" for key, value in run.parameters.items())
        print(f"  {run.name}: {rows[run.name]['status']}; {values}")
    first = runs[0]
    print(f"\n{first.name}:\n  {shlex.join(first.command)}")
    if isinstance(first.recipe, GRPORecipe):
        from infoagent.training.estimate import describe_grpo

        print(describe_grpo(settle(first.recipe, dry_run=True)))
