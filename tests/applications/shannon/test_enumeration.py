"""Every string of a small vocabulary against one plain forward pass for each."""

import itertools
import math

import numpy as np
import pytest
import torch
from tiny import tiny_model

from infoagent.applications.shannon import enumeration
from infoagent.applications.shannon.enumeration import string_at, string_lengths, string_log_probs
from infoagent.lm.scoring.exact import Scorer

ALPHABET, STOP = (3, 1, 2), 0


def test_numbers_and_strings_belong_together():
    listed = [z for length in range(4) for z in itertools.product(ALPHABET, repeat=length)]
    assert [string_at(i, ALPHABET) for i in range(len(listed))] == listed
    assert string_lengths(3, 3).tolist() == [len(z) for z in listed]


@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_it_is_what_plain_passes_say(monkeypatch, rows):
    monkeypatch.setattr(enumeration, "ROWS", rows)  # strings are walked some at a time
    model = tiny_model(6)
    prefixes = [[4, 5, 1], [5, 5, 2]]
    found = string_log_probs(model, prefixes, ALPHABET, STOP, 3)
    assert found.shape == (1 + 3 + 9 + 27, 2)
    for k, prefix in enumerate(prefixes):
        for index in range(len(found)):
            string = [*string_at(index, ALPHABET), STOP]
            with torch.no_grad():
                log_probs = model(torch.tensor([[*prefix, *string]])).logits[0].log_softmax(-1)
            naive = sum(float(log_probs[len(prefix) - 1 + i, t]) for i, t in enumerate(string))
            assert found[index, k] == pytest.approx(naive, abs=1e-4)


def test_it_agrees_with_the_scorer_of_training():
    model = tiny_model(6, seed=3)
    prefixes = [[4, 5, 1], [1, 2, 3], [5, 4, 4]]
    found = string_log_probs(model, prefixes, ALPHABET, STOP, 2)
    strings = [(*string_at(i, ALPHABET), STOP) for i in range(len(found))]
    np.testing.assert_allclose(found, Scorer(model).score(prefixes, strings), atol=1e-4)


def test_all_strings_of_a_whole_vocabulary_have_probability_below_one():
    found = string_log_probs(tiny_model(4), [[2, 3]], (1, 2, 3), 0, 5)
    assert 0.0 < math.exp(np.logaddexp.reduce(found[:, 0])) < 1.0


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="holds the token 0"):
        string_log_probs(tiny_model(4), [[1]], (0, 1), 0, 1)
    with pytest.raises(ValueError, match="one length"):
        string_log_probs(tiny_model(4), [[1], [1, 2]], (1,), 0, 1)
