"""What the page shows of an evaluation: a part for each data set, and what analysis.json says of its curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.data.revisions import same_data
from infoagent.records.summaries import Summary, SummaryFile
from infoagent.reporting import curves, evaluation_tables, pareto, plots, tables
from infoagent.reporting.audit import evaluation_audit
from infoagent.reporting.curve_panels import panels_svg
from infoagent.reporting.plots import Style

KINDS = {"easy": "other documents", "hard": "changed facts", "all": "all negatives"}


def data_parts(
    evaluation: Mapping[str, Any], below: Mapping[str, SummaryFile], styles: Mapping[str, Style]
) -> list[dict[str, Any]]:
    """A part for each data set. `below` holds the baselines by file: laid under the curves where their data have the same
    revision, else a warning."""
    by_data: dict[str, list[Summary]] = defaultdict(list)
    for summary in evaluation["summaries"]:
        by_data[summary.data.name].append(summary)
    parts = []
    for name, summaries in by_data.items():
        laid, mistakes = _laid(below, name, summaries[0].data.revision)
        models = [s for s in summaries if s.compressor.kind in ("lm", "endpoint")]
        predictors = list(dict.fromkeys(p for s in summaries for p in s.predictors))
        costs = [pareto.cost_pareto(summaries, p, styles) for p in predictors]
        parts.append(
            {
                "directory": evaluation["directory"],
                "title": f"{name} ({summaries[0].data.split}, {max(s.n_documents for s in summaries)} documents)",
                "rows": [_row(s, styles) for s in summaries]
                + [_row(s, styles, f"{s.label} (baseline {commit[:12]})") for commit, s in laid],
                "answers": evaluation_tables.answer_rows(summaries) if predictors else [],
                "price": summaries[0].price,
                "mistakes": mistakes,
                "warnings": _warnings(summaries),
                "rate_distortion": panels_svg(summaries, [s for _, s in laid], evaluation["analysis"], styles),
                "adherence": tables.adherence_rows(summaries),
                "without_z": tables.without_z_rows(summaries),
                "costs": evaluation_tables.cost_rows(summaries),
                "paretos": [svg for svg, _ in costs if svg],
                "not_drawn": [sentence for _, sentence in costs if sentence],
                "mi_at_k": plots.mi_at_k(summaries, styles),
                "information": evaluation_tables.information_rows(summaries),
                "audit": evaluation_audit(models),
            }
        )
    return parts


def _row(summary: Summary, styles: Mapping[str, Style], label: str | None = None) -> dict[str, Any]:
    """Cells of the first table, and the colour that the compressor's curve has in the plots."""
    style = styles.get(summary.curve) if summary.is_point else None
    cells = tables.summary_row(summary)
    return {"cells": [label or cells[0], *cells[1:]], "colour": style.colour if style else "", "hollow": label is not None}


def _laid(below: Mapping[str, SummaryFile], name: str, revision: str) -> tuple[list[tuple[str, Summary]], list[str]]:
    """((commit, summary) of baselines on this data, warnings about those that cannot be compared)."""
    laid: list[tuple[str, Summary]] = []
    mistakes = []
    for file, held in below.items():
        same = [s for s in held.summaries if s.data.name == name]
        other = next((s.data.revision for s in same if not same_data(s.data.revision, revision)), None)
        if not same:
            mistakes.append(f"baseline {file}: holds nothing on {name}")
        elif other is not None:
            mistakes.append(f"baseline {file}: another revision of {name} ({other}), not comparable; left out")
        else:
            laid += [(held.commit, s) for s in same]
    return laid, mistakes


def analysis_part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of analysis.json; {"refused": reason} stands as its reason."""
    analysis = evaluation["analysis"]
    rows, notes = evaluation_tables.regression_rows(analysis)
    return {
        "directory": evaluation["directory"],
        "resamples": analysis.get("resamples", "unknown"),
        "fits": curves.fit_rows(analysis),
        "pairs": curves.bd_rows(analysis),
        "front": evaluation_tables.front_rows(analysis),
        "controlled": curves.controlled_rows(analysis),
        "regression": rows,
        "regression_notes": notes,
    }


def _warnings(summaries: Sequence[Summary]) -> list[str]:
    return [
        f"{s.label}, {title}: {caution}"
        for s in summaries
        for key, title in KINDS.items()
        if key in s.estimates
        for caution in s.estimates[key].cautions
    ]
