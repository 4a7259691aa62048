"""Samples by row against the distribution they should have, and against what may not matter to them."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from infoagent.lm.generation import check_logits
from infoagent.training.faults import one_line_faults
from infoagent.training.sampling import RowDraws
from infoagent.types import RunFailed

WIDTH = 3  # of the prompt


def picked(draws, scores, position=0):
    left = draws(torch.zeros(len(scores), WIDTH + position, dtype=torch.long), scores)
    assert (left.isfinite().sum(dim=1) == 1).all()
    token = left.argmax(dim=1)
    assert torch.equal(left.gather(1, token[:, None]), scores.gather(1, token[:, None]))
    return token


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("position", [0, 4])
def test_tokens_have_the_probabilities_of_the_model(temperature, position):
    rows = 20_000
    logits = torch.tensor([2.0, -1.0, 0.5, -torch.inf, 1.2, -3.0])
    draws = RowDraws(7, 11, range(rows), WIDTH, 5, temperature)
    counts = np.bincount(picked(draws, logits.repeat(rows, 1), position).numpy(), minlength=6)
    expected = torch.softmax(logits.double() / temperature, dim=0).numpy() * rows
    assert counts[3] == 0  # a token without probability
    likely = expected > 0
    assert chisquare(counts[likely], expected[likely]).pvalue > 1e-4
    assert chisquare(counts[likely], np.roll(expected[likely], 1)).pvalue < 1e-10  # the test can fail


def test_a_row_draws_the_same_in_every_batch_and_another_at_every_step():
    scores = torch.randn(8, 500, generator=torch.Generator().manual_seed(0))
    whole = picked(RowDraws(0, 3, range(8), WIDTH, 5, 1.0), scores)
    halves = [picked(RowDraws(0, 3, range(i, i + 4), WIDTH, 5, 1.0), scores[i : i + 4]) for i in (0, 4)]
    assert torch.equal(torch.cat(halves), whole)
    torch.manual_seed(99)  # the process's own random state has no part in it
    assert torch.equal(picked(RowDraws(0, 3, range(8), WIDTH, 5, 1.0), scores), whole)
    for seed, step, position in ((1, 3, 0), (0, 4, 0), (0, 3, 1)):
        assert not torch.equal(picked(RowDraws(seed, step, range(8), WIDTH, 5, 1.0), scores, position), whole)


@pytest.mark.parametrize(("draw", "token"), [(0.0, 1), (1 - 2**-53, 3)])
def test_the_ends_of_the_interval_pick_tokens_that_have_probability(draw, token):
    draws = RowDraws(0, 0, range(1), WIDTH, 1, 1.0)
    draws.draws_BT[:] = draw
    scores = torch.tensor([[-torch.inf, 0.3, 0.1, -0.2, -torch.inf]])
    assert picked(draws, scores).tolist() == [token]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_probabilities_that_are_not_finite_end_the_run(bad):
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.1, bad, 0.0]])
    with pytest.raises(RunFailed, match="not finite any more; lower grpo"):
        RowDraws(0, 0, range(2), WIDTH, 1, 1.0)(torch.zeros(2, WIDTH), scores)


def test_a_policy_that_returns_nan_in_validation_ends_the_run_with_the_same_advice():
    with pytest.raises(RunFailed, match="not finite any more; lower sft"), one_line_faults("sft.learning_rate"):
        check_logits(torch.full((1, 3), torch.nan))
    with pytest.raises(FloatingPointError, match="reward part"), one_line_faults():  # nothing of the policy's
        raise FloatingPointError("reward part rate: not finite")
