"""How a fit launches its training: on the device that its other stages use, told for that device, refused before anything is
computed where its processes would refuse."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from infoagent.applications.fit import launching
from infoagent.applications.fit.launching import Launch, as_launched, default_launch, launch_command, launch_mistakes, read_launch
from infoagent.applications.fit.recipes import FitPlan
from infoagent.applications.fit.settings import FitSettings, by_owner
from infoagent.applications.fit.stages import STAGES
from infoagent.config import checked_recipe
from infoagent.lm.machine.device import told_to_use_cpu
from infoagent.lm.machine.told import Told
from infoagent.recipes import GRPORecipe
from infoagent.training.launch import batch_shape, is_sharded_launch, process_count
from infoagent.types import InputError

FILES = {file.stem: file for file in sorted((ROOT / "accelerate_configs").glob("*.yaml"))}
ONE = {"cpu", "single_gpu"}
SHARDED = {"zero3", "zero3_offload", "fsdp2"}


def plan(*overrides, size="standard", launch="cpu"):
    settings = FitSettings("records", 12, Path("/x"), size=size, launch=launch, overrides=by_owner(overrides))
    return FitPlan(settings, {"name": "records"})


def grpo(*overrides, size="standard"):
    return checked_recipe(GRPORecipe, plan(*overrides, size=size).train(None), "train")


@pytest.mark.parametrize("name", FILES)
def test_every_launch_starts_or_is_refused_with_what_to_set(name):
    launch = read_launch(FILES[name])
    with as_launched(launch):
        assert is_sharded_launch() == (name in SHARDED)
        assert told_to_use_cpu() == name.startswith("cpu")
        assert process_count() == launch.processes
    mistakes = launch_mistakes(name, launch, grpo())
    assert bool(mistakes) == (name not in {*ONE, "cpu_2proc", "cpu_zero2"})
    assert all(line.startswith(f"--launch {name}: ") for line in mistakes)
    advice = re.findall(r"(?:as by |\()(train\.[\w.]+=\w+)", "\n".join(mistakes))
    assert len(advice) == (0 if launch.machines > 1 else len(mistakes))
    if launch.machines == 1:
        assert launch_mistakes(name, launch, grpo(*advice)) == []


def test_the_small_size_on_two_processes_is_refused_too():
    [line] = launch_mistakes("cpu_2proc", read_launch(FILES["cpu_2proc"]), grpo(size="quick"))
    assert "train.grpo.micro_batch=8" in line


@given(st.integers(1, 40), st.integers(2, 16), st.none() | st.integers(1, 40), st.integers(2, 64))
def test_the_advice_on_a_step_is_good_or_there_is_no_micro_batch(prompts, group, micro, processes):
    recipe = grpo()
    section = recipe.grpo.model_copy(update={"prompts_per_step": prompts, "num_generations": group, "micro_batch": micro})
    recipe = recipe.model_copy(update={"grpo": section, "validation": None})
    lines = launch_mistakes("x", Launch(processes, 1, False, "no", {}), recipe)
    advice = re.search(r"micro_batch=(\d+)$", lines[0]) if lines else None
    if advice:
        better = recipe.model_copy(update={"grpo": section.model_copy(update={"micro_batch": int(advice[1])})})
        assert batch_shape(better, processes)[0] == int(advice[1])
    elif lines:
        assert prompts * group % processes


@pytest.mark.parametrize("content", ["[1]", "num_processes: many", "num_machines: 0", "num_processes: true", "a: b: c", "\x00", ""])
def test_a_file_that_is_none_of_accelerates_is_a_line(tmp_path, content):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(InputError, match="--launch ") as error:
        read_launch(tmp_path / "a.yaml")
    assert len(error.value.problems) == 1


def test_deepspeed_by_a_file_of_its_own(tmp_path):
    (tmp_path / "z3.json").write_text('{"zero_optimization": {"stage": 3}}')
    (tmp_path / "a.yaml").write_text(
        f"distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: {tmp_path}/z3.json\nnum_processes: 2\n"
    )
    [line] = launch_mistakes("a.yaml", read_launch(tmp_path / "a.yaml"), grpo())
    assert "validation: cannot be done" in line


@pytest.mark.parametrize(("kind", "launch"), [("cpu", "cpu"), ("cuda", "single_gpu"), ("mps", "single_gpu")])
def test_without_a_word_the_training_is_where_the_other_stages_are(kind, launch, monkeypatch):
    monkeypatch.setattr(launching, "device_told", lambda: Told(kind))
    assert default_launch() == launch


def test_the_training_stage_is_planned_for_the_device_that_it_is_launched_on(monkeypatch):
    """And the others for the device that models are loaded on, whatever --launch says."""
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    for launch, on_cpu in (("cpu", True), ("single_gpu", False)):
        for stage in STAGES[:3]:
            asked = replace(stage, estimate=lambda _: f"on_cpu={told_to_use_cpu()}", commands=lambda *_: [])
            monkeypatch.setattr(type(stage), "recipe_file", lambda *_: Path("/x"))
            assert f"on_cpu={on_cpu and stage.name == 'train'}" in asked.described(plan(launch=launch))
    assert "ACCELERATE_USE_CPU" not in os.environ


def test_threads_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cpu = read_launch(FILES["cpu"])
    assert launch_command(FILES["cpu"], cpu)[-2:] == ["--num_cpu_threads_per_process", "3"]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert launch_command(FILES["cpu"], cpu)[-2:] == ["--num_cpu_threads_per_process", "2"]


def test_a_gpu_without_bfloat16_is_not_told_to_compute_in_it(monkeypatch):
    file, launch = FILES["single_gpu"], read_launch(FILES["single_gpu"])
    for bfloat16, last in ((False, ["--mixed_precision", "no"]), (True, ["--config_file", str(file)])):
        monkeypatch.setattr(launching, "device_told", lambda has=bfloat16: Told("cuda", "a GPU", has))
        assert launch_command(file, launch)[-2:] == last
