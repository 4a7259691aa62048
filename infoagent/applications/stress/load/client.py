"""One request to an OpenAI-compatible chat server: sent once, streamed where the server streams, never tried again.

A retry would hide the error that is to be counted, and add load that nobody asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from infoagent.lm.endpoint.reply import Answer, Refusal, counted, read_response, storable, worst_case
from infoagent.lm.endpoint.settings import Chat, EndpointSettings
from infoagent.lm.endpoint.spending import NOTHING, Usage
from infoagent.lm.foreign_http import (
    MOST_BODY_BYTES,
    TooLong,
    masked,
    mishap,
    one_line,
    open_client,
    read_body_async,
    read_json,
    text_of,
)

CONNECT_SECONDS = 10.0
FAREWELL_SECONDS = 0.5


@dataclass(frozen=True)
class Served:
    """A reply. `first_token_seconds` from sending to the first text, None where the server did not stream."""

    text: str
    usage: Usage
    first_token_seconds: float | None


@dataclass(frozen=True)
class Lost:
    """No reply. `cause`: refused (no connection), timeout (not complete by the deadline), stalled (text stopped coming),
    broken (the connection was lost), http N, server error (within a stream), invalid address, not decodable, too long,
    unreadable, not JSON, no choices, empty completion."""

    cause: str
    error: str
    usage: Usage = NOTHING


@dataclass
class _Stream:
    """What has come of a stream so far."""

    parts: list[str] = field(default_factory=list)
    first_token_seconds: float | None = None
    usage: Usage | None = None
    ended: bool = False
    error: str | None = None

    @property
    def text(self) -> str:
        return storable("".join(self.parts))  # half a surrogate pair is valid JSON, and may end a part


class StreamClient:
    """`async with StreamClient(settings, key, stall_seconds) as client: await client.ask(chat)`.

    `settings.timeout_seconds` is the deadline of a request from its first byte to its last, `stall_seconds` the longest
    pause within a reply that has begun. `settings.concurrency` and `settings.retries` do not count here: as many
    requests as there are stand open at once, and none is repeated. `stream` false asks for whole replies.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        key: str | None,
        stall_seconds: float,
        stream: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings, self.key, self.stall_seconds, self.stream = settings, key, stall_seconds, stream
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        connect = min(CONNECT_SECONDS, 0.9 * settings.timeout_seconds)
        self._client = open_client(
            httpx.AsyncClient,
            settings.url,
            headers=headers,
            timeout=httpx.Timeout(None, connect=connect),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            transport=transport,
        )

    async def __aenter__(self) -> StreamClient:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._client.aclose()

    async def ask(self, chat: Chat) -> Served | Lost:
        body = self.settings.body(chat, None)
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        upper = worst_case(body)
        clock = asyncio.get_running_loop().time
        begin, stream = clock(), _Stream()
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                url, content = f"{self.settings.url}/chat/completions", json.dumps(body).encode()
                async with self._client.stream("POST", url, content=content) as response:
                    if "text/event-stream" not in response.headers.get("content-type", ""):
                        return self._whole(response, text_of(await read_body_async(response)), upper)
                    async for event in self._events(response, stream):
                        if self._take(stream, event):
                            stream.first_token_seconds = stream.first_token_seconds or clock() - begin
        except _Stalled:
            return Lost("stalled", f"nothing for {self.stall_seconds:g} s, after {len(stream.parts)} pieces of the reply")
        except Exception as error:  # whatever a reply makes a library raise is this request's failure alone
            what = mishap(error, self.key)
            if what.cause == "timeout" and what.sent:
                came = f"{len(stream.parts)} pieces" if stream.parts else "nothing"
                return Lost("timeout", f"no complete reply within {self.settings.timeout_seconds:g} s, {came} came")
            return Lost({"connection": "broken" if what.sent else "refused"}.get(what.cause, what.cause), what.error)
        return self._streamed(stream, upper)

    def _whole(self, response: httpx.Response, text: str, upper: Usage) -> Served | Lost:
        usage, outcome = read_response(response.status_code, response.headers, text, upper, self.key, self.settings.model)
        if isinstance(outcome, Answer):
            return Served(outcome.text, usage, None)
        assert isinstance(outcome, Refusal)
        return Lost(outcome.cause, outcome.error, usage)

    def _streamed(self, stream: _Stream, upper: Usage) -> Served | Lost:
        usage = stream.usage or upper
        if stream.error is not None:
            return Lost("server error", one_line(stream.error, self.key), usage)
        if not stream.ended:
            return Lost("broken", f"the stream ended in its middle, after {len(stream.parts)} pieces", usage)
        if not stream.text.strip():
            return Lost("empty completion", "the model wrote nothing", usage)
        return Served(masked(stream.text, self.key), usage, stream.first_token_seconds)

    async def _events(self, response: httpx.Response, stream: _Stream) -> AsyncIterator[str]:
        """The data of server-sent events. Lines end in a line feed and nothing else: texts hold other line ends."""
        line, size, chunks = bytearray(), 0, response.aiter_bytes()
        while True:
            # before its first text a reply waits in the server's queue, and only the deadline can tell
            patience = FAREWELL_SECONDS if stream.ended else self.stall_seconds if stream.parts else None
            try:
                async with asyncio.timeout(patience) as pause:
                    chunk = await anext(chunks, None)
            except TimeoutError:
                if not pause.expired():
                    raise
                if stream.ended:  # all is said, and the server only keeps the connection open
                    return
                raise _Stalled from None
            if chunk is None:
                return
            size += len(chunk)
            if size > MOST_BODY_BYTES:
                raise TooLong(f"more than {MOST_BODY_BYTES} bytes")
            first, *more = chunk.split(b"\n")
            line += first
            for part in more:
                if line.startswith(b"data:"):
                    yield line[5:].strip().decode(errors="replace")
                line = bytearray(part)

    def _take(self, stream: _Stream, event: str) -> bool:
        """Whether the event brought text."""
        if event == "[DONE]":
            stream.ended = True
            return False
        try:
            data = read_json(event)
        except ValueError:
            stream.error = f"an event is no JSON: {event}"
            return False
        if not isinstance(data, dict) or data.get("error"):
            stream.error = event
            return False
        stream.usage = counted(data) or stream.usage
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        stream.ended = stream.ended or choice.get("finish_reason") is not None
        if not isinstance(text, str) or not text:
            return False
        stream.parts.append(text)
        return True


class _Stalled(Exception):
    """The pause within a reply was too long."""
