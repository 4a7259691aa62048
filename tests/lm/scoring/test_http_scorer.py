"""The served scorer against the local one: the same numbers, for many at a time, and what happens when it fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import torch
from conftest import eventually
from tiny import tiny_model
from virtual_time import Clock

from infoagent.lm.reference import ModelReference
from infoagent.lm.scoring import client as http_scorer
from infoagent.lm.scoring import protocol as scorer_protocol
from infoagent.lm.scoring.client import HttpScorer, check_served
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.protocol import identity_of, vocabulary_hash
from infoagent.lm.scoring.server import ScorerServer
from infoagent.lm.serving import json_server
from infoagent.types import InputError, RunFailed

VOCABULARY = {"a": 0, "b": 1}
TOKENIZER = SimpleNamespace(get_vocab=lambda: VOCABULARY)
MODEL = tiny_model(16)
CONTEXT = 4096


def about(revision="r1"):
    vocabulary = vocabulary_hash(TOKENIZER)
    return {
        "model": "tiny",
        "revision": revision,
        "dtype": "float32",
        "vocabulary": vocabulary,
        "identity": identity_of(revision, "float32", vocabulary),
        "context_tokens": CONTEXT,
    }


def serving(scorer=None, port=0, token=None, revision="r1"):
    server = ScorerServer("127.0.0.1", port, token)
    server.open(scorer or Scorer(MODEL), about(revision), 16, CONTEXT)
    return server


@pytest.fixture
def server():
    made = serving()
    yield made
    made.close()


def group(seed, prefixes=4, continuations=3):
    """Prefixes that share beginnings, as a document and its counterfactual versions do."""
    rng = np.random.default_rng(seed)
    shared = rng.integers(16, size=12).tolist()
    return (
        [shared + rng.integers(16, size=rng.integers(1, 9)).tolist() for _ in range(prefixes)],
        [rng.integers(16, size=rng.integers(1, 7)).tolist() for _ in range(continuations)],
    )


def test_a_served_scorer_says_the_very_numbers_of_a_local_one(server):
    served, local = HttpScorer(server.url), Scorer(MODEL)
    prefixes, continuations = group(0)
    assert (served.score(prefixes, continuations) == local.score(prefixes, continuations)).all()
    wanted = [[0, 2], [], [1], [2, 0]]
    expected = dict(local.score_tokens(prefixes, continuations, wanted))
    found = dict(served.score_tokens(prefixes, continuations, wanted))
    assert set(found) == set(expected) == {0, 2, 3}
    for k in expected:
        for ours, theirs in zip(found[k], expected[k], strict=True):
            assert ours.dtype == np.float32
            assert (ours == theirs).all()
    assert (served.prefix_tokens, served.continuation_tokens) == (local.prefix_tokens, local.continuation_tokens)


def test_sums_for_a_client_without_this_package(server):
    reply = httpx.post(f"{server.url}/score", json={"prefixes": [[1, 2], [3]], "continuations": [[4, 5], [6]]}).json()
    assert np.array(reply["log_probs"]).T.tolist() == Scorer(MODEL).score([[1, 2], [3]], [[4, 5], [6]]).tolist()


def test_many_clients_at_a_time_get_their_own_values(server):
    groups = [group(seed) for seed in range(6)]
    expected = [Scorer(MODEL).score(*g) for g in groups]
    clients = [HttpScorer(server.url) for _ in range(4)]

    def ask(turn):
        return all((clients[turn % 4].score(*g) == e).all() for g, e in zip(groups, expected, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(8)))
    eventually(lambda: server.queue.present == 0)  # a client has its answer before the server is done with it


class Held(Scorer):
    """Begins when it is told to."""

    def __init__(self, model):
        super().__init__(model)
        self.may_begin = threading.Event()
        self.passes = 0

    def score_tokens(self, *arguments):
        self.passes += 1
        assert self.may_begin.wait(300)
        yield from super().score_tokens(*arguments)


def test_requests_that_wait_with_the_same_prefixes_share_them_and_no_value_changes():
    held = Held(MODEL)
    server = serving(held)
    prefixes, _ = group(0)
    texts = [group(seed)[1] for seed in range(3)]
    local = [Scorer(MODEL) for _ in texts]
    expected = [scorer.score(prefixes, z) for scorer, z in zip(local, texts, strict=True)]
    clients = [HttpScorer(server.url) for _ in texts]
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(HttpScorer(server.url).score, *group(9))
        eventually(lambda: held.passes == 1)
        found = [pool.submit(c.score, prefixes, z) for c, z in zip(clients, texts, strict=True)]
        eventually(lambda: server.queue.present == 4)
        held.may_begin.set()
        assert (first.result() == Scorer(MODEL).score(*group(9))).all()
        for values, numbers in zip(found, expected, strict=True):
            assert (values.result() == numbers).all()
    server.close()
    assert held.passes == 2
    assert sum(c.prefix_tokens for c in clients) == local[0].prefix_tokens  # once for all three
    assert sum(c.continuation_tokens for c in clients) == sum(s.continuation_tokens for s in local)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"prefixes": [[1]], "continuations": [[2]], "prefix": 1}', "unknown field"),
        (b'{"prefixes": [[1]]}', "continuations: must be a list"),
        (b'{"prefixes": [], "continuations": [[2]]}', "prefixes: must be a list"),
        (b'{"prefixes": [[1.5]], "continuations": [[2]]}', "prefixes[0]: must be a list of whole numbers"),
        (b'{"prefixes": [[true]], "continuations": [[2]]}', "prefixes[0]: must be a list of whole numbers"),
        (b'{"prefixes": [[1]], "continuations": [[2], []]}', "continuations[1]: must hold at least one token"),
        (b'{"prefixes": [[16]], "continuations": [[2]]}', "outside 0 to 15"),
        (b'{"prefixes": [[1]], "continuations": [[-1]]}', "outside 0 to 15"),
        (b'{"prefixes": [[1]], "continuations": [[2]], "wanted": [[1]]}', "wanted[0]: holds numbers outside 0 to 0"),
        (b'{"prefixes": [[1]], "continuations": [[2]], "wanted": [[0], [0]]}', "2 lists for 1 prefixes"),
        (b'{"prefixes": [[1]], "continuations": [[2]], "tokens": 1}', "must be true or false"),
        (b'{"prefixes": [[' + b"1," * 4095 + b'1]], "continuations": [[2]]}', "take 4097 tokens"),
    ],
)
def test_a_wrong_request_is_refused_with_one_line_and_the_next_one_answered(server, body, message):
    with httpx.Client(base_url=server.url) as client:
        response = client.post("/score", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 400
        error = response.json()["error"]
        assert message in error
        assert "\n" not in error
        assert client.get("/health").json()["revision"] == "r1"


def test_a_body_that_is_too_large_is_not_read(server, monkeypatch):
    monkeypatch.setattr(server, "_largest_bytes", 50)
    fields = {"prefixes": [[1] * 40], "continuations": [[2]]}
    assert httpx.post(f"{server.url}/score", json=fields).status_code == 413
    monkeypatch.setattr(http_scorer, "LARGEST_BODY_BYTES", 50)
    with pytest.raises(ValueError, match="score fewer prefixes"):
        HttpScorer(server.url).score([[1] * 40], [[2]])
    missing = httpx.post(f"{server.url}/elsewhere", content=b"x")
    assert missing.status_code == 404
    assert "there are GET /health, POST /score" in missing.json()["error"]


def test_nan_is_an_error_on_both_sides_and_no_reason_to_try_again():
    broken = tiny_model(16)
    torch.nn.init.constant_(broken.model.norm.weight, float("nan"))
    server = serving(Scorer(broken))
    try:
        with pytest.raises(FloatingPointError, match="NaN"):
            HttpScorer(server.url, patience_seconds=10**6).score([[1, 2]], [[3]])
        assert httpx.post(f"{server.url}/score", json={"prefixes": [[1]], "continuations": [[2]]}).status_code == 422
    finally:
        server.close()


@pytest.mark.parametrize("wrong", [([[1]], []), ([[1]], [[]]), ([], [[1]]), ([[]], [[1]]), ([[99]], [[1]])])
def test_what_the_local_scorer_refuses_is_refused(server, wrong):
    with pytest.raises(ValueError, match=r"token|outside"):
        HttpScorer(server.url).score(*wrong)


def test_a_full_queue_is_waited_for(server):
    served, expected = HttpScorer(server.url, patience_seconds=300), Scorer(MODEL).score([[1, 2]], [[3]])
    server.queue.limit = 0
    assert httpx.post(f"{server.url}/score", json={"prefixes": [[1]], "continuations": [[2]]}).status_code == 503
    threading.Timer(0.6, lambda: setattr(server.queue, "limit", 8)).start()
    assert served.score([[1, 2]], [[3]]) == expected


@pytest.mark.parametrize("status", [408, 429])
def test_a_body_that_a_stopping_server_did_not_wait_for_is_sent_again(server, monkeypatch, status):
    served, expected = HttpScorer(server.url, patience_seconds=300), Scorer(MODEL).score([[1, 2]], [[3]])
    refused = [(status, {"error": "body: is not here after 30 s, or the server is stopping"})] * 2
    exchange = http_scorer.exchange
    monkeypatch.setattr(http_scorer, "exchange", lambda *given: refused.pop() if refused else exchange(*given))
    assert served.score([[1, 2]], [[3]]) == expected
    assert not refused


class OutOfMemory(Scorer):
    def __init__(self, times):
        super().__init__(MODEL)
        self.times = times

    def score_tokens(self, *arguments):
        self.times -= 1
        if self.times >= 0:
            raise torch.OutOfMemoryError("out of memory\nat length")
        yield from super().score_tokens(*arguments)


def test_a_pass_that_failed_is_tried_again_for_as_long_as_patience_lasts():
    server = serving(OutOfMemory(2))
    try:
        assert HttpScorer(server.url).score([[1, 2]], [[3]]) == Scorer(MODEL).score([[1, 2]], [[3]])
        server.queue.scorer.times = 10**6
        with pytest.raises(ConnectionError, match=r"no answer within 0.5 s \(http 500: OutOfMemoryError: out of memory at"):
            HttpScorer(server.url, patience_seconds=0.5).score([[1, 2]], [[3]])
    finally:
        server.close()


def test_a_server_that_is_gone_costs_its_patience_once_and_may_come_back(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(http_scorer, "time", clock)
    server = serving()
    served = HttpScorer(server.url, patience_seconds=1.0)
    port = server.server_port
    server.close()
    start = clock.monotonic()
    with pytest.raises(ConnectionError, match="no answer within 1 s"):
        served.score([[1, 2]], [[3]])
    first = clock.monotonic() - start
    assert 0 < first <= 1.0
    with pytest.raises(ConnectionError, match="still no answer"):
        served.score([[1, 2]], [[3]])
    assert clock.monotonic() - start == first
    back = serving(port=port)
    assert served.score([[1, 2]], [[3]]) == Scorer(MODEL).score([[1, 2]], [[3]])
    back.close()
    other = serving(port=port, revision="r2")
    with pytest.raises(RunFailed, match=r"another model than tiny \(r1, float32\)"):
        served.score([[1, 2]], [[3]])
    other.close()


def test_a_server_that_stops_finishes_what_is_under_way_and_refuses_what_waits(monkeypatch):
    monkeypatch.setattr(json_server, "FAREWELL_SECONDS", 300)
    held = Held(MODEL)
    server = serving(held)
    with ThreadPoolExecutor(3) as pool:
        under_way = pool.submit(HttpScorer(server.url).score, *group(1))
        eventually(lambda: held.passes == 1)
        waiting = pool.submit(HttpScorer(server.url, patience_seconds=0.5).score, *group(2))
        eventually(lambda: server.queue.present == 2)
        closing = pool.submit(server.close)
        with pytest.raises(ConnectionError):  # refused at once, not when the pass has ended
            waiting.result()
        held.may_begin.set()
        closing.result()
        assert (under_way.result() == Scorer(MODEL).score(*group(1))).all()
    assert held.passes == 1


def test_who_is_served_is_checked_before_a_run(server):
    wanted = ModelReference("tiny", "/models/tiny", "r1")
    check_served(server.url, wanted, "float32", TOKENIZER)
    other = SimpleNamespace(get_vocab=lambda: {"a": 1, "b": 0})
    with pytest.raises(InputError) as caught:
        check_served(server.url, ModelReference("tiny", "/models/tiny", "r2"), "bfloat16", other)
    lines = caught.value.problems
    assert len(lines) == 3
    for line, part in zip(lines, ("revision r1, wanted is 'tiny' of revision r2", "--dtype bfloat16", "vocabulary"), strict=True):
        assert part in line
        assert line.startswith(f"scorer.url = {server.url!r}: ")


def test_no_scorer_at_the_address_is_a_mistake_of_the_input():
    server = serving()
    url = server.url
    with pytest.raises(InputError, match="what answers there is no scorer"):
        HttpScorer(f"{url}/v1")
    server.close()
    with pytest.raises(InputError, match=r"no answer .*infoagent serve"):
        HttpScorer(url)


def test_a_token_keeps_others_out(monkeypatch):
    server = serving(token="s3cret")
    try:
        monkeypatch.delenv(scorer_protocol.TOKEN_VARIABLE, raising=False)
        with pytest.raises(InputError, match="export INFOAGENT_SCORER_TOKEN"):
            HttpScorer(server.url)
        assert httpx.post(f"{server.url}/score", json={"prefixes": [[1]], "continuations": [[2]]}).status_code == 401
        monkeypatch.setenv(scorer_protocol.TOKEN_VARIABLE, "s3cret")
        assert HttpScorer(server.url).score([[1, 2]], [[3]]) == Scorer(MODEL).score([[1, 2]], [[3]])
    finally:
        server.close()


def test_a_port_that_is_taken_is_found_before_a_model_loads(server):
    with pytest.raises(OSError, match="in use"):
        ScorerServer("127.0.0.1", server.server_port)
