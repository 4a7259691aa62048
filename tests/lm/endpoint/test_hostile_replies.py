"""Some hundred hostile replies for each client: all of them recorded and booked, none of them fatal, no key kept."""

import asyncio
import gzip
import json
import random

import httpx
import numpy as np
import pytest
from fake_server import FakeServer, no_usage, ok
from hostile import DEEP, Hostile, Raw, RawServer, dumps, hostile, http, mutated, outcome, values

from infoagent.address import address_mistakes
from infoagent.applications.stress.load import Lost, Served, StreamClient
from infoagent.lm.endpoint.client import Endpoint, EndpointSettings, Failure, Reply, SpendingLimit
from infoagent.lm.foreign_http import masked, one_line
from infoagent.lm.scoring.client import HttpScorer, read_health
from infoagent.types import InputError, RunFailed

KEY = "sk-a/secret+that=stands-nowhere"
IN, OUT = 0.001, 0.004
MAX_TOKENS = 40
CAUSES = {
    "timeout", "connection", "invalid address", "not decodable", "too long", "unreadable", "not JSON", "no choices",
    "empty completion", "unfinished thinking", "spending limit",
}  # fmt: skip


def usd(usage):
    return IN * usage.prompt_tokens + OUT * usage.completion_tokens


def good(prompt_tokens):
    message = {
        "role": "assistant",
        "content": "It is good.",
        "reasoning_content": "Let me see.",
        "tool_calls": None,
        "refusal": None,
    }
    return {
        "id": "chat-1",
        "model": "fake-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 30,
            "total_tokens": prompt_tokens + 30,
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


def due(reply, body):
    """What the server wants for a reply at the least, by a twin that knows what it sent: its own count where the client
    could read it, else every byte that it got, with all that it may have written where no text arrived."""
    if reply.status != 200:
        return IN * len(body) + OUT * MAX_TOKENS if reply.status == 504 else 0.0
    if not reply.whole:
        return IN * len(body) + OUT * MAX_TOKENS if reply.path != ("?",) else IN * len(body)
    if reply.path[:1] != ("usage",) or reply.path[1:2] in [("total_tokens",), ("completion_tokens_details",)]:
        return IN * (len(body) - 40) + OUT * 30
    return IN * len(body) + OUT * len("It is good.Let me see.")


def client(url, monkeypatch, budget=None, key=KEY, **more):
    monkeypatch.setenv("SOME_KEY", key)
    given = {
        "base_url": url,
        "model": "fake",
        "api_key_env": "SOME_KEY",
        "max_tokens": MAX_TOKENS,
        "retries": 1,
        "concurrency": 6,
        "timeout_seconds": 60,
    }
    settings = EndpointSettings(**{**given, **more})
    return Endpoint(settings, usd, budget, backoff_seconds=0.001, jitter=random.Random(0))


def chats(number):
    return [[{"role": "user", "content": f"question {n}"}] for n in range(number)]


@pytest.mark.parametrize("seed", range(6))
def test_every_hostile_reply_is_booked_and_none_ends_the_run(seed, monkeypatch):
    """Six times 100 chats, up to two replies each. A limit is set where the seed is odd."""
    rng, owed = random.Random(seed), []

    def answer(path, body):
        reply = hostile(rng, good(len(body) - 40), KEY) if rng.random() < 0.9 else None
        if reply is None:
            reply = Hostile(http(200, {}, json.dumps(good(len(body) - 40)).encode()), whole=True)
        owed.append(due(reply, body))
        return reply.sent

    seen = {}
    budget = SpendingLimit(5.0 if seed % 2 else 1e9)
    with RawServer(answer) as server:
        answers = client(server.url, monkeypatch, budget).ask(chats(100), seen.__setitem__)
    assert [seen[n] for n in range(100)] == answers
    failures = [a for a in answers if isinstance(a, Failure)]
    for failure in failures:
        assert failure.cause in CAUSES or failure.cause.startswith("http "), failure
        assert failure.error == " ".join(failure.error.split()) != ""
        assert len(failure.error) <= 400
    assert all(isinstance(a, Reply) for a in answers if a not in failures)
    paid = sum(a.usd for a in answers)
    assert paid == pytest.approx(budget.spent_usd)
    assert paid >= sum(owed) - 1e-9
    assert budget.reserved_usd == 0
    if seed % 2:
        assert budget.spent_usd <= budget.max_usd * (1 + 1e-9)
        assert any(f.cause == "spending limit" for f in failures)
    else:
        assert len(owed) >= 100
        assert any(isinstance(a, Reply) for a in answers)
        assert len({f.cause for f in failures}) >= 6
    kept = json.dumps([vars(a) | {"usage": None} for a in answers], ensure_ascii=False)
    assert KEY not in kept
    assert KEY.replace("/", "\\/") not in kept
    json.loads(kept.encode())  # no half surrogates


@pytest.mark.parametrize("value", values(KEY), ids=lambda v: repr(v)[:20])
@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", None])
def test_an_absurd_count_is_none(field, value, monkeypatch):
    """The reply is good, and booked by its size."""
    reply = good(50)
    if field is None:
        reply["usage"] = value
    else:
        reply["usage"][field] = value
    body = dumps(reply).encode(errors="surrogatepass")
    with RawServer(lambda path, sent: http(200, {}, body)) as server:
        [answer] = client(server.url, monkeypatch, retries=0).ask(chats(1))
        [(_, _, sent)] = server.asked
    assert answer.usage.estimated
    assert answer.usage.prompt_tokens == len(sent)
    if isinstance(value, Raw) and value == DEEP:
        assert (answer.cause, answer.usage.completion_tokens) == ("not JSON", MAX_TOKENS)
    else:
        assert answer.text == "It is good."
        assert answer.usage.completion_tokens == len("It is good.Let me see.")


ODD = [
    UnicodeError("x"), ValueError(f"the key {KEY}"), RuntimeError("loop"), MemoryError(), RecursionError(), KeyError("a"),
    LookupError("hex"), OSError(5, "I/O"), httpx.InvalidURL("no"), httpx.TooManyRedirects("many"), httpx.StreamError("s"),
    EOFError(), AssertionError(), httpx.CookieConflict("c"), ExceptionGroup("g", [ValueError("v")]), StopAsyncIteration(),
    asyncio.InvalidStateError(),
]  # fmt: skip


@pytest.mark.parametrize("error", ODD, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("late", [False, True], ids=["in sending", "in reading"])
def test_whatever_a_library_raises_is_a_failure_with_its_cost(error, late, monkeypatch):
    class Body(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b'{"choices": '
            raise error

    class Odd(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if b"question 1" in request.content:
                return httpx.Response(200, content=json.dumps(good(40)).encode())
            if not late:
                raise error
            return httpx.Response(200, stream=Body())

    budget, settings = (SpendingLimit(100.0), EndpointSettings("http://h.example/v1", "m", "SOME_KEY", retries=0, max_tokens=9))
    monkeypatch.setenv("SOME_KEY", KEY)
    answers = Endpoint(settings, usd, budget, Odd()).ask(chats(3))
    assert isinstance(answers[1], Reply)
    for answer in answers[::2]:
        assert answer.cause in CAUSES
        assert KEY not in answer.error
        assert (answer.usd > OUT * 9) == (not isinstance(error, httpx.InvalidURL))
    assert budget.reserved_usd == 0
    assert budget.spent_usd == pytest.approx(sum(a.usd for a in answers))

    async def stream():
        async with StreamClient(settings, KEY, 60.0, transport=Odd()) as asked:
            return [await asked.ask(chat) for chat in chats(3)]

    lost = asyncio.run(stream())
    assert [type(f) for f in lost] == [Lost, Served, Lost]
    assert KEY not in repr(lost)


def test_bytes_that_are_no_text_are_replaced_and_a_byte_order_mark_is_none(monkeypatch):
    body = b"\xef\xbb\xbf" + json.dumps(good(50)).encode().replace(b"good", b"g\xff\xfed")
    with RawServer(lambda path, sent: http(200, {}, body)) as server:
        [answer] = client(server.url, monkeypatch).ask(chats(1))
    assert (answer.text, answer.usage.prompt_tokens) == ("It is g\ufffd\ufffdd.", 50)


def test_a_body_that_unpacks_to_too_much_is_cut_off_and_paid(monkeypatch):
    bomb = gzip.compress(bytes(40 * 2**20))
    with RawServer(lambda path, body: http(200, {"Content-Encoding": "gzip"}, bomb)) as server:
        [answer] = client(server.url, monkeypatch).ask(chats(1))
        [(_, _, sent)] = server.asked
    assert answer.cause == "too long"
    assert answer.usd == pytest.approx(IN * len(sent) + OUT * MAX_TOKENS)


TEXTS = {
    "digits": "0123456789" * 40, "base64": "aGVsbG8gd29ybGQ=" * 25, "emoji": "🧑🏽‍🚀" * 20, "chinese": "漢字仮名交じり文" * 20,
    "surrogate": "\ud800" * 50, "control": "\x00\x01" * 100,
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"description": "x " * 900}}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [f"value {n}" for n in range(200)]}}}},
        {"prediction": {"type": "content", "content": "y" * 2000}},
    ],
    ids=["plain", "tools", "format", "other"],
)  # fmt: skip
def test_a_limit_of_two_cents_holds_for_all_that_is_sent(text, extra):
    """The server wants money for every byte of the request, and all of max_tokens, told or not."""

    def price(usage):
        return (0.15 * usage.prompt_tokens + 0.6 * usage.completion_tokens) / 1e6 * 20

    class Whole(FakeServer):
        def receive(self, body, headers):
            received = super().receive(body, headers)
            received.completion_tokens = body["max_tokens"]
            return received

    script = [ok(), no_usage()] * 200
    with Whole(lambda chat: "y" * 60, script=script) as server:
        settings = EndpointSettings(server.url, "fake", None, concurrency=8, max_tokens=20, extra=extra)
        budget = SpendingLimit(0.02)
        asked = [[{"role": "user", "content": f"{text} {n}"}] for n in range(150)]
        answers = Endpoint(settings, price, budget).ask(asked)
        bill = sum(price(r) for r in server.requests)
    assert bill <= budget.spent_usd + 1e-9 <= 0.02 * (1 + 1e-6)
    assert any(isinstance(a, Failure) and a.cause == "spending limit" for a in answers)
    assert bill > 0.008  # and most of it could be used


def test_tokens_that_a_server_adds_are_booked_and_reserved_from_then_on(monkeypatch):
    """A prompt of the server's own, of 5,000 tokens, and thoughts beyond max_tokens."""
    reply = good(5000)
    reply["usage"]["completion_tokens"] = 900
    each = IN * 5000 + OUT * 900
    with RawServer(lambda path, body: http(200, {}, json.dumps(reply).encode())) as server:
        budget = SpendingLimit(10 * each)
        answers = client(server.url, monkeypatch, budget, concurrency=4).ask(chats(60))
    sent = [a for a in answers if a.usage.calls]
    assert budget.spent_usd == pytest.approx(len(sent) * each)
    assert 8 <= len(sent) <= 10
    budget = SpendingLimit(1.5 * each)
    with RawServer(lambda path, body: http(200, {}, json.dumps(reply).encode())) as server:
        client(server.url, monkeypatch, budget, concurrency=4).ask(chats(60))
        assert len(server.asked) <= 4  # those that were under way before the first reply told


def test_cached_tokens_that_cost_more_are_reserved(monkeypatch):
    reply = good(50)
    reply["usage"]["prompt_tokens_details"] = {"cached_tokens": 50}
    budget = SpendingLimit(10.0)
    settings = EndpointSettings("http://h.example/v1", "m", None, max_tokens=30, concurrency=8)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=reply))
    Endpoint(settings, lambda usage: usage.cached_tokens * 0.05 + usage.prompt_tokens * 0.001, budget, transport).ask(chats(50))
    assert 0 < budget.spent_usd <= 10.0


def test_the_key_is_masked_in_whatever_form_it_stands():
    forms = [
        KEY, KEY.replace("/", "\\/"), "".join(f"%{ord(c):02x}" for c in KEY), "".join(f"\\u{ord(c):04X}" for c in KEY),
        "".join(f"&#{ord(c)};" for c in KEY), "".join(f"&#x{ord(c):x};" for c in KEY), KEY.replace("+", "%2B"),
        KEY.replace("=", "\\\\u003d"), KEY.replace("/", "%2F").replace("-", "&#45;"),
    ]  # fmt: skip
    for form in forms:
        assert masked(f"a {form} b", KEY) == one_line(f"a {form} b", KEY) == "a [key] b"
    assert one_line("a\x1b[31m\x00\ud800\x9b b\nc", None) == "a?[31m??? b c"
    for placeholder in ("x", "none", "EMPTY", ""):  # of servers without keys: words of names and reasons
        said = "none of the EMPTY mixtral-8x7b"
        assert masked(said, placeholder) == one_line(said, placeholder) == said
    assert masked(KEY[:-1], KEY) == KEY[:-1]
    assert masked("\\" * 200_000, KEY) == "\\" * 200_000  # linear


def test_a_key_in_a_good_reply_is_masked_in_every_field(monkeypatch):
    reply = good(50)
    message = reply["choices"][0]["message"]
    message |= {"content": f"It is {KEY}.", "reasoning_content": f"{KEY}?"}
    reply["model"], reply["choices"][0]["finish_reason"] = KEY, KEY
    with RawServer(lambda path, body: http(200, {}, json.dumps(reply).encode())) as server:
        [answer] = client(server.url, monkeypatch).ask(chats(1))
    told = answer.text, answer.thinking, answer.model, answer.finish
    assert told == ("It is [key].", "[key]?", "[key]", "[key]")


URLS = ["http://[::1", "http://a..b/v1", "http://h:99999999/v1", "http://h\x00/v1", "http:///v1", "http://\ud800/v1", "http://a b/v1",
        "ftp://h/v1", "http://" + "a" * 70 + ".example/v1", "http://h/v1#x"]  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=lambda u: repr(u)[:24])
def test_an_address_that_cannot_be_asked_is_a_line(url):
    assert address_mistakes(url)
    with pytest.raises(InputError, match="base_url: "):
        EndpointSettings(url, "m", None)
    with pytest.raises(InputError):
        read_health(url)


def test_proxies_that_are_none_are_a_line(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "garbage://x")
    for ask in (lambda c: c.check(), lambda c: c.ask(chats(1))):
        with pytest.raises(InputError, match="HTTP_PROXY"):
            ask(client("http://nowhere.invalid/v1", monkeypatch))


@pytest.mark.parametrize("seed", range(3))
def test_the_check_before_a_run_reads_anything(seed, monkeypatch):
    """100 hostile lists of models each: the check passes, or says in one line why it does not."""
    rng = random.Random(seed)
    models = {"object": "list", "data": [{"id": "fake"}, {"id": "other", "owned_by": "x"}]}
    with RawServer(lambda path, body: hostile(rng, models, KEY).sent) as server:
        asked = client(server.url, monkeypatch)
        errors = [outcome(asked.check, InputError) for _ in range(100)]
    assert None in errors
    said = [str(error) for error in errors if error is not None]
    assert all(len(text.splitlines()) == 1 and KEY not in text for text in said)


def events(rng):
    """A stream with some of its events spoilt."""
    parts = [{"choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]} for part in ("It ", "is ", "good.")]
    parts.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    parts.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})
    lines = [dumps(mutated(rng, part, KEY)[0] if rng.random() < 0.4 else part) for part in parts] + ["[DONE]"]
    if rng.random() < 0.3:
        lines.insert(rng.randrange(6), rng.choice([DEEP, "{", "null", "1" * 5000, '{"error": ' + DEEP[:900] + "}", KEY, "\x00"]))
    body = "".join(f"data: {line}\n\n" for line in lines).encode(errors="surrogatepass")
    head = {"Content-Type": "text/event-stream", "Content-Length": None}
    return http(200, head, body[: rng.randrange(len(body))] if rng.random() < 0.1 else body)


@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_stream_is_served_or_lost(seed):
    """100 streams and 50 whole replies each."""
    rng = random.Random(seed)

    def answer(path, body):
        return events(rng) if len(server.asked) <= 100 else hostile(rng, good(50), KEY).sent

    async def main(url):
        settings = EndpointSettings(url, "fake", None, max_tokens=MAX_TOKENS)
        async with StreamClient(settings, KEY, 60.0) as asked:
            return [await asked.ask(chat) for chat in chats(150)]

    with RawServer(answer) as server:
        found = asyncio.run(main(server.url))
    assert {type(f) for f in found} == {Served, Lost}
    assert all(f.cause and f.error == " ".join(f.error.split()) for f in found if isinstance(f, Lost))
    assert KEY not in json.dumps([vars(f) | {"usage": None} for f in found], ensure_ascii=False)
    assert all(0 <= f.usage.completion_tokens <= 10**7 for f in found)


HEALTH = {"model": "m", "revision": "r", "dtype": "float32", "vocabulary": "v", "identity": "i", "context_tokens": 64}
SCORES = {"log_probs": [[[-1.5], [-0.5, -0.25]]], "identity": "i", "prefix_tokens": 3, "continuation_tokens": 3}


@pytest.mark.parametrize("seed", range(3))
def test_a_scorer_that_answers_anything_is_none_or_gone(seed):
    """100 hostile replies each to /health and to /score."""
    rng, spoilt, kinds = random.Random(seed), {"/health": True, "/score": True}, set()

    def answer(path, body):
        truth = HEALTH if path == "/health" else SCORES
        return (hostile(rng, truth, KEY) if spoilt[path] else Hostile(http(200, {}, json.dumps(truth).encode()))).sent

    with RawServer(answer) as server:
        looks = [outcome(lambda: read_health(server.url), InputError) for _ in range(100)]
        assert {type(look) for look in looks} == {dict, InputError}
        assert all(len(look.problems) == 1 if isinstance(look, InputError) else set(look) >= set(HEALTH) for look in looks)
        spoilt["/health"] = False
        scorer = HttpScorer(server.url, patience_seconds=0.0)
        may = (ConnectionError, RunFailed, ValueError, FloatingPointError)
        for _ in range(100):
            found = outcome(lambda: list(scorer.score_tokens([[1, 2, 3]], [[4], [5, 6]])), *may)
            if isinstance(found, Exception):
                kinds.add(type(found).__name__)
                assert "\n" not in str(found)
                continue
            [(k, columns)] = found
            assert k == 0
            assert [len(column) for column in columns] == [1, 2]
            assert all((column < np.inf).all() for column in columns)
        assert kinds >= {"ConnectionError", "RunFailed"}
        spoilt["/score"] = False
        [(_, columns)] = scorer.score_tokens([[1, 2, 3]], [[4], [5, 6]])
        assert columns[1].tolist() == [-0.5, -0.25]
