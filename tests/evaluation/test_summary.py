"""Summaries and comparisons from hand-made records."""

import math
from dataclasses import replace

import numpy as np
import pytest

from infoagent.analysis.comparison import compare
from infoagent.evaluation.summary import estimate, summarise
from infoagent.information import paired_difference
from infoagent.records.grid import PredictorIdentity, record_of


def record(problem, label, log_probs, tokens=10, kept=True, sample=0, status="ok", **more):
    base = {
        "key": f"{label}{problem}{sample}", "kind": "compression", "status": status,
        "compressor": {"label": label, "kind": "lm"}, "data": {"name": "d", "revision": "r", "split": "test"},
        "problem_id": problem, "document_id": problem, "sample": sample, "text": "z", "finish": "stop",
        "rate_tokens": tokens, "rate_bytes": 3 * tokens, "fact_kept": kept, "unsupported": [],
        "candidates": ["source", "random", "random", "counterfactual"], "log_probs": log_probs,
    }  # fmt: skip
    if status != "ok":
        del base["log_probs"]
    return record_of({**base, **more})


def prediction(problem, label, correct, nll=1.0):
    row = {
        "key": f"p{label}{problem}", "kind": "prediction", "status": "ok", "compressor": {"label": label, "kind": "lm"},
        "data": {"name": "d", "revision": "r", "split": "test"}, "predictor": {"name": "m"}, "problem_id": problem,
        "document_id": problem, "sample": 0, "correct": correct, "answer_nll_nats": nll,
        "compression_key": f"{label}{problem}0",
    }  # fmt: skip
    return record_of(row)


FROZEN = [record(p, "frozen", [-10.0, -9.0 - i, -12.0, -10.5], tokens=20 + i, kept=False) for i, p in enumerate("abc")]
TRAINED = [record(p, "trained", [-10.0, -19.0 - i, -22.0, -16.5], tokens=10) for i, p in enumerate("abc")]


def test_easy_and_hard_terms_use_their_own_columns():
    row = FROZEN[0]
    easy = math.log(3) - 10 - np.logaddexp.reduce([-10.0, -9.0, -12.0])
    hard = math.log(2) - 10 - np.logaddexp(-10.0, -10.5)
    assert row.mi_nats(("random", "topic", "sibling")) == pytest.approx(easy)
    assert row.mi_nats(("counterfactual",)) == pytest.approx(hard)
    assert estimate(FROZEN, ("counterfactual",)).n_documents == 3
    assert estimate(FROZEN, ("topic",)) is None


def test_summary_counts_failures_and_keeps_them_out_of_the_values():
    failed = record("d", "frozen", None, status="failed", error="scoring: NaN", rate_tokens=1000)
    [summary] = summarise([*FROZEN, failed, prediction("a", "frozen", True), prediction("b", "frozen", False)], price=0.1)
    assert summary.failed == 1
    assert summary.n_compressions == 4
    assert summary.values["rate/tokens"].value == pytest.approx(21.0)
    assert summary.values["distortion/fact_missing"].value == 1.0
    assert summary.predictors["m"].values["distortion/error"].value == 0.5
    reward = np.mean([r.mi_nats(("random", "counterfactual")) - 0.1 * r.rate_tokens for r in FROZEN])
    assert summary.values["objective/nats"].value == pytest.approx(reward)


def test_an_upper_bound_stands_only_where_the_scorer_drew_every_text():
    """Records from before `sampler` was told: who wrote decides. By hand: −10 less the log mean of the two others."""

    def by(**who):
        return [replace(r, compressor=replace(r.compressor, **who)) for r in FROZEN]

    upper = np.mean([-10 - (np.logaddexp.reduce([-9.0 - i, -12.0]) - math.log(2)) for i in range(3)])
    assert estimate(FROZEN, ("random",)).leave_one_out_nats == pytest.approx(upper)
    trained = by(extra={"model": {"name": "m", "adapter": "a"}})
    for rows in (by(kind="lead"), trained, [*FROZEN[:2], trained[2]], by(kind="endpoint")):
        found = estimate(rows, ("random",))
        assert np.isnan([found.leave_one_out_nats, found.midpoint_nats, *found.midpoint_ci_nats]).all()
        assert any("the scorer did not draw" in warning for warning in found.warnings)
        assert found.infonce_nats == estimate(FROZEN, ("random",)).infonce_nats


def test_an_upper_bound_stands_only_among_negatives_of_one_kind():
    """Near documents are more among mixed ones than in any pool."""
    for kinds, bounded in ((("random",), True), (("counterfactual",), True), (("random", "counterfactual"), False)):
        found = estimate(FROZEN, kinds)
        assert math.isfinite(found.leave_one_out_nats) == math.isfinite(found.midpoint_nats) == bounded
        assert any("near documents are more" in warning for warning in found.warnings) != bounded


def test_comparison_is_paired_and_signed():
    values = compare(
        [*TRAINED, *(prediction(p, "trained", True) for p in "ab")],
        [*FROZEN[::-1], *(prediction(p, "frozen", False) for p in "ab")],
        price=0.1,
    )
    tokens = values["rate/tokens"]
    assert (tokens["trained"], tokens["frozen"], tokens["difference"]["value"]) == (10.0, 21.0, -11.0)
    expected = paired_difference([10, 10, 10], [20, 21, 22])
    assert (tokens["difference"]["low"], tokens["difference"]["high"]) == pytest.approx((expected.low, expected.high))
    assert values["distortion/error"]["difference"]["value"] == -1.0
    assert values["mi/hard_nats"]["difference"]["value"] > 0
    assert values["distortion/fact_missing"]["difference"]["value"] == -1.0


def test_unpaired_records_are_counted_not_compared():
    with pytest.warns(RuntimeWarning, match="unknown"):
        values = compare(TRAINED[:1], FROZEN, price=0.1)
    assert values["rate/tokens"]["pairs"] == 1
    assert values["rate/tokens"]["unpaired"] == 2
    assert math.isnan(values["rate/tokens"]["difference"]["low"])


def test_numbers_of_several_predictors_stand_apart_and_are_judged_apart():
    def by(title, rows):
        return [replace(r, predictor=PredictorIdentity(name="m", label=title), key=f"{title}{r.key}") for r in rows]

    frozen = [prediction(p, "frozen", False) for p in "abc"]
    right, wrong = [prediction(p, "trained", True) for p in "abc"], [prediction(p, "trained", False) for p in "abc"]
    found = compare([*TRAINED, *by("one", right), *by("two", wrong)], [*FROZEN, *by("one", frozen), *by("two", frozen)], price=0.1)
    assert found["distortion/error · one"]["difference"]["value"] == -1
    assert found["distortion/error · two"]["difference"]["value"] == 0
    assert found["distortion/error · one"]["verdict"]["length_ratio"] < 1
    assert "distortion/error" not in found


def test_draws_without_a_z_count_as_nothing_told_and_keep_the_bound():
    """Four equally likely documents; the form fits for the first alone, where the same z comes each time. Who knows whether
    there is a z knows I(X; Z) = H(1/4) nats. Over the draws with a z alone InfoNCE says log 4."""
    floor = -400.0
    told = record("a", "form", [0.0, floor, floor, floor], reply="{}")
    lost = [record(p, "form", None, status="failed", final=True, reply="", cause="form: no JSON") for p in "bcd"]
    [summary] = summarise([told, *lost], price=0.0)
    truth = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert math.log(4) / 4 < truth < math.log(4)
    assert summary.estimates["all"].infonce_nats == pytest.approx(math.log(4))
    assert summary.values["mi/of_all_nats"].value == pytest.approx(math.log(4) / 4)
    assert summary.values["mi/hard_of_all_nats"].value == pytest.approx(math.log(2) / 4)
    texts = [record(p, "text", [0.0, 0.0, 0.0, 0.0]) for p in "abcd"]
    values = compare([told, *lost], texts, price=0.0)
    assert values["mi/nats"]["pairs"] == 1
    assert (values["mi/of_all_nats"]["pairs"], values["mi/of_all_nats"]["unpaired"]) == (4, 0)
    assert values["mi/of_all_nats"]["difference"]["value"] == pytest.approx(math.log(4) / 4)
    assert "mi/of_all_nats" not in compare(texts, texts, price=0.0)


def test_a_predictor_that_failed_answered_neither_right_nor_wrong():
    """Four draws: one right, one wrong, one without a z, which is wrong, and one that the predictor failed on: 1 of 3."""
    asked = [replace(record(p, "form", [0.0, -9.0, -9.0, -9.0], reply="{}"), answer="x") for p in "abc"]
    lost = replace(record("d", "form", None, status="failed", final=True, reply="", cause="form: no JSON"), answer="x")
    failed = replace(prediction("c", "form", None), status="failed", cause="timeout")
    answers = [prediction("a", "form", True), prediction("b", "form", False), failed]
    [summary] = summarise([*asked, lost, *answers], price=0.0)
    found = summary.predictors["m"].right_of_all
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    assert summary.predictors["m"].failed == 1


def test_draws_without_a_z_count_though_the_server_hid_all_it_wrote():
    """Two of four thoughts took all tokens, and nothing of them was sent: their share is told and their information is 0."""
    told = [record(p, "server", [0.0, -400.0, -400.0, -400.0]) for p in "ab"]
    lost = [record(p, "server", None, status="failed", final=True, cause="no end of the thought") for p in "cd"]
    [summary] = summarise([*told, *lost], price=0.0)
    assert (summary.without_z.value, summary.without_z.n) == (0.5, 4)
    assert summary.without_z.causes == {"no end of the thought": 2}
    assert summary.values["mi/of_all_nats"].value == pytest.approx(math.log(4) / 2)
    busy = [record(p, "server", None, status="failed", cause="timeout") for p in "cd"]  # nothing was drawn: it can be asked again
    [summary] = summarise([*told, *busy], price=0.0)
    assert summary.without_z is None
    assert "mi/of_all_nats" not in summary.values
    [summary] = summarise([*told, *lost, *[replace(r, key=f"{r.key} again") for r in busy]], price=0.0)
    assert (summary.without_z.n, summary.without_z.causes) == (4, {"no end of the thought": 2})  # a timeout is no draw
