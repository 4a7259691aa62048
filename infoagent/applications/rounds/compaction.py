"""A growing history is compacted every few turns: what do the contexts still tell of its first turns?

After compaction r the context is [summary z_r, newest turns]; z_r is made from z_{r−1} and the turns since. For a fact of an
early turn, z_r is scored by the frozen base as critic: log p(z_r | the whole history so far, read at once) under the true
history and under versions of it with that fact changed. `infoagent.information.round_gains` says why this, and not the chain of the
steps, bounds what z_r tells. For pickers, which write nothing by chance, it is known exactly as well: each version is
compacted too, and those that end in the same context cannot be told apart.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infoagent.applications.rounds.recipe import CompactionRecipe, CompactorSection
from infoagent.applications.rounds.steps import (
    Scoring,
    Workplace,
    answer,
    check_predictor,
    check_writer,
    critic_identity,
    score_missing,
    scored_ids,
    scored_mode,
    write_missing,
    writer_identity,
)
from infoagent.baselines import PICKERS, compress_extractive
from infoagent.data.sets.histories import History, HistorySet, Probe, Wanted, load_histories
from infoagent.evaluation.records import Row, batches, content_key
from infoagent.grading import states_fact
from infoagent.lm.compacting import context_text
from infoagent.lm.models import frozen
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.lm.scoring.pairs import Pair
from infoagent.progress import Progress
from infoagent.types import ANCHORS, Compression, InputError, Mistakes, Problem, RunFailed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompactionPlan:
    """Everything that is decided before a model loads."""

    recipe: CompactionRecipe
    data: HistorySet


@dataclass
class Course:
    """One history, asked for one fact, under one compactor: the records of its summaries, and their scores."""

    history: History
    number: int
    """Of the probe."""
    summaries: list[Row] = field(default_factory=list)
    """After compaction 1, 2, …; empty for anchors, which have none."""
    failed: Row | None = None
    """The record of what ended it too soon: a thought in place of a summary."""
    scores: list[Row] = field(default_factory=list)
    alike: list[int] = field(default_factory=list)
    """Of a picker, after each compaction: the versions, the true one among them, that end in the same text."""

    @property
    def probe(self) -> Probe:
        return self.history.probes[self.number]

    @property
    def id(self) -> str:
        return f"{self.history.id}#{self.number}"

    @property
    def problem(self) -> Problem:
        """The question as a predictor is asked it."""
        p, turn = self.probe, self.history.turns[self.probe.turn]
        return Problem(self.id, turn, p.query, self.history.id, p.answer, p.choices)


def plan_compaction(recipe: CompactionRecipe) -> CompactionPlan:
    """Load histories, check names and lengths. Raises InputError, all mistakes."""
    wanted = Wanted(recipe.turns, recipe.asked, recipe.versions)
    data = load_histories(wanted=wanted, **recipe.data.model_dump())
    mistakes = Mistakes()
    if len(data.histories) < 2:
        mistakes.add("data: one history only; the critic's scale is fitted on others, so at least 2 are needed")
    longest = max((context_text("", h.turns) for h in data.histories), key=len)
    query = max((p.query for h in data.histories for p in h.probes), key=len)
    for section in recipe.compactors:
        with mistakes.of():
            model = check_writer(section)
            if section.kind in ANCHORS:
                continue
            tokens = len(_prompt(model.tokenizer, section, longest, query)) + section.max_tokens
            if tokens > (context := model.context_tokens):
                raise InputError(
                    f"compactors: {section.label!r}: {section.model.name!r} holds {context} tokens, and as a critic it reads "
                    f"the longest history at once, {tokens} with its summary; lower every or compactions"
                )
    whole = any(c.kind == "full-document" for c in recipe.compactors)
    first = max((context_text("", h.turns[: recipe.every]) for h in data.histories), key=len)
    with mistakes.of():
        check_predictor(recipe.predictor, (longest if whole else first, query))
    mistakes.end()
    return CompactionPlan(recipe, data)


def run_compaction(plan: CompactionPlan, place: Workplace, quiet: bool) -> dict[str, list[Course]]:
    """Compact, score and answer whatever the records do not hold yet. Returns the courses of each compactor, by
    label; those that ended too soon are neither scored nor asked. Raises RunFailed where a compactor has no others."""
    recipe = plan.recipe
    found: dict[str, list[Course]] = {}
    for section in recipe.compactors:
        courses = [Course(h, n) for h in plan.data.histories for n in range(len(h.probes))]
        with Progress(len(courses) * recipe.compactions, f"{section.label}: compact", "text", quiet) as bar:
            _compact(place, recipe, section, courses, bar)
        _some_whole(section.label, courses)
        found[section.label] = courses
    probes = len(found[recipe.compactors[0].label])
    with Progress(probes, "score", "question", quiet) as bar:
        for index in range(probes):
            there = [(section, found[section.label][index]) for section in recipe.compactors]
            _score(place, recipe, [(section, course) for section, course in there if course.failed is None])
            bar.update()
    asked = [
        (course.problem, context_of(recipe, section, course, r))
        for section in recipe.compactors
        for course in found[section.label]
        if course.failed is None
        for r in range(recipe.compactions + 1)
    ]
    with Progress(len(asked), f"{recipe.predictor.title} answers", "text", quiet) as bar:
        answer(place, asked, bar)
    return found


def _some_whole(label: str, courses: Sequence[Course]) -> None:
    failed = [course.failed for course in courses if course.failed is not None]
    if not failed:
        return
    lost = f"{label}: {len(failed)} of {len(courses)} questions have no summaries to the end: {failed[0]['error']}"
    if len(failed) == len(courses):
        raise RunFailed(lost)
    logger.warning("%s; they are left out", lost)


def context_of(recipe: CompactionRecipe, section: CompactorSection, course: Course, compactions: int) -> str:
    """What the predictor has after so many compactions; after none the first turns as they were said."""
    turns = course.history.turns
    if section.kind == "closed-book":
        return ""
    if compactions == 0:
        return context_text("", turns[: recipe.every])
    end = compactions * recipe.every
    if section.kind == "full-document":
        return context_text("", turns[:end])
    return context_text(course.summaries[compactions - 1]["text"], turns[end - recipe.keep : end])


def is_stated(recipe: CompactionRecipe, section: CompactorSection, course: Course, compactions: int) -> bool:
    """Whether the asked fact stands in the context, word by word."""
    return states_fact(context_of(recipe, section, course, compactions), course.probe.answer)


# ---- compacting ------------------------------------------------------------------------------------------------


def _summarised(recipe: CompactionRecipe, turns: Sequence[str], compactions: int) -> tuple[str, ...]:
    """The turns that a summary stands for."""
    return tuple(turns[: max(0, compactions * recipe.every - recipe.keep)])


def _input(recipe: CompactionRecipe, turns: Sequence[str], summary: str, compactions: int, plain: bool) -> str:
    """What compaction number `compactions` reads: the summary before and the turns since. `plain`: without a heading, which
    a picker would take for a sentence."""
    before = len(_summarised(recipe, turns, compactions - 1))
    new = _summarised(recipe, turns, compactions)[before:]
    return "\n\n".join([*([summary] if summary else []), *new]) if plain else context_text(summary, new)


def _compact(place: Workplace, recipe: CompactionRecipe, section: CompactorSection, courses: Sequence[Course], bar: Any) -> None:
    if section.kind in PICKERS:
        for course in courses:
            _pick(place, recipe, section, course)
            bar.update(recipe.compactions)
        return
    if section.kind in ANCHORS:
        bar.update(len(courses) * recipe.compactions)
        return
    chains: dict[str, Course] = {}
    for course in courses:
        chains.setdefault(_chain(section, course), course)
    first = list(chains.values())
    for _, batch in batches(len(first), recipe.batch_size):
        for r in range(1, recipe.compactions + 1):
            if going := [first[i] for i in batch if first[i].failed is None]:
                _write(place, recipe, section, going, r)
            bar.update(len(batch))
    for course in courses:
        chain = chains[_chain(section, course)]
        course.summaries, course.failed = chain.summaries, chain.failed
    bar.update((len(courses) - len(first)) * recipe.compactions)


def _chain(section: CompactorSection, course: Course) -> str:
    """Without the question all probes of a history share their summaries."""
    return course.id if section.asks else course.history.id


def _write(place: Workplace, recipe: CompactionRecipe, section: CompactorSection, courses: Sequence[Course], r: int) -> None:
    tokenizer, identity = place.pool.tokenizer(section.model), writer_identity(section)
    prompts, heads = [], list[Row]()
    for course in courses:
        before = course.summaries[-1]["text"] if course.summaries else ""
        document = _input(recipe, course.history.turns, before, r, plain=False)
        prompts.append(_prompt(tokenizer, section, document, course.probe.query))
        key = content_key(kind="summary", writer=identity, prompt=prompts[-1], seed=recipe.seed)
        heads.append({"key": key, "kind": "summary", "compaction": r, "history_id": course.history.id})
    ids = [course.id for course in courses]
    rows = write_missing(place, section, heads, prompts, ids, f"{recipe.seed} {r} {ids[0]}")
    for course, row in zip(courses, rows, strict=True):
        if row["status"] == "ok":
            course.summaries.append(row)
        else:
            course.failed = row


def _prompt(tokenizer: Any, section: CompactorSection, document: str, query: str) -> list[int]:
    """What the compactor reads, and the critic's prefix. A model that can think is told not to: its thought would be z."""
    return compressor_ids(tokenizer, document, query, Prompt.of(section.prompt, thinking=False))


def _pick(place: Workplace, recipe: CompactionRecipe, section: CompactorSection, course: Course) -> None:
    """The picked contexts of the history and of all its versions. Cheap, so no record is read; those of the history are
    kept all the same."""
    versions = [course.history.version(course.probe, v) for v in range(recipe.versions + 1)]
    texts = [""] * len(versions)
    for r in range(1, recipe.compactions + 1):
        texts = [
            _picked(place, section, course, _input(recipe, turns, text, r, plain=True), recipe.seed)
            for turns, text in zip(versions, texts, strict=True)
        ]
        ids = tuple(text_ids(place.pool.tokenizer(section.model), texts[0]))
        key = content_key(kind="picked", by=section.model_dump(exclude={"label"}), text=texts[0], at=[course.id, r])
        if not place.records.done(key):
            z = Compression(course.id, texts[0], ids, "stop")
            row = {k: v for k, v in vars(z).items() if k in ("text", "finish", "stop_id")}
            place.records.append(
                {
                    "key": key,
                    "kind": "summary",
                    "status": "ok",
                    "compaction": r,
                    "history_id": course.history.id,
                    "picker": section.kind,
                    **row,
                    "token_ids": list(ids),
                    "rate_tokens": z.rate_tokens,
                    "rate_bytes": z.rate_bytes,
                    "prompt_tokens": 0,
                }
            )
        course.summaries.append(place.records.rows[key])
        course.alike.append(texts.count(texts[0]))


def _picked(place: Workplace, section: CompactorSection, course: Course, text: str, seed: int) -> str:
    tokenizer = place.pool.tokenizer(section.model)
    problem = Problem(course.history.id, text, course.probe.query, course.history.id)
    return compress_extractive(
        section.kind,
        problem,
        sentences=None,
        tokens=section.max_tokens,
        count_tokens=lambda t: len(text_ids(tokenizer, t)),
        seed=seed,
    )


# ---- scoring ---------------------------------------------------------------------------------------------------


def _score(place: Workplace, recipe: CompactionRecipe, courses: Sequence[tuple[CompactorSection, Course]]) -> None:
    """The summaries of all compactors for one question."""
    wanted: list[Scoring] = []
    keys: list[tuple[Course, list[str]]] = []
    for section, course in courses:
        if section.kind in ANCHORS:
            continue
        keys.append((course, []))
        for r in range(1, recipe.compactions + 1):
            key = _score_key(place, recipe, section, course, r)
            keys[-1][1].append(key)
            head = {
                "kind": "survival",
                "history_id": course.history.id,
                "probe": course.number,
                "compaction": r,
                "summary": course.summaries[r - 1]["key"],
            }
            wanted.append(Scoring(key, frozen(section.model), partial(_pairs, recipe, section, course, r), head))
    score_missing(place, wanted)
    for course, row in keys:
        course.scores = [place.records.rows[key] for key in row]


def _score_key(place: Workplace, recipe: CompactionRecipe, section: CompactorSection, course: Course, r: int) -> str:
    versions = [_summarised(recipe, course.history.version(course.probe, v), r) for v in range(recipe.versions + 1)]
    summary = course.summaries[r - 1]
    return content_key(
        kind="survival",
        base=critic_identity(frozen(section.model)),
        prompt=section.prompt.model_dump(),
        query=course.probe.query,
        versions=versions,
        text=summary["token_ids"],
        end=[summary["finish"], summary["stop_id"]],
        **scored_mode(place, section),
    )


def _pairs(recipe: CompactionRecipe, section: CompactorSection, course: Course, r: int, tokenizer: Any) -> list[Pair]:
    """(prefix, summary) under the true history and under each version, read at once."""
    text = scored_ids(course.summaries[r - 1], tokenizer)
    found = []
    for v in range(recipe.versions + 1):
        document = context_text("", _summarised(recipe, course.history.version(course.probe, v), r))
        found.append((tuple(_prompt(tokenizer, section, document, course.probe.query)), text))
    return found
