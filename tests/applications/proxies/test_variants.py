"""Smaller models: fewer layers and rounded weights against naive twins."""

import numpy as np
import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from infoagent.applications.proxies.variants import GROUP, keep_layers, round_weights, weight_mib
from infoagent.lm.scoring.exact import Scorer
from infoagent.types import InputError

VOCABULARY = len(tiny_tokenizer())


def own_logits(model, ids, layers):
    """The model's own modules called one after the other."""
    hidden = model.model.embed_tokens(ids)
    positions = torch.arange(ids.shape[1])[None]
    rotary = model.model.rotary_emb(hidden, positions)
    mask = torch.full((ids.shape[1], ids.shape[1]), float("-inf")).triu(1)[None, None]
    for layer in list(model.model.layers)[:layers]:
        hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary, position_ids=positions)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return model.lm_head(model.model.norm(hidden))


@torch.no_grad()
def test_fewer_layers_are_the_first_ones_and_the_head():
    ids = torch.tensor([[5, 9, 33, 7, 60]])
    whole = tiny_model(VOCABULARY, layers=3)
    expected = own_logits(whole, ids, 2)
    assert not torch.allclose(whole(ids).logits, expected, atol=1e-3)
    keep_layers(whole, 2)
    assert torch.allclose(whole(ids).logits, expected, atol=1e-5)
    assert whole.config.num_hidden_layers == 2
    # and the scorer's cache knows of it
    prefixes, texts = [[5, 9, 33], [5, 8]], [[7, 60, 3], [11]]
    assert np.allclose(Scorer(whole).score(prefixes, texts), Scorer(whole).score_one_by_one(prefixes, texts), atol=1e-4)


def test_more_layers_than_there_are():
    with pytest.raises(InputError, match="the model has 2"):
        keep_layers(tiny_model(VOCABULARY), 3)
    same = tiny_model(VOCABULARY)
    keep_layers(same, 2)
    assert len(same.model.layers) == 2


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_rounding_is_what_a_loop_over_weights_does(bits):
    model, plain = tiny_model(VOCABULARY), tiny_model(VOCABULARY)
    round_weights(model, bits)
    top = 2 ** (bits - 1) - 1
    for name, weight in plain.named_parameters():
        found = dict(model.named_parameters())[name].detach().numpy()
        weight = weight.detach().numpy()
        if "layers." not in name or weight.ndim < 2:
            assert (found == weight).all(), name  # embeddings, head and norms stay
            continue
        for row in range(0, len(weight), 7):
            for start in range(0, weight.shape[1], GROUP):
                part = weight[row, start : start + GROUP]
                scale = abs(part).max() / top
                expected = [scale * round(float(w) / scale) for w in part]
                assert np.allclose(found[row, start : start + GROUP], expected, atol=1e-6), name
                assert len(set(np.round(expected / scale))) <= 2 * top + 1


@torch.no_grad()
def test_more_bits_are_closer():
    ids = torch.tensor([[5, 9, 33, 7, 60]])
    errors = []
    for bits in (2, 4, 8):
        model = tiny_model(VOCABULARY)
        expected = model(ids).logits
        round_weights(model, bits)
        errors.append(float((model(ids).logits - expected).abs().mean()))
    assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


def test_memory_of_the_weights_by_hand():
    model = tiny_model(VOCABULARY)
    in_layers = sum(p.numel() for n, p in model.named_parameters() if "layers." in n and p.ndim == 2)
    rest = sum(p.numel() for p in model.parameters()) - in_layers
    assert weight_mib(model, None) == pytest.approx(4 * (in_layers + rest) / 2**20)
    assert weight_mib(model, 4) == pytest.approx((4.5 / 8 * in_layers + 4 * rest) / 2**20)
