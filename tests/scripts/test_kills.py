"""Twenty kills at random times of each command that computes for long: the next call goes on, and ends where a call that
nobody disturbed ends. Minutes each; `make test-slow` runs them."""

import contextlib
import json
import os
import random
import signal
import time

import pydantic_core
import pytest
import test_dpo
import test_grpo
import test_information
import test_rounds
import test_sft
import yaml
from conftest import run_script, start_script
from tiny import save_adapter

from infoagent.files import read_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
KILLS = 20
TIMES = ("scorer/", "time/", "seconds", "started", "machine", "memory")


def recipe(path, content):
    path.write_text(yaml.safe_dump(content))
    return str(path)


def grid(tiny, out):
    model = {"name": str(tiny), "dtype": "float32"}
    content = {
        "output_dir": str(out), "data": [{"name": "records", "limit": 6, "min_words": 30, "max_words": 45}],
        "compressors": [{"label": "lm", "model": model, "max_tokens": 8},
                        {"label": "lead", "kind": "lead", "sentences": 1, "model": model}],
        "predictors": [model], "negatives": {"random": 2, "counterfactual": 2}, "batch_size": 1, "resamples": 50, "samples": 2,
    }  # fmt: skip
    return ["eval/frozen.py", recipe(out.parent / f"{out.name}.yaml", content), "--quiet"]


def rounds(tiny, out):
    model = {"name": str(tiny), "dtype": "float32"}
    content = {
        "output_dir": str(out),
        "data": {"limit": 4, "min_words": 30, "max_words": 45},
        "systems": [{"label": "asks", "model": model, "max_tokens": 6, "rounds": 2}],
        "predictor": model,
        "negatives": {"random": 1, "counterfactual": 2},
        "question_tokens": 6,
        "batch_size": 1,
    }
    return ["eval/applications/rounds.py", recipe(out.parent / f"{out.name}.yaml", content), "--quiet"]


def score(tiny, out):
    documents, texts = out.parent / "documents.jsonl", out.parent / "texts.jsonl"
    rows = [{"id": f"d{i}", "document": f"The lot {i * 37} was sold on day {i}. " * 4, "query": "Which lot?"} for i in range(24)]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts.write_text("".join(json.dumps({"id": r["id"], "compression": r["document"][:30]}) + "\n" for r in rows))
    return [
        "-m",
        "infoagent.cli",
        "score",
        "--documents",
        str(documents),
        "--compressions",
        str(texts),
        "--model",
        str(tiny),
        "--out",
        str(out / "scores.npz"),
        "--quiet",
    ]


def compress(tiny, out):
    folder = out.parent / "texts"
    folder.mkdir(exist_ok=True)
    for i in range(24):
        (folder / f"{i}.txt").write_text(f"The lot {i * 37} was sold on day {i}. " * 4)
    return [
        "-m",
        "infoagent.cli",
        "compress",
        str(folder),
        "--model",
        str(tiny),
        "--out",
        str(out),
        "--budget",
        "8",
        "--batch-size",
        "1",
        "--quiet",
    ]


def information(tiny, out):
    made = test_information.settings(tiny, out, documents=12, samples=1, **{"data.limit": 20})
    return ["eval/information.py", test_information.RECIPE, *made, "--quiet"]


def grpo(tiny, out):
    return ["train/grpo.py", *test_grpo.overrides(tiny, out), "--quiet"]


def sft(tiny, out):
    return ["train/sft.py", *test_sft.overrides(tiny, out), "--quiet"]


def dpo(tiny, out):
    tiny_settings = ["configs/train/dpo.yaml", f"output_dir={out}", f"model.name={tiny}", *test_dpo.TINY]
    return [
        "train/dpo.py",
        *tiny_settings,
        "dpo.batch_size=3",
        "candidates=[]",
        "dpo.save_steps=1",
        "dpo.learning_rate=0.01",
        "pairs.margin_nats=0.05",
        "pairs.per_problem=1",
        "--quiet",
    ]


def checkpoint(tiny, out):
    adapter = out.parent / "adapter"
    if not adapter.exists():
        save_adapter(tiny, adapter)
    _, made, *quiet = grid(tiny, out)
    return ["eval/checkpoint.py", made, f"checkpoint={adapter}", *quiet]


def compaction(tiny, out):
    model, talks = {"name": str(tiny), "dtype": "float32"}, out.parent / "talks.jsonl"
    test_rounds.write_talks(talks)
    content = {
        "output_dir": str(out), "data": {"name": "conversations", "path": str(talks)}, "every": 2, "compactions": 2,
        "asked": 1, "versions": 2, "batch_size": 1, "predictor": model,
        "compactors": [{"label": "writes", "model": model, "max_tokens": 20},
                       {"label": "newest", "kind": "tail", "model": model, "max_tokens": 60}],
    }  # fmt: skip
    return ["eval/applications/compaction.py", recipe(out.parent / f"{out.name}.yaml", content), "--quiet"]


COMMANDS = (grid, checkpoint, rounds, compaction, information, score, compress, grpo, sft, dpo)
QUIET = {"WANDB_MODE": "disabled"}


def found(out):
    """What a directory holds in the end, without times: rows by their content, keys of records once."""
    content = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".jsonl":
            rows = [{k: v for k, v in row.items() if not any(t in k for t in TIMES)} for row in read_jsonl(path)]
            content[name] = sorted(json.dumps(_near(row), sort_keys=True) for row in rows)
        elif path.suffix == ".txt" or path.name in ("adapter_model.safetensors", "scores.npz"):
            content[name] = path.stat().st_size
    return content


def _near(value):
    """Sums in another order differ in their last digits."""
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, dict):
        return {k: _near(v) for k, v in value.items() if not any(t in k for t in TIMES)}
    return [_near(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("make", COMMANDS, ids=lambda make: make.__name__)
def test_killed_twenty_times_it_ends_where_it_would_have_ended(make, tiny_dir, tmp_path):
    draw, kills, rounds_done = random.Random(make.__name__), 0, 0
    for whole in (tmp_path / "first", tmp_path / "whole"):  # the first may have waited for libraries to load
        start = time.monotonic()
        done = run_script(*make(tiny_dir, whole), **QUIET)
        seconds = time.monotonic() - start
        assert done.returncode == 0, done.stderr
    wanted = found(whole)
    assert found(tmp_path / "first") == wanted
    while kills < KILLS:
        out = tmp_path / f"killed-{rounds_done}"
        command = make(tiny_dir, out)
        for _ in range(8):  # in a row: more than a run takes would leave nothing to kill
            process = start_script(*command, **QUIET)
            with contextlib.suppress(TimeoutError):
                _wait(process, draw.uniform(0.05, 0.7) * seconds)
            killed = process.poll() is None
            os.kill(process.pid, signal.SIGKILL) if killed else None
            process.wait(60)
            kills += killed
            for path in out.rglob("*.json") if out.exists() else ():
                if not path.name.startswith(".") and "checkpoint-" not in str(path):  # a trainer's own are its own
                    pydantic_core.from_json(path.read_bytes(), allow_inf_nan=False)  # whole, or not there
            if not killed:
                break
        last = run_script(*command, **QUIET)
        assert last.returncode == 0, last.stderr
        assert found(out) == wanted
        rounds_done += 1
    print(f"{make.__name__}: {kills} kills over {rounds_done} directories")


def _wait(process, seconds):
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("make", COMMANDS, ids=lambda make: make.__name__)
def test_disks_that_fill_at_twenty_points_leave_it_where_it_would_have_ended(make, tiny_dir, tmp_path):
    """A file that cannot grow any more, by a limit drawn between nothing and the largest file that the command writes."""
    draw, whole = random.Random(f"full {make.__name__}"), tmp_path / "whole"
    done = run_script(*make(tiny_dir, whole), **QUIET)
    assert done.returncode == 0, done.stderr
    wanted = found(whole)
    sizes = sorted(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    told = 0
    for trial in range(KILLS):
        out = tmp_path / f"full-{trial % 4}"  # several in a row on one directory
        command = make(tiny_dir, out)
        room = int(draw.choice(sizes) * draw.uniform(0.1, 1)) + 100
        stopped = run_script(*command, limits={"FSIZE": room}, **QUIET)
        assert stopped.returncode in (0, 1), (room, stopped.stderr)
        assert "Traceback" not in stopped.stderr, (room, stopped.stderr)
        told += stopped.returncode
        if stopped.returncode:
            lines = [line for line in stopped.stderr.splitlines() if line.startswith("failed: ")]
            assert len(lines) == 1, (room, stopped.stderr)
    for n in range(4):
        last = run_script(*make(tiny_dir, tmp_path / f"full-{n}"), **QUIET)
        assert last.returncode == 0, last.stderr
        assert found(tmp_path / f"full-{n}") == wanted
    print(f"{make.__name__}: {told} of {KILLS} runs met a full disk")
    assert told
