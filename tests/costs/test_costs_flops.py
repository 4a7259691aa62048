"""FLOPs and weights against the library's own models, torch's counter, published sizes and a count token by token."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from infoagent.costs import Architecture, generation_flops, paper_flops, scoring_flops
from infoagent.lm.sizes import architecture_of
from infoagent.types import InputError

TINY = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
KINDS = {
    "llama": {}, "mistral": {}, "mixtral": {"num_experts_per_tok": 2, "num_local_experts": 5}, "phi3": {"pad_token_id": 0},
    "qwen2": {}, "qwen3": {"head_dim": 16}, "gemma": {"head_dim": 16}, "gemma2": {"head_dim": 16, "sliding_window": 5},
    "gemma3_text": {"head_dim": 16, "sliding_window": 5, "sliding_window_pattern": 3}, "granite": {"mlp_bias": True},
    "smollm3": {"attention_bias": True, "pad_token_id": 0}, "olmo2": {},
    "qwen2_moe": {**EXPERTS, "num_experts": 5, "shared_expert_intermediate_size": 40},
    "qwen3_moe": {**EXPERTS, "num_experts": 5, "mlp_only_layers": [1], "head_dim": 16},
}  # fmt: skip


def built(kind, **changes):
    """(a small random model of a type with eager attention, its architecture)."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **{**TINY, **KINDS[kind], **changes})
    config._attn_implementation = "eager"  # torch's counter does not know the CPU's fused attention
    config._experts_implementation = "eager"
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval(), Architecture.from_config(config.to_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_every_known_type_has_the_librarys_number_of_weights(kind):
    for tied in (True, False):
        model, architecture = built(kind, tie_word_embeddings=tied)
        assert architecture.parameters == sum(p.numel() for p in model.parameters()), f"tied: {tied}"


def counted(model, architecture, tokens, past=None):
    """(FLOPs of a pass as torch counts them without the angles of positions, the cache after it)."""
    ids = torch.randint(TINY["vocab_size"], (1, tokens))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cache = model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=1).past_key_values
    # position × frequency is an outer product that the counter takes for a matrix product: once for each kind of rope
    ropes = 2 if model.config.model_type == "gemma3_text" else 1
    return counter.get_total_flops() - ropes * tokens * architecture.head_size, cache


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {}),
        ("qwen2", {}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
        ("qwen3", {}),
        ("mistral", {"sliding_window": 4}),
        ("mixtral", {}),
        ("qwen2_moe", {}),
        ("qwen3_moe", {}),
        ("qwen3_moe", {"decoder_sparse_step": 2, "mlp_only_layers": None}),
        ("gemma2", {}),
        ("gemma3_text", {}),
    ],
)
def test_prefill_and_a_cached_step_equal_the_counters(kind, changes):
    model, architecture = built(kind, **changes)
    prompt = 23
    found = generation_flops(architecture, prompt, 1)
    read, cache = counted(model, architecture, prompt)
    # eager attention multiplies the whole square and masks it after; what is needed is what each token may see
    needed = sum(
        min(i + 1, architecture.window if layer < architecture.sliding_layers else i + 1)
        for i in range(prompt)
        for layer in range(architecture.layers)
    )
    masked = architecture.layers * prompt**2 - needed
    assert found.prefill == read - masked * 4 * architecture.heads * architecture.head_size
    assert found.decode == counted(model, architecture, 1, cache)[0]


def naive(architecture, prompt, new):
    """Token by token, layer by layer."""
    matrices = architecture.matrix_parameters - architecture.vocabulary * architecture.hidden
    totals = [0, 0]
    for position in range(prompt + new):
        writing = position >= prompt
        totals[writing] += 2 * matrices
        for layer in range(architecture.layers):
            seen = position + 1 if layer >= architecture.sliding_layers else min(position + 1, architecture.window)
            totals[writing] += seen * 2 * 2 * architecture.heads * architecture.head_size
        if writing or position == prompt - 1:
            totals[writing] += 2 * architecture.vocabulary * architecture.hidden
    return tuple(totals)


@pytest.mark.parametrize(("prompt", "new"), [(0, 0), (0, 3), (1, 0), (7, 1), (7, 2), (8, 5), (3, 40), (40, 9)])
def test_sums_over_positions_equal_a_count_token_by_token(prompt, new):
    for window, sliding in ((None, 0), (8, 2), (1, 3)):
        architecture = Architecture(16, 3, 4, 2, 8, 24, 50, True, sliding, window)
        found = generation_flops(architecture, prompt, new)
        assert (found.prefill, found.decode) == naive(architecture, prompt, new)
        assert found.total == found.prefill + found.decode


def test_negative_numbers_of_tokens_are_refused():
    with pytest.raises(ValueError, match="-1 new tokens"):
        generation_flops(Architecture(16, 3, 4, 2, 8, 24, 50, True), 3, -1)


def test_scoring_meets_what_stands_before_it_within_the_window():
    """A prefix of p tokens read in one pass meets p² / 2 others, in a sliding layer w · p − w² / 2."""
    full = Architecture(16, 2, 4, 2, 8, 24, 50, True)
    sliding = Architecture(16, 2, 4, 2, 8, 24, 50, True, 2, 10)
    pair = 2 * 4 * 4 * 8
    difference = scoring_flops(full, 100, 7, 7, past=100) - scoring_flops(sliding, 100, 7, 7, past=100)
    assert difference == pytest.approx(pair * (100**2 / 2 - (10 * 100 - 10**2 / 2) + 7 * (100 - 10)))
    assert scoring_flops(sliding, 6, 7, 7, past=6) == pytest.approx(scoring_flops(full, 6, 7, 7, past=6))
    assert sliding.flops(3, 100) == pytest.approx(full.flops(3, 10))


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")  # PEFT's own, where every layer is sparse
@pytest.mark.parametrize(
    ("kind", "changes"),
    [("qwen2_moe", {}), ("qwen3_moe", {}), ("qwen3_moe", {"mlp_only_layers": None}), ("mixtral", {}), ("gemma3_text", {})],
)
def test_an_adapter_has_as_many_weights_as_pefts(kind, changes):
    from peft import LoraConfig, get_peft_model

    model, architecture = built(kind, **changes)
    policy = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainable = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    assert architecture.lora_parameters(4) == trainable


# ---- published configurations -----------------------------------------------------------------------------------

QWEN_15 = {
    "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12,
    "num_hidden_layers": 28, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
    "max_window_layers": 21, "sliding_window": 32768, "use_sliding_window": False,
}  # fmt: skip
QWEN_7 = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
    "num_hidden_layers": 28, "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
    "max_window_layers": 28, "sliding_window": 131072, "use_sliding_window": False,
}  # fmt: skip
PUBLISHED = {
    "Qwen2.5-1.5B": (QWEN_15, 1_543_714_304),
    "Qwen2.5-7B": (QWEN_7, 7_615_616_512),
    "Qwen3-8B": ({
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
        "num_hidden_layers": 36, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": False, "use_sliding_window": False, "sliding_window": None,
    }, 8_190_735_360),
    "Qwen3-30B-A3B": ({
        "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_attention_heads": 32, "num_hidden_layers": 48, "num_key_value_heads": 4, "head_dim": 128,
        "vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "tie_word_embeddings": False, "sliding_window": None,
    }, 30_532_122_624),
    "Llama-3.1-8B": ({
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
    }, 8_030_261_248),
    "Mixtral-8x7B": ({
        "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8,
        "num_experts_per_tok": 2, "sliding_window": None, "tie_word_embeddings": False,
    }, 46_702_792_704),
    "gemma-3-1b": ({
        "model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "num_attention_heads": 4,
        "num_hidden_layers": 26, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
        "sliding_window": 512, "sliding_window_pattern": 6,
    }, 999_885_952),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_found_from_published_configurations(name):
    config, parameters = PUBLISHED[name]
    assert Architecture.from_config(config).parameters == parameters


def test_of_a_mixture_a_token_passes_the_active_weights_only():
    """Published as 3.3B of 30.5B, and 12.9B of 46.7B."""
    qwen, mixtral = (Architecture.from_config(PUBLISHED[n][0]) for n in ("Qwen3-30B-A3B", "Mixtral-8x7B"))
    assert qwen.active_parameters / 1e9 == pytest.approx(3.3, abs=0.06)
    assert mixtral.active_parameters / 1e9 == pytest.approx(12.9, abs=0.05)
    # without attention, a token takes 2 FLOPs for each active weight but embeddings and norms
    embedding = qwen.vocabulary * qwen.hidden
    assert qwen.flops(1, 0) == pytest.approx(2 * (qwen.active_parameters - embedding), rel=1e-3)


def test_gemmas_text_part_and_its_windows_are_read_with_the_librarys_defaults():
    """As gemma-3-4b publishes it: heads, head size and vocabulary unsaid, 5 of 6 layers with a window of 1,024."""
    from transformers import Gemma3Config

    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    short = Architecture.from_config({"model_type": "gemma3", "text_config": text, "vision_config": {}})
    assert short == Architecture.from_config(Gemma3Config(text_config=text).to_dict())
    assert (short.sliding_layers, short.window) == (29, 1024)
    assert short.parameters == 3_880_099_328 + 64 * 2560  # published with 262,144 entries, the default has 64 more
    full = Architecture.from_config({**text, "sliding_window": 10**6})
    longer = generation_flops(full, 8192, 0).prefill - generation_flops(short, 8192, 0).prefill
    unseen = 8192 * 8193 // 2 - (1024 * 1025 // 2 + (8192 - 1024) * 1024)
    assert longer == 29 * unseen * 4 * 8 * 256


def test_a_window_of_null_is_none_and_an_absent_one_the_librarys():
    from transformers import MistralConfig

    for given in ({"sliding_window": None}, {"sliding_window": 7}, {}):
        library = MistralConfig(**TINY, **given).sliding_window
        found = Architecture.from_config({"model_type": "mistral", **TINY, **given})
        assert (found.window, found.sliding_layers) == (library, 0 if library is None else 3)


# ---- the paper's claims -----------------------------------------------------------------------------------------


def test_the_papers_small_difference_comes_from_leaving_the_prompt_out():
    """7B against 1.5B writes 4.6 times fewer tokens at +1.3 % FLOPs per generation: with nominal sizes, the number of
    heads as the width of attention and no prefill, as the released code counts."""
    small, large = Architecture.from_config(QWEN_15), Architecture.from_config(QWEN_7)
    for prompt in (8_000, 12_000):
        theirs = paper_flops(large, prompt, 100, parameters=7e9, attention_width=28)
        theirs /= paper_flops(small, prompt, 460, parameters=1.5e9, attention_width=12)
        assert theirs == pytest.approx(1.013, abs=0.001)


def test_with_the_prompt_the_larger_compressor_costs_four_times_the_smaller():
    """About 8k tokens to read, 4.6 times fewer to write: 4.1 to 4.3 times, 4.4 where both write 200."""
    small, large = Architecture.from_config(QWEN_15), Architecture.from_config(QWEN_7)
    for written in (46, 60, 100):
        ratio = generation_flops(large, 8000, written).total / generation_flops(small, 8000, round(4.6 * written)).total
        assert 4.1 < ratio < 4.35
    same = generation_flops(large, 8000, 200)
    assert same.total / generation_flops(small, 8000, 200).total == pytest.approx(4.4, abs=0.05)
    assert same.decode < 0.04 * same.total


def test_the_papers_formula_by_hand():
    """Per token 2 · P + 2 · n_layer · n_ctx · d_attn, with the active weights of a mixture."""
    mixtral = Architecture.from_config(PUBLISHED["Mixtral-8x7B"][0])
    assert paper_flops(mixtral, 1000, 3) == 3 * (2 * mixtral.active_parameters + 2 * 32 * 1000 * 4096)
    assert paper_flops(mixtral, 1000, 0) == 0


# ---- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12}, "model_type 'gpt2': its costs are not known"),
        ({"model_type": "mamba", **TINY}, "model_type 'mamba'"),
        ({"model_type": "llama", "hidden_size": 8}, "no num_hidden_layers, num_attention_heads, intermediate_size, vocab"),
        ({**TINY, "hidden_size": 8.5}, "hidden_size = 8.5: a size is a whole number"),
        ({**TINY, "head_dim": 0}, "head_dim = 0"),
        ({"model_type": "qwen3_moe", **TINY, "num_experts": 4}, "no num_experts_per_tok"),
        ({"model_type": "qwen3_moe", **TINY, **EXPERTS}, "no num_experts"),
        ({"model_type": "qwen2_moe", **TINY, "num_experts": 4, "num_experts_per_tok": 1}, "no moe_intermediate_size"),
        ({"model_type": "qwen2", **TINY, "layer_types": ["linear_attention"] * 3}, "layer_types: 'linear_attention'"),
        ({"model_type": "gemma2", **TINY, "layer_types": ["full_attention"]}, "1 entries for 3 layers"),
        ({"model_type": "qwen3", **TINY, "layer_types": ["sliding_attention"] * 3}, "3 layers of sliding_attention"),
        ({"model_type": "smollm3", **TINY, "use_sliding_window": True}, "give layer_types"),
        ({"model_type": "gemma3_text", **TINY, "use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ],
)  # fmt: skip
def test_configurations_without_known_costs_are_refused_in_one_line(config, message):
    with pytest.raises(InputError) as error:
        Architecture.from_config(config)
    assert message in str(error.value)
    assert len(error.value.problems) == 1
    assert "\n" not in str(error.value)


def test_a_local_configuration_is_read_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(
        '{"text_config": {"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6}}'
    )
    assert architecture_of(str(tmp_path)).sliding_layers == 5
    for content, message in (("{", "no JSON"), ("[1]", "holds a list"), ('{"model_type": "gpt2"}', "model_type 'gpt2'")):
        path.write_text(content)
        with pytest.raises(InputError, match=message) as error:
            architecture_of(str(tmp_path))
        assert str(path) in str(error.value)
        assert len(error.value.problems) == 1
    with pytest.raises(InputError, match="no such directory"):
        architecture_of(str(tmp_path / "absent"))
    assert architecture_of("nobody/was-never-loaded") is None
