"""A chat server on this machine that misbehaves as told, and keeps its own books.

It charges the most that a client may expect: a token for every byte of what it is sent (messages, tools, format and
all), and all of max_tokens for a reply that got lost on the way. So a client that books too little, or sends one request
too many, shows.

    with FakeServer(lambda chat: "A", script=[status(429), ok(), drop()]) as server:
        ... server.url, server.requests, server.billed_tokens
"""

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Behaviour:
    kind: str
    code: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    seconds: float = 0.0


def ok(seconds: float = 0.0) -> Behaviour:
    """The handler's text, after a pause."""
    return Behaviour("ok", seconds=seconds)


def status(code: int, retry_after: str | float | None = None, body: str | None = None) -> Behaviour:
    """An error, which is free."""
    return Behaviour("status", code, () if retry_after is None else (("Retry-After", str(retry_after)),), body)


def hang(seconds: float = 600.0) -> Behaviour:
    """Charged, and no reply for so long."""
    return Behaviour("hang", seconds=seconds)


def drop() -> Behaviour:
    """Charged, and the connection closed without a reply."""
    return Behaviour("drop")


def truncated() -> Behaviour:
    """Charged, and the JSON ends in its middle."""
    return Behaviour("truncated")


def not_json(body: str = "<html>proxy</html>") -> Behaviour:
    """Charged, and something else in place of JSON."""
    return Behaviour("not JSON", body=body)


def no_choices() -> Behaviour:
    """Charged, with a count, and no reply in it."""
    return Behaviour("no choices")


def empty(finish: str = "stop") -> Behaviour:
    """Charged, with a count, and the reply is nothing."""
    return Behaviour("empty", body=finish)


def no_usage() -> Behaviour:
    """A reply without a count."""
    return Behaviour("no usage")


def drip(seconds: float = 0.05) -> Behaviour:
    """A reply byte by byte, so long a pause after each."""
    return Behaviour("drip", seconds=seconds)


@dataclass
class Received:
    """A request for a chat, and what it was charged."""

    body: dict[str, Any]
    headers: dict[str, str]
    behaviour: Behaviour
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    text: str = ""
    """What the handler wrote."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def count_tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / 3)


@dataclass
class FakeServer:
    """`script` holds the behaviours of the requests in the order of their arrival, `ok()` after its end; or it is a
    function (body, how many requests with this chat came before) → behaviour."""

    handler: Callable[[list[dict[str, str]]], str]
    script: Sequence[Behaviour] | Callable[[dict[str, Any], int], Behaviour] = ()
    key: str | None = None
    models: tuple[str, ...] = ("fake",)
    lists_models: bool = True
    is_list_public: bool = False
    usage_style: str = "openai"
    cached_tokens: int = 0
    thought: str | None = None
    """Given apart from the text, as reasoning_content, and counted in reasoning_tokens."""
    requests: list[Received] = field(default_factory=list)
    looks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of requests that ask for no text."""
    peak: int = 0
    """The most requests at a time."""

    def __enter__(self) -> "FakeServer":
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.open = 0
        self.httpd = _Server(("127.0.0.1", 0), _Handler)
        self.httpd.fake = self
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    @property
    def billed_tokens(self) -> int:
        """Prompt and completion tokens of all requests so far."""
        with self.lock:
            return sum(r.tokens for r in self.requests)

    def receive(self, body: dict[str, Any], headers: dict[str, str]) -> Received:
        with self.lock:
            before = sum(r.body["messages"] == body["messages"] for r in self.requests)
            if callable(self.script):
                behaviour = self.script(body, before)
            else:
                behaviour = self.script[len(self.requests)] if len(self.requests) < len(self.script) else ok()
            received = Received(body, headers, behaviour)
            if behaviour.kind != "status":
                received.prompt_tokens = len(json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass"))
                received.cached_tokens = min(self.cached_tokens, received.prompt_tokens)
                received.completion_tokens = body["max_tokens"]
            self.requests.append(received)
        if behaviour.kind in ("ok", "no usage", "drip"):
            received.text = self.handler(body["messages"])
        if behaviour.kind in ("ok", "no usage"):
            spent = count_tokens(self.thought or "")
            received.completion_tokens = min(spent + count_tokens(received.text), body["max_tokens"])
        if behaviour.kind == "no usage":  # nobody counts
            received.completion_tokens = min(len(received.text.encode()), body["max_tokens"])
        return received

    def usage(self, received: Received) -> dict[str, Any]:
        usage = {"prompt_tokens": received.prompt_tokens, "completion_tokens": received.completion_tokens}
        if self.thought is not None:
            usage["completion_tokens_details"] = {"reasoning_tokens": count_tokens(self.thought)}
        if self.usage_style == "openai":
            return usage | {"prompt_tokens_details": {"cached_tokens": received.cached_tokens}}
        name = {"deepseek": "prompt_cache_hit_tokens", "anthropic": "cache_read_input_tokens"}[self.usage_style]
        return usage | {name: received.cached_tokens, "prompt_tokens_details": None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    fake: FakeServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def reply(self, code: int, text: str, headers: Sequence[tuple[str, str]] = (), pause: float = 0.0) -> None:
        data = text.encode()
        self.send_response(code)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        if not pause:
            self.wfile.write(data)
            return
        for number in range(len(data)):
            self.wfile.write(data[number : number + 1])
            self.wfile.flush()
            if self.server.fake.closing.wait(pause):
                return

    def error(self, code: int, message: str) -> None:
        self.reply(code, json.dumps({"error": {"message": message}}))

    def is_let_in(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.server.fake.key is None or given == f"Bearer {self.server.fake.key}":
            return True
        self.error(401, f"Incorrect API key provided: {given}")
        return False

    def do_GET(self) -> None:
        fake = self.server.fake
        fake.looks.append((self.path, {}))
        if not (fake.is_list_public and self.path == "/v1/models") and not self.is_let_in():
            return
        if self.path == "/v1/models" and fake.lists_models:
            self.reply(200, json.dumps({"object": "list", "data": [{"id": name} for name in fake.models]}))
        else:
            self.error(404, "not found")

    def do_POST(self) -> None:
        fake = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.is_let_in():
            return
        if self.path != "/v1/chat/completions" or body["model"] not in fake.models:
            self.error(404, f"the model {body['model']} does not exist")
            return
        if not body["messages"]:
            fake.looks.append((self.path, body))
            self.error(400, "messages: must not be empty")
            return
        with fake.lock:
            fake.open += 1
            fake.peak = max(fake.peak, fake.open)
        try:
            self.behave(fake.receive(body, dict(self.headers)))
        finally:
            with fake.lock:
                fake.open -= 1

    def behave(self, received: Received) -> None:
        fake, behaviour = self.server.fake, received.behaviour
        if behaviour.kind == "status":
            self.reply(behaviour.code, behaviour.body or '{"error": {"message": "as told"}}', behaviour.headers)
            return
        if behaviour.kind in ("drop", "hang"):
            fake.closing.wait(behaviour.seconds)
            self.close_connection = True
            return
        fake.closing.wait(behaviour.seconds if behaviour.kind == "ok" else 0)
        if behaviour.kind == "not JSON":
            self.reply(200, behaviour.body or "")
            return
        finish, text = "stop", received.text
        if behaviour.kind == "empty":
            finish = behaviour.body or "stop"
        elif count_tokens(text) > received.body["max_tokens"]:
            finish, text = "length", text.encode()[: 3 * received.body["max_tokens"]].decode(errors="ignore")
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if fake.thought is not None:
            message["reasoning_content"] = fake.thought
        if "tools" in received.body:  # as servers do that are told to call one, some with words beside it
            call = {"name": received.body["tools"][0]["function"]["name"], "arguments": text}
            message |= {"content": "I call it.", "tool_calls": [{"id": "call-1", "type": "function", "function": call}]}
        answer: dict[str, Any] = {
            "id": "chat-1",
            "model": f"{received.body['model']}-2026-11-01",
            "choices": [{"index": 0, "finish_reason": finish, "message": message}],
            "usage": fake.usage(received),
        }
        if behaviour.kind == "no usage":
            del answer["usage"]
        if behaviour.kind == "no choices":
            del answer["choices"]
        sent = json.dumps(answer)
        if behaviour.kind == "truncated":
            sent = sent[: len(sent) // 2]
        self.reply(200, sent, pause=behaviour.seconds if behaviour.kind == "drip" else 0.0)
