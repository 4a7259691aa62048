"""`infoagent fit`: from documents to an adapter, in stages that go on where they were killed."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from pathlib import Path

from infoagent.applications.fit.settings import FitSettings, by_owner, sizes
from infoagent.types import InputError


def fit(arguments: argparse.Namespace) -> None:
    if arguments.size not in sizes():
        raise InputError(f"--size {arguments.size}: is unknown; allowed are {', '.join(sizes())}")
    from infoagent.applications.fit.launching import default_launch

    launch = arguments.launch or default_launch()
    settings = FitSettings(
        documents=arguments.documents,
        budget=arguments.budget,
        out=Path(arguments.out or _place(arguments.documents, arguments.budget)).absolute(),
        model=arguments.model,
        size=arguments.size,
        launch=launch,
        adapter=arguments.adapter,
        overrides=by_owner(arguments.overrides),
    )
    from infoagent.applications.fit.check import check
    from infoagent.applications.fit.ending import ending
    from infoagent.applications.fit.run import check_directory, run_fit
    from infoagent.applications.fit.stages import STAGES

    plan, found = check(settings)
    before = check_directory(plan, found)
    print("\n".join(found.lines))
    for number, stage in enumerate(STAGES, start=1):
        print(f"\n{number}/{len(STAGES)} {stage.name}: {stage.title}\n{stage.described(plan)}")
    if arguments.dry_run:
        return
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the running stage along
    run_fit(plan, found, before, arguments.quiet)
    print("\n" + ending(plan))


def _place(documents: str, budget: int) -> str:
    name = re.sub(r"[^\w.-]+", "-", Path(documents).name) or "documents"
    return f"runs/fit/{name}-{budget}"
