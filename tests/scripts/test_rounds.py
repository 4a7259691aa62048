"""Rounds and compactions, run as a user runs their scripts: whole, killed and gone on with, and with mistakes."""

import json

import pytest
import yaml
from conftest import WITHOUT_TORCH, run_killed_at, run_script


def written(path, content):
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def rounds(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return written(
        tmp_path / "rounds.yaml",
        {
            "output_dir": str(tmp_path / "out"),
            "data": {"limit": 3, "min_words": 30, "max_words": 45},
            "systems": [
                {"label": "asks", "model": model, "max_tokens": 6, "rounds": 2},
                {"label": "once", "model": model, "max_tokens": 12, "rounds": 1},
            ],
            "predictor": model,
            "negatives": {"random": 1, "counterfactual": 2},
            "question_tokens": 6,
        },
    )


def test_rounds_end_to_end(rounds, tmp_path):
    dry = run_script("-c", WITHOUT_TORCH, "eval/applications/rounds.py", rounds, "cost.gflops_per_second=50", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "asks: 6 texts in 2 rounds with rewritten questions, 24 cells to score" in dry.stdout
    assert not (tmp_path / "out").exists()
    done = run_script("eval/applications/rounds.py", rounds, "--quiet")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "out/rounds.json").read_text())
    assert kept["recipe"]["systems"][0]["label"] == "asks"
    assert kept["versions"]["torch"]
    assert kept["data"]["revision"].startswith("sha256:")
    second = kept["systems"][0]["information"]["hard"][1]
    assert f"{second['gain']['value']:+.2f} [{second['gain']['low']:+.2f}, {second['gain']['high']:+.2f}]" in done.stdout
    assert "asks, hard candidates: " in done.stdout
    assert "<svg" in (tmp_path / "out/rounds.svg").read_text()
    assert len((tmp_path / "out/tables.md").read_text().splitlines()) == (2 + 3) + 1 + (2 + 1)
    line = json.loads((tmp_path / "out/metrics.jsonl").read_text().splitlines()[1])
    assert line["mi/hard_nats"] == kept["systems"][1]["information"]["hard"][0]["total"]["infonce_nats"]
    other = run_script(
        "eval/applications/compaction.py",
        "configs/eval/compaction.yaml",
        f"output_dir={tmp_path / 'out'}",
        "checkpoint=nowhere",
        "--quiet",
    )
    assert other.returncode == 2
    assert other.stderr.startswith("error: adapter 'nowhere': no such directory")
    assert other.stderr.count("\n") == 1


def write_talks(path):
    """Nine conversations of four facts each, as JSONL."""
    talks = [
        {
            "id": f"talk{n}",
            "turns": [
                message
                for t in range(4)
                for message in (
                    {"role": "user", "content": f"Please write down that the lot number {1000 * (n + 1) + 37 * t} was sold today."},
                    {"role": "assistant", "content": "Noted."},
                )
            ],
        }
        for n in range(9)
    ]
    path.write_text("".join(json.dumps(talk) + "\n" for talk in talks))


@pytest.mark.slow
def test_a_killed_compaction_of_own_conversations_goes_on(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    write_talks(tmp_path / "talks.jsonl")
    recipe = written(
        tmp_path / "compaction.yaml",
        {
            "output_dir": str(tmp_path / "out"),
            "data": {"name": "conversations", "path": str(tmp_path / "talks.jsonl")},
            "every": 2,
            "compactions": 2,
            "asked": 1,
            "versions": 2,
            "batch_size": 1,
            "compactors": [
                {"label": "writes", "model": model, "max_tokens": 40},
                {"label": "newest", "kind": "tail", "model": model, "max_tokens": 60},
            ],
            "predictor": model,
        },
    )
    command = ["eval/applications/compaction.py", recipe, "--quiet"]
    records = tmp_path / "out/records.jsonl"
    run_killed_at("out/records.jsonl#13", *command)
    before = [json.loads(line)["key"] for line in records.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert not (tmp_path / "out/compaction.json").exists()
    done = run_script(*command)
    assert done.returncode == 0, done.stderr
    keys = [json.loads(line)["key"] for line in records.read_text().splitlines()]
    assert keys[: len(before)] == before
    assert len(keys) == len(set(keys))
    kept = json.loads((tmp_path / "out/compaction.json").read_text())
    assert [c["histories"] for c in kept["compactors"]] == [9, 9]
    # the newest turns say nothing of the first, so nothing is left of it after the second compaction
    assert kept["compactors"][1]["after"][2]["exact_nats"]["value"] == 0
    assert kept["compactors"][1]["after"][2]["fact/stated"]["value"] == 0
    assert "<svg" in (tmp_path / "out/compaction.svg").read_text()
    assert "9 histories of conversations, compacted every 2 turns" in done.stdout
