"""The analysis of a small simulated grid against hand counts and direct calls."""

import json
import math

import numpy as np
import pytest

from infoagent.analysis.curves import analyse
from infoagent.analysis.explaining import explain, family
from infoagent.rate_distortion.bjontegaard import Points, bd_tokens
from infoagent.rate_distortion.controlled import control_for_length
from infoagent.records.files import grid_of
from infoagent.records.grid import CompressorIdentity, compressions_of, predictions_of, record_of
from infoagent.records.json_form import from_json

QUESTIONS, DOCUMENTS = 40, 20
BUDGETS = (6, 12, 24, 48)
KINDS = {"frozen": "lm", "lead": "lead"}


def compressor(curve, budget):
    kind = KINDS.get(curve, curve)
    return {
        "label": f"{curve} {budget}",
        "curve": curve,
        "kind": kind,
        "prompt": {},
        "model": {"name": "org/Tiny-0.5B-Instruct", "adapter": None},
    }


def grid(seed=0, predictors=("small", "large"), data="d", curves=("frozen", "lead")):
    """`lead` needs twice the tokens of `frozen` for the same accuracy, question by question."""
    rng = np.random.default_rng(seed)
    easy = rng.normal(size=QUESTIONS)
    where = {"name": data, "revision": "r", "split": "test"}
    records = []
    for b, budget in enumerate(BUDGETS):
        luck = rng.normal(size=(QUESTIONS, 3))
        for curve in curves:
            for q in range(QUESTIONS):
                tokens = int(budget * (2 if curve == "lead" else 1) + q % 3)
                nats = 1.2 * (b + 1) / 4 + 0.1 * luck[q, 0]
                gap = -math.log(math.expm1(max(0.05, 1.6 - min(nats, 1.5))) / 2)  # of each negative to the source
                head = {
                    "status": "ok",
                    "compressor": compressor(curve, budget),
                    "data": where,
                    "problem_id": f"q{q}",
                    "document_id": f"d{q * DOCUMENTS // QUESTIONS}",
                    "sample": 0,
                    "seed": 0,
                }
                key = f"{data} {curve} {budget} {q}"
                records.append(
                    {
                        **head,
                        "key": key,
                        "kind": "compression",
                        "text": "z",
                        "finish": "stop",
                        "rate_tokens": tokens,
                        "rate_bytes": 3 * tokens,
                        "fact_kept": bool(easy[q] + luck[q, 1] + b > 1),
                        "candidates": ["source", "random", "counterfactual"],
                        "log_probs": [-10.0, -10 - gap, -10 - gap],
                    }
                )
                for n, predictor in enumerate(predictors):
                    right = bool(easy[q] + luck[q, 2] + 0.8 * b + 0.5 * n > 1.2)
                    records.append(
                        {
                            **head,
                            "key": f"{key} {predictor}",
                            "kind": "prediction",
                            "compression_key": key,
                            "predictor": {"name": predictor, "label": predictor},
                            "correct": right,
                        }
                    )
    return records


@pytest.fixture(scope="module")
def records():
    return grid()


@pytest.fixture(scope="module")
def found(records):
    return analyse(grid_of(records), seed=0, resamples=100)


def test_what_is_there_and_ready_for_json(found):
    assert [(s["data"], s["predictor"], s["measure"]) for s in found["sets"]] == [("d", "small", "error"), ("d", "large", "error")]
    assert [(s["data"], s["value"]) for s in found["mi"]] == [("d", "hard"), ("d", "all")]
    json.dumps(found, allow_nan=False)


def test_points_are_means_of_documents(found, records):
    [curve, _] = found["sets"][0]["curves"]
    assert curve["curve"] == "frozen"
    assert [p["label"] for p in curve["points"]] == [f"frozen {b}" for b in BUDGETS]
    of = [r for r in records if r["kind"] == "prediction" and r["compressor"]["label"] == "frozen 12"]
    right = np.mean([r["correct"] for r in of if r["predictor"]["name"] == "small"])
    assert curve["points"][1]["value"]["value"] == pytest.approx(right)
    assert curve["points"][1]["distortion"]["value"] == pytest.approx(1 - right)
    assert curve["points"][1]["tokens"]["value"] == pytest.approx(12 + np.mean([q % 3 for q in range(QUESTIONS)]))
    assert curve["points"][1]["tokens"]["n"] == DOCUMENTS
    assert (curve["questions"], curve["left_out"]) == (QUESTIONS, 0)
    assert curve["fit"]["D0"]["low"] <= curve["fit"]["D0"]["high"]
    assert curve["fit"]["clusters"] == DOCUMENTS


def test_half_the_tokens_at_equal_value(found, records):
    for series in (*found["sets"], *found["mi"]):
        [pair] = series["bd"]
        assert (pair["new"], pair["old"]) == ("frozen", "lead")
        ratio = pair["tokens_at_equal_value"]
        assert ratio["value"] == pytest.approx(0.5, abs=0.06)
        assert ratio["low"] <= ratio["value"] <= ratio["high"]
        assert pair["value_at_equal_tokens"]["value"] > 0
    rate, value = ({c: np.zeros((4, DOCUMENTS)) for c in KINDS} for _ in range(2))
    for r in records:
        if r["kind"] == "compression":
            curve, budget = r["compressor"]["curve"], int(r["compressor"]["label"].split()[1])
            at = BUDGETS.index(budget), int(r["document_id"][1:])
            rate[curve][at] += r["rate_tokens"] / 2
            value[curve][at] += record_of(r).mi_nats(("counterfactual",)) / 2
    sides = [Points(rate[c], value[c]) for c in KINDS]
    expected = bd_tokens(*sides, np.random.default_rng(0), 100)
    assert found["mi"][0]["bd"][0]["tokens_at_equal_value"]["value"] == pytest.approx(expected.value)


def test_the_front_holds_the_shorter_of_two_that_know_as_much(found):
    front = found["sets"][0]["front"]
    assert front["labels"] == [f"frozen {b}" for b in BUDGETS]
    assert all(front["share_of_resamples"][f"lead {b}"] < 0.3 for b in BUDGETS)
    assert front["share_of_resamples"]["frozen 6"] == 1.0  # the shortest of all is never beaten


def test_mi_against_accuracy_is_the_direct_call(found, records):
    compressions = {r["key"]: r for r in records if r["kind"] == "compression"}
    rows = [
        (compressions[r["compression_key"]], r["correct"])
        for r in records
        if r["kind"] == "prediction" and r["predictor"]["name"] == "large"
    ]
    direct = control_for_length(
        [record_of(z).mi_nats(("counterfactual",)) for z, _ in rows],
        [float(c) for _, c in rows],
        [z["rate_tokens"] for z, _ in rows],
        [z["problem_id"] for z, _ in rows],
        [z["document_id"] for z, _ in rows],
        [z["compressor"]["label"] for z, _ in rows],
        np.random.default_rng(0),
        100,
    )
    assert found["sets"][1]["mi_accuracy"]["hard"] == {**direct.to_dict(), "left_out": 0}


def test_regression_names_what_it_compares(found):
    regression = found["regression"]
    assert [c["name"] for c in regression["coefficients"]] == [
        "intercept",
        "family[lead]",
        "predictor[small]",
        "tokens_doubled",
        "mi_nats",
    ]
    assert regression["references"] == {"family": "Tiny-Instruct", "predictor": "large"}
    by_name = {c["name"]: c for c in regression["coefficients"]}
    assert by_name["predictor[small]"]["high"] < 0  # the better predictor is the reference
    without = {c["name"]: c for c in regression["without_mi"]["coefficients"]}
    assert "mi_nats" not in without
    assert without["tokens_doubled"]["low"] > 0
    assert without["family[lead]"]["high"] < 0  # one doubling of tokens that it wastes
    assert regression["errors"] == f"sandwich over {DOCUMENTS} clusters"
    assert (regression["rows"], regression["questions"]) == (640, QUESTIONS)


def test_failures_leave_their_question_out_of_the_curve_and_are_counted(records):
    broken = [dict(r) for r in records if r["compressor"]["curve"] == "frozen"]
    lost = next(r for r in broken if r["kind"] == "prediction" and r["problem_id"] == "q3")
    lost |= {"status": "failed", "cause": "timeout", "error": "timeout"}
    del lost["correct"]
    found = analyse(grid_of(broken), resamples=60)
    small, large = (s["curves"][0] for s in found["sets"])
    assert (small["questions"], small["left_out"]) == (QUESTIONS - 1, 1)
    assert (large["questions"], large["left_out"]) == (QUESTIONS, 0)
    assert found["failed"] == {"compression": 0, "prediction": 1}
    assert small["points"][0]["value"]["value"] != pytest.approx(large["points"][0]["value"]["value"])


def test_without_a_predictor_the_asked_fact_is_the_measure(records):
    found = analyse(grid_of([r for r in records if r["kind"] == "compression"]), resamples=60)
    [series] = found["sets"]
    assert (series["predictor"], series["measure"]) == (None, "fact_missing")
    kept = np.mean([r["fact_kept"] for r in records if r["kind"] == "compression" and r["compressor"]["label"] == "lead 6"])
    assert series["curves"][1]["points"][0]["value"]["value"] == pytest.approx(kept)
    assert "refused" in found["regression"]


def test_draws_of_a_question_are_averaged(records):
    """A second draw of each compression that is always wrong halves the accuracy and adds no question."""
    again = []
    for r in records:
        copy = {**r, "key": f"{r['key']} again", "sample": 1}
        if r["kind"] == "prediction":
            copy |= {"compression_key": f"{r['compression_key']} again", "correct": False}
        again.append(copy)
    once, twice = analyse(grid_of(records), resamples=60), analyse(grid_of([*records, *again]), resamples=60)
    first, second = (x["sets"][0]["curves"][0] for x in (once, twice))
    assert second["questions"] == first["questions"]
    assert second["points"][3]["value"]["value"] == pytest.approx(first["points"][3]["value"]["value"] / 2)


def test_too_little_data_is_refused_where_it_is_too_little(records):
    few = [r for r in records if r["document_id"] in ("d0", "d1") and r["compressor"]["label"] != "lead 48"]
    found = analyse(grid_of(few), resamples=60)
    [frozen, lead] = found["sets"][0]["curves"]
    assert "2 documents" in frozen["fit"]["refused"]
    assert "3 points" in lead["fit"]["refused"]
    assert "2 documents" in found["sets"][0]["mi_accuracy"]["hard"]["refused"]
    alone = analyse(grid_of([r for r in few if r["document_id"] == "d0"]), resamples=60)
    assert alone["sets"][0]["curves"][0]["points"][0]["tokens"]["refused"] == "one document has no interval"
    json.dumps([found, alone], allow_nan=False)
    empty = analyse(grid_of([]), resamples=60)
    assert (empty["sets"], empty["mi"]) == ([], [])
    assert "refused" in empty["regression"]


def pairs_of(records):
    made = grid_of(records)
    compressions = {r.key: r for r in compressions_of(made)}
    return [(compressions[r.compression_key], r) for r in predictions_of(made)]


def test_the_regression_leaves_out_what_has_no_coefficient():
    records = grid(curves=("frozen", "lead", "oracle", "closed-book"))
    for r in records:
        if r["kind"] == "prediction" and r["compressor"]["kind"] == "oracle":
            r["correct"] = True
        if r["compressor"]["kind"] == "lm" and r["kind"] == "compression":
            r["parameters"] = 500_000_000
    found = explain(pairs_of(records))
    assert found["left_out_answers"] == 320  # closed-book is no compressor
    reasons = {(row["term"], row.get("level")): row["reason"] for row in found["left_out"]}
    assert reasons["family", "oracle"] == "all 320 answers are right"
    assert reasons["parameters_doubled", None] == "it is the same in every answer"
    assert found["rows"] == 640


def test_a_size_that_the_family_tells_is_given_up_by_name():
    records = grid()
    for r in records:
        if r["kind"] == "compression":  # one size in each family
            r["parameters"] = 10**9 if r["compressor"]["kind"] == "lm" else 3 * 10**9
    found = explain(pairs_of(records))
    [left] = found["left_out"]
    assert left["term"] == "parameters_doubled"
    assert "family[lead]" in left["reason"]


def test_what_a_pair_of_one_family_adds_is_told_from_what_both_do_with_others():
    """Two families of compressors and of readers: a pair of one family answers more than its two margins say, by design."""
    records = grid(curves=("frozen", "other"), predictors=("org/Tiny-3B-Instruct", "org/Small-3B"))
    rng = np.random.default_rng(1)
    for r in records:
        own = r["compressor"]["curve"] == "frozen"
        r["compressor"] = {**r["compressor"], "kind": "lm", "model": {"name": "org/Tiny-0.5B-Instruct" if own else "org/Small-1B"}}
        if r["kind"] == "prediction":
            same = own == ("Tiny" in r["predictor"]["name"])
            r["correct"] = bool(rng.random() < (0.8 if same else 0.4))
    found = {c["name"]: c for c in explain(pairs_of(records))["without_mi"]["coefficients"]}
    assert found["same_family"]["low"] < math.log(0.8 / 0.2) - math.log(0.4 / 0.6) < found["same_family"]["high"]
    assert found["same_family"]["low"] > 0
    one_reader = explain(pairs_of([r for r in records if "Small" not in r.get("predictor", {}).get("name", "")]))
    assert "same_family" not in {c["name"] for c in one_reader["without_mi"]["coefficients"]}
    assert "same_family" not in {row["term"] for row in one_reader["left_out"]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5-Instruct"),
        ("Qwen/Qwen2.5-72B-Instruct", "Qwen2.5-Instruct"),
        ("HuggingFaceTB/SmolLM2-135M", "SmolLM2"),
        ("google/gemma-3-4b-it", "gemma-3-it"),
        ("runs/my-model/", "my-model"),
        ("runs/models/qwen2.5-coder-0.5b-instruct.gguf", "qwen2.5-coder-instruct"),
    ],
)
def test_the_family_of_a_model_is_its_name_without_its_size(name, expected):
    section = {"label": "x", "kind": "lm", "model": {"name": name, "adapter": None}}
    assert family(from_json(CompressorIdentity, section)) == expected
    section["model"]["adapter"] = "runs/a"
    assert family(from_json(CompressorIdentity, section)) == f"{expected} + adapter"
    assert family(CompressorIdentity(label="x", kind="bm25", extra={"model": {"name": name}})) == "bm25"
