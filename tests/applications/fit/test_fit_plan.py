"""Recipes of a fit: each value of the command line ends where a script reads it, and every plan is a recipe that holds."""

from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from infoagent.applications.fit.ending import ending
from infoagent.applications.fit.recipes import FitPlan
from infoagent.applications.fit.record import FitRecord, StageRecord, check_same, read_record
from infoagent.applications.fit.settings import FitSettings, by_owner, data_source, sizes
from infoagent.applications.fit.stages import STAGES, tokens_of
from infoagent.cli import main
from infoagent.config import checked_recipe, load_recipe
from infoagent.files import write_json
from infoagent.recipes import EvaluationRecipe, GRPORecipe, SFTRecipe
from infoagent.types import InputError


def plan(out=Path("/x"), budget=12, overrides=(), source=None, size="quick", **more):
    return FitPlan(
        FitSettings("records", budget, out, size=size, overrides=by_owner(overrides)), source or {"name": "records"}, **more
    )


def recipes(of):
    return (
        checked_recipe(SFTRecipe, of.warm_start(), "1"),
        checked_recipe(GRPORecipe, of.train("/x/warm-start/checkpoint-3"), "2"),
        checked_recipe(EvaluationRecipe, of.evaluate("/x/train/checkpoint-6", 14), "3"),
    )


def test_the_stages_are_those_of_the_base_recipes():
    assert [stage.name for stage in STAGES] == ["warm-start", "train", "evaluate", "report"]
    assert sizes() == ["quick", "standard"]
    for size in sizes():
        assert {f.stem for f in (ROOT / "configs" / "fit" / size).glob("*.yaml")} == {"warm-start", "train", "evaluate"}


@pytest.mark.parametrize("size", ["quick", "standard"])
def test_a_budget_and_a_model_reach_every_recipe(size):
    sft, grpo, evaluation = recipes(plan(budget=18, size=size))
    assert (grpo.reward.budget, grpo.reward.price) == (18, None)
    assert sft.sampling.max_completion_tokens == grpo.grpo.max_completion_tokens == 18 + 9
    assert grpo.init_adapter == "/x/warm-start/checkpoint-3"
    assert evaluation.checkpoint == "/x/train/checkpoint-6"
    named = {c.label: c for c in evaluation.compressors}
    assert named["frozen"].max_tokens == 18 + 9
    assert (named["BM25, cut"].tokens, named["BM25, one sentence"].sentences) == (14, 1)  # as long as the checkpoint's texts
    assert {c.model.name for c in evaluation.compressors} == {"smollm2-135m"}
    assert [r.output_dir for r in (sft, grpo, evaluation)] == ["/x/warm-start", "/x/train", "/x/evaluate"]
    assert (sft.data.split, grpo.data.split, evaluation.data[0].split) == ("train", "train", "test")
    assert sft.validation.metric == grpo.validation.metric == "objective/hard_nats"


def test_overrides_go_to_their_stage_and_shared_ones_to_all():
    given = ["train.grpo.steps=4", "warm-start.sft.rounds=3", "evaluate.price=0.1", "data.min_words=33", "model.dtype=float32"]
    sft, grpo, evaluation = recipes(plan(overrides=given))
    assert (grpo.grpo.steps, sft.sft.rounds, evaluation.price) == (4, 3, 0.1)
    assert {r.min_words for r in (sft.data, grpo.data, evaluation.data[0])} == {33}
    assert {m.dtype for m in (sft.model, grpo.model, *(c.model for c in evaluation.compressors), *evaluation.predictors)} == {
        "float32"
    }


def test_word_limits_of_a_base_recipe_are_those_of_its_own_data():
    for data in (recipe.data for recipe in recipes(plan(source={"name": "text", "path": "/d"}))[:2]):
        assert (data.name, data.path, data.min_words, data.max_words, data.limit) == ("text", "/d", None, None, 32)


def test_numbers_are_lowered_to_what_there_is_and_never_raised():
    sft, grpo, evaluation = recipes(plan(random=1, counterfactual=2, train_problems=5, size="standard"))
    assert sft.sft.problems_per_round == 5
    assert {(r.negatives.random, r.negatives.counterfactual) for r in (sft, grpo, evaluation)} == {(1, 2)}
    sft, grpo, evaluation = recipes(plan(random=50, counterfactual=50, train_problems=500, size="standard"))
    assert (sft.sft.problems_per_round, grpo.negatives.random, evaluation.negatives.random) == (500, 1, 7)


def test_without_counterfactual_documents_the_best_checkpoint_is_chosen_by_all():
    sft, grpo, _ = recipes(plan(overrides=["negatives.counterfactual=0"]))
    assert sft.validation.metric == grpo.validation.metric == "objective/nats"


@given(st.integers(1, 500), st.integers(1, 9), st.integers(0, 9), st.integers(1, 10**6), st.sampled_from(["quick", "standard"]))
def test_every_plan_is_three_recipes_that_hold(budget, random, counterfactual, problems, size):
    made = recipes(plan(budget=budget, random=random, counterfactual=counterfactual, train_problems=problems, size=size))
    assert made[1].reward.budget <= made[1].grpo.max_completion_tokens
    assert 1 <= made[0].sft.problems_per_round <= problems


@given(st.text(max_size=30))
def test_any_override_is_a_stage_or_a_line(text):
    owner, dot, rest = text.partition(".")
    if dot and "=" in rest and owner in ("warm-start", "train", "evaluate", "data", "negatives", "model"):
        return
    with pytest.raises(InputError) as error:
        by_owner([text])
    assert len(error.value.problems) == 1


def test_a_written_recipe_is_the_one_that_was_planned(tmp_path):
    """What a user runs by hand is what the stage ran."""
    content = plan(out=tmp_path).train("/x/warm-start/checkpoint-3")
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert load_recipe(GRPORecipe, tmp_path / "r.yaml") == checked_recipe(GRPORecipe, content, "x")


def test_what_documents_are(tmp_path):
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "b.jsonl.gz").write_text("x")
    (tmp_path / "c.exe").write_text("x")
    assert data_source("records") == {"name": "records"}
    assert data_source(str(tmp_path)) == {"name": "text", "path": str(tmp_path)}
    assert data_source(str(tmp_path / "a.md")) == {"name": "text", "path": str(tmp_path / "a.md")}
    assert data_source(str(tmp_path / "b.jsonl.gz")) == {"name": "jsonl", "path": str(tmp_path / "b.jsonl.gz")}
    for wrong, said in ((str(tmp_path / "c.exe"), "ends in none of"), ("recrods", "'records'"), ("jsonl", "give the file")):
        with pytest.raises(InputError, match=said):
            data_source(wrong)


def test_a_folder_called_like_a_data_set_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records").mkdir()
    assert data_source("records") == {"name": "records"}
    assert "the data set of that name; the file or folder here is ./records" in caplog.text
    assert data_source("./records") == {"name": "text", "path": str(tmp_path / "records")}


def test_bm25_is_cut_to_what_the_best_checkpoint_wrote_on_validation(tmp_path):
    of = plan(out=tmp_path, budget=20)
    assert tokens_of(of, "train") == 20  # nothing was measured
    history = [{"step": 5, "rate/tokens": 31.0}, {"step": 10, "rate/tokens": 13.6}]
    write_json(tmp_path / "train" / "best.json", {"checkpoint": "checkpoint-10", "step": 10, "value": 1.0, "history": history})
    assert tokens_of(of, "train") == 14


# ---- fit.json ---------------------------------------------------------------------------------------------------


def test_a_fit_of_another_user_is_alive(monkeypatch):
    def forbidden(process, signal):
        raise PermissionError

    monkeypatch.setattr("infoagent.applications.fit.record.os.kill", forbidden)
    assert FitRecord({"budget": 3}, {"name": "x"}, []).is_alive


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = FitRecord({"budget": 3}, {"name": "x"}, [StageRecord("train", "t", "failed", ["a b"], {"k": 1}, 2, 3.5, "why", None)])
    record.write(tmp_path)
    assert read_record(tmp_path) == record
    assert record.is_alive
    record.process = 2**22 + 7  # beyond what a kernel gives
    assert not record.is_alive


def test_another_request_is_refused_with_what_differs(tmp_path):
    record = FitRecord({"budget": 3, "model": "a"}, {}, [])
    check_same(record, {"budget": 3, "model": "a"}, tmp_path)
    with pytest.raises(InputError, match="budget was 3 and is 4 now; ask for the same to go on, or name another --out"):
        check_same(record, {"budget": 4, "model": "a"}, tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "train"}', '{"kind": "fit", "schema_version": 1, "stages": [{"x": 1}]}'])
def test_a_damaged_record_is_a_line(tmp_path, content):
    (tmp_path / "fit.json").write_text(content)
    with pytest.raises(InputError) as error:
        read_record(tmp_path)
    assert len(error.value.problems) == 1


def test_the_directory_of_another_run_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "train", "recipe": {}}')
    with pytest.raises(InputError, match="belongs to a run of kind 'train'"):
        read_record(tmp_path)


def test_the_ending_needs_the_records_of_the_evaluation(tmp_path):
    (tmp_path / "train" / "checkpoint-2").mkdir(parents=True)
    (tmp_path / "train" / "checkpoint-2" / "infoagent.json").write_text("{}")
    with pytest.raises(InputError):
        ending(plan(out=tmp_path))


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "0"], ["--budget 0: must be at least 1"]),
        (["--budget", "5", "--size", "huge"], ["--size huge: is unknown; allowed are quick, standard"]),
        (["--budget", "5", "trian.x=1", "steps=4"], ["did you mean train?", "'steps=4': write STAGE.key=value"]),
        (["--budget", "5", "model.name=x"], ["is given by --model"]),
        (
            ["--budget", "5", "data.split=train", "data.name=squad", "data.path=x"],
            ["data.split: is given by", "data.name: ", "data.path: "],
        ),
        (
            ["--budget", "5", "evaluate.data.0.split=train", "train.data={split: all}"],
            ["evaluate.data.0.split: ", "train.data: is"],
        ),
        (["--budget", "5", "train.output_dir=x", "evaluate.output_dir=x"], ["is given by --out", "is given by --out"]),
        (["--budget", "5", "warm-start.output_dir=x", "warm-start.model.name=x"], ["is given by --out", "is given by --model"]),
        (["--budget", "5", "evaluate.checkpoint=x", "train.init_adapter=x"], ["of stage train", "begin with by --adapter"]),
        (["--budget", "5", "evaluate.compare=[]", "evaluate.compare=null"], ["must name two", "must name two"]),
        (["--budget", "5", "what"], ["unrecognized arguments: what"]),
        (["--budget", "5", "--launch", "tpu"], ["--launch tpu: is unknown; allowed are cpu"]),
        (["--budget", "5", "train.grpo.stepz=1"], ["did you mean 'steps'?"]),
        (["--budget", "5", "--what"], ["unrecognized arguments: --what"]),
    ],
)
def test_wrong_command_lines_are_a_line_for_each_mistake(arguments, said, capsys):
    assert main(["fit", "records", *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == len(said)
    for part, line in zip(said, lines, strict=True):
        assert line.startswith("error: ")
        assert part in line
