"""The paper's figures: points from summaries, claims with each verdict, drawings."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from summarised import finding, information, predictor, summary_of

from infoagent.applications.paper import drawing
from infoagent.applications.paper.claims import FAILS, HOLDS, UNASKED, UNDECIDED, Missing, check_claims, correlation, ratio
from infoagent.applications.paper.drawing import DRAWINGS, save_experiment
from infoagent.applications.paper.figures import EXPERIMENTS, Experiment, experiment_of, fits_of, listing, numbers_of, points_of
from infoagent.applications.paper.published import (
    PUBLISHED,
    Agreement,
    Ahead,
    Correlation,
    Direction,
    FactorOrder,
    Near,
    NoGain,
    NotAsked,
    Published,
)
from infoagent.config import load_recipe, recipe_yaml
from infoagent.files import clean, read_json
from infoagent.recipes import EvaluationRecipe
from infoagent.records.grid import CompressorIdentity
from infoagent.records.summaries import CompressorCost, PredictorCost
from infoagent.reporting.plots import new_figure
from infoagent.types import InputError


def value(centre, half):
    return {"value": centre, "low": centre - half, "high": centre + half, "n": 20}


def summary(label, tokens=20.0, mi=2.0, error=0.4, nll=1.0, curve="family", data="longhealth", half=0.02, **section):
    answers = {"distortion/error": finding(error, half, 20), "distortion/nll_per_token": finding(nll, half, 20)}
    return summary_of(
        label,
        data=data,
        compressor={"model": {"name": "smollm2-135m"}, "prompt": {"sentences": None}, **section},
        curve=curve,
        n_documents=20,
        values={"rate/tokens": finding(tokens, half, 20)},
        estimates={"easy": information(mi, half, math.log(20), saturation=0.5)},
        cost=CompressorCost(compressor_gflops_total=10.0 * tokens, compressor_gflops_paper=tokens),
        predictors={"GPT-4o": predictor(answers, n=20, unparseable=1, cost=PredictorCost(usd_total=0.01))},
    )


def anchor(error):
    made = summary("full document", error=error)
    return replace(made, compressor=CompressorIdentity(label=made.label, kind="full-document"), estimates={})


def test_points_are_the_summaries_numbers_in_the_figures_units():
    [point] = points_of([summary("a", tokens=16.0, mi=2.0, error=0.25, half=0.1, sentences=3)])
    assert point["measures"]["tokens"]["value"] == 16
    assert point["predictors"]["GPT-4o"]["accuracy"] == {"value": 0.75, "low": 0.65, "high": 0.85, "n": 20}
    bits = point["measures"]["bits_per_token"]
    assert bits["value"] == pytest.approx(2.0 / math.log(2) / 16)
    # relative half widths 0.1/2 and 0.1/16, in quadrature
    assert bits["high"] - bits["value"] == pytest.approx(bits["value"] * math.hypot(0.1 / 2, 0.1 / 16))
    assert point["measures"]["gflops_paper"] == {"value": 16.0}
    assert point["sentences"] == 3
    assert point["parameters"] == 134_515_008  # of SmolLM2-135M, as its model card's 135M


def test_a_ratio_and_its_interval_by_hand_and_by_simulation():
    found = ratio(value(0.8, 0.04), value(0.5, 0.05))
    assert found["value"] == pytest.approx(1.6)
    assert found["high"] == pytest.approx(1.6 * math.exp(math.hypot(0.05, 0.1)))
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.8, 0.04 / 1.96, 200_000) / rng.normal(0.5, 0.05 / 1.96, 200_000)
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=0.02)
    assert ratio({"value": 6.0}, {"value": 4.0}) == {"value": 1.5}
    with pytest.raises(Missing, match="not above 0"):
        ratio(value(0.8, 0.1), value(0.0, 0.1))
    with pytest.raises(Missing, match="unknown"):
        ratio(value(0.8, math.nan), value(0.5, 0.1))


def test_correlation_agrees_with_scipy():
    from scipy.stats import pearsonr

    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    y = -x + rng.normal(size=12)
    ours, theirs = correlation(x.tolist(), y.tolist()), pearsonr(x, y)
    interval = theirs.confidence_interval()
    assert [ours["value"], ours["low"], ours["high"]] == pytest.approx([theirs.statistic, *interval], abs=1e-4)
    with pytest.raises(Missing, match="3 points"):
        correlation([1, 2, 3], [1, 2, 3])
    with pytest.raises(Missing, match="does not vary"):
        correlation([1, 1, 1, 1], [1, 2, 3, 4])


SIDES = ((("b", None), ("a", None)),)


def verdict(question, *summaries, analysis=None, scorer=None):
    points = [p for s in summaries for p in points_of([s], scorer)]
    claim = Published("figure", "quantity", "something", question)
    [row] = check_claims("figure", points, analysis or {}, [claim])
    return row["verdict"], row


@pytest.mark.parametrize(
    ("question", "errors", "half", "expected"),
    [
        (Direction("accuracy", SIDES, 1.6), (0.6, 0.2), 0.02, HOLDS),
        (Direction("accuracy", SIDES, 0.5), (0.6, 0.2), 0.02, FAILS),
        (Direction("accuracy", SIDES, 1.6), (0.6, 0.5), 0.3, UNDECIDED),
        (Near("accuracy", SIDES, 1.0), (0.5, 0.5), 0.01, HOLDS),
        (Near("accuracy", SIDES, 1.0), (0.6, 0.2), 0.01, FAILS),
        (Near("accuracy", SIDES, 1.0), (0.5, 0.5), 0.2, UNDECIDED),
        (Ahead(("b",), "a", 4.0), (0.5, 0.4), 0.02, HOLDS),
        (Ahead(("b",), "a", 4.0), (0.4, 0.5), 0.02, FAILS),
        (Ahead(("b",), "a", 4.0), (0.4, 0.38), 0.1, UNDECIDED),
    ],
)
def test_every_verdict_of_a_comparison(question, errors, half, expected):
    found, row = verdict(question, summary("a", error=errors[0], half=half), summary("b", error=errors[1], half=half))
    assert found == expected
    assert expected in row["sentence"]
    assert row["ours"]["value"] == pytest.approx(
        100 * (errors[0] - errors[1]) if isinstance(question, Ahead) else (1 - errors[1]) / (1 - errors[0])
    )
    assert row["ours"]["n"] == 20
    if expected == UNDECIDED:
        assert "the interval" in row["why"]
        assert "with n = 20" in row["why"]


def test_what_would_have_been_seen_is_the_least_difference_that_decides():
    """The ratio that is named is where the interval begins to leave 1 out, its relative width kept."""
    _, row = verdict(Direction("accuracy", SIDES, 1.6), summary("a", error=0.6, half=0.3), summary("b", error=0.5, half=0.3))
    told = float(row["why"].split("ratio of ")[1].split()[0])
    spread = math.log(row["ours"]["high"] / row["ours"]["value"])
    assert math.log(told) == pytest.approx(spread, rel=0.02)


def test_what_is_missing_is_named_and_no_number_stands_for_it():
    found, row = verdict(Direction("accuracy", SIDES, 1.6), summary("a"))
    assert (found, row["ours"], row["why"]) == (UNASKED, None, "needs 'b' on this data set")
    assert verdict(NotAsked("no such loop"))[1]["why"] == "no such loop"
    bare = replace(summary("b"), predictors={})
    assert verdict(Direction("accuracy", SIDES, 1.6), summary("a"), bare)[1]["why"] == "'b' has no accuracy"


def test_costs_as_the_paper_counts_and_in_all_are_two_answers():
    """7B writes a fifth of the tokens: alike where only written tokens count; reading the document changes that."""
    small, large = summary("Qwen2.5 1.5B", tokens=100), summary("Qwen2.5 7B", tokens=22)
    small = replace(small, cost=CompressorCost(compressor_gflops_paper=300.0, compressor_gflops_total=3_300.0))
    large = replace(large, cost=CompressorCost(compressor_gflops_paper=308.0, compressor_gflops_total=14_300.0))
    rows = check_claims("fig2", points_of([small, large]), {})
    verdicts = {r["quantity"]: r["verdict"] for r in rows if "GFLOP" in r["quantity"]}
    assert list(verdicts.values()) == [HOLDS, FAILS]


def several(slope, noise=0.0, **more):
    rng = np.random.default_rng(2)
    return [summary(f"z{i}", mi=i / 5, nll=3 + slope * i / 5 + noise * rng.normal(), **more) for i in range(8)]


def test_verdicts_of_correlations():
    assert verdict(Correlation(-0.84), *several(-1, 0.1))[0] == HOLDS
    assert verdict(Correlation(-0.84), *several(1, 0.1))[0] == FAILS
    assert verdict(Correlation(-0.84), *several(0, 1.0))[0] == UNDECIDED
    one, two = points_of(several(0.0), "one"), points_of(several(0.0), "two")
    for i, point in enumerate(two):
        point["measures"]["mi_nats"] = value(i / 5 + 0.4, 0.1)  # a constant above
    claim = [Published("figure", "quantity", "something", Agreement())]
    assert check_claims("figure", one + two, {}, claim)[0]["verdict"] == HOLDS
    for point in one + two:
        point["scorer"] = {"one": "model (float32)", "two": "model (bfloat16)"}[point["scorer"]]
    [row] = check_claims("figure", one + two, {}, claim)
    assert (row["verdict"], row["ours"]["value"]) == (UNASKED, pytest.approx(1))
    assert "one model" in row["why"]
    assert "1 scorers" in check_claims("figure", one, {}, claim)[0]["why"]
    found = numbers_of(EXPERIMENTS["fig13"], "small", one + two, {})["agreement"]["longhealth"]
    assert found[0]["mean_shift_nats"] == pytest.approx(0.4)
    assert found[0]["r"]["value"] == pytest.approx(1)


def coefficient(name, centre, half=0.1):
    return {"name": name, **value(centre, half)}


@pytest.mark.parametrize(("effects", "expected"), [((3, 1, 0.5), HOLDS), ((1, 3, 0.5), FAILS), ((1, 0.99, 0.5), UNDECIDED)])
def test_verdicts_of_the_order_of_factors(effects, expected):
    family, size, predictor = effects
    rows = [coefficient("family[b]", -family), coefficient("parameters_doubled", size / 2), coefficient("predictor[x]", predictor)]
    points = [{"data": "d", "parameters": n} for n in (1_000_000, 4_000_000)]  # two doublings
    claim = [Published("f", "q", "s", FactorOrder(("family", "parameters_doubled", "predictor")))]
    [row] = check_claims("f", points, {"regression": {"without_mi": {"coefficients": rows}}}, claim)
    assert row["verdict"] == expected
    [row] = check_claims("f", points, {"regression": {"refused": "no graded answers"}}, claim)
    assert (row["verdict"], row["why"]) == (UNASKED, "no graded answers")


@pytest.mark.parametrize(
    ("centre", "half", "expected"), [(0.5, 0.2, FAILS), (0.05, 0.2, HOLDS), (0.3, 0.5, UNDECIDED), (-0.5, 0.2, HOLDS)]
)
def test_verdicts_of_no_gain(centre, half, expected):
    claim = [Published("f", "q", "s", NoGain("same_family"))]
    analysis = {"regression": {"without_mi": {"coefficients": [coefficient("same_family", centre, half)]}}}
    assert check_claims("f", [], analysis, claim)[0]["verdict"] == expected
    [row] = check_claims("f", [], {"regression": {"coefficients": []}}, claim)
    assert row["verdict"] == UNASKED
    assert "no term 'same_family'" in row["why"]


def test_published_numbers_are_those_of_the_paper():
    numbers = {(c.figure, c.quantity, c.data): c.value for c in PUBLISHED}
    assert numbers["fig2", "accuracy, Qwen2.5 7B over 1.5B", None] == 1.6
    assert numbers["fig2", "length, Qwen2.5 7B over 1.5B", None] == pytest.approx(1 / 4.6)
    assert numbers["fig2", "accuracy, 7-8B over 1-1.5B, at best", "longhealth"] == 3.1
    assert numbers["fig2", "accuracy, 7-8B over 1-1.5B, at best", "financebench"] == 2.6
    assert numbers["fig6", "correlation of MI with log perplexity", None] == -0.84
    assert {c.figure for c in PUBLISHED} <= set(EXPERIMENTS)


ANALYSIS = {
    "sets": [
        {
            "data": "longhealth", "predictor": "GPT-4o", "measure": "error",
            "curves": [
                {"curve": "family", "points": [{"label": "b", "tokens": value(t, 1.0), "value": value(0.5, 0.1)} for t in (5.0, 40.0)],
                 "fit": {"best": "exponential", "C": value(0.5, 0.1), "b": value(0.1, 0.01), "D0": value(0.2, 0.1)}},
                {"curve": "short", "points": [], "fit": {"refused": "2 points"}},
                {"curve": "flat", "points": [],
                 "fit": {"best": "constant", "C": value(0.5, 0.1), "b": {"refused": "flat"}, "D0": value(0.2, 0.1)}},
            ],
        }
    ],
    "regression": {"coefficients": [coefficient("mi_nats", 1.0)], "references": {"family": "a"},
                   "without_mi": {"coefficients": [coefficient("intercept", 0.1), coefficient("family[b]", 0.7)]}},
}  # fmt: skip


def test_fits_are_read_whole_or_with_the_reason():
    family, short, flat = fits_of(ANALYSIS)
    assert (family["C"]["value"], family["b"]["value"], family["D0"]["value"]) == (0.5, 0.1, 0.2)
    assert family["tokens"] == [5.0, 40.0]
    assert (short["refused"], flat["refused"]) == ("2 points", "flat")


@pytest.mark.parametrize("name", {e.drawing: e.name for e in EXPERIMENTS.values() if e.drawing}.values())
def test_every_kind_is_drawn_from_its_numbers_as_they_stand_in_the_file(name, tmp_path):
    points = points_of([*several(-1), anchor(0.2)], "scorer" if name == "fig13" else None)
    for i, point in enumerate(points[:4]):
        point["sentences"] = 3 * (i + 1)
    numbers = json.loads(json.dumps(clean(numbers_of(EXPERIMENTS[name], "small", points, ANALYSIS))))
    [picture] = save_experiment(numbers, tmp_path)
    assert picture.stat().st_size > 8_000
    text = (tmp_path / f"{name}.svg").read_text()
    assert "not measured in this run" not in text


def test_what_is_drawn_stands_at_its_numbers(tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "close", shown.append)
    points = points_of([summary("a", error=0.4, sentences=1), summary("b", error=0.3, sentences=2), anchor(0.1)])
    save_experiment(numbers_of(EXPERIMENTS["fig5"], "small", points, {}), tmp_path)
    axis = shown[0].axes[0]
    line = next(line for line in axis.lines if len(line.get_xdata()) == 2 and list(line.get_xdata()) == [1, 2])
    assert list(line.get_ydata()) == pytest.approx([60, 70])
    assert any(list(line.get_ydata()) == pytest.approx([90, 90]) for line in axis.lines)  # the full document
    monkeypatch.undo()
    plt.close(shown[0])


def test_experiments_of_other_scripts_and_unknown_ones():
    for name, script in (("fig7", "eval/applications/deep_research.py"), ("fig18", "eval/applications/rounds.py")):
        with pytest.raises(InputError, match=f"has a script of its own: .*{script}"):
            experiment_of(name)
    with pytest.raises(InputError, match="allowed: fig2, fig3"):
        experiment_of("fig1")


def test_a_figure_that_is_added_is_listed_measured_and_drawn(monkeypatch, tmp_path):
    made = []
    monkeypatch.setitem(DRAWINGS, "lengths", lambda numbers, points, data: made.append(data) or new_figure(3, 3)[0])
    monkeypatch.setitem(EXPERIMENTS, "fig99", Experiment("fig99", "how long texts are", "lengths", ("tokens",)))
    for path in (ROOT / "configs" / "figures").glob("*.yaml"):
        if path.stem.rsplit("-", 1)[0] in ("fig2", *EXPERIMENTS):
            (tmp_path / path.name).write_text(recipe_yaml(load_recipe(EvaluationRecipe, path)))
    for size in ("small", "full"):
        (tmp_path / f"fig99-{size}.yaml").write_text(f"extends: fig2-{size}.yaml\noutput_dir: runs/fig99\n")
    [row] = [row for row in listing(tmp_path) if row[0] == "fig99"]
    assert row[1:3] == ["how long texts are", "records; CPU"]
    numbers = numbers_of(experiment_of("fig99"), "small", points_of([summary("a", tokens=16.0)]), {})
    assert (numbers["drawing"], numbers["panels"], numbers["claims"]) == ("lengths", ["tokens"], [])
    pictures = save_experiment(numbers, tmp_path)
    assert made == ["longhealth"]
    assert pictures == [tmp_path / "fig99.png"]
    assert all((tmp_path / f"fig99.{suffix}").stat().st_size > 0 for suffix in ("png", "svg"))
    with pytest.raises(InputError, match="fig20, fig99, fact-deletion"):
        experiment_of("fig98")


def test_every_figure_names_a_drawing_that_there_is():
    assert {e.drawing for e in EXPERIMENTS.values() if e.elsewhere is None} <= set(DRAWINGS)


@pytest.mark.parametrize("file", sorted((ROOT / "eval/results/paper/local").glob("fig*.json")), ids=lambda file: file.stem)
def test_a_title_stands_within_its_picture(file, tmp_path, monkeypatch):
    def check(figure, *_):
        figure.canvas.draw()
        for text in [figure.get_suptitle() and figure._suptitle, *figure.legends]:
            extent = text.get_window_extent()
            assert extent.x0 >= 0
            assert extent.x1 <= figure.bbox.width

    monkeypatch.setattr(drawing, "save_figure", check)
    assert save_experiment(read_json(file), tmp_path)
