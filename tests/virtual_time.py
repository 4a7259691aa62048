"""Simulated clocks: an event loop that jumps to its next timer, and a `time` and `threading.Event` for plain threads."""

import asyncio
import selectors
import threading
import time


class _Jumping(selectors.DefaultSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        if timeout:
            self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.now


def run_virtually(coroutine):
    """What `coroutine` returns, run in virtual time. Nothing in it may wait for the world outside."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


class Clock:
    """In place of a module's `time`: it stands still but for `sleep`, which wakes each thread that waits on an `event`
    at its own time, one after the other, and comes back when all of them wait again."""

    strftime = staticmethod(time.strftime)

    def __init__(self, seconds: float = 1000.0):
        self.seconds = seconds
        self.changed = threading.Condition()
        self.events: list[_Event] = []

    def monotonic(self) -> float:
        return self.seconds

    perf_counter = time = __call__ = monotonic

    def event(self) -> "_Event":
        self.events.append(_Event(self))
        return self.events[-1]

    def sleep(self, seconds: float) -> None:
        end = self.seconds + seconds
        with self.changed:
            while True:
                # a thread that was woken says so by waiting for a later time, or its event is set
                assert self.changed.wait_for(lambda: all(e.due > self.seconds for e in self.events if not e.flag), 300)
                due = min((e.due for e in self.events if not e.flag), default=float("inf"))
                self.seconds = min(due, end)
                self.changed.notify_all()
                if due > end:
                    return


class _Event:
    def __init__(self, clock: Clock):
        self.clock, self.flag, self.due = clock, False, float("-inf")

    def set(self) -> None:
        with self.clock.changed:
            self.flag = True
            self.clock.changed.notify_all()

    def wait(self, timeout: float) -> bool:
        with self.clock.changed:
            self.due = self.clock.seconds + timeout
            self.clock.changed.notify_all()
            self.clock.changed.wait_for(lambda: self.flag or self.clock.seconds >= self.due)
            return self.flag
