"""What a stranger, a web page or a broken client may send to `infoagent serve`: refused, bounded, and soon over."""

import json
import random
import re
import signal
import socket
import subprocess
import threading
import time

import httpx
import numpy as np
import pytest
from conftest import eventually, start_script
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model

from infoagent.lm.models import load
from infoagent.lm.scoring.client import HttpScorer
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.protocol import TOKEN_VARIABLE, ScoreRequest, read_request
from infoagent.lm.scoring.server import ScorerServer
from infoagent.lm.serving import chat_server, json_server
from infoagent.lm.serving.chat_model import ChatModel
from infoagent.lm.serving.chat_protocol import ChatRequest, read_chat
from infoagent.lm.serving.chat_server import ChatServer
from infoagent.types import InputError

MODEL = tiny_model(16)
TOKEN = "a-token-of-24-characters"
ABOUT = {"model": "tiny", "revision": "r", "dtype": "float32", "vocabulary": "v", "identity": "i", "context_tokens": 64}
GOOD = json.dumps({"prefixes": [[1, 2], [3]], "continuations": [[4, 5], [6]]}).encode()
HEADERS = {"Host": "localhost", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Instant(ColumnScorer):
    """Zeros, at once or once it may, a column at a time; `columns` counts them."""

    def __init__(self):
        super().__init__()
        self.columns, self.begun = 0, 0
        self.may_go_on = threading.Semaphore(10**6)

    def score_tokens(self, prefixes, continuations, wanted=None):
        self.begun += 1
        for k, chosen in enumerate(wanted):
            assert self.may_go_on.acquire(timeout=300)
            self.columns += 1
            yield k, [np.zeros(len(continuations[c]), np.float32) for c in chosen]


def serving(scorer=None, host="127.0.0.1", names=()):
    server = ScorerServer(host, 0, TOKEN, names)
    server.open(scorer or Scorer(MODEL), ABOUT, 16, 64)
    return server


@pytest.fixture
def server():
    made = serving()
    yield made
    made.close()


def request(body=GOOD, method="POST", path="/score", version="HTTP/1.1", **changed):
    """The bytes of a request; a header that is changed to None is left out."""
    headers = {**HEADERS, "Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in changed.items()}}
    lines = [f"{method} {path} {version}", *(f"{k}: {v}" for k, v in headers.items() if v is not None)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def said(server, data, end=True):
    """The statuses that come back for these bytes; `end`: nothing more will be sent."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=300) as connection:
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except OSError:  # it was closed while this was sent
            pass
    assert b"Traceback" not in received
    return [int(found) for found in re.findall(rb"^HTTP/1\.1 (\d{3})", received, re.M)]


def close(data):
    return data.replace(b"Content-Length", b"Connection: close\r\nContent-Length", 1)


def nested(depth):
    return b"[" * depth + b"]" * depth


def hostile(rng):
    """(kind, bytes, the statuses that may answer them; none: it may be closed without a word), some hundreds."""
    length = len(GOOD)
    lengths = ["-1", "+5", "0x10", "1e3", "", " ", "²", "٣", str(2**70), str(10**30), "5, 5", str(json_server.CONNECTIONS << 30)]
    for given_length in lengths:
        data = request(Content_Length=given_length.encode().decode("latin-1"))
        yield "length", data.replace(b"\xc2\xb2", b"\xb2"), {400, 411, 413}
    for _ in range(40):
        yield "too long by its head", request(Content_Length=str(length + rng.randint(1, 10**6))), set()
        yield "too short by its head", request(Content_Length=str(rng.randint(0, length - 1))), {400}
    for _ in range(40):
        data = request()
        yield "half", data[: rng.randrange(1, len(data) - 1)], {400}
    for _ in range(60):
        data = bytearray(request())
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield "changed", bytes(data), {200, *range(400, 423), 503}
    for size in (1000, 70_000, 300_000):
        yield "long header", request(X="a" * size), {200, 400, 431}
        yield "many headers", request(**{f"X{n}": "a" for n in range(size // 10)}), {200, 400, 431}
        yield "long path", request(path="/" + "a" * size), {404, 400, 414}
    for chunks in (
        b"5\r\nabc",
        b"zz\r\n",
        b"-1\r\nab\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b"3;" + b"a" * 99_999,
        b"%x\r\n%b\r\n0\r\n\r\n" % (length, GOOD),
        b"1\r\na\r\n" * 500,
        b"0\r\n" + b"A: b\r\n" * 9999,
    ):
        for more in ({}, {"Content_Length": None}):
            yield "chunks", request(chunks, Transfer_Encoding="chunked", **more), {400, 411}
    for coding in ("gzip", "chunked, chunked", "identity", "CHUNKED, gzip"):
        yield "coding", request(Transfer_Encoding=coding), {400, 411, 501}
    hosts = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80", "localhost@evil.example",
             "192.168.1.7", "10.0.0.1:8400", "[2001:db8::1]", "0x7f000001", "2130706433", "localhost:80:80", "[::1", "::1]",
             "", "localhost#evil", "localhost/", "*", "null", "ⓛocalhost".encode().decode("latin-1")]  # fmt: skip
    for host in hosts:
        yield "host", request(Host=host), {421, 400}
        yield "host", close(request(b"", "GET", "/health", Host=host, Content_Length="0")), {421, 400}
    yield "no host", request(Host=None), {400}
    yield "no host", request(Host=None, version="HTTP/1.0"), {421}
    for origin in ("http://evil.example", "null", "http://localhost", "http://127.0.0.1:8400", "file://", ""):
        yield "origin", request(Origin=origin), {403}
        yield "origin", close(request(b"", "GET", "/health", Origin=origin, Content_Length="0")), {403}
        yield "origin", close(request(b"", "OPTIONS", Origin=origin, Content_Length="0")), {403}
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        None,
        "",
        "json",
        "application/jsonx",
        "text/plain; application/json",
    ):
        yield "content type", request(Content_Type=kind), {415}
    for token in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer " + TOKEN[:-1],
        f"Bearer {TOKEN} x",
        "Bearer " + "é" * 9,
        f"Bearer {TOKEN.upper()}",
        "Bearer " + "a" * 9999,
    ):
        yield "token", request(Authorization=token), {401}
        yield "token", close(request(b"", "GET", "/health", Authorization=token, Content_Length="0")), {401}
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "HEAD", "PRI", "BREW", "post"):
        yield "method", close(request(GOOD, method)), {405, 404, 400}
    for path in (
        "/",
        "//score",
        "/score/",
        "/score/../score",
        "/%2e%2e/etc/passwd",
        "http://evil.example/score",
        "*",
        "/Score",
        "/v1/chat/completions",
        "/\x7f",
    ):
        yield "path", close(request(path=path)), {404, 400, 307}
    bodies = [b"", b"{", nested(10**5), b'{"prefixes":' + nested(5000) + b"}", b"9" * 5000, b"NaN", b"\xff\xfe{}", b"\x00" * 99,
              b'{"prefixes": [[' + b"9" * 5000 + b']], "continuations": [[1]]}', b'{"prefixes": [[1e400]], "continuations": [[1]]}',
              b'{"prefixes": [[NaN]], "continuations": [[Infinity]]}', b'{"\\ud800": 1}', b'"\\ud800"', b"[" * 10**5,
              b'{"prefixes": [[-0]], "continuations": [[1]], "tokens": [[[]]]}', b"{" * 999, b'{"a":' * 50_000]  # fmt: skip
    yield from (("json", close(request(body)), {400}) for body in bodies)
    values = [None, True, -1, 1.5, "x", [], {}, [[]], [{}], [None], [["1"]], [[1], None], [[2**63]], [[1, [2]]], [[1e308]]]
    for value in values:
        for name in ("prefixes", "continuations", "wanted", "tokens", "\u2028\n"):
            changed = {"prefixes": [[1]], "continuations": [[2]]} | {name: value}
            fine = (name == "wanted" and value in (None, [[]])) or (name == "tokens" and value is True)
            yield "types", close(request(json.dumps(changed).encode())), {200} if fine else {400}
    for number in range(20):
        yield "pipelined", request() * (number + 1) + close(request(b"[]")), {200, 400}
        yield "pipelined nonsense", request() + rng.randbytes(200), {200, 400}
    for number in range(20):
        yield "nonsense", rng.randbytes(rng.randint(1, 2000)), {400}
        yield (
            "other protocols",
            [b"\x16\x03\x01\x02\x00", b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /health\r\n\r\n", b"\r\n" * 999][
                number % 5
            ],
            {400, 405, 404, 421},
        )


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def test_after_hundreds_of_hostile_requests_a_good_one_is_answered_rightly_and_nothing_has_grown(server):
    served = httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False)
    expected = Scorer(MODEL).score([[1, 2], [3]], [[4, 5], [6]])

    def good():
        assert np.array(served.post("/score", content=GOOD).json()["log_probs"]).T.tolist() == expected.tolist()

    good()
    threads, memory, count = threading.active_count(), resident_mib(), 0
    for kind, data, allowed in hostile(random.Random(0)):
        count += 1
        is_whole = kind in ("host", "no host", "origin", "content type", "token", "json", "types")
        found = said(server, data, end=not is_whole)
        assert set(found) <= allowed, (kind, data[:300], found)
        assert len(found) == 1 or not is_whole, (kind, data[:300], found)
    assert count >= 500
    good()
    eventually(lambda: server.queue.present == server._held_bytes == 0)
    eventually(lambda: len(server._server.server_state.connections) <= 1)  # that of `served`
    assert threading.active_count() <= threads
    assert resident_mib() < memory + 100
    served.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("\ud800") | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def fields(*names):
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSON, max_size=6)


@settings(max_examples=200)
@given(fields("prefixes", "continuations", "wanted", "tokens"))
def test_whatever_json_asks_for_scores_is_understood_or_refused_in_one_line(value):
    refused_in_one_line(lambda body: read_request(body, 16, 64), value, ScoreRequest)


@settings(max_examples=200)
@given(fields("model", "messages", "max_tokens", "temperature", "seed", "stream", "stream_options", "n", "user"))
def test_whatever_json_asks_for_a_chat_is_understood_or_refused_in_one_line(value):
    messages = [{"role": "user", "content": "Who?"}]
    refused_in_one_line(read_chat, value, ChatRequest)
    refused_in_one_line(read_chat, {"messages": messages, "model": "tiny"} | value, ChatRequest)


def refused_in_one_line(read, value, kind):
    refused = None
    try:
        assert isinstance(read(json.dumps(value).encode()), kind)
    except ValueError as error:
        refused = error
    assert not isinstance(refused, UnicodeError)
    assert len(str(refused)) < 400


def connected(server):
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=300)


def ended(connection):
    """What came until the server ended the connection."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionError:
        pass
    return received


def test_what_does_not_come_or_is_not_read_has_an_end(monkeypatch):
    monkeypatch.setattr(json_server, "SOCKET_SECONDS", 0.5)
    server = serving(Instant())
    try:
        silent, half_head, half_body, dripping, unread = (connected(server) for _ in range(5))
        half_head.sendall(request()[:30])
        half_body.sendall(request()[:-3])
        stop = threading.Event()

        def drip():
            for byte in request() * 50:
                if stop.wait(0.05):
                    return
                try:
                    dripping.sendall(bytes([byte]))
                except OSError:
                    return

        drops = threading.Thread(target=drip)
        drops.start()
        # 24 MB of numbers, for a client that does not read them
        many = {"prefixes": [[1]] * 200, "continuations": [[2] * 60] * 100, "tokens": True}
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.sendall(request(json.dumps(many).encode()))
        assert ended(silent) == ended(half_head) == ended(dripping) == b""
        assert ended(half_body).startswith(b"HTTP/1.1 408")
        eventually(lambda: server.queue.scorer.columns == 200)
        eventually(lambda: not server._server.server_state.connections)
        stop.set()
        drops.join()
        assert server._held_bytes == 0
        for connection in (silent, half_head, half_body, dripping, unread):
            connection.close()
        monkeypatch.setattr(json_server, "SOCKET_SECONDS", 60)
        assert said(server, close(request()), end=False) == [200]
    finally:
        server.close()


def test_connections_bytes_in_flight_and_pairs_have_a_limit(monkeypatch):
    monkeypatch.setattr(json_server, "CONNECTIONS", 6)
    server = serving(Instant())
    try:
        held = [connected(server) for _ in range(6)]
        eventually(lambda: len(server._server.server_state.connections) == 6)
        with connected(server) as beyond:
            assert ended(beyond) == b""
        for connection in held:
            connection.close()
        eventually(lambda: not server._server.server_state.connections)

        server._largest_bytes = 2000
        held = [connected(server) for _ in range(json_server.BODIES_IN_FLIGHT)]
        for connection in held:
            connection.sendall(request(b"[", Content_Length="2000"))
        eventually(lambda: server._held_bytes == 8000)
        assert said(server, request(), end=False) == [503]
        assert said(server, request(Content_Length="2001"), end=False) == [413]
        for connection in held:
            connection.close()
        eventually(lambda: server._held_bytes == 0)
        assert said(server, close(request()), end=False) == [200]

        server._largest_bytes, before = 10**6, server.queue.scorer.begun
        for many in (
            {"prefixes": [[1]] * 1000, "continuations": [[2]] * 1000},  # a million pairs
            {"prefixes": [[1]], "continuations": [[2] * 60], "wanted": [[0] * 100_000]},  # six million tokens
        ):
            assert said(server, request(json.dumps(many).encode()), end=False) == [400]
        assert server.queue.scorer.begun == before
    finally:
        server.close()


def test_work_of_a_client_that_has_left_is_dropped():
    scorer = Instant()
    scorer.may_go_on = threading.Semaphore(0)
    server = serving(scorer)
    body = json.dumps({"prefixes": [[1], [2], [3], [4]], "continuations": [[5]]}).encode()
    try:
        under_way, waiting = connected(server), connected(server)
        under_way.sendall(request(body))
        eventually(lambda: scorer.begun == 1)
        waiting.sendall(request())
        eventually(lambda: server.queue.present == 2)
        waiting.close()
        eventually(lambda: server.queue.present == 1)
        assert not server.queue._waiting  # nor is anything of it kept
        under_way.close()
        eventually(lambda: server.queue.present == 0)
        scorer.may_go_on.release(100)
        assert said(server, close(request()), end=False) == [200]
        assert scorer.begun == 2
        assert scorer.columns == 1 + 2  # the one that was under way, and those of the last request
    finally:
        server.close()


def test_an_overlong_chat_is_refused_by_its_bytes(tiny_dir, monkeypatch):
    def tokenized(*_):
        raise AssertionError("it came to the tokenizer")

    monkeypatch.setattr(chat_server, "chat_ids", tokenized)
    server = ChatServer("127.0.0.1", 0)
    server.open(ChatModel(load(str(tiny_dir), dtype="float32", device="cpu"), 0), {"model": "tiny"})
    body = {"model": "tiny", "messages": [{"role": "user", "content": "word " * 400_000}]}
    try:
        response = httpx.post(f"{server.url}/v1/chat/completions", json=body, trust_env=False)
        assert response.status_code == 400
        assert "2000000 bytes are above" in response.json()["error"]["message"]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("host", "wrong", "right"),
    [
        ("127.0.0.1", ["node7", "192.0.2.1"], ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:8400", "127.1.2.3"]),
        ("0.0.0.0", ["evil.example", "node7.evil"], ["192.0.2.1:8400", "[2001:db8::1]", "localhost", socket.gethostname()]),
    ],
)  # fmt: skip
def test_a_server_knows_its_own_names(host, wrong, right):
    server = ScorerServer(host, 0, TOKEN, ["Scorer.example"])
    assert all(server._is_own(name) for name in [*right, "scorer.example:443"])
    assert not any(server._is_own(name) for name in wrong)
    server._socket.close()


def test_the_client_says_why_it_is_not_answered(monkeypatch):
    server = serving()
    try:
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        monkeypatch.setattr(server, "_names", set())
        with pytest.raises(InputError, match=r"does not answer this machine .*Host 'localhost:.*--allow-host NAME"):
            HttpScorer(f"http://localhost:{server.server_port}")
        monkeypatch.setenv(TOKEN_VARIABLE, "two words")
        with pytest.raises(InputError, match="holds blanks or signs that no token has"):
            HttpScorer(server.url)
    finally:
        server.close()


NEVER_ENDING = """
import sys, time
from infoagent.cli import main
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.serving import json_server

json_server.FAREWELL_SECONDS = 0.5

def score_tokens(self, *_):
    print("begun", flush=True)
    time.sleep(3600)
    yield 0, []

Scorer.score_tokens = score_tokens
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_whatever_is_under_way(tiny_dir, tmp_path, monkeypatch, number):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    script = tmp_path / "serving.py"
    script.write_text(NEVER_ENDING)
    process = start_script(
        str(script), tiny_dir, "--port", "0", "--dtype", "float32", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        port = int(re.search(r" at http://127\.0\.0\.1:(\d+)$", process.stdout.readline())[1])
        token = re.fullmatch(r"connect with: export INFOAGENT_SCORER_TOKEN=(\S{32})\n", process.stdout.readline())[1]
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        with socket.create_connection(("127.0.0.1", port), timeout=300) as asking:
            for connection_headers in (HEADERS, headers):  # a token made anew, not one that could be known
                status = httpx.get(f"http://127.0.0.1:{port}/health", headers=connection_headers, trust_env=False).status_code
                assert status == (200 if connection_headers is headers else 401)
            asking.sendall(request(Authorization=f"Bearer {token}"))
            assert process.stdout.readline() == "begun\n"
            with socket.create_connection(("127.0.0.1", port)) as half:
                half.sendall(request()[:-1])
                start = time.monotonic()
                process.send_signal(number)
                out, errors = process.communicate(timeout=300)
        assert time.monotonic() - start < 30  # of the hour that the pass takes
        assert process.returncode == 0
        assert out == "stopped; 0 tokens went through the model\n"
        assert "Traceback" not in errors
    finally:
        process.kill()
