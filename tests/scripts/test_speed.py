"""The one command for speed: its arithmetic by hand, and the whole of it on a tiny model."""

import importlib.util
import json
import subprocess
import sys

import pytest
from conftest import ROOT

from infoagent.recipes import GRPORecipe


def script():
    spec = importlib.util.spec_from_file_location("speed_script", ROOT / "eval/bench/speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shares_are_of_the_sum_of_the_phases():
    rows = [
        {
            "time/generation_seconds": 2.0,
            "time/scoring_seconds": 1.0,
            "time/reference_seconds": 0.5,
            "time/update_seconds": 1.5,
            "rate/tokens": 20.0,
        },
        {
            "time/generation_seconds": 4.0,
            "time/scoring_seconds": 1.0,
            "time/reference_seconds": 0.5,
            "time/update_seconds": 1.5,
            "rate/tokens": 40.0,
        },
    ]
    recipe = GRPORecipe.model_validate({"output_dir": "x", "grpo": {"prompts_per_step": 2, "num_generations": 4}})
    found = script().step_figures(rows, recipe)
    assert found["step_seconds"] == 6.0
    assert found["generation_share_of_step"] == 0.5
    assert found["scoring_share_of_step"] == pytest.approx(1 / 6)
    assert found["sampled_tokens_per_second"] == 8 * 30 / 3
    assert found["sampled_tokens_per_second_of_step"] == 8 * 30 / 6


@pytest.mark.slow
def test_the_whole_command_on_a_tiny_model(tiny_dir, tmp_path):
    out = tmp_path / "speed.json"
    command = [sys.executable, "eval/bench/speed.py", "configs/train/speed.yaml", f"model.name={tiny_dir}",
               "model.dtype=float32", f"output_dir={tmp_path / 'run'}", "grpo.steps=4", "grpo.save_steps=4",
               "grpo.max_completion_tokens=8", "data.limit=8", "--out", str(out)]  # fmt: skip
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(out.read_text())
    shares = [found[f"{phase}_share_of_step"] for phase in ("generation", "scoring", "reference", "update")]
    assert sum(shares) == pytest.approx(1)
    assert found["steps"] == 2
    assert found["commit"]
    assert "scoring_share_of_step" in result.stdout
