"""Structured and thinking compressors in the grid. Replies are scripted or drawn under a grammar; scores are real."""

import json
import math

import pytest
import scripted
import torch
from fake_server import FakeServer, count_tokens, empty, status
from tiny import save_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from infoagent.analysis.comparison import compare_pairs
from infoagent.analysis.session import run_evaluation
from infoagent.costs import generation_flops
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.runner import evaluate
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import read_records
from infoagent.records.json_form import as_json
from infoagent.reporting.tables import comparison_text, without_z_rows
from infoagent.types import InputError

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["about", "value"],
    "properties": {"about": {"type": "string"}, "value": {"type": "string"}},
}  # fmt: skip
SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"


def recipe(directory, out, **more):
    model = {"name": str(directory), "dtype": "float32"}
    compressors = more.pop("compressors", [{"label": "form", "form": {"json_schema": SCHEMA}}])
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": 4, "min_words": 40, "max_words": 60}],
            "compressors": [{"model": model, "max_tokens": 64, **c} for c in compressors],
            "predictors": [model],
            "negatives": {"random": 1, "counterfactual": 1},
            "batch_size": 2,
            "resamples": 50,
            **more,
        }
    )


def run(made):
    return as_json(evaluate(made, plan_cells(made), quiet=True))


@pytest.fixture
def says(monkeypatch):
    """`says(f)`: the models of the grid write f(number of the problem), as far as the tokens reach. Returns the calls."""
    return lambda text_of: scripted.install(monkeypatch, lambda prompt, name, number: text_of(number))


def compressions(rows):
    return [r for r in as_json(rows) if r["kind"] == "compression"]


def test_key_order_spelling_and_words_around_change_neither_z_nor_its_score(tiny_dir, tmp_path, says):
    spellings = (
        '{{"about": "case {n}", "value": "v"}}',
        'Sure:\n```json\n{{\n  "value": "\\u0076",\n  "about": "case {n}"\n}}\n```',
    )
    found = []
    for number, spelling in enumerate(spellings):
        says(lambda n, spelling=spelling: spelling.format(n=n % 4))
        found.append(compressions(run(recipe(tiny_dir, tmp_path / str(number)))))
    for n, (first, second) in enumerate(zip(*found, strict=True)):
        assert first["text"] == second["text"] == f'{{"about":"case {n}","value":"v"}}'
        assert first["log_probs"] == second["log_probs"]
        assert first["rate_tokens"] == second["rate_tokens"] == len(first["text"])  # a token a byte
        assert first["key"] == second["key"]
        assert first["written_tokens"] < second["written_tokens"]  # but not what it cost
        assert second["reply"].startswith("Sure")
        assert second["gflops_decode"] > first["gflops_decode"]


def test_a_schema_in_another_key_order_is_the_same_compressor(tiny_dir, tmp_path, says):
    says(lambda n: '{"about": "a", "value": "b"}')
    turned = {k: SCHEMA[k] for k in reversed(SCHEMA)} | {"properties": dict(reversed(SCHEMA["properties"].items()))}
    rows = compressions(run(recipe(tiny_dir, tmp_path)))
    other = recipe(tiny_dir, tmp_path, compressors=[{"label": "form", "form": {"json_schema": turned}}])
    calls = says(lambda n: "is not asked again")
    assert [r["key"] for r in compressions(run(other))] == [r["key"] for r in rows]
    assert calls == []


def test_what_does_not_fit_is_a_final_failure_with_its_reason_and_no_empty_z(tiny_dir, tmp_path, says):
    texts = ['{"about": "a", "value": "b"}', "She weighs 91 kg.", '{"about": "a"}', '{"about": "' + "x" * 80]
    says(lambda n: texts[n])
    made = recipe(tiny_dir, tmp_path)
    rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
    ok, *failed = compressions(rows)
    assert ok["status"] == "ok"
    assert [(r["cause"], r["reply"][:20]) for r in failed] == [
        ("form: no JSON", "She weighs 91 kg."),
        ("form: off the schema", '{"about": "a"}'),
        ("form: cut off", '{"about": "xxxxxxxxx'),
    ]
    for row in failed:
        assert row["status"] == "failed"
        assert not {"text", "rate_tokens", "log_probs", "fact_kept"} & set(row)
        assert row["written_tokens"] == min(64, len(row["reply"]))
    assert "'value' is a required property" in failed[1]["error"]
    assert [r["problem_id"] for r in as_json(rows) if r["kind"] == "prediction"] == [ok["problem_id"]]
    # failed draws are counted, and cost
    lost = summary.without_z
    assert (lost.value, lost.n) == (0.75, 4)
    assert (lost.low, lost.high) == pytest.approx((0.1941, 0.9937), abs=1e-4)  # Clopper and Pearson 1934
    assert summary.cost.written_tokens == pytest.approx((28 + 17 + 14 + 64) / 4)
    right = [r["correct"] for r in as_json(rows) if r["kind"] == "prediction"]
    [predictor] = summary.predictors.values()
    assert predictor.right_of_all.value == sum(right) / 4
    [line] = without_z_rows([summary])
    assert line[4] == "0.00 (interval unknown)" or float(line[4].split()[0]) <= math.log(2)
    assert line[1:4] == ["4", "75 % [19, 99]", "1 form: no JSON, 1 form: off the schema, 1 form: cut off"]
    # a draw that is no z is not drawn again until one is
    calls = says(lambda n: texts[0])
    assert [r["status"] for r in compressions(run(made))] == ["ok"] + 3 * ["failed"]
    assert calls == []


def test_canonical_z_has_a_lower_bound_only(tiny_dir, tmp_path, says):
    says(lambda n: json.dumps({"about": f"case {n}", "value": "v"}))
    made = recipe(tiny_dir, tmp_path)
    rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
    assert {r["sampler"] for r in compressions(rows)} == {False}
    assert math.isfinite(summary.estimates["all"].infonce_nats)
    assert math.isnan(summary.estimates["easy"].leave_one_out_nats)
    assert math.isnan(summary.estimates["all"].midpoint_nats)


def test_drawn_under_a_grammar_and_held_against_text(tiny_dir, tmp_path):
    pytest.importorskip("llguidance")
    signature = "def note(value: Literal['kg', 'm'], year: int | None = None)"
    made = recipe(
        tiny_dir,
        tmp_path,
        compare=[["call", "text"], ["free call", "text"]],
        compressors=[
            {"label": "text", "max_tokens": 20},
            {"label": "call", "form": {"signature": signature, "constrained": True}},
            {"label": "free call", "form": {"signature": signature}},
        ],
    )
    rows, summaries = run_evaluation(made, plan_cells(made), quiet=True)
    by_label = {s.label: s for s in summaries}
    assert by_label["call"].failed < 4  # a number may go on for ever
    assert by_label["free call"].without_z.value == 1.0
    assert by_label["text"].without_z is None
    for row in compressions(rows):
        if row["compressor"]["label"] == "call" and row["status"] == "ok":
            assert json.loads(row["text"])["value"] in ("kg", "m")
    pair, without = compare_pairs(rows, made.compare, made.price)
    both = by_label["call"].n_compressions - by_label["call"].failed
    assert pair["values"]["rate/tokens"]["pairs"] == both
    assert "call against text on records (test), paired" in comparison_text(pair)
    # nothing of the free call can be paired, but for this: it told nothing
    assert {name.removesuffix("of_all_nats") for name in without["values"]} <= {"mi/", "mi/easy_", "mi/hard_"}
    assert all(values["trained"] == 0 for values in without["values"].values())


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """The tiny model with a chat template that has a thinking mode, and marks of one token each."""
    directory = save_tiny(tmp_path_factory.mktemp("thinker"))
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template += SWITCH
    tokenizer.add_tokens(["<think>", "</think>"])
    model = AutoModelForCausalLM.from_pretrained(directory)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_a_thought_is_cost_and_no_part_of_z_or_of_its_score(thinker, tmp_path, says):
    thoughts = ["<think>aha</think>\n\n", "", "<think>no end", "<think>" + "m" * 50 + "</think>"]
    calls = says(lambda n: thoughts[n] + ("" if "no end" in thoughts[n] else f"case {n}"))
    made = recipe(thinker, tmp_path, compressors=[{"label": "thinks", "thinking": True, "thinking_tokens": 20, "max_tokens": 30}])
    rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
    assert all(c.endswith("assistant\n") for c in calls)
    first, second, *failed = compressions(rows)
    assert [r["cause"] for r in failed] == ["unfinished thinking"] * 2
    assert not any("text" in r for r in failed)
    assert [failed[0]["thinking_tokens"], failed[1]["thinking_tokens"]] == [7, 50]  # the writer stopped the latter
    assert (first["text"], first["rate_tokens"], first["thinking_tokens"], first["written_tokens"]) == ("case 0", 6, 7, 13)
    assert (second["text"], second["thinking_tokens"], second["written_tokens"]) == ("case 1", 0, 6)
    assert first["reply"] == "<think>aha</think>\n\ncase 0"
    flops = generation_flops(architecture_of(str(thinker), None), first["prompt_tokens"], 13)
    assert first["gflops_decode"] == pytest.approx(flops.decode / 1e9)
    assert summary.cost.thinking_tokens == (7 + 0 + 7 + 50) / 4
    # the naive way: z behind the prompt of the mode without thinking, token by token
    [cell] = plan_cells(made)
    tokenizer = AutoTokenizer.from_pretrained(thinker)
    model = AutoModelForCausalLM.from_pretrained(thinker, dtype=torch.float32).eval()
    problem = cell.problems[0]
    documents = [problem.document, *(n.document for n in cell.negatives[0])]
    for document, log_prob in zip(documents, first["log_probs"], strict=True):
        prefix = compressor_ids(tokenizer, document, problem.query, Prompt(thinking=False))
        assert tokenizer.decode(prefix).endswith("<think>\n\n</think>\n\n")
        ids = [*prefix, *text_ids(tokenizer, "case 0"), tokenizer.convert_tokens_to_ids("<|end|>")]
        with torch.no_grad():
            logs = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
        naive = sum(float(logs[i - 1, ids[i]]) for i in range(len(prefix), len(ids)))
        assert log_prob == pytest.approx(naive, abs=1e-3)
    assert math.isnan(summary.estimates["easy"].leave_one_out_nats)


def test_off_says_so_in_the_prompt_and_keeps_the_upper_bound(thinker, tmp_path, says):
    calls = says(lambda n: f"case {n}")
    made = recipe(thinker, tmp_path, compressors=[{"label": "off", "thinking": False}])
    rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
    assert all(c.endswith("<think>\n\n</think>\n\n") for c in calls)
    assert not any("sampler" in r or "thinking_tokens" in r for r in compressions(rows))
    assert math.isfinite(summary.estimates["easy"].leave_one_out_nats)


def test_a_form_behind_a_thought_with_a_budget(thinker, tmp_path, says):
    says(lambda n: '<think>{"about": ' if n % 4 < 2 else '{"value": "v", "about": "x"}')
    made = recipe(
        thinker,
        tmp_path,
        batch_size=2,
        data=[{"name": "records", "limit": 2, "min_words": 40, "max_words": 60}],
        compressors=[{"label": "both", "thinking": 8, "form": {"json_schema": SCHEMA}}],
    )
    rows = compressions(run(made))
    assert [r["text"] for r in rows] == ['{"about":"x","value":"v"}'] * 2
    assert [r["reply"] for r in rows] == ['<think>{"about\n</think>\n\n{"value": "v", "about": "x"}'] * 2
    assert [r["thinking_tokens"] for r in rows] == [12] * 2


@pytest.mark.parametrize(
    ("compressor", "words"),
    [
        ({"label": "a", "form": {}}, "json_schema or signature, one of the two"),
        ({"label": "a", "form": {"json_schema": SCHEMA, "signature": "def f(a: int)"}}, "one of the two"),
        ({"label": "a", "form": {"json_schema": SCHEMA}, "prompt": {"template": "query-v1"}}, "no place for a form"),
        ({"label": "a", "prompt": {"template": "form-v1"}}, "names a form"),
        ({"label": "a", "kind": "lead", "sentences": 1, "thinking": True}, "thinking is for kinds lm and endpoint"),
        ({"label": "a", "prompt": {"template": "think-v1"}}, "asks for a thought"),
        ({"label": "a", "thinking": True, "form": {"json_schema": SCHEMA, "constrained": True}}, "constrain the thought"),
        ({"label": "a", "kind": "endpoint"}, "belong together"),
        ({"label": "a", "thinking": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_go_together(tiny_dir, tmp_path, compressor, words):
    with pytest.raises(ValueError, match=words):
        recipe(tiny_dir, tmp_path, compressors=[compressor])


def test_every_mistake_of_every_form_before_a_model_loads(tiny_dir, tmp_path):
    made = recipe(
        tiny_dir,
        tmp_path,
        compressors=[
            {"label": "a", "form": {"json_schema": "no/such/file.json"}},
            {"label": "b", "form": {"signature": "def f(a, b: set)"}},
            {"label": "c", "thinking": True},
        ],
    )
    with pytest.raises(InputError) as caught:
        plan_cells(made)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for words in ("'a': form.json_schema = 'no/such", "'b': form.signature: a has", "b is of type set", "no thinking mode"):
        assert words in text


def served(url, **more):
    server = {"base_url": url, "name": "fake", "api_key_env": None, "retries": 0, "timeout_seconds": 5}
    return {"label": "served", "kind": "endpoint", "server": {**server, **more.pop("server", {})}, **more}


FREE = {"prices": {"fake": {"input": 1000.0, "output": 1000.0}}}


def test_a_server_compresses_in_a_form_and_is_paid_once(tiny_dir, tmp_path):
    closed = {**SCHEMA, "title": "note"}
    with FakeServer(lambda chat: '{"value": "v", "about": "x"}') as server:
        for number, form in enumerate(({"json_schema": closed}, {"signature": "def note(about: str, value: str)"})):
            compressor = served(server.url, form={**form, "constrained": True})
            made = recipe(tiny_dir, tmp_path / str(number), compressors=[compressor], cost=FREE, spending_limit_usd=1000)
            rows, [summary] = run_evaluation(made, plan_cells(made), quiet=True)
            asked = len(server.requests)
            run(made)
            assert len(server.requests) == asked == 4 * (number + 1)
            assert {r["text"] for r in compressions(rows)} == {'{"about":"x","value":"v"}'}
            assert summary.cost.compressor_usd > 0
            [predictor] = summary.predictors.values()
            assert predictor.cost.usd_total == pytest.approx(summary.cost.compressor_usd)
            assert math.isnan(summary.estimates["easy"].leave_one_out_nats)
        first, last = server.requests[0].body, server.requests[-1].body
    assert first["response_format"]["json_schema"]["strict"] is True
    assert first["response_format"]["json_schema"]["schema"]["required"] == ["about", "value"]
    assert last["tool_choice"] == {"type": "function", "function": {"name": "note"}}
    assert last["tools"][0]["function"]["parameters"]["additionalProperties"] is False


def test_thoughts_of_servers_are_paid_and_are_no_part_of_z(tiny_dir, tmp_path):
    thought = "well, let me see"
    compressor = served("", thinking=True, thinking_tokens=50, max_tokens=10)
    with FakeServer(lambda chat: "91 kg", thought=thought) as server:
        compressor["server"]["base_url"] = server.url
        made = recipe(tiny_dir, tmp_path / "apart", compressors=[compressor], cost=FREE, spending_limit_usd=1000)
        rows = compressions(run(made))
        assert server.requests[0].body["chat_template_kwargs"] == {"enable_thinking": True}
        assert server.requests[0].body["max_tokens"] == 60
    assert {(r["text"], r["thinking_tokens"]) for r in rows} == {("91 kg", count_tokens(thought))}
    assert {r["written_tokens"] for r in rows} == {count_tokens(thought) + count_tokens("91 kg")}
    assert "thinking_estimated" not in rows[0]

    texts = iter(["<think>hm</think>\n91 kg", "<think>hm, and no end", "91 kg", "91 kg"])
    with FakeServer(lambda chat: next(texts)) as server:
        compressor["server"] |= {"base_url": server.url, "concurrency": 1, "extra": {"reasoning_effort": "low"}}
        made = recipe(tiny_dir, tmp_path / "inside", compressors=[compressor], cost=FREE, spending_limit_usd=1000)
        rows = compressions(run(made))
        assert "chat_template_kwargs" not in server.requests[0].body
        assert [r.get("text") for r in rows] == ["91 kg", None, "91 kg", "91 kg"]
        assert (rows[0]["thinking_tokens"], rows[0]["thinking_estimated"]) == (len("<think>hm</think>\n"), True)
        assert (rows[1]["cause"], rows[1]["final"]) == ("unfinished thinking", True)

    with FakeServer(lambda chat: "z", script=[empty("length"), status(500)]) as server:
        compressor["server"]["base_url"] = server.url
        made = recipe(tiny_dir, tmp_path / "empty", compressors=[compressor], cost=FREE, spending_limit_usd=1000)
        rows = compressions(run(made))
        assert [r.get("cause") for r in rows] == ["unfinished thinking", "http 500", None, None]
        assert "all of max_tokens went into thinking" in rows[0]["error"]
        # a server can be asked again, but what it has thought away stays thought away, and paid
        assert [r["status"] for r in compressions(run(made))] == ["failed", "ok", "ok", "ok"]
        assert len(server.requests) == 5
    assert sum(r["kind"] == "reply" for r in read_records(tmp_path / "empty")) == 4
