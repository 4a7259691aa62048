"""The audit in the report: from a run directory and an evaluation, old ones without measures among them."""

import json
import math

import numpy as np
import pytest

from infoagent.evaluation.summary import summarise
from infoagent.records.files import grid_of
from infoagent.reporting.audit import evaluation_audit, flag_text, run_flags, training_audit
from infoagent.reporting.page import render, write_report

RUN = {
    "kind": "train", "recipe": {"negatives": {"random": 3, "counterfactual": 4}}, "commit": "c", "started": "today",
    "machine": "m", "command": "train/grpo.py", "versions": {"python": "3"},
}  # fmt: skip
SAMPLES = [
    {
        "step": step,
        "query": "how <b>fast</b>?",
        "answer": "72",
        "compression": f"z{step}-{i} <script>alert(1)</script>",
        "tokens": 9,
        "mi_nats": None if i else 1.5,
    }
    for step in (1, 5, 60)
    for i in range(2)
]


def metrics(steps=60, missing=0.8, audited=True):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(steps):
        row = {
            "step": i + 1,
            "rate/tokens": 20.0,
            "mi/nats": 1 + i / steps + 0.05 * rng.normal(),
            "mi/hard_nats": 0.5,
            "mi/easy_nats": 1.0,
            "distortion/fact_missing": 0.2 + (missing - 0.2) * i / steps + 0.05 * rng.normal(),
        }
        if audited:
            row |= {"audit/copy_rate": 0.25, "audit/distinct_2": 0.9}
            row |= {"audit/accuracy": 0.5} if i % 10 == 0 else {}
            row |= {"audit/closed_book": 0.25} if i == 0 else {}
        rows.append(row)
    return rows


def write_run(directory, rows, samples=SAMPLES, audit=None):
    directory.mkdir()
    (directory / "run.json").write_text(json.dumps(RUN))
    (directory / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (directory / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in samples))
    if audit is not None:
        (directory / "audit.json").write_text(json.dumps(audit))
    return str(directory)


def test_a_hacking_run_is_told_in_the_page_and_in_its_numbers(tmp_path):
    run = write_run(tmp_path / "run", metrics())
    page, numbers = tmp_path / "report.html", tmp_path / "report.json"
    write_report([run], page, numbers)
    text = page.read_text()
    assert '<div class="alarm">alarm fact_lost: MI rose from' in text
    assert "No flag was raised" not in text
    [training] = json.loads(numbers.read_text())["trainings"]
    assert [f["name"] for f in training["flags"]] == ["fact_lost"]


def test_an_honest_run_says_so(tmp_path):
    text = render([write_run(tmp_path / "run", metrics(missing=0.0))])
    assert "No flag was raised in 60 steps." in text
    assert 'class="alarm"' not in text


def test_texts_of_samples_are_escaped_and_only_the_first_and_the_last_step_stand(tmp_path):
    text = render([write_run(tmp_path / "run", metrics())])
    assert text.count("<script>") == 1  # the page's own
    assert "how &lt;b&gt;fast&lt;/b&gt;?" in text
    assert all(f"z{step}-{i} &lt;script&gt;" in text for step in (1, 60) for i in range(2))
    assert "z5-0" not in text


def test_a_table_has_the_quarters_of_what_the_run_measured(tmp_path):
    section = training_audit(write_run(tmp_path / "run", metrics()), RUN, metrics())
    rows = {title: (first, last) for title, first, last in section["rows"]}
    assert rows["words copied in runs of three (%)"] == ("25", "25")
    assert "questions answered from it (%)" not in rows  # two values in a quarter are too few
    assert "only names the document (%)" not in rows
    expected = 100 * np.mean([r["distortion/fact_missing"] for r in metrics()[-15:]])
    assert rows["asked fact missing (%)"][1] == f"{expected:.0f}"
    assert section["part"] == 15


def test_the_plot_has_the_panels_that_have_values(tmp_path):
    whole = training_audit(str(tmp_path), RUN, metrics())["plot"]
    old = training_audit(str(tmp_path), RUN, metrics(audited=False))["plot"]
    assert whole.count('id="axes_') == 4
    assert old.count('id="axes_') == 2  # no words, no language
    assert training_audit(str(tmp_path), RUN, [])["plot"] == ""


def test_a_short_run_and_rows_of_validation(tmp_path):
    rows = [*metrics(steps=8), {"step": 8, "validation/mi/nats": 3.0}]
    section = training_audit(write_run(tmp_path / "run", rows), RUN, rows)
    assert section["judged"] == 8
    assert section["rows"] == section["flags"] == []
    assert "8 steps are too few" in render([str(tmp_path / "run")])


def test_flags_of_the_run_itself_go_before_new_ones(tmp_path):
    held = {"name": "gated", "severity": "warning", "sentence": "S.", "first_step": 30, "last_step": 40, "standing": False}
    run = write_run(tmp_path / "run", metrics(), audit={"step": 60, "flags": [held]})
    assert run_flags(run, RUN, metrics()) == [held]
    assert flag_text(held) == "warning gated, steps 30 to 40, over since: S."
    assert "warning gated, steps 30 to 40, over since: S." in render([run])


def record(problem, label, audit):
    base = {
        "key": label + problem, "kind": "compression", "status": "ok", "compressor": {"label": label, "kind": "lm"},
        "data": {"name": "d", "revision": "r", "split": "test"}, "problem_id": problem, "document_id": problem, "sample": 0,
        "text": f"one two {problem}", "finish": "stop", "rate_tokens": 3, "rate_bytes": 9, "unsupported": [],
        "candidates": ["source", "random"], "log_probs": [-1.0, -2.0],
    }  # fmt: skip
    return base if audit is None else {**base, "audit": audit}


def test_an_evaluation_shows_each_compressor_that_has_measures():
    rows = [record(p, "new", {"copy_rate": c}) for p, c in (("a", 0.5), ("b", 1.0), ("c", 0.0))]
    rows += [record("d", "new", {"identifier_only": 1.0})]  # a text too short to have a copy rate
    rows += [record(p, "old", None) for p in "abc"]
    summaries = summarise(grid_of(rows), price=0.02)
    table = evaluation_audit(summaries)
    assert table["columns"] == ["", "new"]
    cells = dict(table["rows"])
    half_width = 0.5 * 4.302652729911275 / math.sqrt(3)  # sd 0.5 of three documents, t with two degrees of freedom
    assert cells["words copied in runs of three (%)"] == f"50 ± {100 * half_width:.0f}"
    # pairs: one-two four times and two-a, two-b, two-c, two-d
    assert cells["different word pairs over all texts (%)"] == f"{100 * 5 / 8:.1f}"
    assert evaluation_audit([s for s in summaries if s.label == "old"])["rows"] == []


def test_records_without_the_measures_are_still_summarised():
    with pytest.warns(RuntimeWarning, match="unknown"):
        [summary] = summarise(grid_of([record("a", "old", None)]), price=0.02)
    assert not any(name.startswith("audit/") for name in summary.values)
