"""The clock of eval/bench/time_to_result.py on the tiny model: it stops where the metrics of the runs say, and never before."""

import json

import pytest
from conftest import run_script

from infoagent.files import read_jsonl
from infoagent.training.clock import Clock

RECIPES = ["configs/train/time_to_result.yaml", "configs/train/time_to_result_grpo.yaml"]


def overrides(tiny_dir):
    return [f"model.name={tiny_dir}", "model.dtype=float32", "data.limit=12", "data.min_words=30", "data.max_words=40", "lora.r=4",
            "validation.limit=4"]  # fmt: skip


SFT = ["sft.rounds=2", "sft.problems_per_round=4", "sft.batch_size=2", "sft.micro_batch=2", "selection.min_reward_nats=-9",
       "sampling.max_completion_tokens=20"]  # fmt: skip


@pytest.mark.slow
def test_without_a_better_checkpoint_there_are_no_minutes(tiny_dir, tmp_path):
    out, runs = tmp_path / "clock.json", tmp_path / "runs"
    command = [RECIPES[0], *overrides(tiny_dir), *SFT, "--gain", "50", "--runs", str(runs), "--out", str(out)]
    result = run_script("eval/bench/time_to_result.py", *command)
    assert result.returncode == 1
    assert "no checkpoint stood 50 nats above the frozen model" in result.stderr
    found = json.loads(out.read_text())
    rows = [r for r in read_jsonl(runs / "time_to_result" / "metrics.jsonl") if "validation/objective/hard_nats" in r]
    assert [v["nats"] for v in found["validations"]] == [r["validation/objective/hard_nats"] for r in rows]
    assert len(rows) == 2
    assert "minutes" not in found
    assert set(found["seconds"]) == {"start", "choosing", "fitting", "validation"}
    assert sum(found["seconds"].values()) <= 60 * found["validations"][-1]["minutes"] + 1


def test_the_clock_stops_at_the_first_checkpoint_that_is_so_much_better():
    clock = Clock(0.5)
    for kind, nats in (("fitting", None), ("validation", 0.4), ("fitting", None), ("validation", 0.6), ("validation", 0.9)):
        row = {} if nats is None else {"validation/objective/hard_nats": nats, "validation/rate/tokens": 9.0}
        clock.note(kind, row, 10.0)
    found = clock.found()
    assert found["reached_nats"] == 0.6
    assert found["minutes"] == found["validations"][1]["minutes"]
    assert found["seconds"] == {"fitting": 20.0, "validation": 20.0}  # what comes behind is not counted


@pytest.mark.slow
def test_the_share_of_the_reward_is_that_of_the_steps(tiny_dir, tmp_path):
    out, runs = tmp_path / "clock.json", tmp_path / "runs"
    grpo = ["grpo.steps=3", "grpo.save_steps=3", "grpo.prompts_per_step=2", "grpo.num_generations=2", "grpo.micro_batch=4"]
    result = run_script(
        "eval/bench/time_to_result.py", RECIPES[1], *overrides(tiny_dir), *grpo, "--runs", str(runs), "--out", str(out)
    )
    assert result.returncode in (0, 1), result.stderr
    steps = [
        r["scorer/share_of_step"] for r in read_jsonl(runs / "time_to_result_grpo" / "metrics.jsonl") if "scorer/share_of_step" in r
    ]
    assert json.loads(out.read_text())["scoring_share_of_step"] == pytest.approx(steps[2])
    assert len(steps) == 3


def test_what_cannot_be_timed_is_refused(tmp_path):
    for arguments, message in (
        (["configs/train/teacher.yaml", "data.path=q.jsonl"], "names no validation"),
        ([RECIPES[0], "--gain", "0"], "--gain"),
        ([RECIPES[0], "--runs", str(tmp_path)], "exists; the clock starts from nothing"),
    ):
        result = run_script("eval/bench/time_to_result.py", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
