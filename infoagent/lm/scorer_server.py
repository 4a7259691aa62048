"""A frozen scorer behind HTTP, for many training processes and on a device of its own.

One thread computes; requests wait for it, up to a limit. Requests that wait with the same prefixes (a group that is
spread over processes) go through the model together: each prefix runs once. Their continuations stay in packs of
their own, so that a value does not depend on who else was waiting: it is the one that a local `Scorer` computes.

Requests with other prefixes are not put together. A packed pass has one prefix, so all that they could share is how
their prompts begin, and prefixes that are chunked differently round differently: the run of a trainer would depend on
the timing of another. `infoagent.lm.scorer_protocol` says what goes over the wire.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from infoagent.lm.columns import ColumnScorer, TokenLogProbs
from infoagent.lm.json_server import FAREWELL_SECONDS, JsonHandler, JsonServer
from infoagent.lm.scorer_protocol import LARGEST_BODY_BYTES, Ids, ScoreRequest, read_request

logger = logging.getLogger(__name__)

WAITING_LIMIT = 256


class Busy(RuntimeError):
    """As many requests wait as may wait."""


@dataclass
class Answer:
    """What one request gets: {k: log-probabilities of the continuations `wanted[k]`}, and the tokens that it took."""

    columns: dict[int, list[TokenLogProbs]] = field(default_factory=dict)
    prefix_tokens: int = 0
    continuation_tokens: int = 0


class ScoringQueue:
    """Takes requests from many threads, computes them in one."""

    def __init__(self, scorer: ColumnScorer, limit: int = WAITING_LIMIT) -> None:
        self.scorer = scorer
        self.limit = limit
        self.present = 0
        """Requests that wait, are computed, or whose reply is being sent."""
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1)
        self._waiting: dict[Ids, tuple[list[ScoreRequest], Future[list[Answer]]]] = {}
        """By the prefixes that are visited, in the order in which they are computed."""

    @contextlib.contextmanager
    def answer(self, request: ScoreRequest) -> Iterator[Answer]:
        """The answer once it is computed; the request counts as present until the context is left.

        Raises Busy, CancelledError at the server's end, and what the scorer raises.
        """
        with self._lock:
            if self.present >= self.limit:
                raise Busy(f"{self.present} requests are waiting, and no more may; try again later")
            self.present += 1
        try:
            pending, place = self._join(request)
            yield pending.result()[place]
        finally:
            with self._lock:
                self.present -= 1

    def close(self) -> None:
        """Wait for the pass under way, cancel what waits, and give the replies a moment to leave."""
        self._worker.shutdown(cancel_futures=True)
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self.present and time.monotonic() < deadline:
            time.sleep(0.01)

    def _join(self, request: ScoreRequest) -> tuple[Future[list[Answer]], int]:
        # a prefix that nothing is wanted of is not visited: it would decide what its neighbours share
        visited = tuple(p for p, w in zip(request.prefixes, request.wanted, strict=True) if w)
        with self._lock:
            if visited not in self._waiting:
                try:
                    self._waiting[visited] = [], self._worker.submit(self._compute, visited)
                except RuntimeError as error:  # the executor is shut down
                    raise CancelledError from error
            members, pending = self._waiting[visited]
            members.append(request)
            return pending, len(members) - 1

    def _compute(self, visited: Ids) -> list[Answer]:
        with self._lock:
            members, _ = self._waiting.pop(visited)
        # one prefix stands in the list once for each request, so that each packs its own continuations
        prefixes: list[tuple[int, ...]] = []
        continuations: list[tuple[int, ...]] = []
        wanted: list[list[int]] = []
        owners: list[tuple[Answer, int]] = []
        answers = [Answer() for _ in members]
        for answer, request in zip(answers, members, strict=True):
            owners += [(answer, k) for k in range(len(request.prefixes))]
            prefixes += request.prefixes
            wanted += [[len(continuations) + c for c in columns] for columns in request.wanted]
            continuations += request.continuations
        scorer = self.scorer
        counted = scorer.prefix_tokens, scorer.continuation_tokens
        for place, column in scorer.score_tokens(prefixes, continuations, wanted):
            answer, k = owners[place]
            answer.columns[k] = column
            answer.prefix_tokens += scorer.prefix_tokens - counted[0]
            answer.continuation_tokens += scorer.continuation_tokens - counted[1]
            counted = scorer.prefix_tokens, scorer.continuation_tokens
        return answers


class ScorerServer(JsonServer):
    """Holds its port from the start and answers once `open` gave it a scorer. Raises OSError where the port is taken."""

    def __init__(self, host: str, port: int, token: str | None = None) -> None:
        super().__init__(host, port, _Handler, token)

    def open(self, scorer: ColumnScorer, about: dict[str, Any], vocabulary_size: int, context_tokens: int) -> None:
        """Answer from now on, in threads. `about` is what /health says."""
        self.queue = ScoringQueue(scorer)
        self.about = about
        self.vocabulary_size, self.context_tokens = vocabulary_size, context_tokens
        self.start()

    def worked(self) -> int:
        """Tokens that went through the model so far."""
        return self.queue.scorer.prefix_tokens + self.queue.scorer.continuation_tokens

    def close(self) -> None:
        """No new connection; what is under way is finished, what waits is refused."""
        self.stop()
        self.queue.close()


class _Handler(JsonHandler):
    server: ScorerServer

    def do_GET(self) -> None:
        if not self.allowed():
            return
        if self.path != "/health":
            return self.refuse(404, f"{self.path}: unknown; there are GET /health and POST /score")
        self.reply(200, self.server.about)

    def do_POST(self) -> None:
        if not self.allowed():
            return
        if self.path != "/score":
            return self.refuse(404, f"{self.path}: unknown; there are GET /health and POST /score")
        body = self.body(LARGEST_BODY_BYTES, "send fewer prefixes at a time")
        if body is None:
            return
        try:
            request = read_request(body, self.server.vocabulary_size, self.server.context_tokens)
        except ValueError as error:
            return self.reply(400, {"error": str(error)})
        self._score(request)

    def _score(self, request: ScoreRequest) -> None:
        try:
            with self.server.queue.answer(request) as answer:
                columns = [answer.columns.get(k, []) for k in range(len(request.prefixes))]
                self.reply(200, {
                    "log_probs": [[z.tolist() if request.tokens else float(z.sum(dtype="f8")) for z in c] for c in columns],
                    "identity": self.server.about["identity"],
                    "prefix_tokens": answer.prefix_tokens,
                    "continuation_tokens": answer.continuation_tokens,
                })  # fmt: skip
        except FloatingPointError as error:
            self.reply(422, {"error": str(error)})
        except Busy as error:
            self.reply(503, {"error": str(error)})
        except CancelledError:
            self.refuse(503, "the server is stopping")
        except RuntimeError as error:  # out of memory, say: the next request may fit
            logger.error("a request failed: %s", error)
            self.reply(500, {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
