"""The chat server: what it writes is what `generate` writes, with and without kept prompts; its HTTP as clients see it."""

import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch
from conftest import eventually

from infoagent.lm.endpoint.client import Endpoint, EndpointSettings, Reply
from infoagent.lm.generation import generate
from infoagent.lm.models import load
from infoagent.lm.prompts import chat_ids
from infoagent.lm.serving.chat_model import ChatModel
from infoagent.lm.serving.chat_protocol import read_chat
from infoagent.lm.serving.chat_server import ChatServer

DOCUMENT = "The harbour office noted the arrival of three ships before noon on the second day of May. " * 3


@pytest.fixture(scope="module")
def lm(tiny_dir):
    return load(str(tiny_dir), dtype="float32", device="cpu")


def prompt(lm, *questions, document=DOCUMENT):
    return [chat_ids(lm.tokenizer, [{"role": "user", "content": f"{document}\n{q}"}]) for q in questions]


def test_replies_are_those_of_generate_whatever_is_kept(lm):
    prompts = prompt(lm, "Who?", "When?", "Who came?", "Who?", document=DOCUMENT)
    prompts[2:2] = prompt(lm, "What else?", document="Another text. " * 20)
    plain = [generate(lm, [p], ["x"], 12, 0.0, seed=0)[0].token_ids for p in prompts]
    for kept in (0, 1, 3):
        model = ChatModel(lm, kept)
        assert [model.write(p, 12, 0.0, None).ids for p in prompts] == plain
    assert len(set(plain)) > 1


def test_what_is_shared_is_read_once_and_another_document_does_not_drop_it(lm):
    first, second, other = *prompt(lm, "Who?", "When?"), prompt(lm, "Who?", document="Nothing alike. " * 20)[0]
    shared = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    model = ChatModel(lm, 2)
    cached = [model.write(p, 4, 0.0, None).cached_tokens for p in (first, other, second, second)]
    assert cached[0] == 0
    assert cached[2:] == [shared, len(second)]
    assert [ChatModel(lm, 0).write(p, 4, 0.0, None).cached_tokens for p in (first, first)] == [0, 0]
    one = ChatModel(lm, 1)
    assert [one.write(p, 4, 0.0, None).cached_tokens for p in (first, other, second)][2] < shared


def test_a_reply_that_is_left_or_fails_leaves_no_wrong_cache(lm, monkeypatch):
    first, second = prompt(lm, "Who?", "When?")
    expected = ChatModel(lm, 0).write(second, 8, 0.0, None).ids
    model = ChatModel(lm, 2)
    left = model.write(first, 8, 0.0, None, lambda _: False)
    assert (len(left.ids), left.finish) == (1, None)
    assert model.write(second, 8, 0.0, None).ids == expected

    def fail(token):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        model.write(first, 8, 0.0, None, fail)
    again = model.write(second, 8, 0.0, None)
    assert (again.ids, again.cached_tokens) == (expected, 0)


def test_draws_follow_the_models_distribution_and_their_seed(lm):
    [ids] = prompt(lm, "Who?")
    with torch.inference_mode():
        logits = lm.model(torch.tensor([ids])).logits[0, -1]
    shares = torch.softmax(logits / 0.7, -1).numpy()
    model, drawn = ChatModel(lm, 1), np.zeros(len(shares))
    for seed in range(600):
        written = model.write(ids, 1, 0.7, seed)
        if written.ids:
            drawn[written.ids[0]] += 1
    top = np.argsort(shares)[-5:]
    error = np.sqrt(shares[top] * (1 - shares[top]) / 600)
    assert np.all(abs(drawn[top] / 600 - shares[top]) < 4 * error)
    assert model.write(ids, 6, 1.0, 7) == model.write(ids, 6, 1.0, 7)


@pytest.fixture(scope="module")
def server(lm):
    server = ChatServer("127.0.0.1", 0)
    server.open(ChatModel(lm, 2), {"model": "tiny"})
    yield server
    server.close()


def body(**changed):
    return {"model": "tiny", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 6, "temperature": 0} | changed


def post(server, content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(
        f"{server.url}/v1/chat/completions",
        content=content,
        timeout=500,
        trust_env=False,
        headers={"Content-Type": "application/json"},
    )


def test_null_is_what_clients_send_for_a_field_that_they_leave_open():
    optional = (
        "max_tokens", "max_completion_tokens", "temperature", "seed", "stream", "stream_options", "n", "top_p", "frequency_penalty",
        "presence_penalty", "user", "metadata", "stop", "tools", "logprobs", "response_format",
    )  # fmt: skip
    told = {name: value for name, value in body().items() if name in ("model", "messages")}
    assert read_chat(json.dumps(told | dict.fromkeys(optional)).encode()) == read_chat(json.dumps(told).encode())
    assert read_chat(json.dumps(told | {"max_tokens": None, "max_completion_tokens": 9}).encode()).max_tokens == 9
    assert read_chat(json.dumps(told | {"model": None}).encode()).model == ""  # as where it is missing
    with pytest.raises(ValueError, match="messages: must be a list"):
        read_chat(json.dumps(told | {"messages": None}).encode())


def test_whole_and_streamed_replies_agree_and_count_their_tokens(server, lm):
    [expected] = generate(lm, [chat_ids(lm.tokenizer, body()["messages"])], ["x"], 6, 0.0, seed=0)
    whole = post(server, body()).json()
    assert whole["choices"][0]["message"]["content"] == expected.text
    assert whole["choices"][0]["finish_reason"] == expected.finish
    assert whole["usage"]["prompt_tokens"] == len(chat_ids(lm.tokenizer, body()["messages"]))
    assert whole["usage"]["completion_tokens"] == expected.rate_tokens
    response = post(server, body(stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"] == "text/event-stream"
    events = [line[6:] for line in response.text.split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    data = [json.loads(e) for e in events[:-1]]
    assert "".join(d["choices"][0]["delta"].get("content", "") for d in data[:-1]) == expected.text
    assert data[-2]["choices"][0]["finish_reason"] == expected.finish
    assert data[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == whole["usage"]["prompt_tokens"]


def test_the_packages_own_client_takes_it(server, lm):
    settings = EndpointSettings(f"{server.url}/v1", "tiny", api_key_env=None, temperature=0.0, max_tokens=6)
    endpoint = Endpoint(settings)
    endpoint.check()
    chats = [[{"role": "user", "content": f"Question {n}?"}] for n in range(6)]
    plain = [generate(lm, [chat_ids(lm.tokenizer, c)], ["x"], 6, 0.0, seed=0)[0].text for c in chats]
    # of a text that was cut the client cannot see whether its last sign was half a character, and leaves it out
    plain = [text.rstrip("\ufffd") for text in plain]
    assert [r.text for r in endpoint.ask(chats) if isinstance(r, Reply)] == [text for text in plain if text.strip()]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "body: not JSON"),
        (b"[]", 400, "body: must be an object"),
        (body(messages=[]), 400, "messages: must be a list"),
        (body(messages=[{"role": "user"}]), 400, r"messages\[0\]: must hold role and content"),
        (b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, "half a surrogate pair"),
        (body(max_tokens=0.5), 400, "max_tokens = 0.5"),
        (body(temperature=-1), 400, "temperature = -1"),
        (body(seed="x"), 400, "seed = 'x'"),
        (body(stop=["\n"]), 400, "stop: is not supported"),
        (body(n=2), 400, "n: is not supported by this server other than 1"),
        (body(max_tokens=5000), 400, "above the context of 4096"),
        (body(model="other"), 404, "the model does not exist; there is tiny"),
    ],
)
def test_what_it_cannot_take_is_refused_in_one_line(server, content, status, message):
    response = post(server, content)
    assert response.status_code == status
    [line] = response.json()["error"]["message"].splitlines()
    assert re.search(message, line)


def test_requests_are_served_in_turn_and_those_whose_client_left_are_dropped(lm):
    may_write = threading.Event()

    class Slow(ChatModel):
        running, most, begun = 0, 0, []

        def write(self, prompt, *arguments):
            Slow.running += 1
            Slow.most = max(Slow.most, Slow.running)
            Slow.begun.append(len(prompt))
            assert may_write.wait(300)
            found = super().write(prompt, *arguments)
            Slow.running -= 1
            return found

    server = ChatServer("127.0.0.1", 0)
    server.open(Slow(lm, 0), {"model": "tiny"})
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(post, server, body())]
        eventually(lambda: Slow.begun)
        data = json.dumps(body(messages=[{"role": "user", "content": "gone " * 9}])).encode()
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            )
            connection.sendall(head.encode() + data)
            eventually(lambda: server.present == 2)
            replies.append(pool.submit(post, server, body()))
            eventually(lambda: server.present == 3)
        eventually(lambda: server.counts["left"] == 1)  # it looks for its client while it waits
        may_write.set()
        assert [r.result().status_code for r in replies] == [200, 200]
    eventually(lambda: not server.present)
    assert Slow.most == 1
    assert len(Slow.begun) == 2  # nobody writes for the one who left
    assert server.counts["left"] == 1
    server.close()
