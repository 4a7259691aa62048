"""Means, paired differences and costs of research reports, by hand; the tables and the plot that show them."""

import math

import pytest

from infoagent.applications.research.drawing import comparison_rows, notes, save_quality_cost, stage_rows, system_rows
from infoagent.applications.research.stage_costs import added, stage_cost
from infoagent.applications.research.summary import metrics, summarise
from infoagent.reporting.tables import markdown


def row(task, run, system, found, final, usd, **more):
    """A report with `found` of 4 facts."""
    marks = [n < found for n in range(4)]
    cost = {"calls": 1.0, "tokens_in": 10.0, "tokens_out": 5.0, "usd": usd, "gflops": 2.0, "seconds": 1.0}
    good = {
        "status": "ok", "task_id": task, "run": run, "system": system, "report": "one two three", "finish": "stop",
        "facts": {"asked": list("abcd"), "in_sources": [True] * 4, "in_notes": marks, "in_report": marks},
        "citations": {"sentences": 4, "cited": 2, "supported": 1, "unjudged": 0, "invalid": 0, "marks": 2},
        "notes_characters": 9, "failed_searches": [], "failed_pages": [], "failed_compressions": [],
        "rubric": {"status": "ok", "final": final, "report": 5.0, "scores": {"depth": 5.0}},
        "stages": {"plan": cost, "report": cost, "judge": {**cost, "usd": 9.0}},
    }  # fmt: skip
    return good | more


def rows():
    made = []
    for task, (a, b) in {"t1": (4, 2), "t2": (3, 2), "t3": (4, 0)}.items():
        for run in range(2):
            made.append(row(task, run, "whole", a, 0.5, 0.4))
            made.append(row(task, run, "short", b, 0.4 + 0.1 * run, 0.1))
    made[1] = row("t1", 0, "short", 0, 0.0, 0.0, status="failed", stage="report", cause="timeout")
    return made


def test_means_are_over_tasks_and_differences_over_pairs():
    found = summarise(rows(), ["whole", "short"], [("short", "whole")])
    whole, short = found["systems"]
    assert (short["reports"], short["failed"], short["failed_causes"]) == (6, 1, {"report: timeout": 1})
    assert whole["values"]["facts/report"]["value"] == pytest.approx((1 + 0.75 + 1) / 3)
    # three task means 0.5, 0.5, 0: s = 0.2887, t(2) = 4.3027
    facts = short["values"]["facts/report"]
    assert (facts["value"], facts["n"], facts["reports"]) == (pytest.approx(1 / 3), 3, 5)
    assert (facts["low"], facts["high"]) == (0.0, 1.0)  # ± 0.717 leaves what a share can be
    low = whole["values"]["facts/report"]["low"]  # task means 1, 0.75, 1: s = 0.1443
    assert 11 / 12 - low == pytest.approx(4.30265 * 0.144338 / math.sqrt(3), rel=1e-4)
    # rubric of the task means 0.5 (one run is left), 0.45, 0.45
    assert short["values"]["rubric/final"]["value"] == pytest.approx((0.5 + 0.45 + 0.45) / 3)
    assert short["values"]["citations/supported"]["value"] == 0.5
    assert short["cost"]["total"] == {
        "calls": 2.0,
        "tokens_in": 20.0,
        "tokens_out": 10.0,
        "usd": pytest.approx(0.2),
        "gflops": 4.0,
        "seconds": 2.0,
    }
    [pair] = found["comparisons"]
    assert pair["pairs"] == 5
    difference = pair["values"]["facts/report"]["difference"]
    assert difference["value"] == pytest.approx((-0.5 - 0.25 - 1.0) / 3)
    assert pair["cost_share"]["usd"] == pytest.approx(0.25)
    assert metrics(short)["research/usd"] == pytest.approx(0.2)


def test_what_is_not_there_is_no_number():
    bare = [r for r in rows() if r["system"] == "whole"]
    for r in bare:
        r["rubric"] = {"status": "failed", "cause": "unparseable", "error": "x"}
        r["citations"] = {"sentences": 2, "cited": 0, "supported": 0, "unjudged": 0, "invalid": 0, "marks": 0}
        del r["facts"]
    [whole] = summarise(bare, ["whole"], [])["systems"]
    assert set(whole["values"]) == {"citations/cited", "notes/characters", "report/words", "report/cut"}
    assert whole["unjudged"] == {"unparseable": 6}
    failed = [{**bare[0], "status": "failed", "stage": "plan", "cause": "timeout"}]
    [nothing] = summarise(failed, ["whole"], [])["systems"]
    assert (nothing["values"], nothing["cost"]) == ({}, {})
    assert system_rows({"systems": [nothing]})[0][1:3] == ["0 (1 failed)", "–"]
    assert "whole: 1 × plan: timeout" in notes({"systems": [nothing]})


def test_a_stage_is_the_sum_of_its_calls_and_says_what_it_does_not_know():
    here = {
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "calls": 1},
        "seconds": 0.5,
        "gflops_prefill": 1.0,
        "gflops_decode": 0.5,
    }
    there = {"usage": {"prompt_tokens": 5, "completion_tokens": 1, "calls": 3}, "seconds": 2.0, "usd": 0.25}
    page = {"usd": 0.01, "seconds": 1.0}
    assert stage_cost([here, there, page]) == {
        "calls": 5,
        "tokens_in": 12,
        "tokens_out": 3,
        "usd": 0.26,
        "seconds": 3.5,
        "gflops": 1.5,
    }
    unknown = {k: v for k, v in here.items() if not k.startswith("gflops")}
    assert "gflops" not in stage_cost([here, unknown])
    assert "gflops" not in added([stage_cost([here]), stage_cost([unknown])])
    assert stage_cost([])["gflops"] == 0


def test_tables_and_plot(tmp_path):
    found = summarise(rows(), ["whole", "short"], [("short", "whole")])
    table = markdown(("system",) * 10, system_rows(found))
    assert "| short | 5 (1 failed) | 0.467 ± 0.072 | 100 [44, 100] | 33 [0, 100] |" in table  # three tasks that all agree
    [line] = comparison_rows(found)
    assert line[0] == "short − whole"
    assert line[4:] == ["100 %", "25 %", "100 %"]
    assert ["short", "all but judge", "2", "20", "10", "0.2000", "4", "2.0"] in stage_rows(found)
    path = tmp_path / "q.svg"
    assert save_quality_cost(found, path)
    text = path.read_text()
    assert "<svg" in text
    assert save_quality_cost(found, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text().count("<use") == text.count("<use")
    for system in found["systems"]:
        system["cost"] = {}
    assert not save_quality_cost(found, tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
