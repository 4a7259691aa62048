"""Estimates against counted parameters and a counted forward pass."""

import pytest
import torch
from tiny import tiny_model
from torch.utils.flop_counter import FlopCounterMode

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, Architecture, Rates, Work, generation_flops, training_work
from infoagent.data.registry import load_data
from infoagent.lm.dry_run import machine_money
from infoagent.lm.prompts import compressor_ids
from infoagent.recipes.cost_sections import CostSection


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_equal_the_models(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
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


ASKED = {
    "groups": 2,
    "samples": 8,
    "completion_tokens": 32,
    "document_words": 100.0,
    "counterfactual": 4,
    "other_negatives": 3,
    "has_reference": True,
}


def test_an_estimate_grows_with_what_it_counts():
    sizes = Architecture(64, 2, 4, 2, 16, 128, 500, True)
    plan = training_work(sizes, **ASKED)
    assert plan.generated_tokens == 512
    for more in (
        {"other_negatives": 10},
        {"counterfactual": 8},
        {"completion_tokens": 64},
        {"document_words": 300.0},
        {"samples": 16},
    ):
        assert training_work(sizes, **{**ASKED, **more}).compute.gflop > plan.compute.gflop
    assert training_work(sizes, **{**ASKED, "has_reference": False}).compute.gflop < plan.compute.gflop


def test_an_estimate_counted_by_hand():
    sizes = Architecture(64, 2, 4, 2, 16, 128, 500, True)
    plan = training_work(sizes, **ASKED)
    prompts, written = 2 * 210, 2 * 8 * 32  # 100 words are 150 tokens, and 60 stand around them
    scored = prompts * (1 + 3 + 4 / 2) + written * 8
    assert plan.scored_tokens == scored
    token = sizes.flops(1, 210) / 1e9
    reading = token * (prompts + scored + prompts + written)
    training = token * 3 * (prompts + written)
    assert plan.compute.gflop == pytest.approx(reading + token * written + training)
    rates = Rates(reading=40.0, writing=10.0, training=20.0, origin="x")
    assert plan.compute.seconds(rates) == pytest.approx(reading / 40 + token * written / 10 + training / 20)
    documents = 2 * 150  # read without a gradient, and once more by the base for its KL as before
    apart = training_work(sizes, **ASKED, reads_apart=True)
    assert apart.trained_tokens == prompts + written - documents
    assert apart.compute.gflop == pytest.approx(reading + token * (written + documents + 3 * (prompts + written - documents)))
    searched = training_work(sizes, **ASKED, proposed=5, readings=3)
    assert searched.scored_tokens == prompts * (1 + 3 + 4 / 2) * 3 + (written + 2 * 5 * 32) * 8
    assert (searched.generated_tokens, searched.trained_tokens) == (plan.generated_tokens, plan.trained_tokens)
    assert machine_money(5 * 3600, CostSection(usd_per_hour=3.6)) == "money: 18.00 $ at 3.60 $ an hour"


def test_work_takes_the_time_of_its_kinds_one_after_the_other():
    work = Work(reading=80.0, training=10.0)
    work.generate(5, generation_flops(Architecture(64, 2, 4, 2, 16, 128, 500, True), 100, 20))
    per_text = generation_flops(Architecture(64, 2, 4, 2, 16, 128, 500, True), 100, 20)
    assert work.gflop == pytest.approx(90 + 5 * per_text.total / 1e9)
    slow, fast = Rates(10.0, 1.0, 5.0, "measured"), Rates.stated(10.0)
    assert work.seconds(slow) == pytest.approx(8 + 5 * per_text.prefill / 1e10 + 5 * per_text.decode / 1e9 + 2)
    assert "10 GFLOP/s reading, 1 writing, 5 training (measured)" in slow.line
    assert fast.line == "at 10 GFLOP/s (cost.gflops_per_second)"
