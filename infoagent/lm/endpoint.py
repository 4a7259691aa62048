"""A client of any OpenAI-compatible chat server, as predictor, as judge, and as writer of questions.

Many requests at a time, each with one deadline for all of it; retries with backoff; every token that is paid for is
booked once, also where the reply was of no use. What a request may have cost, where nobody can know (a deadline
passed, a connection broke, the user stopped), is booked at its worst case and marked as estimated. The key is read
from the environment when it is needed, and stands in no setting, error or log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from infoagent.lm.endpoint_check import check_server
from infoagent.lm.endpoint_reply import Answer, Refusal, one_line, read_response, said, worst_case
from infoagent.lm.endpoint_settings import Chat, EndpointSettings, read_key
from infoagent.lm.spending import NOTHING, SpendingLimit, Usage
from infoagent.types import RunFailed

BACKOFF_SECONDS = 1.0
"""The first wait before a retry is drawn from 0 to this, the next one from 0 to twice as much, and so on."""
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 120.0
"""A server that wants a longer pause (Retry-After) has ended the day's quota: that is a failure."""
USELESS_RETRIES = 2
"""Of replies that are paid for and hold no text, however many retries are allowed for the rest."""
CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.02


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
    """No text. `cause` is one of http N, timeout, connection, not JSON, no choices, empty completion, unfinished
    thinking, spending limit, cancelled; `error` one line; `usage` and `usd` what was paid nevertheless."""

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
        self.budget = budget
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
        self,
        chats: Sequence[Chat],
        on_done: Callable[[int, Reply | Failure], None] | None = None,
        *,
        seed: int | None = None,
    ) -> list[Reply | Failure]:
        """The reply to each chat, in order. `on_done(index, answer)` is called from the caller's thread as soon as an
        answer is there, in the order in which they come. Raises InputError where the key is missing.

        An exception of `on_done` ends the requests under way and is raised. Ctrl-C does so too, but first hands over
        what is finished, and what may have to be paid, as a Failure "cancelled".
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

        def take_all() -> None:
            while (item := finished.get()) is not None:
                answers[item[0]] = item[1]
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
            except KeyboardInterrupt:
                cancel()
                take_all()
                raise
            finally:
                cancel()
            job.result()
        return [answers[number] for number in range(len(chats))]

    async def _work(
        self,
        client: httpx.AsyncClient,
        left: Iterator[tuple[int, Chat]],
        key: str | None,
        seed: int | None,
        finished: Finished,
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

    async def _one(
        self, client: httpx.AsyncClient, body: dict[str, Any], key: str | None, bill: _Bill
    ) -> Reply | Failure:
        useless = 0
        while True:
            upper = worst_case(body)
            upper_usd = self._usd(upper)
            if not await self._reserved(upper_usd):
                return bill.failure("spending limit", self._limit_reached(upper_usd))
            outcome = await self._request(client, body, key, upper, upper_usd, bill)
            if isinstance(outcome, Answer):
                said = outcome.finish, outcome.model, outcome.thinking, outcome.thinking_tokens
                return Reply(outcome.text, bill.usage, bill.seconds, bill.usd, *said)
            useless += outcome.cause in ("not JSON", "no choices", "empty completion")
            if not outcome.again or bill.usage.retries >= self.settings.retries or useless > USELESS_RETRIES:
                return bill.failure(outcome.cause, outcome.error)
            if (outcome.wait_seconds or 0.0) > LONGEST_WAIT_SECONDS:
                return bill.failure(outcome.cause, f"{outcome.error} (wants {outcome.wait_seconds:.0f} s of pause)")
            # full jitter, on top of what the server asks for, so that requests do not come back all at once
            most = min(LONGEST_BACKOFF_SECONDS, self.backoff_seconds * 2.0 ** min(bill.usage.retries, 32))
            await asyncio.sleep((outcome.wait_seconds or 0.0) + self.jitter.uniform(0.0, most))

    async def _reserved(self, usd: float) -> bool:
        if self.budget is None:
            return True
        while (said := self.budget.reserve(usd)) == "later":
            await asyncio.sleep(POLL_SECONDS)
        return said == "granted"

    def _limit_reached(self, usd: float) -> str:
        assert self.budget is not None
        return (
            f"{self.budget.spent_usd:.4g} $ of the limit of {self.budget.max_usd:.4g} $ are spent, and a request may cost "
            f"{usd:.4g} $: not sent"
        )

    async def _request(
        self,
        client: httpx.AsyncClient,
        body: dict[str, Any],
        key: str | None,
        upper: Usage,
        upper_usd: float,
        bill: _Bill,
    ) -> Answer | Refusal:
        """Send once, and book what it costs: the worst case until something better is known."""
        paid = upper
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await client.post(f"{self.settings.url}/chat/completions", content=json.dumps(body).encode())
            paid, outcome = read_response(
                response.status_code, response.headers, response.text, upper, key, self.settings.model,
                tools="tools" in body,
            )  # fmt: skip
            return outcome
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            paid = NOTHING  # it never reached the server
            return Refusal("connection", one_line(said(error), key), again=True)
        except (TimeoutError, httpx.TimeoutException):
            return Refusal("timeout", f"no complete reply within {self.settings.timeout_seconds:g} s", again=True)
        except httpx.RequestError as error:
            return Refusal("connection", one_line(said(error), key), again=True)
        finally:
            usd = self._usd(paid)
            bill.usage += replace(paid, calls=1, retries=int(bill.usage.calls > 0))
            bill.usd += usd
            if self.budget is not None:
                self.budget.settle(upper_usd, usd)

    def _usd(self, usage: Usage) -> float:
        return 0.0 if self.price is None or usage == NOTHING else self.price(usage)

    def _client(self, key: str | None) -> httpx.AsyncClient:
        settings = self.settings
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        connect = min(CONNECT_SECONDS, 0.9 * settings.timeout_seconds)  # sooner than the deadline, to be told from it
        return httpx.AsyncClient(
            headers=headers,
            verify=settings.is_encrypted,  # reading the certificates takes longer than many a request without them
            timeout=httpx.Timeout(settings.timeout_seconds, connect=connect),
            limits=httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
            transport=self.transport,
            trust_env=not settings.is_local,
        )


def endpoint_writer(endpoint: Endpoint) -> Callable[[Sequence[str], int], list[str]]:
    """(prompts, seed) → texts. The first failure ends the requests under way and raises RunFailed."""

    def write(prompts: Sequence[str], seed: int) -> list[str]:
        texts: dict[int, str] = {}

        def keep(index: int, answer: Reply | Failure) -> None:
            if isinstance(answer, Failure):
                raise RunFailed(f"{endpoint.settings.model} at {endpoint.settings.url}: {answer.cause}: {answer.error}")
            texts[index] = answer.text

        endpoint.ask([[{"role": "user", "content": prompt}] for prompt in prompts], keep, seed=seed)
        return [texts[number] for number in range(len(prompts))]

    return write
