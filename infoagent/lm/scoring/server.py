"""A frozen scorer behind HTTP, for many training processes and on a device of its own.

One thread computes; requests wait for it, up to a limit. Requests that wait with the same prefixes (a group that is
spread over processes) go through the model together: each prefix runs once. Their continuations stay in packs of
their own, so that a value does not depend on who else was waiting: it is the one that a local `Scorer` computes.
What nobody waits for any more is not computed.

Requests with other prefixes are not put together. A packed pass has one prefix, so all that they could share is how
their prompts begin, and prefixes that are chunked differently round differently: the run of a trainer would depend on
the timing of another. `infoagent.lm.scoring.protocol` says what goes over the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs
from infoagent.lm.scoring.protocol import LARGEST_BODY_BYTES, Ids, ScoreRequest, read_request
from infoagent.lm.serving.json_server import JsonServer, Refusal, one_line, while_present

logger = logging.getLogger(__name__)

WAITING_LIMIT = 256


class Busy(RuntimeError):
    """As many requests wait as may wait, or the server is stopping."""


@dataclass
class Answer:
    """What one request gets: {k: log-probabilities of the continuations `wanted[k]`}, and the tokens that it took."""

    columns: dict[int, list[TokenLogProbs]] = field(default_factory=dict)
    prefix_tokens: int = 0
    continuation_tokens: int = 0


@dataclass(eq=False)
class _Waiting:
    request: ScoreRequest
    found: Future[Answer] = field(default_factory=Future)
    """Cancelled by whoever waits for it no more."""


class ScoringQueue:
    """Takes requests from many threads and has them computed by `submit`, which works in one thread and in turn."""

    def __init__(self, scorer: ColumnScorer, submit: Callable[[Callable[[], None]], object], limit: int = WAITING_LIMIT) -> None:
        self.scorer, self.limit = scorer, limit
        self._submit = submit
        self._lock = threading.Lock()
        self._waiting: dict[Ids, list[_Waiting]] = {}
        """By the prefixes that are visited, in the order in which they are computed."""
        self._present: set[_Waiting] = set()

    @property
    def present(self) -> int:
        """Requests that wait or are computed."""
        return len(self._present)

    def ask(self, request: ScoreRequest) -> Future[Answer]:
        """What will be computed; cancel it where nobody waits any more. Raises Busy."""
        # a prefix that nothing is wanted of is not visited: it would decide what its neighbours share
        visited = tuple(p for p, w in zip(request.prefixes, request.wanted, strict=True) if w)
        one = _Waiting(request)
        with self._lock:
            if self.present >= self.limit:
                raise Busy(f"{self.present} requests are waiting, and no more may; try again later")
            if visited not in self._waiting:
                try:
                    self._submit(self._compute_next)
                except RuntimeError:  # the model's thread takes no more
                    raise Busy("the server is stopping") from None
            self._waiting.setdefault(visited, []).append(one)
            self._present.add(one)
        one.found.add_done_callback(lambda _: self._forget(visited, one))
        return one.found

    def drop(self, waiting_only: bool) -> None:
        with self._lock:
            chosen = [one for members in self._waiting.values() for one in members]
        for one in chosen if waiting_only else [*chosen, *self._present]:
            one.found.cancel()

    def _forget(self, visited: Ids, one: _Waiting) -> None:
        with self._lock:
            self._present.discard(one)
            members = self._waiting.get(visited, [])
            if one in members:
                members.remove(one)
                if not members:
                    del self._waiting[visited]

    def _compute_next(self) -> None:
        with self._lock:
            if not self._waiting:  # who waited has left
                return
            members = self._waiting.pop(next(iter(self._waiting)))
        try:
            answers = self._compute(members)
        except Exception as error:  # whatever it is: those who asked are told, and the next request may fit
            for one in members:
                with contextlib.suppress(InvalidStateError):
                    one.found.set_exception(error)
            return
        for one, answer in zip(members, answers, strict=True):
            with contextlib.suppress(InvalidStateError):  # its client has left
                one.found.set_result(answer)

    def _compute(self, members: Sequence[_Waiting]) -> list[Answer]:
        # one prefix stands in the list once for each request, so that each packs its own continuations
        prefixes: list[tuple[int, ...]] = []
        continuations: list[tuple[int, ...]] = []
        wanted: list[list[int]] = []
        owners: list[tuple[Answer, int]] = []
        answers = [Answer() for _ in members]
        for answer, one in zip(answers, members, strict=True):
            request = one.request
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
            if all(one.found.cancelled() for one in members):  # nobody waits for the rest
                break
        return answers


class ScorerServer(JsonServer):
    """Holds its port from the start and answers once `open` gave it a scorer. Raises OSError where the port is taken."""

    def open(self, scorer: ColumnScorer, about: dict[str, Any], vocabulary_size: int, context_tokens: int) -> None:
        """Answer from now on, in threads. `about` is what /health says."""
        self.queue = ScoringQueue(scorer, self.submit)
        self.about = about
        self.vocabulary_size, self.context_tokens = vocabulary_size, context_tokens
        self.start({"/health": lambda: self.about}, {"/score": self._score}, LARGEST_BODY_BYTES)

    def worked(self) -> int:
        """Tokens that went through the model so far."""
        return self.queue.scorer.prefix_tokens + self.queue.scorer.continuation_tokens

    def _drop(self, waiting_only: bool) -> None:
        self.queue.drop(waiting_only)

    async def _score(self, http: Request, body: bytes) -> Response:
        try:
            request = await self.beside(read_request, body, self.vocabulary_size, self.context_tokens)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        try:
            answer = await while_present(http, asyncio.wrap_future(self.queue.ask(request)))
        except FloatingPointError as error:
            raise Refusal(422, str(error)) from None
        except Busy as error:
            raise Refusal(503, str(error)) from None
        except RuntimeError as error:  # out of memory, say: the next request may fit
            logger.error("a request failed: %s", error)
            raise Refusal(500, one_line(error)) from None
        content = await self.beside(self._content, request, answer)
        return Response(content, media_type="application/json")

    def _content(self, request: ScoreRequest, answer: Answer) -> bytes:
        columns = [answer.columns.get(k, []) for k in range(len(request.prefixes))]
        return json.dumps(
            {
                "log_probs": [[z.tolist() if request.tokens else float(z.sum(dtype="f8")) for z in c] for c in columns],
                "identity": self.about["identity"],
                "prefix_tokens": answer.prefix_tokens,
                "continuation_tokens": answer.continuation_tokens,
            }
        ).encode()
