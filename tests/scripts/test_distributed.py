"""Several processes for real: the same way as one, nothing done twice, no engine but the one asked for, no silent death."""

import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from conftest import ROOT, eventually, run_script, run_together
from safetensors.torch import load_file

from infoagent.files import read_jsonl

STEPS = 4
TIMES = ("scorer/", "time/", "memory/", "train/step_seconds")
EXACT = 1e-5


def launch_arguments(config, script="tests/watched_run.py"):
    # port 0: a free one, so that launches side by side do not meet
    return ["-m", "accelerate.commands.launch", "--config_file", str(config), "--main_process_port", "0", script]


def overrides(tiny_dir, out, steps=STEPS):
    return [
        "configs/train/records.yaml",
        f"output_dir={out}",
        f"model.name={tiny_dir}",
        "model.dtype=float32",
        "data.limit=12",
        "data.min_words=30",
        "data.max_words=40",
        f"grpo.steps={steps}",
        "grpo.num_generations=4",
        "grpo.prompts_per_step=2",
        "grpo.micro_batch=4",
        "grpo.max_completion_tokens=10",
        "grpo.save_steps=2",
        "grpo.learning_rate=0.01",
        "lora.r=4",
        "negatives.random=2",
        "negatives.counterfactual=2",
        "reward.price=null",
        "reward.budget=6",
        "reward.price_warmup_steps=1",
        "tracking.wandb=disabled",
    ]


def watched(out, **environment):
    """The environment in which tests/watched_run.py finds the package and where to write."""
    watch = out.parent / "watch"
    watch.mkdir(exist_ok=True)
    return {"WATCH_DIR": str(watch), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}


def run(tiny_dir, out, config, *more, **environment):
    return run_script(*launch_arguments(config), *overrides(tiny_dir, out), *more, **watched(out, **environment))


def finished(tiny_dir, out, config, *more):
    result = run(tiny_dir, out, config, *more)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def alone(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    result = run_script("tests/watched_run.py", *overrides(tiny_dir, out), **watched(out, ACCELERATE_USE_CPU="true"))
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def together(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("together") / "run"
    result = run_together("tests/watched_run.py", *overrides(tiny_dir, out), **watched(out))
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope="module")
def zero2(tiny_dir, tmp_path_factory):
    pytest.importorskip("deepspeed")
    return finished(tiny_dir, tmp_path_factory.mktemp("zero2") / "run", "accelerate_configs/cpu_zero2.yaml")


def seen(out, rank):
    """What the reward of a process saw and gave, one entry a step."""
    return read_jsonl(out.parent / "watch" / f"rows-{rank}.jsonl")


def metrics(out):
    rows = read_jsonl(out / "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith(TIMES)} for row in rows]


def adapter(out, step=STEPS):
    return load_file(out / f"checkpoint-{step}" / "adapter_model.safetensors")


def assert_same_way(out, expected):
    """The same samples get the same rewards, and the same means, losses and weights come of it."""
    for step, (whole, first, second) in enumerate(zip(seen(expected, 0), seen(out, 0), seen(out, 1), strict=True), start=1):
        assert whole["step"] == first["step"] == second["step"] == step
        for name in ("problems", "completions"):
            assert first[name] + second[name] == whole[name]
        assert first["rewards"] + second["rewards"] == pytest.approx(whole["rewards"], abs=EXACT)
        assert first["price"] == second["price"] == pytest.approx(whole["price"], abs=1e-9)
    for got, wanted in zip(metrics(out), metrics(expected), strict=True):
        assert got == pytest.approx(wanted, abs=EXACT)
    weights, wanted = adapter(out), adapter(expected)
    assert weights.keys() == wanted.keys()
    assert max(float((weights[name] - wanted[name]).abs().max()) for name in wanted) < EXACT


def test_two_processes_take_the_way_of_one(alone, together):
    assert_same_way(together, alone)
    losses = [row["train/loss"] for row in metrics(alone)]
    assert max(map(abs, losses)) > 10 * EXACT  # equal because they are, not because they vanish
    assert len({row["price"] for row in seen(alone, 0)}) > 1  # and the price moved


def test_problems_are_shared_out_and_not_repeated(together):
    for first, second in zip(seen(together, 0), seen(together, 1), strict=True):
        assert len(set(first["problems"])) == len(set(second["problems"])) == 1
        assert set(first["problems"]).isdisjoint(second["problems"])
        assert len({tuple(ids) for row in (first, second) for ids in row["completions"]}) == 8


def test_only_the_first_process_writes(alone, together):
    assert [json.loads((out / "run.json").read_text())["processes"] for out in (alone, together)] == [1, 2]
    assert [row["step"] for row in read_jsonl(together / "metrics.jsonl")] == list(range(1, STEPS + 1))
    writes = [set((together.parent / "watch" / f"writes-{rank}.txt").read_text().split()) for rank in (0, 1)]
    assert {"run.json", "metrics.jsonl", f"checkpoint-{STEPS}/adapter_model.safetensors"} <= writes[0]
    own = {f"checkpoint-{step}/rng_state_1.pth" for step in (2, STEPS)}
    assert writes[1] <= own | {f"checkpoint-{step}" for step in (2, STEPS)}
    files = [{str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()} for out in (alone, together)]
    states = [{name for name in found if "rng_state" in name} for found in files]
    assert files[0] - states[0] == files[1] - states[1]


def test_zero2_in_two_processes_takes_the_same_way(alone, zero2):
    run_file = json.loads((zero2 / "run.json").read_text())
    assert (run_file["engine"], run_file["processes"]) == ("ZeRO-2", 2)
    parts = list((zero2 / f"checkpoint-{STEPS}").glob(f"global_step{STEPS}/zero_pp_rank_*_optim_states.pt"))
    assert len(parts) == 2  # the optimizer is in two halves: it was DeepSpeed that trained
    assert_same_way(zero2, alone)


def test_a_checkpoint_of_zero2_loads_and_scores(tiny_dir, zero2):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_dir)
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        before = base(ids).logits
        model = PeftModel.from_pretrained(base, zero2 / f"checkpoint-{STEPS}")
        after = model(ids).logits
    loaded = {name.replace(".default", ""): w for name, w in model.named_parameters() if "lora" in name}
    assert all(torch.equal(loaded.pop(name), weight) for name, weight in adapter(zero2).items())
    assert not loaded
    assert after.isfinite().all()
    assert float((after - before).abs().max()) > 0.01


@pytest.mark.slow
def test_zero2_goes_on_from_its_checkpoint(tiny_dir, tmp_path, alone, zero2):
    out = tmp_path / "run"
    shutil.copytree(zero2, out)
    shutil.rmtree(out / f"checkpoint-{STEPS}")
    result = run(tiny_dir, out, "accelerate_configs/cpu_zero2.yaml", f"output_dir={out}")
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stderr
    assert [row["step"] for row in seen(out, 0)] == [3, 4]
    for got, wanted in zip(metrics(out), metrics(alone), strict=True):
        assert got == pytest.approx(wanted, abs=EXACT)


@pytest.mark.slow  # tests/training/test_engine.py asks the same of every engine, without a launch
@pytest.mark.parametrize(
    ("environment", "in_use"),
    [
        ({"ACCELERATE_USE_CPU": "true"}, ["in use is data parallel, rank 0 of 2", "in use is data parallel, rank 1 of 2"]),
        ({"BELIEF": "alone"}, ["asked for ZeRO-2, rank 1 of 2; in use is ZeRO-2, rank 0 of 1"]),
    ],
)
def test_another_engine_than_the_one_asked_for_is_refused(tiny_dir, tmp_path, environment, in_use):
    pytest.importorskip("deepspeed")
    out = tmp_path / "run"
    result = run(tiny_dir, out, "accelerate_configs/cpu_zero2.yaml", **environment)
    assert result.returncode == 1
    assert "failed: engine: asked for ZeRO-2" in result.stderr
    for part in in_use:
        assert part in result.stderr
    assert not (out / "metrics.jsonl").exists()


def test_a_killed_process_ends_the_launch_with_a_message(tiny_dir, tmp_path):
    out, log = tmp_path / "run", tmp_path / "stderr.txt"
    command = [sys.executable, *launch_arguments("accelerate_configs/cpu_2proc.yaml", "train/grpo.py")]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *overrides(tiny_dir, out, steps=1000)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        eventually(lambda: process.poll() is not None or (out / "metrics.jsonl").is_file())
        assert process.poll() is None, log.read_text()
        workers = psutil.Process(process.pid).children(recursive=True)
        second = next(w for w in workers if w.environ().get("RANK") == "1")
        second.send_signal(signal.SIGKILL)
        code = process.wait(timeout=300)
    finally:
        process.kill()
    assert code != 0
    assert "SIGKILL" in log.read_text()
    assert not psutil.wait_procs(workers, timeout=300)[1], "a process outlived the launch"


@pytest.mark.slow
def test_zero3_in_two_processes_takes_the_same_way(tiny_dir, tmp_path, alone):
    pytest.importorskip("deepspeed")
    config = tmp_path / "zero3.yaml"
    text = (ROOT / "accelerate_configs/cpu_zero2.yaml").read_text()
    config.write_text(text.replace("zero_stage: 2", "zero_stage: 3").replace("init_flag: false", "init_flag: true"))
    out = finished(tiny_dir, tmp_path / "run", config)
    assert json.loads((out / "run.json").read_text())["engine"] == "ZeRO-3"
    assert_same_way(out, alone)


@pytest.mark.slow
def test_sharded_weights_on_the_cpu_are_refused(tiny_dir, tmp_path):
    config = tmp_path / "fsdp2.yaml"
    text = (ROOT / "accelerate_configs/fsdp2.yaml").read_text()
    for old, new in (("use_cpu: false", "use_cpu: true"), ("bf16", "'no'"), ("num_processes: 8", "num_processes: 2")):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    result = run(tiny_dir, tmp_path / "run", config)
    assert result.returncode == 1
    assert "asked for FSDP 2, rank 1 of 2; in use is data parallel" in result.stderr
