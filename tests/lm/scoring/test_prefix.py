"""Model families whose caches, masks or heads differ: every route against the library's own loss on one pair."""

import numpy as np
import pytest
import torch
import transformers as hf
from tiny import tiny_model

from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.prefix import FLOOR, Head, PackedPrefix, packs, plan_memory, route_of

SIZES = {
    "vocab_size": 23, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.25, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "qwen2": (hf.Qwen2ForCausalLM, hf.Qwen2Config(**SIZES), "packed"),
    # scales its logits after the output layer
    "granite": (hf.GraniteForCausalLM, hf.GraniteConfig(**SIZES, logits_scaling=3.0), "packed"),
    "mistral, window": (hf.MistralForCausalLM, hf.MistralConfig(**SIZES, sliding_window=8), "forked"),
    # windows in some layers, and logits squashed after the output layer
    "gemma2": (
        hf.Gemma2ForCausalLM,
        hf.Gemma2Config(**SIZES, head_dim=8, sliding_window=8, final_logit_softcapping=2.0),
        "forked",
    ),
    "gemma3": (hf.Gemma3ForCausalLM, hf.Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=8), "forked"),
    # frequencies that change with the length of the pass, past 16 positions
    "phi3, longrope": (
        hf.Phi3ForCausalLM,
        hf.Phi3Config(
            **SIZES, max_position_embeddings=512, original_max_position_embeddings=16,
            rope_parameters={
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
                "short_factor": [1.0] * 4, "long_factor": [4.0, 8.0, 16.0, 32.0], "original_max_position_embeddings": 16,
            },
        ),
        "one by one",
    ),
    # biases built from a mask of two dimensions
    "bloom": (hf.BloomForCausalLM, hf.BloomConfig(vocab_size=23, hidden_size=32, n_layer=2, n_head=4), "one by one"),
    "mamba": (
        hf.MambaForCausalLM,
        hf.MambaConfig(vocab_size=23, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.25),
        "one by one",
    ),
    "qwen3-next": (
        hf.Qwen3NextForCausalLM,
        hf.Qwen3NextConfig(
            **SIZES, head_dim=8, linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8,
            linear_value_head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
        ),
        "one by one",
    ),
}  # fmt: skip


def built(family):
    kind, config, _ = FAMILIES[family]
    torch.manual_seed(0)
    return kind(config).eval()


def loss_of(model, prefix, continuation):
    """The family's own loss, with the prefix masked out: nothing of this package."""
    ids = torch.tensor([[*prefix, *continuation]])
    labels = torch.tensor([[-100] * len(prefix) + list(continuation)])
    with torch.no_grad():
        return -float(model(input_ids=ids, labels=labels, use_cache=False).loss) * len(continuation)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_a_route_that_is_right(family):
    model = built(family)
    scorer = Scorer(model)
    assert scorer.route == FAMILIES[family][2]
    rng = np.random.default_rng(0)
    prefixes = [rng.integers(3, 23, size=n).tolist() for n in (20, 31, 9)]
    continuations = [rng.integers(3, 23, size=n).tolist() for n in (5, 1, 12)]
    expected = [[loss_of(model, p, c) for p in prefixes] for c in continuations]
    assert scorer.score(prefixes, continuations) == pytest.approx(np.array(expected), abs=1e-3)
    assert scorer.route == FAMILIES[family][2], "the check of the first cell must not have failed"


@pytest.mark.parametrize(("family", "plain"), [("qwen2", True), ("granite", False), ("gemma2", False)])
def test_a_head_that_does_more_than_multiply_is_noticed(family, plain):
    with torch.inference_mode():
        assert Head(built(family)).is_plain == plain


def test_a_route_that_is_wrong_is_noticed_and_left(caplog, monkeypatch):
    """A cache that forgets one token, as a family with its own cache might: the scores would look plausible."""
    model = tiny_model(16)
    prefixes, continuations = [list(range(1, 15)), [3, 4, 5]], [[5, 6, 7], [8]]
    expected = Scorer(model).score(prefixes, continuations)
    advance = PackedPrefix.advance
    monkeypatch.setattr(PackedPrefix, "advance", lambda self, prefix, plan: advance(self, [*prefix[1:], 9], plan))
    scorer = Scorer(model)
    assert scorer.score(prefixes, continuations) == pytest.approx(expected, abs=1e-4)
    assert scorer.route == "one by one"
    assert "differs from the plain way" in caplog.text


def test_documents_longer_than_a_pass_are_read_in_chunks():
    model = tiny_model(16)
    passes = []
    hook = model.model.layers[0].register_forward_hook(lambda module, inputs, output: passes.append(inputs[0].shape[1]))
    rng = np.random.default_rng(0)
    prefix, continuations = rng.integers(16, size=3000).tolist(), [rng.integers(16, size=9).tolist() for _ in range(40)]
    small = Scorer(model, memory_mib=1)
    found = small.score([prefix], continuations)
    hook.remove()
    plan = plan_memory(model.config, 4, 1, 3000, 512)
    assert plan.chunk_tokens < 100
    assert max(passes) <= plan.chunk_tokens + 9  # the check of the first cell included, with its continuation
    assert found == pytest.approx(Scorer(model).score([prefix], continuations), abs=1e-3)
    assert small.prefix_tokens == 3000


def test_memory_follows_the_setting_and_not_the_vocabulary_or_the_number_of_pairs():
    for vocabulary in (1_000, 200_000):
        config = hf.LlamaConfig(vocab_size=vocabulary, hidden_size=512, intermediate_size=1024, num_hidden_layers=2)
        for past in (100, 8_000, 100_000):
            for mib in (64, 512):
                plan = plan_memory(config, 2, mib, past, 4096)
                assert plan.head_rows * vocabulary * 10 <= mib * 2**20 / 4 or plan.head_rows == 1
                mask = plan.pack_tokens * (past + plan.pack_tokens) * 2
                assert mask <= mib * 2**20 / 2 or plan.pack_tokens == FLOOR
    # where the cache's copies alone take the setting, a pass keeps a size that is worth running
    assert plan_memory(config, 2, 8, 100_000, 4096).pack_tokens == FLOOR
    assert plan_memory(config, 2, 64, 100, 4096).pack_tokens < plan_memory(config, 2, 512, 100, 4096).pack_tokens


def test_only_the_wanted_cells_are_computed():
    scorer = Scorer(tiny_model(16))
    prefixes, continuations = [[1, 2], [3, 4, 5], [6]], [[7, 8], [9]]
    whole = scorer.score(prefixes, continuations)
    scorer.prefix_tokens = scorer.continuation_tokens = 0
    found = dict(scorer.score_tokens(prefixes, continuations, wanted=[[1], [], [0, 1]]))
    assert sorted(found) == [0, 2]
    assert found[0][0].sum() == pytest.approx(whole[1, 0], abs=1e-5)
    assert [c.sum() for c in found[2]] == pytest.approx(whole[:, 2], abs=1e-5)
    assert scorer.prefix_tokens == 2 + 1
    assert scorer.continuation_tokens == 1  # the last token of a continuation predicts nothing


def test_packs_hold_everything_once_and_no_more_than_the_limit():
    lengths = [3, 0, 9, 2, 2, 20, 1]
    found = packs(lengths, 10)
    assert [i for pack in found for i in pack] == list(range(7))
    assert all(sum(lengths[i] for i in pack) <= 10 or len(pack) == 1 for pack in found)


def test_rotary_embeddings_with_a_memory_of_their_own_are_run_pair_by_pair():
    """Dynamic scaling follows the longest pass so far: even the library's own values depend on what ran before."""
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    config = hf.LlamaConfig(**SIZES, max_position_embeddings=16, rope_parameters=rope)
    assert route_of(config) == "one by one"


@pytest.mark.parametrize(("kernel", "route"), [("eager", "packed"), ("flex_attention", "forked")])
def test_the_kernel_decides_as_well(kernel, route):
    config = hf.Qwen2Config(**SIZES)
    config._attn_implementation = kernel
    assert route_of(config) == route
