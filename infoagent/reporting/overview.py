"""The page's first lines: what was measured, who is best at which length, what must not be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from infoagent.baselines import PICKERS
from infoagent.records.summaries import PredictorSummary, Summary
from infoagent.reporting.tables import with_interval
from infoagent.types import ANCHORS

BUDGETS = (10, 20, 40, 80, 160, 320, 640, 1280)
"""Tokens at which the best compressor is named, as far as the compressions reach."""
MOST_BUDGETS = 5


def drawn_lines(drawn: Sequence[Mapping[str, Any]]) -> list[str]:
    """Problems that a run left out of its data sets, or that have too few negatives of a kind, a line for each cause."""
    return [
        f"{held['data']}{' (' + held['split'] + ')' if 'split' in held else ''}: {told}{cause}: {number}, {held['problems']} problems used"
        for held in drawn
        for told, found in (("left out, ", held["left_out"]), ("", held["short"]))
        for cause, number in found.items()
    ]


def headlines(content: Mapping[str, Any]) -> list[str]:
    """What was evaluated and what the comparisons found, in sentences."""
    found = []
    for _, data, summaries in _by_data(content):
        predictors = ", ".join(dict.fromkeys(name for s in summaries for name in s.predictors))
        found.append(
            f"{data}: {len(summaries)} compressors on {max(s.n_documents for s in summaries)} documents "
            f"({summaries[0].data.split}); {'read by ' + predictors if predictors else 'no predictor was asked'}"
        )
    for comparison in content["comparisons"]:
        for verdict in comparison.get("verdicts", []):
            found.append(
                f"{comparison['data']}: {comparison['trained']} against {comparison['frozen']}, {verdict['quantity']}: "
                f"{verdict['sentence']}"
            )
    return found


def tiles(content: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(number, what it counts, whether it needs attention)."""
    every = [s for e in content["evaluations"] for s in e["summaries"]]
    if not every:
        return []
    lost = sum(s.failed for s in every), sum(p.failed for s in every for p in s.predictors.values())
    unread = sum(p.unparseable for s in every for p in s.predictors.values())
    warned = sum(len(e.cautions) for s in every for e in s.estimates.values())
    return [
        (f"{len({s.data.name for s in every})}", "data sets", False),
        (f"{len({s.label for s in every})}", "compressors", False),
        (f"{len({name for s in every for name in s.predictors})}", "predictors", False),
        (f"{sum(s.n_compressions for s in every):,}", "compressions", False),
        (f"{lost[0]:,}", "compressions failed", lost[0] > 0),
        (f"{lost[1]:,}", "answers failed", lost[1] > 0),
        (f"{unread:,}", "replies unreadable", unread > 0),
        (f"{warned:,}", "warnings", warned > 0),
    ]


def _is_bound(kind: str) -> bool:
    """Whether no compressor in use could be it: an anchor, or one that knows the answer."""
    return kind in ANCHORS or (kind in PICKERS and PICKERS[kind].told)


def best_at_budgets(content: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """(columns, rows of {data, measure, cells of {label, value}}): for each data set and measure the compressor that keeps
    most within each budget, by its mean.

    Anchors, and what is told the answer, take no part. A budget into which nothing fits has a –.
    """
    rows, lengths = [], []
    for _, data, summaries in _by_data(content):
        points = [(s.rate_tokens.value, s) for s in summaries if not _is_bound(s.compressor.kind) and s.rate_tokens is not None]
        for title, measure in _measures(summaries):
            known = [(tokens, *found, s.label) for tokens, s in points if (found := measure(s)) is not None]
            if known:
                rows.append((data, title, known))
                lengths += [tokens for tokens, *_ in known]
    if not rows:
        return [], []
    first = next((i for i, b in enumerate(BUDGETS) if b >= min(lengths)), len(BUDGETS) - 1)
    last = next((i for i, b in enumerate(BUDGETS) if b >= max(lengths)), len(BUDGETS) - 1)
    budgets = BUDGETS[first : last + 1][:MOST_BUDGETS]
    table: list[dict[str, Any]] = []
    for data, title, known in rows:
        cells: list[dict[str, str]] = []
        told = None
        for budget in budgets:
            best = max((found for found in known if found[0] <= budget), key=lambda found: found[1], default=None)
            if best is None:
                cells.append({"label": "–", "value": ""})
            elif best[3] == told:
                cells.append({"label": "", "value": "the same"})
            else:
                told = best[3]
                cells.append({"label": told, "value": f"{best[2]}, {best[0]:.0f} tokens"})
        table.append({"data": data, "measure": title, "cells": cells})
    return ["data", "most", *(f"within {budget} tokens" for budget in budgets)], table


Measure = Callable[[Summary], tuple[float, str] | None]


def _measures(summaries: Sequence[Summary]) -> Iterator[tuple[str, Measure]]:
    """(title, measure): a measure gives the value to compare and the text to show."""

    def information(s: Summary) -> tuple[float, str] | None:
        e = s.estimates.get("hard")
        if e is None:
            return None
        return e.infonce_nats, f"{with_interval(*e.interval_nats)} of {e.ceiling_nats:.2f} nats"

    def of(predictor: str) -> Measure:
        def accuracy(s: Summary) -> tuple[float, str] | None:
            error = s.error_of(predictor)
            if error is None:
                return None
            value, low, high = (100 * (1 - end) for end in (error.value, error.high, error.low))
            return value, with_interval(value, low, high, 0) + " %"

        return accuracy

    yield "information among changed facts", information
    for name in dict.fromkeys(name for s in summaries for name in s.predictors):
        yield f"answered by {name}", of(name)


def _by_data(content: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Summary]]]:
    """(directory, data set, its summaries) of all evaluations."""
    for evaluation in content["evaluations"]:
        found: dict[str, list[Summary]] = defaultdict(list)
        for summary in evaluation["summaries"]:
            found[summary.data.name].append(summary)
        for data, summaries in found.items():
            yield evaluation["directory"], data, summaries


def failures(summaries: Sequence[Summary]) -> list[str]:
    """What failed or could not be read: a line for each compressor, and one for each predictor over all compressors."""
    lines = []
    for s in summaries:
        if s.failed:
            lines.append(
                f"{s.data.name}, {s.label}: {s.failed} of {s.n_compressions} compressions failed "
                f"({_causes(s.failed_causes)}) and are in no mean"
            )
    asked: dict[tuple[str, str], list[tuple[str, PredictorSummary]]] = defaultdict(list)
    for s in summaries:
        for name, predictor in s.predictors.items():
            asked[s.data.name, name].append((s.label, predictor))
    for (data, name), parts in asked.items():
        number = sum(p.n for _, p in parts)
        causes: Counter[str] = Counter()
        for _, p in parts:
            causes.update(p.failed_causes)
        for counts, what in (
            ([p.failed for _, p in parts], f"answers failed ({_causes(causes)}) and are in no mean"),
            ([p.unparseable for _, p in parts], "replies could not be read and count as wrong"),
        ):
            total, most = sum(counts), max(counts)
            label = parts[counts.index(most)][0]
            if total:
                lines.append(f"{data}, {name}: {total} of {number} {what}; most of {label} ({most})")
    return lines


def _causes(of: Mapping[str, int]) -> str:
    return ", ".join(f"{number} × {cause}" for cause, number in of.items()) or "unknown cause"
