"""eval/frozen.py with its engine set to vllm: the embedded model writes, scores and answers."""

import json
import os

import pytest
import yaml
from conftest import run_script

from infoagent.records.files import read_records

pytestmark = pytest.mark.vllm
MODEL = {"name": "smollm2-135m", "dtype": "float32"}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    content = {
        "output_dir": str(out / "vllm"),
        "data": [{"name": "records", "limit": 3, "min_words": 60, "max_words": 90}],
        "compressors": [
            {"label": "lm", "model": MODEL, "max_tokens": 24},
            {"label": "lead", "kind": "lead", "sentences": 1, "model": MODEL},
        ],
        "predictors": [
            {**MODEL, "kind": "vllm", "label": "reads", "mode": "likelihood"},
            {**MODEL, "kind": "vllm", "label": "writes", "max_tokens": 8},
        ],
        "negatives": {"random": 1, "counterfactual": 2},
        "engine": "vllm",
        "vllm": {"gpu_memory_utilization": 0.3, "max_model_length": 1024},
        "resamples": 50,
    }
    recipe = out / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(content))
    run = run_script("eval/frozen.py", str(recipe), "--quiet", fresh=True, OMP_NUM_THREADS=str(os.cpu_count()))
    assert run.returncode == 0, run.stderr[-3000:]
    return recipe, out, run


def test_it_writes_scores_and_answers(grid):
    _, out, run = grid
    rows = read_records(out / "vllm")
    kinds = [(r["kind"], r["status"]) for r in rows]
    assert kinds.count(("compression", "ok")) == 2 * 3
    assert kinds.count(("prediction", "ok")) == 2 * 2 * 3
    for row in rows:
        if row["kind"] == "compression":
            assert row["engine"] == "vllm"
            assert len(row["log_probs"]) == 4
    assert all(r["text"].strip() for r in rows if r["kind"] == "compression")
    assert "records:" in run.stdout
    assert "INFO" not in run.stdout  # vLLM's own words stand on stderr
    assert "Triton" not in run.stdout


def test_scores_are_those_of_transformers(grid):
    """The very texts that vLLM wrote and scored, scored by transformers, to rounding."""
    from infoagent.data.registry import load_data
    from infoagent.lm.models import load
    from infoagent.lm.prompts import compressor_ids, text_ids
    from infoagent.lm.scoring.exact import Scorer

    _, out, _ = grid
    lm = load(MODEL["name"], dtype="float32", device="cpu")
    problems = {p.id: p for p in load_data("records", split="test", limit=3, min_words=60, max_words=90).problems}
    scorer = Scorer(lm.model)
    checked = 0
    for row in read_records(out / "vllm"):
        if row["kind"] != "compression" or row["compressor"]["kind"] != "lead":
            continue
        problem = problems[row["problem_id"]]
        prefix = compressor_ids(lm.tokenizer, problem.document, problem.query)
        z = [*text_ids(lm.tokenizer, row["text"]), lm.tokenizer.eos_token_id]
        [[expected]] = scorer.score([prefix], [z])
        assert abs(row["log_probs"][0] - expected) < 0.1 * len(z)
        checked += 1
    assert checked == 3


def test_the_same_command_again_starts_no_engine(grid):
    recipe, out, _ = grid
    before = (out / "vllm" / "records.jsonl").read_bytes()
    run = run_script("eval/frozen.py", str(recipe), "--quiet", fresh=True, VLLM_TARGET_DEVICE="none")
    assert run.returncode == 0, run.stderr[-3000:]
    assert (out / "vllm" / "records.jsonl").read_bytes() == before
    assert json.loads((out / "vllm" / "summary.json").read_text())["recipe"]["engine"] == "vllm"
