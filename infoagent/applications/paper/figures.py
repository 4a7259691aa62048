"""The paper's figures as named experiments: an evaluation recipe each, and the numbers that its figure shows.

An experiment runs through the evaluator of eval/frozen.py. `numbers_of` turns summaries and the analysis into points with
intervals, beside what the paper states and whether it holds here; infoagent.applications.paper.drawing draws them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infoagent.applications.paper.claims import NO_DOCUMENTS, Missing, check_claims, correlation, correlation_of, measured
from infoagent.applications.paper.pairing import RelativeValues
from infoagent.applications.paper.published import DEEP_RESEARCH, MULTI_ROUND, PUBLISHED
from infoagent.applications.paper.stand_ins import claims_at_hand
from infoagent.config import load_recipe
from infoagent.lm.embedded import EMBEDDED
from infoagent.lm.gguf import is_gguf
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import EvaluationRecipe
from infoagent.records.rate_points import rate_points
from infoagent.records.summaries import Summary
from infoagent.types import NATS_PER_BIT, InputError

Size = Literal["small", "local", "full"]
SIZES: tuple[Size, ...] = ("small", "local", "full")
"""small: the embedded model and text. local: GGUF files and published data sets on a processor. full: the paper's."""
Point = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """One figure. `panels` name measures of its points; `elsewhere` names the script that measures it instead.

    A new one is a row of EXPERIMENTS and its recipes, configs/figures/NAME-small.yaml and NAME-full.yaml, and NAME-local.yaml
    where models that people have on disk can ask it.
    """

    name: str
    title: str
    drawing: str | None = None
    """A row of `infoagent.applications.paper.drawing.DRAWINGS`."""
    panels: tuple[str, ...] = ()
    elsewhere: str | None = None
    scorers: Mapping[str, tuple[str, ...]] | None = None
    """For proxies: at each size the models that score the compressions beside the compressors' own, as `name` or
    `name:dtype`."""


ACCURACY = ("accuracy", "tokens", "gflops")
INFORMATION = ("mi_nats", "hard_nats", "bits_per_token")
CONCISENESS = ("accuracy", "tokens", "mi_nats", "hard_nats")
PROXIES = {
    "small": ("smollm2-135m:float32", "smollm2-135m:bfloat16"),
    "local": ("smollm2-135m", "runs/models/qwen2.5-coder-0.5b-instruct.gguf"),
    "full": ("Qwen/Qwen2.5-7B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B"),
}

EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment("fig2", "compressor size: accuracy, length, GFLOP per generation", "scaling", ACCURACY),
        Experiment("fig3", "scaling the compressor against scaling the predictor", "pairing", ("accuracy",)),
        Experiment("fig4", "information and information per token", "mi", INFORMATION),
        Experiment("fig5", "conciseness: an exact number of sentences", "conciseness", CONCISENESS),
        Experiment("fig6", "rate-distortion curves; information and perplexity", "rate-distortion", ("accuracy", "mi_perplexity")),
        Experiment("fig7", "deep research: score and cost", elsewhere=DEEP_RESEARCH),
        Experiment("fig9", "reasoning compressors: accuracy, length, GFLOP per generation", "scaling", ACCURACY),
        Experiment("fig12", "compressed without the question: perplexity", "scaling", ("nll_nats", "tokens", "gflops")),
        Experiment("fig13", "proxies: the same compressions under several scorers", "proxies", ("mi_nats",), scorers=PROXIES),
        Experiment("fig14", "a mixture of experts among dense compressors", "scaling", ACCURACY),
        Experiment("fig15", "information and information per token, on a second set", "mi", INFORMATION),
        Experiment("fig16", "conciseness, on a second set", "conciseness", CONCISENESS),
        Experiment("fig17", "what decides a right answer: mixed logistic regression", "coefficients", ("coefficients",)),
        Experiment("fig18", "several rounds between predictor and compressor", elsewhere=MULTI_ROUND),
        Experiment("fig19", "rate-distortion across pairings", "rate-distortion", ("accuracy",)),
        Experiment("fig20", "rate-distortion across pairings, on a second set", "rate-distortion", ("accuracy",)),
    )
}


def experiment_of(name: str) -> Experiment:
    """Raises InputError for an unknown experiment, and for one that another script measures."""
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r}: is unknown; allowed: {', '.join(EXPERIMENTS)}, fact-deletion")
    found = EXPERIMENTS[name]
    if found.elsewhere is not None:
        raise InputError(f"experiment {name!r}: has a script of its own: {found.elsewhere}")
    return found


def recipe_file(directory: Path, name: str, size: str) -> Path:
    """The recipe of an experiment at one size. Raises InputError for a size that it does not have."""
    if size not in (there := sizes_of(directory, name)):
        raise InputError(f"experiment {name!r}: has no size {size!r}; take --size {' or '.join(there)}")
    return directory / f"{name}-{size}.yaml"


def sizes_of(directory: Path, name: str) -> list[str]:
    """The sizes at which an experiment can be run: those with a recipe."""
    return [size for size in SIZES if (directory / f"{name}-{size}.yaml").is_file()]


def needs(recipe: EvaluationRecipe, scorers: Sequence[str] = ()) -> list[str]:
    """What a recipe needs beside this package: an accelerator, keys, files. A model that is neither embedded nor a GGUF file
    counts as in need of an accelerator."""
    predictors = [*recipe.predictors, *([recipe.grading.judge] if recipe.grading.judge else [])]
    local = [c.model.name for c in recipe.compressors] + [p.name for p in predictors if p.kind != "endpoint"]
    local += [s.partition(":")[0] for s in scorers]
    files = [name for name in dict.fromkeys(local) if is_gguf(name)]
    found = ["GPU"] if {*local} - {*EMBEDDED, *files} else []
    found += files
    found += ["vLLM"] if any(p.kind == "vllm" for p in predictors) else []
    found += dict.fromkeys(p.endpoint.api_key_env for p in predictors if p.endpoint and p.endpoint.api_key_env)
    for i, section in enumerate(recipe.data):
        found += [f"data.{i}.{name}" for name in ("path", "questions") if getattr(section, name)]
    return found


def listing(directory: Path) -> list[list[str]]:
    """(experiment, what it shows, at each size: on what and with what) for every experiment."""
    rows = []
    for experiment in EXPERIMENTS.values():
        row = [experiment.name, experiment.title]
        if experiment.elsewhere:
            rows.append([*row, "a script of its own", "", experiment.elsewhere])
            continue
        for size in SIZES:
            if size not in sizes_of(directory, experiment.name):
                row.append("")
                continue
            recipe = load_recipe(EvaluationRecipe, recipe_file(directory, experiment.name, size))
            scorers = (experiment.scorers or {}).get(size, ())
            data = ", ".join(section.name for section in recipe.data)
            row.append("; ".join([data, ", ".join(needs(recipe, scorers)) or "CPU"]))
        rows.append(row)
    rows.append(["fact-deletion", "MI while facts are deleted from a compression", "records; CPU", "", ""])
    return rows


def points_of(summaries: Sequence[Summary], scorer: str | None = None) -> list[Point]:
    """One point for each data set and compressor: measures with intervals, and those of each predictor.

    `scorer` names who found the information where several did.
    """
    points = []
    for summary in summaries:
        compressor = summary.compressor
        point: Point = {
            "data": summary.data.name, "label": summary.label, "curve": summary.curve,
            "kind": compressor.kind, "documents": summary.n_documents, "failed": summary.failed,
            "measures": _measures(summary), "predictors": _predictors(summary),
        }  # fmt: skip
        point |= {"sentences": compressor.sentences} if compressor.sentences else {}
        point |= {"scorer": scorer} if scorer else {}
        if compressor.kind == "lm":
            point |= {"model": compressor.model["name"], **_parameters(compressor.model)}
        points.append(point)
    return points


def _parameters(model: Mapping[str, Any]) -> dict[str, int]:
    """All parameters and those at work for each token; nothing where the architecture is not known."""
    try:
        found = architecture_of(model["name"], model.get("revision"))
    except InputError:
        return {}
    return {} if found is None else {"parameters": found.parameters, "active_parameters": found.active_parameters}


def _measures(summary: Summary) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if summary.rate_tokens is not None:
        found["tokens"] = {**vars(summary.rate_tokens)}
    for name, kinds in (("mi_nats", "easy"), ("hard_nats", "hard")):
        if kinds in summary.estimates:
            e = summary.estimates[kinds]
            value, low, high = e.interval_nats
            found[name] = {"value": value, "low": low, "high": high, "ceiling": e.ceiling_nats, "saturation": e.saturation}
    for nats, bits in (("mi_nats", "bits_per_token"), ("hard_nats", "hard_bits_per_token")):
        if nats in found and found.get("tokens", {}).get("value", 0) > 0:
            found[bits] = {**_per_token_bits(found[nats], found["tokens"]), "saturation": found[nats]["saturation"]}
    cost = summary.cost
    for part, gflops in (
        ("paper", cost.compressor_gflops_paper),
        ("total", cost.compressor_gflops_total),
        ("decode", cost.compressor_gflops_decode),
    ):
        if gflops is not None:
            found[f"gflops_{part}"] = {"value": gflops}
    return found


def _per_token_bits(mi: Mapping[str, float], tokens: Mapping[str, float]) -> dict[str, float]:
    """Mean MI over mean length in bits; the interval to first order, without the covariance of the two."""
    value = mi["value"] / tokens["value"] / NATS_PER_BIT
    halves = ((v["high"] - v["low"]) / 2 for v in (mi, tokens))
    of_mi, of_tokens = (half / tokens["value"] for half in halves)
    half = math.hypot(of_mi / NATS_PER_BIT, value * of_tokens)
    return {"value": value, "low": value - half, "high": value + half}


def _predictors(summary: Summary) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for title, p in summary.predictors.items():
        row: dict[str, Any] = {"n": p.n, "failed": p.failed, "unparseable": p.unparseable}
        if (e := p.error) is not None:
            row["accuracy"] = {"value": 1 - e.value, "low": 1 - e.high, "high": 1 - e.low, "n": e.n}
        if (nll := p.values.get("distortion/nll_per_token")) is not None:
            row["nll_nats"] = {**vars(nll)}
        costs = (("gflops_total", p.cost.gflops_total), ("usd_total", p.cost.usd_total))
        found[title] = row | {name: cost for name, cost in costs if cost is not None}
    return found


def fits_of(analysis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """D(R) = C·exp(−b·R) + D0 of every curve that analysis.json fitted, or why it did not."""
    found = []
    for part in analysis.get("sets", []):
        for curve in part["curves"]:
            row = {"data": part["data"], "predictor": part["predictor"], "measure": part["measure"], "curve": curve["curve"]}
            fit = curve.get("fit", curve)
            whole = "refused" not in fit and all("value" in fit[name] for name in ("C", "b", "D0"))
            if whole:
                row |= {"best": fit["best"], **{name: fit[name] for name in ("C", "b", "D0")}}
                tokens = [p.tokens.value for p in rate_points(curve["points"], curve["curve"])]
                row["tokens"] = [min(tokens), max(tokens)]
            else:
                refused = [fit, *(fit[name] for name in ("C", "b", "D0") if name in fit)]
                row["refused"] = next(r["refused"] for r in refused if "refused" in r)
            found.append(row)
    return found


def numbers_of(
    experiment: Experiment, size: str, points: Sequence[Point], analysis: Mapping[str, Any], relative: RelativeValues = NO_DOCUMENTS
) -> dict[str, Any]:
    """What the figure shows, with the paper's claims beside it; ready for JSON but for NaN. `relative`: what each document adds, for
    comparisons on the same documents."""
    found: dict[str, Any] = {
        "schema_version": 1,
        "figure": experiment.name,
        "title": experiment.title,
        "size": size,
        "drawing": experiment.drawing,
        "panels": list(experiment.panels),
        "points": list(points),
    }
    if experiment.drawing == "rate-distortion":
        found["fits"] = fits_of(analysis)
    if experiment.drawing == "coefficients":
        found["regression"] = analysis.get("regression", {"refused": "no analysis"})
    if "mi_perplexity" in experiment.panels:
        found["correlation"] = {data: _or_refused(correlation_of, of) for data, of in by_data(points).items()}
    if experiment.drawing == "proxies":
        found["agreement"] = {data: _agreement(of) for data, of in by_data(points).items()}
    claims = claims_at_hand() if size == "local" else PUBLISHED
    found["claims"] = check_claims(experiment.name, points, analysis, claims, relative)
    return found


def by_data(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each data set, in order."""
    return {data: [p for p in points if p["data"] == data] for data in dict.fromkeys(p["data"] for p in points)}


def _agreement(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Each scorer against the first: r over the compressors, and how far its curve lies above in the mean."""
    rows: dict[str, dict[str, float]] = {}
    for point in points:
        mi = measured(point, "mi_nats")
        if mi is not None:
            rows.setdefault(point["scorer"], {})[point["label"]] = mi["value"]
    first, *others = rows
    found = []
    for other in others:
        shared = [label for label in rows[first] if label in rows[other]]
        xs, ys = ([rows[scorer][label] for label in shared] for scorer in (first, other))
        shift = sum(y - x for x, y in zip(xs, ys, strict=True)) / len(shared)
        r = _or_refused(lambda pair: correlation(*pair), (xs, ys))
        found.append({"scorers": [first, other], "compressors": len(shared), "mean_shift_nats": shift, "r": r})
    return found


def _or_refused(compute: Any, of: Any) -> dict[str, Any]:
    try:
        return dict(compute(of))
    except Missing as error:
        return {"refused": str(error)}
