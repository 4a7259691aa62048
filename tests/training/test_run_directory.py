"""Going on where a run stopped: only complete checkpoints count, nothing is overwritten."""

import json
from types import SimpleNamespace

import pytest

from infoagent.lm.reference import ModelReference
from infoagent.recipes import GRPORecipe
from infoagent.recipes.sections import TrackingSection
from infoagent.training import run as runs
from infoagent.training.launch import batch_shape
from infoagent.training.preparation import Prepared
from infoagent.training.run import TrainingRun
from infoagent.training.run_directory import complete_checkpoints, find_resume_point, take_directory, write_run_file
from infoagent.types import InputError


def recipe(**grpo):
    return GRPORecipe.model_validate({"output_dir": "x", "grpo": grpo})


def checkpoint(directory, step, complete=True):
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_config.json").write_text("{}")
    if complete:
        (path / "infoagent.json").write_text(json.dumps({"base_model": "m", "step": step}))
    return path


def test_the_last_complete_checkpoint_is_taken_and_half_ones_are_removed(tmp_path):
    made = recipe().model_dump(mode="json")
    write_run_file(tmp_path, made)
    for step in (2, 10, 4):
        checkpoint(tmp_path, step)
    half = checkpoint(tmp_path, 12, complete=False)
    assert [c.name for c in complete_checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-4", "checkpoint-10"]
    assert find_resume_point(str(tmp_path), made, True).name == "checkpoint-10"
    take_directory(tmp_path)
    assert not half.exists()
    assert len(complete_checkpoints(tmp_path)) == 3


def test_a_run_that_another_process_went_on_with_meanwhile_is_left_alone(tmp_path):
    """Data takes minutes to prepare, and the directory is held only then: a step that was done in between would be done again,
    into checkpoints that count as complete."""
    made = recipe().model_copy(update={"output_dir": str(tmp_path), "tracking": TrackingSection(wandb="disabled")})
    write_run_file(tmp_path, made.model_dump(mode="json"))
    run = TrainingRun(made, "grpo", quiet=True)
    checkpoint(tmp_path, 5)
    with pytest.raises(InputError, match="another process went on there"), run:
        pass
    with TrainingRun(made, "grpo", quiet=True) as again:
        assert again.steps_done == 5


@pytest.fixture
def second_run(tmp_path, monkeypatch):
    """A run of five steps that was made by one process, found again by whoever the environment says."""
    made = recipe().model_copy(update={"output_dir": str(tmp_path), "tracking": TrackingSection(wandb="disabled")})
    write_run_file(tmp_path, made.model_dump(mode="json"), engine="one process", processes=1)
    checkpoint(tmp_path, 5)

    def found(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        run = TrainingRun(made, "grpo", quiet=True)
        run.prepared = Prepared(ModelReference("m", "m", "r"), None, "r", [], [])
        return run

    return found


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_run_does_not_go_on_under_an_engine_that_leaves_its_optimizer(second_run, tmp_path, rank):
    before = (tmp_path / "run.json").read_text()
    run = second_run(ACCELERATE_USE_FSDP="true", WORLD_SIZE="2", RANK=rank)
    with pytest.raises(InputError, match="are of one process or data parallel, and FSDP cannot"):
        run.write_run_file()
    assert (tmp_path / "run.json").read_text() == before


def test_a_run_says_which_engine_it_goes_on_with(second_run, tmp_path):
    second_run(WORLD_SIZE="2", RANK="0").write_run_file()
    written = json.loads((tmp_path / "run.json").read_text())
    assert (written["engine"], written["processes"]) == ("data parallel", 2)


@pytest.mark.parametrize(("rank", "lines"), [("0", 1), ("1", 0)])
def test_a_run_that_is_done_is_said_once(second_run, capsys, rank, lines):
    assert second_run(WORLD_SIZE="2", RANK=rank).leave("5 steps", "raise grpo.steps to go on") == 0
    assert [len(text.splitlines()) for text in capsys.readouterr()] == [lines, lines]


@pytest.mark.parametrize("plan", [None, "a plan"])
def test_a_round_leaves_no_scorer_behind(second_run, monkeypatch, plan):
    """It holds a model, and the one of the next round is loaded before it is given a scorer of its own."""
    run, reward, measured = second_run(), SimpleNamespace(scorer="of the samples"), []
    run.plan = plan
    measure = SimpleNamespace(measure_checkpoint=lambda *what: measured.append((*what, reward.scorer)))
    monkeypatch.setattr(runs, "frozen_scorer", lambda recipe, trainer: "beneath the adapter")
    monkeypatch.setattr(runs, "ValidationCallback", lambda *_: measure)
    run.measure_round(SimpleNamespace(model="trained"), reward, "checkpoint-5")
    assert measured == ([] if plan is None else [("trained", "checkpoint-5", "beneath the adapter")])
    assert reward.scorer is None


def test_an_empty_directory_starts_afresh(tmp_path):
    assert find_resume_point(str(tmp_path / "new"), {}, True) is None


def test_a_folder_of_a_run_and_of_what_it_began_with_may_be_moved(tmp_path):
    def made(root, adapter, candidates=()):
        begun = {"output_dir": f"{root}/train", "init_adapter": adapter, "candidates": list(candidates)}
        return {**recipe().model_dump(mode="json"), **begun}

    train = tmp_path / "new" / "train"
    write_run_file(train, made("/old/fit", "/old/fit/warm-start/checkpoint-7", ["/old/fit/samples"]))
    last = checkpoint(train, 5)
    root = tmp_path / "new"
    moved = made(root, f"{root}/warm-start/checkpoint-7", [f"{root}/samples"])
    assert find_resume_point(str(train), moved, True) == last
    for other in (f"{root}/warm-start/checkpoint-8", f"{root}/elsewhere/checkpoint-7", None):
        with pytest.raises(InputError, match="another recipe, init_adapter differ"):
            find_resume_point(str(train), {**moved, "init_adapter": other}, True)
    with pytest.raises(InputError, match="another recipe, candidates differ"):
        find_resume_point(str(train), {**moved, "candidates": [f"{root}/samples", f"{root}/more"]}, True)


def test_another_recipe_is_refused_with_the_keys_that_differ(tmp_path):
    write_run_file(tmp_path, recipe(learning_rate=1e-4).model_dump(mode="json"))
    checkpoint(tmp_path, 5)
    longer = recipe(learning_rate=1e-4, steps=999).model_dump(mode="json")
    assert find_resume_point(str(tmp_path), longer, True) is not None
    other = {**recipe(learning_rate=2e-4).model_dump(mode="json"), "seed": 9}
    with pytest.raises(InputError, match=r"another recipe, grpo.learning_rate, seed differ"):
        find_resume_point(str(tmp_path), other, True)


def test_a_run_of_before_a_key_was_there_goes_on_with_its_default(tmp_path):
    now = recipe().model_dump(mode="json")
    before = json.loads(json.dumps(now))
    del before["data"]["skip_bad_files"], before["reward"]["price"]
    write_run_file(tmp_path, before)
    checkpoint(tmp_path, 5)
    assert find_resume_point(str(tmp_path), now, True) is not None
    now["data"]["skip_bad_files"] = True
    with pytest.raises(InputError, match=r"another recipe, data.skip_bad_files differ"):
        find_resume_point(str(tmp_path), now, True)


def test_without_resume_nothing_is_overwritten(tmp_path):
    write_run_file(tmp_path, {})
    checkpoint(tmp_path, 5)
    with pytest.raises(InputError, match="already holds checkpoint-5"):
        find_resume_point(str(tmp_path), {}, False)


@pytest.mark.parametrize(
    ("prompts", "generations", "micro", "processes", "expected"),
    [(2, 8, None, 1, (8, 2)), (2, 8, None, 2, (8, 1)), (2, 8, 4, 2, (4, 2)), (1, 8, None, 2, (4, 1)), (4, 8, 16, 1, (16, 2))],
)
def test_a_step_is_the_same_on_any_number_of_processes(prompts, generations, micro, processes, expected):
    made = recipe(prompts_per_step=prompts, num_generations=generations, micro_batch=micro)
    assert batch_shape(made, processes) == expected
    assert expected[0] * expected[1] * processes == prompts * generations


def test_a_step_that_cannot_be_divided_is_refused():
    with pytest.raises(InputError, match=r"16 completions cannot be divided into micro_batch 8 × 3 processes"):
        batch_shape(recipe(prompts_per_step=2, num_generations=8, micro_batch=8), 3)
