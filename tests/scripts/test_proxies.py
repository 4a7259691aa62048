"""eval/applications/proxies.py as a user calls it: a study of a tiny model, killed, extended, and asked for what cannot be."""

import contextlib
import io
import json
import runpy
import shutil

import pytest
import yaml
from conftest import ROOT, WITHOUT_TORCH, run_killed_at, run_script
from tiny import save_adapter

from infoagent.config import exit_code
from infoagent.records.files import read_records

STATED = ["cost.gflops_per_second=50"]  # a speed that needs no measuring
MAIN = runpy.run_path(str(ROOT / "eval/applications/proxies.py"))["main"]


def call(capsys, *arguments):
    """The script in this process, which has torch already: (exit code, stdout, stderr)."""
    code = exit_code(lambda: MAIN([str(a) for a in arguments]))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def study(tiny_dir, tmp_path_factory):
    """(recipe, its directory, what was printed): killed in the middle of its first scorer, then run to the end."""
    directory = tmp_path_factory.mktemp("study")
    model = {"name": str(tiny_dir), "dtype": "float32"}
    picked = [
        {"label": f"{kind} {n}", "kind": kind, "sentences": n, "model": model}
        for kind, n in (("lead", 1), ("lead", 2), ("tail", 1), ("bm25", 1))
    ]
    recipe = {
        "output_dir": str(directory / "out"),
        "data": [{"name": "records", "limit": 9, "min_words": 30, "max_words": 45}],
        "compressors": [{"label": "lm", "model": model, "max_tokens": 8}, *picked],
        "predictors": [model],
        "negatives": {"random": 1, "counterfactual": 1},
        "resamples": 60,
        "calibration_documents": 3,
        "checkpoint": str(save_adapter(tiny_dir, directory / "adapter")),
        "scorers": [
            {"label": "again", "model": model},
            {"label": "one layer", "model": model, "layers": 1},
            {"label": "two bits", "model": model, "weight_bits": 2},
            {"label": "unigram", "kind": "unigram"},
            {"label": "zlib", "kind": "zlib"},
        ],
    }
    path = directory / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    kept = directory / "out" / "proxies" / "records.jsonl"
    run_killed_at("proxies/records.jsonl#4", "eval/applications/proxies.py", str(path), "--quiet")
    before = kept.read_bytes()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert exit_code(lambda: MAIN([str(path), "--quiet"])) == 0
    assert kept.read_bytes().startswith(before[: before.rindex(b"\n") + 1])  # what was there stays
    return path, directory / "out", printed.getvalue()


def test_the_study(study):
    _, out, printed = study
    found = json.loads((out / "proxies.json").read_text())
    assert [(p["data"], p["among"], p["compressions"], p["documents"]) for p in found["parts"]] == [
        ("records", "hard", 45, 9),
        ("records", "all", 45, 9),
    ]
    rows = {r["scorer"]: r for r in found["parts"][0]["scorers"]}
    assert list(rows) == ["self", "again", "one layer", "two bits", "unigram", "zlib", "trained adapter"]
    # the sampled bytes of a random model need not be its tokens again; picked texts score alike to rounding
    own = {r["key"]: r for r in read_records(out) if r["kind"] == "compression" and r["compressor"]["kind"] != "lm"}
    again = [r for r in read_records(out / "proxies")[:45] if r["compression_key"] in own]
    assert len(again) == 36
    for row in again:
        assert row["log_probs"] == pytest.approx(own[row["compression_key"]]["log_probs"], abs=1e-3)
    assert rows["trained adapter"]["plain"]["mi_nats"] != rows["again"]["plain"]["mi_nats"]
    assert rows["one layer"]["weight_mib"] < rows["again"]["weight_mib"]
    assert rows["two bits"]["weight_mib"] < rows["again"]["weight_mib"]
    assert rows["one layer"]["gflop"] < rows["again"]["gflop"]
    assert (rows["zlib"]["weight_mib"], rows["zlib"]["gflop"]) == (0, 0)
    assert all(r["calibration"]["documents"] == 3 for r in rows.values())
    assert {"commit", "recipe", "data_revisions", "versions"} <= set(found)
    assert len(found["data_revisions"]) == 2
    keys = [json.loads(line)["key"] for line in (out / "proxies" / "records.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 6 * 45
    assert "smallest scorer that can be trusted" in printed
    for name in ("proxies.png", "proxies.svg"):
        assert (out / name).stat().st_size > 8000


def test_run_again_it_scores_nothing_and_finds_the_same(study, capsys):
    path, out, printed = study
    before = {f: f.read_bytes() for f in out.rglob("records*.jsonl")}
    found = json.loads((out / "proxies.json").read_text())["parts"]
    code, again, errors = call(capsys, path, "--quiet")
    assert code == 0, errors
    assert {f: f.read_bytes() for f in out.rglob("records*.jsonl")} == before
    assert json.loads((out / "proxies.json").read_text())["parts"] == found
    assert again == printed


def test_a_dry_run_needs_no_torch_and_counts_the_scorers(study):
    path, _, _ = study
    done = run_script("-c", WITHOUT_TORCH, "eval/applications/proxies.py", str(path), *STATED, "--dry-run", "output_dir=nowhere")
    assert done.returncode == 0, done.stderr
    assert "scorers: 6 × 60 texts" in done.stdout
    assert "zlib: no model" in done.stdout
    assert "calibration: plan: 5 compressors" in done.stdout
    assert not (ROOT / "nowhere").exists()


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (["scorers.1.layers=3"], ["scorer one layer: layers = 3: ", "has 2"]),
        (["scorers.0.model.name=/nowhere/model"], ["scorer again: model '/nowhere/model'", "no such directory"]),
        (["checkpoint=/nowhere/adapter"], ["scorer trained adapter: adapter '/nowhere/adapter'", "no such directory"]),
        (["scorers.0.url=http://127.0.0.1:9"], ["scorer again: scorer.url = 'http://127.0.0.1:9'", "infoagent serve"]),
        (["scorers.3.layers=2"], ["layers belongs to kind lm, not to unigram"]),
        (
            ["calibration_documents=1"],
            [
                "calibration_documents = 1, taken from the validation split: negatives.random = 1, ",
                "no problem has so many (fewer than 1 other documents: 1 of 1)",
            ],
        ),
        (["trusted_correlation=1.5"], ["trusted_correlation = 1.5"]),
        (["scorers=[]"], ["scorers = []"]),
    ],
)
def test_bad_input_is_one_line_before_a_model_loads(study, capsys, overrides, lines):
    path, _, _ = study
    code, _, errors = call(capsys, path, *overrides)
    assert code == 2
    [line] = errors.strip().splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in lines), line


def test_a_scorer_whose_costs_are_not_known_is_one_line_before_the_grid(study, tiny_dir, tmp_path, capsys):
    path, _, _ = study
    other = tmp_path / "gpt2"
    shutil.copytree(tiny_dir, other)
    sizes = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 4096}
    (other / "config.json").write_text(json.dumps(sizes))
    nowhere = tmp_path / "out"
    code, _, errors = call(capsys, path, f"scorers.0.model.name={other}", f"output_dir={nowhere}")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert errors.startswith("error: scorer again: ")
    assert "model_type 'gpt2': its costs are not known" in errors
    assert not list(nowhere.glob("*.jsonl"))


def test_splits_that_share_documents_calibrate_nothing(tiny_dir, tmp_path, capsys):
    """HumanEval's splits are the same rows: a scale would be chosen on what is reported."""
    rows = [
        {
            "task_id": f"t/{i}",
            "prompt": f'def f{i}(x):\n    """Add {i}."""\n',
            "canonical_solution": f"    return x + {i}\n",
            "test": "def check(f):\n    pass\n",
            "entry_point": f"f{i}",
        }
        for i in range(12)
    ]
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "output_dir": str(tmp_path / "out"),
        "data": [{"name": "humaneval", "path": str(tmp_path / "h.jsonl")}],
        "compressors": [{"label": "lead", "kind": "lead", "sentences": 1, "model": {"name": str(tiny_dir)}}],
        "predictors": [],
        "negatives": {"random": 1, "counterfactual": 0},
        "scorers": [{"label": "zlib", "kind": "zlib"}],
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    code, _, errors = call(capsys, tmp_path / "r.yaml")
    assert (code, "are evaluated too" in errors) == (2, True), errors
