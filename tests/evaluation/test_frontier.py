"""A frontier from records made by hand: pairing, clusters, bounds, and what is refused."""

import json
import math

import pytest
from conftest import run_script

from infoagent.evaluation.frontier import find_frontier
from infoagent.types import InputError


def record(data, problem, document, label, adapter, tokens, hard):
    """Two candidates: the InfoNCE term is log 2 − log(1 + e^−lead), so a lead gives the wished `hard`."""
    lead = -math.log(2 / math.exp(hard) - 1)
    return {
        "key": f"{data}-{problem}-{label}", "kind": "compression", "status": "ok", "data": {"name": data},
        "compressor": {"label": label, "model": {"adapter": adapter}}, "problem_id": problem, "document_id": document,
        "sample": 0, "rate_tokens": tokens, "candidates": ["source", "counterfactual"], "log_probs": [lead, 0.0],
        "fact_kept": hard > 0.3,
    }  # fmt: skip


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
    assert comparison["value_at_equal_tokens"]["low"] == pytest.approx(0.1)  # paired: the noise is common
    assert together["data"] == "all sets together"
    assert together["comparisons"][0]["tokens_at_equal_value"]["value"] == pytest.approx(0.5)


def test_the_script_draws_and_prints_it(tmp_path):
    second = {"label": "second", "model": {"adapter": "y"}}
    again = [
        r | {"key": r["key"] + "2", "compressor": second, "rate_tokens": 20}
        for r in rows_of("a")
        if r["rate_tokens"] == 10
    ]
    source = directory(tmp_path, rows_of("a") + [r for r in again if "trained" in r["key"]])
    result = run_script("eval/frontier.py", str(source), "--out", str(tmp_path / "out"), "--value", "fact")
    assert result.returncode == 0, result.stderr
    assert "all checkpoints" in result.stdout
    assert "not comparable" in result.stdout or "at most" in result.stdout
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
