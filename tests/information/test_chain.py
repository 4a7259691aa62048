"""The chain of difficulty against a naive twin, cell by cell, and against a channel built of topic and detail."""

import json
import math

import exact_channels
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.information import channels, estimate_chain, estimate_mi


def naive(row, own, topic):
    p = [math.exp(v) for v in row]
    same = [p[k] for k in range(len(p)) if topic[k] == topic[own]]
    everything, group = sum(p) / len(p), sum(same) / len(same)
    return math.log(p[own] / everything), math.log(group / everything), math.log(p[own] / group)


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_equals_the_naive_twin_and_adds_up_for_every_compression(documents, topics, seed):
    rng = np.random.default_rng(seed)
    topic = rng.integers(topics, size=documents)
    source = np.append([0, 1], rng.integers(documents, size=6))
    log_probs = -rng.gamma(1.0, 3.0, size=(8, documents))
    chain = estimate_chain(log_probs, source, topic=topic)
    parts = np.array([naive(row, own, topic) for row, own in zip(log_probs.tolist(), source, strict=True)])
    for term, column in zip((chain.random, chain.topic, chain.within_topic), parts.T, strict=True):
        assert term.per_compression_nats == pytest.approx(column, abs=1e-9)
        assert term.value_nats <= term.ceiling_nats + 1e-9
    assert chain.topic.value_nats + chain.within_topic.value_nats == pytest.approx(chain.random.value_nats, abs=1e-9)
    assert chain.topic.ceiling_nats + chain.within_topic.ceiling_nats == pytest.approx(chain.random.ceiling_nats)
    assert chain.random.value_nats == pytest.approx(estimate_mi(log_probs, source).infonce_nats)
    assert chain.random.ci_nats == pytest.approx(estimate_mi(log_probs, source).ci_nats)
    sizes = np.bincount(topic)
    assert chain.alone_in_topic == sum(sizes[topic[k]] == 1 for k in set(source.tolist()))


def test_a_channel_of_topic_and_detail_gives_each_its_information():
    """Document = (topic, detail), compression = (noisy topic, noisy detail): I(C;Z) and I(X;Z|C) are known."""
    first, second = channels.symmetric(3, 0.3), channels.symmetric(4, 0.1)
    log_probs, source, weights = exact_channels.enumerate_outputs(channels.product(first, second))
    repeat = np.round(weights * 24_000).astype(int)  # equal rows in place of weights
    chain = estimate_chain(np.repeat(log_probs, repeat, axis=0), np.repeat(source, repeat), topic=np.repeat(["a", "b", "c"], 4))
    assert chain.topic.value_nats == pytest.approx(exact_channels.symmetric_mi_nats(3, 0.3), abs=1e-3)
    assert chain.within_topic.value_nats == pytest.approx(exact_channels.symmetric_mi_nats(4, 0.1), abs=1e-3)
    assert chain.topic.ceiling_nats == pytest.approx(math.log(3))
    assert chain.within_topic.headroom_nats == pytest.approx(math.log(4) - chain.within_topic.value_nats)


def test_a_compression_that_only_names_its_topic_saturates_there_and_nowhere_else():
    topic = np.repeat([0, 1], 3)
    log_probs = np.where(topic[:, None] == topic[None, :], -1.0, -50.0)
    chain = estimate_chain(log_probs, np.arange(6), topic=topic)
    assert (chain.topic.saturation, chain.within_topic.saturation, chain.random.saturation) == (1.0, 0.0, 0.0)
    assert chain.topic.value_nats == pytest.approx(math.log(2))
    assert chain.within_topic.value_nats == pytest.approx(0.0)


def test_shuffled_topics_leave_nothing_to_the_topic_term():
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(10), 6)
    log_probs = np.where(topic[:, None] == topic[None, :], -1.0, -6.0) - rng.random((60, 60))
    right = estimate_chain(log_probs, np.arange(60), topic=topic).topic.value_nats
    wrong = estimate_chain(log_probs, np.arange(60), topic=rng.permutation(topic)).topic.value_nats
    assert right > 1.5
    assert wrong < 0.5 * right
    assert estimate_chain(log_probs, rng.permutation(60), topic=topic).topic.value_nats < 0


def test_documents_alone_in_their_topic_are_counted_and_named():
    log_probs = -np.random.default_rng(1).gamma(1.0, 3.0, size=(4, 4))
    chain = estimate_chain(log_probs, np.arange(4), topic=["a", "a", "b", "c"])
    assert chain.alone_in_topic == 2
    assert any("2 of 4 documents are alone in their topic (2, 3)" in note for note in chain.warnings)
    assert chain.within_topic.per_compression_nats[2:] == pytest.approx([0.0, 0.0])


def test_all_alone_have_no_saturation_within_and_one_topic_is_said():
    log_probs = -np.random.default_rng(1).gamma(1.0, 3.0, size=(4, 4))
    assert math.isnan(estimate_chain(log_probs, np.arange(4), topic=np.arange(4)).within_topic.saturation)
    assert any("one topic only" in note for note in estimate_chain(log_probs, np.arange(4), topic=[0] * 4).warnings)


def test_the_fact_term_scores_a_document_against_its_own_counterfactuals():
    log_probs = [[-1.0, -9.0], [-9.0, -2.0], [-3.0, -9.0]]
    other = [[-2.0, -5.0], [-2.5, math.nan], [math.nan, math.nan]]
    chain = estimate_chain(log_probs, [0, 1, 0], counterfactual=other)
    expected = [
        math.log(3) - 1 - math.log(math.exp(-1) + math.exp(-2) + math.exp(-5)),
        math.log(2) - 2 - math.log(math.exp(-2) + math.exp(-2.5)),
    ]
    assert chain.fact.per_compression_nats == pytest.approx(expected)
    assert chain.fact.value_nats == pytest.approx(sum(expected) / 2)
    assert chain.fact.ceiling_nats == pytest.approx((math.log(3) + math.log(2)) / 2)
    assert (chain.fact.n_compressions, chain.fact.n_documents, chain.without_counterfactual) == (2, 2, 1)
    assert any("1 of 3 compressions have no counterfactual" in note for note in chain.warnings)


def test_what_was_not_measured_is_none_and_the_rest_is_json():
    chain = estimate_chain([[-1.0, -2.0], [-3.0, -1.0]], [0, 1])
    assert chain.topic is chain.within_topic is chain.fact is None
    found = json.loads(json.dumps(chain.to_dict()))
    assert found["topic"] is None
    assert found["random"]["value_nats"] == pytest.approx(chain.random.value_nats)
    assert found["random"]["headroom_nats"] == pytest.approx(math.log(2) - chain.random.value_nats)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"topic": ["a"]}, "one label for each of 2 columns"),
        ({"counterfactual": [[-1.0]]}, "one row for each of 2"),
        ({"counterfactual": [[math.nan, -1.0], [-1.0, -1.0]]}, r"counterfactual\[0, 0\] is NaN before a number"),
        ({"counterfactual": [[1.0], [-1.0]]}, r"counterfactual\[0, 0\] = 1"),
        ({"counterfactual": [[math.nan], [math.nan]]}, "no number"),
        ({"document": ["a"]}, "document has shape"),
    ],
)
def test_what_does_not_fit_is_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        estimate_chain([[-1.0, -2.0], [-3.0, -1.0]], [0, 1], **keywords)
    with pytest.raises(ValueError, match="NaN"):
        estimate_chain([[-1.0, math.nan], [-3.0, -1.0]], [0, 1])
