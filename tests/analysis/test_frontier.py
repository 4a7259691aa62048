"""A frontier from records made by hand: pairing, clusters, bounds, and what is refused."""

import json
import math

import pytest
from conftest import run_script

from infoagent.analysis.frontier import find_frontier
from infoagent.files import write_json
from infoagent.reporting.frontier import frontier_notes
from infoagent.reporting.page import write_report
from infoagent.types import InputError


def record(data, problem, document, label, adapter, tokens, hard):
    """Two candidates: the InfoNCE term is log 2 − log(1 + e^−lead), so a lead gives the wished `hard`."""
    lead = -math.log(2 / math.exp(hard) - 1)
    return {
        "key": f"{data}-{problem}-{label}",
        "kind": "compression",
        "status": "ok",
        "data": {"name": data},
        "compressor": {"label": label, "model": {"adapter": adapter}},
        "problem_id": problem,
        "document_id": document,
        "sample": 0,
        "rate_tokens": tokens,
        "candidates": ["source", "counterfactual"],
        "log_probs": [lead, 0.0],
        "fact_kept": hard > 0.3,
    }


def directory(tmp_path, rows):
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def rows_of(data, more=0.0):
    """Frozen: 10 tokens → 0.2 nats, 40 → 0.4; trained: 10 → 0.3. The last problem shares its document."""
    rows = []
    for i in range(6):
        document = f"d{min(i, 4)}"
        noise = 0.01 * i + more
        rows += [
            record(data, f"p{i}", document, "frozen short", None, 10, 0.2 + noise),
            record(data, f"p{i}", document, "frozen", None, 40, 0.4 + noise),
            record(data, f"p{i}", document, "trained", "x/checkpoint-1", 10, 0.3 + noise),
        ]
    return [*rows, record(data, "p9", "d9", "frozen", None, 40, -2.0)]  # no partner: left out


def test_points_and_comparisons_by_hand(tmp_path):
    found = find_frontier(directory(tmp_path, rows_of("a") + rows_of("b", 0.05)), "hard", resamples=100)
    first, _, together = found["sets"]
    assert (first["documents"], together["documents"]) == (5, 10)
    value = (0.0 + 0.01 + 0.02 + 0.03 + (0.04 + 0.05) / 2) / 5  # the two problems of one document count once
    assert [p["value"]["value"] for p in first["points"]] == pytest.approx([0.2 + value, 0.4 + value, 0.3 + value])
    [comparison] = first["comparisons"]
    assert comparison["tokens_at_equal_value"]["value"] == pytest.approx(0.5)  # halfway: frozen needs sqrt(10 · 40)
    assert comparison["value_at_equal_tokens"]["value"] == pytest.approx(0.1)
    assert math.isnan(comparison["value_at_equal_tokens"]["low"])  # 5 documents have no interval
    assert together["comparisons"][0]["value_at_equal_tokens"]["low"] == pytest.approx(0.1)  # paired: the noise is common
    assert together["data"] == "all sets together"
    assert together["comparisons"][0]["tokens_at_equal_value"]["value"] == pytest.approx(0.5)


def test_the_script_draws_and_prints_it(tmp_path):
    second = {"label": "second", "model": {"adapter": "y"}}
    again = [r | {"key": r["key"] + "2", "compressor": second, "rate_tokens": 20} for r in rows_of("a") if r["rate_tokens"] == 10]
    source = directory(tmp_path, rows_of("a") + [r for r in again if "trained" in r["key"]])
    result = run_script("eval/frontier.py", str(source), "--out", str(tmp_path / "out"), "--value", "fact")
    assert result.returncode == 0, result.stderr
    assert "all checkpoints" in result.stdout
    assert "33 %" in result.stdout.split("all checkpoints")[1]  # flat: its shortest point, 10 tokens for 0.8 facts
    for ending in ("json", "png", "svg"):
        assert (tmp_path / "out" / f"frontier-fact.{ending}").stat().st_size > 1000


def test_a_directory_without_both_sides_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no records"):
        find_frontier(tmp_path, "hard")
    with pytest.raises(InputError, match="2 frozen and 0 trained"):
        find_frontier(directory(tmp_path, [r for r in rows_of("a") if "trained" not in r["key"]]), "hard")
    result = run_script("eval/frontier.py", str(tmp_path / "none"), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")


def test_what_was_scored_among_nothing_tells_nothing_and_not_0_nats(tmp_path):
    alone = [r | {"candidates": ["source", "random"]} for r in rows_of("a")]
    with pytest.raises(InputError, match="holds 0 frozen and 0 trained compressors with 'hard'"):
        find_frontier(directory(tmp_path, alone), "hard")
    assert find_frontier(tmp_path, "easy", resamples=20)["sets"][0]["documents"] == 5
    some = [r | {"candidates": ["source", "random"]} if r["problem_id"] == "p0" else r for r in rows_of("a")]
    [row] = find_frontier(directory(tmp_path, some), "hard", resamples=20)["sets"]
    assert row["documents"] == 4


def retrained(rows, **changes):
    """The same checkpoint and label with other weights: its records stand behind the old ones."""
    found = []
    for row in rows:
        if row["compressor"]["label"] == "trained":
            compressor = {**row["compressor"], "adapter_revision": "new"}
            found.append({**row, "key": row["key"] + "-new", "compressor": compressor, **changes})
    return found


def test_of_a_checkpoint_trained_anew_at_the_same_path_the_last_records_count(tmp_path):
    rows = rows_of("a")
    new = [r for r in retrained(rows, rate_tokens=5) if r["problem_id"] != "p0"]  # its evaluation was cut off
    [found] = find_frontier(directory(tmp_path, rows + new), "hard", resamples=50)["sets"]
    [trained] = [p for p in found["points"] if p["trained"]]
    assert trained["tokens"]["value"] == 5  # not the old one's 10 on p0
    assert found["documents"] == 4
    assert found["left_out"]["problems"] == 2  # p0, and p9 that only one frozen point has
    assert found["left_out"]["held"] == {"frozen short": 6, "frozen": 7, "trained": 5}
    note, *few = frontier_notes({"sets": [found]})
    assert few == [f"a, trained, {what}: 4 documents: intervals over documents need at least 8" for what in ("tokens", "value")]
    assert note == "a: 2 problems left out that not every point has; 'trained' has 5"
    # the last evaluation may have gone back to a compressor whose records were there
    write_json(tmp_path / "run.json", {"record_keys": [r["key"] for r in rows]})
    [found] = find_frontier(tmp_path, "hard", resamples=50)["sets"]
    assert [p["tokens"]["value"] for p in found["points"] if p["trained"]] == [10]


def test_two_checkpoints_under_one_label_are_refused(tmp_path):
    """Two fits leave `train/checkpoint-1` each; one of them would drop out without a word."""
    rows = rows_of("a")
    second = [r | {"key": r["key"] + "2", "compressor": {**r["compressor"], "model": {"adapter": "y/checkpoint-1"}}} for r in rows]
    both = directory(tmp_path, rows + [r for r in second if r["compressor"]["label"] == "trained"])
    with pytest.raises(InputError, match=r"'trained' is the label of x/checkpoint-1 and of y/checkpoint-1; rename"):
        find_frontier(both, "hard")


def test_of_two_grids_of_other_documents_in_one_directory_the_last_counts(tmp_path):
    """Problems of made sets have the same names whatever their length."""
    long = [{**r, "key": f"long {r['key']}", "document_key": "long", "rate_tokens": 7 * r["rate_tokens"]} for r in rows_of("a")]
    short = [{**r, "document_key": "short"} for r in rows_of("a")]
    write_json(tmp_path / "run.json", {"record_keys": [r["key"] for r in short]})
    [found] = find_frontier(directory(tmp_path, short + long), "hard", resamples=50)["sets"]  # gone back to: nothing is appended
    assert [p["tokens"]["value"] for p in found["points"]] == [10, 40, 10]
    without = [r for r in long if r["compressor"]["label"] == "frozen"]
    write_json(tmp_path / "run.json", {"record_keys": [r["key"] for r in without]})
    with pytest.raises(InputError, match="were asked on different documents of one name, such as 'p0'"):
        find_frontier(directory(tmp_path, short + without), "hard")


def test_points_among_different_negatives_are_refused(tmp_path):
    rows = rows_of("a")
    new = retrained(rows, candidates=["source", "counterfactual", "random"], log_probs=[0.0, -1.0, -2.0])
    with pytest.raises(InputError, match=r"a: 'frozen.*' was scored among 1 negatives and 'trained' among 2"):
        find_frontier(directory(tmp_path, rows + new), "hard")


def test_accuracy_is_a_value_and_stands_beside_every_point(tmp_path):
    rows = rows_of("a")
    answers = [
        {
            "key": f"answer-{r['key']}",
            "kind": "prediction",
            "status": "ok",
            "compression_key": r["key"],
            "data": r["data"],
            "compressor": r["compressor"],
            "problem_id": r["problem_id"],
            "document_id": r["document_id"],
            "predictor": {"name": "m"},
            "sample": 0,
            "correct": r["compressor"]["label"] != "frozen short" or r["problem_id"] in ("p0", "p5"),
        }
        for r in rows
    ]
    where = directory(tmp_path, rows + answers)
    [found] = find_frontier(where, "accuracy", resamples=50)["sets"]
    assert [p["value"]["value"] for p in found["points"]] == pytest.approx([0.3, 1.0, 1.0])  # p5 is half of document d4
    [found] = find_frontier(where, "hard", resamples=50)["sets"]
    assert [p["accuracy"]["value"] for p in found["points"]] == pytest.approx([0.3, 1.0, 1.0])
    assert found["points"][0]["accuracy"]["low"] < 0.3
    # a judge that failed leaves the exact grade behind, and another reader is another question: neither is an answer here
    failed = [{**a, "status": "failed", "correct": True} if a is answers[0] else a for a in answers]
    other = {**answers[0], "key": "other", "predictor": {"name": "n"}, "correct": True}
    [found] = find_frontier(directory(tmp_path, [*rows, *failed, other]), "hard", resamples=50)["sets"]
    assert "accuracy" not in found["points"][0]
    partly = directory(tmp_path, rows + answers[1:])
    [found] = find_frontier(partly, "hard", resamples=50)["sets"]
    assert "accuracy" not in found["points"][0]  # p0 of one point is not answered: no mean over other documents


def test_a_frozen_setting_that_is_longer_and_worse_is_said(tmp_path):
    rows = rows_of("a")
    worse = [record("a", f"p{i}", f"d{min(i, 4)}", "frozen long", None, 80, 0.1) for i in range(6)]
    found = find_frontier(directory(tmp_path, rows + worse), "hard", resamples=50)
    [row] = found["sets"][0]["comparisons"]
    assert row["tokens_against_best"]["value"] > row["tokens_at_equal_value"]["value"]
    assert "of the tokens of the frozen model's best settings" in "\n".join(frontier_notes(found))


def test_the_report_shows_what_lies_in_a_directory(tmp_path):
    found = find_frontier(directory(tmp_path, rows_of("a") + rows_of("b")), "hard", resamples=50)
    place = tmp_path / "sweep"
    write_json(place / "frontier-hard.json", {"seed": 0, **found})
    page, numbers = tmp_path / "report.html", tmp_path / "report.json"
    write_report([str(place)], page, numbers)
    text = page.read_text()
    assert "Frontier" in text
    assert "tokens: 5 documents: intervals over documents need at least 8" in text
    assert "50 % [50, 50]" in text  # the frozen model needs sqrt(10 · 40) for what takes the trained one 10
    assert text.count("<svg") == 1
    assert json.loads(numbers.read_text())["frontiers"][0]["sets"] == json.loads((place / "frontier-hard.json").read_text())["sets"]
    with pytest.raises(InputError, match="no run directory"):
        write_report([str(tmp_path)], tmp_path / "other.html", tmp_path / "other.json")
