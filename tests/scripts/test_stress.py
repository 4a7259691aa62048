"""eval/applications/stress.py as a user runs it: both stories, killed and gone on with, and the servers that are not in order."""

import contextlib
import importlib.util
import io
import json
import os
import socket
from pathlib import Path

import pytest
from conftest import ROOT, run_killed_at, run_script
from fake_server import FakeServer, ok, status
from tiny import save_adapter

from infoagent.config import exit_code
from infoagent.files import read_jsonl
from infoagent.lm.models import load
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.records.files import read_records

THREADS = {"OMP_NUM_THREADS": "1"}
LOAD, INPUTS = "configs/eval/stress_load.yaml", "configs/eval/stress.yaml"


def load_settings(out, url=None, **changed):
    content = {
        "output_dir": out, "seeds": "[0, 1]", "jobs": 6, "loads": "[0.5, 1.5]", "probe_jobs": 6, "probe_clients": 1, "documents": 3,
        "data.min_words": 40, "data.max_words": 60, "data.limit": 10,
    }  # fmt: skip
    if url is not None:
        content["conditions"] = "[{label: as it is}, {label: nothing shared, prefixes: own}]"
        content |= {f"{stage}.base_url": url for stage in ("compressor", "predictor")}
        content |= {f"{stage}.name": "fake" for stage in ("compressor", "predictor")}
        content["cost.prices"] = "{fake: {input: 0, output: 0}}"
    content |= changed
    return [f"{k}={v}" for k, v in content.items()]


def stress(*arguments, **environment):
    return run_script("eval/applications/stress.py", *map(str, arguments), "--quiet", **THREADS, **environment)


@pytest.fixture(scope="module")
def script():
    """eval/applications/stress.py in this process, which saves the imports."""
    spec = importlib.util.spec_from_file_location("stress_script", ROOT / "eval/applications/stress.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def here(script, capsys, monkeypatch):
    """Run it: (exit code, stdout, lines of mistakes on stderr)."""
    monkeypatch.chdir(ROOT)

    def run(*arguments):
        code = exit_code(lambda: script.main([*map(str, arguments), "--quiet"]))
        said = capsys.readouterr()
        return code, said.out, [line for line in said.err.splitlines() if line.startswith(("error: ", "failed: "))]

    return run


def test_load_on_a_server_of_ones_own_counts_every_job_once_and_repeats_nothing(here, tmp_path):
    """Of known service time: 5 ms a request and any number at a time, so latency is 10 ms at every load."""
    out = tmp_path / "load"
    with FakeServer(lambda chat: "It is Riga.", script=lambda body, before: ok(0.005)) as server:
        code, printed, errors = here("load", LOAD, *load_settings(out, server.url, loads="[0.2, 0.5]"))
        assert (code, errors) == (0, [])
        asked = len(server.requests)
        assert asked == 2 * (2 * (6 + 2 * 2 * 6))  # conditions × stages × (probe + loads × seeds × jobs)
        more = load_settings(out, server.url, loads="[0.2, 0.5]", seeds="[0, 1, 2]")
        assert here("load", LOAD, *more)[0] == 0
        assert len(server.requests) == asked + 2 * 2 * 2 * 6  # of what is there nothing is sent again
        documents = [r.body["messages"][0]["content"] for r in server.requests if "Summarise" in str(r.body)]
    found = json.loads((out / "load.json").read_text())
    assert found["commit"]
    for condition in found["conditions"]:
        for level in condition["levels"]:
            assert (level["served"], level["failed"]) == (18, {})
            assert 0.01 <= level["latency_seconds"]["p50"]["value"] < 0.3
            assert level["latency_seconds"]["p99"] == {"refused": "needs 368 jobs, there are 18"}
    shared, own = (len({d[:20] for d in documents if d.startswith("[") == marked}) for marked in (False, True))
    assert shared <= 3 < own  # three documents, or a mark of its own before each
    assert "note: p99: needs 368 jobs, there are 12" in printed
    assert (out / "load.svg").read_text().startswith("<?xml")


def local_settings(tiny_dir, out, **changed):
    return load_settings(
        out,
        **{
            "server.model": tiny_dir,
            "server.dtype": "float32",
            "seeds": "[0]",
            "compressor.max_tokens": 4,
            "predictor.max_tokens": 2,
            "compressor.temperature": 1.0,
            "predictor.temperature": 1.0,
            **changed,
        },
    )


def cached_tokens(out):
    """By condition; every job is there, served or with its cause (a random model may write nothing)."""
    found = {}
    for condition in json.loads((out / "load.json").read_text())["conditions"]:
        for level in condition["levels"]:
            assert level["served"] + sum(level["failed"].values()) == 6
            assert set(level["failed"]) <= {"empty completion"}
        found[condition["condition"]["label"]] = sum(level["cached_tokens"] for level in condition["levels"])
    return found


@pytest.mark.slow
def test_load_starts_the_local_server_and_ends_it(here, tiny_dir, tmp_path):
    settings = local_settings(tiny_dir, tmp_path, conditions="[{label: kept, prefix_cache: 4}]", loads="[1.0]")
    code, _, errors = here("load", LOAD, *settings)
    assert (code, errors) == (0, [])
    assert cached_tokens(tmp_path)["kept"] > 0
    assert not [c for c in children() if "serve" in c]


def children():
    """Command lines of this process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(stat.with_name("cmdline").read_text())
    return found


@pytest.mark.slow
def test_the_prefix_cache_is_the_conditions_own(here, tiny_dir, tmp_path):
    code, _, errors = here("load", LOAD, *local_settings(tiny_dir, tmp_path))
    assert (code, errors) == (0, [])
    cached = cached_tokens(tmp_path)
    assert cached["no prefix cache"] == 0
    # chats that share no document share the header that they all begin with, and where the cache is small more than that
    assert cached["prefix cache"] > 1.3 * cached["prefix cache, nothing shared"]


class Stalling:
    """Takes connections, and never says a word."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        return self

    def __exit__(self, *_):
        self.socket.close()


def one_line(result, code, *parts):
    found, _, lines = result
    assert found == code
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]


def test_an_endpoint_that_stalls_ends_the_run_in_one_line(here, tmp_path):
    with Stalling() as server:
        result = here("load", LOAD, *load_settings(tmp_path / "a", server.url, timeout_seconds=0.5))
        one_line(result, 2, server.url, "does not answer (TimeoutError); start the server")
    hanging = lambda body, before: ok(600.0)  # noqa: E731 (it says which models it has, and then nothing more)
    with FakeServer(lambda chat: "A", script=hanging) as server:
        result = here("load", LOAD, *load_settings(tmp_path / "b", server.url, timeout_seconds=0.5))
        one_line(result, 1, "as it is: 6 of the 6 jobs of the probe were not served (timeout: compress: no complete reply")


def test_a_server_that_dies_in_mid_run_keeps_what_was_measured(here, tmp_path):
    out, probe = tmp_path / "load", 2 * 6

    def dies(body, before):
        return ok(0.01) if len(server.requests) < probe + 2 * 6 else status(503)

    with FakeServer(lambda chat: "It is Riga.", script=dies) as server:
        result = here("load", LOAD, *load_settings(out, server.url))
        one_line(result, 1, "as it is, load 0.5: not one of 6 jobs was served (http 503: compress: http 503", "goes on")
    kept = [row for row in read_records(out) if row["kind"] == "load"]
    assert [(row["status"], row["seed"]) for row in kept] == [("ok", 0), ("failed", 1)]
    assert kept[1]["jobs"]["cause"] == ["http 503"] * 6


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({"documents": 30}, ["documents = 30: records has 10 different ones"]),
        ({"compressor.name": "no-such-model-x"}, ["model 'no-such-model-x'"]),
        ({"cost.prices": "{fake: {input: 90000, output: 1}}"}, ["spending_limit_usd = 5: this plan may cost"]),
        ({"compressor.api_key_env": "NO_SUCH_KEY", "documents": 30}, ["documents = 30", "NO_SUCH_KEY: is not set"]),
        ({"conditions": "[{label: a, prefix_cache: 0}]"}, ["prefix_cache is the local server's"]),
        ({"jobs": 1, "loads": "[]"}, ["jobs = 1", "loads"]),
        ({"job": "answer, compress"}, ["job = 'answer, compress'"]),
    ],
)
def test_bad_load_recipes_are_told_before_anything_is_sent(here, tmp_path, changed, messages):
    mistakes_are(here("load", LOAD, *load_settings(tmp_path / "x", "http://127.0.0.1:9/v1", **changed)), messages)


def mistakes_are(result, messages):
    code, _, lines = result
    assert code == 2
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert message in line


# ---- hard inputs ---------------------------------------------------------------------------------------------------


def input_settings(tiny_dir, out, **changed):
    content = {
        "output_dir": out, "cases": 5, "context_tokens": 700, "counterfactuals": 2, "batch_size": 16, "min_words": 40,
        "max_words": 60, "predictor.name": tiny_dir, "predictor.dtype": "float32", "predictor.max_tokens": 4,
        "variants": "[]", **changed,
    }  # fmt: skip
    model = f"{{name: {tiny_dir}, dtype: float32}}"
    content["compressors"] = (
        f"[{{label: frozen, max_tokens: 8, model: {model}}}, {{label: BM25, kind: bm25, sentences: 1, model: {model}}}]"
    )
    return [f"{k}={v}" for k, v in content.items()]


@pytest.fixture(scope="module")
def adapter(tiny_dir, tmp_path_factory):
    return save_adapter(tiny_dir, tmp_path_factory.mktemp("adapter") / "checkpoint-1")


@pytest.fixture(scope="module")
def hard(script, tiny_dir, adapter, tmp_path_factory):
    """A whole run: (its directory, what it printed)."""
    out = tmp_path_factory.mktemp("hard")
    settings = input_settings(tiny_dir, out, checkpoint=adapter)
    printed = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        assert exit_code(lambda: script.main(["inputs", INPUTS, *settings, "--quiet"])) == 0
    return out, printed.getvalue()


def stress_rows(out):
    return [row for row in read_records(out) if row["kind"] == "stress"]


def test_every_case_ends_in_one_of_three_ways(hard):
    out, _ = hard
    rows = stress_rows(out)
    assert len(rows) == 3 * 12 * 5
    assert {row["outcome"] for row in rows} == {"written", "refused"}
    for row in rows:
        expected = {"empty": "empty document"}.get(row["case"]["kind"])
        if row["case"]["variant"] == "half a surrogate pair":
            expected = "not text"
        assert row.get("cause") == expected
        assert ("text" in row) == (expected is None)
    parts = {row["parts"] for row in rows if row["case"]["kind"] == "enormous" and row["compressor"]["kind"] == "lm"}
    assert min(parts) > 1


def test_what_is_kept_is_what_is_printed(hard):
    out, printed = hard
    found = json.loads((out / "stress.json").read_text())
    [shares] = [r["shares"] for r in found["rates"] if (r["kind"], r["failure"]) == ("empty", "not refused")]
    assert {label: share["count"] for label, share in shares.items()} == dict.fromkeys(found["compressors"], 0)
    assert "0/5 0 % [0, 43]" in printed  # Wilson: of five, none
    assert found["pair"][0].startswith("trained ")
    assert found["pair"][1] == "frozen"
    assert {line["kind"] for line in found["information"]} >= {"plain", "contradictory", "foreign", "instructions"}
    for line in found["information"]:
        assert line["candidates"] == 3
        assert all(v["value"] <= line["ceiling_nats"] for v in line["mi_nats"].values())
    assert found["commit"]
    assert (out / "stress.svg").stat().st_size > 5000


def test_the_information_is_what_plain_forward_passes_give(hard, tiny_dir):
    out, _ = hard
    lm = load(str(tiny_dir), dtype="float32")
    cases = {row["key"]: row for row in read_jsonl(out / "cases.jsonl")}
    row = next(r for r in stress_rows(out) if r["case"]["kind"] == "contradictory" and r["compressor"]["kind"] == "bm25")
    case, ids = cases[row["case_key"]], [*text_ids(lm.tokenizer, row["text"]), end_of_turn_id(lm.tokenizer)]
    prefixes = [compressor_ids(lm.tokenizer, d, case["query"]) for d in (case["document"], *case["counterfactuals"])]
    assert row["log_probs"] == pytest.approx(Scorer(lm.model).score_one_by_one(prefixes, [ids])[0], abs=1e-3)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_what_it_has(hard, tiny_dir, adapter, tmp_path):
    settings = input_settings(tiny_dir, tmp_path, checkpoint=adapter)
    records = tmp_path / "records.jsonl"
    run_killed_at(f"{records}#6", "eval/applications/stress.py", "inputs", INPUTS, *settings, "--quiet", **THREADS)
    before = records.read_bytes()
    result = stress("inputs", INPUTS, *settings)
    assert result.returncode == 0, result.stderr
    assert records.read_bytes().startswith(before[: before.rfind(b"\n") + 1])  # nothing is computed again
    unkilled = {row["key"]: row.get("text") for row in stress_rows(hard[0])}
    assert {row["key"]: row.get("text") for row in stress_rows(tmp_path)} == unkilled


def test_an_untouched_adapter_fails_where_its_base_fails(here, tiny_dir, tmp_path):
    untouched = save_adapter(tiny_dir, tmp_path / "same" / "checkpoint-1", untouched=True)
    out = tmp_path / "out"
    settings = input_settings(tiny_dir, out, checkpoint=untouched, kinds="[plain, instructions]", predictor="null")
    settings = [s for s in settings if not s.startswith("predictor.")]
    assert here("inputs", INPUTS, *settings)[0] == 0
    found = json.loads((out / "stress.json").read_text())
    assert found["comparisons"]
    for line in found["comparisons"]:
        assert (line["only_frozen"], line["only_trained"], line["p_holm"]) == (0, 0, 1.0)
    for line in found["information"]:
        assert line["difference_nats"]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({"kinds": "[plain, odd]"}, ["kinds: 'odd' is unknown"]),
        ({"checkpoint": "nowhere"}, ["adapter 'nowhere': no such directory"]),
        ({"context_tokens": 60}, ["leaves"]),
        ({"predictor.mode": "likelihood"}, ["its mode must be generation"]),
        ({"predictor.name": "./nowhere"}, ["no such directory"]),
        ({"min_words": 200}, ["min_words 200 is above max_words 60"]),
    ],
)
def test_bad_input_recipes_are_told_before_a_model_loads(here, tiny_dir, tmp_path, changed, messages):
    mistakes_are(here("inputs", INPUTS, *input_settings(tiny_dir, tmp_path / "x", **changed)), messages)


def test_dry_runs_say_what_it_takes(here, tiny_dir, tmp_path):
    _, said, _ = here("inputs", INPUTS, *input_settings(tiny_dir, tmp_path), "cost.gflops_per_second=50", "--dry-run")
    assert "plan: 60 cases × 2 compressors = 120" in said
    result = run_script("eval/applications/stress.py", "load", LOAD, "--dry-run")
    assert "jobs of 2 requests, none of them ever repeated" in result.stdout
    assert not (tmp_path / "records.jsonl").exists()
