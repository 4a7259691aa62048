"""The recipe in TRL's words, and who judges the policy."""

from types import SimpleNamespace

import pytest
from tiny import tiny_model
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from infoagent.recipes import GRPORecipe
from infoagent.training.policy import frozen_scorer, trainer_arguments


def recipe(tmp_path, **more):
    return GRPORecipe.model_validate({"output_dir": str(tmp_path), **more})


def test_defaults_that_do_harm_are_overridden(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    arguments = trainer_arguments(recipe(tmp_path), quiet=True)
    assert (arguments.loss_type, arguments.scale_rewards, arguments.beta) == ("dr_grpo", "none", 0.01)
    assert (arguments.temperature, arguments.top_p) == (1.0, 1.0)
    assert not arguments.top_k
    assert arguments.gradient_checkpointing is False
    assert arguments.bf16 is False
    assert arguments.use_vllm is False
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps == 16
    assert arguments.steps_per_generation == arguments.gradient_accumulation_steps


def test_vllm_generation_is_passed_through(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    section = {"enabled": True, "mode": "server", "server_base_url": "http://localhost:8000", "tensor_parallel_size": 2}
    arguments = trainer_arguments(recipe(tmp_path, vllm=section), quiet=True)
    assert arguments.use_vllm
    assert (arguments.vllm_mode, arguments.vllm_server_base_url) == ("server", "http://localhost:8000")
    assert arguments.vllm_tensor_parallel_size == 2
    assert arguments.vllm_gpu_memory_utilization == 0.3


class DeepSpeedConfig:
    """What transformers keeps a weak reference to under ZeRO-3."""

    def is_zero3(self):
        return True


def trainer_of(model, zero_stage=None, fsdp=False):
    plugin = None if zero_stage is None else SimpleNamespace(zero_stage=zero_stage)
    accelerator = SimpleNamespace(
        unwrap_model=lambda m: m, device="cpu", state=SimpleNamespace(deepspeed_plugin=plugin)
    )
    arguments = SimpleNamespace(hf_deepspeed_config=DeepSpeedConfig())
    return SimpleNamespace(accelerator=accelerator, model=model, is_fsdp_enabled=fsdp, args=arguments)


@pytest.mark.parametrize(
    ("zero_stage", "fsdp", "shared"), [(None, False, True), (2, False, True), (3, False, False), (None, True, False)]
)
def test_the_base_judges_in_place_unless_it_is_sharded(tmp_path, tiny_dir, zero_stage, fsdp, shared):
    policy = tiny_model(300)
    made = recipe(tmp_path, model={"name": str(tiny_dir), "dtype": "float32"})
    scorer = frozen_scorer(made, trainer_of(policy, zero_stage, fsdp))
    assert (scorer.model is policy) is shared
    assert scorer.base_only is shared
    unset_hf_deepspeed_config()
    if not shared:
        assert not any(p.requires_grad for p in scorer.model.parameters())


def test_a_named_scorer_is_loaded(tmp_path, tiny_dir):
    policy = tiny_model(300)
    made = recipe(tmp_path, scorer={"model": {"name": str(tiny_dir)}})
    assert frozen_scorer(made, trainer_of(policy)).model is not policy
