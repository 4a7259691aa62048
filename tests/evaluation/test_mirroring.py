"""An evaluation in W&B: what the offline run file says against the files that the evaluation wrote."""

import json
import runpy

import pytest
import yaml
from conftest import ROOT, run_script
from summarised import finding, summary_of
from tiny import save_adapter
from wandb_files import read_back

from infoagent.cli import main as cli
from infoagent.evaluation.mirroring import frontier_points, rate_distortion_rows, report_mirror
from infoagent.files import read_jsonl
from infoagent.records.summaries import read_summaries


@pytest.fixture(scope="module")
def evaluated(tiny_dir, tmp_path_factory):
    """A checkpoint with a group, evaluated against its frozen self, tracked offline."""
    folder = tmp_path_factory.mktemp("tracked")
    model = {"name": str(tiny_dir), "dtype": "float32"}
    recipe = {
        "output_dir": str(folder / "out"),
        "data": [{"name": "records", "limit": 4, "min_words": 40, "max_words": 60}],
        "compressors": [
            {"label": "lm", "model": model, "max_tokens": 6},
            {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
            {"label": "full", "kind": "full-document", "model": model},
        ],
        "predictors": [model],
        "negatives": {"random": 1, "counterfactual": 1},
        "resamples": 50,
        "tracking": {"wandb": "offline", "project": "evaluations"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    adapter = save_adapter(tiny_dir, folder / "train" / "checkpoint-3", seed=1)
    record = json.loads((adapter / "infoagent.json").read_text())
    (adapter / "infoagent.json").write_text(json.dumps(record | {"group": "a training"}))
    done = run_script(
        "eval/checkpoint.py",
        str(folder / "recipe.yaml"),
        f"checkpoint={adapter}",
        "--quiet",
        "--log-level",
        "info",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", done


def test_the_run_file_holds_what_the_evaluation_wrote(evaluated):
    out, _ = evaluated
    [run] = read_back(out)
    assert (run.run.run_group, run.run.job_type, run.run.project) == ("a training", "eval", "evaluations")
    lines = [line for line in run.history if "compressor" in line and "rate/tokens" in line]
    assert lines == read_jsonl(out / "metrics.jsonl")
    summaries = {s.label: s for s in read_summaries(out)}
    for label in ("lm", "trained train/checkpoint-3"):
        assert run.summary[f"records/{label}/mi/nats"] == summaries[label].estimates["all"].infonce_nats
    rows = {row["compressor"]: row for row in run.table("rate_distortion/table")}
    assert set(rows) == {"lm", "lead", "trained train/checkpoint-3"}  # the whole document is no point of a curve
    for label, row in rows.items():
        found = summaries[label]
        assert row["rate_tokens"] == found.rate_tokens.value
        assert row["mi_nats"] == found.estimates["all"].infonce_nats
        assert row["mi_hard_nats"] == found.estimates["hard"].infonce_nats
        [predictor] = found.predictors.values()
        assert row["accuracy"] == pytest.approx(1 - predictor.error.value)
    fields = run.charts["rate_distortion/lines"]["fieldSettings"]
    assert fields == {"step": "rate_tokens", "lineKey": "curve", "lineVal": "mi_nats"}
    assert run.charts["rate_accuracy/points"]["fieldSettings"] == {"x": "rate_tokens", "y": "accuracy"}

    [comparison] = json.loads((out / "comparison.json").read_text())
    differences = {row["quantity"]: row["difference"] for row in run.table("comparison")}
    assert differences == {
        name: pytest.approx(found["difference"]["value"], nan_ok=True) for name, found in comparison["values"].items()
    }
    name = "records/trained train/checkpoint-3 − lm/mi/nats"
    assert run.summary[name] == comparison["values"]["mi/nats"]["difference"]["value"]


def test_one_line_says_where_the_time_went(evaluated):
    _, done = evaluated
    [line] = [line for line in done.stderr.splitlines() if " s: " in line]
    assert "INFO infoagent.analysis.session: " in line
    total, phases = line.split(": ", 2)[2].split(" s: ")
    seconds = {part.split()[0]: float(part.split()[1]) for part in phases.split(", ")}
    assert {"generate", "score", "predict", "load", "analyse", "rest"} <= set(seconds)
    assert sum(seconds.values()) == pytest.approx(float(total), abs=0.4)  # each is rounded


def test_curves_and_reports_stand_in_the_group_of_the_run(evaluated, tmp_path, capsys):
    out, _ = evaluated
    before = (out / "wandb_id").read_text(), (out / "metrics.jsonl").read_bytes()
    curves = runpy.run_path(str(ROOT / "eval" / "curves.py"))["main"]
    assert curves([str(out), "--out", str(tmp_path)]) == 0
    page = tmp_path / "page.html"
    assert cli(["report", str(out), "--out", str(page), "--wandb", "offline"]) == 0
    assert cli(["report", str(out), "--out", str(page)]) == 0  # leaves W&B alone
    capsys.readouterr()
    runs = {run.run.display_name: run for run in read_back(out) if run.run.job_type == "report"}
    assert set(runs) == {"curves", "page"}
    assert {run.run.run_group for run in runs.values()} == {"a training"}
    assert runs["curves"].table("rate_distortion/table") == read_back(out)[0].table("rate_distortion/table")
    [report] = [a for a in runs["page"].artifacts if a.type == "report"]
    assert {c.path for c in report.manifest.contents} == {"page.html", "page.json"}
    assert json.loads(report.metadata)["runs"] == [str(out)]
    assert ((out / "wandb_id").read_text(), (out / "metrics.jsonl").read_bytes()) == before


def test_the_frontier_is_a_table_of_its_points(tmp_path, monkeypatch):
    def number(value):
        return {"value": value, "low": value - 0.1, "high": float("nan")}

    points = [
        {"label": "frozen", "trained": False, "tokens": number(30.0), "value": number(1.0)},
        {"label": "trained x", "trained": True, "tokens": number(20.0), "value": number(1.2)},
    ]
    rows = frontier_points({"sets": [{"data": "records", "points": points}]})
    assert [(r["curve"], r["rate_tokens"], r["value"], r["high"]) for r in rows] == [
        ("frozen on records", 30.0, 1.0, None),
        ("trained on records", 20.0, 1.2, None),
    ]
    (tmp_path / "run.json").write_text(json.dumps({"recipe": {"tracking": {"wandb": "offline", "project": "p"}}}))
    monkeypatch.setenv("WANDB_RUN_GROUP", "a sweep")  # as `infoagent sweep` hands it to what it runs
    mirror = report_mirror(tmp_path, "frontier-hard")
    mirror.chart("frontier", rows, "rate_tokens", "value", "curve", "a title")
    mirror.finish()
    [run] = read_back(tmp_path)
    assert (run.run.run_group, run.run.job_type, run.run.display_name) == ("a sweep", "report", "frontier-hard")
    assert run.table("frontier/table") == rows
    assert run.charts["frontier/lines"]["fieldSettings"]["lineKey"] == "curve"


def test_curves_of_several_data_sets_are_told_apart():
    def summary(data):
        return summary_of("lm", data=data, curve="smollm2", values={"rate/tokens": finding(3.0)})

    assert [r["curve"] for r in rate_distortion_rows([summary("a"), summary("b")])] == ["smollm2 on a", "smollm2 on b"]
    [row] = rate_distortion_rows([summary("a")])
    assert row["curve"] == "smollm2"
    assert row["mi_nats"] is None
