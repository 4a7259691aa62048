"""The recipe in TRL's words, and who judges the policy."""

import os
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DeepSpeedPlugin
from pydantic import ValidationError
from tiny import tiny_model
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.server import ScorerServer
from infoagent.recipes import GRPORecipe
from infoagent.training import frozen_scorer as judges
from infoagent.training.frozen_scorer import frozen_scorer
from infoagent.training.grpo_trainer import trainer_arguments
from infoagent.types import RunFailed


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


def trainer_of(model, zero_stage=None, fsdp=False):
    plugin = None
    if zero_stage is not None:
        pytest.importorskip("deepspeed")
        plugin = DeepSpeedPlugin(zero_stage=zero_stage)
        plugin.set_deepspeed_weakref()  # under ZeRO-3 transformers now shards whatever it loads
    accelerator = SimpleNamespace(unwrap_model=lambda m: m, device="cpu", state=SimpleNamespace(deepspeed_plugin=plugin))
    return SimpleNamespace(accelerator=accelerator, model=model, is_fsdp_enabled=fsdp)


@pytest.mark.parametrize(
    ("zero_stage", "fsdp", "shared"), [(None, False, True), (2, False, True), (3, False, False), (None, True, False)]
)
def test_the_base_judges_in_place_unless_it_is_sharded(tmp_path, tiny_dir, zero_stage, fsdp, shared):
    policy = tiny_model(300)
    made = recipe(tmp_path, model={"name": str(tiny_dir), "dtype": "float32"})
    trainer = trainer_of(policy, zero_stage, fsdp)
    scorer = frozen_scorer(made, trainer)
    assert (scorer.model is policy) is shared
    assert scorer.base_only is shared
    assert is_deepspeed_zero3_enabled() == (zero_stage == 3)  # the policy is sharded as before
    unset_hf_deepspeed_config()
    if not shared:
        assert not any(p.requires_grad for p in scorer.model.parameters())
        assert all(p.numel() > 0 for p in scorer.model.parameters())  # a sharded weight is empty


@pytest.fixture
def second_process(tmp_path, monkeypatch):
    """FSDP as accelerate_configs/fsdp2.yaml sets it up, in a process that is not the first of its machine."""
    for name, value in {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("named", [False, True])
def test_under_fsdp_every_process_reads_the_scorer_itself(second_process, tmp_path, tiny_dir, named):
    """transformers gives the others zeros, which wrapping fills; the scorer is not wrapped, and would find nothing likely."""
    model = {"name": str(tiny_dir), "dtype": "float32"}
    made = recipe(tmp_path, model=model, **({"scorer": {"model": model}} if named else {}))
    scorer = frozen_scorer(made, trainer_of(tiny_model(300), fsdp=True))
    assert all(weight.any() for weight in scorer.model.parameters())
    assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"  # the policy is sent to the others as before
    with pytest.raises(RunFailed, match="all of its weights are zero or elsewhere"):
        judges.base_scorer(recipe(tmp_path, scorer={"model": model}), None)


def test_a_named_scorer_is_loaded(tmp_path, tiny_dir):
    policy = tiny_model(300)
    made = recipe(tmp_path, scorer={"model": {"name": str(tiny_dir), "dtype": "float32"}})
    assert frozen_scorer(made, trainer_of(policy)).model is not policy


def test_a_served_scorer_needs_no_copy_of_a_sharded_base(tmp_path, monkeypatch):
    server = ScorerServer("127.0.0.1", 0)
    said = dict.fromkeys(("model", "revision", "dtype", "vocabulary", "identity"), "as checked before")
    said["context_tokens"] = 4096
    server.open(Scorer(tiny_model(16)), said, 16, 4096)
    monkeypatch.setattr(judges, "load_weights", None)  # none are loaded
    made = recipe(tmp_path, scorer={"url": server.url, "model": {"name": "elsewhere/only"}})
    expected = Scorer(tiny_model(16)).score([[1, 2], [3]], [[4, 5]])
    for scorer in (frozen_scorer(made, trainer_of(None, fsdp=True)), judges.base_scorer(made, lm=None)):
        assert (scorer.score([[1, 2], [3]], [[4, 5]]) == expected).all()
    server.close()


@pytest.mark.parametrize("url", ["ftp://localhost", "127.0.0.1:8400", "http://user:key@host", "", "http://"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(ValidationError, match="must be a plain http or https address"):
        recipe(tmp_path, scorer={"url": url})
