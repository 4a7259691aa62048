"""Prompts read once against TRL's own way: the same log-probabilities, entropies, gradients and samples."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import tiny_model, tiny_tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer.utils import add_fused_lm_head

from infoagent.training.shared_prefix import Packing, SharedPrefix

WIDTH = 6


def adapted(temperature=1.0, dropout=0.0):
    tokenizer = tiny_tokenizer()
    base = tiny_model(len(tokenizer))
    add_fused_lm_head(base, temperature=temperature, outputs=("log_probs", "entropy"))
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=dropout))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # a fresh adapter changes nothing: its gradient would be zero in half of the weights
            torch.nn.init.normal_(parameter, std=0.1)
    return tokenizer, model


def trainer_of(cls, model, temperature=1.0, tokenizer=None):
    made = object.__new__(type("Made", (SharedPrefix, cls), {}))
    state = SimpleNamespace(deepspeed_plugin=None)
    made.__dict__.update(
        accelerator=SimpleNamespace(
            unwrap_model=lambda m: m, autocast=contextlib.nullcontext, device="cpu", is_main_process=False, state=state
        ),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, report_to=[]),
        state=SimpleNamespace(global_step=0),
        model=model,
        model_wrapped=model,
        temperature=temperature,
        is_fsdp_enabled=False,
        use_vllm=False,
        use_transformers_continuous_batching=False,
        _tokenizer=tokenizer,
        eos_token_ids=[0],
        generation_config=GenerationConfig(max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=[0]),
    )
    return made


def batch(order):
    """Prompts of different length, padded on the left; completions of different length, padded on the right."""
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(5, 250, (n,), generator=generator) for n in (9, 14, 11, 6)]
    rows, masks = [], []
    for row, which in enumerate(order):
        prompt = prompts[which]
        live = 1 + row % WIDTH
        z = torch.randint(5, 250, (live,), generator=generator)
        left, right = 14 - len(prompt), WIDTH - live
        rows.append(torch.cat([torch.zeros(left), prompt, z, torch.zeros(right)]).long())
        masks.append(torch.cat([torch.zeros(left), torch.ones(len(prompt) + live), torch.zeros(right)]).long())
    return torch.stack(rows), torch.stack(masks)


@pytest.mark.parametrize("cls", [GRPOTrainer, RLOOTrainer])
@pytest.mark.parametrize("order", [[0] * 4 + [1] * 4, [1, 0, 1, 1, 0], [0], [2, 0, 1, 3, 0]])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("whole_mib", [512, 0], ids=["whole logits", "in tiles"])
def test_values_and_gradients_are_those_of_separate_rows(cls, order, temperature, whole_mib, monkeypatch):
    monkeypatch.setattr("infoagent.training.shared_prefix.WHOLE_LOGITS_MIB", whole_mib)
    _, model = adapted(temperature)
    trainer = trainer_of(cls, model, temperature)
    ids, mask = batch(order)
    live = mask[:, -WIDTH:].bool()
    found = []
    for way in (cls._get_per_token_logps_and_entropies, type(trainer)._get_per_token_logps_and_entropies):
        model.zero_grad()
        log_probs, entropies, _ = way(trainer, model, ids, mask, WIDTH, compute_entropy=True)
        (log_probs[live] * torch.linspace(-1, 1, int(live.sum()))).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((log_probs[live].detach(), entropies[live].detach(), gradient))
    for plain, packed in zip(*found, strict=True):
        assert torch.allclose(plain, packed, atol=2e-4, rtol=2e-4)
    assert found[0][2].abs().max() > 1e-3


def test_chunks_of_a_batch_give_the_same_values():
    _, model = adapted()
    trainer = trainer_of(GRPOTrainer, model)
    ids, mask = batch([0, 0, 0, 1, 1])
    whole, _, _ = trainer._get_per_token_logps_and_entropies(model, ids, mask, WIDTH)
    parts, _, _ = trainer._get_per_token_logps_and_entropies(model, ids, mask, WIDTH, batch_size=2)
    live = mask[:, -WIDTH:].bool()
    assert torch.allclose(whole[live], parts[live], atol=2e-5)


def test_a_packed_row_holds_a_prompt_once():
    ids, mask = batch([0, 0, 0, 1])
    packing = Packing(ids, mask, WIDTH)
    assert packing.input_US.shape == (2, 13 + 3 * WIDTH)
    assert int((packing.segment_US[0] == 0).sum()) == 8  # nine tokens but the last, which begins every segment


def test_one_pair_among_many_prompts_does_not_widen_their_rows():
    """Shared: 4 rows of 13 + 2 widths; apart: 5 rows of 13 + 1 width."""
    assert Packing(*batch([2, 0, 1, 3, 0]), WIDTH).input_US.shape == (5, 13 + WIDTH)
    assert 4 * (13 + 2 * WIDTH) > 5 * (13 + WIDTH)


def test_models_that_cannot_be_packed_go_the_trainers_own_way(monkeypatch):
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
    )
    model = LlamaForCausalLM(config)
    trainer = trainer_of(GRPOTrainer, model)
    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", lambda *a, **k: "the trainer's own")
    assert trainer._get_per_token_logps_and_entropies(model, None, None, WIDTH) == "the trainer's own"


@pytest.mark.parametrize("cls", [GRPOTrainer, RLOOTrainer])
def test_samples_are_those_of_repeated_prompts(cls, monkeypatch):
    tokenizer, model = adapted()
    trainer = trainer_of(cls, model, tokenizer=tokenizer)
    prompts = [[5, 9, 40, 41], [5, 9, 41, 7, 60, 61]]
    repeated = [p for p in prompts for _ in range(3)]
    monkeypatch.setattr(cls, "_generate_single_turn", None)  # the trainer's own way must not be taken
    found = trainer._generate_single_turn(repeated, None, {}, *([3] if cls is GRPOTrainer else []))
    if cls is GRPOTrainer:
        found, log_probs = found
        assert log_probs is None
    padded = tokenizer.pad({"input_ids": repeated}, padding=True, padding_side="left", return_tensors="pt")
    plain = model.generate(**padded, generation_config=trainer.generation_config)[:, 6:].tolist()
    for row, expected in zip(found, plain, strict=True):
        assert row == (expected[: expected.index(0) + 1] if 0 in expected else expected)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "the trainer's own way"])
def test_no_dropout_falls_on_what_is_sampled(elsewhere, monkeypatch):
    """TRL samples in the middle of a training step. What training pays for is the policy that is evaluated and served."""
    tokenizer, model = adapted(dropout=0.9)
    trainer = trainer_of(GRPOTrainer, model.train(), tokenizer=tokenizer)
    trainer.use_vllm = elsewhere
    monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", lambda *_: ([model.training], None))
    prompts = [[5, 9, 40, 41], [5, 9, 41, 7, 60, 61]]
    first, second = (trainer._generate_single_turn(prompts, None, {}, 1)[0] for _ in range(2))
    assert model.training
    assert all(part.training for part in model.modules())
    assert first == second
    assert not elsewhere or first == [False]


@pytest.mark.parametrize(("whole_mib", "held"), [(10**6, True), (0, False)])
def test_tiles_hold_no_logits_of_a_large_vocabulary(whole_mib, held, monkeypatch):
    monkeypatch.setattr("infoagent.training.shared_prefix.WHOLE_LOGITS_MIB", whole_mib)
    vocabulary = 150_000
    base = tiny_model(vocabulary)
    add_fused_lm_head(base, outputs=("log_probs", "entropy"))
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainer, (ids, mask), saved = trainer_of(GRPOTrainer, model), batch([0] * 4), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        log_probs, _, _ = trainer._get_per_token_logps_and_entropies(model, ids, mask, WIDTH)
    log_probs.sum().backward()
    # the weights of the output layer have as many; those are there anyway
    head = base.get_output_embeddings().weight.numel()
    assert any(n == 4 * WIDTH * vocabulary and n != head for n in saved) == held
