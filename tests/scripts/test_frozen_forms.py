"""eval/frozen.py with forms and thoughts, as a user calls it."""

import json
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, WITHOUT_TORCH, run_script

from infoagent.records.files import read_records


@pytest.fixture
def recipe(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    schema = tmp_path / "fact.json"
    schema.write_text(
        json.dumps({"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False})
    )
    content = {
        "output_dir": str(tmp_path / "out"),
        "data": [{"name": "records", "limit": 6, "min_words": 40, "max_words": 60}],
        "compressors": [
            {"label": "text", "model": model, "max_tokens": 9},
            {"label": "JSON", "model": model, "max_tokens": 20, "form": {"json_schema": str(schema), "constrained": True}},
            {"label": "free", "model": model, "max_tokens": 20, "form": {"json_schema": str(schema)}},
            {"label": "thinks", "model": model, "max_tokens": 9, "thinking": 5, "prompt": {"template": "think-v1"}},
        ],
        "compare": [["JSON", "text"]],
        "predictors": [model],
        "negatives": {"random": 1, "counterfactual": 1},
        "batch_size": 3,
        "resamples": 50,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_forms_and_thoughts_beside_text(recipe):
    pytest.importorskip("llguidance")
    done = run_script("eval/frozen.py", str(recipe), "--quiet")
    assert done.returncode == 0, done.stderr
    out = recipe.parent / "out"
    rows = [r for r in read_records(out) if r["kind"] == "compression"]
    texts = {label: [r.get("text") for r in rows if r["compressor"]["label"] == label] for label in ("JSON", "free")}
    assert set(texts["JSON"]) <= {'{"a":"x"}', '{"a":"y"}'}
    assert texts["free"] == [None] * 6
    lines = {line.split("  ")[0]: line for line in done.stdout.split("without a z")[1].splitlines()}
    assert "0 % [0, 46]" in lines["JSON"]
    assert "100 % [54, 100]" in lines["free"]
    assert "6 form: no JSON" in lines["free"]
    assert "JSON against text on records (test), paired, 95 % intervals:" in done.stdout
    pairs = json.loads((out / "pairs.json").read_text())
    assert pairs["commit"]
    assert pairs["pairs"][0]["values"]["rate/tokens"]["trained"] == 9.0  # {"a":"x"}, a token a byte


def test_a_run_without_any_compression_has_failed(recipe):
    free = yaml.safe_load(recipe.read_text())["compressors"][2]
    done = run_script("eval/frozen.py", str(recipe), "--quiet", f"compressors=[{json.dumps(free)}]", "compare=[]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("failed: no compression could be measured (form: no JSON: 6)")
    [summary] = json.loads((recipe.parent / "out" / "summary.json").read_text())["summaries"]
    assert summary["failed"] == 6


def test_a_schema_that_is_none_is_said_before_anything_is_loaded(recipe):
    command = [
        sys.executable, "-c", WITHOUT_TORCH.replace("assert not end.code, end.code", "assert end.code == 2"), "eval/frozen.py",
        str(recipe), "--dry-run", "compressors.1.form.json_schema={name: string}", "compressors.2.form.json_schema=none.json",
    ]  # fmt: skip
    done = subprocess.run([*command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr  # the script ended with 2, and torch was not imported
    first, second = done.stderr.splitlines()
    assert first.startswith("error: compressor 'JSON': form.json_schema: type = None: must be object")
    assert second.startswith("error: compressor 'free': form.json_schema = 'none.json': no such file")
