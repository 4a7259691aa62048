"""Phase timing: where the time of a step or an evaluation goes; seconds of an inner phase do not count in the outer one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class PhaseTimes:
    """`with times("score"): ...`; what stands in no phase is `rest`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._started = self._last = clock()
        self._open = ["rest"]

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        self._turn()
        self._open.append(phase)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = self._clock()
        self._seconds[self._open[-1]] = self._seconds.get(self._open[-1], 0.0) + now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """By phase, in the order in which they were first left, and `total`, their sum."""
        self._turn()
        return {**self._seconds, "total": self._last - self._started}

    def line(self) -> str:
        seconds = self.seconds()
        total = seconds.pop("total")
        return f"{total:.1f} s: " + ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items())
