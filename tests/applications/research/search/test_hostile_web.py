"""Searches and pages whose servers send anything: every one is a record with its cost, the limit holds, no key is kept."""

import json
import random
import re

import pytest
from hostile import CHARSETS, Hostile, RawServer, hostile, http, outcome

from infoagent.applications.research.asking import LimitReached
from infoagent.applications.research.reading import Reading
from infoagent.applications.research.search import LiveWire, SearchFailed, Source, Web, WebSettings
from infoagent.evaluation.records import RecordFile
from infoagent.lm.endpoint.spending import SpendingLimit

KEY = "BSA/a+secret=that-stands-nowhere"
SEARCH, FETCH = 0.25, 0.5
ODD_ADDRESSES = [
    "http://[::1",
    "http://a..b/",
    "https://\x00/",
    "http://\ud800/",
    "http://" + "a" * 70_000,
    "http://x:99999999/#a?b",
]


def found(number):
    results = [{"title": f"title {n}", "url": f"http://{n}.example/{number}", "description": ""} for n in range(2)]
    return {"web": {"results": [*results, {"title": "odd", "url": ODD_ADDRESSES[number % len(ODD_ADDRESSES)]}]}}


def page(number):
    return {"code": 200, "data": {"title": "page", "url": "http://x", "content": f"alpha {number}"}}


def unescaped(text):
    """Without the escapes of JSON and of URLs."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text.replace("\\/", "/"))
    return re.sub(r"%([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), plain)


def reading(tmp_path, server, limit, monkeypatch, concurrency=4):
    monkeypatch.setenv("WEB_KEY", KEY)
    settings = WebSettings(f"{server.url}/search", f"{server.url}/read", "WEB_KEY", "WEB_KEY", SEARCH, FETCH)
    wire = LiveWire(tmp_path / "web.jsonl", timeout_seconds=60, retries=1, backoff_seconds=0.001)
    return Reading(Web(settings, wire), RecordFile(tmp_path / "out"), limit, concurrency)


@pytest.mark.parametrize("seed", range(4))
def test_every_hostile_response_is_a_record_with_its_cost(seed, tmp_path, monkeypatch):
    """60 searches and their pages each."""
    rng, due = random.Random(seed), []

    def answer(path, body):
        is_search = path.startswith("/search")
        truth = found(len(due)) if is_search else page(len(due))
        reply = hostile(rng, truth, KEY) if rng.random() < 0.7 else Hostile(http(200, {}, json.dumps(truth).encode()))
        due.append((SEARCH if is_search else FETCH) * (reply.status in (200, 504)))
        return reply.sent

    budget = SpendingLimit(1000.0)
    with RawServer(answer) as server:
        look = reading(tmp_path, server, budget, monkeypatch)
        searches = look.search([f"query {n}" for n in range(60)], 5)
        sources = [source for row in searches if row["status"] == "ok" for source in row["sources"]]
        pages = look.read(list({source["id"]: source for source in sources}.values()))
    rows = searches + pages
    assert len(pages) > 20
    assert all(row["status"] == "ok" or (row["cause"] and row["error"]) for row in rows)
    assert {row["cause"] for row in rows if row["status"] != "ok"} >= {"connection", "not decodable", "not JSON", "no text"}
    assert sum(row["usd"] for row in rows) == pytest.approx(budget.spent_usd)
    assert budget.spent_usd >= sum(due) - 1e-9
    assert budget.reserved_usd == 0
    for file in (tmp_path / "web.jsonl", tmp_path / "out/records.jsonl"):
        text = file.read_text(encoding="utf-8")
        lines = text.removesuffix("\n").split("\n")
        assert all(isinstance(json.loads(line), dict) for line in lines)
        assert KEY not in text.replace("\\/", "/")
    bodies = [json.loads(line).get("body", "") for line in (tmp_path / "web.jsonl").read_text().split("\n") if line]
    assert not any(KEY in unescaped(body) for body in bodies)
    assert RecordFile(tmp_path / "out").paid_usd == pytest.approx(budget.spent_usd)


def test_the_limit_is_not_passed_and_counts_what_was_paid_before(tmp_path, monkeypatch):
    with RawServer(lambda path, body: http(200, {}, json.dumps(found(0)).encode())) as server:
        for call in range(3):
            records = RecordFile(tmp_path / "out")
            budget = SpendingLimit(2.0, records.paid_usd)
            look = reading(tmp_path, server, budget, monkeypatch)
            look.records = records
            with pytest.raises(LimitReached):
                look.search([f"query {call} {n}" for n in range(20)], 5)
            assert len(server.asked) == 8


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_charset_hides_a_page(charset, tmp_path, monkeypatch):
    body = json.dumps(page(1) | {"data": {"content": "é漢"}}, ensure_ascii=False).encode()
    with RawServer(lambda path, sent: http(200, {"Content-Type": f"application/json; charset={charset}"}, body)) as server:
        look = reading(tmp_path, server, SpendingLimit(9.0), monkeypatch)
        [row] = look.read([{"id": "a", "title": "a", "address": "http://a.example/"}])
    assert row["text"] == "é漢"


@pytest.mark.parametrize("address", ODD_ADDRESSES, ids=lambda a: repr(a)[:20])
def test_an_address_that_is_none_fails_alone(address, tmp_path, monkeypatch):
    with RawServer(lambda path, sent: http(200, {}, json.dumps(page(1)).encode())) as server:
        web = reading(tmp_path, server, SpendingLimit(9.0), monkeypatch).provider
        found = outcome(lambda: web.fetch(Source("a", "a", address)), SearchFailed)
    if isinstance(found, Source):
        assert found.text == "alpha 1"
    else:
        assert (found.cause, found.usd, server.asked) == ("invalid address", 0.0, [])


def test_what_is_under_way_when_a_run_ends_is_kept(tmp_path, monkeypatch):
    """A record that cannot be written ends the run; the other replies are paid for, and stand in it."""
    with RawServer(lambda path, body: http(200, {}, json.dumps(found(0)).encode())) as server:
        budget = SpendingLimit(100.0)
        look = reading(tmp_path, server, budget, monkeypatch)
        real, calls = look.records.append, []

        def append(row):
            calls.append(row)
            if len(calls) == 2:
                raise OSError("disk full for a moment")
            real(row)

        look.records.append = append
        with pytest.raises(OSError, match="disk full"):
            look.search([f"query {n}" for n in range(50)], 5)
    assert len(server.asked) < 50  # what waited was not sent
    assert len(calls) == len(server.asked)
    assert budget.spent_usd == pytest.approx(SEARCH * len(server.asked))
    assert RecordFile(tmp_path / "out").paid_usd == pytest.approx(SEARCH * (len(server.asked) - 1))
