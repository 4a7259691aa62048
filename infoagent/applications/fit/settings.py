"""What a user asks of `infoagent fit`, and where its parts lie in DIR. Imports no model and no torch."""

from __future__ import annotations

import difflib
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infoagent.config import apply_override
from infoagent.data.reading.documents import SUFFIXES
from infoagent.data.reading.tables import JSON_LINES, kind_of
from infoagent.data.registry import DATA_SETS
from infoagent.recipe_files import recipe_content, shortened
from infoagent.shipped import shipped
from infoagent.types import InputError

logger = logging.getLogger(__name__)

RECIPES = ("warm-start", "train", "evaluate")
"""Stages that run a script with a recipe: `STAGE.key=value` reaches that recipe."""
SHARED = ("data", "negatives", "model")
"""Sections that all of them have: `data.key=value` reaches all."""
TABLES = (*JSON_LINES, ".json", ".csv", ".tsv", ".parquet")
_SHARED_GIVEN = {
    "model.name": "is given by --model; drop it here",
    "data.name": "is given by DOCUMENTS; drop it here",
    "data.path": "is given by DOCUMENTS; drop it here",
    "data.split": "is given by the stage: both trainings take train, the evaluation takes test; drop it here",
}
_STAGE_GIVEN = {
    "output_dir": "is given by --out, below which every stage has its place; drop it here",
    "evaluate.checkpoint": "is the best one of stage train; drop it, or run eval/checkpoint.py for another",
    "train.init_adapter": "is the best one of stage warm-start; drop it, and name the adapter to begin with by --adapter",
}


@dataclass(frozen=True)
class FitSettings:
    """The command line."""

    documents: str
    budget: int
    out: Path
    model: str = "smollm2-135m"
    size: str = "standard"
    launch: str = "cpu"
    adapter: str | None = None
    overrides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By stage or shared section, each without that word in front."""

    @property
    def longest(self) -> int:
        """Tokens at which a compression is cut off. The budget is a mean, so that single ones may be longer."""
        return self.budget + max(8, self.budget // 2)

    @property
    def launch_config(self) -> Path:
        """The configuration of accelerate. Raises InputError for an unknown one."""
        if self.launch.endswith((".yaml", ".yml")) and Path(self.launch).is_file():
            return Path(self.launch).resolve()
        found = {file.stem: file for file in sorted(shipped("accelerate_configs").glob("*.yaml"))}
        if self.launch not in found:
            raise InputError(f"--launch {self.launch}: is unknown; allowed are {', '.join(found)}, or a file of accelerate's")
        return found[self.launch]

    def base(self, stage: str) -> dict[str, Any]:
        """The base recipe of a stage, with what the user overrides of the shared sections left out."""
        return recipe_content(shipped(f"configs/fit/{self.size}/{stage}.yaml"))

    def overridden(self, section: str, content: dict[str, Any]) -> dict[str, Any]:
        """A shared section with the user's values in it."""
        for override in self.overrides.get(section, ()):
            apply_override(content, override)
        return content


def sizes() -> list[str]:
    """Names of `--size`: the folders of base recipes."""
    return sorted(folder.name for folder in shipped("configs/fit").iterdir() if folder.is_dir())


def by_owner(overrides: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`train.grpo.steps=6` → {"train": ("grpo.steps=6",)}. Raises InputError, a line for each that names no stage, or that
    gives what a fit gives itself."""
    found: dict[str, list[str]] = defaultdict(list)
    mistakes = []
    for override in overrides:
        owner, dot, rest = override.partition(".")
        if dot and "=" in rest and owner in (*RECIPES, *SHARED):
            found[owner].append(rest)
            mistakes += _given(override)
            continue
        close = difflib.get_close_matches(re.split(r"[.=]", override)[0][:40], [*RECIPES, *SHARED], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"a stage is one of {', '.join(RECIPES)}"
        mistakes.append(f"{override[:80]!r}: write STAGE.key=value, or {'.key=value, '.join(SHARED)}.key=value; {hint}")
    if mistakes:
        raise InputError(mistakes)
    return {owner: tuple(texts) for owner, texts in found.items()}


def _given(override: str) -> list[str]:
    """A line for each value of an override that a fit gives itself, on which its stages agree: the user's own would send one
    of them elsewhere. `evaluate.data.0.split` and `train.data={split: all}` are data.split as well."""
    content: dict[str, Any] = {}
    try:
        apply_override(content, override)
    except InputError as error:
        return list(error.problems)
    mistakes = []
    for key, value in _leaves(content):
        owner, _, rest = key.partition(".")
        shared = _SHARED_GIVEN.get(key if owner in SHARED else rest)
        said = shared or _STAGE_GIVEN.get(key) or (_STAGE_GIVEN.get(rest) if owner in RECIPES else None)
        if key == "evaluate.compare" and not value:
            said = "must name two compressors at least, on which the report is built; drop it, or name them as [[frozen, ...]]"
        if said:
            mistakes.append(f"{shortened(override.partition('=')[0], 80)}: {said}")
    return list(dict.fromkeys(mistakes))


def _leaves(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key without the numbers of lists, value) of every value; an empty section or list is one."""
    if not isinstance(content, dict | list) or not content:
        yield key, content
        return
    for name, value in content.items() if isinstance(content, dict) else ((None, value) for value in content):
        yield from _leaves(value, key if name is None or str(name).isdigit() else f"{key}.{name}".lstrip("."))


def data_source(documents: str) -> dict[str, Any]:
    """`name` and `path` of the data section for what the user calls the documents: a data set of `infoagent data ls`, a
    folder or file of texts, or a file of problems. Raises InputError for anything else."""
    known, path = DATA_SETS.get(documents), Path(documents).expanduser()
    if known is not None:
        if known.needs_path and known.hub is None:
            raise InputError(f"DOCUMENTS {documents!r}: is a kind of data, not data; give the file or folder itself")
        if path.exists():
            logger.warning("DOCUMENTS %r: the data set of that name; the file or folder here is ./%s", documents, documents)
        return {"name": documents}
    if not path.exists():
        close = difflib.get_close_matches(documents, DATA_SETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "give a file, a folder, or a data set of `infoagent data ls`"
        raise InputError(f"DOCUMENTS {documents!r}: no such file or folder; {hint}")
    place = str(path.resolve())
    if path.is_dir() or kind_of(path) in SUFFIXES:
        return {"name": "text", "path": place}
    if kind_of(path) in TABLES:
        return {"name": "jsonl", "path": place}
    raise InputError(f"DOCUMENTS {documents!r}: ends in none of {', '.join((*SUFFIXES, *TABLES))}; bring it as one of them")
