"""Research runs against endpoints and providers that misbehave: who said what, what is lost, what is paid, what resumes."""

import json
import re
import threading

import pytest
from fake_server import FakeServer, hang, ok, status
from fake_web import FakeWeb

from infoagent.applications.research.checks import Prepared, prepare
from infoagent.applications.research.recipe import ResearchRecipe
from infoagent.applications.research.run import run_research
from infoagent.applications.research.search import SearchFailed, Source
from infoagent.data.sets.research_tasks import ResearchTask
from infoagent.evaluation.records import RecordFile
from infoagent.files import read_jsonl
from infoagent.types import InputError, RunFailed

TASKS = [
    ResearchTask("t1", "Write on ants and bees.", "Ants have 11 eyes [1].", ("11 eyes", "22 wings")),
    ResearchTask("t2", "Write on cats and dogs.", "Cats have 33 lives [1].", ("33 lives", "44 teeth")),
    ResearchTask("t3", "Write on elks and foxes.", "Elks have 55 horns [1].", ("55 horns", "66 tails")),
]
PAGES = {
    "ants": "Ants have 11 eyes in this book.",
    "bees": "Bees have 22 wings in this book.",
    "cats": "Cats have 33 lives in this book.",
    "dogs": "Dogs have 44 teeth in this book.",
    "elks": "Elks have 55 horns in this book.",
    "foxes": "Foxes have 66 tails in this book.",
}


class Shelf:
    """A provider of PAGES whose searches and pages fail by name."""

    usd_per_search, usd_per_fetch = 0.001, 0.002
    identity = {"kind": "shelf"}  # noqa: RUF012

    def __init__(self, failing=()):
        self.failing = set(failing)
        self.calls = []
        self.lock = threading.Lock()

    def check(self):
        pass

    def search(self, query, count):
        with self.lock:
            self.calls.append(f"search {query}")
        if query in self.failing:
            raise SearchFailed("http 500", "http 500: down", 0.0)
        return [Source(name, f"on {name}", name) for name in PAGES if name in query][:count]

    def fetch(self, source):
        with self.lock:
            self.calls.append(f"read {source.id}")
        if source.id in self.failing:
            raise SearchFailed("no text", f"{source.id}: empty", self.usd_per_fetch)
        return Source(source.id, source.title, source.address, PAGES[source.id])


def model(chat):
    """Plans a query for each noun, compresses to the part with the number, reports all notes and cites them."""
    text = chat[-1]["content"]
    if "search queries" in text:
        return "\n".join(f"{n + 1}. {noun}" for n, noun in enumerate(re.findall(r"(\w+) and (\w+)", text)[0]))
    if "Summarise" in text:
        return re.search(r"(\w+ have \d+ \w+)", text)[1] + "."
    if "Score both reports" in text:
        scores = dict.fromkeys(("comprehensiveness", "depth", "instruction following", "readability"), 6)
        return json.dumps({"A": scores, "B": {k: 4 for k in scores}})
    if text.startswith("Sources:"):
        notes = re.findall(r"\[(\d+)\] (\w+ have \d+ \w+)", text)
        return " ".join(f"{said} [{n}]." for n, said in notes) + " The moon is made of cheese [9]."
    return "Nothing is known."


def recipe(server, out, timeout=60.0, **more):  # a machine at work on something else is slow, not down
    endpoint = {
        "base_url": server.url,
        "api_key_env": None,
        "retries": 0,
        "timeout_seconds": timeout,
        "backoff_seconds": 0.01,
        "concurrency": 4,
    }
    asked = {"name": "fake", "kind": "endpoint", "endpoint": endpoint, "max_tokens": 200, "temperature": 0.0}
    return ResearchRecipe.model_validate(
        {
            "output_dir": str(out),
            "tasks": {"path": "unused"},
            "search": {"web": {}},
            "predictor": asked,
            "queries": 2,
            "sources": 2,
            "systems": [
                {"label": "whole", "kind": "full-document"},
                {"label": "compressed", "model": {"name": "fake"}, "endpoint": endpoint, "temperature": 0.5},
                {"label": "nothing", "kind": "closed-book"},
            ],
            "judge": {"model": asked},
            "cost": {"prices": {"fake": {"input": 1000.0, "output": 1000.0}}},
            "spending_limit_usd": 1000.0,
            **more,
        }
    )


def run(made, shelf, tasks=TASKS):
    return run_research(made, Prepared(list(tasks), shelf, made.systems), quiet=True)


def reports(out):
    return {(r["task_id"], r["system"]): r for r in read_jsonl(out / "reports.jsonl")}


def test_the_whole_path_counts_what_the_books_say_and_asks_nothing_twice(tmp_path):
    shelf = Shelf()
    with FakeServer(model) as server:
        found = run(recipe(server, tmp_path), shelf)
        asked, calls = len(server.requests), len(shelf.calls)
        # plan, 2 compressions, 3 reports; two of the reports are the same text, which is judged once
        assert asked == 3 * (1 + 2 + 3 + 2)
        assert calls == 3 * (2 + 2)
        paid = server.billed_tokens / 1000 + 6 * 0.001 + 6 * 0.002
        assert found["paid_usd"] == pytest.approx(paid)
        again = run(recipe(server, tmp_path), shelf)
        assert (len(server.requests), len(shelf.calls)) == (asked, calls)
    assert again["systems"] == found["systems"]
    rows = reports(tmp_path)
    row = rows["t1", "compressed"]
    assert row["queries"] == ["ants", "bees"]
    assert row["notes"] == {"1": "Ants have 11 eyes.", "2": "Bees have 22 wings."}
    assert row["facts"]["in_report"] == [True, True]
    assert row["citations"] == {"sentences": 3, "cited": 3, "supported": 2, "unjudged": 0, "invalid": 1, "marks": 3}
    assert sum(c["usd"] for c in row["stages"].values()) < paid
    by_label = {s["label"]: s for s in found["systems"]}
    assert by_label["compressed"]["values"]["facts/report"]["value"] == 1.0
    assert by_label["nothing"]["values"]["facts/report"]["value"] == 0.0
    assert by_label["nothing"]["values"]["facts/sources"]["value"] == 1.0
    assert "citations/supported" not in by_label["nothing"]["values"]  # it cites nothing: no share, and no 0
    assert by_label["compressed"]["values"]["citations/supported"]["value"] == pytest.approx(2 / 3)
    # the judge scores whatever stands first 6 and the other 4: the order is the same for all systems of a task
    finals = {label: s["values"]["rubric/final"]["value"] for label, s in by_label.items()}
    assert len(set(finals.values())) == 1
    assert {r["rubric"]["final"] for r in rows.values()} <= {0.4, 0.6}
    assert by_label["compressed"]["cost"]["compress"]["calls"] == 2
    assert "plan" not in by_label["nothing"]["cost"]  # who reads nothing needs no plan
    # what a stage costs is what its own requests were charged
    said = [(r.body["messages"][-1]["content"], r.tokens / 1000) for r in server.requests]
    plan = [usd for text, usd in said if "search queries" in text and "ants" in text]
    compress = [usd for text, usd in said if "Summarise" in text and ("Ants" in text or "Bees" in text)]
    assert (len(plan), len(compress)) == (1, 2)
    assert row["stages"]["plan"]["usd"] == pytest.approx(sum(plan))
    assert row["stages"]["compress"]["usd"] == pytest.approx(sum(compress))


def test_replies_that_come_in_another_order_stay_with_their_source(tmp_path):
    tasks = [ResearchTask("t", "Write on ants and bees.")]
    late = iter([0.4, 0.0, 0.2, 0.1, 0.0, 0.3])
    pauses = {}

    def script(body, before):
        text = body["messages"][-1]["content"]
        return ok(pauses.setdefault(text, next(late))) if "Summarise" in text else ok()

    def planner(chat):
        return "ants bees cats\ndogs elks foxes" if "search queries" in chat[-1]["content"] else model(chat)

    with FakeServer(planner, script=script) as server:
        run(recipe(server, tmp_path, sources=3), Shelf(), tasks)
        assert server.peak == 4  # in parallel, and bounded
    row = reports(tmp_path)["t", "compressed"]
    titles = {str(s["number"]): s["id"] for s in row["sources"]}
    assert len(titles) == 6
    for number, note in row["notes"].items():
        assert note.lower().startswith(titles[number])


def test_a_failed_search_or_page_is_a_record_and_never_a_source(tmp_path):
    shelf = Shelf(failing={"ants", "dogs", "elks", "foxes"})  # a search and, where it is found, a page of that name
    with FakeServer(model) as server:
        found = run(recipe(server, tmp_path), shelf)
        rows = reports(tmp_path)
        assert [s["id"] for s in rows["t1", "whole"]["sources"]] == ["bees"]
        assert rows["t1", "whole"]["failed_searches"] == [{"query": "ants", "cause": "http 500", "error": "http 500: down"}]
        assert rows["t1", "whole"]["facts"]["in_sources"] == [False, True]
        lost = rows["t3", "whole"]
        assert (lost["status"], lost["stage"], lost["cause"]) == ("failed", "search", "http 500")
        assert "report" not in lost
        assert not any("elks" in json.dumps(r.body) and "Sources" in json.dumps(r.body) for r in server.requests)
        [whole, *_] = found["systems"]
        assert (whole["reports"], whole["failed"], whole["failed_causes"]) == (3, 1, {"search: http 500": 1})
        records = [r for r in read_jsonl(tmp_path / "records.jsonl") if r["status"] == "failed"]
        assert {r["kind"] for r in records} == {"search"}
        shelf.failing.clear()
        healed = run(recipe(server, tmp_path), shelf)  # failures are tried again, results are not
        assert healed["systems"][0]["failed"] == 0
        assert shelf.calls.count("search bees") == 1
        assert shelf.calls.count("search ants") == 2


def test_a_report_fails_where_it_failed_with_notes_or_without(tmp_path):
    """Who reads nothing has no notes either: what fails of it is its report, not a compression."""

    def script(body, before):
        text = body["messages"][-1]["content"]
        closed = not any(mark in text for mark in ("Sources:", "Summarise", "search queries", "Score both"))
        return status(500) if closed or "Summarise" in text else ok()

    with FakeServer(model, script=script) as server:
        run(recipe(server, tmp_path), Shelf(), TASKS[:1])
    rows = {label: row for (_, label), row in reports(tmp_path).items()}
    assert {label: (r["status"], r.get("stage")) for label, r in rows.items()} == {
        "whole": ("ok", None),
        "compressed": ("failed", "compress"),
        "nothing": ("failed", "report"),
    }


def test_a_page_without_text_is_paid_and_left_out(tmp_path):
    class Blank(Shelf):
        def search(self, query, count):
            return [Source(name, name, name) for name in PAGES if name in query]

    with FakeServer(model) as server:
        run(recipe(server, tmp_path), Blank(failing={"ants"}), TASKS[:1])
    row = reports(tmp_path)["t1", "compressed"]
    assert row["failed_pages"] == [{"address": "ants", "cause": "no text", "error": "ants: empty"}]
    assert row["notes"] == {"1": "Bees have 22 wings."}
    assert row["stages"]["read"]["usd"] == pytest.approx(0.004)


def test_the_spending_limit_stops_keeps_all_and_resumes(tmp_path):
    shelf = Shelf()
    with FakeServer(model) as server:
        run(recipe(server, tmp_path / "free"), Shelf())
        needed = server.billed_tokens / 1000
        server.requests.clear()
        out = tmp_path / "limited"
        with pytest.raises(RunFailed, match=r"spending limit: .* of 3 tasks and runs are complete .* goes on from there"):
            run(recipe(server, out, spending_limit_usd=0.5 * needed), shelf)
        first = len(server.requests)
        assert 0 < server.billed_tokens / 1000 <= 0.5 * needed
        done = {r["task_id"] for r in reports(out).values()}
        assert 0 < len(done) < 3
        assert json.loads((out / "deep_research.json").read_text())["tasks"] == len(done)
        with pytest.raises(RunFailed, match="spending limit"):  # the same limit pays for nothing more
            run(recipe(server, out, spending_limit_usd=0.5 * needed), shelf)
        assert len(server.requests) == first
        found = run(recipe(server, out), shelf)
        bodies = [json.dumps(r.body, sort_keys=True) for r in server.requests]
        assert len(bodies) == len(set(bodies)) == 24  # nothing was asked twice
        assert found["paid_usd"] == pytest.approx(server.billed_tokens / 1000 + 18 * 0.001)
    assert len(reports(out)) == 9


def test_the_limit_counts_searches_too(tmp_path):
    class Dear(Shelf):
        usd_per_search = 400.0

    shelf = Dear()
    with FakeServer(model) as server, pytest.raises(RunFailed, match="spending limit"):
        run(recipe(server, tmp_path), shelf)
    assert sum(c.startswith("search") for c in shelf.calls) == 2  # at 400 $ each, 1000 $ hold no more
    assert 800 < RecordFile(tmp_path).paid_usd <= 1000


def test_an_endpoint_that_stalls_costs_its_reports_and_no_others(tmp_path):
    stalled = []

    def script(body, before):
        text = body["messages"][-1]["content"]
        if text.startswith("Sources:") and "cats and dogs" in text and not stalled:
            stalled.append(text)
            return hang(60)
        return ok()

    with FakeServer(model, script=script) as server:
        made = recipe(server, tmp_path, timeout=5.0)
        found = run(made, Shelf())
        lost = [r for r in reports(tmp_path).values() if r["status"] != "ok"]
        assert [(r["task_id"], r["stage"], r["cause"]) for r in lost] == [("t2", "report", "timeout")]
        assert "rubric" not in lost[0]
        assert "facts" not in lost[0]
        assert sum(s["failed"] for s in found["systems"]) == 1
        healed = run(made, Shelf())
        assert sum(s["failed"] for s in healed["systems"]) == 0


def test_replies_of_a_judge_that_are_no_scores_are_failures(tmp_path):
    def vague(chat):
        return "Both are fine." if "Score both" in chat[-1]["content"] else model(chat)

    with FakeServer(vague) as server:
        found = run(recipe(server, tmp_path), Shelf())
    for system in found["systems"]:
        assert system["unjudged"] == {"unparseable": 3}
        assert not any(name.startswith("rubric") for name in system["values"])
        assert system["failed"] == 0  # the report is there, and its facts count
    assert found["systems"][1]["values"]["facts/report"]["value"] == 1.0


def test_a_judge_of_citations_and_tasks_without_reference(tmp_path):
    def judge(chat):
        text = chat[-1]["content"]
        return ("Yes" if "Ants" in text.split("Sentence:")[1] else "no") if "Does the source say" in text else model(chat)

    with FakeServer(judge) as server:
        made = recipe(server, tmp_path)
        made = made.model_copy(update={"judge": made.judge.model_copy(update={"citations": "judge"})})
        run(made, Shelf(), [ResearchTask("t", "Write on ants and bees.")])
    row = reports(tmp_path)["t", "compressed"]
    assert row["rubric"] == {
        "status": "failed",
        "cause": "no reference",
        "error": "task 't' has no reference report to compare with",
    }
    # the judge finds the ants' sentence and not the bees'; a mark of no source is not asked about
    assert (row["citations"]["supported"], row["citations"]["invalid"]) == (1, 1)
    assert row["stages"]["judge"]["calls"] == 2
    assert "facts" not in row


def test_nothing_that_works_is_a_run_that_failed(tmp_path):
    with FakeServer(model, script=[status(500)] * 50) as server, pytest.raises(RunFailed, match="none of 9 reports was written"):
        run(recipe(server, tmp_path), Shelf())
    assert {r["stage"] for r in reports(tmp_path).values()} == {"plan"}


def test_a_local_model_judges_by_likelihood_and_a_prompt_beyond_its_context_is_a_failure(tiny_dir, tmp_path):
    judge = {"model": {"name": str(tiny_dir), "dtype": "float32"}, "weights": {"depth": 1.0}}
    with FakeServer(model) as server:
        made = recipe(server, tmp_path, judge=judge)
        found = run(made, Shelf(), TASKS[:2])
        row = reports(tmp_path)["t1", "whole"]
        assert row["rubric"]["status"] == "ok"
        assert 1 < row["rubric"]["report"] < 10
        assert 0 < row["rubric"]["final"] < 1
        assert found["systems"][0]["cost"]["judge"]["gflops"] > 0
        long = [ResearchTask("t9", "Write on ants and bees. " + "x" * 5000, "R")]
        run(recipe(server, tmp_path / "long", judge=judge), Shelf(), long)
    row = reports(tmp_path / "long")["t9", "whole"]
    assert (row["status"], row["rubric"]["cause"]) == ("ok", "context")
    assert "holds 4096 tokens" in row["rubric"]["error"]


def test_a_recorded_web_run_is_repeated_without_network_and_key(tmp_path, monkeypatch):
    pages = {f"http://{name}.example/?q={name}": text for name, text in PAGES.items() if name in ("ants", "bees")}
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"id": "t1", "task": "Write on ants and bees."}))
    monkeypatch.setenv("FAKE_WEB_KEY", "a-secret")

    def web(**more):
        keys = {"search_key_env": "FAKE_WEB_KEY", "reader_key_env": "FAKE_WEB_KEY"}
        return {"web": {**keys, "responses": str(tmp_path / "web.jsonl"), "usd_per_search": 1.0, "retries": 0, **more}}

    def go(server, out, search):
        made = recipe(server, tmp_path / out, search=search, tasks={"path": str(tasks)})
        return run_research(made, prepare(made), quiet=True), reports(tmp_path / out)

    with FakeServer(model) as server:
        with FakeWeb(pages, key="a-secret", faults={"http://bees.example/?q=bees": [404]}) as fake:
            addresses = {"search_url": fake.search_url, "reader_url": fake.reader_url}
            live, first = go(server, "live", web(**addresses))
            asked = len(fake.asked)
        monkeypatch.delenv("FAKE_WEB_KEY")
        replayed, second = go(server, "again", web(**addresses, replay=True))
    assert asked == len(fake.asked) == 4  # two searches, two pages, and nothing after the server was gone
    assert "a-secret" not in (tmp_path / "web.jsonl").read_text()
    for rows in (first, second):
        row = rows["t1", "compressed"]
        assert [s["address"] for s in row["sources"]] == ["http://ants.example/?q=ants"]
        assert [(p["address"], p["cause"]) for p in row["failed_pages"]] == [("http://bees.example/?q=bees", "http 404")]
        assert row["notes"] == {"1": "Ants have 11 eyes."}
    assert first["t1", "whole"]["report"] == second["t1", "whole"]["report"]
    assert live["paid_usd"] - replayed["paid_usd"] == pytest.approx(2.0)


def test_everything_wrong_is_said_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv("BRAVE_API_KEY", raising=False)
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"id": "a"}\n')
    made = ResearchRecipe.model_validate(
        {
            "output_dir": str(tmp_path / "out"),
            "tasks": {"path": str(tasks)},
            "search": {"web": {}},
            "systems": [{"label": "frozen", "prompt": {"template": "query-v9"}}],
            "predictor": {"name": "./no-such-model"},
        }
    )
    with pytest.raises(InputError) as error:
        prepare(made)
    text = "\n".join(error.value.problems)
    for part in (
        "tasks.jsonl:1: field 'task': missing",
        "BRAVE_API_KEY: is not set",
        "JINA_API_KEY: is not set",
        "'query-v9' is unknown",
        "no-such-model",
    ):
        assert part in text
    assert not (tmp_path / "out").exists()
