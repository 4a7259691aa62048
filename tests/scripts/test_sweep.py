"""infoagent sweep as a user runs it: killed and resumed, one of its runs failing, and what it calls to prove them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ROOT, eventually, run_script, start_script

from infoagent.config import load_recipe, recipe_yaml
from infoagent.files import read_jsonl
from infoagent.recipes import GRPORecipe, SweepFile
from infoagent.training.sweep import run as sweeping
from infoagent.training.sweep.grid import SweepRun

STOPPED_ONCE = """
import os, runpy, signal, sys
sys.path.insert(0, {tests!r})
import moments
if any("limit-11" in a for a in sys.argv) and not os.path.exists({once!r}):
    open({once!r}, "w").close()
    moments.at("metrics.jsonl#3", signal.SIGSTOP)
sys.path[0] = {root!r}
runpy.run_path({root!r} + "/train/grpo.py", run_name="__main__")
"""
"""train/grpo.py that stops in the second run of the sweep, with two steps written down."""


WRITES_ALONE = """
import json, os, signal, sys
from pathlib import Path
sys.path[0] = {root!r}
from infoagent.config import load_recipe
from infoagent.recipes import GRPORecipe
from infoagent.training.run_directory import write_run_file
recipe = load_recipe(GRPORecipe, sys.argv[1], sys.argv[2:])
if recipe.data.limit == 1:
    sys.exit("error: data.limit: 1 problem, fewer than grpo.prompts_per_step")
out = Path(recipe.output_dir)
out.mkdir(parents=True, exist_ok=True)
write_run_file(out, recipe.model_dump(mode="json"))
done = len(list(out.glob("checkpoint-*")))
if done:
    print("resuming from", out / f"checkpoint-{{done}}")
for step in range(done + 1, 5):
    if step == 3 and recipe.data.limit == 11 and not os.path.exists({once!r}):
        open({once!r}, "w").close()
        os.kill(os.getpid(), signal.SIGSTOP)
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps({{"step": step}}) + "\\n")
    (out / f"checkpoint-{{step}}").mkdir()
    (out / f"checkpoint-{{step}}" / "infoagent.json").write_text("{{}}")
"""
"""The same for the sweep, which sees files and an exit code: nothing is trained."""


@pytest.fixture(params=["written", pytest.param("trained", marks=pytest.mark.slow)])
def sweep_file(request, tiny_dir, tmp_path):
    recipe = load_recipe(
        GRPORecipe,
        ROOT / "configs/train/records.yaml",
        [
            f"model.name={tiny_dir}",
            "model.dtype=float32",
            "data.min_words=30",
            "data.max_words=40",
            "grpo.steps=4",
            "grpo.num_generations=4",
            "grpo.prompts_per_step=2",
            "grpo.max_completion_tokens=10",
            "grpo.save_steps=1",
            "tracking.wandb=disabled",
            "lora.r=4",
            "negatives.random=2",
            "negatives.counterfactual=2",
        ],
    )
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(recipe))
    sweep = {
        "program": str(tmp_path / "train" / "grpo.py"),
        "method": "grid",
        "parameters": {"data.limit": {"values": [12, 11, 1]}},
        "command": [
            "${env}",
            "python",
            "${program}",
            str(tmp_path / "recipe.yaml"),
            "${args_no_hyphens}",
            "output_dir=x/${WANDB_RUN_ID}",
        ],
    }
    (tmp_path / "train").mkdir()
    told = {"tests": str(ROOT / "tests"), "once": str(tmp_path / "stopped"), "root": str(ROOT)}
    program = STOPPED_ONCE if request.param == "trained" else WRITES_ALONE
    (tmp_path / "train" / "grpo.py").write_text(program.format(**told))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return tmp_path / "sweep.yaml"


def rows_of(out):
    return {row["name"]: row for row in sweeping.read_rows(out)}


def test_killed_and_resumed_no_run_is_trained_twice(sweep_file, tmp_path):
    out = tmp_path / "out"
    arguments = ["-m", "infoagent.cli", "sweep", str(sweep_file), "--out", str(out)]
    first, second, third = "limit-12", "limit-11", "limit-1"
    process = start_script(*arguments, stderr=subprocess.PIPE)
    metrics = out / second / "metrics.jsonl"
    eventually(lambda: process.poll() is not None or (tmp_path / "stopped").is_file())
    assert process.poll() is None, process.communicate()
    [stopped] = psutil.Process(process.pid).children()
    eventually(lambda: stopped.status() == psutil.STATUS_STOPPED)
    group = int((out / ".lock").read_text().split()[1])
    process.kill()
    process.wait()
    try:
        assert {n: r["status"] for n, r in rows_of(out).items()} == {first: "finished", second: "running", third: "waiting"}
        beside = run_script(*arguments)  # what the killed sweep left behind still trains there
        assert beside.returncode == 2
        assert f"is being written by process {group} on " in beside.stderr
    finally:
        left = [stopped, *stopped.children(recursive=True)]
        os.killpg(group, signal.SIGKILL)
        psutil.wait_procs(left, timeout=60)  # who has not ended yet still holds the lock
    done = (out / first / "metrics.jsonl").read_bytes()
    log = (out / first / sweeping.TRAIN_LOG).read_bytes()

    result = run_script(*arguments)
    assert result.returncode == 1, result.stderr
    lines = [line for line in result.stderr.splitlines() if line[:3] in ("1/3", "2/3", "3/3")]
    assert [line.split(": ")[1].split(",")[0].split(" in ")[0] for line in lines] == ["was finished before", "finished", "failed"]
    assert "failed: 1 of 3 runs" in result.stderr
    assert result.stdout.strip() == str(out / "sweep.json")

    rows = rows_of(out)
    assert (out / first / "metrics.jsonl").read_bytes() == done
    assert (out / first / sweeping.TRAIN_LOG).read_bytes() == log
    assert [rows[n]["attempts"] for n in (first, second, third)] == [1, 2, 1]
    assert [row["step"] for row in read_jsonl(metrics)] == [1, 2, 3, 4]
    assert "resuming from" in (out / second / sweeping.TRAIN_LOG).read_text()
    assert rows[second]["checkpoint"] == str(out / second / "checkpoint-4")
    assert rows[third]["status"] == "failed"
    assert rows[third]["cause"].startswith("error: ")
    assert "fewer than grpo.prompts_per_step" in rows[third]["cause"]
    assert rows[third]["checkpoint"] is None
    content = json.loads((out / "sweep.json").read_text())
    assert content["sweep"]["parameters"] == {"data.limit": {"values": [12, 11, 1]}}
    assert content["kind"] == "sweep"
    assert content["provenance"]["commit"]


# ---- with scripts that only say how they were called -----------------------------------------------------------

FAKE_TRAINING = """
import json, os, pathlib, sys
out = pathlib.Path(sys.argv[1])
assert os.environ["WANDB_RUN_GROUP"] == out.parent.name  # the runs of a sweep stand together in W&B
for step in (2, 4):
    (out / f"checkpoint-{step}").mkdir(parents=True)
    (out / f"checkpoint-{step}" / "infoagent.json").write_text("{}")
if "best" in out.name:
    (out / "best.json").write_text(json.dumps({"checkpoint": "checkpoint-2"}))
"""
FAKE_EVALUATION = """
import os, pathlib, sys
assert os.environ["WANDB_RUN_GROUP"] == "out"
if "bad" in sys.argv[-2]:
    sys.exit("error: cannot be evaluated")
with open({calls!r}, "a") as f:
    f.write(" ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
print("a table")
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    calls = tmp_path / "calls.txt"
    calls.touch()
    for name in ("checkpoint.py", "frontier.py"):
        (tmp_path / name).write_text(FAKE_EVALUATION.format(calls=str(calls)))
    (tmp_path / "train.py").write_text(FAKE_TRAINING)
    monkeypatch.setattr(sweeping, "shipped", lambda script: tmp_path / Path(script).name)
    return calls


def sweep_of(tmp_path, *names):
    file = SweepFile.model_validate(
        {
            "program": "p",
            "method": "grid",
            "parameters": {"seed": {"values": list(range(len(names)))}},
            "command": ["python", "${program}", "r.yaml", "${args_no_hyphens}"],
        }
    )
    runs = []
    for seed, name in enumerate(names):
        recipe = GRPORecipe(output_dir=str(tmp_path / "out" / name), seed=seed)
        runs.append(SweepRun(name, {"seed": seed}, recipe, [sys.executable, str(tmp_path / "train.py"), recipe.output_dir]))
    return sweeping.Sweep("sweep.yaml", file, runs, str(tmp_path / "out"))


def test_the_best_checkpoint_is_proven_else_the_last_and_then_the_frontier(fakes, tmp_path, capfd):
    out = tmp_path / "out"
    assert sweep_of(tmp_path, "plain", "best", "bad").run("e.yaml") == 1
    assert fakes.read_text().splitlines() == [
        f'checkpoint.py e.yaml --quiet checkpoint="{out}/plain/checkpoint-4" output_dir="{out}/eval"',
        f'checkpoint.py e.yaml --quiet checkpoint="{out}/best/checkpoint-2" output_dir="{out}/eval"',
        f"frontier.py {out}/eval --out {out}",
    ]
    assert "a table" in capfd.readouterr().out  # the frontier's own, and no other
    found = rows_of(out)
    assert found["best"]["evaluation"]["checkpoint"] == f"{out}/best/checkpoint-2"
    assert found["bad"]["evaluation"]["cause"] == "error: cannot be evaluated"
    assert [row["status"] for row in found.values()] == ["finished"] * 3


def test_an_evaluation_that_failed_once_is_no_failure_of_calls_without_one(fakes, tmp_path):
    assert sweep_of(tmp_path, "plain", "bad").run("e.yaml") == 1
    assert sweep_of(tmp_path, "plain", "bad").run() == 0
    assert sweep_of(tmp_path, "plain", "bad").run("e.yaml") == 1  # asked for again, it is tried again


def test_a_grid_that_changed_keeps_what_was_done(fakes, tmp_path):
    assert sweep_of(tmp_path, "a", "b").run() == 0
    assert sweep_of(tmp_path, "a", "c").run() == 0
    rows = rows_of(tmp_path / "out")
    assert list(rows) == ["a", "c", "b"]
    assert [row["attempts"] for row in rows.values()] == [1, 1, 1]
    assert rows["b"]["status"] == "finished"


def test_a_command_that_cannot_start_is_a_failed_run(fakes, tmp_path):
    sweep = sweep_of(tmp_path, "a", "b")
    sweep.runs[0].command[0] = "no-such-launcher"
    assert sweep.run() == 1
    rows = rows_of(tmp_path / "out")
    assert rows["a"]["cause"] == "no-such-launcher: No such file or directory"
    assert rows["b"]["status"] == "finished"
