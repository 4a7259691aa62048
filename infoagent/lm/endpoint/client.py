"""A client of any OpenAI-compatible chat server, as predictor, as judge, and as writer of questions.

Many requests at a time, each with one deadline for all of it; retries with backoff; every token that is paid for is
booked once, also where the reply was of no use. What a request may have cost, where nobody can know (a deadline
passed, a connection broke, the user stopped), is booked at its worst case and marked as estimated. Whatever a server
sends is a reply or a failure with a cause, and ends no other request. The key is read from the environment when it is
needed, and stands in no setting, error, log or reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import queue
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from infoagent.lm.endpoint.check import check_server
from infoagent.lm.endpoint.reply import Answer, Refusal, read_response, worst_case
from infoagent.lm.endpoint.settings import Chat, EndpointSettings, read_key
from infoagent.lm.endpoint.spending import NOTHING, Reservation, SpendingLimit, Usage
from infoagent.lm.foreign_http import mishap, open_client, read_body_async, text_of

BACKOFF_SECONDS = 1.0
"""The first wait before a retry is drawn from 0 to this, the next one from 0 to twice as much, and so on."""
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 120.0
"""A server that wants a longer pause (Retry-After) has ended the day's quota: that is a failure."""
USELESS_RETRIES = 2
"""Of replies that are paid for and hold no text, however many retries are allowed for the rest."""
USELESS = ("not JSON", "no choices", "empty completion", "not decodable", "unreadable")
HOPELESS = ("invalid address", "too long")
"""Of a request that was not answered: the next one would not be either."""
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Reply:
    """A text. `usage` and `usd` hold all that was paid for it, with earlier replies that were of no use; `seconds`
    count from the first request to the reply, with the waits between retries. `model` is who answered, as the server
    names it, else who was asked; `finish` the server's finish_reason, or "unknown". `thinking` is a thought that the
    server gave apart from the text, and `thinking_tokens` its count, which `usage` holds too; None where it said none."""

    text: str
    usage: Usage
    seconds: float
    usd: float
    finish: str
    model: str
    thinking: str | None = None
    thinking_tokens: int | None = None


@dataclass(frozen=True)
class Failure:
    """No text. `cause` is one of http N, timeout, connection, invalid address, not decodable, too long, unreadable, not
    JSON, no choices, empty completion, unfinished thinking, spending limit, cancelled; `error` one line; `usage` and
    `usd` what was paid nevertheless."""

    cause: str
    error: str
    usage: Usage
    usd: float
    seconds: float


@dataclass
class _Bill:
    """What one chat has cost so far."""

    usage: Usage = NOTHING
    usd: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def failure(self, cause: str, error: str) -> Failure:
        return Failure(cause, error, self.usage, self.usd, self.seconds)


Finished = queue.SimpleQueue[tuple[int, Reply | Failure] | None]


class Endpoint:
    """The client. `price` turns the usage of one request into $, None if it costs nothing; `budget` may be shared.

    `transport` replaces the network; `backoff_seconds` and `jitter` set the waits between retries. Proxies of the
    environment are used, but not for a server on this machine.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        price: Callable[[Usage], float] | None = None,
        budget: SpendingLimit | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        backoff_seconds: float | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self.price = price
        self.budget = SpendingLimit(math.inf) if budget is None else budget
        self._unseen = NOTHING
        """The most tokens that the server counted above what a request could hold: it adds a prompt of its own, or lets
        the model think beyond max_tokens. Later requests reserve them too."""
        self.transport = transport
        self.backoff_seconds = BACKOFF_SECONDS if backoff_seconds is None else backoff_seconds
        self.jitter = jitter or random.Random()

    def check(self) -> None:
        """Before a long run: the key is there and right, the server answers and knows the model. Asks for no text, so
        it costs nothing. Raises InputError."""
        key = read_key(self.settings)

        async def look() -> None:
            async with self._client(key) as client:
                await check_server(client, self.settings, key)

        with ThreadPoolExecutor(1) as pool:  # a thread of its own: the caller may run an event loop, as notebooks do
            pool.submit(asyncio.run, look()).result()

    def ask(
        self, chats: Sequence[Chat], on_done: Callable[[int, Reply | Failure], None] | None = None, *, seed: int | None = None
    ) -> list[Reply | Failure]:
        """The reply to each chat, in order. `on_done(index, answer)` is called from the caller's thread as soon as an
        answer is there, in the order in which they come. Raises InputError where the key is missing.

        An exception of `on_done` ends the requests under way and is raised, and so does Ctrl-C; but first what is
        finished is handed over, and what may have to be paid, as a Failure "cancelled".
        """
        key = read_key(self.settings)
        finished: Finished = queue.SimpleQueue()
        started: Future[asyncio.Task[None] | None] = Future()
        answers: dict[int, Reply | Failure] = {}

        async def main() -> None:
            started.set_result(asyncio.current_task())
            left = iter(enumerate(chats))  # all workers take from it
            async with self._client(key) as client, asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.concurrency, len(chats))):
                    group.create_task(self._work(client, left, key, seed, finished))

        def work() -> None:
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    asyncio.run(main())
            finally:
                if not started.done():
                    started.set_result(None)
                finished.put(None)

        def take_all(*suppressed: type[Exception]) -> None:
            while (item := finished.get()) is not None:
                answers[item[0]] = item[1]
                with contextlib.suppress(*suppressed):
                    if on_done is not None:
                        on_done(*item)

        def cancel() -> None:
            if (task := started.result()) is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is under way
                    task.get_loop().call_soon_threadsafe(task.cancel)

        with ThreadPoolExecutor(1) as pool:
            job = pool.submit(work)
            try:
                take_all()
            except BaseException:
                cancel()
                take_all(Exception)  # a disk that was full may take the next one; the first error is what is raised
                raise
            finally:
                cancel()
            job.result()
        return [answers[number] for number in range(len(chats))]

    async def _work(
        self, client: httpx.AsyncClient, left: Iterator[tuple[int, Chat]], key: str | None, seed: int | None, finished: Finished
    ) -> None:
        for number, chat in left:
            bill = _Bill()
            try:
                answer = await self._one(client, self.settings.body(chat, seed), key, bill)
            except asyncio.CancelledError:
                if bill.usage.calls:
                    finished.put((number, bill.failure("cancelled", "stopped before the reply came")))
                raise
            finished.put((number, answer))

    async def _one(self, client: httpx.AsyncClient, body: dict[str, Any], key: str | None, bill: _Bill) -> Reply | Failure:
        useless = 0
        while True:
            upper = worst_case(body) + self._unseen
            # a price for cached tokens may be above that of fresh ones, where the user names it
            upper_usd = max(self._usd(upper), self._usd(replace(upper, cached_tokens=upper.prompt_tokens)))
            room = await self.budget.reserve_async(upper_usd)
            if room is None:
                return bill.failure("spending limit", self.budget.refused(upper_usd))
            with room:
                outcome = await self._request(client, body, key, upper, room, bill)
            if isinstance(outcome, Answer):
                said = outcome.finish, outcome.model, outcome.thinking, outcome.thinking_tokens
                return Reply(outcome.text, bill.usage, bill.seconds, bill.usd, *said)
            useless += outcome.cause in USELESS
            if not outcome.again or bill.usage.retries >= self.settings.retries or useless > USELESS_RETRIES:
                return bill.failure(outcome.cause, outcome.error)
            if (outcome.wait_seconds or 0.0) > LONGEST_WAIT_SECONDS:
                return bill.failure(outcome.cause, f"{outcome.error} (wants {outcome.wait_seconds:.0f} s of pause)")
            # full jitter, on top of what the server asks for, so that requests do not come back all at once
            most = min(LONGEST_BACKOFF_SECONDS, self.backoff_seconds * 2.0 ** min(bill.usage.retries, 32))
            await asyncio.sleep((outcome.wait_seconds or 0.0) + self.jitter.uniform(0.0, most))

    async def _request(
        self, client: httpx.AsyncClient, body: dict[str, Any], key: str | None, upper: Usage, room: Reservation, bill: _Bill
    ) -> Answer | Refusal:
        """Send once, and book what it costs: the worst case until something better is known."""
        paid, url = upper, f"{self.settings.url}/chat/completions"
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                async with client.stream("POST", url, content=json.dumps(body).encode()) as response:
                    text = text_of(await read_body_async(response))
            paid, outcome = read_response(
                response.status_code, response.headers, text, upper, key, self.settings.model, tools="tools" in body
            )
            self._see(paid, worst_case(body))
            return outcome
        # whatever a reply makes a library raise, it is paid for, and the other requests are not to blame
        except Exception as error:
            what = mishap(error, key)
            paid = paid if what.sent else NOTHING
            late = f"no complete reply within {self.settings.timeout_seconds:g} s"
            words = late if what.cause == "timeout" else what.error
            return Refusal(what.cause, words, again=what.cause not in HOPELESS)
        finally:
            room.paid_usd = self._usd(paid)
            bill.usage += replace(paid, calls=1, retries=int(bill.usage.calls > 0))
            bill.usd += room.paid_usd

    def _see(self, paid: Usage, worst: Usage) -> None:
        """Remember what the server counted above the worst case."""
        prompt = max(self._unseen.prompt_tokens, paid.prompt_tokens - worst.prompt_tokens)
        written = max(self._unseen.completion_tokens, paid.completion_tokens - worst.completion_tokens)
        self._unseen = Usage(prompt, 0, written, calls=0, retries=0)

    def _usd(self, usage: Usage) -> float:
        return 0.0 if self.price is None or usage == NOTHING else self.price(usage)

    def _client(self, key: str | None) -> httpx.AsyncClient:
        settings = self.settings
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        connect = min(CONNECT_SECONDS, 0.9 * settings.timeout_seconds)  # sooner than the deadline, to be told from it
        return open_client(
            httpx.AsyncClient,
            settings.url,
            headers=headers,
            timeout=httpx.Timeout(settings.timeout_seconds, connect=connect),
            limits=httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
            transport=self.transport,
        )
