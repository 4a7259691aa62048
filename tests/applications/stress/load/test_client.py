"""One request, never repeated: what is served, and every way in which it is not."""

import asyncio
import json
import socket
import threading

import httpx
import pytest
from fake_server import FakeServer, drop, empty, hang, no_choices, not_json, ok, status, truncated
from virtual_time import run_virtually

from infoagent.applications.stress.load import Lost, Served, StreamClient
from infoagent.lm.endpoint.settings import EndpointSettings

CHAT = [{"role": "user", "content": "Who?"}]


def settings(url, timeout=300.0):
    return EndpointSettings(url, "fake", api_key_env=None, timeout_seconds=timeout, max_tokens=8, retries=5)


def ask(url, timeout=300.0, stall=300.0, number=1, key=None):
    async def main():
        async with StreamClient(settings(url, timeout), key, stall) as client:
            return await asyncio.gather(*(client.ask(CHAT) for _ in range(number)))

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (status(503), "http 503"), (status(429, retry_after=1), "http 429"), (hang(), "timeout"), (drop(), "broken"),
        (truncated(), "not JSON"), (not_json(), "not JSON"), (no_choices(), "no choices"), (empty(), "empty completion"),
    ],
)  # fmt: skip
def test_what_fails_is_told_apart_and_asked_once(behaviour, cause):
    with FakeServer(lambda chat: "A", script=[behaviour]) as server:
        [lost] = ask(server.url, timeout=0.5 if cause == "timeout" else 300.0)
        assert isinstance(lost, Lost)
        assert lost.cause == cause
        assert len(server.requests) == 1  # although the settings allow five retries


def test_a_server_that_does_not_stream_is_taken_as_it_is():
    with FakeServer(lambda chat: "An answer.", script=[ok()]) as server:
        [served] = ask(server.url)
        assert (served.text, served.first_token_seconds) == ("An answer.", None)
        assert server.requests[0].body["stream"] is True
        assert served.usage.prompt_tokens == server.requests[0].prompt_tokens


def test_nobody_there_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    [lost] = ask(url)
    assert lost.cause == "refused"


def test_all_requests_stand_open_at_once():
    together = threading.Barrier(12)
    with FakeServer(lambda chat: f"A{together.wait(300)}") as server:
        found = ask(server.url, number=12)
        assert all(isinstance(reply, Served) for reply in found)
        assert server.peak == 12


def event(**data):
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def piece(text, finish=None):
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


USAGE = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}})
DONE = b"data: [DONE]\n\n"


class Spoken(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A server that answers with these bytes and pauses, and then closes the connection."""

    def __init__(self, parts):
        self.parts = parts

    async def handle_async_request(self, request):
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=self)

    async def __aiter__(self):
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)


def stream(*parts, timeout=2.0, stall=0.6):
    """What the client makes of such a stream, in virtual time."""

    async def main():
        async with StreamClient(settings("http://127.0.0.1:9/v1", timeout), None, stall, transport=Spoken(parts)) as client:
            return await client.ask(CHAT)

    return run_virtually(main())


def sent(*parts):
    """The same from a server on this machine, in a piece for each part."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with StreamClient(settings(url), None, 300.0) as client:
            return await client.ask(CHAT)

    return asyncio.run(main())


def test_a_stream_is_joined_its_first_text_timed_and_its_usage_read():
    served = stream(piece(""), 0.2, piece("It is \u2028"), piece("é", "stop"), USAGE, DONE)
    assert served.text == "It is \u2028é"
    assert served.first_token_seconds == pytest.approx(0.2)
    assert (served.usage.prompt_tokens, served.usage.cached_tokens, served.usage.completion_tokens) == (9, 4, 2)


def test_events_may_be_cut_anywhere():
    whole = piece("one "), piece("é", "stop"), USAGE, DONE
    data = b"".join(whole).replace(b"\\u00e9", "é".encode())
    cut = data.index("é".encode()) + 1  # within a character
    assert sent(data[:7], data[7:cut], data[cut:]).text == "one é"


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ((piece("It"), 1.5, piece("is")), "stalled"),  # it began, and then nothing
        ((3.0, piece("It")), "timeout"),  # in a queue, for all that one can know
        ((piece("a"), 0.2, piece("b"), 0.2) * 8, "timeout"),  # never a long pause, and never an end
        ((piece("It"),), "broken"),
        ((event(error={"message": "out of memory"}),), "server error"),
        ((b"data: {\n\n",), "server error"),
        ((piece(" ", "stop"), DONE), "empty completion"),
    ],
)  # fmt: skip
def test_streams_that_fail_are_told_apart(parts, cause):
    assert stream(*parts, timeout=1.0).cause == cause


def test_a_server_that_keeps_the_line_open_after_the_end_has_served():
    assert stream(piece("It", "stop"), DONE, 3.0).text == "It"
    assert stream(piece("It is \ud83d"), piece("\ude00", "stop"), DONE).text == "It is 😀"  # cut within a character


def test_no_key_stands_in_an_error():
    with FakeServer(lambda chat: "A", key="right") as server:
        [lost] = ask(server.url, key="sk-secret")
        assert lost.cause == "http 401"
        assert "sk-secret" not in lost.error
        assert "[key]" in lost.error
