"""A chat model behind HTTP, as OpenAI's chat completions: for runs that need an endpoint and have nothing but this
package.

One worker writes one reply at a time, requests wait for it in the order in which they come: its queue is that of theory.
A server for many users batches (`vllm serve`, llama.cpp); this one is for measuring and for small work.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from infoagent.lm.chat_model import ChatModel, Written
from infoagent.lm.chat_protocol import LARGEST_BODY_BYTES, ChatRequest, event, read_chat, usage, whole_reply
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.json_server import JsonHandler, JsonServer
from infoagent.lm.prompts import chat_ids

logger = logging.getLogger(__name__)

WAITING_LIMIT = 1024
LOOK_SECONDS = 0.2
"""How often a waiting request looks whether its client is still there."""


@dataclass
class _Job:
    """A request under way. `pieces` gets texts, then what was written or why it was not."""

    request: ChatRequest
    prompt: list[int]
    pieces: queue.SimpleQueue[str | Written | Exception] = field(default_factory=queue.SimpleQueue)
    left: bool = False
    """Whether the client has left: nobody reads the rest."""


class ChatServer(JsonServer):
    """Holds its port from the start and answers once `open` gave it a model. Raises OSError where the port is taken."""

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        super().__init__(host, port, _Handler, token)
        self.counts = {
            "served": 0,
            "failed": 0,
            "left": 0,
            "prompt_tokens": 0,
            "cached_tokens": 0,
            "completion_tokens": 0,
        }
        self.present = 0
        self.lock = threading.Lock()
        self.tokenizing = threading.Lock()
        """Of the tokenizer, which threads must not use at once."""
        self.numbers = itertools.count(1)

    def open(self, model: ChatModel, about: dict[str, Any]) -> None:
        """Answer from now on. `about` is what /health says beside the counts; its "model" is the name that is served."""
        self.model, self.about, self.name = model, about, str(about["model"])
        self._worker = ThreadPoolExecutor(1)
        self.start()

    def worked(self) -> int:
        """Tokens that went through the model for the replies that were read so far."""
        return self.counts["prompt_tokens"] - self.counts["cached_tokens"] + self.counts["completion_tokens"]

    def close(self) -> None:
        """No new connection; the reply under way is finished, what waits is dropped."""
        self.stop()
        self._worker.shutdown(cancel_futures=True)

    def submit(self, job: _Job) -> None:
        self._worker.submit(self._write, job)

    def _write(self, job: _Job) -> None:
        if job.left:
            return
        tokenizer, ids, sent = self.model.lm.tokenizer, list[int](), ""

        def take(token: int) -> bool:
            nonlocal sent
            ids.append(token)
            with self.tokenizing:
                text = decode_whole(tokenizer, ids, skip_special_tokens=True)
            if len(text) > len(sent):  # else the character is not complete
                job.pieces.put(text[len(sent) :])
                sent = text
            return not job.left

        request = job.request
        try:
            written = self.model.write(job.prompt, request.max_tokens, request.temperature, request.seed, take)
        except (RuntimeError, FloatingPointError) as error:  # out of memory, say: the next request may fit
            logger.error("a request failed: %s", error)
            job.pieces.put(error)
            return
        job.pieces.put(written)

    def count(self, what: str, written: Written | None = None) -> None:
        with self.lock:
            self.counts[what] += 1
            if written is not None:
                self.counts["prompt_tokens"] += written.prompt_tokens
                self.counts["cached_tokens"] += written.cached_tokens
                self.counts["completion_tokens"] += len(written.ids)


class _Handler(JsonHandler):
    server: ChatServer

    def do_GET(self) -> None:
        if not self.allowed():
            return
        if self.path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": self.server.name, "object": "model"}]})
        elif self.path == "/health":
            self.reply(200, {**self.server.about, **self.server.counts, "present": self.server.present})
        else:
            self.refuse(404, f"{self.path}: unknown; there are GET /v1/models, GET /health, POST /v1/chat/completions")

    def do_POST(self) -> None:
        if not self.allowed():
            return
        if self.path != "/v1/chat/completions":
            return self.refuse(404, f"{self.path}: unknown; there is POST /v1/chat/completions")
        body = self.body(LARGEST_BODY_BYTES, "send a shorter chat")
        if body is None:
            return
        server = self.server
        try:
            job = self._job(body)
        except (ValueError, TemplateError) as error:
            return self._error(400, str(error))
        if job is None:
            return self._error(404, f"the model does not exist; there is {server.name}")
        with server.lock:
            busy = server.present >= WAITING_LIMIT
            server.present += not busy
        if busy:
            return self._error(503, f"{WAITING_LIMIT} requests are waiting, and no more may; try again later")
        try:
            server.submit(job)
            self._stream(job) if job.request.stream else self._whole(job)
        except _Left:
            job.left = True
            self.close_connection = True
            server.count("left")
        finally:
            with server.lock:
                server.present -= 1

    def _job(self, body: bytes) -> _Job | None:
        """None for an unknown model. Raises ValueError for what the model cannot take."""
        request, server = read_chat(body), self.server
        if request.model != server.name:
            return None
        with server.tokenizing:
            prompt = chat_ids(server.model.lm.tokenizer, request.messages)
        longest = server.model.lm.context_tokens
        if len(prompt) + request.max_tokens > longest:
            raise ValueError(
                f"prompt of {len(prompt)} tokens and max_tokens {request.max_tokens}: above the context of {longest}"
            )
        return _Job(request, prompt)

    def _whole(self, job: _Job) -> None:
        parts: list[str] = []
        written = self._drain(job, parts.append)
        if isinstance(written, Exception):
            return self._failed(written)
        used = usage(written.prompt_tokens, written.cached_tokens, len(written.ids))
        self.server.count("served", written)
        self.reply(200, whole_reply(self._identity(), self.server.name, "".join(parts), str(written.finish), used))

    def _stream(self, job: _Job) -> None:
        identity, name, begun = self._identity(), self.server.name, False

        def send(piece: str) -> None:
            nonlocal begun
            if not begun:  # only now: until then a failure can be a status
                self._begin()
                begun = True
            self._chunk(event(identity, name, piece))

        written = self._drain(job, send)
        if isinstance(written, Exception):
            if not begun:
                return self._failed(written)
            self.server.count("failed")
            self.close_connection = True  # in its middle: the client sees that the end is missing
            return
        if not begun:
            self._begin()
        self._chunk(event(identity, name, finish=str(written.finish)))
        if job.request.include_usage:
            used = usage(written.prompt_tokens, written.cached_tokens, len(written.ids))
            self._chunk(event(identity, name, used=used))
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")
        self.server.count("served", written)

    def _drain(self, job: _Job, take: Callable[[str], None]) -> Written | Exception:
        """Hand over the pieces as they come. Raises _Left where the client has left."""
        while True:
            try:
                piece = job.pieces.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._has_left():
                    raise _Left from None
                continue
            if not isinstance(piece, str):
                return piece
            take(piece)

    def _has_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        with contextlib.suppress(BlockingIOError):
            try:
                return not self.connection.recv(1, socket.MSG_PEEK)
            except ConnectionError:
                return True
        return False

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        with self._present():
            self.end_headers()

    def _chunk(self, data: bytes) -> None:
        with self._present():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    @contextlib.contextmanager
    def _present(self) -> Any:
        try:
            yield
        except OSError as error:
            raise _Left from error

    def _failed(self, error: Exception) -> None:
        self.server.count("failed")
        self._error(500, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _error(self, status: int, message: str) -> None:
        self.reply(status, {"error": {"message": message, "code": status}})

    def _identity(self) -> str:
        return f"chatcmpl-{next(self.server.numbers)}"


class _Left(Exception):
    """The client has left."""
