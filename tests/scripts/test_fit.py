"""infoagent fit as a user runs it: from records to an adapter; killed on the way, called again by `make quickstart`, called
otherwise."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, eventually, run_script, start_script

from infoagent.applications.fit import run
from infoagent.applications.fit import stages as fit_stages
from infoagent.cli import main
from infoagent.files import read_jsonl

pytestmark = pytest.mark.timeout(1500)  # six programs one after the other, each with its own imports
QUIET = {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
SMALL = [
    "model.dtype=float32", "data.limit=4", "data.min_words=30", "data.max_words=40", "negatives.random=1",
    "negatives.counterfactual=2", "warm-start.sft.problems_per_round=4", "warm-start.sft.epochs=1",
    "warm-start.selection.min_gain_nats=0.001", "warm-start.validation.limit=2", "warm-start.lora.r=2", "train.lora.r=2",
    "train.grpo.steps=2", "train.grpo.save_steps=1", "train.grpo.num_generations=2", "train.grpo.micro_batch=4",
    "train.validation.limit=2", "train.audit.enabled=false", "evaluate.resamples=50",
    *(f"{stage}.cost.gflops_per_second=50" for stage in ("warm-start", "train", "evaluate")),  # nothing to measure
]  # fmt: skip


def command(tiny_dir, out, *more, budget=8):
    given = ["--budget", str(budget), "--size", "quick", "--model", str(tiny_dir), "--out", str(out)]
    return ["-m", "infoagent.cli", "fit", "records", *given, *SMALL, *more]


def make_quickstart(tiny_dir, out):
    """The same fit by the target of the Makefile, in the environment of this test."""
    environment = Path(sys.executable).parent.parent
    given = " ".join(["--budget", "8", "--model", str(tiny_dir), *SMALL])
    settings = [f"VENV={environment}", f"QUICKSTART_DIR={out}", f"FIT_ARGS={given}"]
    return subprocess.run(
        ["make", "-o", f"{environment}/.ready", "quickstart", *settings],
        cwd=ROOT,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        timeout=1400,
    )


def stages(out):
    return {stage["name"]: stage for stage in json.loads((out / "fit.json").read_text())["stages"]}


@pytest.fixture(scope="module")
def fitted(tiny_dir, tmp_path_factory):
    """A fit whose own process was killed while its first stage was at work, and called again by `make quickstart`."""
    out = tmp_path_factory.mktemp("fit") / "out"
    process = start_script(*command(tiny_dir, out), **QUIET)
    eventually((out / "warm-start" / "run.json").is_file)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert stages(out)["warm-start"]["status"] == "running"
    result = make_quickstart(tiny_dir, out)
    assert result.returncode == 0, result.stderr
    return out, result


def test_killed_and_called_again_it_comes_to_an_adapter(fitted):
    out, result = fitted
    held = stages(out)
    assert {stage["status"] for stage in held.values()} == {"finished"}
    assert held["warm-start"]["attempts"] == 2
    assert all(stage["seconds"] > 0 for stage in held.values())
    best = json.loads((out / "train" / "best.json").read_text())["checkpoint"]
    adapter = out / "train" / best
    assert held["train"]["result"] == str(adapter)
    # GRPO went on from the warm start, and the checkpoint that was chosen by validation is the one that was compared
    run = json.loads((out / "train" / "run.json").read_text())["recipe"]
    assert run["init_adapter"] == held["warm-start"]["result"]
    assert run["reward"]["budget"] == 8
    [comparison] = json.loads((out / "evaluate" / "comparison.json").read_text())
    assert comparison["checkpoint"] == str(adapter)
    trained = f"trained train/{best}"
    pairs = json.loads((out / "evaluate" / "pairs.json").read_text())["pairs"]
    against = {pair["old"] for pair in pairs if pair["new"] == trained}
    assert against == {"BM25, one sentence", "BM25, cut", "full document"}
    labels = {r["compressor"]["label"] for r in read_jsonl(out / "evaluate" / "records.jsonl")}
    assert labels == {"frozen", trained, "closed book", *against}
    page = (out / "report.html").read_text()
    assert trained in page
    assert page.count("<svg") >= 4
    assert not re.search(r'(?:src|href)="(?!#)', page), "the page must need nothing beside itself"
    assert "## Evaluation on records" in (adapter / "README.md").read_text()
    for said in ("trained against BM25, cut", f"--adapter {adapter}", str(out / "report.html"), "4/4 report", "not a result"):
        assert said in result.stdout


def test_a_checkpoint_is_refused_on_another_base(fitted, tmp_path):
    out, _ = fitted
    checkpoint = stages(out)["train"]["result"]
    wrong = run_script(
        "eval/checkpoint.py", "configs/fit/quick/evaluate.yaml", f"output_dir={tmp_path}/x", f"checkpoint={checkpoint}"
    )
    assert wrong.returncode == 2
    assert "not on 'smollm2-135m'" in wrong.stderr
    missing = run_script(
        "eval/checkpoint.py", "configs/fit/quick/evaluate.yaml", f"output_dir={tmp_path}/x", f"checkpoint={out}/train"
    )
    assert missing.returncode == 2
    assert "did you mean" in missing.stderr


def test_each_stage_can_be_repeated_by_hand(fitted):
    out, _ = fitted
    held = stages(out)
    for number, name in enumerate(("warm-start", "train", "evaluate"), start=1):
        file = out / "recipes" / f"{number}-{name}.yaml"
        assert yaml.safe_load(file.read_text()) == held[name]["recipe"]
        assert file.read_text().startswith(f"# {held[name]['commands'][0]}\n")
    python, script, recipe = held["warm-start"]["commands"][0].split()
    assert (python, script) == (sys.executable, str(ROOT / "train" / "sft.py"))
    result = run_script(script, recipe, **QUIET)
    assert result.returncode == 0, result.stderr
    assert "has all 1 rounds already" in result.stderr


def test_called_again_it_does_nothing_twice(fitted, tiny_dir):
    out, first = fitted
    before = stages(out)
    result = run_script(*command(tiny_dir, out), "--quiet", **QUIET)
    assert result.returncode == 0, result.stderr
    assert stages(out) == before
    assert result.stderr.count("done before") == 4
    assert result.stdout.splitlines()[-1] in first.stdout.splitlines()


@pytest.mark.parametrize(
    ("budget", "more", "said"),
    [
        (9, [], "budget was 8 and is 9 now; ask for the same to go on, or name another --out"),
        (8, ["train.lora.r=4"], "stage train: output_dir ="),
        (8, ["data.seed=3"], "data.seed differ"),
    ],
)
def test_called_otherwise_it_says_what_differs(fitted, tiny_dir, budget, more, said):
    out, _ = fitted
    before = (out / "fit.json").read_bytes()
    result = run_script(*command(tiny_dir, out, *more, budget=budget), **QUIET)
    assert result.returncode == 2
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert (out / "fit.json").read_bytes() == before


def test_what_a_trainer_goes_on_with_is_not_refused(fitted, tiny_dir):
    out, _ = fitted
    result = run_script(*command(tiny_dir, out, "train.grpo.steps=3"), "--dry-run", **QUIET)
    assert result.returncode == 0, result.stderr
    assert "plan: 3 steps of 2 problems" in result.stdout
    assert str(out / "train" / "checkpoint-") in result.stdout  # of the card: it is there already


def test_a_stage_that_fails_says_why(tiny_dir, tmp_path, monkeypatch, capsys):
    """A command that ends with 1 and a line of failure, as train/sft.py does where nothing beats its group."""
    out = tmp_path / "out"
    failing = [sys.executable, "-S", "-c", "import sys; print('failed: nothing to imitate', file=sys.stderr); sys.exit(1)"]
    told = (replace(run.STAGES[0], commands=lambda *_: [failing]), *run.STAGES[1:])
    for module in (run, fit_stages):
        monkeypatch.setattr(module, "STAGES", told)
    assert main(command(tiny_dir, out)[2:]) == 1
    stage = stages(out)["warm-start"]
    assert (stage["status"], stage["attempts"]) == ("failed", 1)
    assert "nothing to imitate" in stage["cause"]
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert stage["cause"] in line
    assert "logs/1-warm-start.log" in line
