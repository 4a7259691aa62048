"""Tasks with a score of their own, as a user runs them: code that is executed, mathematics, likelihood."""

import json

import pytest
import yaml
from fake_server import FakeServer

from infoagent.analysis.session import run_evaluation
from infoagent.config import load_recipe
from infoagent.data.registry import load_data
from infoagent.evaluation.cells import plan_cells
from infoagent.grading import sandbox, states_fact
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import read_records
from infoagent.records.json_form import as_json
from infoagent.reporting.curve_panels import panels_svg
from infoagent.reporting.curves import likelihood_by
from infoagent.reporting.plots import styles_of
from infoagent.types import InputError, RunFailed

DOCUMENTS = 9


def content(tiny_dir, out, name, predictors, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return {
        "output_dir": str(out),
        "data": [{"name": name, "limit": DOCUMENTS}],
        "compressors": [
            {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
            {"label": "oracle", "kind": "oracle", "sentences": 3, "model": model},
        ],
        "predictors": predictors,
        "negatives": {"random": 1, "counterfactual": 1},
        "resamples": 50,
        **more,
    }


def run(recipe):
    made = EvaluationRecipe.model_validate(recipe)
    return run_evaluation(made, plan_cells(made), quiet=True)


def writer(chat):
    """Solves what its notes tell: an expert that reads nothing but the compression."""
    notes, _, task = chat[-1]["content"].removeprefix("Notes: ").partition("\n\nTask: ")
    asked = [p for p in load_data("python-functions", limit=DOCUMENTS).problems if p.query in task]
    told = [p for p in asked if all(states_fact(notes, fact) for fact in p.needs)]
    if told:
        return f"```python\n{told[0].answer}\n```"
    name = asked[0].trial.entry_point
    replies = (
        "I do not know.",
        f"def {name}(*values):\n    import time\n    while True: time.sleep(1)",
        f"def {name}(*values):\n    return None",
    )
    return replies[len(notes) % 3]


def test_code_is_run_and_its_score_goes_with_the_facts_that_were_kept(tiny_dir, tmp_path):
    grading = {"method": "code", "execute": True, "trial_seconds": 0.7}
    with FakeServer(writer) as server:
        predictor = {
            "name": "fake",
            "kind": "endpoint",
            "label": "writes",
            "max_tokens": 90,
            "endpoint": {"base_url": server.url, "api_key_env": None},
        }
        recipe = content(
            tiny_dir,
            tmp_path / "out",
            "python-functions",
            [predictor],
            grading=grading,
            cost={"prices": {"fake": {"input": 0.0, "output": 0.0}}},
        )
        run(recipe)
        asked = len(server.requests)
        assert all("Reply with the Python code" in r.body["messages"][-1]["content"] for r in server.requests)
        rows = {r["key"]: r for r in read_records(tmp_path / "out")}
        answers = [r for r in rows.values() if r["kind"] == "prediction"]
        assert len(answers) == 2 * DOCUMENTS
        for answer in answers:
            kept = rows[answer["compression_key"]]["fact_kept"]
            assert answer["correct"] == kept, answer
            assert answer["grade"]["method"] == "code"
            reason = answer["grade"]["detail"].partition(":")[0]
            assert answer["grade"]["unparseable"] == ("I do not know" in answer["reply"]) == (reason.startswith("no code"))
            assert ("while True" in answer["reply"]) == (reason == "timeout")
        assert {a["correct"] for a in answers} == {True, False}
        # with another limit the same replies are run again, and nobody is asked
        recipe["grading"]["trial_seconds"] = 0.75
        run(recipe)
        assert len(server.requests) == asked
    [found] = json.loads((tmp_path / "out" / "analysis.json").read_text())["sets"]
    assert found["measure"] == "error"
    assert set(found["mi_accuracy"]) == {"hard", "all"}


def made(tiny_dir, out, **more):
    writes = {"name": str(tiny_dir), "dtype": "float32", "mode": "generation", "max_tokens": 4}
    return EvaluationRecipe.model_validate(content(tiny_dir, out, "python-functions", [writes], **more))


def test_a_sandbox_that_cannot_start_ends_the_run_before_a_model_loads(tiny_dir, tmp_path, monkeypatch):
    recipe = made(tiny_dir, tmp_path, grading={"method": "code", "execute": True})
    cells = plan_cells(recipe)
    monkeypatch.setattr(sandbox.sys, "executable", "/nowhere/python")
    with pytest.raises(RunFailed, match="no code can be run here"):
        run_evaluation(recipe, cells, quiet=True)
    assert not (tmp_path / "records.jsonl").exists()


def test_a_sandbox_that_fails_later_is_a_failed_record_and_tried_again(tiny_dir, tmp_path, monkeypatch):
    from infoagent.evaluation import predicting

    def gone(*_):
        raise sandbox.SandboxFailed("no process could be started: out of processes")

    recipe = made(tiny_dir, tmp_path, grading={"method": "code", "execute": True})
    cells = plan_cells(recipe)
    with monkeypatch.context() as patched:
        patched.setattr(predicting, "code_grade", gone)
        records, summaries = run_evaluation(recipe, cells, quiet=True)
    answers = [r for r in as_json(records) if r["kind"] == "prediction"]
    assert {(r["status"], r["cause"]) for r in answers} == {("failed", "sandbox")}
    assert not any("correct" in r for r in answers)
    assert next(iter(summaries[0].predictors.values())).failed == DOCUMENTS
    again, _ = run_evaluation(recipe, cells, quiet=True)
    assert {r["status"] for r in as_json(again) if r["kind"] == "prediction"} == {"ok"}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["grading={method: code}"], "set execute to true if you want that"),
        (["grading={method: math, execute: true}"], "method math has none to run"),
        (["grading={method: code, execute: true}", "data.0.name=records"], "data 'records' has no tests"),
        (["grading={method: latex}"], "grading.method"),
        (["data.0.min_words=900", "data.0.max_words=901"], "no document of python-functions"),
    ],
)
def test_bad_input_is_one_line(tiny_dir, tmp_path, more, line):
    from infoagent.config import exit_code

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content(tiny_dir, tmp_path / "out", "python-functions", [])))
    with pytest.raises(InputError, match=line) as error:
        plan_cells(load_recipe(EvaluationRecipe, path, more))
    assert len(error.value.problems) == 1
    assert exit_code(lambda: plan_cells(load_recipe(EvaluationRecipe, path, more)) and 0) == 2


def test_likelihood_of_a_continuation_is_held_against_information(tiny_dir, tmp_path):
    reads = {"name": str(tiny_dir), "dtype": "float32", "template": "free-v1"}
    recipe = content(
        tiny_dir,
        tmp_path / "out",
        "continuations",
        [reads],
        data=[{"name": "continuations", "limit": DOCUMENTS, "max_words": 120}],
        compressors=[
            {"label": f"{kind} {n}", "kind": kind, "sentences": n, "model": {"name": str(tiny_dir), "dtype": "float32"}}
            for kind in ("lead", "tail")
            for n in (1, 2)
        ],
    )
    records, summaries = run(recipe)
    rows = as_json(records)
    answers = [r for r in rows if r["kind"] == "prediction"]
    assert not any("correct" in r or "fact_kept" in r for r in rows)
    [part] = json.loads((tmp_path / "out" / "analysis.json").read_text())["sets"]
    assert part["measure"] == "nll_per_token"
    assert "mi_accuracy" not in part
    own = [a["answer_nll_nats"] / a["answer_tokens"] for a in answers if a["compressor"]["label"] == "lead 1"]
    [point] = [p for curve in part["curves"] for p in curve["points"] if p["label"] == "lead 1"]
    assert point["distortion"]["value"] == pytest.approx(sum(own) / len(own))
    assert part["mi_likelihood"]["all"]["rows"] == 4 * DOCUMENTS
    assert likelihood_by(str(tiny_dir))(summaries[0])[0] == pytest.approx(-sum(own) / len(own))
    page = panels_svg(summaries, [], {}, styles_of(summaries))
    assert "log p (nats a token)" in page
    assert "facts kept" not in page
