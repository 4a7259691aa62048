"""Every data set by name."""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.data import own, python_reference, records
from infoagent.types import InputError, ProblemSet


@dataclass(frozen=True)
class DataSet:
    """A line of `infoagent data ls`."""

    name: str
    needs_path: bool
    description: str


DATA_SETS = {
    d.name: d
    for d in (
        DataSet("records", False, "seeded records of patients, companies, shipments; exact counterfactuals"),
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
    if name == "records":
        return records.load(split, limit, seed, min_words, max_words)
    if name == "python-reference":
        return python_reference.load(split, limit, seed, min_words, max_words)
    if name == "jsonl":
        return own.load_jsonl(path, split, limit)
    return own.load_text(path, split, limit, seed, min_words, max_words)
