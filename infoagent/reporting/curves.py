"""Rate-distortion curves of an evaluation as one picture, a column for each data set, and the analysis as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.records.summaries import Summary, first_predictor
from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.plots import INK, legend_below, new_grid, save_figure, scale_tokens, shown, styles_of
from infoagent.types import Finding

Measured = tuple[float, float, float]
Measure = Callable[[Summary], Measured | None]
LIKELIHOOD = "distortion/nll_per_token"


def save_curves(summaries: Sequence[Summary], path: str | Path, baselines: Sequence[Summary] = ()) -> None:
    """Upper row: MI among counterfactual documents. Lower row, one thing for all points of a data set: questions that the first
    predictor answered; where none was graded, its likelihood of the reference; where nobody was asked, whether the fact stands in
    the text. Against tokens on a logarithmic scale, one colour for each curve, 95 % intervals over documents; `baselines` of an
    earlier run hollow."""
    figure = _figure(summaries, baselines)
    save_figure(figure, path)


def _figure(summaries: Sequence[Summary], baselines: Sequence[Summary]) -> Any:
    names = list(dict.fromkeys(s.data.name for s in summaries))
    figure, axes = new_grid(4.6 * len(names), 7.2, rows=2, columns=len(names))
    styles = styles_of([*summaries, *baselines])
    for column, name in enumerate(names):
        own = [s for s in summaries if s.data.name == name]
        score, said = _score(own)
        for row, measure in enumerate((information, score)):
            axis = axes[row][column]
            for curve, style in styles.items():
                for group, hollow in ((summaries, False), (baselines, True)):
                    points = [s for s in group if s.curve == curve and s.data.name == name and s.is_point]
                    label = f"{shown(curve)} (baseline)" if hollow else shown(curve)
                    _draw(axis, points, measure, style.colour, style.marker, label, hollow)
            if measure is score:
                axis.set_ylabel(shown(said))
                for summary in (s for s in own if not s.is_point):
                    if (level := score(summary)) is not None:
                        axis.axhline(level[0], color=INK, linestyle=":", linewidth=0.9)
                        axis.annotate(
                            shown(summary.label),
                            (0.99, level[0]),
                            xycoords=("axes fraction", "data"),
                            ha="right",
                            va="bottom",
                            fontsize=7,
                            color=INK,
                        )
            lengths = [s.rate_tokens.value for s in summaries if s.data.name == name and s.is_point and s.rate_tokens is not None]
            scale_tokens(axis, lengths)
            axis.set_xlabel("tokens")
            if not row:
                axis.set_title(f"{name} ({max(s.n_documents for s in summaries if s.data.name == name)} documents)", fontsize=10)
    axes[0][0].set_ylabel("MI among counterfactuals (nats)")
    legend_below(figure, [axis for row in axes for axis in row])
    return figure


def information(summary: Summary) -> Measured | None:
    estimate = summary.estimates.get("hard")
    return None if estimate is None else estimate.interval_nats


def _score(summaries: Sequence[Summary]) -> tuple[Measure, str]:
    """What the lower row shows of a data set, one thing for all its points, and what that is called."""
    if (predictor := first_predictor(summaries)) is not None:
        return answered_by(predictor), f"questions answered by {predictor}"
    if (predictor := first_predictor(summaries, LIKELIHOOD)) is not None:
        return likelihood_by(predictor), f"log p of the reference, {predictor} (nats a token)"
    return fact_kept, "asked fact stands in the text"


def answered_by(predictor: str) -> Measure:
    """The share of questions that `predictor` answered right; None where it was not asked."""
    return lambda summary: rest_of(summary.error_of(predictor))


def fact_kept(summary: Summary) -> Measured | None:
    """How often the asked fact stands in the text."""
    return rest_of(summary.values.get("distortion/fact_missing"))


def rest_of(share: Finding | None) -> Measured | None:
    """One minus a share, with its interval."""
    return None if share is None else (1 - share.value, 1 - share.high, 1 - share.low)


def likelihood_by(predictor: str) -> Measure:
    """Of the reference answer under `predictor`: log p per token, in nats; None where it does not tell it."""

    def measure(summary: Summary) -> Measured | None:
        nll = summary.value_of(predictor, LIKELIHOOD)
        return None if nll is None else (-nll.value, -nll.high, -nll.low)

    return measure


def _draw(axis: Any, points: Sequence[Summary], measure: Any, colour: str, marker: str, label: str, hollow: bool) -> None:
    known = [(s.rate_tokens.value, measure(s)) for s in points if s.rate_tokens is not None]
    known = sorted((x, y) for x, y in known if y is not None and x > 0)
    if not known:
        return
    axis.errorbar(
        [x for x, _ in known],
        [y[0] for _, y in known],
        yerr=error_bars(y for _, y in known),
        color=colour,
        marker=marker,
        ms=5,
        lw=1.2,
        elinewidth=0.6,
        capsize=2,
        label=label,
        linestyle="--" if hollow else "-",
        markerfacecolor="white" if hollow else colour,
    )


FIT_COLUMNS = ("data", "predictor", "curve", "best law", "floor of the error", "b (1/tokens)")
CONTROLLED_COLUMNS = ("data", "predictor", "score", "MI among", "reading", "plain", "length held constant")
BD_COLUMNS = ("data", "predictor", "curve", "over", "tokens at equal value", "value at equal tokens")


def fit_rows(analysis: Mapping[str, Any]) -> list[list[str]]:
    """A line for each curve of answers: which law fits, its floor and its slope; or why none was fitted."""
    rows = []
    for part in analysis["sets"]:
        who = [part["data"], part["predictor"] or "–"]
        for curve in part["curves"]:
            fit = curve.get("fit", {"refused": curve.get("refused", "no fit")})
            if "refused" in fit:
                rows.append([*who, curve["curve"], fit["refused"], "", ""])
                continue
            rows.append([*who, curve["curve"], str(fit["best"]), _found(fit.get("floor")), _found(fit.get("b"))])
    return rows


def bd_rows(analysis: Mapping[str, Any]) -> list[list[str]]:
    """A line for each pair of curves, of answers and of information."""
    rows = []
    for part in (*analysis["sets"], *analysis["mi"]):
        who = [part["data"], part.get("predictor") or (f"MI, {part['value']}" if "value" in part else "–")]
        for pair in part["bd"]:
            if "refused" in pair:
                rows.append([*who, pair["new"], pair["old"], str(pair["refused"]), ""])
                continue
            tokens, value = pair["tokens_at_equal_value"], pair["value_at_equal_tokens"]
            rows.append([*who, pair["new"], pair["old"], _found(tokens, 100, " %"), _found(value)])
    return rows


def controlled_rows(analysis: Mapping[str, Any]) -> list[list[str]]:
    """MI against the score of the answers, with and without length: a line for each reading that could be computed, or the
    reason."""
    rows = []
    for part in analysis["sets"]:
        scores = [
            (score, among, found)
            for key, score in (("mi_accuracy", "correct"), ("mi_likelihood", "likelihood"))
            for among, found in part.get(key, {}).items()
        ]
        for score, among, found in scores:
            who = [
                part["data"],
                part["predictor"] or "–",
                "fact kept" if part["predictor"] is None else score,
                {"hard": "changed facts", "all": "all negatives"}.get(among, among),
            ]
            if "refused" in found:
                rows.append([*who, str(found["refused"]), "", ""])
                continue
            for reading, values in found.items():
                if isinstance(values, Mapping) and "plain" in values:
                    ranks = "spearman" in values and "partial_spearman" in values
                    plain, partial = ("spearman", "partial_spearman") if ranks else ("plain", "partial")
                    name = f"{reading} ({'ranks' if ranks else 'linear'})"
                    both = [values[plain], values[partial]]
                    refused = "refused" in both[0] and "refused" in both[1]  # one reason is enough
                    rows.append([*who, name, _found(both[0]), "–" if refused else _found(both[1])])
    return rows


def _found(number: Any, factor: float = 1.0, unit: str = "") -> str:
    if not isinstance(number, Mapping):
        return "–"
    if "value" not in number:
        return str(number.get("refused", "–"))
    low, high = (float("nan") if number.get(k) is None else factor * number[k] for k in ("low", "high"))
    prefix = "at most " if number.get("kind") == "at most" else ""
    digits = 0 if factor == 100 else 3 if abs(number["value"]) < 0.1 else 2
    # a bootstrap interval is not symmetric: its ends are given
    interval = "(interval unknown)" if math.isnan(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"
    return f"{prefix}{factor * number['value']:.{digits}f}{unit} {interval}"
