"""Every data set by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infoagent.data import own, python_reference, records, shannon, squad
from infoagent.types import InputError, Problem, ProblemSet


@dataclass(frozen=True)
class DataSet:
    """A line of `infoagent data ls`."""

    name: str
    needs_path: bool
    description: str
    evaluation_only: bool = False
    """A benchmark: training on it is refused."""


DATA_SETS = {
    d.name: d
    for d in (
        DataSet("records", False, "seeded records of patients, companies, shipments; exact counterfactuals"),
        DataSet(
            "shannon", False, "four independent facts of known distribution; limits can be computed; for a tiny model"
        ),
        DataSet(
            "python-reference",
            False,
            "the Python language reference in passages, cloze questions, group = topic",
        ),
        DataSet(
            "jsonl",
            True,
            "your own problems: id, document, query [answer, choices, group, negatives, evidence]",
        ),
        DataSet("text", True, "your own .txt and .md files in passages, cloze questions, group = file"),
        DataSet("squad", True, "SQuAD's JSON file: questions on paragraphs, group = article", evaluation_only=True),
    )
}


def load_data(
    name: str,
    path: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    min_words: int | None = None,
    max_words: int | None = None,
) -> ProblemSet:
    """The problems of one split. Raises InputError for an unknown name or wrong data, every mistake at once."""
    if name not in DATA_SETS:
        import difflib

        close = difflib.get_close_matches(name, DATA_SETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(DATA_SETS)}"
        raise InputError(f"data.name: {name!r} is unknown; {hint}")
    if path is not None and not DATA_SETS[name].needs_path:
        raise InputError(
            f"data.path: data.name={name} is built in and takes no path; for your own data use jsonl or text"
        )
    if name == "records":  # any number of records can be made
        return records.load(split, limit, seed, min_words, max_words)
    if name == "shannon":
        return shannon.load(split, limit, seed, min_words, max_words)
    if name == "python-reference":
        data = python_reference.load(split, seed, min_words, max_words)
    elif name == "squad":
        data = squad.load(path, split, min_words, max_words)
    elif name == "jsonl":
        data = own.load_jsonl(path, split)
    else:
        data = own.load_text(path, split, seed, min_words, max_words)
    if not data.problems:
        raise InputError(f"data: split {split!r} of {name} holds no problem with these word limits; widen them")
    return data if limit is None else replace(data, problems=_drawn(data.problems, limit, seed))


def _drawn(problems: tuple[Problem, ...], limit: int, seed: int) -> tuple[Problem, ...]:
    """`limit` problems drawn by `seed`, in their old order; a smaller limit draws a part of a larger one's."""
    order = np.random.default_rng(seed).permutation(len(problems))[:limit]
    return tuple(problems[int(i)] for i in sorted(order))
