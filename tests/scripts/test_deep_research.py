"""eval/applications/deep_research.py as a user calls it."""

import json
import re

import pytest
import yaml
from conftest import WITHOUT_TORCH, run_killed_at, run_script
from fake_server import FakeServer, ok
from tiny import save_adapter

from infoagent.files import read_jsonl

KEY = "sk-a-secret-that-stands-nowhere"


def planner_and_reporter(chat):
    """Copies the questions of a built task as queries, and its notes as the report."""
    text = chat[-1]["content"]
    if "search queries" in text:
        return "\n".join(line for line in text.splitlines() if re.match(r"[^:]+: \w.*\?$", line))
    notes = re.findall(r"\[(\d+)\] (.*?)(?=\n\n\[|\n\nWrite)", text, re.DOTALL)
    return "\n".join(f"{' '.join(note.split()).rstrip('.')} [{n}]." for n, note in notes) or "Nothing is known."


@pytest.fixture
def recipe(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}

    def write(url="http://127.0.0.1:9/v1", **more):
        content = {
            "output_dir": str(tmp_path / "out"),
            "tasks": {"limit": 3},
            "search": {"corpus": {"data": {"name": "records", "limit": 40, "min_words": 40, "max_words": 60}}},
            "predictor": {
                "name": "fake", "kind": "endpoint", "max_tokens": 2000, "temperature": 0.7,
                "endpoint": {"base_url": url, "api_key_env": "FAKE_KEY", "retries": 1, "backoff_seconds": 0.01},
            },
            "queries": 4, "sources": 2, "source_characters": 300, "runs": 2,
            "systems": [
                {"label": "whole", "kind": "full-document", "model": model},
                {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
                {"label": "frozen", "model": model, "max_tokens": 8},
            ],
            "judge": {"model": model, "weights": {"depth": 1.0}},
            "cost": {"prices": {"fake": {"input": 1.0, "output": 2.0}}},
            **more,
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write


def run(*arguments, **environment):
    return run_script("eval/applications/deep_research.py", *arguments, "--quiet", FAKE_KEY=KEY, **environment)


def test_a_run_is_killed_resumes_and_says_what_it_found(recipe, tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "adapter")
    out = tmp_path / "out"
    with FakeServer(planner_and_reporter, key=KEY, script=lambda body, before: ok()) as server:
        made = recipe(server.url)
        command = ["eval/applications/deep_research.py", made, f"checkpoint={adapter}", "--quiet"]
        run_killed_at(f"{out}/records.jsonl#8", *command, FAKE_KEY=KEY)
        assert not (out / "deep_research.json").exists()
        kept = [r for r in read_jsonl(out / "records.jsonl") if r["kind"] == "reply" and "usd" in r]
        assert kept
        done = run(made, f"checkpoint={adapter}")
        assert done.returncode == 0, done.stderr
        # a plan, and a report of each of 4 systems, for 3 tasks and 2 runs; what was under way at the kill is asked again
        assert 6 * 5 <= len(server.requests) <= 6 * 5 + 4
    found = json.loads((out / "deep_research.json").read_text())
    systems = {s["label"]: s for s in found["systems"]}
    trained = f"trained {tmp_path.name}/adapter"
    assert list(systems) == ["whole", "lead", "frozen", trained]
    assert [(c["system"], c["against"]) for c in found["comparisons"]][-1] == (trained, "frozen")
    # whoever copies whole sources states all that was found in them, and cites it rightly
    whole = systems["whole"]["values"]
    assert whole["facts/report"]["value"] == whole["facts/sources"]["value"] > 0.5
    assert whole["citations/supported"]["value"] > 0.9
    assert whole["facts/report"]["n"] == 3
    assert whole["facts/report"]["reports"] == 6
    rows = read_jsonl(out / "reports.jsonl")
    assert len(rows) == 3 * 2 * 4
    for row in rows:  # systems share plan and sources of a run
        other = next(r for r in rows if (r["task_id"], r["run"], r["system"]) == (row["task_id"], row["run"], "whole"))
        assert row["queries"] == other["queries"]
        assert row["sources"] == other["sources"]
    assert systems["whole"]["cost"]["total"]["usd"] > systems["lead"]["cost"]["total"]["usd"] > 0
    assert systems["frozen"]["cost"]["compress"]["gflops"] > 0
    assert "<svg" in (out / "quality_cost.svg").read_text()
    assert "| whole | 6 |" in (out / "tables.md").read_text()
    assert "whole" in done.stdout
    assert KEY not in "".join(f.read_text() for f in out.iterdir() if f.is_file())


def test_a_dry_run_prices_every_stage_without_torch_network_and_keys(tmp_path):
    done = run_script(
        "-c", WITHOUT_TORCH, "eval/applications/deep_research.py", "configs/eval/deep_research_full.yaml", "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    lines = {tuple(line.split()[:2]): line for line in done.stdout.splitlines() if line[:1].isalpha() and line.split()}
    # 20 tasks × 5 runs: 100 plans, 8 queries each, 10 sources each, one compression for each
    assert re.search(r"plan +gpt-4\.1 +100 ", done.stdout)
    assert re.search(r"search +web +800 ", done.stdout)
    assert re.search(r"read +web +8,000 ", done.stdout)
    assert re.search(r"compress +frozen +8,000 ", done.stdout)
    assert re.search(r"report +whole sources +100 +16,\d\d\d,\d\d\d +200,000 ", done.stdout)  # 80 × 8,000 / 4 tokens each
    assert ("in", "all:") in lines
    assert "tasks.path = 'tasks.jsonl': not there yet" in done.stdout


def test_wrong_input_is_said_in_lines_before_anything_loads(recipe, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"id": "a", "task": "x"}\n{"id": "a", "task": ""}\n{"task": "x"}\n')
    done = run(recipe(tasks={"path": str(tasks)}), "checkpoint=nowhere", "systems.2.prompt.template=query-v7")
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert all(line.startswith("error: ") for line in lines), done.stderr
    assert any("tasks.jsonl:2: field 'task'" in line for line in lines)
    assert any("tasks.jsonl:3: field 'id': missing" in line for line in lines)
    assert any("'query-v7' is unknown" in line for line in lines)
    assert not (tmp_path / "out").exists()
