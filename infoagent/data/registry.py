"""Every data set in one table: a row for each, from which its name, help, settings and loading follow.

A new one is a file in `infoagent/data/sets/` with a loader, and a row here: recipes, `infoagent data`, training and evaluation
then know it. `ProblemSet.revision` is its identity: the commit or hash of what was read, or `digest` of what is generated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from infoagent.data.identity import with_shared_ids
from infoagent.data.reading.hub import Hub
from infoagent.data.sets import (
    compactions,
    continuations,
    financebench,
    fineweb,
    generic,
    hard_records,
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
from infoagent.data.sets.compactions import Course
from infoagent.grading.words import count_words
from infoagent.types import InputError, Problem, ProblemSet


@dataclass(frozen=True)
class Asked:
    """What a recipe asks of a data set: the keys of its section `data`."""

    path: str | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    min_words: int | None = None
    max_words: int | None = None
    revision: str | None = None
    questions: str | None = None
    evidence_tokens: int | None = None
    skip_bad_files: bool = False
    every: int | None = None
    compactions: int | None = None
    facts: Mapping[str, float] | None = None

    @property
    def words(self) -> tuple[int | None, int | None]:
        """The fewest and the most of a document."""
        return self.min_words, self.max_words

    @property
    def course(self) -> Course:
        """Of a history: turns between two compactions, how many there are, and the weight of each type of fact."""
        return self.every, self.compactions, self.facts

    @property
    def hub(self) -> tuple[str | None, str, str | None]:
        """What a loader of a published set takes first."""
        return self.path, self.split, self.revision


@dataclass(frozen=True)
class DataSet:
    """A line of `infoagent data ls`, and how its problems are loaded."""

    name: str
    description: str
    load: Callable[[Asked], ProblemSet]
    """Raises InputError with a line for each mistake in what it reads."""
    needs_path: bool = False
    """It is not built in: it is read from data.path, or from the hub where it is there."""
    generated: bool = False
    """Any number of problems can be made: `load` makes as many as the limit says."""
    cuts: bool = False
    """`load` cuts to the word limits, or makes to them; for any other set they choose among whole documents, after `load`."""
    evaluation_only: bool = False
    """A benchmark: training on it is refused."""
    hub: Hub | None = None
    """Where it is read from without a path, and the pinned revision."""
    takes: tuple[Literal["questions", "evidence_tokens", "skip_bad_files", "every", "compactions", "facts"], ...] = ()
    """Settings that are of use to few sets. Who takes `questions` has documents that come without any."""

    @property
    def line(self) -> str:
        """Name, where it comes from, whether it may be trained on, what it is."""
        source = "built in" if not self.needs_path else "data.path=…" if self.hub is None else "data.path=… or the hub"
        use = "evaluation only" if self.evaluation_only else ""
        pinned = ""
        if self.hub is not None:
            pinned = f" ({self.hub.id} at {self.hub.revision[:12] if self.hub.revision else 'data.revision=COMMIT'})"
        return f"{self.name:21} {source:23} {use:16} {self.description}{pinned}"


def _hard_records(name: str, asked: Asked) -> ProblemSet:
    return hard_records.load(name, asked.split, asked.limit, asked.seed, *asked.words)


COURSE: tuple[Literal["every", "compactions", "facts"], ...] = ("every", "compactions", "facts")

DATA_SETS = {
    d.name: d
    for d in (
        DataSet(
            "records",
            "seeded records of patients, companies, shipments; exact counterfactuals",
            lambda a: records.load(a.split, a.limit, a.seed, *a.words),
            generated=True,
        ),
        *(
            DataSet(name, f"records, {kind.description}", partial(_hard_records, name), generated=True)
            for name, kind in hard_records.HARD_RECORDS.items()
        ),
        DataSet(
            "shannon",
            "four independent facts of known distribution; limits can be computed; for a tiny model",
            lambda a: shannon.load(a.split, a.limit, a.seed, *a.words),
            generated=True,
        ),
        DataSet(
            "shannon-turns",
            "the same facts told in two turns, compacted after each; for a tiny model in the loop",
            lambda a: shannon.load_turns(a.split, a.limit, a.seed),
            generated=True,
        ),
        DataSet(
            "python-reference",
            "the Python language reference in passages, cloze questions, group = topic",
            lambda a: python_reference.load(a.split, a.seed, *a.words),
            cuts=True,
        ),
        DataSet(
            "word-problems",
            "arithmetic over two numbers of a seeded document; exact counterfactuals",
            lambda a: word_problems.load(a.split, a.limit, a.seed, *a.words),
            generated=True,
        ),
        DataSet(
            "python-functions",
            "functions to write from a description, with tests; exact counterfactuals",
            lambda a: python_functions.load(a.split, a.limit, a.seed, *a.words),
            generated=True,
        ),
        DataSet(
            "continuations",
            "the Python language reference, and how each passage goes on; for likelihood",
            lambda a: continuations.load(a.split, *a.words),
            cuts=True,
        ),
        DataSet(
            "jsonl",
            "your own problems: id, document, query [answer, references, choices, group, negatives, evidence] in "
            "JSONL, JSON, CSV, parquet; SQuAD's forms",
            lambda a: own.load_jsonl(a.path, a.split),
            needs_path=True,
        ),
        DataSet(
            "text",
            "your own .txt, .md and .pdf files in passages, stored or cloze questions, group = file",
            lambda a: own.load_text(a.path, a.split, a.seed, *a.words, questions=a.questions, skip_bad_files=a.skip_bad_files),
            cuts=True,
            needs_path=True,
            takes=("questions", "skip_bad_files"),
        ),
        DataSet(
            "record-histories",
            "conversations that bring a record a turn, compacted every few turns; what each memory must keep",
            lambda a: compactions.load_seeded(a.split, a.limit, a.seed, *a.words, a.course),
            generated=True,
            takes=COURSE,
        ),
        DataSet(
            "histories",
            "your own conversations (OpenAI's, ShareGPT's messages), compacted every few turns; facts by type",
            lambda a: compactions.load_own(a.path, a.split, a.limit, a.seed, a.course),
            generated=True,
            needs_path=True,
            takes=COURSE,
        ),
        DataSet(
            "longhealth",
            "LongHealth's benchmark_v5.json: five-way questions on patients' letters, group = patient",
            lambda a: longhealth.load(a.path, a.split),
            needs_path=True,
            evaluation_only=True,
        ),
        DataSet(
            "financebench",
            "FinanceBench: questions on pages of filings, group = company",
            lambda a: financebench.load(*a.hub, a.evidence_tokens),
            needs_path=True,
            evaluation_only=True,
            hub=financebench.HUB,
            takes=("evidence_tokens",),
        ),
        DataSet(
            "qasper",
            "QASPER: questions on papers, extractive answers, group = paper",
            lambda a: qasper.load(*a.hub),
            needs_path=True,
            evaluation_only=True,
            hub=qasper.HUB,
        ),
        DataSet(
            "squad",
            "SQuAD, nested JSON or flat rows: questions on paragraphs, group = article",
            lambda a: squad.load(a.path, a.split, *a.words, a.revision),
            cuts=True,
            needs_path=True,
            evaluation_only=True,
            hub=squad.HUB,
        ),
        DataSet(
            "math",
            "MATH: the worked solution of a problem, the boxed answer, group = subject",
            lambda a: math_problems.load(*a.hub),
            needs_path=True,
            evaluation_only=True,
            hub=math_problems.HUB,
        ),
        DataSet(
            "humaneval",
            "HumanEval: the code of a function, its body as the answer",
            lambda a: humaneval.load(*a.hub),
            needs_path=True,
            evaluation_only=True,
            hub=humaneval.HUB,
        ),
        DataSet(
            "wildchat",
            "WildChat: ten conversations as one memory, stored or cloze questions",
            lambda a: generic.load_published("wildchat", wildchat.HUB, wildchat.memories, *a.hub, a.seed, *a.words, a.questions),
            cuts=True,
            needs_path=True,
            hub=wildchat.HUB,
            takes=("questions",),
        ),
        DataSet(
            "fineweb",
            "FineWeb: 100 pages of 15k-28k tokens, stored or cloze questions",
            lambda a: generic.load_published("fineweb", fineweb.HUB, fineweb.pages, *a.hub, a.seed, *a.words, a.questions),
            cuts=True,
            needs_path=True,
            hub=fineweb.HUB,
            takes=("questions",),
        ),
    )
}


def load_data(name: str, path: str | None = None, split: str = "test", **settings: Any) -> ProblemSet:
    """The problems of one split. `settings` are further fields of `Asked`; a recipe's section has all of them as `asked`.

    Raises InputError for an unknown name or wrong data, every mistake at once.

    `revision` is the commit of a set that is read from the hub, `questions` a file of stored questions for documents
    that bring none, `evidence_tokens` the length of financebench's documents. `skip_bad_files` leaves files of a folder
    that cannot be read out and counts them. Problems on one document have one `document_id`, whatever its white space, case
    or Unicode form: intervals are clustered by it.
    """
    known, asked = find_set(name), Asked(path, split, **settings)
    _check(known, asked)
    data = known.load(asked)
    if known.generated:  # a conversation of a user's file may come twice, under two names
        return replace(data, problems=with_shared_ids(data.problems)) if known.needs_path else data
    if not known.cuts:
        data = _within(data, *asked.words)
    if not data.problems:
        raise InputError(f"data: split {split!r} of {name} holds no problem{_ruled_out(data, *asked.words)}")
    data = replace(data, problems=with_shared_ids(data.problems))
    return data if asked.limit is None else replace(data, problems=_drawn(data.problems, asked.limit, asked.seed))


def find_set(name: str, setting: str = "data.name") -> DataSet:
    """Raises InputError where there is none of the name; `setting` is how the user gives it."""
    if name not in DATA_SETS:
        import difflib

        close = difflib.get_close_matches(name, DATA_SETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(DATA_SETS)}"
        raise InputError(f"{setting}: {name!r} is unknown; {hint}")
    return DATA_SETS[name]


def _check(data: DataSet, asked: Asked) -> None:
    """Raise InputError where a setting is of no use to the data set, every one at once."""
    mistakes = []
    if asked.path is not None and not data.needs_path:
        mistakes.append(f"data.path: data.name={data.name} is built in and takes no path; for your own data use jsonl or text")
    if asked.split == "train" and data.evaluation_only:
        mistakes.append(f"data.split = 'train': {data.name} is for evaluation only; use test or all")
    if asked.revision is not None and data.hub is None:
        on_hub = ", ".join(d.name for d in DATA_SETS.values() if d.hub is not None)
        mistakes.append(f"data.revision = {asked.revision!r}: data.name={data.name} is not on the hub; on it are {on_hub}")
    if asked.questions is not None and "questions" not in data.takes:
        mistakes.append(
            f"data.questions = {asked.questions!r}: data.name={data.name} has its own questions; "
            f"without any are {_takers('questions')}"
        )
    if asked.evidence_tokens is not None and "evidence_tokens" not in data.takes:
        mistakes.append(f"data.evidence_tokens = {asked.evidence_tokens}: is for data.name={_takers('evidence_tokens')}; drop it")
    if asked.skip_bad_files and "skip_bad_files" not in data.takes:
        mistakes.append(f"data.skip_bad_files = true: is for the files of data.name={_takers('skip_bad_files')}; drop it")
    mistakes += [
        f"data.{name}: is for data.name={_takers(name)}; drop it"
        for name in COURSE
        if getattr(asked, name) is not None and name not in data.takes
    ]
    if mistakes:
        raise InputError(mistakes)


def _takers(setting: str) -> str:
    return ", ".join(d.name for d in DATA_SETS.values() if setting in d.takes)


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


def _ruled_out(data: ProblemSet, min_words: int | None, max_words: int | None) -> str:
    """Which limits left no problem, how many each cause took, and what to do."""
    told = "; ".join(f"{cause}: {number}" for cause, number in data.left_out.items())
    if min_words is None and max_words is None:
        return f" ({told})" if told else ""
    limits = ", ".join(f"{n} {v}" for n, v in (("min_words", min_words), ("max_words", max_words)) if v is not None)
    return f" with these word limits ({limits}{'; left out, ' if told else ''}{told}); widen them, or set them to null"


def _drawn(problems: tuple[Problem, ...], limit: int, seed: int) -> tuple[Problem, ...]:
    """`limit` problems drawn by `seed`, in their old order; a smaller limit draws a part of a larger one's."""
    order = np.random.default_rng(seed).permutation(len(problems))[:limit]
    return tuple(problems[int(i)] for i in sorted(order))
