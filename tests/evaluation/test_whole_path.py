"""The whole path through a tiny language model with a known answer: sample, score, estimate, against enumeration."""

import numpy as np
import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from infoagent.information import channels, estimate_mi
from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import end_of_turn_id
from infoagent.lm.reference import ModelReference
from infoagent.lm.scoring.exact import Scorer, continuation_ids

PROMPTS = [[5, 9, 40], [5, 9, 41, 7], [77], [80, 81, 82, 83, 84, 85]]
SAMPLES = 500


@pytest.fixture(scope="module")
def lm():
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    model = tiny_model(len(tokenizer), scale=0.5)
    return LoadedModel(ModelReference("tiny", "tiny", "0"), model, tokenizer, "float32")


def exact_channel(lm):
    """p(z|x) for all z of at most two tokens, from plain forward passes: those that stop, and those cut off."""
    end = end_of_turn_id(lm.tokenizer)
    size = len(lm.tokenizer)
    rows = []
    for prompt in PROMPTS:
        with torch.no_grad():
            first = torch.softmax(lm.model(torch.tensor([prompt])).logits[0, -1].double(), -1)
            both = torch.tensor([[*prompt, t] for t in range(size)])
            second = torch.softmax(lm.model(both).logits[:, -1].double(), -1)
        joint = first[:, None] * second
        joint[end] = 0.0
        rows.append(np.append(joint.numpy().ravel(), float(first[end])))
    return np.array(rows)


def test_sampled_compressions_give_the_enumerated_information(lm):
    conditional_XZ = exact_channel(lm)
    assert conditional_XZ.sum(axis=1) == pytest.approx(np.ones(len(PROMPTS)), abs=1e-6)
    exact = channels.mutual_information_nats(conditional_XZ)
    assert 0.2 < exact < np.log(4) - 0.1
    end = end_of_turn_id(lm.tokenizer)
    prompts = [p for p in PROMPTS for _ in range(SAMPLES)]
    source = np.repeat(np.arange(len(PROMPTS)), SAMPLES)
    drawn = generate(lm, prompts, [str(i) for i in source], max_tokens=2, temperature=1.0, seed=0)
    continuations = [continuation_ids(z, end) for z in drawn]
    log_probs = Scorer(lm.model).score(PROMPTS, continuations)

    estimate = estimate_mi(log_probs, source)
    # the pool is fixed, so the only error is in the samples: s / √n over compressions
    error = estimate.per_compression_nats.std(ddof=1) / np.sqrt(len(source))
    assert estimate.infonce_nats == pytest.approx(exact, abs=4 * error)
    assert error < 0.03
    assert estimate.leave_one_out_nats > exact
    shuffled = np.random.default_rng(0).permutation(source)
    assert estimate_mi(log_probs, shuffled).infonce_nats < 0, "a wrong pairing must not look informative"
