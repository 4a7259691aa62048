"""Texts that come without questions: their splits, their passages, and their questions, stored ones or blanks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from infoagent.data.cloze import NO_SPAN, Passage, questions_and_rest
from infoagent.data.counterfactual.documents import span_pattern
from infoagent.data.passages import cut, cut_and_rest
from infoagent.data.questions import WITHOUT_QUESTION, SourceDocument, attach_questions, documents_without
from infoagent.data.reading.hub import Hub, Source, open_source
from infoagent.data.splits import splits_of, splits_of_parts
from infoagent.types import InputError, Problem, ProblemSet

TRIED = 8
STRETCH_WORDS = (60, 250)


def problem_set(
    name: str,
    revision: str,
    documents: Sequence[SourceDocument],
    split: str,
    seed: int,
    min_words: int | None,
    max_words: int | None,
    questions: str | None,
    left_out: Mapping[str, int] | None = None,
) -> ProblemSet:
    """Problems on `documents`: whole, or where a number of words is given in passages of so many, part_of = document.

    Splits are by document, and by passage where one stands in documents of several splits. Without a file of stored
    questions each document, or passage, gets one blank. `left_out` is what the caller did not take of the data; what is
    left out here is added to it.
    """
    dropped = Counter(left_out or {})
    splits = splits_of([d.text for d in documents], [d.id for d in documents])
    if split not in ("all", *splits):
        raise InputError(f"data: split {split!r} of {name} is empty with {len(documents)} documents; use data.split=all")
    if min_words is not None or max_words is not None:
        low = min_words if min_words is not None else min(120, max(1, (max_words or 240) // 2))
        high = max_words if max_words is not None else max(250, low)
        pieces: list[tuple[Passage, str]] = []
        for document, home in zip(documents, splits, strict=True):
            found, rest = cut_and_rest(document.id, _lines(document.text), low, high, group=document.id)
            pieces += [(passage, home) for passage in found]
            if split in ("all", home):
                dropped += rest
        homes = splits_of_parts([p.text for p, _ in pieces], [s for _, s in pieces])
        twice = sum(s == split != home for (_, s), home in zip(pieces, homes, strict=True))
        dropped["passages that stand in another split too"] += twice
        passages = [p for (p, s), home in zip(pieces, homes, strict=True) if split == "all" or s == home == split]
        documents = [SourceDocument(p.id, p.text, p.group, p.part_of) for p in passages]
        if not passages:
            raise InputError(f"data: split {split!r} of {name} holds no passage of {low}-{high} words; widen the limits")
        problems, without = questions_and_rest(passages, seed) if questions is None else ([], Counter())
    else:
        documents = [d for d, home in zip(documents, splits, strict=True) if split in ("all", home)]
        problems = _blanks(documents, seed) if questions is None else []
        without = Counter({NO_SPAN.replace("passage", "document"): len(documents) - len(problems)})
    if questions is None:
        dropped += without
    else:
        dropped[WITHOUT_QUESTION] += documents_without(documents, questions)
        problems = attach_questions(documents, questions)
        revision += "+sha256:" + hashlib.sha256(Path(questions).expanduser().read_bytes()).hexdigest()[:16]
    return ProblemSet(name, revision, split, tuple(problems), +dropped)


Take = Callable[[Source, Counter[str]], list[SourceDocument]]
"""The documents of a source; what is not taken is counted. Raises InputError with a line for every bad row."""


def load_published(
    name: str,
    hub: Hub,
    take: Take,
    path: str | None,
    split: str,
    revision: str | None,
    seed: int,
    min_words: int | None,
    max_words: int | None,
    questions: str | None,
) -> ProblemSet:
    """Published texts, of `path` or of the hub: what `take` makes of their rows, as `problem_set` cuts and asks."""
    source = open_source(name, path, split, revision, hub)
    left_out: Counter[str] = Counter()
    documents = take(source, left_out)
    return problem_set(name, source.revision, documents, split, seed, min_words, max_words, questions, left_out)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _blanks(documents: Sequence[SourceDocument], seed: int) -> list[Problem]:
    """One blank a document, in one of a few stretches of it, drawn by seed.

    All sentences of a document of 20,000 words would take seconds to look through. What holds for a passage holds for the
    document in the end: the answer stands in it once, the wrong choices nowhere.
    """
    stretches: list[Passage] = []
    home: dict[str, SourceDocument] = {}
    for document in documents:
        found = cut(document.id, _lines(document.text), *STRETCH_WORDS, group="")
        rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(document.id.encode()).digest()[:8], "little")])
        for place in rng.permutation(len(found))[:TRIED]:
            stretches.append(found[int(place)])
            home[found[int(place)].id] = document
    chosen: dict[str, Problem] = {}
    for problem in questions_and_rest(stretches, seed)[0]:
        document = home[problem.id]
        assert problem.answer is not None
        wrong = [c for c in problem.choices if c != problem.answer and c not in document.text]
        if document.id in chosen or not wrong or len(list(span_pattern(problem.answer).places(document.text))) != 1:
            continue
        chosen[document.id] = replace(
            problem,
            id=document.id,
            document=document.text,
            document_id=document.id,
            choices=tuple(c for c in problem.choices if c == problem.answer or c in wrong),
            group=document.group,
            part_of=document.part_of,
        )
    return [chosen[document.id] for document in documents if document.id in chosen]
