"""Estimates against counted parameters and a counted forward pass."""

import pytest
import torch
from tiny import tiny_model
from torch.utils.flop_counter import FlopCounterMode

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, Architecture, estimate_grpo
from infoagent.data.registry import load_data
from infoagent.lm.prompts import compressor_ids


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_equal_the_models(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, tie_word_embeddings=tied)  # fmt: skip
    architecture = Architecture.from_config(config.to_dict())
    assert architecture.parameters == sum(p.numel() for p in LlamaForCausalLM(config).parameters())


def test_lora_parameters_equal_pefts():
    from peft import LoraConfig, get_peft_model

    policy = get_peft_model(tiny_model(50), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainable = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    assert Architecture.from_config(tiny_model(50).config.to_dict()).lora_parameters(4) == trainable


def test_flops_are_near_a_counted_forward_pass():
    model = tiny_model(64, hidden=64, layers=3)
    model.set_attn_implementation("eager")  # torch's counter does not know the CPU's fused attention
    ids = torch.randint(64, (1, 200))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids, use_cache=False)
    architecture = Architecture.from_config(model.config.to_dict())
    # the library computes attention over the whole square, so the mean context it pays for is the length
    assert architecture.flops(200, 200) == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_tokens_per_word_hold_for_the_embedded_text(smollm):
    problems = load_data("records", split="train", limit=60).problems
    words = sum(len(p.document.split()) for p in problems)
    tokens = sum(len(compressor_ids(smollm.tokenizer, p.document, p.query)) for p in problems)
    assert words * TOKENS_PER_WORD + 60 * PROMPT_OVERHEAD_TOKENS == pytest.approx(tokens, rel=0.15)


def test_an_estimate_grows_with_what_it_counts():
    sizes = Architecture(64, 2, 4, 2, 16, 128, 500, True)
    base = {
        "steps": 10, "prompts_per_step": 2, "num_generations": 8, "completion_tokens": 32, "document_words": 100.0,
        "negatives": 7, "has_kl": True, "gflops_per_second": 100.0, "usd_per_hour": 3.6,
    }  # fmt: skip
    plan = estimate_grpo(sizes, **base)
    assert plan.generated_tokens_per_step == 512
    assert plan.usd == pytest.approx(plan.hours * 3.6)
    for more in ({"negatives": 14}, {"completion_tokens": 64}, {"document_words": 300.0}, {"num_generations": 16}):
        assert estimate_grpo(sizes, **{**base, **more}).gflops_per_step > plan.gflops_per_step
    assert estimate_grpo(sizes, **{**base, "has_kl": False}).gflops_per_step < plan.gflops_per_step
