"""Thoughts of servers that leave them in the text, cut them off or hide them. Replies are scripted, scores are real."""

import pytest
from fake_server import FakeServer, count_tokens, empty, no_usage, ok

from infoagent.analysis.session import run_evaluation
from infoagent.evaluation.cells import plan_cells
from infoagent.recipes import EvaluationRecipe
from infoagent.records.json_form import as_json

CUT = "let me see, the document says that she weighs " * 9


def recipe(tiny_dir, out, server, limit, **compressor):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    served = {"base_url": server.url, "name": "fake", "api_key_env": None, "retries": 0, "concurrency": 1}
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": limit, "min_words": 40, "max_words": 60}],
            "compressors": [
                {
                    "label": "served",
                    "kind": "endpoint",
                    "server": served,
                    "model": model,
                    "thinking": True,
                    "max_tokens": 20,
                    "thinking_tokens": 80,
                    **compressor,
                }
            ],
            "predictors": [model],
            "negatives": {"random": 1, "counterfactual": 1},
            "cost": {"prices": {"fake": {"input": 1.0, "output": 1.0}}},
            "spending_limit_usd": 100.0,
            "resamples": 50,
        }
    )


def written(tiny_dir, out, texts, script=(), thought=None, **compressor):
    """The records of compressions that a server wrote, and the summary's cost."""
    left = iter(texts)
    with FakeServer(lambda chat: next(left), script=script, thought=thought) as server:
        made = recipe(tiny_dir, out, server, len(texts), **compressor)
        rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
    return [r for r in as_json(rows) if r["kind"] == "compression"], summary.cost


def test_no_thought_of_a_server_becomes_z(tiny_dir, tmp_path):
    texts = [
        "Sure. <think>let me see the document, it says 91 kg and",
        "[THINK]hm I wonder[/THINK]91 kg",
        "<thought>hm</thought> 91 kg",
        "[THINK]should I write <think> here?[/THINK]\n91 kg",
        CUT,
        "hm, the template has opened it</think>91 kg",
        "She weighs 91 kg.",
    ]
    rows, _ = written(tiny_dir, tmp_path, texts)
    assert [r.get("text") for r in rows] == [None, "91 kg", "91 kg", "91 kg", None, "91 kg", "She weighs 91 kg."]
    for row in (rows[0], rows[4]):
        assert (row["status"], row["cause"], row["final"]) == ("failed", "unfinished thinking", True)
        assert not {"log_probs", "rate_tokens"} & set(row)
    assert rows[0]["reply"] == texts[0]


def test_a_cut_text_is_z_where_its_thought_is_told_or_none_was_asked_for(tiny_dir, tmp_path):
    for name, more in (("apart", {"thought": "well"}), ("off", {"thinking": False})):
        rows, _ = written(tiny_dir, tmp_path / name, [CUT, CUT], **more)
        assert [(r["status"], r["finish"]) for r in rows] == [("ok", "length")] * 2


def test_tokens_of_thoughts_are_known_of_every_reply_that_was_looked_through(tiny_dir, tmp_path):
    texts = ["<think>hm</think>91 kg", "91 kg", "<think>hm, no end", "unsaid"]
    rows, cost = written(tiny_dir, tmp_path / "counted", texts, [ok(), ok(), ok(), empty("length")])
    full = 100
    assert [r["thinking_tokens"] for r in rows] == [len("<think>hm</think>"), 0, count_tokens(texts[2]), full]
    assert [r["written_tokens"] for r in rows] == [*(count_tokens(t) for t in texts[:3]), full]
    assert [r.get("thinking_estimated") for r in rows] == [True, None, None, None]
    assert cost.thinking_tokens == pytest.approx(sum(r["thinking_tokens"] for r in rows) / 4)
    assert cost.written_tokens == pytest.approx(sum(r["written_tokens"] for r in rows) / 4)


def test_what_no_server_counted_is_estimated_or_left_out(tiny_dir, tmp_path):
    texts = ["<think>hm, no end", "91 kg", "91 kg"]
    rows, cost = written(tiny_dir, tmp_path, texts, [no_usage(), no_usage(), ok()])
    assert (rows[0]["thinking_tokens"], rows[0]["thinking_estimated"]) == (len(texts[0]), True)
    assert ["written_tokens" in r for r in rows] == [False, False, True]
    assert cost.written_tokens is None


def test_z_of_a_server_is_cut_behind_its_thought(tiny_dir, tmp_path):
    long, short = "<think>hm</think>" + "91 kg, " * 70, "<think>hm</think>exactly twenty bytes"
    rows, _ = written(tiny_dir, tmp_path, [long, short], thinking_tokens=600)
    assert [(r["text"], r["rate_tokens"], r["finish"]) for r in rows] == [
        ("91 kg, 91 kg, 91 kg,"[:20], 20, "length"),
        ("exactly twenty bytes", 20, "stop"),
    ]
    assert rows[0]["reply"] == long
    assert rows[0]["written_tokens"] == count_tokens(long)
