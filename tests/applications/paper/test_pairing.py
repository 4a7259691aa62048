"""Ratios of two compressors on the same documents: the interval against simulation, by hand, and where there are no pairs."""

import math

import numpy as np
import pytest

from infoagent.applications.paper.claims import HOLDS, UNASKED, Missing, check_claims, ratio
from infoagent.applications.paper.pairing import relative_values
from infoagent.applications.paper.published import Ahead, Direction, Near, Published
from infoagent.records.files import grid_of


def side(values):
    mean = float(np.mean(values))
    half = 2.0 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    relative = {str(d): x / mean - 1 for d, x in enumerate(values)}
    return {"value": mean, "low": mean - half, "high": mean + half, "documents": len(values), "relative": relative}


def test_its_interval_covers_and_is_narrower_than_that_of_two_apart():
    """Two compressors on 40 documents, some longer than others for both; the true ratio is 1.5."""
    rng = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(600):
        hard = rng.gamma(4, 0.25, 40)
        over, under = (side(mean * hard + rng.normal(0, 0.2, 40)) for mean in (1.5, 1.0))
        found = ratio(over, under)
        covered += found["low"] < 1.5 < found["high"]
        apart = ratio(*({k: v for k, v in s.items() if k != "relative"} for s in (over, under)))
        widths.append((found["high"] - found["low"]) / (apart["high"] - apart["low"]))
    assert 0.92 <= covered / 600 <= 0.98
    assert np.mean(widths) < 0.8


@pytest.mark.parametrize("change", [lambda r: {}, lambda r: {f"other {d}": x for d, x in r.items()}])
def test_without_the_same_documents_the_two_stand_apart(change):
    over, under = side([1.0, 2.0, 3.0]), side([2.0, 2.5, 3.0])
    unknown = [{k: v for k, v in s.items() if k != "relative"} for s in (over, under)]
    assert ratio({**over, "relative": change(over["relative"])}, under) == ratio(*unknown) != ratio(over, under)


def test_pairs_that_never_differ_are_no_reason_to_be_sure():
    one = side([1.0, 0.0, 1.0, 1.0])
    found = ratio(one, dict(one))
    assert found["high"] > 1 > found["low"]


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("over", "under"), [(1.0, 1.0), (1.0, 0.0), (0.3, 0.1)])
def test_values_that_no_document_differs_in_decide_nothing(over, under, same):
    """Three answers of three right: Clopper and Pearson's interval reaches down to 0.29, t's has no width."""
    sides = [side([value] * 3) if value else {"value": 0.0, "low": 0.0, "high": 0.0, "documents": 3} for value in (over, under)]
    if not same:
        sides[1].pop("relative", None)
    with pytest.raises(Missing, match="no ratio" if under == 0 else "the spread is unknown"):
        ratio(*sides)
    points = [
        {"data": "d", "label": label, "documents": 3, "measures": {}, "predictors": {"reads": {"accuracy": value}}}
        for label, value in zip("ba", sides, strict=True)
    ]
    asked = [
        Published("f", "q", "s", question)
        for question in (
            Near("accuracy", ((("b", None), ("a", None)),), 1.0),
            Direction("accuracy", ((("b", None), ("a", None)),), 1.6),
            Ahead(("b",), "a", 4.0),
        )
    ]
    assert [(r["verdict"], r["ours"]) for r in check_claims("f", points, {}, asked)] == [(UNASKED, None)] * 3


def test_one_side_that_never_differs_has_the_spread_of_the_pairs_alone():
    constant, other = side([1.0] * 4), side([1.0, 0.0, 1.0, 0.0])
    found = ratio(constant, other)
    half = 3.1824 * np.std(list(other["relative"].values()), ddof=1) / 2  # t with 3 degrees of freedom
    assert math.log(found["high"] / found["value"]) == pytest.approx(half, rel=1e-4)
    with pytest.raises(Missing, match="the spread is unknown"):
        ratio(constant, {**other, "relative": {}})
    counted = ratio({"value": 6.0}, other)  # a count has none
    assert counted["low"] < counted["value"] == 12.0


def compression(label, document, tokens, log_probs=(-1.0, -3.0), **more):
    return {
        "kind": "compression", "key": f"{label} {document}", "status": "ok", "text": "z", "finish": "stop",
        "compressor": {"label": label, "kind": "lm", "model": {"name": "m"}, "prompt": {}},
        "data": {"name": "d", "revision": "r", "split": "test"}, "problem_id": document, "document_id": document, "sample": 0, "seed": 0,
        "rate_tokens": tokens, "rate_bytes": 1, "candidates": ["source", "random"], "log_probs": list(log_probs), **more,
    }  # fmt: skip


def prediction(label, document, correct, **more):
    z = compression(label, document, 1)
    kept = {k: z[k] for k in ("compressor", "data", "problem_id", "document_id", "sample", "seed")}
    about = {"kind": "prediction", "key": f"{z['key']} read", "compression_key": z["key"], "status": "ok"}
    return {**kept, **about, "predictor": {"name": "reader", "label": "reads"}, "correct": correct, **more}


def test_relative_values_by_hand():
    rows = [compression("a", "x", 10), compression("a", "y", 30), prediction("a", "x", True), prediction("a", "y", False)]
    found = relative_values(grid_of(rows))
    assert found["d", "a", None, "tokens"] == {"x": -0.5, "y": 0.5}
    assert found["d", "a", "reads", "accuracy"] == {"x": 1.0, "y": -1.0}
    assert found["d", "a", None, "mi_nats"] == pytest.approx({"x": 0.0, "y": 0.0})
    assert found["d", "a", None, "bits_per_token"] == pytest.approx({"x": 0.5, "y": -0.5})  # of a ratio: MI's less the tokens'
    assert ("d", "a", None, "hard_nats") not in found  # no counterfactuals were scored


def test_what_failed_has_no_pairs():
    rows = [compression("a", "x", 10), compression("a", "y", None, status="failed", cause="timeout", error="timeout")]
    rows += [prediction("a", "x", True), prediction("a", "y", None, status="failed", cause="timeout", error="timeout")]
    assert relative_values(grid_of(rows)) == {}


def test_pairs_decide_what_two_apart_leave_open():
    """Nine questions of 24 are right from b alone, none from a alone: McNemar's test says so too (p = 0.004)."""
    right = {"a": [1] * 13 + [0] * 11, "b": [1] * 22 + [0] * 2}
    points, rows = [], []
    for label, of in right.items():
        mean, half = np.mean(of), 2.07 * np.std(of, ddof=1) / math.sqrt(24)
        value = {"value": mean, "low": mean - half, "high": mean + half}
        points.append({"data": "d", "label": label, "documents": 24, "measures": {}, "predictors": {"reads": {"accuracy": value}}})
        rows += [prediction(label, str(d), bool(x)) for d, x in enumerate(of)]
    relative = relative_values(grid_of(rows))
    asked = [
        Published("f", "q", "s", Direction("accuracy", ((("b", None), ("a", None)),), 1.6)),
        Published("f", "q", "s", Ahead(("b",), "a", 4.0)),
    ]
    apart, paired = (check_claims("f", points, {}, asked, known) for known in ({}, relative))
    assert [r["verdict"] for r in paired] == [HOLDS, HOLDS]
    widths, wider = ([r["ours"]["high"] - r["ours"]["low"] for r in rows] for rows in (paired, apart))
    assert all(a < 0.9 * b for a, b in zip(widths, wider, strict=True))
