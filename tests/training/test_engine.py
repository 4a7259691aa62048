"""What a launcher asks for against what runs; launches for real stand in tests/scripts/test_distributed.py."""

import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DefaultFlowCallback, TrainerControl, TrainerState

from infoagent.training.engine import Engine, check_engine, check_same_engine, settle_engine, wrapper_name
from infoagent.types import InputError, RunFailed

DEEPSPEED, FSDP = {"ACCELERATE_USE_DEEPSPEED": "true"}, {"ACCELERATE_USE_FSDP": "true"}
TWO = {"WORLD_SIZE": "2", "RANK": "1"}
STARTED = ("WORLD_SIZE", "RANK", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "DS_ACCELERATOR")


@pytest.fixture
def launched(monkeypatch):
    """Sets the environment as a launcher would, and nothing else of its kind."""
    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    return lambda environment: [monkeypatch.setenv(name, value) for name, value in environment.items()]


@pytest.mark.parametrize(
    ("environment", "engine"),
    [
        ({}, Engine("one process", 1, 0)),
        (TWO, Engine("data parallel", 2, 1)),
        ({**TWO, **DEEPSPEED, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, Engine("ZeRO-3", 2, 1)),
        ({**DEEPSPEED, "ACCELERATE_DEEPSPEED_CONFIG_FILE": "{file}"}, Engine("ZeRO-1", 1, 0)),
        ({**TWO, **FSDP, "FSDP_VERSION": "2"}, Engine("FSDP 2", 2, 1)),
        ({**TWO, "SLURM_STEP_NUM_TASKS": "2"}, Engine("data parallel", 2, 1)),  # srun started one launcher a machine
    ],
)
def test_the_environment_says_what_is_asked_for(launched, tmp_path, environment, engine):
    if "ACCELERATE_USE_DEEPSPEED" in environment:
        pytest.importorskip("deepspeed")
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    launched({name: value.format(file=file) for name, value in environment.items()})
    assert settle_engine() == engine


def test_a_deepspeed_file_must_say_its_stage(launched, tmp_path):
    pytest.importorskip("deepspeed")
    file = tmp_path / "ds.json"
    file.write_text("{}")
    launched({**DEEPSPEED, "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(file)})
    with pytest.raises(InputError, match=r"zero_optimization.stage = None; set it to 0, 1, 2 or 3"):
        settle_engine()


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_processes_that_know_nothing_of_each_other_are_refused(launched, name):
    launched({name: "4"})
    with pytest.raises(InputError, match=f"{name} = 4: .* know nothing of each other"):
        settle_engine()


def trainer_of(kind, processes=2, rank=0, wrapped=None, **plugins):
    state = SimpleNamespace(distributed_type=SimpleNamespace(value=kind), **plugins)
    accelerator = SimpleNamespace(state=state, num_processes=processes, process_index=rank)
    callbacks = []
    return SimpleNamespace(accelerator=accelerator, model_wrapped=wrapped, callbacks=callbacks, add_callback=callbacks.append)


def steps_of(save_steps):
    """A trainer's arguments, as far as they say when something is done."""
    more = {"logging_strategy": "steps", "eval_strategy": "no", "save_strategy": "steps", "logging_first_step": False}
    return SimpleNamespace(disable_tqdm=True, logging_steps=1, eval_steps=None, save_steps=save_steps, **more)


def zero(stage):
    return SimpleNamespace(zero_stage=stage)


@pytest.mark.parametrize(
    ("asked", "trainer", "message"),
    [
        (Engine("ZeRO-2", 2, 0), trainer_of("MULTI_CPU"), "asked for ZeRO-2, rank 0 of 2; in use is data parallel"),
        (Engine("ZeRO-2", 2, 1), trainer_of("DEEPSPEED", 1, 0, deepspeed_plugin=zero(2)), "in use is ZeRO-2, rank 0 of 1"),
        (Engine("ZeRO-2", 2, 0), trainer_of("DEEPSPEED", deepspeed_plugin=zero(3)), "in use is ZeRO-3"),
        (Engine("data parallel", 2, 1), trainer_of("NO", 1), "in use is one process, rank 0 of 1"),
        (Engine("FSDP 2", 2, 0), trainer_of("FSDP", fsdp_plugin=SimpleNamespace(fsdp_version=1)), "in use is FSDP 1"),
    ],
)  # fmt: skip
def test_a_state_that_was_not_asked_for_is_refused(asked, trainer, message):
    with pytest.raises(RunFailed, match=message) as raised:
        check_engine(trainer, asked)
    assert "\n" not in str(raised.value)
    assert "accelerate_configs" in str(raised.value)


class DeepSpeedEngine(torch.nn.Module):
    """As far as it is looked at."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def zero_optimization_stage(self):
        return self.stage


@pytest.mark.parametrize(
    ("model", "in_use"),
    [
        (DeepSpeedEngine(2), None),
        (DeepSpeedEngine(0), "ZeRO-0"),
        (torch.nn.Linear(1, 1), "one process"),
        (torch.nn.DataParallel(torch.nn.Linear(1, 1)), "threads over several GPUs"),
    ],
)
def test_the_wrapped_model_is_looked_at_when_training_begins(model, in_use):
    trainer = trainer_of("DEEPSPEED", wrapped=model, deepspeed_plugin=zero(2))
    check_engine(trainer, Engine("ZeRO-2", 2, 0))
    begin = trainer.callbacks[0].on_train_begin
    if in_use is None:
        begin(steps_of(1), TrainerState(), None)
        return
    with pytest.raises(RunFailed, match=f"asked for ZeRO-2, .* in use is {in_use}"):
        begin(steps_of(1), TrainerState(), None)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 25))
def test_a_run_that_goes_on_saves_by_the_number_of_its_own_recipe(before, now, done):
    """The state that a checkpoint brings along says how often the run before it saved."""
    trainer = trainer_of("NO", 1, wrapped=torch.nn.Linear(1, 1))
    check_engine(trainer, Engine("one process", 1, 0))
    state = TrainerState(max_steps=50, global_step=done, logging_steps=7, save_steps=before)
    trainer.callbacks[0].on_train_begin(steps_of(now), state, None)
    saved = []
    for state.global_step in range(done + 1, 51):
        control = DefaultFlowCallback().on_step_end(steps_of(now), state, TrainerControl())
        assert control.should_log
        saved += [state.global_step] if control.should_save else []
    assert saved == [step for step in range(done + 1, 51) if step % now == 0 or step == 50]


def test_wrappers_of_torch_are_told_apart():
    from torch.distributed.fsdp import FSDPModule

    class Sharded(torch.nn.Linear, FSDPModule):
        def __new__(cls, *_):
            return object.__new__(cls)

    assert wrapper_name(Sharded(1, 1)) == "FSDP 2"
    assert wrapper_name(torch.nn.Linear(1, 1)) == "one process"


def test_a_group_of_another_size_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        assert wrapper_name(torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))) == "data parallel"
        with pytest.raises(RunFailed, match="rank 0 of 1 by torch's process group"):
            check_engine(trainer_of("MULTI_CPU"), Engine("data parallel", 2, 0))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("saved", "read", "message"),
    [
        (("one process", 1), ("data parallel", 8), None),
        (("ZeRO-1", 2), ("ZeRO-2", 2), None),
        (("FSDP 2", 8), ("FSDP 2", 4), None),
        (("ZeRO-2", 2), ("data parallel", 2), "are of ZeRO-1 or ZeRO-2 over 2 processes, and one process or data parallel cannot"),
        (("one process", 1), ("ZeRO-2", 1), "are of one process or data parallel, and ZeRO-1 or ZeRO-2 over 1 processes cannot"),
        (("ZeRO-2", 2), ("ZeRO-3", 2), "and ZeRO-3 over 2 processes cannot"),
        (("ZeRO-2", 2), ("ZeRO-2", 4), "and ZeRO-1 or ZeRO-2 over 4 processes cannot"),  # a part of the optimizer for each
        (("data parallel", 2), ("FSDP 2", 2), "and FSDP cannot take over their optimizer; launch it as before"),
    ],
)  # fmt: skip
def test_an_optimizer_that_cannot_be_taken_over_is_refused(saved, read, message):
    before, now = {"engine": saved[0], "processes": saved[1]}, Engine(*read, 0)
    if message is None:
        check_same_engine("out", before, now)
        return
    with pytest.raises(InputError, match=message):
        check_same_engine("out", before, now)
    check_same_engine("out", {}, now)  # of a version that did not write it down
