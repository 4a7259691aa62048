"""The client of chat servers against a server that misbehaves and keeps its own books."""

import asyncio
import json
import logging
import os
import random
import signal
import threading
import time

import pytest
from fake_server import FakeServer, drip, drop, empty, hang, no_choices, no_usage, not_json, ok, status, truncated
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.lm.endpoint.client import Endpoint, EndpointSettings, Failure, Reply, SpendingLimit, Usage
from infoagent.lm.foreign_http import one_line
from infoagent.types import InputError

KEY = "sk-a/secret+that=stands-nowhere"
IN, CACHED, OUT = 0.002, 0.0005, 0.01


def usd(usage):
    return IN * (usage.prompt_tokens - usage.cached_tokens) + CACHED * usage.cached_tokens + OUT * usage.completion_tokens


def echo(chat):
    return "".join(reversed(chat[-1]["content"]))


def chats(number, words=3):
    return [[{"role": "user", "content": f"question {n} " + "word " * (n % words)}] for n in range(number)]


def client(server, price=usd, budget=None, **more):
    given = {"base_url": server.url, "model": "fake", "api_key_env": None, "max_tokens": 8, "retries": 3}
    jitter = random.Random(0)
    return Endpoint(EndpointSettings(**{**given, **more}), price, budget, backoff_seconds=0.002, jitter=jitter)


def books(server):
    """What the server charged: prompt, cached and completion tokens, requests."""
    rows = server.requests
    return (*(sum(getattr(r, f"{k}_tokens") for r in rows) for k in ("prompt", "cached", "completion")), len(rows))


def booked(answers):
    usages = [a.usage for a in answers]
    return tuple(sum(getattr(u, k) for u in usages) for k in ("prompt_tokens", "cached_tokens", "completion_tokens", "calls"))


def charged_usd(server):
    return sum(usd(request) for request in server.requests)


def test_replies_keep_their_order_and_come_as_they_are_done():
    asked = chats(12)
    seen = []
    four, others = threading.Barrier(4), threading.Event()

    def first_is_last(chat):
        if asked.index(chat) < 4:
            four.wait(300)
        if chat == asked[0]:
            others.wait(300)
        return echo(chat)

    def note(index, answer):
        seen.append((index, answer, threading.current_thread()))
        if len(seen) == 11:
            others.set()

    with FakeServer(first_is_last, cached_tokens=5) as server:
        answers = client(server, concurrency=4, max_tokens=50).ask(asked, note)
    assert [a.text for a in answers] == [echo(chat) for chat in asked]
    assert server.peak == 4
    assert sorted(n for n, *_ in seen) == list(range(12))
    assert seen[-1][0] == 0
    assert all(answers[n] is a and thread is threading.current_thread() for n, a, thread in seen)
    assert booked(answers) == books(server)
    assert sum(a.usd for a in answers) == pytest.approx(charged_usd(server))
    assert not any(a.usage.estimated or a.usage.retries for a in answers)
    assert {(a.finish, a.model) for a in answers} == {("stop", "fake-2026-11-01")}
    assert answers[0].seconds >= max(a.seconds for a in answers[4:])


def test_the_body_says_what_the_settings_say(monkeypatch):
    monkeypatch.setenv("SOME_KEY", f" {KEY}\n")
    extra = {"temperature": None, "top_p": 0.5, "max_completion_tokens": 20}
    with FakeServer(echo, key=KEY) as server:
        asked = client(server, api_key_env="SOME_KEY", json_mode=True, seed=3, extra=extra)
        asked.check()
        asked.ask(chats(1))
        asked.ask(chats(1), seed=4)
        client(server, api_key_env="SOME_KEY").ask(chats(1))
    first, second, plain = (r.body for r in server.requests)
    assert first == {
        "model": "fake",
        "messages": chats(1)[0],
        "max_tokens": 8,
        "max_completion_tokens": 20,
        "top_p": 0.5,
        "seed": 3,
        "response_format": {"type": "json_object"},
    }
    assert second == first | {"seed": 4}
    assert plain == {"model": "fake", "messages": chats(1)[0], "max_tokens": 8, "temperature": 0.6}
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


FAULTS = [ok(), status(429), status(500), status(503), status(400), drop(), truncated(), not_json(), not_json(""), empty(),
          empty("length"), no_choices(), no_usage()]  # fmt: skip


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(FAULTS), max_size=14),
    st.integers(1, 7),
    st.integers(1, 5),
    st.integers(0, 3),
    st.one_of(st.none(), st.floats(0.0, 2.0)),
)
def test_nothing_is_lost_nothing_counted_twice_and_the_limit_holds(script, number, concurrency, retries, limit):
    """The server charges what the client must expect at the most, so the books agree to the token for every script,
    and a limit that holds here holds for a cheaper server."""
    budget = None if limit is None else SpendingLimit(limit + 0.25, 0.25)
    done = []
    with FakeServer(echo, script=script) as server:
        asked = client(server, budget=budget, concurrency=concurrency, retries=retries)
        answers = asked.ask(chats(number), lambda n, a: done.append(n))
    assert sorted(done) == list(range(number))
    assert booked(answers) == books(server)
    assert sum(a.usd for a in answers) == pytest.approx(charged_usd(server))
    for chat, answer in zip(chats(number), answers, strict=True):
        tried = [r for r in server.requests if r.body["messages"] == chat]
        assert answer.usage.calls == len(tried) <= retries + 1
        assert answer.usage.retries == max(0, len(tried) - 1)
        estimated = {"drop", "truncated", "not JSON", "no usage"} & {r.behaviour.kind for r in tried}
        assert answer.usage.estimated == bool(estimated)
        last = tried[-1].behaviour if tried else None
        if isinstance(answer, Reply):
            assert last.kind in ("ok", "no usage")
            assert answer.text == echo(chat)[:24]
        elif answer.cause != "spending limit":
            causes = {
                "status": f"http {last.code}",
                "drop": "connection",
                "truncated": "not JSON",
                "empty": "unfinished thinking" if last.body == "length" else "empty completion",
            }
            assert answer.cause == causes.get(last.kind, last.kind)
            assert answer.error == " ".join(answer.error.split()) != ""
    if budget is not None:
        assert budget.spent_usd == pytest.approx(0.25 + charged_usd(server))
        assert budget.spent_usd <= budget.max_usd * (1 + 1e-9)
        assert budget.reserved_usd == 0


def test_the_limit_stops_a_run_and_a_higher_one_goes_on():
    with FakeServer(lambda chat: "A") as server:
        client(server).ask(chats(1, words=1))
        worst = usd(Usage(len(json.dumps(server.requests.pop().body)), 0, 8, 0, 0))
        first = client(server, budget=SpendingLimit(2.6 * worst), concurrency=8).ask(chats(20, words=1))
        sent = len(server.requests)
        assert [a.cause for a in first if isinstance(a, Failure)] == ["spending limit"] * (20 - sent)
        # with 8 at a time the last requests wait until earlier ones turn out to be cheap
        paid = worst - usd(Usage(0, 0, 7, 0, 0))
        assert sent == int((2.6 * worst - worst) / paid + 1e-9) + 1
        resumed = SpendingLimit(2.6 * worst, sum(a.usd for a in first))
        client(server, budget=resumed).ask(chats(3))
        assert len(server.requests) == sent
        more = client(server, budget=SpendingLimit(1000, resumed.spent_usd)).ask(chats(3))
    assert all(isinstance(a, Reply) for a in more)


def test_what_costs_nothing_is_asked_beyond_the_limit():
    with FakeServer(echo) as server:
        assert all(isinstance(a, Reply) for a in client(server, None, SpendingLimit(0)).ask(chats(3)))
        assert {a.cause for a in client(server, usd, SpendingLimit(0)).ask(chats(3))} == {"spending limit"}
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_what_will_not_change_is_asked_once(code):
    with FakeServer(echo, script=[status(code)] * 9) as server:
        [answer] = client(server).ask(chats(1))
    assert (answer.cause, answer.error) == (f"http {code}", f'http {code}: {{"error": {{"message": "as told"}}}}')
    assert (len(server.requests), answer.usd) == (1, 0.0)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_change_is_asked_again_after_growing_waits(code):
    class Jitter(random.Random):
        def uniform(self, low, high):
            bounds.append((low, high))
            return 0.0

    bounds = []
    with FakeServer(echo, script=[status(code)] * 4) as server:
        asked = client(server, retries=4)
        asked.backoff_seconds, asked.jitter = 3.0, Jitter()
        [answer] = asked.ask(chats(1))
        assert isinstance(answer, Reply)
        assert bounds == [(0.0, 3.0), (0.0, 6.0), (0.0, 12.0), (0.0, 24.0)]
        assert (answer.usage.calls, answer.usage.retries, len(server.requests)) == (5, 4, 5)
        assert answer.usage.estimated == (code == 504)  # behind the gateway somebody may have written and charged
        assert (answer.usd > charged_usd(server)) == (code == 504)


def test_the_pause_that_a_server_asks_for_is_kept():
    with FakeServer(echo, script=[status(429, retry_after=0.4), status(503, retry_after=0.2)]) as server:
        start = time.perf_counter()
        [answer] = client(server).ask(chats(1))
        assert time.perf_counter() - start >= 0.6 <= answer.seconds
    with FakeServer(echo, script=[status(429, retry_after=3600), status(429, body='{"code": "insufficient_quota"}')]) as server:
        long, poor = client(server, concurrency=1).ask(chats(2))
    assert "wants 3600 s of pause" in long.error
    assert "insufficient_quota" in poor.error
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [hang(), drip(5)])
def test_the_deadline_is_for_the_whole_request(fault):
    with FakeServer(echo, script=[fault] * 2) as server:
        budget = SpendingLimit(100)
        start = time.perf_counter()
        [answer] = client(server, budget=budget, timeout_seconds=0.25, retries=1).ask(chats(1))
        assert 0.5 <= time.perf_counter() - start < 300
    assert (answer.cause, answer.usage.calls, answer.usage.estimated) == ("timeout", 2, True)
    assert answer.usd == budget.spent_usd == pytest.approx(charged_usd(server))
    assert answer.usage.completion_tokens == 2 * 8


def test_a_server_that_is_not_there_charges_nothing():
    with FakeServer(echo) as server:
        pass
    [answer] = client(server, retries=2).ask(chats(1))
    assert (answer.cause, answer.usd) == ("connection", 0.0)
    assert answer.usage == Usage(0, 0, 0, calls=3, retries=2)


@pytest.mark.parametrize("style", ["openai", "deepseek", "anthropic"])
def test_cached_tokens_are_found_in_every_dialect(style):
    with FakeServer(echo, usage_style=style, cached_tokens=11) as server:
        answers = client(server).ask(chats(3))
    assert booked(answers) == books(server)
    assert booked(answers)[1] == 33
    assert sum(a.usd for a in answers) == pytest.approx(charged_usd(server))


@pytest.mark.parametrize("fault", [not_json(), no_choices(), empty()])
def test_useless_replies_are_paid_three_times_at_the_most(fault):
    with FakeServer(echo, script=[fault] * 9) as server:
        [answer] = client(server, retries=9).ask(chats(1))
    assert answer.usage.calls == len(server.requests) == 3


def test_a_model_that_thought_all_its_tokens_away_is_not_paid_twice():
    with FakeServer(echo, script=[empty("length")] * 3) as server:
        [answer] = client(server).ask(chats(1))
    assert (answer.cause, len(server.requests)) == ("unfinished thinking", 1)
    assert "max_tokens" in answer.error


def test_a_missing_or_unusable_key_is_one_line(monkeypatch):
    with FakeServer(echo) as server:
        monkeypatch.delenv("SOME_KEY", raising=False)
        for ask in (lambda c: c.check(), lambda c: c.ask(chats(1))):
            with pytest.raises(InputError, match="SOME_KEY: is not set") as caught:
                ask(client(server, api_key_env="SOME_KEY"))
            assert len(caught.value.problems) == 1
        for odd in ("sk-one\nsk-two", "sk-schlüssel", "sk one"):
            monkeypatch.setenv("SOME_KEY", odd)
            with pytest.raises(InputError, match="SOME_KEY: holds blanks") as caught:
                client(server, api_key_env="SOME_KEY").check()
            assert "sk" not in str(caught.value)


def test_the_key_is_shown_nowhere(monkeypatch, caplog):
    monkeypatch.setenv("SOME_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    cut = "x" * 285 + KEY  # the error is cut within it
    script = [status(400, body=cut), status(500, body=json.dumps(KEY).replace("/", "\\/")), not_json(f"Bearer {KEY}")]
    with FakeServer(echo, key="another", script=script) as server:
        with pytest.raises(InputError, match="refuses requests with the key in SOME_KEY") as caught:
            client(server, api_key_env="SOME_KEY").check()
        [refused] = client(server, api_key_env="SOME_KEY").ask(chats(1))
        server.key = KEY
        asked = client(server, api_key_env="SOME_KEY", retries=0, concurrency=1)
        answers = [refused, *asked.ask(chats(3))]
    assert [a.cause for a in answers] == ["http 401", "http 400", "http 500", "not JSON"]
    shown = [str(caught.value), repr(asked), repr(asked.settings), repr(vars(asked)), caplog.text, *map(repr, answers)]
    assert all("secret" not in text and "stands" not in text for text in shown)
    assert "[key]" in refused.error
    assert one_line(f"a {KEY} b", KEY) == "a [key] b"


def test_check_names_what_is_wrong_and_pays_for_nothing(monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    with FakeServer(echo, models=("fake", "fake-large")) as server:
        client(server).check()
        client(server, api_key_env="SOME_KEY").check()
        cases = [
            (client(server, model="fake-larg"), r"does not know the model 'fake-larg'.*fake-large"),
            (client(server, base_url=server.url[:-3]), r"knows no /chat/completions.*ends in /v1"),
        ]
        server.key = "another"
        refused = [(client(server), "without a key"), (client(server, api_key_env="SOME_KEY"), "with the key in SOME_KEY")]
        for asked, message in refused:
            with pytest.raises(InputError, match=message):
                asked.check()
        server.is_list_public = True
        with pytest.raises(InputError, match="with the key in SOME_KEY"):
            client(server, api_key_env="SOME_KEY").check()
        server.key = None
        for asked, message in cases:
            with pytest.raises(InputError, match=message) as caught:
                asked.check()
            assert len(str(caught.value).splitlines()) == 1
        server.lists_models = False
        client(server).check()
        with pytest.raises(InputError, match="no model 'other'"):
            client(server, model="other").check()
    with pytest.raises(InputError, match=rf"{server.url}: does not answer \(ConnectError"):
        client(server).check()
    assert server.requests == []
    probes = [body for path, body in server.looks if path.endswith("/completions")]
    assert len(probes) == 2
    assert all(body["max_tokens"] == 1 and body["messages"] == [] for body in probes)


def test_an_error_of_the_caller_ends_what_is_under_way():
    def on_done(index, answer):
        raise OSError("disk full")

    budget = SpendingLimit(100)
    with FakeServer(echo, script=[ok(), hang(), hang()]) as server:
        start = time.perf_counter()
        with pytest.raises(OSError, match="disk full"):
            client(server, budget=budget, concurrency=3).ask(chats(50), on_done)
        assert time.perf_counter() - start < 300  # it does not wait for the two that hang
        time.sleep(0.2)  # what was sent arrives
        assert len(server.requests) <= 4  # three at a time, and one in the place of the first
    assert budget.reserved_usd == 0
    assert budget.spent_usd >= charged_usd(server) - 1e-9


@pytest.fixture
def listening():
    """A worker of pytest-xdist is deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_hands_over_what_may_have_to_be_paid():
    got = {}
    budget = SpendingLimit(100)
    with FakeServer(echo, script=[ok(), hang(), hang()]) as server:
        timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client(server, budget=budget, concurrency=1).ask(chats(9), got.__setitem__)
        timer.join()
    assert isinstance(got[0], Reply)
    assert (got[1].cause, got[1].usage.estimated) == ("cancelled", True)
    assert len(got) == len(server.requests) == 2
    assert sum(a.usd for a in got.values()) == pytest.approx(budget.spent_usd) == charged_usd(server)


def test_a_notebook_may_ask_within_its_event_loop(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):  # a proxy reaches no server of this machine
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def cell():
        client(server).check()
        return client(server).ask(chats(2))

    with FakeServer(echo) as server:
        assert all(isinstance(a, Reply) for a in asyncio.run(cell()))
        assert client(server).ask([]) == []
