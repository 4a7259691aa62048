"""Research tasks: what a report is to be written on, and what is known of its answer.

From a JSONL file (`id`, `task`, optionally `reference`, a report to compare with, and `facts`, values that the report
should state), or built from `records`, where everything that is asked is known.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infoagent.data.record_templates import Fact
from infoagent.data.records import Record, make_known_problem
from infoagent.data.schema import TEXT, ListOf, Maybe, Mistakes, Schema
from infoagent.types import InputError

FIELDS = ("id", "task", "reference", "facts")
ROW: dict[str, Schema] = {"id": TEXT, "task": TEXT, "reference": Maybe(TEXT), "facts": Maybe(ListOf(TEXT, least=1))}


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
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # not splitlines: strings may hold other line ends
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    mistakes, tasks = Mistakes(str(file)), []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            mistakes.rows += 1
            mistakes.add(where, [f"not valid JSON: {error.msg} at column {error.colno}"])
            continue
        good = mistakes.fit(where, row, ROW)
        if isinstance(row, dict) and (unknown := sorted(set(row) - set(FIELDS))):
            mistakes.add(where, [f"field {unknown[0]!r}: unknown; allowed are {', '.join(FIELDS)}"])
        elif good and mistakes.unique(where, "id", row["id"]):
            tasks.append(ResearchTask(row["id"], row["task"], row.get("reference"), tuple(row.get("facts") or ())))
    mistakes.settle()
    return tasks


def tasks_of_records(
    number: int, records: int, facts: int, corpus: int, split: str, seed: int, min_words: int | None, max_words: int | None
) -> list[ResearchTask]:  # fmt: skip
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
    return [
        _task(f"records-{split}-{seed}-task-{n:02d}", groups[g], drawn, usable, facts, rng)
        for n, g in enumerate(chosen)
    ]


def _task(
    identity: str, group: list[int], drawn: list[Record], usable: dict[int, list[tuple[Fact, str, int]]], facts: int,
    rng: np.random.Generator,
) -> ResearchTask:  # fmt: skip
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
