"""`make quickstart` from end to end, on a tiny model: measure, train, prove, report."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, run_script

from infoagent.files import read_jsonl


def test_quickstart_makes_the_whole_way(tiny_dir, tmp_path):
    out = tmp_path / "quick"
    evaluation = " ".join(
        ["data.0.limit=8", "data.0.min_words=30", "data.0.max_words=40", "compressors.0.max_tokens=10", "batch_size=3", "--quiet"]
        + [f"compressors.{i}.model.name={tiny_dir}" for i in range(3)]
        + [f"predictors.0.name={tiny_dir}"]
    )
    training = " ".join(
        [
            f"model.name={tiny_dir}",
            "data.limit=8",
            "data.min_words=30",
            "data.max_words=40",
            "grpo.steps=2",
            "grpo.num_generations=4",
            "grpo.micro_batch=8",
            "grpo.max_completion_tokens=8",
            "--quiet",
        ]
    )
    environment = Path(sys.executable).parent.parent
    result = subprocess.run(
        [
            "make",
            "-o",
            f"{environment}/.ready",
            "quickstart",
            f"VENV={environment}",
            f"QUICKSTART_DIR={out}",
            f"EVAL_ARGS={evaluation}",
            f"TRAIN_ARGS={training}",
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    assert "show the machinery, not a result" in result.stdout
    assert "paired, 95 % intervals" in result.stdout
    assert str(out / "report.html") in result.stdout

    assert [r["step"] for r in read_jsonl(out / "grpo" / "metrics.jsonl")] == [1, 2]
    [comparison] = json.loads((out / "eval" / "comparison.json").read_text())
    assert comparison["values"]["rate/tokens"]["pairs"] == 8
    assert comparison["values"]["distortion/error"]["pairs"] == 8
    labels = {r["compressor"]["label"] for r in read_jsonl(out / "eval" / "records.jsonl")}
    assert labels == {"frozen", "full document", "closed book", "trained grpo/checkpoint-2"}

    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert not re.search(r'(?:src|href)="(?!#)', page), "the page must need nothing beside itself"
    assert "trained grpo/checkpoint-2" in page
    numbers = json.loads((out / "report.json").read_text())
    assert len(numbers["evaluations"][0]["summaries"]) == 4

    # a checkpoint of one base is refused on another, before a model loads
    wrong = run_script(
        "eval/checkpoint.py", "configs/eval/quickstart.yaml", f"output_dir={tmp_path}/x", f"checkpoint={out}/grpo/checkpoint-2"
    )
    assert wrong.returncode == 2
    assert "not on 'smollm2-135m'" in wrong.stderr
    missing = run_script("eval/checkpoint.py", "configs/eval/quickstart.yaml", f"output_dir={tmp_path}/x", f"checkpoint={out}/grpo")
    assert missing.returncode == 2
    assert "did you mean" in missing.stderr
