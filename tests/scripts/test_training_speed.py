"""The benchmark of the shared prompt on the tiny model: it compares what it says it compares."""

import json

from conftest import run_script


def test_both_ways_are_timed_and_agree(tiny_dir, tmp_path):
    out = tmp_path / "speed.json"
    sizes = ["--prompt", "20", "--completion", "5", "--group", "3", "--prompts", "2", "--repetitions", "1", "--dtype", "float32"]
    result = run_script("eval/bench/training_speed.py", "--model", str(tiny_dir), *sizes, "--out", str(out))
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["tokens"] == {"separate": 6 * 25, "shared": 2 * (19 + 15)}
    assert found["largest_difference_nats"] < 1e-4
    assert found["gradient_relative_difference"] < 1e-3
    assert found["ratio"] == found["seconds"]["separate"] / found["seconds"]["shared"]
    assert "commit" in found
