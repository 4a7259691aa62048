import json

import pytest
from conftest import run_script


def test_the_benchmark_counts_tokens_and_finds_equal_values(tiny_dir, tmp_path):
    out = tmp_path / "speed.json"
    result = run_script(
        "eval/scoring_speed.py", "--model", str(tiny_dir), "--prefixes", "3", "--prefix-tokens", "50",
        "--continuations", "4", "--continuation-tokens", "6", "--out", str(out),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["largest_difference_nats"] < 1e-3
    assert found["one_by_one_tokens"] == 3 * 4 * (50 + 6)
    assert 3 * 4 * 5 < found["shared_tokens"] <= 3 * (50 + 4 * 5)
    assert found["speedup"] == pytest.approx(found["one_by_one_seconds"] / found["shared_seconds"])


def test_sizes_below_one_are_refused():
    result = run_script("eval/scoring_speed.py", "--prefixes", "0", "--continuations", "-1")
    assert result.returncode == 2
    assert result.stderr.count("error: ") == 2
