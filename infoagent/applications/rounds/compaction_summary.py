"""What survives of the first turns' facts, compaction by compaction: numbers with intervals over histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from infoagent.applications.rounds.compaction import Course, context_of, is_stated
from infoagent.applications.rounds.means import answer_values, failures, means
from infoagent.applications.rounds.recipe import CompactionRecipe, CompactorSection
from infoagent.applications.rounds.steps import Workplace, answer_key
from infoagent.data.fact_types import WEIGHTS, type_of, weighted_facts
from infoagent.grading import states_fact, unsupported_spans
from infoagent.grading.language import keeps_language
from infoagent.information import deterministic_nats, estimate_survival, mean_interval, paired_difference
from infoagent.lm.prompts import text_ids


def summarise_compaction(recipe: CompactionRecipe, place: Workplace, found: Mapping[str, Sequence[Course]]) -> list[dict[str, Any]]:
    """For each compactor the numbers after 0, 1, 2, … compactions, and what was lost between the first and the last."""
    return [_compactor(recipe, place, section, found[section.label]) for section in recipe.compactors]


def _compactor(recipe: CompactionRecipe, place: Workplace, section: CompactorSection, begun: Sequence[Course]) -> dict[str, Any]:
    courses = [course for course in begun if course.failed is None]
    asked = [
        place.records.rows.get(answer_key(recipe, c.problem, context_of(recipe, section, c, r)))
        for c in courses
        for r in range(recipe.compactions + 1)
    ]
    summary: dict[str, Any] = {
        **section.model_dump(mode="json"),
        "told_the_question": section.asks,
        "histories": len({c.history.id for c in courses}),
        "questions": len(courses),
        "courses": failures([c.failed for c in begun]),
        "scores": failures([row for c in courses for row in c.scores]),
        "answers": failures(asked),
        "after": [],
    }
    survivals: dict[int, dict[str, float]] = {}
    asked_of = Counter(c.history.id for c in courses)
    for r in range(recipe.compactions + 1):
        row: dict[str, Any] = {"compactions": r, **_means(recipe, place, section, courses, r)}
        row["stated_by_type"] = _by_type(recipe, section, courses, r)
        if r:
            row["stated_by_age"] = _by_age(recipe, section, courses, r)
        scored = [c for c in courses if c.scores and r and c.scores[r - 1]["status"] == "ok"]
        if len({c.history.id for c in scored}) > 1:
            log_probs = np.array([c.scores[r - 1]["log_probs"] for c in scored])
            histories = [c.history.id for c in scored]
            sharpest = max(1.0, 1.0 / section.temperature) if section.kind == "lm" else 1.0
            survival = estimate_survival(log_probs, np.zeros(len(scored), dtype=int), document=histories, beta_max=sharpest)
            told = zip(sorted(set(histories)), survival.per_document_nats.tolist(), strict=True)
            survivals[r] = {history: nats for history, nats in told if histories.count(history) == asked_of[history]}
            details = survival.to_dict()
            del details["per_document_nats"]
            row["mi"] = details
        if r and all(c.alike for c in courses):
            exact = deterministic_nats([c.alike[r - 1] for c in courses], recipe.versions + 1)
            row["exact_nats"] = vars(mean_interval(exact, [c.history.id for c in courses]))
        summary["after"].append(row)
    summary["changes"] = _changes(survivals, recipe.compactions)
    return summary


def against_last(recipe: CompactionRecipe, place: Workplace, found: Mapping[str, Sequence[Course]]) -> list[dict[str, Any]]:
    """The last compactor (a checkpoint stands there) minus each other, after each compaction: how many contexts state the
    asked fact, the share of all facts that they state, and their tokens, paired by question, over histories."""
    *others, last = recipe.compactors
    measures: dict[str, Callable[[CompactorSection, Course, int], float | None]] = {
        "fact/stated": lambda section, course, r: is_stated(recipe, section, course, r),
        "facts/kept": lambda section, course, r: _share_of_all(recipe, section, course, r),
        "rate/context_tokens": lambda section, course, r: _tokens(recipe, place, section, course, r),
    }
    rows: list[dict[str, Any]] = []
    for other in others:
        both = [(a, b) for a, b in zip(found[last.label], found[other.label], strict=True) if a.failed is None and b.failed is None]
        histories = [a.history.id for a, _ in both]
        after = []
        for r in range(1, recipe.compactions + 1):
            row: dict[str, Any] = {"compactions": r}
            for name, value in measures.items():
                ones, twos, where = [], [], []
                for (a, b), history in zip(both, histories, strict=True):
                    one, two = value(last, a, r), value(other, b, r)
                    if one is not None and two is not None:
                        ones.append(float(one))
                        twos.append(float(two))
                        where.append(history)
                if where:
                    row[name] = vars(paired_difference(ones, twos, where))
            after.append(row)
        rows.append({"label": last.label, "minus": other.label, "after": after})
    return rows


def _tokens(recipe: CompactionRecipe, place: Workplace, section: CompactorSection, course: Course, r: int) -> int:
    """Of a context."""
    return len(text_ids(place.pool.tokenizer(section.model), context_of(recipe, section, course, r)))


def _judged(recipe: CompactionRecipe, section: CompactorSection, course: Course, r: int) -> dict[str, float]:
    """What a summary is beside its facts: with numbers or names that nobody said, cut off at its longest, in the language of the
    history (missing where that cannot be told)."""
    summary = course.summaries[r - 1]
    said = "\n\n".join(course.history.turns[: r * recipe.every])
    kept = keeps_language(summary["text"], said)
    return {
        "faithfulness/unsupported": float(
            bool(unsupported_spans(summary["text"], said, course.probe.query if section.asks else ""))
        ),
        "rate/cut_off": float(summary["finish"] == "length"),
        **({} if kept is None else {"language/kept": float(kept)}),
    }


def _by_type(recipe: CompactionRecipe, section: CompactorSection, courses: Sequence[Course], r: int) -> dict[str, dict[str, float]]:
    """Of the asked facts of each type (`infoagent.data.fact_types`) the share that the context states."""
    typed = [(type_of(c.probe.answer), c) for c in courses]
    return {
        name: means(
            [{"stated": float(is_stated(recipe, section, c, r))} for t, c in typed if t == name],
            [c.history.id for t, c in typed if t == name],
            shares=True,
        )["stated"]
        for name in sorted({t for t, _ in typed})
    }


def _by_age(recipe: CompactionRecipe, section: CompactorSection, courses: Sequence[Course], r: int) -> dict[str, dict[str, float]]:
    """Of all facts that were said, asked for or not, the share that the context states, by the compactions since: at 0 those of the
    turns since the compaction before. A fact counts where it was said first."""
    shares = [
        {str(r - said): sum(told) / len(told) for said, told in enumerate(_told(recipe, section, course, r), start=1) if told}
        for course in courses
    ]
    return means(shares, [c.history.id for c in courses], shares=True)


def _share_of_all(recipe: CompactionRecipe, section: CompactorSection, course: Course, r: int) -> float | None:
    """Of all facts that were said so far the share that the context states, to the letter or by value; None where none was said."""
    told = [fact for of_turns in _told(recipe, section, course, r) for fact in of_turns]
    return sum(told) / len(told) if told else None


def _told(recipe: CompactionRecipe, section: CompactorSection, course: Course, r: int) -> list[list[bool]]:
    """Of the facts of each compaction's turns which the context states."""
    context = context_of(recipe, section, course, r)
    said = _said_first(course.history.turns[: r * recipe.every], recipe.every)
    return [[_states(context, fact) for fact in facts] for facts in said]


_states = lru_cache(maxsize=1 << 16)(states_fact)
"""The same contexts are asked by the table, by the share of all and by each comparison."""


@lru_cache(maxsize=4096)
def _said_first(turns: tuple[str, ...], every: int) -> tuple[tuple[str, ...], ...]:
    """The facts of each compaction's turns that were not said before."""
    found: list[tuple[str, ...]] = []
    known: set[str] = set()
    for start in range(0, len(turns), every):
        facts = [span.text for span, _ in weighted_facts("\n\n".join(turns[start : start + every]), WEIGHTS)]
        found.append(tuple(fact for fact in facts if fact not in known))
        known.update(facts)
    return tuple(found)


def _changes(survivals: Mapping[int, Mapping[str, float]], last: int) -> list[dict[str, Any]]:
    """Differences of what the contexts tell, paired by history: from each compaction to the next, and from the first to the
    last. A history of which a question's score failed is in none: its other questions are other facts. A rise is the critic's:
    information cannot come back."""
    found = []
    pairs = [(r, r + 1) for r in range(1, last)] + ([(1, last)] if last > 2 else [])
    for before, after in pairs:
        one, other = survivals.get(before, {}), survivals.get(after, {})
        both = [history for history in one if history in other]
        if both:
            difference = paired_difference([other[h] for h in both], [one[h] for h in both])
            found.append({"from": before, "to": after, **vars(difference)})
    return found


def _means(
    recipe: CompactionRecipe, place: Workplace, section: CompactorSection, courses: Sequence[Course], r: int
) -> dict[str, dict[str, float]]:
    values = []
    for course in courses:
        context = context_of(recipe, section, course, r)
        row = {
            "rate/context_tokens": float(_tokens(recipe, place, section, course, r)),
            "fact/stated": float(is_stated(recipe, section, course, r)),
        }
        if r and (share := _share_of_all(recipe, section, course, r)) is not None:
            row["facts/kept"] = share
        made = course.summaries[:r]
        if made:
            row |= _judged(recipe, section, course, r)
        row |= {
            "cost/tokens_read": float(sum(s["prompt_tokens"] for s in made)),
            "cost/tokens_written": float(sum(s["rate_tokens"] for s in made if "writer" in s)),
        }
        if all("gflops_prefill" in s for s in made if "writer" in s):
            row["cost/gflops"] = float(sum(s["gflops_prefill"] + s["gflops_decode"] for s in made if "writer" in s))
        row["cost/seconds"] = float(sum(s["seconds"] for s in made if "writer" in s))
        answered = place.records.rows.get(answer_key(recipe, course.problem, context))
        values.append(row | answer_values(answered))
    return means(values, [c.history.id for c in courses])
