"""What a data set holds, counted: the content of `infoagent data show`.

Beside the sets of problems there are two that recipes of their own read: `conversations` (chat logs, for compaction and
rounds) and `tasks` (what a research report is to be written on).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from infoagent.data.reading.hub import missing_path
from infoagent.data.reading.tables import bytes_identity, table_files
from infoagent.data.registry import DATA_SETS, load_data
from infoagent.data.sets.histories import questions_on, read_talks
from infoagent.data.sets.research_tasks import load_tasks
from infoagent.grading.words import count_words
from infoagent.types import InputError

SHOWN = 3
ASKED_TURNS = 2
"""As many first turns of a conversation as a recipe of compaction asks about unless it says otherwise."""


def overview(section: Mapping[str, Any]) -> dict[str, Any]:
    """`name, revision, split, problems, documents, groups, words, left_out, benchmark, first` of a data section, whose
    entries are the arguments of `load_data`. `words` are the fewest, the median and the most of a document.

    Raises InputError where the set cannot be loaded.
    """
    name = section["name"]
    if name in OTHERS and name not in DATA_SETS:
        given = [key for key in ("questions", "limit", "evidence_tokens") if section.get(key) is not None]
        if given:
            raise InputError(f"data.{given[0]}: has no meaning for data.name={name}; drop it")
        return OTHERS[name](section)
    data = load_data(**section)
    lengths = [count_words(text) for text in {p.document for p in data.problems}]
    return {
        "name": data.name,
        "revision": data.revision,
        "split": data.split,
        "problems": len(data),
        "documents": len(data.documents),
        "groups": len(data.groups),
        "words": _spread(lengths),
        "left_out": dict(data.left_out),
        "benchmark": data.benchmark,
        "first": [asdict(problem) for problem in data.problems[:SHOWN]],
    }


def _conversations(section: Mapping[str, Any]) -> dict[str, Any]:
    """A document is a conversation; a problem a question on one of its first turns, its own or a blank."""
    left_out: Counter[str] = Counter()
    revision, talks = read_talks("conversations", section["path"], section["revision"], left_out)
    asked = questions_on(talks, ASKED_TURNS, section["seed"])
    return {
        "name": "conversations",
        "revision": revision,
        "split": "all",
        "problems": sum(map(len, asked)),
        "documents": len(talks),
        "groups": 0,
        "words": _spread([sum(count_words(turn) for turn in turns) for _, turns, _ in talks]),
        "turns": _spread([len(turns) for _, turns, _ in talks]),
        "left_out": dict(+left_out),
        "benchmark": None,
        "first": [
            {"id": identity, "turns": list(turns), "questions": [asdict(problem) for _, problem in found]}
            for (identity, turns, _), found in zip(talks[:SHOWN], asked[:SHOWN], strict=True)
        ],
    }


def _tasks(section: Mapping[str, Any]) -> dict[str, Any]:
    """A problem is a task; its documents are found by whoever researches."""
    if section["path"] is None:
        raise missing_path("tasks", "tasks.jsonl")
    files = table_files("tasks", section["path"])
    tasks = load_tasks(section["path"])
    return {
        "name": "tasks",
        "revision": bytes_identity(*files),
        "split": "all",
        "problems": len(tasks),
        "documents": 0,
        "groups": 0,
        "words": _spread([count_words(task.task) for task in tasks]),
        "left_out": {},
        "benchmark": None,
        "first": [asdict(task) for task in tasks[:SHOWN]],
    }


OTHERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"conversations": _conversations, "tasks": _tasks}


def _spread(numbers: list[int]) -> dict[str, float]:
    return {"least": min(numbers), "median": median(numbers), "most": max(numbers)}
