"""Search and reader APIs: what they answer, what goes wrong, what it costs, and the record that repeats it all."""

import json

import pytest
from fake_web import FakeWeb

from infoagent.applications.research.search import LiveWire, ReplayWire, SearchFailed, Web, WebSettings
from infoagent.types import InputError

KEY = "BSA-a-secret-that-stands-nowhere"
PAGES = {"http://a.example/x?y=1": "alpha beta", "http://b.example/": "beta gamma", "http://c.example/": "delta"}


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("FAKE_WEB_KEY", KEY)


def live(web, record, **more):
    settings = WebSettings(web.search_url, web.reader_url, "FAKE_WEB_KEY", "FAKE_WEB_KEY", 0.25, 0.5)
    return Web(settings, LiveWire(record, **{"timeout_seconds": 2.0, "retries": 2, "backoff_seconds": 0.01, **more}))


def test_results_and_pages_are_read_and_repeated_from_the_record_without_server_and_key(tmp_path, key, monkeypatch):
    with FakeWeb(PAGES, key=KEY, faults={"http://b.example/": ["empty"]}) as web:
        provider = live(web, tmp_path / "r.jsonl")
        provider.check()
        found = provider.search("beta", 10)
        assert [s.address for s in found] == ["http://a.example/x?y=1", "http://b.example/"]
        assert found[0].text is None
        assert provider.search("beta", 1) == found[:1]
        assert provider.search("nothing-like-it", 3) == []
        page = provider.fetch(found[0])
        assert (page.id, page.text) == (found[0].id, "alpha beta")
        with pytest.raises(SearchFailed, match="no text"):
            provider.fetch(found[1])
    record = (tmp_path / "r.jsonl").read_text()
    assert KEY not in record
    monkeypatch.delenv("FAKE_WEB_KEY")
    replayed = Web(
        WebSettings(web.search_url, web.reader_url, "FAKE_WEB_KEY", "FAKE_WEB_KEY", 0.25, 0.5, replayed=True),
        ReplayWire(tmp_path / "r.jsonl"),
    )
    replayed.check()
    assert replayed.search("beta", 10) == found
    assert replayed.fetch(found[0]) == page
    assert (replayed.usd_per_search, replayed.usd_per_fetch) == (0.0, 0.0)
    assert replayed.identity == provider.identity
    with pytest.raises(SearchFailed, match="no text"):
        replayed.fetch(found[1])
    with pytest.raises(SearchFailed) as error:
        replayed.search("gamma", 10)
    assert error.value.cause == "not recorded"


@pytest.mark.parametrize(
    ("faults", "cause", "requests", "usd"),
    [
        ([429, 503, 200], None, 3, 0.0),
        ([500, 500, 500, 200], "http 500", 3, 0.0),
        ([403, 200], "http 403", 1, 0.0),
        (["not JSON"], "not JSON", 1, 0.25),
        (["hang"], "timeout", 1, 0.25),
        (["drip"], "timeout", 1, 0.25),
    ],
)
def test_a_fault_is_tried_again_or_said_with_what_it_may_cost(tmp_path, key, faults, cause, requests, usd):
    with FakeWeb(PAGES, faults={"/search": faults}) as web:
        provider = live(web, tmp_path / "r.jsonl", timeout_seconds=0.5 if cause == "timeout" else 20.0)
        if cause is None:
            assert len(provider.search("beta", 5)) == 2
        else:
            with pytest.raises(SearchFailed) as error:
                provider.search("beta", 5)
            assert (error.value.cause, error.value.usd) == (cause, usd)
        assert len(web.asked) == requests
    if cause is not None and cause != "not JSON":
        [row] = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
        assert (row["status"], row["cause"]) == ("failed", cause)
        again = Web(WebSettings(web.search_url, web.reader_url, None, None, replayed=True), ReplayWire(tmp_path / "r.jsonl"))
        with pytest.raises(SearchFailed) as error:  # a recorded run fails where it failed
            again.search("beta", 5)
        assert error.value.cause == cause


def test_a_server_that_is_not_there_and_keys_that_are_not_set(tmp_path, key, monkeypatch):
    with FakeWeb(PAGES) as web:
        pass
    with pytest.raises(SearchFailed) as error:
        live(web, tmp_path / "r.jsonl", retries=1).search("beta", 5)
    assert error.value.cause == "connection"
    settings = WebSettings(web.search_url, web.reader_url, "NO_SEARCH_KEY", "NO_READER_KEY")
    with pytest.raises(InputError) as missing:
        Web(settings, LiveWire(tmp_path / "r.jsonl")).check()
    assert [line.split(":")[0] for line in missing.value.problems] == ["NO_SEARCH_KEY", "NO_READER_KEY"]


def test_a_key_that_a_server_repeats_is_not_kept(tmp_path, key):
    with FakeWeb(PAGES, faults={"/search": ["echo"], "http://a.example/x?y=1": [200]}) as web:
        live(web, tmp_path / "r.jsonl").search("beta", 5)
    with FakeWeb(PAGES, key="another") as web:
        with pytest.raises(SearchFailed) as error:
            live(web, tmp_path / "r.jsonl").search("beta", 5)
        assert KEY not in str(error.value)
    text = (tmp_path / "r.jsonl").read_text()
    assert KEY not in text
    assert "[key]" in text


def test_a_record_that_is_not_there_is_said():
    with pytest.raises(InputError, match="no such file; record a run first"):
        ReplayWire("nowhere.jsonl")
