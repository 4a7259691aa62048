"""Information of each token: sums to the whole, and tells where it sits."""

import json
import math

import exact_channels
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.information import channels, infonce_terms, summarize_tokens, token_information
from infoagent.information.analysis import token_examples, tokens_among_counterfactuals
from infoagent.information.scores import ScoreMatrix


def naive(token_log_probs, source):
    """Bayes' rule one token at a time, with probabilities."""
    posterior = [1 / len(token_log_probs)] * len(token_log_probs)
    told = []
    for t in range(len(token_log_probs[0])):
        updated = [r * math.exp(row[t]) for r, row in zip(posterior, token_log_probs, strict=True)]
        updated = [u / sum(updated) for u in updated]
        told.append(math.log(updated[source] / posterior[source]))
        posterior = updated
    return told


@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_tokens_add_up_to_the_infonce_term_and_equal_the_naive_twin(documents, tokens, seed):
    rng = np.random.default_rng(seed)
    log_probs = -rng.gamma(1.0, 2.0, size=(documents, tokens))
    source = int(rng.integers(documents))
    found = token_information(log_probs, source)
    whole = infonce_terms(log_probs.sum(axis=1)[None, :], np.array([source]))[0]
    assert found.total_nats == pytest.approx(whole, abs=1e-10)
    assert found.nats_L == pytest.approx(naive(log_probs.tolist(), source), abs=1e-9)
    assert found.posterior_L[-1] == pytest.approx(math.exp(whole) / documents)


def test_a_markov_channel_tells_by_position_what_truncation_says():
    """Mean of i_t over all sequences = I(X; Z_1..t) − I(X; Z_1..t−1), exactly."""
    conditional = channels.ngram(5, 4, np.random.default_rng(0))
    tokens = exact_channels.token_log_probs(conditional, 4)
    total = np.zeros(4)
    for x in range(5):
        for z in range(16):
            total += conditional[x, z] / 5 * token_information(tokens[z], x).nats_L
    values = [channels.mutual_information_nats(exact_channels.truncate(conditional, t, 4)) for t in range(5)]
    assert total == pytest.approx(np.diff(values), abs=1e-12)


def test_a_compression_that_names_its_document_is_identified_from_there():
    log_probs = np.array([[-1.0, -0.1, -2.0, -1.0], [-1.0, -20.0, -2.0, -1.0], [-1.0, -np.inf, -2.0, -1.0]])
    found = token_information(log_probs, 0)
    assert found.identified_after == 2
    assert found.nats_L == pytest.approx([0.0, math.log(3), 0.0, 0.0], abs=1e-8)
    assert token_information(log_probs[:2], 1).identified_after is None


def test_identification_has_to_last_to_the_end():
    log_probs = np.array([[-0.1, -9.0, -0.1], [-9.0, -0.1, -9.0]])
    found = token_information(log_probs, 0)
    assert found.posterior_L[0] > 0.99 > found.posterior_L[1]
    assert found.identified_after == 3


def test_a_wrong_pairing_tells_less_than_nothing():
    log_probs = np.array([[-0.1, -0.1], [-5.0, -5.0]])
    assert token_information(log_probs, 0).total_nats > 0
    assert token_information(log_probs, 1).total_nats < -8


def test_the_summary_adds_up_over_positions_and_counts_who_never_identifies():
    rng = np.random.default_rng(1)
    found = []
    for length in (1, 3, 7, 20, 35, 50):
        log_probs = -rng.gamma(1.0, 1.0, size=(4, length))
        log_probs[0] *= 0.3
        found.append(token_information(log_probs, 0))
    documents = ["a", "a", "b", "c", "d", "e"]
    summary = summarize_tokens(found, documents, parts=4)
    assert sum(f.value for f in summary.by_position_nats) == pytest.approx(summary.total_nats.value)
    totals = [f.total_nats for f in found]
    assert summary.total_nats.value == pytest.approx(np.mean([np.mean(totals[:2]), *totals[2:]]))
    assert summary.total_nats.n == 5
    identified = [f.identified_after for f in found if f.identified_after is not None]
    assert 0 < len(identified) < 6
    assert summary.median_tokens_to_identify == np.median(identified)
    assert 0 < summary.identified.value < 1
    json.dumps(summary.to_dict())
    json.dumps(found[0].to_dict())


def test_an_even_flow_of_information_is_even_over_positions_whatever_the_length():
    """3 tokens over 4 parts: each token gives to the parts that it straddles."""
    even = token_information(np.array([[-0.2] * 3, [-0.2] * 3]), 0)
    assert even.nats_L == pytest.approx([0.0] * 3)
    one = token_information(np.array([[-0.1], [-3.0]]), 0)
    with pytest.warns(RuntimeWarning, match="unknown"):
        parts = summarize_tokens([one], parts=4).by_position_nats
    assert [p.value for p in parts] == pytest.approx([one.total_nats / 4] * 4)


def test_none_identified_has_no_median():
    vague = token_information(np.array([[-1.0, -1.0], [-1.1, -1.0]]), 0)
    summary = summarize_tokens([vague, vague])
    assert math.isnan(summary.median_tokens_to_identify)
    assert summary.identified.value == 0.0


def test_a_compression_whose_document_has_no_counterfactual_is_left_out_among_them_alone():
    parts = np.random.default_rng(0).uniform(-3, -0.1, size=(3, 2, 4))  # compressions, tokens, 3 documents and 1 version
    parts[1, :, 3] = np.nan
    matrix = ScoreMatrix(
        parts[:, :, :3].sum(axis=1),
        np.arange(3),
        counterfactual_CN=parts[:, :, 3:].sum(axis=1),
        token_log_probs_TK=parts.reshape(6, 4).astype(np.float32),
        token_T=np.array(list("abcdef")),
        tokens_C=np.full(3, 2),
        about={"estimand": "I(X;Z|Q)"},
    )
    first, none, last = tokens_among_counterfactuals(matrix)
    assert none is None
    for found, part, source in ((first, parts[0], 0), (last, parts[2], 2)):
        assert found.total_nats == pytest.approx(infonce_terms(part.sum(axis=0)[[source, 3]][None], np.array([0]))[0], rel=1e-5)
    assert [set(row) for row in token_examples(matrix, 3)] == [
        {"id", "tokens", "pool", "counterfactuals"},
        {"id", "tokens", "pool"},
        {"id", "tokens", "pool", "counterfactuals"},
    ]


def test_no_tokens_is_no_position():
    empty = token_information(np.zeros((3, 0)), 1)
    assert (empty.total_nats, empty.identified_after) == (0.0, None)
    with pytest.raises(ValueError, match="1 of 1 compressions hold no token"):
        summarize_tokens([empty])
    with pytest.raises(ValueError, match="no compressions"):
        summarize_tokens([])


@pytest.mark.parametrize(
    ("log_probs", "source", "message"),
    [
        ([[-1.0, -2.0]], 0, "2 documents or more"),
        ([[-1.0], [-2.0]], 2, "source = 2"),
        ([[-1.0], [math.nan]], 0, "1 of 2 cells are NaN"),
        ([[-1.0], [0.5]], 0, r"token_log_probs\[1, 0\] = 0.5"),
        ([[-math.inf], [-1.0]], 0, "impossible"),
    ],
)
def test_what_does_not_fit_is_refused(log_probs, source, message):
    with pytest.raises(ValueError, match=message):
        token_information(log_probs, source)
