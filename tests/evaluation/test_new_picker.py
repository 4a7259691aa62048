"""A sentence picker is a function and a row: one that is added from outside is known everywhere."""

import pytest
from pydantic import ValidationError
from summarised import predictor as asked
from summarised import summary_of

from infoagent.analysis.session import run_evaluation
from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.applications.research.recipe import SystemSection
from infoagent.applications.rounds.recipe import CompactorSection
from infoagent.applications.stress.recipe import HardInputsRecipe
from infoagent.baselines import PICKERS, Picker
from infoagent.data.segmentation import sentences
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.costing import compressor_cost, with_break_even
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.files import read_json
from infoagent.recipes import CompressorSection, EvaluationRecipe
from infoagent.records.grid import CompressionRecord, CompressorIdentity, DataIdentity, compressions_of
from infoagent.records.summaries import CompressorCost, PredictorCost
from infoagent.reporting.overview import best_at_budgets
from infoagent.reporting.page import collect, render
from infoagent.types import InputError


def middle_order(found, problem, seed):
    """From the middle outward."""
    middle = (len(found) - 1) / 2
    return sorted(range(len(found)), key=lambda i: (abs(i - middle), i))


@pytest.fixture
def _middle(monkeypatch):
    monkeypatch.setitem(PICKERS, "middle", Picker("middle", middle_order, asks=True, free=True))


def grid(tiny_dir, out):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": 4, "min_words": 40, "max_words": 60}],
            "compressors": [
                {"label": "the middle", "kind": "middle", "sentences": 1, "model": model},
                {"label": "whole", "kind": "full-document", "model": model},
            ],
            "predictors": [model],
            "negatives": {"random": 1, "counterfactual": 1},
            "resamples": 50,
        }
    )


def record(kind):
    return CompressionRecord(
        key="k", compressor=CompressorIdentity(label=kind, kind=kind), data=DataIdentity(name="d"), problem_id="p", document_id="d",
        text="z", finish="stop", rate_tokens=3,
    )  # fmt: skip


@pytest.mark.usefixtures("_middle")
def test_a_picker_that_is_added_runs_in_the_grid_is_counted_and_reported(tiny_dir, tmp_path):
    recipe = grid(tiny_dir, tmp_path)
    assert "the middle" in describe_evaluation(recipe)
    cells = plan_cells(recipe)
    records, summaries = run_evaluation(recipe, cells, quiet=True)
    written = {r.problem_id: r.text for r in compressions_of(records) if r.compressor.kind == "middle"}
    assert len(written) == 4
    for problem in cells[0].problems:
        found = sentences(problem.document)
        assert written[problem.id] == found[(len(found) - 1) // 2]
    [ours] = [s for s in summaries if s.label == "the middle"]
    assert ours.curve == "middle"
    assert ours.failed == 0
    assert [getattr(ours.cost, f"compressor_gflops_{part}") for part in ("total", "decode", "paper")] == [0.0, 0.0, 0.0]
    [predictor] = ours.predictors.values()
    assert predictor.cost.gflops_total == predictor.cost.predictor_gflops_total > 0
    assert predictor.break_even["gflops"].verdict == "always"
    assert "the middle" in render([str(tmp_path)])
    _, rows = best_at_budgets(collect([str(tmp_path)]))
    assert "the middle" in str(rows)
    assert read_json(tmp_path / "summary.json")["summaries"][0]["compressor"]["kind"] == "middle"


@pytest.mark.usefixtures("_middle")
def test_every_recipe_with_compressors_takes_it():
    picks = {"label": "m", "kind": "middle"}
    CompressorSection.model_validate({**picks, "tokens": 9})
    SystemSection.model_validate({**picks, "sentences": 2})
    assert CompactorSection.model_validate(picks).asks
    rest = {"output_dir": "x", "compressors": [{"label": "lm"}, {**picks, "sentences": 1}]}
    HardInputsRecipe.model_validate(rest)
    ProxyRecipe.model_validate({**rest, "scorers": [{"label": "z", "kind": "zlib"}]})
    with pytest.raises(ValidationError, match="kind middle needs sentences or tokens"):
        CompressorSection.model_validate(picks)


def test_what_a_row_says_is_followed(monkeypatch):
    monkeypatch.setitem(PICKERS, "encoder", Picker("encoder", middle_order, asks=False, free=False))
    monkeypatch.setitem(PICKERS, "informed", Picker("informed", middle_order, asks=True, free=True, told=True))
    assert compressor_cost([record("encoder")]).compressor_gflops_total is None  # a model runs, and nobody counted it
    for kind, verdict in (("encoder", "from"), ("informed", "never")):  # made once for a document, or for each question
        both = [
            summary_of(
                of,
                of,
                cost=CompressorCost(compressor_gflops_total=100.0),
                predictors={"p": asked(cost=PredictorCost(predictor_gflops_total=gflops))},
            )
            for of, gflops in ((kind, 1.0), ("full-document", 50.0))
        ]
        compressed, _ = with_break_even(both)
        assert compressed.predictors["p"].break_even["gflops"].verdict == verdict
    for section in (SystemSection, CompactorSection):
        with pytest.raises(ValidationError, match="informed"):
            section.model_validate({"label": "i", "kind": "informed", **({"tokens": 5} if section is SystemSection else {})})
    with pytest.raises(AssertionError, match="either order or drop_words"):
        Picker("neither", None, asks=False, free=True)
    with pytest.raises(TypeError, match="free"):
        Picker("unsaid", middle_order, asks=False)


def test_a_kind_without_a_row_is_an_error_and_never_free():
    with pytest.raises(ValidationError, match=r"should be 'lm', 'endpoint', .* or 'llmlingua2'"):
        CompressorSection.model_validate({"label": "m", "kind": "no-such-picker", "sentences": 1})
    with pytest.raises(InputError, match="kind 'no-such-picker' is unknown; allowed: lead"):
        compressor_cost([record("no-such-picker")])
