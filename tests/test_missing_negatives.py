"""Data that allow fewer negatives than asked for: the same rule in plan, training, validation, grid, pool and rounds."""

import json

import numpy as np
import pytest
from conftest import ROOT

from infoagent.analysis.session import run_evaluation
from infoagent.applications.rounds.estimate import describe_rounds
from infoagent.applications.rounds.recipe import RoundsRecipe
from infoagent.config import load_recipe
from infoagent.data.registry import load_data
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.evaluation.summary import EASY, HARD, estimate, evenly
from infoagent.measurement.estimate import describe_measurement
from infoagent.measurement.pool import _padded
from infoagent.measurement.pool_draw import choose_pool
from infoagent.recipes import DPORecipe, EvaluationRecipe, GRPORecipe, InformationRecipe, SFTRecipe
from infoagent.training.estimate import describe_dpo, describe_grpo, describe_sft
from infoagent.training.preparation import prepare
from infoagent.training.validation_checks import drawn_of, plan_validation
from infoagent.types import InputError

SAYS = "left out, fewer than 2 counterfactual documents: 4 of 12 problems"


@pytest.fixture
def own(tmp_path):
    """Twelve texts without a fact that could be changed, eight of which bring two versions; two questions on the last."""
    return written(tmp_path / "own.jsonl", "abcdefghijkl")


def written(path, letters):
    rows = [
        {
            "id": f"q{i}",
            "document": f"{letter * 4} goes there",
            "query": "who",
            "answer": letter * 4,
            **({"negatives": ["nobody goes there", "somebody goes there"]} if i % 3 else {}),
        }
        for i, letter in enumerate(letters)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": "jsonl", "path": str(path), "split": "all"}


def recipes(own, tiny_dir, out, **negatives):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    shared = {"output_dir": str(out), "negatives": {"random": 2, "counterfactual": 2, **negatives}}
    training = {**shared, "data": own, "model": model}
    return {
        describe_grpo: GRPORecipe.model_validate({**training, "grpo": {"prompts_per_step": 2, "num_generations": 2}}),
        describe_sft: SFTRecipe.model_validate(training),
        describe_dpo: DPORecipe.model_validate(training),
        describe_evaluation: EvaluationRecipe.model_validate(
            {
                **shared,
                "data": [own],
                "predictors": [],
                "resamples": 50,
                "compressors": [
                    {"label": kind, "kind": kind, "model": model, "max_tokens": 6, **more}
                    for kind, more in (("lm", {}), ("lead", {"sentences": 1}))
                ],
            }
        ),
        describe_rounds: RoundsRecipe.model_validate(
            {**shared, "data": own, "predictor": model, "systems": [{"label": "s", "model": model, "rounds": 2}]}
        ),
    }


@pytest.fixture
def no_edits(monkeypatch):
    """Only what the data brought: whether a text without facts has typed edits is not what is asked here."""
    monkeypatch.setattr("infoagent.data.counterfactual.documents.typed_counterfactuals", lambda *_: iter(()))


def test_every_plan_counts_what_will_be_left_out(own, tiny_dir, tmp_path, no_edits):
    for describe, recipe in recipes(own, tiny_dir, tmp_path).items():
        assert SAYS in describe(recipe), describe.__name__


def test_every_plan_refuses_before_it_estimates(own, tiny_dir, tmp_path, no_edits):
    for describe, recipe in recipes(own, tiny_dir, tmp_path, missing="refuse").items():
        with pytest.raises(InputError, match=r"4 of 12 problems have fewer \(4 with 0: 'q0', 'q3', 'q6', …\)"):
            describe(recipe)
        with pytest.raises(InputError, match=r"negatives.counterfactual = 3: no problem has so many"):
            describe(
                recipe.model_copy(
                    update={"negatives": recipe.negatives.model_copy(update={"missing": "leave_out", "counterfactual": 3})}
                )
            )


def test_training_and_validation_leave_out_and_say_so(own, tiny_dir, tmp_path, no_edits):
    recipe = recipes(own, tiny_dir, tmp_path)[describe_grpo]
    prepared = prepare(recipe, 4)
    assert [p.id for p in prepared.problems] == [f"q{i}" for i in range(12) if i % 3]
    assert {len(n) for n in prepared.negatives} == {4}
    [held] = prepared.drawn
    assert (held["problems"], held["left_out"]) == (8, {"fewer than 2 counterfactual documents": 4})
    padded = prepare(recipes(own, tiny_dir, tmp_path, missing="fill")[describe_grpo], 4)
    assert len(padded.problems) == 12
    assert {len(n) for n in padded.negatives} == {4}
    assert padded.drawn[0]["short"] == {"fewer than 2 counterfactual documents, padded with random": 4}
    with pytest.raises(InputError, match=r"8 problems \(4 more have too few negatives\) are fewer than steps = 9"):
        prepare(recipe, 4, ("steps", 9))
    own = written(tmp_path / "more.jsonl", "abcdefghijklmnopqrstuvwxyz")  # enough for two others
    recipe = recipes(own, tiny_dir, tmp_path)[describe_grpo]
    train = recipe.model_copy(update={"data": recipe.data.model_copy(update={"split": "train"})})
    with_validation = GRPORecipe.model_validate({**train.model_dump(exclude_unset=True), "validation": {"metric": "mi/nats"}})
    plan = plan_validation(with_validation, 4, 1)
    ids = {p.id for p in load_data(**own | {"split": "validation"}).problems}
    assert {p.id for p in plan.prepared.problems} == {i for i in ids if int(i[1:]) % 3}
    assert [held["split"] for held in drawn_of(prepared, plan)] == ["all", "validation"]


def test_a_grid_compares_on_the_same_problems_and_keeps_the_count(own, tiny_dir, tmp_path, no_edits):
    recipe = recipes(own, tiny_dir, tmp_path / "out")[describe_evaluation]
    cells = plan_cells(recipe)
    assert [c.compressor.label for c in cells] == ["lm", "lead"]
    assert {tuple(p.id for p in c.problems) for c in cells} == {tuple(f"q{i}" for i in range(12) if i % 3)}
    run_evaluation(recipe, cells, quiet=True)
    [held] = json.loads((tmp_path / "out" / "run.json").read_text())["drawn"]
    assert (held["problems"], held["left_out"]) == (8, {"fewer than 2 counterfactual documents": 4})


def test_padded_problems_stay_out_of_the_estimate_that_they_cannot_enter(own, tiny_dir, tmp_path, no_edits):
    recipe = recipes(own, tiny_dir, tmp_path / "out", missing="fill")[describe_evaluation]
    records, summaries = run_evaluation(recipe, plan_cells(recipe), quiet=True)
    rows = [r for r in records if r.compressor.label == "lead"]
    assert {len(r.log_probs) for r in rows} == {5}
    assert len(evenly(rows, HARD)) == 8
    assert estimate(rows, EASY + HARD).n_compressions == 12
    found = next(s for s in summaries if s.label == "lead").estimates
    assert {name: e.left_out_as_padded for name, e in found.items()} == {"easy": 4, "hard": 4, "all": None}
    assert found["hard"].ceiling_nats == pytest.approx(np.log(3))


def test_a_pool_takes_other_documents_or_fewer_columns(own, no_edits):
    problems = load_data(**own).problems
    recipe = InformationRecipe(output_dir="x", documents=8, counterfactuals=2)
    pool = choose_pool(recipe, problems)
    assert sorted(p.id for p in pool.problems) == sorted(f"q{i}" for i in range(12) if i % 3)
    assert pool.left_out == {"fewer than 2 counterfactual documents": 4}
    with pytest.raises(InputError, match=r"only 8 different documents \(4 problems left out have too few"):
        choose_pool(recipe.model_copy(update={"documents": 9}), problems)
    fewer = choose_pool(recipe.model_copy(update={"documents": 12, "missing": "fewer"}), problems)
    assert sorted(map(len, fewer.counterfactuals)) == [0] * 4 + [2] * 8
    with pytest.raises(InputError, match=r"^counterfactuals = 2: .*or set missing to"):
        choose_pool(recipe.model_copy(update={"missing": "refuse"}), problems)


def test_the_plan_of_a_measurement_says_what_it_leaves_out(own, no_edits):
    recipe = InformationRecipe.model_validate({"output_dir": "x", "documents": 8, "counterfactuals": 2, "data": own})
    assert "left out, fewer than 2 counterfactual documents: 4 problems" in describe_measurement(recipe)


def test_the_plan_says_what_reading_the_data_left_out(tmp_path):
    file = tmp_path / "my.jsonl"
    rows = [{"id": f"q{i}", "document": f"Letter {i}. " + "word " * (90 if i % 3 else 900), "query": "?"} for i in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = load_recipe(
        InformationRecipe,
        str(ROOT / "configs/eval/information.yaml"),
        ["data.name=jsonl", f"data.path={file}", "data.split=all", "documents=8"],
    )
    told = "left out, question on a document that min_words and max_words rule out: 4 problems"
    assert told in describe_measurement(recipe)
    whole = recipe.model_copy(update={"data": recipe.data.model_copy(update={"min_words": None, "max_words": None})})
    assert "left out" not in describe_measurement(whole)


def test_columns_that_are_not_there_come_last_as_nan():
    parts = [np.ones((2, 3)), np.zeros((1, 5))]
    padded = _padded(parts)
    assert padded.shape == (3, 5)
    assert np.isnan(padded[:2, 3:]).all()
    assert np.isfinite(padded).sum() == 11


def test_padding_is_refused_where_it_would_be_paid_for():
    with pytest.raises(ValueError, match="would be paid for"):
        GRPORecipe.model_validate({"output_dir": "x", "negatives": {"counterfactual": 2, "watch_only": True, "missing": "fill"}})


def test_a_question_that_a_picker_cannot_compress_is_left_out_for_all_and_counted(tiny_dir, tmp_path, caplog):
    """Two of twelve answers do not stand in their documents: the oracle has nothing to go by."""
    path = tmp_path / "q.jsonl"
    rows = [
        {"id": f"q{i}", "document": f"The {c * 4} goes there. So it is.", "query": "who", "answer": c * 4 if i > 1 else "nobody"}
        for i, c in enumerate("abcdefghijkl")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {"name": str(tiny_dir), "dtype": "float32"}
    recipe = EvaluationRecipe.model_validate(
        {
            "output_dir": str(tmp_path / "out"),
            "data": [{"name": "jsonl", "path": str(path), "split": "all"}],
            "compressors": [{"label": kind, "kind": kind, "sentences": 1, "model": model} for kind in ("lead", "oracle")],
            "predictors": [],
            "negatives": {"random": 2, "counterfactual": 0},
        }
    )
    cells = plan_cells(recipe, quiet=True)
    for cell in cells:
        assert [p.id for p in cell.problems] == [f"q{i}" for i in range(2, 12)]
        assert cell.data.left_out == {"problem that oracle cannot compress": 2}
    assert "'q0' does not hold its answer" in caplog.text
    assert "left out, problem that oracle cannot compress: 2" in describe_evaluation(recipe)
