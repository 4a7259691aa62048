"""The page from a run directory in the true schema, with texts that try to break out of it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from summarised import finding, information, predictor, summary_of

from infoagent.costs import BreakEven
from infoagent.evaluation.mirroring import rate_distortion_rows
from infoagent.files import json_text
from infoagent.rate_distortion.laws import LAWS, Solved, parameters
from infoagent.records.json_form import as_json
from infoagent.records.summaries import CompressorCost, PredictorCost
from infoagent.reporting import evaluation_tables, overview, plots
from infoagent.reporting.curve_panels import distortion
from infoagent.reporting.curves import _figure, _score, bd_rows
from infoagent.reporting.page import render, write_report
from infoagent.reporting.pareto import cost_pareto
from infoagent.reporting.viewer import as_script_json, samples_of
from infoagent.types import InputError

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<style>body{display:none}</style> $\\frac{$"  # and no formula for the figures
)


def summary(label, kind, tokens, hard, error, data="records", revision="r1", failed=0):
    estimates = {} if hard is None else {"hard": information(hard, 0.2, 1.1, at_k={"2": hard / 2, "3": hard})}
    reader = predictor(
        {"distortion/error": finding(error)},
        unparseable=1,
        cost=PredictorCost(predictor_gflops_total=1.0, gflops_total=tokens / 5 + 1),
        break_even={"gflops": BreakEven("from", 2.5)},
    )
    return summary_of(
        label,
        kind,
        data=data,
        revision=revision,
        curve=kind,
        failed=failed,
        failed_causes={"scoring": failed} if failed else {},
        values={"rate/tokens": finding(tokens), "distortion/fact_missing": finding(error)},
        estimates=estimates,
        cost=CompressorCost(compressor_gflops_total=tokens / 10, compressor_gflops_paper=0.1),
        predictors={"reader": reader},
    )


def test_curves_are_named_though_the_first_panel_is_empty():
    """No counterfactual was scored, and the second data set has a compressor of its own."""
    several = [summary("frozen", "lm", 30, None, 0.3), summary("BM25", "bm25", 20, None, 0.4)]
    figure = _figure([*several, summary("lead", "lead", 20, None, 0.5, data="squad")], ())
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["lm", "bm25", "lead"]
    assert figure.axes[0].get_legend_handles_labels() == ([], [])


def record(label, number, text, correct):
    common = {
        "compressor": {"label": label, "kind": "lm"},
        "data": {"name": "records", "revision": "r1", "split": "test"},
        "problem_id": f"p{number}",
        "document_id": f"d{number}",
        "sample": 0,
        "seed": 0,
    }
    key = f"{label}{number}"
    return [
        {
            "key": key,
            "kind": "compression",
            "status": "ok",
            **common,
            "document_key": f"k{number}",
            "query": f"Question {number}?",
            "answer": "blue",
            "text": text,
            "rate_tokens": 5 + number,
            "fact_kept": correct,
            "candidates": ["source", "counterfactual"],
            "log_probs": [-1.0, -1.0 - number],
            "tokens": {"pieces": ["It is ", text], "counterfactual_nats": [0.1, 0.5]},
        },
        {
            "key": f"{key}a",
            "kind": "prediction",
            "status": "ok",
            **common,
            "compression_key": key,
            "predictor": {"label": "reader"},
            "correct": correct,
            "reply": HOSTILE,
            "grade": {"unparseable": False, "method": "exact"},
        },
    ]


def write_run(directory, revision="r1"):
    directory.mkdir(parents=True)
    rows = [r for n in range(4) for r in record("lm", n, HOSTILE if n == 0 else f"text {n}", correct=n % 2 == 0)]
    run = {
        "kind": "evaluate", "schema_version": 1, "recipe": {"output_dir": "x"}, "data_revisions": {"records": revision},
        "price_snapshot": {"source": "genai-prices", "version": "0.2.3"}, "commit": "abc+changes", "started": "2026",
        "machine": "m", "command": "eval/frozen.py", "versions": {"python": "3"},
    }  # fmt: skip
    (directory / "run.json").write_text(json.dumps({**run, "record_keys": [r["key"] for r in rows]}))
    summaries = [
        summary("lm", "lm", 20, 0.7, 0.4, revision=revision),
        summary("lead 3", "lead", 70, 0.5, 0.5, revision=revision, failed=1),
        summary(HOSTILE, "full-document", 200, None, 0.1, revision=revision),
    ]
    (directory / "summary.json").write_text(json_text({**run, "summaries": as_json(summaries)}))
    (directory / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    problems = [
        {"data": "records", "problem_id": f"p{n}", "document_key": f"k{n}", "choices": [], "evidence": None} for n in range(4)
    ]
    (directory / "problems.jsonl").write_text("".join(json.dumps(r) + "\n" for r in problems))
    documents = [{"document_key": f"k{n}", "text": f"The sky is blue. {HOSTILE}"} for n in range(4)]
    (directory / "documents.jsonl").write_text("".join(json.dumps(r) + "\n" for r in documents))
    return str(directory)


def test_the_page_says_first_what_was_found(tmp_path):
    text = render([write_run(tmp_path / "run")])
    head = text[text.index('class="headline"') : text.index("<nav")]
    cells = re.findall(r"<td>(.*?)</td>", head)
    assert cells[:4] == ["records", "information among changed facts", cells[2], cells[3]]
    assert "<b>lm</b>" in cells[2]
    assert "0.70 ± 0.20 of 1.10 nats, 20 tokens" in cells[2]
    assert cells[3] == '<b></b><div class="note">the same</div>'  # lead 3 fits into 80 tokens and tells less
    assert "lead 3: 1 of 4 compressions failed (1 × scoring)" in head
    assert "records, reader: 3 of 12 replies could not be read and count as wrong; most of lm (1)" in head
    assert "from 2.5 questions" in text
    assert "abc+changes (with changes that were not committed)" in text
    assert "genai-prices 0.2.3" in text
    assert text.index('class="headline"') < text.index("Rate and distortion") < text.index('id="records"')


def test_the_best_within_a_length_is_the_highest_mean_that_fits():
    many = [summary(f"c{t}", "lm", t, hard, 1 - hard) for t, hard in ((12, 0.3), (30, 0.2), (70, 0.9))]
    told = summary("told", "oracle", 5, 1.0, 0.0)
    columns, rows = overview.best_at_budgets({"evaluations": [{"directory": "x", "summaries": [*many, told]}]})
    assert columns == ["data", "most", "within 20 tokens", "within 40 tokens", "within 80 tokens"]
    assert [c["label"] for c in rows[0]["cells"]] == ["c12", "", "c70"]
    assert rows[1]["measure"] == "answered by reader"
    assert rows[1]["cells"][2]["value"] == "90 ± 10 %, 70 tokens"


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_law_is_drawn_as_it_was_fitted(law):
    scale, offset, theta, ends = 0.4, 0.1 if law.floor_free else 0.0, 0.07, (10.0, 90.0)
    if law.theta is None:
        theta = float("nan")
    found = parameters(law, Solved(*(np.array([v]) for v in (scale, offset, theta, 0.0))), 0, ends)
    for tokens in (10.0, 33.0, 90.0):
        phi = law.shape(np.array([tokens]), np.log(np.array([theta])), *ends)[0]
        assert distortion(found, tokens) == pytest.approx(scale * phi + offset)


def test_a_curve_has_one_colour_and_models_come_first():
    every = [summary("a", "lead", 9, 0.1, 0.1), summary("b", "lm", 9, 0.1, 0.1), summary("c", "closed-book", 0, None, 0.9)]
    styles = plots.styles_of(every)
    assert list(styles) == ["lm", "lead"]
    assert styles["lm"].colour == plots.PALETTE[0]


def test_a_cost_that_is_not_known_is_said():
    every = [summary("a", "lead", 9, 0.1, 0.1), summary("b", "lm", 20, 0.1, 0.2)]
    svg, sentence = cost_pareto(every, "reader", plots.styles_of(every))
    assert svg.count('id="axes_') == 1
    assert sentence == "reader: money is not known of any compressor."
    assert cost_pareto(every, "nobody", plots.styles_of(every))[0] == ""


def test_what_the_analysis_refused_stands_with_its_reason():
    analysis = {
        "sets": [
            {
                "data": "d",
                "predictor": "p",
                "front": {"refused": "no shared question"},
                "bd": [{"new": "a", "old": "b", "refused": "no shared question"}],
            }
        ],
        "mi": [],
        "regression": {
            "refused": "all right",
            "without_mi": {
                "coefficients": [{"name": "mi", "value": 1.0, "low": 0.5, "high": 1.5, "p": 0.01}],
                "rows": 9,
                "questions": 3,
                "documents": 2,
            },
            "left_out": [{"term": "data", "reason": "one set"}],
        },
    }
    assert bd_rows(analysis) == [["d", "p", "a", "b", "no shared question", ""]]
    assert evaluation_tables.front_rows(analysis) == [["d", "p", "no shared question", "", ""]]
    rows, notes = evaluation_tables.regression_rows(analysis)
    assert rows == [["mi", "–", "–", "+1.00 [+0.50, +1.50]", "0.01"]]
    assert notes == ["with MI: all right", "without MI: 9 answers to 3 questions on 2 documents", "left out: data, one set"]


def test_no_text_becomes_markup(tmp_path):
    text = render([write_run(tmp_path / "run")])
    assert "<img src=x" not in text
    assert text.count("<script") == 2  # the data of the viewer, and the page's own
    assert text.count("</script>") == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_the_viewers_data_read_back_as_they_were(tmp_path):
    found = samples_of([write_run(tmp_path / "run")], 200)
    text = as_script_json(found)
    assert "<" not in text
    assert json.loads(text) == found
    first = found["samples"][0]
    assert first["text"] == HOSTILE
    assert first["answers"] == [{"who": "reader", "reply": HOSTILE, "outcome": "correct", "why": "exact", "nll": None}]
    assert first["mi_hard"] == pytest.approx(0.0)  # two candidates alike tell nothing
    assert samples_of([str(tmp_path / "run")], 3)["left_out"] == 1


def test_long_documents_are_cut_and_failed_answers_keep_their_cause(tmp_path):
    run = tmp_path / "run"
    write_run(run)
    with (run / "documents.jsonl").open("a") as stream:
        stream.write(json.dumps({"document_key": "k1", "text": "x" * 30_000}) + "\n")
    rows = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    rows[1] |= {"status": "failed", "cause": "http 500", "error": "http 500 after 5 tries"}
    rows[2] |= {"status": "failed", "error": "scoring: not finite"}
    del rows[2]["text"], rows[2]["log_probs"]
    (run / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = samples_of([str(run)], 200)
    assert found["documents"]["k1"] == "x" * 20_000 + " … (cut after 20000 characters)"
    first, second = found["samples"][:2]
    assert first["answers"][0]["outcome"] == "failed"
    assert first["answers"][0]["why"] == "http 500"
    assert (second["status"], second["error"], second["mi_hard"]) == ("failed", "scoring: not finite", None)


def test_a_baseline_is_laid_below_or_says_why_not(tmp_path):
    run, other = write_run(tmp_path / "run"), write_run(tmp_path / "other", revision="r2")
    page, _ = tmp_path / "a.html", tmp_path / "a.json"
    write_report([run], page, _, [f"{run}/summary.json"])
    assert "lm (baseline abc+changes)" in page.read_text()  # in the table
    assert ">lm (baseline)<" in page.read_text()  # in the legend
    text = render([run], [f"{other}/summary.json"])
    assert "another revision of records (r2), not comparable" in text
    assert "(baseline" not in text
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(InputError, match="schema_version None"):
        render([run], [str(tmp_path / "old.json")])
    with pytest.raises(InputError, match="holds no summaries"):
        render([run], [f"{run}/run.json"])


def test_one_axis_shows_the_answers_of_one_predictor_or_the_facts_and_never_both():
    """Two readers, one of whom was asked about one compressor alone; a third compressor was asked about nowhere."""
    facts = {"distortion/fact_missing": finding(0.9)}
    asked = [
        summary_of("a", values=facts, predictors={"small": predictor({}), "large": predictor({"distortion/error": finding(0.2)})}),
        summary_of("b", values=facts, predictors={"small": predictor({"distortion/error": finding(0.5)})}),
        summary_of("c", values=facts),
    ]
    measure, said = _score(asked)
    assert said == "questions answered by large"
    assert [measure(s) for s in asked] == [pytest.approx((0.8, 0.7, 0.9)), None, None]
    measure, said = _score(asked[2:])
    assert said == "asked fact stands in the text"
    assert measure(asked[2]) == pytest.approx((0.1, 0.0, 0.2))
    told = summary_of("d", values=facts, predictors={"small": predictor({"distortion/nll_per_token": finding(2.0)})})
    measure, said = _score([told, asked[2]])
    assert said == "log p of the reference, small (nats a token)"
    assert [measure(told), measure(asked[2])] == [pytest.approx((-2.0, -2.1, -1.9)), None]
    rows = rate_distortion_rows([replace(s, values={"rate/tokens": finding(10.0), **facts}) for s in asked])
    assert [row["accuracy"] for row in rows] == [pytest.approx(0.8), None, None]
