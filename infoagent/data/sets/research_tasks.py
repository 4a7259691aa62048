"""Research tasks: what a report is to be written on, and what is known of its answer.

From a file of rows (`id`, `task`, optionally `reference`, a report to compare with, and `facts`, values that the report
should state; or as DeepResearch-Bench has them: `id`, `prompt`, `topic`, `language`, and `article`, the reference), or built
from `records`, where everything that is asked is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.data.reading.schema import IDENTITY, STRING, TEXT, ListOf, Maybe, Mistakes, Schema
from infoagent.data.reading.tables import file_rows
from infoagent.data.sets.record_templates import Fact
from infoagent.data.sets.records import Record, make_known_problem
from infoagent.types import InputError

ROW: dict[str, Schema] = {"id": IDENTITY, "task": TEXT, "reference": Maybe(TEXT), "facts": Maybe(ListOf(TEXT, least=1))}
PROMPT: dict[str, Schema] = {
    "id": IDENTITY, "prompt": TEXT, "topic": Maybe(STRING), "language": Maybe(STRING), "article": Maybe(TEXT),
}  # fmt: skip
"""A row of DeepResearch-Bench (Du et al. 2025, arXiv 2506.11763)."""


@dataclass(frozen=True)
class ResearchTask:
    """`facts` are values that stand in the sources and belong into the report; none where they are not known."""

    id: str
    task: str
    reference: str | None = None
    facts: tuple[str, ...] = ()


def load_tasks(path: str) -> list[ResearchTask]:
    """Tasks of a JSONL file. Raises InputError with a line for each bad row."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"tasks.path = {path!r}: no such file; give a JSONL file with id and task in each row")
    mistakes, tasks = Mistakes(str(file)), []
    for row in file_rows(file, ":"):
        content = row.content
        schema = PROMPT if isinstance(content, dict) and "prompt" in content and "task" not in content else ROW
        good = mistakes.fit(row.where, content, schema)
        if isinstance(content, dict) and (unknown := sorted(set(content) - set(schema))):
            mistakes.add(row.where, [f"field {unknown[0]!r}: unknown; allowed are {', '.join(schema)}"])
        elif good and mistakes.unique(row.where, "id", str(content["id"])):
            tasks.append(_read(content))
    mistakes.settle()
    return tasks


def _read(row: Mapping[str, Any]) -> ResearchTask:
    identity = str(row["id"])
    if "task" not in row:
        return ResearchTask(identity, row["prompt"], row.get("article"))
    return ResearchTask(identity, row["task"], row.get("reference"), tuple(row.get("facts") or ()))


def tasks_of_records(
    number: int, records: int, facts: int, corpus: int, split: str, seed: int, min_words: int | None, max_words: int | None
) -> list[ResearchTask]:
    """`number` tasks on the first `corpus` records of a split, which are the corpus that `load_data` makes of them.

    A task asks for `facts` facts of each of `records` records of one kind (two patients, say). Whom it asks about has a
    name that no other record has, and every value that it asks for stands in no other record, so a value in a report
    was found or guessed, never read elsewhere. No record is in two tasks. The reference report says the asked facts in
    the records' own words. Raises InputError where the corpus is too small.
    """
    low = min_words if min_words is not None else min(80, max_words or 80)  # the limits that load_data takes
    high = max_words if max_words is not None else max(400, low)
    drawn = [make_known_problem(seed, split, i, low, high)[1] for i in range(corpus)]
    texts = [record.text() for record in drawn]
    names = Counter(record.name for record in drawn)
    usable = {}
    for place, record in enumerate(drawn):
        asked = [f for f in record.facts if sum(f[1] in text for text in texts) == 1]
        if names[record.name] == 1 and len(asked) >= facts:
            usable[place] = asked
    rng = np.random.default_rng([seed, number, records, facts])
    groups: list[list[int]] = []
    for kind in sorted({drawn[place].kind.name for place in usable}):
        places = [place for place in usable if drawn[place].kind.name == kind]
        order = [places[int(i)] for i in rng.permutation(len(places))]
        groups += [order[i : i + records] for i in range(0, len(order) - records + 1, records)]
    if len(groups) < number:
        raise InputError(
            f"tasks: {corpus} records give {len(groups)} tasks of {records} records with {facts} unmistakable facts each, "
            f"not {number}; raise search.corpus.data.limit, or ask for less"
        )
    chosen = sorted(int(i) for i in rng.permutation(len(groups))[:number])
    return [_task(f"records-{split}-{seed}-task-{n:02d}", groups[g], drawn, usable, facts, rng) for n, g in enumerate(chosen)]


def _task(
    identity: str,
    group: list[int],
    drawn: list[Record],
    usable: dict[int, list[tuple[Fact, str, int]]],
    facts: int,
    rng: np.random.Generator,
) -> ResearchTask:
    questions, reference, values = [], [], []
    for place in group:
        record, asked = drawn[place], usable[place]
        for i in sorted(int(i) for i in rng.permutation(len(asked))[:facts]):
            fact, value, _ = asked[i]
            questions.append(f"{record.name}: {fact.questions[0]}")
            reference.append(f"{record.name}: {fact.sentences[0].format(value=value, name=record.name)}")
            values.append(value)
    kind = drawn[group[0]].kind.name
    names = " and ".join([", ".join(drawn[p].name for p in group[:-1]), drawn[group[-1]].name][len(group) == 1 :])
    what = f"the {kind} {names}" if len(group) == 1 else f"the {PLURALS[kind]} {names}"
    task = f"Write a short report on {what}. It answers these questions:\n" + "\n".join(questions)
    return ResearchTask(identity, task, " ".join(reference), tuple(values))


PLURALS = {"patient": "patients", "company": "companies", "shipment": "ships"}
