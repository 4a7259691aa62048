"""Every data set by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from infoagent.data.identity import with_shared_ids
from infoagent.data.reading.hub import Hub
from infoagent.data.sets import (
    continuations,
    financebench,
    fineweb,
    humaneval,
    longhealth,
    math_problems,
    own,
    python_functions,
    python_reference,
    qasper,
    records,
    shannon,
    squad,
    wildchat,
    word_problems,
)
from infoagent.grading.words import count_words
from infoagent.types import InputError, Problem, ProblemSet


@dataclass(frozen=True)
class DataSet:
    """A line of `infoagent data ls`."""

    name: str
    needs_path: bool
    """It is not built in: it is read from data.path, or from the hub where it is there."""
    description: str
    evaluation_only: bool = False
    """A benchmark: training on it is refused."""
    hub: Hub | None = None
    """Where it is read from without a path, and the pinned revision."""
    takes_questions: bool = False
    """Its documents come without questions: data.questions may name a file of them."""

    @property
    def line(self) -> str:
        """Name, where it comes from, whether it may be trained on, what it is."""
        source = "built in" if not self.needs_path else "data.path=…" if self.hub is None else "data.path=… or the hub"
        use = "evaluation only" if self.evaluation_only else ""
        pinned = ""
        if self.hub is not None:
            pinned = f" ({self.hub.id} at {self.hub.revision[:12] if self.hub.revision else 'data.revision=COMMIT'})"
        return f"{self.name:17} {source:23} {use:16} {self.description}{pinned}"


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
        DataSet("word-problems", False, "arithmetic over two numbers of a seeded document; exact counterfactuals"),
        DataSet("python-functions", False, "functions to write from a description, with tests; exact counterfactuals"),
        DataSet("continuations", False, "the Python language reference, and how each passage goes on; for likelihood"),
        DataSet(
            "jsonl",
            True,
            "your own problems: id, document, query [answer, references, choices, group, negatives, evidence] in JSONL, JSON, "
            "CSV, parquet; SQuAD's forms",
        ),
        DataSet(
            "text", True, "your own .txt, .md and .pdf files in passages, stored or cloze questions, group = file",
            takes_questions=True,
        ),
        DataSet("longhealth", True, "LongHealth's benchmark_v5.json: five-way questions on patients' letters, group = patient",
                evaluation_only=True),
        DataSet("financebench", True, "FinanceBench: questions on pages of filings, group = company",
                evaluation_only=True, hub=financebench.HUB),
        DataSet("qasper", True, "QASPER: questions on papers, extractive answers, group = paper",
                evaluation_only=True, hub=qasper.HUB),
        DataSet("squad", True, "SQuAD, nested JSON or flat rows: questions on paragraphs, group = article",
                evaluation_only=True, hub=squad.HUB),
        DataSet("math", True, "MATH: the worked solution of a problem, the boxed answer, group = subject",
                evaluation_only=True, hub=math_problems.HUB),
        DataSet("humaneval", True, "HumanEval: the code of a function, its body as the answer",
                evaluation_only=True, hub=humaneval.HUB),
        DataSet("wildchat", True, "WildChat: ten conversations as one memory, stored or cloze questions",
                hub=wildchat.HUB, takes_questions=True),
        DataSet("fineweb", True, "FineWeb: 100 pages of 15k-28k tokens, stored or cloze questions",
                hub=fineweb.HUB, takes_questions=True),
    )
}  # fmt: skip


def load_data(
    name: str,
    path: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    min_words: int | None = None,
    max_words: int | None = None,
    *,
    revision: str | None = None,
    questions: str | None = None,
    evidence_tokens: int | None = None,
    skip_bad_files: bool = False,
) -> ProblemSet:
    """The problems of one split. Raises InputError for an unknown name or wrong data, every mistake at once.

    `revision` is the commit of a set that is read from the hub, `questions` a file of stored questions for documents
    that bring none, `evidence_tokens` the length of financebench's documents. `skip_bad_files` leaves files of a folder
    that cannot be read out and counts them. Problems on one document have one `document_id`, whatever its white space, case
    or Unicode form: intervals are clustered by it.
    """
    if name not in DATA_SETS:
        import difflib

        close = difflib.get_close_matches(name, DATA_SETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(DATA_SETS)}"
        raise InputError(f"data.name: {name!r} is unknown; {hint}")
    _check(DATA_SETS[name], path, split, revision, questions, evidence_tokens, skip_bad_files)
    if name == "records":  # any number of records can be made
        return records.load(split, limit, seed, min_words, max_words)
    if name == "shannon":
        return shannon.load(split, limit, seed, min_words, max_words)
    if name == "word-problems":
        return word_problems.load(split, limit, seed, min_words, max_words)
    if name == "python-functions":
        return python_functions.load(split, limit, seed, min_words, max_words)
    words = (min_words, max_words)
    loaders: dict[str, Callable[[], ProblemSet]] = {
        "python-reference": lambda: python_reference.load(split, seed, *words),
        "continuations": lambda: continuations.load(split, *words),
        "jsonl": lambda: _within(own.load_jsonl(path, split), *words),
        "text": lambda: own.load_text(path, split, seed, *words, questions=questions, skip_bad_files=skip_bad_files),
        "longhealth": lambda: _within(longhealth.load(path, split), *words),
        "financebench": lambda: _within(financebench.load(path, split, revision, evidence_tokens), *words),
        "qasper": lambda: _within(qasper.load(path, split, revision), *words),
        "squad": lambda: squad.load(path, split, *words, revision),
        "math": lambda: _within(math_problems.load(path, split, revision), *words),
        "humaneval": lambda: _within(humaneval.load(path, split, revision), *words),
        "wildchat": lambda: wildchat.load(path, split, revision, seed, *words, questions),
        "fineweb": lambda: fineweb.load(path, split, revision, seed, *words, questions),
    }
    data = loaders[name]()
    if not data.problems:
        raise InputError(f"data: split {split!r} of {name} holds no problem with these word limits; widen them")
    data = replace(data, problems=with_shared_ids(data.problems))
    return data if limit is None else replace(data, problems=_drawn(data.problems, limit, seed))


def _check(
    data: DataSet,
    path: str | None,
    split: str,
    revision: str | None,
    questions: str | None,
    evidence_tokens: int | None,
    skip_bad_files: bool,
) -> None:
    """Raise InputError where a setting is of no use to the data set, every one at once."""
    mistakes = []
    if path is not None and not data.needs_path:
        mistakes.append(
            f"data.path: data.name={data.name} is built in and takes no path; for your own data use jsonl or text"
        )
    if split == "train" and data.evaluation_only:
        mistakes.append(f"data.split = 'train': {data.name} is for evaluation only; use test or all")
    if revision is not None and data.hub is None:
        on_hub = ", ".join(d.name for d in DATA_SETS.values() if d.hub is not None)
        mistakes.append(f"data.revision = {revision!r}: data.name={data.name} is not on the hub; on it are {on_hub}")
    if questions is not None and not data.takes_questions:
        without = ", ".join(d.name for d in DATA_SETS.values() if d.takes_questions)
        mistakes.append(
            f"data.questions = {questions!r}: data.name={data.name} has its own questions; without any are {without}"
        )
    if evidence_tokens is not None and data.name != "financebench":
        mistakes.append(f"data.evidence_tokens = {evidence_tokens}: is for data.name=financebench; drop it")
    if skip_bad_files and data.name != "text":
        mistakes.append("data.skip_bad_files = true: is for the files of data.name=text; drop it")
    if mistakes:
        raise InputError(mistakes)


def _within(data: ProblemSet, min_words: int | None, max_words: int | None) -> ProblemSet:
    """The problems whose document has min_words to max_words words: a benchmark's documents are not cut."""
    if min_words is None and max_words is None:
        return data
    low, high = min_words or 1, max_words or 10**9
    length = {text: count_words(text) for text in {p.document for p in data.problems}}
    kept = tuple(p for p in data.problems if low <= length[p.document] <= high)
    left_out = Counter(data.left_out)
    left_out["question on a document that min_words and max_words rule out"] += len(data.problems) - len(kept)
    return replace(data, problems=kept, left_out=+left_out)


def _drawn(problems: tuple[Problem, ...], limit: int, seed: int) -> tuple[Problem, ...]:
    """`limit` problems drawn by `seed`, in their old order; a smaller limit draws a part of a larger one's."""
    order = np.random.default_rng(seed).permutation(len(problems))[:limit]
    return tuple(problems[int(i)] for i in sorted(order))
