import json

import pytest
from conftest import ROOT, run_script


def test_the_benchmark_counts_tokens_and_finds_equal_values(tiny_dir, tmp_path):
    out = tmp_path / "speed.json"
    result = run_script(
        "eval/bench/scoring_speed.py",
        "--model",
        str(tiny_dir),
        "--prefixes",
        "3",
        "--prefix-tokens",
        "50",
        "--continuations",
        "4",
        "--continuation-tokens",
        "6",
        "--dtype",
        "float32",  # equal to its digits on any machine
        "--no-count",
        "--out",
        str(out),
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["largest_difference_nats"] < 1e-3
    assert found["one_by_one_tokens"] == 3 * 4 * (50 + 6)
    assert 3 * 4 * 5 < found["shared_tokens"] <= 3 * (50 + 4 * 5)
    assert found["speedup"] == pytest.approx(found["one_by_one_seconds"] / found["shared_seconds"])


def test_sizes_below_one_are_refused():
    result = run_script("eval/bench/scoring_speed.py", "--prefixes", "0", "--continuations", "-1")
    assert result.returncode == 2
    assert result.stderr.count("error: ") == 2


def test_the_large_job_is_counted_as_its_tokens_pass(monkeypatch):
    """N (P + N M (L − 1)) tokens against N · N · M · (P + L), here at a hundredth of the size."""
    monkeypatch.syspath_prepend(ROOT / "eval" / "bench")
    from scoring_speed import counted

    found = counted(prefix_tokens=80, continuation_tokens=5, prefixes=6, samples=2)
    assert found["large_job_tokens"] == 6 * (80 + 6 * 2 * 4)
    assert found["large_job_tokens_one_by_one"] == 6 * 6 * 2 * 85
