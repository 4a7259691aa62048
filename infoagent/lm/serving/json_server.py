"""What the servers of this package share: an ASGI application (starlette) under uvicorn, with the port held from the
start. It admits who brings the token and no web page, and bounds connections, bodies and the bytes in flight."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from ipaddress import ip_address
from typing import Any, TypeVar

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

CONNECTIONS = 512
"""More are closed as they come."""
SOCKET_SECONDS = 60.0
"""How long a head, a body, or a reply that is ready may take to come or leave, and a connection stand idle."""
BODIES_IN_FLIGHT = 4
"""How many of the largest bodies the requests under way may hold together."""
FAREWELL_SECONDS = 5
"""At the end: how long the work under way may go on. Replies then have two seconds to leave."""

T = TypeVar("T")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(:\d{1,5})?")


class Refusal(Exception):
    """A request that is not answered: the status, and one line."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class CutOff(Exception):
    """A reply that ends in its middle: the connection closes, so that the client sees that the end is missing."""


class JsonServer:
    """Holds its port from the start and answers once `start` is called. Raises OSError where the port is taken.

    `token`: what a request must bring; None admits whoever reaches the port. `names`: hosts that requests may be
    addressed to, beside those that are this machine's.
    """

    def __init__(self, host: str, port: int, token: str | None = None, names: Sequence[str] = ()) -> None:
        self.token = token
        self._socket = _hold(host, port)
        self.server_name, self.server_port = self._socket.getsockname()[:2]
        self._is_open = not ip_address(self.server_name).is_loopback
        self._names = {"localhost", host.lower(), *(name.lower() for name in names)}
        if self._is_open:
            own = socket.gethostname().lower()
            self._names |= {own, own.partition(".")[0]}
        self._worker = ThreadPoolExecutor(1)
        """The model's thread."""
        self._reader = ThreadPoolExecutor(1)
        """Reads and writes JSON, which takes time where it is long."""
        self._running: set[Future[Any]] = set()
        self._timeouts: set[asyncio.Timeout] = set()
        self._held_bytes = 0

    @property
    def url(self) -> str:
        name = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{name}:{self.server_port}"

    def start(
        self,
        gets: Mapping[str, Callable[[], dict[str, Any]]],
        posts: Mapping[str, Callable[[Request, bytes], Awaitable[Response]]],
        largest_bytes: int,
    ) -> None:
        """Answer from now on, in a thread: `gets` with what they return, `posts` of at most `largest_bytes` with what
        comes of the body."""
        self._largest_bytes = largest_bytes
        self._offered = ", ".join([*(f"GET {path}" for path in gets), *(f"POST {path}" for path in posts)])
        routes = [Route(path, self._got(content)) for path, content in gets.items()]
        routes += [Route(path, self._posted(answer), methods=["POST"]) for path, answer in posts.items()]
        faults = {Refusal: self._refused, HTTPException: self._unknown, ClientDisconnect: _nobody_reads}
        config = uvicorn.Config(
            _Guard(Starlette(routes=routes, exception_handlers=faults), self),
            http=_Connection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            interface="asgi3",
            backlog=128,
            # what it would say of hostile requests fills a log; of our own mistakes _Guard tells
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(SOCKET_SECONDS),
            timeout_graceful_shutdown=FAREWELL_SECONDS + 2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve()], daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise OSError("the server did not start")
            time.sleep(0.005)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])

    def close(self) -> bool:
        """No new connection; what waits is refused, what is under way is finished where that takes no longer than
        FAREWELL_SECONDS. False where the model's thread is still at work: it cannot be ended from outside."""
        self._server.should_exit = True
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._drop(waiting_only=True)
        self.loop.call_soon_threadsafe(self._end_bodies)
        wait(set(self._running), FAREWELL_SECONDS)
        self._drop(waiting_only=False)
        self._thread.join(FAREWELL_SECONDS + 3)
        self._reader.shutdown(wait=False, cancel_futures=True)
        return not wait(set(self._running), 0.5).not_done

    def _drop(self, waiting_only: bool) -> None:
        """Refuse the requests that wait, or all."""
        raise NotImplementedError

    def _end_bodies(self) -> None:
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(0.0)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Done in the model's thread, in turn. Raises RuntimeError where the server is closing."""
        future = self._worker.submit(work, *arguments)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of what takes long and needs no model, while others are answered."""
        return await self.loop.run_in_executor(self._reader, work, *arguments)

    def refusal(self, headers: Headers) -> Refusal | None:
        """Why a request is not for this server; None where it is. A browser names the page that sends a request
        (Origin), and a page that has made its own name point here (DNS rebinding) can only ask under that name."""
        host = headers.get("host", "")
        if not self._is_own(host):
            return Refusal(421, f"Host {host[:80]!r}: is no name of this server; --allow-host NAME adds one")
        if "origin" in headers:
            return Refusal(403, "Origin: no web page may use this server")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = self.token is None or hmac.compare_digest(given.strip().encode(), self.token.encode())
        if not right or (self.token is not None and scheme.lower() != "bearer"):
            return Refusal(401, "Authorization: the server wants its token")
        return None

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        if found[1] in self._names:
            return True
        try:
            address = ip_address(found[1].strip("[]"))
        except ValueError:
            return False
        return self._is_open or address.is_loopback  # an address is no name that somebody could point here

    def _got(self, content: Callable[[], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return reply(200, content())

        return endpoint

    def _posted(self, answer: Callable[[Request, bytes], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            length = self._length(request.headers)
            self._held_bytes += length
            try:
                return await answer(request, await self._body(request))
            finally:
                self._held_bytes -= length

        return endpoint

    def _length(self, headers: Headers) -> int:
        """Of the body, before it is read. Raises Refusal."""
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "Content-Type: must be application/json")
        given = headers.get("content-length", "")
        if "transfer-encoding" in headers or not (given.isascii() and given.isdigit()):
            raise Refusal(411, "Content-Length: must be given")
        length = int(given)
        if length > self._largest_bytes:
            raise Refusal(413, f"body: {length} bytes are above {self._largest_bytes}; send less at a time")
        if self._held_bytes + length > BODIES_IN_FLIGHT * self._largest_bytes:
            raise Refusal(503, f"{self._held_bytes} bytes of requests are under way; try again later")
        return length

    async def _body(self, request: Request) -> bytes:
        timeout = asyncio.timeout(SOCKET_SECONDS)
        self._timeouts.add(timeout)
        try:
            async with timeout:
                return await request.body()
        except TimeoutError:
            raise Refusal(408, f"body: is not here after {SOCKET_SECONDS:g} s, or the server is stopping") from None
        finally:
            self._timeouts.discard(timeout)

    def error_content(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": refusal.error}

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        # what is left of the body must not be read as the next request
        return reply(error.status, self.error_content(error), {"Connection": "close"})

    async def _unknown(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        line = f"{request.method[:20]} {request.scope['path'][:80]!r}: unknown; there are {self._offered}"
        return await self._refused(request, Refusal(error.status_code, line))


class _Guard:
    """Before all routes: who may ask. Behind them: what uvicorn would say in its own words."""

    def __init__(self, app: ASGIApp, server: JsonServer) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.server.refusal(Headers(scope=scope))
        app = self.app if refusal is None else await self.server._refused(Request(scope), refusal)
        try:
            await app(scope, receive, send)
        except (CutOff, h11.LocalProtocolError):  # the latter: nonsense behind the request was refused in its place
            pass
        except Exception:  # a mistake of ours, told once; uvicorn answers 500 or closes the connection
            logger.exception("a request could not be answered")


class _Connection(H11Protocol):
    """uvicorn's, with an end of what has none there: connections beyond the limit, a head that does not come, a reply
    that nobody reads."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._still_since = self.loop.time()
        self._watch()
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._watcher.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.LocalProtocolError:  # nonsense behind a request that is being answered cannot be refused any more
            self.transport.abort()

    def _watch(self) -> None:
        is_asked = self.cycle is not None and not self.cycle.response_complete
        if is_asked and not self.transport.get_write_buffer_size():
            self._still_since = self.loop.time()
        elif self.loop.time() - self._still_since > SOCKET_SECONDS:
            self.transport.abort()
        self._watcher = self.loop.call_later(SOCKET_SECONDS / 4, self._watch)


async def while_present(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled where the client leaves first (ClientDisconnect). The body was read."""
    wanted: asyncio.Future[T] = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    either: set[asyncio.Future[Any]] = {wanted, gone}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise ClientDisconnect
        if wanted.cancelled():
            raise Refusal(503, "the server is stopping")
        return wanted.result()
    finally:
        wanted.cancel()
        gone.cancel()


def reply(status: int, content: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, headers, media_type="application/json")


def shown(value: Any) -> str:
    """A value of a request in an error's line: short, and in one line."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value[:60] if isinstance(value, str) else value)
        return text if len(text) <= 80 else text[:77] + "…"
    return f"a {type(value).__name__}"


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


async def _nobody_reads(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


def _hold(host: str, port: int) -> socket.socket:
    [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held
