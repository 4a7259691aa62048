"""The grid against an endpoint that misbehaves: nothing lost, nothing paid twice, the limit holds, no key anywhere."""

import json

import pytest
import yaml
from conftest import run_script
from fake_server import FakeServer, drop, not_json, ok, status, truncated

from infoagent.analysis.session import run_evaluation
from infoagent.config import exit_code, load_recipe
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.runner import evaluate
from infoagent.evaluation.summary import summarise
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import grid_of, read_records
from infoagent.records.json_form import as_json

KEY = "sk-a-secret-that-stands-nowhere"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("FAKE_KEY", KEY)


def recipe(tiny_dir, out, server, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    endpoint = {"base_url": server.url, "api_key_env": "FAKE_KEY", "retries": 3, "timeout_seconds": 60.0, "backoff_seconds": 0.01}
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": 6, "min_words": 40, "max_words": 60}],
            "compressors": [
                {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
                {"label": "tail", "kind": "tail", "sentences": 1, "model": model},
            ],
            "predictors": [{"name": "fake", "kind": "endpoint", "endpoint": endpoint, "max_tokens": 16}],
            "negatives": {"random": 1, "counterfactual": 1},
            "cost": {"prices": {"fake": {"input": 1000.0, "output": 1000.0}}},
            "resamples": 50,
            **more,
        }
    )


def run(made):
    return as_json(evaluate(made, plan_cells(made), quiet=True))


def first_choice(chat):
    return "A"


def test_faults_lose_nothing_and_pay_for_nothing_twice(tiny_dir, tmp_path, key):
    script = [status(429), ok(), drop(), not_json(), status(500), truncated(), ok()]
    with FakeServer(first_choice, script=script) as server:
        made = recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0)
        rows = run(made)
        asked = len(server.requests)
        answers = [r for r in rows if r["kind"] == "prediction"]
        assert len(answers) == 12
        assert {r["status"] for r in answers} == {"ok"}
        assert asked == 12 + 5  # each fault cost one more request
        run(made)
        assert len(server.requests) == asked
        # another grade of the same replies asks nobody
        again = run(recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0, grading={"method": "exact"}))
        assert len(server.requests) == asked
        assert {r["grade"]["method"] for r in again if r["kind"] == "prediction"} == {"exact"}
    replies = [r for r in read_records(tmp_path) if r["kind"] == "reply"]
    assert len(replies) == 12
    assert sum(r["usd"] for r in replies) == pytest.approx(server.billed_tokens / 1000)
    [lead, _] = summarise(grid_of(rows), 0.02)
    assert lead.predictors["fake"].cost.usd_total > 0
    assert KEY not in (tmp_path / "records.jsonl").read_text()


def test_a_server_that_stays_down_leaves_failures_that_are_tried_again(tiny_dir, tmp_path, key):
    with FakeServer(first_choice, script=[status(500)] * 200) as server:
        rows = run(recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0))
    failed = [r for r in rows if r["kind"] == "prediction"]
    assert len(failed) == 12
    assert {r["cause"] for r in failed} == {"http 500"}
    assert all("correct" not in r and "reply" not in r for r in failed)
    [lead, _] = summarise(grid_of(rows), 0.02)
    assert lead.predictors["fake"].failed_causes == {"http 500": 6}
    assert lead.predictors["fake"].error is None
    with FakeServer(first_choice) as server:
        made = recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0)
        made.predictors[0].endpoint.base_url = failed[0]["predictor"]["base_url"]
        rows = run(recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0))
    assert {r["status"] for r in rows} == {"ok"}


def test_the_spending_limit_holds_over_runs(tiny_dir, tmp_path, key):
    with FakeServer(first_choice) as server:
        limited = recipe(tiny_dir, tmp_path, server, spending_limit_usd=1.0)
        rows = run(limited)
        causes = {r.get("cause") for r in rows if r["kind"] == "prediction"}
        assert "spending limit" in causes
        asked, billed = len(server.requests), server.billed_tokens / 1000
        assert 0 < billed <= 1.0
        run(limited)
        assert server.billed_tokens / 1000 <= 1.0
        rows = run(recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0))
        assert {r["status"] for r in rows} == {"ok"}
        assert len(server.requests) == 12 >= asked


def test_a_judge_decides_and_its_agreement_is_reported(tiny_dir, tmp_path, key):
    def both(chat):
        asks_judge = "correct" in chat[-1]["content"] and "{" in chat[-1]["content"]
        return '{"correct": true, "reason": "as the reference"}' if asks_judge else "Rotterdam"

    with FakeServer(both) as server:
        made = recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0)
        grading = {"method": "judge", "judge": made.predictors[0].model_dump(exclude={"label"})}
        rows = run(recipe(tiny_dir, tmp_path, server, spending_limit_usd=1000.0, grading=grading))
    answers = [r for r in rows if r["kind"] == "prediction"]
    assert all(r["correct"] and r["grade"]["method"] == "judge" and "exact_grade" in r for r in answers)
    [lead, _] = summarise(grid_of(rows), 0.02)
    right = sum(r["exact_grade"]["correct"] for r in answers if r["compressor"]["label"] == "lead")
    assert lead.predictors["fake"].judge_agreement["share"] == pytest.approx(right / 6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"endpoint": {"base_url": "http://user:secret@host/v1"}}, "holds credentials"),
        ({"name": "a-model-without-a-price"}, "price"),
        ({"endpoint": {"base_url": "SERVER", "api_key_env": "NOT_SET"}}, "NOT_SET"),
        ({"endpoint": {"base_url": "SERVER", "api_key_env": "WRONG_KEY"}}, "WRONG_KEY"),
    ],
)
def test_bad_endpoints_are_one_line_before_anything_is_computed(tiny_dir, tmp_path, monkeypatch, capsys, changed, message):
    monkeypatch.setenv("FAKE_KEY", KEY)
    monkeypatch.setenv("WRONG_KEY", "sk-wrong")
    with FakeServer(first_choice, key=KEY) as server:
        made = recipe(tiny_dir, tmp_path / "out", server).model_dump(mode="json")
        made["predictors"][0] |= json.loads(json.dumps(changed).replace("SERVER", server.url))
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made))

        def main():
            read = load_recipe(EvaluationRecipe, tmp_path / "recipe.yaml")
            run_evaluation(read, plan_cells(read), quiet=True)

        assert exit_code(main) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert "sk-" not in line
    assert not list((tmp_path / "out").glob("records*.jsonl"))


def test_a_server_that_is_down_is_one_line_and_code_2(tiny_dir, tmp_path):
    with FakeServer(first_choice) as server:
        made = recipe(tiny_dir, tmp_path / "out", server).model_dump(mode="json")
    made["predictors"][0]["endpoint"] |= {"base_url": "http://127.0.0.1:9/v1", "api_key_env": None}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made))
    done = run_script("eval/frozen.py", str(tmp_path / "recipe.yaml"))
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert "127.0.0.1:9" in line
