"""Verdicts against binomial sums by hand, SciPy's tests, and simulated power; a sentence for each case."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp, ttest_rel

from infoagent.analysis.verdict import (
    at_equal_length,
    compare_line,
    detectable_share,
    holm,
    mcnemar,
    mcnemar_power,
    number,
    verdict,
    with_holm,
)


def paired(won, lost, both=0, neither=0):
    new = [1] * won + [0] * lost + [1] * both + [0] * neither
    old = [0] * won + [1] * lost + [1] * both + [0] * neither
    return np.array(new, float), np.array(old, float)


def compare(new, old, documents=None, new_tokens=20.0, old_tokens=20.0, binary=False, higher=True, **more):
    n = len(new)
    tokens = [np.broadcast_to(np.asarray(t, float), n) for t in (new_tokens, old_tokens)]
    return compare_line("x", new, old, range(n) if documents is None else documents, *tokens, binary, higher, **more)


def test_mcnemar_is_a_binomial_sum_by_hand():
    # 7 to 1: 2 · (C(8,0) + C(8,1)) / 2⁸
    assert mcnemar(*paired(7, 1, 20, 5)) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar(*paired(1, 7, 20, 5)) == pytest.approx(2 * (1 + 8) / 256)
    assert mcnemar(*paired(6, 0)) == pytest.approx(2 / 64)
    assert mcnemar(*paired(3, 3, 9)) == 1.0
    assert mcnemar(*paired(0, 0, 9)) == 1.0


def test_continuous_p_is_the_paired_t_test_of_documents():
    rng = np.random.default_rng(0)
    new, old = rng.normal(0.3, 1, size=30), rng.normal(size=30)
    line = compare(new, old)
    expected = ttest_rel(new, old)
    assert line["p"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (line["low"], line["high"]) == pytest.approx((interval.low, interval.high))
    documents = np.arange(30) // 3
    line = compare(new, old, documents)
    means = (new - old).reshape(10, 3).mean(axis=1)
    assert line["p"] == pytest.approx(ttest_1samp(means, 0).pvalue)
    assert (line["n"], line["documents"]) == (30, 10)


def test_binary_with_one_question_a_document_is_mcnemar_and_else_t_with_a_note():
    new, old = paired(12, 2, 10, 6)
    line = compare(new, old, binary=True)
    assert line["test"] == "McNemar, exact"
    assert line["p"] == pytest.approx(binomtest(12, 14).pvalue)
    assert line["difference"] == pytest.approx(10 / 30)
    shared = compare(new, old, documents=np.arange(30) // 2, binary=True)
    assert shared["test"] == "paired t over documents"
    assert "independent" in shared["notes"][0]


@pytest.mark.parametrize(("discordance", "n"), [(0.2, 60), (0.4, 30), (0.05, 200)])
def test_the_detectable_share_is_found_with_80_percent(discordance, n):
    difference = detectable_share(discordance, n)
    rate = max(discordance, difference)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [(rate + difference) / 2, (rate - difference) / 2, 1 - rate], size=20_000)[:, :2]
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    shown = [binomtest(int(w), int(w + lost)).pvalue < 0.05 if w + lost else False for w, lost in pairs]
    assert counts[shown].sum() / 20_000 == pytest.approx(0.8, abs=0.012)


def test_power_without_a_difference_is_at_most_the_level():
    for n in (10, 30, 100):
        assert mcnemar_power(0.0, 0.3, n) <= 0.05


def test_few_questions_show_nothing():
    assert detectable_share(0.5, 5) is None  # five to none has p = 1/16
    line = compare(*paired(5, 0), binary=True)
    assert "detectable" not in line
    assert line["verdict"] == "not distinguishable"
    assert line["sentence"] == "not distinguishable with n = 5: +1.0"


def test_the_continuous_detectable_difference_is_found_with_80_percent():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=30)
    found = compare(noise, np.zeros(30))["detectable"]
    spread = np.std(noise, ddof=1)
    shown = [ttest_1samp(rng.normal(found, spread, size=30), 0).pvalue < 0.05 for _ in range(1500)]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.035)


NOISE = np.random.default_rng(7).normal(size=30)
NOISE = (NOISE - NOISE.mean()) / NOISE.std(ddof=1) * 0.75  # mean 0, so that the sentences are the same everywhere


@pytest.mark.parametrize(
    ("shift", "tokens", "higher", "expected"),
    [
        (0.5, 20, True, "better at equal length: +0.50 nats [0.22, 0.78], n = 30"),
        (0.5, 10, True, "better and shorter: +0.50 nats [0.22, 0.78], n = 30; 50 % shorter"),
        (0.5, 30, True, "better but longer: +0.50 nats [0.22, 0.78], n = 30; 50 % longer"),
        (-0.5, 21, True, "worse at equal length: −0.50 nats [−0.78, −0.22], n = 30"),
        (-0.5, 10, True, "worse but shorter: −0.50 nats [−0.78, −0.22], n = 30; 50 % shorter"),
        (-0.5, 30, True, "worse and longer: −0.50 nats [−0.78, −0.22], n = 30; 50 % longer"),
        (-0.5, 20, False, "better at equal length: −0.50 nats [−0.78, −0.22], n = 30"),
        (0.1, 20, True, "not distinguishable with n = 30 (a difference of 0.40 nats would be): +0.10 nats [−0.18, 0.38]"),
        (0.1, 12, True, "not distinguishable with n = 30 (a difference of 0.40 nats would be): +0.10 nats [−0.18, 0.38]; 40 % shorter"),
    ],
)  # fmt: skip
def test_sentences(shift, tokens, higher, expected):
    line = compare(shift + NOISE, np.zeros(30), new_tokens=tokens, higher=higher, unit="nats")
    assert line["sentence"] == expected
    assert line["sentence"].startswith(line["verdict"].split(",")[0])


def test_questions_that_never_differ_are_the_same_and_have_no_interval():
    line = compare(*paired(0, 0, 20, 10), binary=True, new_tokens=10)
    assert line["verdict"] == "the same, and shorter"
    assert line["sentence"] == "the same, and shorter: no question differs, n = 30; 50 % shorter"
    assert "low" not in line
    assert "high" not in line
    json.dumps(line, allow_nan=False)


def test_a_gain_that_length_alone_brings_is_gone_at_equal_length():
    rng = np.random.default_rng(2)
    old_tokens = rng.uniform(15, 30, size=60)
    log_ratio = rng.normal(0.3, 0.3, size=60)
    new_tokens = (1 + old_tokens) * np.exp(log_ratio) - 1
    gain = 1.0 * log_ratio + 0.1 * rng.normal(size=60)
    line = compare(gain, np.zeros(60), new_tokens=new_tokens, old_tokens=old_tokens)
    assert line["verdict"] == "better but longer"
    found = line["at_equal_length"]
    assert found["low"] < 0 < found["high"]
    assert "at equal length" in line["sentence"].split(";")[-1]
    intercept = np.polyfit(log_ratio, gain, 1)[1]
    assert found["value"] == pytest.approx(intercept)


def test_the_adjusted_interval_covers_where_the_spread_grows():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        ratio = rng.normal(0.1, 0.3, size=25)
        found = at_equal_length(0.5 + ratio + (0.1 + np.abs(ratio)) * rng.normal(size=25), ratio)
        hits += found[1] <= 0.5 <= found[2]
    assert 0.92 <= hits / 400 <= 0.98


def test_equal_length_is_not_extrapolated_to():
    assert at_equal_length(np.arange(10.0), np.linspace(0.1, 0.5, 10)) is None
    assert at_equal_length(np.arange(5.0), np.linspace(-0.5, 0.5, 5)) is None
    line = compare(0.5 + NOISE, np.zeros(30), new_tokens=40)
    assert "at_equal_length" not in line
    assert any("no adjusted" in note for note in line["notes"])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    lines = with_holm([compare(0.5 + NOISE, np.zeros(30)), compare(np.zeros(30), np.zeros(30)), compare(NOISE, np.zeros(30))])
    assert lines[0]["p_holm"] == pytest.approx(2 * lines[0]["p"])  # two lines have a p
    assert "p_holm" not in lines[1]


@pytest.mark.parametrize(
    ("value", "text"), [(0.284, "0.28"), (-12.3, "−12"), (0.00314, "0.0031"), (0.0, "0"), (1e-9, "0"), (123.4, "123")]
)
def test_numbers_have_two_digits_that_count(value, text):
    assert number(value) == text


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        compare([], [])
    with pytest.raises(ValueError, match="not finite"):
        compare([math.nan, 1.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="0 or 1"):
        compare([0.5, 1.0], [0.0, 1.0], binary=True)
    with pytest.raises(ValueError, match="write something"):
        verdict([1.0, 2.0], [0.0, 1.0], "ab", [5, 5], [0, 0], False)
