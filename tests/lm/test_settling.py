"""A recipe's types, settled once: nothing says `auto` afterwards, keys are those of the named type, a begun directory
keeps its own."""

import json
from pathlib import Path

import pytest
from conftest import ROOT

from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.applications.recipes import RECIPES, recipe_schema
from infoagent.config import load_recipe, recipe_keys
from infoagent.evaluation.cells import Cell
from infoagent.evaluation.identity import predictor_identity
from infoagent.evaluation.records import content_key
from infoagent.lm import settling
from infoagent.lm.cache import cache_root
from infoagent.lm.machine import dtype
from infoagent.lm.machine.dtype import Choice
from infoagent.lm.scoring import client as http_scorer
from infoagent.lm.settling import named_types, settle
from infoagent.recipes import EvaluationRecipe, GRPORecipe
from infoagent.training.run_directory import find_resume_point, write_run_file
from infoagent.types import InputError

SHIPPED = sorted(
    f for folder in ("eval", "train", "figures") for f in (ROOT / "configs" / folder).glob("*.yaml")
)  # fmt: skip


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """`machine(type)` makes this a machine on which auto means that type."""

    def is_one(chosen, native=True):
        monkeypatch.setattr(dtype, "choose", lambda device, measure=None: Choice(chosen, "so it is", native))
        monkeypatch.setattr(dtype, "foresee", lambda: Choice(chosen, "so it is", native))
        monkeypatch.setattr(dtype, "is_emulated", lambda asked, device: asked == "bfloat16" and not native)

    monkeypatch.setattr(dtype, "_notes", [])
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    models = cache_root() / "models"
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    if models.is_dir():  # converted before: to do it anew takes half a minute
        (tmp_path / "cache" / "models").symlink_to(models)
    is_one("float32")
    return is_one


def grid(out, **more):
    return EvaluationRecipe.model_validate(
        {"output_dir": str(out), "compressors": [{"label": "lm"}, {"label": "lead", "kind": "lead", "sentences": 1}], **more}
    )


def grpo(out, **model):
    return GRPORecipe.model_validate({"output_dir": str(out), "model": model})


def autos(value, endpoint=False):
    """How many model types of a dumped recipe are still open; those of endpoints stay, as their
    servers decide, and those of scorers that are no models."""
    if isinstance(value, list):
        return sum(autos(part) for part in value)
    if not isinstance(value, dict) or value.get("kind") in ("unigram", "zlib"):
        return 0
    own = value.get("dtype") == "auto" and value.get("kind") != "endpoint"
    return own + sum(autos(part) for part in value.values())


def without_types(value):
    if isinstance(value, list):
        return [without_types(part) for part in value]
    if isinstance(value, dict):
        return {key: without_types(part) for key, part in value.items() if key != "dtype"}
    return value


def is_of_a_run(file):
    schema = recipe_schema(recipe_keys(file))
    return issubclass(schema, tuple(RECIPES.values())) and schema.__name__ != "SweepFile"


@pytest.mark.parametrize("file", filter(is_of_a_run, SHIPPED), ids=lambda f: f"{f.parent.name}/{f.stem}")
@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_every_shipped_recipe_names_its_types_and_is_else_as_it_was(machine, tmp_path, file, chosen, monkeypatch):
    monkeypatch.setattr(http_scorer, "read_health", lambda url: {"dtype": chosen})
    schema = recipe_schema(recipe_keys(file))
    before = load_recipe(schema, file).model_copy(update={"output_dir": str(tmp_path / "out")})  # where nothing began
    machine(chosen)
    after = settle(before)
    assert type(after) is type(before)
    assert autos(after.model_dump(mode="json")) == 0
    assert without_types(after.model_dump(mode="json")) == without_types(before.model_dump(mode="json"))
    named = dict(named_types(before))
    assert {place: kind for place, kind in named_types(after) if place in named} == named  # a named type is kept
    assert {kind for place, kind in named_types(after) if place not in named} <= {chosen}
    schema.model_validate(after.model_dump(mode="json"))  # run.json is read again by it


def test_no_shipped_recipe_names_bfloat16():
    named = {f.name: named_types(load_recipe(recipe_schema(recipe_keys(f)), f)) for f in SHIPPED}
    assert {n: places for n, places in named.items() if "bfloat16" in dict(places).values()} == {}


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_the_keys_are_those_of_the_named_type(machine, tmp_path, chosen):
    """A record of an earlier recipe that names the type, and of one that leaves it to the machine, have one address."""
    machine(chosen)
    sections = {"predictors": [{"name": "smollm2-135m"}]}
    auto = settle(grid(tmp_path, **sections))
    model = {"dtype": chosen}
    named = grid(
        tmp_path,
        compressors=[{"label": "lm", "model": model}, {"label": "lead", "kind": "lead", "sentences": 1, "model": model}],
        predictors=[{"name": "smollm2-135m", "dtype": chosen}],
    )
    assert auto == named

    def keys(recipe):
        cells = [Cell(c, "r", None, None, [], []) for c in recipe.grid]
        asked = [predictor_identity(p) for p in recipe.predictors]
        return [content_key(compressor=c.identity) for c in cells] + [content_key(predictor=p) for p in asked]

    assert keys(auto) == keys(named)
    with pytest.raises(AssertionError, match="settle"):
        keys(grid(tmp_path, **sections))  # a key of `auto` would name two types


def test_a_text_that_looks_like_an_open_type_may_be_a_document():
    assert content_key(problem=['{"dtype":"auto"}'], where={"text": '"dtype":"auto"'})


def test_endpoints_are_not_asked_about_and_need_no_machine(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(dtype, "choose", lambda *_: pytest.fail("no model of this machine is meant"))
    endpoint = {"name": "m", "kind": "endpoint", "endpoint": {"base_url": "http://127.0.0.1:1/v1"}, "dtype": "auto"}
    recipe = grid(tmp_path, compressors=[{"label": "lm", "model": {"dtype": "float32"}}], predictors=[endpoint])
    assert settle(recipe) == recipe


def test_a_served_scorer_computes_in_its_servers_type(machine, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(http_scorer, "read_health", lambda url: asked.append(url) or {"dtype": "bfloat16"})
    content = {
        "output_dir": str(tmp_path),
        "compressors": [{"label": "lm"}],
        "scorers": [
            {"label": "here"},
            {"label": "there", "url": "http://127.0.0.1:8400"},
            {"label": "said", "url": "http://127.0.0.1:8400", "model": {"dtype": "float32"}},
        ],
    }
    made = settle(ProxyRecipe.model_validate(content))
    assert [s.model.dtype for s in made.scorers] == ["float32", "bfloat16", "float32"]
    assert asked == ["http://127.0.0.1:8400"]
    training = settle(
        GRPORecipe.model_validate({"output_dir": str(tmp_path), "scorer": {"url": "http://127.0.0.1:8400", "model": {}}})
    )
    assert (training.model.dtype, training.scorer.model.dtype) == ("float32", "bfloat16")


def leave(directory, recipe, *work):
    write_run_file(directory, recipe.model_dump(mode="json"))
    for name in work:
        file = Path(directory) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}\n")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("work", settling.WORK)
def test_what_was_begun_goes_on_in_its_type(machine, tmp_path, capsys, work, named):
    """Whether that run was told its type or found it, on a machine that would choose otherwise now."""
    machine("bfloat16")
    leave(tmp_path, settle(grpo(tmp_path, **({"dtype": "bfloat16"} if named else {}))), work.replace("*", "1"))
    machine("float32")
    capsys.readouterr()
    for dry_run in (False, True):
        assert settle(grpo(tmp_path), dry_run).model.dtype == "bfloat16"
        dtype.say_notes()
        assert f"bfloat16: as {tmp_path} began" in capsys.readouterr().err
    assert settle(grpo(tmp_path, dtype="float32")).model.dtype == "float32"  # and is then refused, below


def test_a_run_that_left_nothing_binds_nobody(machine, tmp_path):
    machine("bfloat16")
    leave(tmp_path, settle(grpo(tmp_path)), "metrics.jsonl", "checkpoint-2/adapter_config.json")  # half a checkpoint
    machine("float32")
    assert settle(grpo(tmp_path)).model.dtype == "float32"


def test_another_named_type_does_not_resume_and_auto_does(machine, tmp_path):
    machine("bfloat16")
    leave(tmp_path, settle(grpo(tmp_path)), "checkpoint-2/infoagent.json")
    machine("float32")
    for made in (grpo(tmp_path), settle(grpo(tmp_path)), grpo(tmp_path, dtype="bfloat16")):
        assert find_resume_point(str(tmp_path), made.model_dump(mode="json"), True).name == "checkpoint-2"
    with pytest.raises(InputError, match=r"model\.dtype differ") as caught:
        find_resume_point(str(tmp_path), settle(grpo(tmp_path, dtype="float32")).model_dump(mode="json"), True)
    assert len(caught.value.problems) == 1


def test_in_a_directory_of_one_type_what_is_added_has_it_too(machine, tmp_path):
    machine("bfloat16")
    leave(tmp_path, settle(grid(tmp_path)), "records.jsonl")
    machine("float32")
    more = {"compressors": [{"label": "other", "model": {"name": "owner/other"}}, {"label": "lm"}, {"label": "third"}]}
    assert {kind for _, kind in named_types(settle(grid(tmp_path, **more)))} == {"bfloat16"}


def test_in_a_directory_of_several_types_a_model_keeps_its_own_and_a_new_one_is_the_machines(machine, tmp_path):
    machine("bfloat16")
    first = {"compressors": [{"label": "a", "model": {"name": "owner/a", "dtype": "float32"}}, {"label": "b"}]}
    leave(tmp_path, settle(grid(tmp_path, **first)), "records.jsonl")
    machine("float32")
    names = ("smollm2-135m", "owner/a", "owner/new")
    more = {"compressors": [{"label": name, "model": {"name": name}} for name in names], "predictors": []}
    found = [c.model.dtype for c in settle(grid(tmp_path, **more)).compressors]
    assert found == ["bfloat16", "float32", "float32"]
    machine("bfloat16")
    found = [c.model.dtype for c in settle(grid(tmp_path, **more)).compressors]
    assert found == ["bfloat16", "float32", "bfloat16"]


def test_the_choice_is_said_once_and_by_the_first_process(machine, tmp_path, capsys, monkeypatch):
    settle(grid(tmp_path))
    assert capsys.readouterr().err == ""  # not before it is known that the input is right
    dtype.say_notes()
    assert capsys.readouterr().err.splitlines() == ["dtype auto is float32: so it is"]
    monkeypatch.setenv("RANK", "1")
    settle(grid(tmp_path))
    settle(grpo(tmp_path, dtype="float32"))
    dtype.say_notes()
    assert capsys.readouterr().err == ""


def test_an_emulated_type_is_warned_of(machine, tmp_path, caplog):
    machine("float32", native=False)
    settle(grpo(tmp_path, dtype="bfloat16"))
    assert "bfloat16 is emulated here" in caplog.text
    caplog.clear()
    settle(grpo(tmp_path))
    settle(grpo(tmp_path, dtype="float32"))
    assert not caplog.text


def test_a_dry_run_leaves_open_what_only_the_start_can_tell_and_plans_for_the_larger(machine, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dtype, "choose", lambda *_: pytest.fail("that would import torch"))
    assert settle(grpo(tmp_path), dry_run=True).model.dtype == "float32"
    monkeypatch.setattr(dtype, "foresee", lambda: None)
    made = settle(grpo(tmp_path), dry_run=True)
    assert made.model.dtype == "auto"
    assert "decided at the start" in capsys.readouterr().err
    assert settling.planning_type("auto") == "float32"
    assert settling.planning_type("bfloat16") == "bfloat16"


def test_a_killed_grid_has_said_its_type_before_its_first_record(machine, tmp_path, monkeypatch, tiny_dir):
    from infoagent.analysis import session
    from infoagent.evaluation.cells import plan_cells

    def recipe():
        return grid(
            tmp_path,
            data=[{"name": "records", "limit": 2, "min_words": 40, "max_words": 60}],
            predictors=[],
            compressors=[{"label": "lm", "model": {"name": str(tiny_dir)}, "max_tokens": 4}],
            resamples=50,
            negatives={"random": 1, "counterfactual": 0},
        )

    def killed(*_):
        assert json.loads((tmp_path / "run.json").read_text())["recipe"]["compressors"][0]["model"]["dtype"] == "float32"
        raise KeyboardInterrupt

    made = settle(recipe())
    with monkeypatch.context() as patched:
        patched.setattr(session, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            session.run_evaluation(made, plan_cells(made), quiet=True)
    records, _ = session.run_evaluation(made, plan_cells(made), quiet=True)
    assert {r.compressor.model["dtype"] for r in records} == {"float32"}
    machine("bfloat16")
    lines = (tmp_path / "records.jsonl").read_text()
    again = settle(recipe())
    records, _ = session.run_evaluation(again, plan_cells(again), quiet=True)
    assert len(records) == 2
    assert (tmp_path / "records.jsonl").read_text() == lines  # nothing was computed a second time
