"""The client of `infoagent serve`: a scorer whose model runs on another device or machine.

A request is tried again, with growing pauses, after a lost connection, a timeout or a status of AGAIN or of 500 and above,
until `patience_seconds` have passed; then it fails with ConnectionError. After such a failure a request first asks whether
the server is there at all, so that a run whose server is gone ends soon and not after many times that long.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np

from infoagent.lm.foreign_http import exchange, mishap, one_line, open_client
from infoagent.lm.reference import ModelReference
from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs, check_tokens
from infoagent.lm.scoring.protocol import LARGEST_BODY_BYTES, TOKEN_VARIABLE, read_token, vocabulary_hash
from infoagent.types import InputError, RunFailed

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
PROBE_SECONDS = 2.0
AGAIN = (408, 429)
"""Statuses below 500 that say nothing of the request: a server that stops cuts off a body under way, a proxy has too many."""
MOST_REPLY_BYTES = 2**30
"""A request of the largest size asks for fewer numbers than this holds."""
HEALTH = {
    "model": str, "revision": str, "dtype": str, "vocabulary": str, "identity": str, "context_tokens": int | None,
}  # fmt: skip


class HttpScorer(ColumnScorer):
    """log p(continuation | prefix) in nats from a served `Scorer`, the same numbers. May be called from many threads.

    Raises InputError where no scorer answers at `url`, ConnectionError (an OSError) where it does not any more,
    FloatingPointError and ValueError as the local one does, RunFailed where another model has taken its place.
    """

    concurrency = 4

    def __init__(self, url: str, patience_seconds: float = 300.0, remember: int = 0) -> None:
        super().__init__(remember)
        self.url = url.rstrip("/")
        self.patience_seconds = patience_seconds
        self.served = read_health(url)
        self._client = _client(url)
        self._lost = False
        self._jitter = random.Random()

    def score_tokens(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        """All columns in one request: (k, the (L,) log-probabilities of each wanted continuation)."""
        check_tokens(prefixes, continuations)
        if wanted is None:
            wanted = [range(len(continuations))] * len(prefixes)
        if not any(len(columns) for columns in wanted):
            return
        fields = {"prefixes": prefixes, "continuations": continuations, "wanted": wanted}
        body = json.dumps({name: [list(row) for row in rows] for name, rows in fields.items()} | {"tokens": True}).encode()
        if len(body) > LARGEST_BODY_BYTES:
            raise ValueError(f"a request of {len(body)} bytes is above {LARGEST_BODY_BYTES}; score fewer prefixes at a time")
        reply = self._ask(body)
        try:
            columns_K = _columns(reply, continuations, wanted)
            self.prefix_tokens += reply["prefix_tokens"]
            self.continuation_tokens += reply["continuation_tokens"]
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise ConnectionError(f"{self.url}: the reply is none of a scorer ({one_line(str(error), None)})") from None
        for k, columns in enumerate(columns_K):
            if len(wanted[k]):
                yield k, columns

    def _ask(self, body: bytes) -> dict[str, Any]:
        if self._lost:
            self._probe()
        deadline = time.monotonic() + self.patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            left = max(0.1, deadline - time.monotonic())
            try:
                timeout = httpx.Timeout(left, connect=min(CONNECT_SECONDS, left))
                status, reply = exchange(self._client, "POST", "/score", timeout, body, MOST_REPLY_BYTES)
                if status < 500 and status not in AGAIN:
                    break
                cause = _said(status, reply)
            except Exception as error:  # whatever a reply makes a library raise, the next one may be a better one
                what = mishap(error, read_token())
                if what.cause in ("invalid address", "too long"):
                    raise ConnectionError(f"{self.url}: {what.error}") from None
                cause = what.error
            wait = min(LONGEST_PAUSE_SECONDS, pause) * self._jitter.uniform(0.5, 1.5)
            if time.monotonic() + wait > deadline:
                self._lost = True
                raise ConnectionError(f"{self.url}: no answer within {self.patience_seconds:g} s ({cause})")
            time.sleep(wait)
            pause *= 2
        self._lost = False
        if status == 422:
            raise FloatingPointError(_said(status, reply))
        if status in (400, 413):
            raise ValueError(f"{self.url}: {_said(status, reply)}")
        if status != 200:
            raise ConnectionError(f"{self.url}: {_said(status, reply)}")
        if not isinstance(reply, dict) or not isinstance(reply.get("identity"), str):
            raise ConnectionError(f"{self.url}: what answers there is no scorer")
        if reply["identity"] != self.served["identity"]:
            raise RunFailed(
                f"{self.url}: another model than {self.served['model']} ({self.served['revision']}, {self.served['dtype']}) "
                "answers there now; serve that one again and run the same command: it goes on from the last checkpoint"
            )
        return dict(reply)

    def _probe(self) -> None:
        try:
            exchange(self._client, "GET", "/health", httpx.Timeout(PROBE_SECONDS))
        except Exception as error:  # whatever it is, it is no answer
            raise ConnectionError(f"{self.url}: still no answer ({mishap(error, read_token()).error})") from None


def read_health(url: str) -> dict[str, Any]:
    """Who is served at `url`. Raises InputError where no scorer answers there."""
    start = f"scorer.url = {url!r}"
    try:
        with _client(url) as client:
            status, about = exchange(client, "GET", "/health", httpx.Timeout(CONNECT_SECONDS))
    except InputError:
        raise
    except Exception as error:  # whatever it is, it is no answer
        raise InputError(
            f"{start}: no answer ({mishap(error, read_token()).error}); start a scorer there: infoagent serve MODEL"
        ) from None
    if status == 401:
        raise InputError(f"{start}: wants its token; export {TOKEN_VARIABLE} as the server has it")
    if status in (403, 421):
        told = str(about.get("error", "") if isinstance(about, dict) else "")
        raise InputError(f"{start}: does not answer this machine ({one_line(told, read_token())})")
    known = isinstance(about, dict) and all(isinstance(about.get(name, ...), kind) for name, kind in HEALTH.items())
    if status != 200 or not known:
        raise InputError(f"{start}: what answers there is no scorer (status {status}); start one: infoagent serve MODEL")
    return dict(about)


def check_served(url: str, wanted: ModelReference, dtype: str, tokenizer: Any) -> int | None:
    """The context in tokens that `url` reads; None where it does not say. Raises InputError, a line for each mistake, unless it
    serves these weights in this type with this vocabulary."""
    about = read_health(url)
    mistakes = []
    if about["revision"] != wanted.revision:
        mistakes.append(
            f"serves {about['model']!r} of revision {about['revision']}, wanted is {wanted.name!r} of revision "
            f"{wanted.revision}; serve that one, or name the served one as scorer.model (files that were copied count as the "
            "same only with their times: cp -a, rsync -a)"
        )
    if about["dtype"] != dtype:
        mistakes.append(f"computes in {about['dtype']}, wanted is {dtype}; serve it with --dtype {dtype}, or set the recipe's")
    if about["vocabulary"] != vocabulary_hash(tokenizer):
        mistakes.append("its vocabulary is not the policy's; serve a model of the same family")
    if mistakes:
        raise InputError([f"scorer.url = {url!r}: {mistake}" for mistake in mistakes])
    read: int | None = about["context_tokens"]
    return read


def _client(url: str) -> httpx.Client:
    token = read_token()
    return open_client(
        httpx.Client,
        url,
        base_url=url.rstrip("/"),
        headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
    )


def _said(status: int, reply: Any) -> str:
    error = reply.get("error") if isinstance(reply, dict) else None
    return f"http {status}: {one_line(error, read_token())}" if isinstance(error, str) else f"http {status}"


def _columns(
    reply: dict[str, Any], continuations: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]
) -> list[list[TokenLogProbs]]:
    """The log-probabilities of a reply. Raises ValueError and its like where they are not those that were asked for."""
    with np.errstate(over="ignore"):  # beyond float32 is ∞, which is looked for
        found = [[np.array(column, dtype=np.float32) for column in columns] for columns in reply["log_probs"]]
    shapes = [[column.shape for column in columns] for columns in found]
    if shapes != [[(len(continuations[c]),) for c in columns] for columns in wanted]:
        raise ValueError("log_probs: of another shape than was asked for")
    if not all((column < np.inf).all() for columns in found for column in columns):
        raise ValueError("log_probs: hold NaN or ∞")
    return found
