"""eval/information.py as a user runs it: whole, killed and gone on with, on two processes; and its report."""

import json
import os
import re
import sqlite3

import numpy as np
import pytest
from conftest import run_in_turn, run_killed_at, run_script

from infoagent.data.registry import load_data
from infoagent.information.scores import ScoreMatrix
from infoagent.lm.models import load
from infoagent.lm.prompts import compressor_ids
from infoagent.lm.scoring.exact import Scorer

RECIPE = "configs/eval/information.yaml"


def settings(tiny_dir, out, **changed):
    content = {
        "output_dir": out, "compressor.model.name": tiny_dir, "compressor.model.dtype": "float32",
        "compressor.max_tokens": 8, "documents": 6, "samples": 2, "counterfactuals": 2, "batch_size": 4,
        "data.limit": 30, **changed,
    }  # fmt: skip
    return [f"{k}={v}" for k, v in content.items()]


@pytest.fixture(scope="module")
def whole(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("information")
    result = run_script("eval/information.py", RECIPE, *settings(tiny_dir, out), "--quiet")
    assert result.returncode == 0, result.stderr
    return out, result


def plain_row(tiny_dir, out, c):
    """Row c put together anew from the data and the sampled ids, every token run for every pair by the bare model."""
    matrix = ScoreMatrix.load(out / "scores.npz")
    data = load_data("records", split="validation", limit=30, min_words=80, max_words=120)
    problems = {p.id: p for p in data.problems}
    rows = [json.loads(line) for line in (out / "compressions/0/records.jsonl").read_text().splitlines()]
    ids = {
        f"{z['problem_id']}#{z['sample']}": (*z["token_ids"], *([] if z["stop_id"] is None else [z["stop_id"]]))
        for row in rows
        for z in row["compressions"]
    }
    lm = load(str(tiny_dir), dtype="float32")
    name = str(matrix.compression_id_C[c])
    assert matrix.column_K[matrix.source_C[c]] == name.split("#")[0]
    query = problems[name.split("#")[0]].query
    prefixes = [compressor_ids(lm.tokenizer, problems[k].document, query) for k in matrix.column_K]
    return Scorer(lm.model).score_one_by_one(prefixes, [ids[name]])[0]


def test_the_matrix_holds_what_a_plain_forward_pass_gives(tiny_dir, whole):
    out, _ = whole
    matrix = ScoreMatrix.load(out / "scores.npz")
    assert matrix.log_probs_CK.shape == (12, 6)
    assert matrix.counterfactual_CN.shape == (12, 2)
    for c in (0, 7):
        assert matrix.log_probs_CK[c] == pytest.approx(plain_row(tiny_dir, out, c), abs=1e-3)
    tokens = matrix.token_matrices()[0].sum(axis=1)
    assert tokens == pytest.approx([*matrix.log_probs_CK[0], *matrix.counterfactual_CN[0]], abs=1e-4)


def test_it_prints_and_keeps_the_chain(whole):
    out, result = whole
    kept = json.loads((out / "information.json").read_text())
    chain = kept["analysis"]["chain"]
    assert chain["random"]["value_nats"] == pytest.approx(
        chain["topic"]["value_nats"] + chain["within_topic"]["value_nats"], abs=1e-9
    )
    assert "I(X;Z|Q): every candidate document under the question of the compression" in result.stdout
    assert f"{chain['fact']['value_nats']:7.3f}" in result.stdout
    assert json.loads((out / "run.json").read_text())["versions"]["torch"]
    metrics = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert metrics["mi/nats"] == kept["analysis"]["infonce_nats"]


def test_mi_gives_the_same_numbers_from_the_file(whole):
    out, _ = whole
    result = run_script("-m", "infoagent.cli", "mi", out / "scores.npz", "--json", "--tokens", "--among", "counterfactuals")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    kept = json.loads((out / "information.json").read_text())["analysis"]
    assert found["infonce_nats"] == kept["infonce_nats"]
    told = [z["total_nats"] for z in found["token_information"]]
    assert told == pytest.approx(kept["chain"]["fact"]["per_compression_nats"], abs=1e-4)
    assert "".join(found["token_information"][0]["tokens"])


def cells(out):
    """Every stored cell, as often as it stands in the files of all processes."""
    found = []
    for file in sorted((out / "scores").glob("*.sqlite")):
        connection = sqlite3.connect(file, timeout=30)
        found += connection.execute("SELECT prefix, continuation FROM cells").fetchall()
        connection.close()
    return found


def test_killed_while_scoring_it_goes_on_and_ends_with_the_same_matrix(tiny_dir, whole, tmp_path):
    many = settings(tiny_dir, tmp_path / "killed")
    run_killed_at("infoagent.lm.scoring.store:ScoreStore.put#41", "eval/information.py", RECIPE, *many, "--quiet")
    before = cells(tmp_path / "killed")
    assert 20 < len(before) < 12 * 8, "killed in the middle"
    assert not (tmp_path / "killed/scores.npz").exists()
    result = run_script("eval/information.py", RECIPE, *many, "--quiet")
    assert result.returncode == 0, result.stderr
    after = cells(tmp_path / "killed")
    assert len(after) == len(set(after)) == 12 * 8
    first, second = ScoreMatrix.load(tmp_path / "killed/scores.npz"), ScoreMatrix.load(whole[0] / "scores.npz")
    assert first.log_probs_CK == pytest.approx(second.log_probs_CK, abs=1e-3)


@pytest.mark.slow  # that processes share work out is asked of the grid in test_frozen.py, and of training in test_distributed.py
def test_two_processes_make_the_same_matrix(tiny_dir, whole, tmp_path):
    result = run_script(
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "accelerate_configs/cpu_2proc.yaml",
        "eval/information.py",
        RECIPE,
        *settings(tiny_dir, tmp_path),
        "--quiet",
        OMP_NUM_THREADS="1",
    )
    assert result.returncode == 0, result.stderr[-3000:]
    one, two = ScoreMatrix.load(whole[0] / "scores.npz"), ScoreMatrix.load(tmp_path / "scores.npz")
    assert two.compression_id_C.tolist() == one.compression_id_C.tolist()
    assert two.token_T.tolist() == one.token_T.tolist(), "the compressions must not depend on who drew them"
    assert two.log_probs_CK == pytest.approx(one.log_probs_CK, abs=1e-3)
    assert sorted(f.name for f in (tmp_path / "scores").iterdir()) == ["scores-0.sqlite", "scores-1.sqlite"]
    both = cells(tmp_path)
    assert len(both) == len(set(both)), "a cell was computed by both"


def test_a_stratified_pool_scores_a_part_and_reports_the_whole(tiny_dir, tmp_path):
    changed = {"documents": 12, "near": 2, "far": 4, "samples": 1}
    result = run_script("eval/information.py", RECIPE, *settings(tiny_dir, tmp_path, **changed), "--quiet")
    assert result.returncode == 0, result.stderr
    matrix = ScoreMatrix.load(tmp_path / "scores.npz")
    assert matrix.log_probs_CK.shape == (12, 7)
    assert matrix.strata.pool_size == 12
    assert len(cells(tmp_path)) == 12 * (7 + 2)
    found = json.loads((tmp_path / "information.json").read_text())["analysis"]["pool"]
    assert found["ceiling_nats"] == pytest.approx(np.log(12))
    assert "against the whole pool" in result.stdout


def test_an_adapter_is_judged_by_its_base_in_the_same_memory(tiny_dir, whole, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    policy = get_peft_model(load(str(tiny_dir), dtype="float32").model, LoraConfig(r=4, target_modules="all-linear"))
    policy.base_model.model.config.name_or_path = str(tiny_dir)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    policy.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "infoagent.json").write_text(json.dumps({"base_model": str(tiny_dir)}))
    changed = {"compressor.model.adapter": tmp_path / "adapter"}
    result = run_script("eval/information.py", RECIPE, *settings(tiny_dir, tmp_path / "run", **changed), "--quiet")
    assert result.returncode == 0, result.stderr
    matrix = ScoreMatrix.load(tmp_path / "run/scores.npz")
    assert matrix.about["sampler"] is False
    assert matrix.about["scorer"]["adapter_revision"] is None
    frozen = ScoreMatrix.load(whole[0] / "scores.npz")
    assert matrix.about["scorer"] == frozen.about["scorer"]
    assert matrix.token_T.tolist() != frozen.token_T.tolist(), "the adapter wrote"
    # the base by itself, never touched by an adapter
    assert matrix.log_probs_CK[3] == pytest.approx(plain_row(tiny_dir, tmp_path / "run", 3), abs=1e-3)


def test_the_report_shows_tokens_in_colour(whole, tmp_path):
    out, _ = whole
    page = tmp_path / "report.html"
    result = run_script("-m", "infoagent.cli", "report", out, "--out", page)
    assert result.returncode == 0, result.stderr
    text = page.read_text()
    assert "Information: frozen on records (validation, preset default)" in text
    shown = re.findall(r'<span style="background:rgba\([\d,.]+\)" title="([+-][\d.]+) nats">', text)
    example = json.loads((out / "information.json").read_text())["examples"][0]
    assert [f"{v:+.2f}" for v in example["pool"]["nats"]] == shown[: len(example["tokens"])]


def test_a_dry_run_counts_the_cells_and_loads_nothing():
    result = run_script(
        "-X", "importtime", "eval/information.py", RECIPE, "output_dir=x", "preset=paper", "cost.gflops_per_second=50", "--dry-run"
    )
    assert result.returncode == 0, result.stderr
    assert "20 documents × 20 compressions, 20 pool columns and 0 counterfactuals each: 8,000 cells" in result.stdout
    assert "temperature: 0.7" in result.stdout
    assert "import time" in result.stderr
    assert not re.search(r"\| +torch\n", result.stderr)


WRONG = [
    (["preset=papr"], "preset"),
    (["documents=500"], "documents = 500: the data has only 40 different documents"),
    (["near=3"], "near 3 without far"),
    (["near=1", "far=5"], "near 1: one near document tells nothing"),
    (["far=1"], "far = 1"),
    (["far=40"], "not below documents 40"),
    (["calibration=x.json"], "calibration without scorer"),
    (["compressor.kind=closed-book"], "only `lm` compressors"),
    (["compressor.model.adapter=nowhere"], "no such directory"),
    (["scorer.name=smollm2-135m", "calibration=nowhere.json"], "nowhere.json: cannot be read: No such file"),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """(what was said of each of WRONG, where it would have written)."""
    out = tmp_path_factory.mktemp("wrong")
    given = [RECIPE, f"output_dir={out}", "data.limit=40", "documents=40"]
    return run_in_turn("eval/information.py", [[*given, *changed] for changed, _ in WRONG]), out


@pytest.mark.parametrize(("number", "said"), [(n, said) for n, (_, said) in enumerate(WRONG)])
def test_wrong_settings_are_one_line_each_and_exit_code_2(refusals, number, said):
    results, out = refusals
    result = results[number]
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(out) == []
