"""Adapters of every kind: what they add, that disabled they are the frozen base, and what is refused."""

import math
import shutil

import pytest
import torch
from conftest import run_script
from peft import LoraConfig, get_peft_model
from tiny import tiny_model

from infoagent.lm import models
from infoagent.lm.models import load_weights, resolve
from infoagent.lm.scoring.exact import Scorer
from infoagent.recipes.lora_section import LoraSection
from infoagent.training.lora_options import check_lora, lora_config, quantization_of
from infoagent.types import InputError

PREFIXES = [[1, 2, 3, 4, 5, 6], [1, 2, 9, 4]]
CONTINUATIONS = [[7, 8, 9], [3]]


def adapted(section, seed=1):
    """A policy in which every part of the adapter has been moved, as after some training."""
    policy = get_peft_model(tiny_model(60), lora_config(section))
    generator = torch.Generator().manual_seed(seed)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return policy


@pytest.mark.parametrize("more", [{}, {"rslora": True}, {"dora": True}, {"dora": True, "rslora": True, "dropout": 0.5}])
def test_disabled_it_is_exactly_the_frozen_base(more):
    policy = adapted(LoraSection(r=4, alpha=8, **more))
    frozen = Scorer(policy, base_only=True).score(PREFIXES, CONTINUATIONS)
    assert (frozen == Scorer(tiny_model(60)).score(PREFIXES, CONTINUATIONS)).all()
    assert abs(frozen - Scorer(policy).score(PREFIXES, CONTINUATIONS)).max() > 0.1


def test_pissa_would_change_the_frozen_base():
    """Why it is not offered: with such an adapter disabled the base lacks what the adapter took."""
    policy = get_peft_model(tiny_model(60), LoraConfig(r=4, target_modules="all-linear", init_lora_weights="pissa"))
    frozen = Scorer(policy, base_only=True).score(PREFIXES, CONTINUATIONS)
    assert abs(frozen - Scorer(tiny_model(60)).score(PREFIXES, CONTINUATIONS)).max() > 0.1


@pytest.mark.parametrize(("rslora", "scale"), [(False, 8 / 4), (True, 8 / math.sqrt(4))])
def test_an_adapted_layer_is_w_x_plus_scale_b_a_x(rslora, scale):
    policy = adapted(LoraSection(r=4, alpha=8, rslora=rslora, targets=["q_proj"]))
    layer = policy.base_model.model.model.layers[0].self_attn.q_proj
    x = torch.randn(3, layer.in_features)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = x @ layer.base_layer.weight.T + scale * (x @ a.T @ b.T)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_dora_scales_the_columns_to_its_magnitudes():
    policy = adapted(LoraSection(r=4, alpha=8, dora=True, targets=["q_proj"]))
    layer = policy.base_model.model.model.layers[0].self_attn.q_proj
    x = torch.randn(3, layer.in_features)
    direction = layer.base_layer.weight + 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    magnitude = layer.lora_magnitude_vector["default"].weight
    expected = x @ (magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)).T
    assert torch.allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("targets", "messages"),
    [
        (["q_proj", "k_prj"], ["'k_prj' matches no module"]),
        (["nothing", "input_layernorm"], ["'nothing' matches no module", "which is no linear layer"]),
        ("q_proj", ["'q_proj' matches no module"]),  # one string is a pattern for the whole name
        ("*", ["is no regular expression"]),
        (["lm_head", "q_proj"], ["'lm_head' matches lm_head, the output layer"]),  # the losses would read past the adapter
        (r".*(q_proj|head)", ["matches lm_head, the output layer"]),
    ],
)
def test_targets_that_match_nothing_are_refused_without_the_weights(tiny_dir, tmp_path, targets, messages):
    shutil.copytree(tiny_dir, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(InputError) as caught:
        check_lora(LoraSection(targets=targets), resolve(str(tmp_path / "model")))
    assert len(caught.value.problems) == len(messages)
    for line, message in zip(caught.value.problems, messages, strict=True):
        assert message in line
        assert "lm_head" not in line.partition("linear layers are")[2]


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"], ["layers.0.self_attn.q_proj"], r".*\.v_proj"])
def test_targets_that_peft_takes_are_taken(tiny_dir, targets):
    section = LoraSection(r=2, targets=targets)
    check_lora(section, resolve(str(tiny_dir)))
    assert any("lora" in name for name, _ in get_peft_model(tiny_model(60), lora_config(section)).named_parameters())


def test_four_bits_need_a_gpu_and_bitsandbytes(tiny_dir, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        check_lora(LoraSection(quantize="4bit"), resolve(str(tiny_dir)))
    assert ["CUDA" in caught.value.problems[0], "pip install bitsandbytes" in caught.value.problems[1]] == [True, True]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    check_lora(LoraSection(quantize="4bit"), resolve(str(tiny_dir)))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="sharded"):
        check_lora(LoraSection(quantize="4bit"), resolve(str(tiny_dir)))


def test_the_quantised_base_is_nf4(monkeypatch):
    found = quantization_of(LoraSection(quantize="4bit"), "bfloat16")
    assert (found.load_in_4bit, found.bnb_4bit_quant_type) == (True, "nf4")
    assert found.bnb_4bit_compute_dtype == torch.bfloat16
    assert quantization_of(LoraSection(), "bfloat16") is None


@pytest.mark.parametrize(("rank", "gpu"), [(None, 0), ("0", 0), ("3", 3)])
def test_each_process_reads_the_quantised_base_to_its_own_gpu(tiny_dir, monkeypatch, rank, gpu):
    """Before the trainer is built nobody has told torch which one that is, and all would read it to the first."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    read = []
    monkeypatch.setattr(models, "read_weights", lambda *where, **more: read.append(more) or torch.nn.Linear(1, 1))
    load_weights(resolve(str(tiny_dir)), "bfloat16", quantization=quantization_of(LoraSection(quantize="4bit"), "bfloat16"))
    assert [more["device_map"] for more in read] == [{"": gpu}]


@pytest.mark.gpu
def test_on_a_gpu_the_quantised_base_is_the_scorer_of_its_policy(tiny_dir):
    pytest.importorskip("bitsandbytes")
    from infoagent.recipes import GRPORecipe
    from infoagent.training.policy import load_policy

    made = GRPORecipe.model_validate({"output_dir": "x", "model": {"name": str(tiny_dir)}, "lora": {"quantize": "4bit", "r": 4}})
    model, config = load_policy(made, resolve(str(tiny_dir)))
    plain = Scorer(model).score(PREFIXES, CONTINUATIONS)
    policy = get_peft_model(model, config)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    assert Scorer(policy, base_only=True).score(PREFIXES, CONTINUATIONS) == pytest.approx(plain, abs=1e-2)
    assert abs(Scorer(policy).score(PREFIXES, CONTINUATIONS) - plain).max() > 0.1


def test_a_run_refuses_them_with_a_line_each(tiny_dir, tmp_path):
    result = run_script(
        "train/grpo.py",
        "configs/train/records.yaml",
        f"output_dir={tmp_path / 'run'}",
        f"model.name={tiny_dir}",
        "data.limit=4",
        "lora.targets=[nope, q_proj, neither]",
    )
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert "q_proj" in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"r": 16}, "lora.r = 16: init_adapter = {adapter!r} has 8"),
        ({"alpha": 32}, "lora.alpha = 32: .* has 16"),
        ({"dropout": 0.1}, "lora.dropout = 0.1: .* has 0.0"),
        ({"dora": True}, "lora.dora = True: .* has False"),
        ({"rslora": True}, "lora.rslora = True: .* has False"),
        ({"activated": True}, "lora.activated = True: .* has False"),
        ({"targets": ["q_proj", "v_proj"]}, "lora.targets: .* has q_proj, and is trained as it is"),
    ],
)
def test_an_adapter_that_is_trained_on_keeps_its_shape(tiny_dir, tmp_path, asked, line):
    """What a recipe says otherwise would stand in run.json and not be so."""
    settings = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj"], task_type="CAUSAL_LM")
    settings.save_pretrained(tmp_path)
    reference, adapter = resolve(str(tiny_dir)), str(tmp_path)
    with pytest.raises(InputError, match=line.format(adapter=adapter)):
        check_lora(LoraSection(**asked), reference, adapter)
    check_lora(LoraSection(**asked), reference)
    check_lora(LoraSection(), reference, adapter)  # what is not said is the adapter's own
    same = LoraSection(r=8, alpha=16, dropout=0.0, dora=False, activated=False, targets=["q_proj"])
    check_lora(same, reference, adapter)


@pytest.mark.parametrize(
    ("targets", "refused"), [(["q_proj", "lm_head"], True), (".*_head", True), (["q_proj"], False), (".*_proj", False)]
)
def test_an_adapter_on_the_output_layer_is_not_trained_on(tiny_dir, tmp_path, targets, refused):
    """TRL would refuse it, after the first round of samples."""
    LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM").save_pretrained(tmp_path)
    if not refused:
        check_lora(LoraSection(), resolve(str(tiny_dir)), str(tmp_path))
        return
    with pytest.raises(InputError, match=r"acts on lm_head, the output layer of .*; name an adapter that leaves it alone"):
        check_lora(LoraSection(), resolve(str(tiny_dir)), str(tmp_path))
