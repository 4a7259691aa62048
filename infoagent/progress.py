"""Progress of long work: a bar where a terminal shows it; where none can be seen, a line a minute on stderr.

    with Progress(total=100, title="grpo", unit="step", quiet=quiet) as work:
        work.update()

    12:31:05 grpo: step 34 of 100, 3.2 s a step, 3 min 31 s left

Works may stand within one another (a validation within training); the line tells of the innermost. The minute counts
for the whole program, so that many short works get lines as well. $INFOAGENT_HEARTBEAT_SECONDS sets another interval.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from tqdm import tqdm

from infoagent.logs import is_first_process, unfiltered, write_above_bars
from infoagent.types import InputError

INTERVAL_VARIABLE = "INFOAGENT_HEARTBEAT_SECONDS"
DEFAULT_SECONDS = 60.0
SETTLING_SECONDS = 1.0
Item = TypeVar("Item")


class Progress:
    """Work of known size that tells how far it is."""

    def __init__(
        self,
        total: int,
        title: str,
        unit: str,
        quiet: bool = False,
        initial: int = 0,
        leave: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.title, self.unit, self.initial, self.n = total, title, unit, initial, initial
        self._clock, self._started = clock, clock()
        shown = not quiet and is_first_process() and sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            file=unfiltered(sys.stderr),
            initial=initial,
            desc=title,
            unit=unit,
            leave=leave,
            disable=not shown,
            unit_scale=total > 99_999,
        )
        self._beats = is_first_process() and not shown
        if self._beats:
            _heartbeat.enter(self)

    def update(self, n: int = 1) -> None:
        self.n += n
        self._bar.update(n)

    def note(self, **values: str) -> None:
        """Figures at the end of the bar."""
        self._bar.set_postfix(values, refresh=False)

    def close(self) -> None:
        self._bar.close()
        if self._beats:
            _heartbeat.leave(self)
            self._beats = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def line(self) -> str:
        """How far it is, the mean time of a unit so far, and the time that the rest takes at that pace."""
        done, seconds = self.n - self.initial, self._clock() - self._started
        where = f"{self.title}: {self.unit} {self.n:,} of {self.total:,}"
        if done < 1:
            return f"{where}, {duration(seconds)} so far"
        each = seconds / done
        pace = f"{each:.1f} s a {self.unit}" if each >= 1 else f"{1 / each:,.1f} {self.unit}s a second"
        return f"{where}, {pace}, {duration(each * max(0, self.total - self.n))} left"


def each(items: Iterable[Item], total: int, title: str, unit: str, quiet: bool = False) -> Iterator[Item]:
    """`items`, one unit of work each."""
    with Progress(total, title, unit, quiet) as work:
        for item in items:
            yield item
            work.update()


def say(line: str) -> None:
    """A line on stderr, above the bar where one is shown."""
    write_above_bars(line)


def heartbeat_seconds() -> float:
    """Raises InputError for an interval that is no positive number."""
    text = os.environ.get(INTERVAL_VARIABLE, str(DEFAULT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise InputError(f"{INTERVAL_VARIABLE}={text!r}: must be a number of seconds above 0")
    return seconds


class _Heartbeat:
    """One thread for all works; it lives while one is open."""

    def __init__(self) -> None:
        self._open: list[Progress] = []
        self._lock = threading.Lock()
        self._wake: threading.Event | None = None
        self._last: float | None = None

    def enter(self, work: Progress) -> None:
        interval = heartbeat_seconds()
        with self._lock:
            self._open.append(work)
            if self._wake is None:
                # after a pause the next line waits until there is something to tell
                earliest = time.monotonic() - interval + min(interval, SETTLING_SECONDS)
                self._last = time.monotonic() if self._last is None else max(self._last, earliest)
                self._wake = threading.Event()
                threading.Thread(target=self._beat, args=(self._wake, interval), name="heartbeat", daemon=True).start()

    def leave(self, work: Progress) -> None:
        with self._lock:
            self._open.remove(work)
            if not self._open and self._wake is not None:
                self._wake.set()
                self._wake = None

    def _beat(self, ended: threading.Event, interval: float) -> None:
        assert self._last is not None
        while not ended.wait(max(0.0, self._last + interval - time.monotonic())):
            with self._lock:
                if self._wake is not ended:
                    return
                self._last = time.monotonic()
                line = self._open[-1].line()
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")  # in one piece, whoever else writes
            sys.stderr.flush()


_heartbeat = _Heartbeat()


def duration(seconds: float) -> str:
    """`3 min 31 s`, `1 h 12 min`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
