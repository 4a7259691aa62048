"""Attention of one token by plain products against transformers' own, and against a hand-written softmax."""

import pytest
import torch
from tiny import tiny_model
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from infoagent.lm.machine.attention import NAME, attention, use_products


class Module(torch.nn.Module):
    is_causal = True

    def __init__(self, groups):
        super().__init__()
        self.num_key_value_groups = groups


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("kind", ["none", "boolean", "added"])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_equals_transformers_own(queries, kind, groups, scaling):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, h, n, 8) for h, n in ((6, queries), (6 // groups, 9), (6 // groups, 9)))
    seen = torch.ones(2, 1, queries, 9, dtype=torch.bool)
    seen[0, :, :, :4] = False
    mask = {"none": None, "boolean": seen, "added": torch.zeros(seen.shape).masked_fill(~seen, -1e30)}[kind]
    ours, _ = attention(Module(groups), query, key, value, mask, scaling=scaling)
    theirs, _ = sdpa_attention_forward(Module(groups), query, key, value, mask, scaling=scaling)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_one_token_by_hand():
    query, key = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[2.0, 0.0], [0.0, 5.0]]]])
    value = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    found, _ = attention(Module(1), query, key, value, None, scaling=1.0)
    weight = torch.e**2 / (torch.e**2 + 1)
    assert torch.allclose(found[0, 0, 0], torch.tensor([weight, 1 - weight]))


def test_greedy_texts_are_the_same_with_padding():
    model = tiny_model(300)
    ids = torch.tensor([[0, 0, 7, 8, 9], [3, 4, 5, 6, 7]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    texts = []
    for name in ("sdpa", NAME):
        model.set_attn_implementation(name)
        made = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0)
        texts.append(made.tolist())
    assert texts[0] == texts[1]


def test_another_kernel_is_left_alone():
    model = tiny_model(300)
    model.set_attn_implementation("eager")
    use_products(model)
    assert model.config._attn_implementation == "eager"
