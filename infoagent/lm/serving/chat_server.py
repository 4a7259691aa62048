"""A chat model behind HTTP, as OpenAI's chat completions: for runs that need an endpoint and have nothing but this
package.

One worker writes one reply at a time, requests wait for it in the order in which they come: its queue is that of theory.
A server for many users batches (`vllm serve`, llama.cpp); this one is for measuring and for small work.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from infoagent.files import clean_text
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.prompts import chat_ids
from infoagent.lm.serving.chat_model import ChatModel, Written
from infoagent.lm.serving.chat_protocol import LARGEST_BODY_BYTES, ChatRequest, event, read_chat, usage, whole_reply
from infoagent.lm.serving.json_server import CutOff, JsonServer, Refusal, one_line, reply, shown, while_present

logger = logging.getLogger(__name__)

WAITING_LIMIT = 256


@dataclass(eq=False)
class _Job:
    """A request under way. `pieces` gets texts, then what was written or why it was not."""

    request: ChatRequest
    prompt: list[int]
    pieces: asyncio.Queue[str | Written | Refusal] = field(default_factory=asyncio.Queue)
    left: bool = False
    """Whether the client has left: nobody reads the rest."""


class ChatServer(JsonServer):
    """Holds its port from the start and answers once `open` gave it a model. Raises OSError where the port is taken."""

    def open(self, model: ChatModel, about: dict[str, Any]) -> None:
        """Answer from now on. `about` is what /health says beside the counts; its "model" is the name that is served."""
        self.model, self.about, self.name = model, about, str(about["model"])
        names = ("served", "failed", "left", "prompt_tokens", "cached_tokens", "completion_tokens")
        self.counts = dict.fromkeys(names, 0)
        self._jobs: set[_Job] = set()
        self._waiting: deque[_Job] = deque()
        self._numbers = itertools.count(1)
        # of its own, since threads must not use one tokenizer at once and the model's thread decodes
        self._tokenizer = copy.deepcopy(model.lm.tokenizer)
        token_bytes = max(len(token.encode()) for token in self._tokenizer.get_vocab())
        self._longest_bytes = min(LARGEST_BODY_BYTES, model.lm.context_tokens * token_bytes)
        models = {"object": "list", "data": [{"id": self.name, "object": "model"}]}
        health = {"/health": lambda: {**self.about, **self.counts, "present": self.present}}
        self.start({"/v1/models": lambda: models} | health, {"/v1/chat/completions": self._chat}, LARGEST_BODY_BYTES)

    @property
    def present(self) -> int:
        return len(self._jobs)

    def worked(self) -> int:
        """Tokens that went through the model for the replies that were read so far."""
        return self.counts["prompt_tokens"] - self.counts["cached_tokens"] + self.counts["completion_tokens"]

    def error_content(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": {"message": refusal.error, "code": refusal.status}}

    def _drop(self, waiting_only: bool) -> None:
        for job in list(self._waiting if waiting_only else self._jobs):
            self._put(job, Refusal(503, "the server is stopping"))

    async def _chat(self, http: Request, body: bytes) -> Response:
        try:
            job = await self.beside(self._job, body)
        except (ValueError, TemplateError) as error:
            raise Refusal(400, " ".join(str(error).split())) from None
        if self.present >= WAITING_LIMIT:
            raise Refusal(503, f"{WAITING_LIMIT} requests are waiting, and no more may; try again later")
        self._waiting.append(job)
        try:
            self.submit(self._write_next)
        except RuntimeError:  # the model's thread takes no more
            self._waiting.remove(job)
            raise Refusal(503, "the server is stopping") from None
        self._jobs.add(job)
        head, pieces = (f"chatcmpl-{next(self._numbers)}", self.name), self._pieces(job)
        if not job.request.stream:
            *texts, written = await while_present(http, _all(pieces))
            text = "".join(t for t in texts if isinstance(t, str))
            assert isinstance(written, Written)
            return reply(200, whole_reply(*head, text, str(written.finish), _usage(written)))
        first = await while_present(http, anext(pieces))  # until it is there a failure can be a status

        async def events() -> AsyncIterator[bytes]:
            piece: str | Written | None = first
            while isinstance(piece, str):
                yield event(*head, piece)
                try:
                    piece = await anext(pieces)
                except Refusal as error:
                    raise CutOff from error
            assert isinstance(piece, Written)
            yield event(*head, finish=str(piece.finish))
            if job.request.include_usage:
                yield event(*head, used=_usage(piece))
            yield b"data: [DONE]\n\n"

        return _Stream(events(), pieces)

    def _job(self, body: bytes) -> _Job:
        """Raises ValueError for what the model cannot take, Refusal for an unknown model."""
        request = read_chat(body)
        if request.model != self.name:
            raise Refusal(404, f"the model does not exist; there is {self.name}")
        given = sum(len(message["content"].encode()) for message in request.messages)
        longest = self.model.lm.context_tokens
        if given > self._longest_bytes:  # not one tokenizer's work to find out
            raise ValueError(f"messages: {given} bytes are above {self._longest_bytes}, more than {longest} tokens hold")
        prompt = chat_ids(self._tokenizer, request.messages)
        if len(prompt) + request.max_tokens > longest:
            raise ValueError(
                f"prompt of {len(prompt)} tokens and max_tokens {shown(request.max_tokens)}: above the context of {longest}"
            )
        return _Job(request, prompt)

    async def _pieces(self, job: _Job) -> AsyncGenerator[str | Written, None]:
        """What is written, as it comes. Raises Refusal where it is not."""
        ended = "left"
        try:
            while isinstance(piece := await job.pieces.get(), str):
                yield piece
            ended = "failed" if isinstance(piece, Refusal) else "served"
            if isinstance(piece, Refusal):
                raise piece
            self.counts["prompt_tokens"] += piece.prompt_tokens
            self.counts["cached_tokens"] += piece.cached_tokens
            self.counts["completion_tokens"] += len(piece.ids)
            yield piece
        finally:
            self.counts[ended] += 1
            job.left = True
            self._jobs.discard(job)
            with contextlib.suppress(ValueError):  # else it is written, or was
                self._waiting.remove(job)

    def _put(self, job: _Job, piece: str | Written | Refusal) -> None:
        self.loop.call_soon_threadsafe(job.pieces.put_nowait, piece)

    def _write_next(self) -> None:
        """In the model's thread."""
        with contextlib.suppress(IndexError):  # who waited has left
            self._write(self._waiting.popleft())

    def _write(self, job: _Job) -> None:
        tokenizer, ids, sent = self.model.lm.tokenizer, list[int](), ""

        def take(token: int) -> bool:
            nonlocal sent
            ids.append(token)
            text = clean_text(decode_whole(tokenizer, ids, skip_special_tokens=True))
            if len(text) > len(sent):  # else the character is not complete
                self._put(job, text[len(sent) :])
                sent = text
            return not job.left

        request = job.request
        try:
            written = self.model.write(job.prompt, request.max_tokens, request.temperature, request.seed, take)
        except (RuntimeError, FloatingPointError) as error:  # out of memory, say: the next request may fit
            logger.error("a request failed: %s", error)
            self._put(job, Refusal(500, one_line(error)))
            return
        self._put(job, written)


class _Stream(StreamingResponse):
    """Events made of `pieces`, which end with it, whether or not the client has left."""

    def __init__(self, events: AsyncIterator[bytes], pieces: AsyncGenerator[str | Written, None]) -> None:
        super().__init__(events, headers={"Content-Type": "text/event-stream"})
        self.pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.pieces.aclose()


async def _all(pieces: AsyncGenerator[str | Written, None]) -> list[str | Written]:
    return [piece async for piece in pieces]


def _usage(written: Written) -> dict[str, Any]:
    return usage(written.prompt_tokens, written.cached_tokens, len(written.ids))
