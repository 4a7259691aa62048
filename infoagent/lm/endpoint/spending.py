"""What endpoints are paid, and how far it may go."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass
from typing import Literal

from infoagent.types import InputError

POLL_SECONDS = 0.02
ROUNDING = 1e-12
"""Of the limit: sums of floats are off by less, and 0.1 $ three times must fit into 0.3 $."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one or more requests, as the server counts them.

    `prompt_tokens` hold the `cached_tokens`, which the server read from its cache. `calls` are the requests tried,
    `retries` those of them that repeat an earlier one. `estimated`: the server gave no count for a part of it, and the
    part was estimated from bytes and length limits, so that nothing claims to be measured that is not.
    """

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    calls: int
    retries: int
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.retries + other.retries,
            self.estimated or other.estimated,
        )


NOTHING = Usage(0, 0, 0, 0, 0)


class Reservation:
    """Room for one request, granted by a SpendingLimit: `with` it around the request.

    `paid_usd` is what is booked at the end: the worst case, until something better is said. Whatever ends the request,
    an exception and a cancellation too, the room is given back and the request is booked.
    """

    def __init__(self, limit: SpendingLimit, upper_usd: float) -> None:
        self._limit = limit
        self.upper_usd = self.paid_usd = upper_usd
        self._open = True

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._open, "a reservation holds for one request"
        self._open = False
        self._limit._end(self)


class SpendingLimit:
    """No request is sent whose worst case does not fit any more.

    A request reserves the most that it can cost, and is booked at what it did cost. `spent_usd` may begin at what earlier
    runs have paid. May be shared by endpoints and threads. The limit is as good as the worst cases: a server that
    counts more tokens than was reserved is booked at what it counts, and the requests under way may pass the limit by
    that difference; those after them reserve it too (`Endpoint`).
    """

    def __init__(self, max_usd: float, spent_usd: float = 0.0) -> None:
        for name, value in (("max_usd", max_usd), ("spent_usd", spent_usd)):
            if math.isnan(value) or value < 0:
                raise InputError(f"{name} = {value}: must be 0 or more")
        self.max_usd = max_usd
        self._spent = spent_usd
        self._reserved = 0.0
        self._reservations = 0
        self._exhausted = False
        self._lock = threading.Lock()

    @property
    def spent_usd(self) -> float:
        return self._spent

    @property
    def reserved_usd(self) -> float:
        """The worst case of what is under way."""
        return self._reserved

    def ask(self, upper_usd: float) -> Reservation | Literal["later", "never"]:
        """Room for a request, without waiting. `later`: it fits if what is under way turns out cheaper. After the first
        `never` it stays at that, for cheaper requests too: where a run stops does not depend on what was asked last.
        What costs nothing is always granted; what is no price, never."""
        limit = self.max_usd * (1 + ROUNDING)
        with self._lock:
            if upper_usd != 0:
                if self._exhausted or not 0 < upper_usd < math.inf or self._spent + upper_usd > limit:
                    self._exhausted = True
                    return "never"
                if self._spent + self._reserved + upper_usd > limit:
                    return "later"
            self._reserved += upper_usd
            self._reservations += 1
            return Reservation(self, upper_usd)

    def reserve(self, upper_usd: float) -> Reservation | None:
        """Room for a request, waited for; None where the limit leaves none."""
        while (said := self.ask(upper_usd)) == "later":
            time.sleep(POLL_SECONDS)
        return said if isinstance(said, Reservation) else None

    async def reserve_async(self, upper_usd: float) -> Reservation | None:
        """As `reserve`, within an event loop."""
        while (said := self.ask(upper_usd)) == "later":
            await asyncio.sleep(POLL_SECONDS)
        return said if isinstance(said, Reservation) else None

    def refused(self, upper_usd: float) -> str:
        """In words, why there is no room."""
        return (
            f"{self.spent_usd:.4g} $ of the limit of {self.max_usd:.4g} $ are spent, and a request may cost "
            f"{upper_usd:.4g} $: not sent"
        )

    def _end(self, room: Reservation) -> None:
        with self._lock:
            self._reservations -= 1
            # sums of floats drift: nothing under way is 0, not nearly 0
            self._reserved = self._reserved - room.upper_usd if self._reservations else 0.0
            self._spent += room.paid_usd
