"""Sandboxing: runs Python that a model wrote, tries it with tests, and says what came of it.

The code runs in one process, its tests in another, and between them go plain values alone (`sandbox_values`): the tests
call the function by a stand-in, and what they compare was built anew on their side. So the verdict comes from a process
that the code is not in.

What holds on Linux (x86-64, ARM64, RISC-V) where a user may make namespaces, for both processes, whoever runs this
(`sandbox_walls`):
- Nothing outlives a call of `execute`, whatever the code does: it can start no other process or thread and no other
  program, and the process namespace that it is in is ended as a whole, also when the evaluation itself is killed.
- Nothing of it stays: files go to 16 MiB in memory, 1 MiB each, that vanish with the mount namespace; shared memory,
  message queues, semaphores and keys of the kernel cannot be made.
- It sees the standard library and the C libraries, to read, and nothing else of the file system: no home directory, no
  installed packages, no environment, no /proc, no socket. There is no network, nor a way to open a socket.
- Memory (address space of the one process), processor time, time by the clock, open files and what it may hand over
  (4 MiB at once) are limited.
- It cannot say that it passed. It can only give the right values back.
What does not hold: a fault of the kernel or of the processor is no business of this module; how long something took can be
seen from inside; and code that knows the tests can answer them by heart.

Where this machine has no such namespaces or no filter of system calls, nothing is run, unless the caller asks for it by name
(`unprotected`). Then the limits hold, the tests keep to their own process, and the filter is there where the kernel has one;
the code reads and writes the files of the user who runs this, and may read what its other processes hold. Do that in a
container or a virtual machine that is made for it.

A program that fails, hangs or crashes is a wrong answer with its reason. A sandbox that cannot start says nothing about
the program: SandboxFailed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

Reason = Literal["passed", "wrong", "raised", "timeout", "memory", "crashed"]
CHILD = Path(__file__).with_name("sandbox_child.py")
START_SECONDS = 30.0
"""For the interpreter to come up, on a machine at work on something else."""
END_SECONDS = 30.0
"""For a namespace to be ended."""
MOST_SAID = 4096
STARTED = b"started\n"
NO_WALLS = 97
"""The exit code of a child that cannot be kept apart here."""


class SandboxFailed(RuntimeError):
    """No program could be run here; the message is one line."""


class NoWalls(SandboxFailed):
    """This machine cannot keep a program apart; the message is why."""


@dataclass(frozen=True)
class Limits:
    """Of one program, and of its tests."""

    seconds: float = 10.0
    """By the clock from their start; the processor's time of each is held to the same, rounded up to whole seconds."""
    memory_mib: int = 512
    """Address space of each, the interpreter's own (about 30 MiB) included."""


@dataclass(frozen=True)
class Execution:
    """What came of a program. `reason`: `passed`, an assertion was `wrong`, it `raised`, `timeout`, `memory`, `crashed`."""

    reason: Reason
    detail: str
    seconds: float
    isolation: str
    """`namespaces`, or `none`."""

    @property
    def passed(self) -> bool:
        return self.reason == "passed"


@dataclass
class _Side:
    """One of the two processes, seen from here. It ends, and all below it, when `lifeline` is closed."""

    process: subprocess.Popen[bytes]
    report: int
    lifeline: int
    complaints: IO[bytes]
    said: bytes = b""
    silent: bool = False
    """It has closed its end."""

    @property
    def started(self) -> bool:
        return self.said.startswith(STARTED)

    @property
    def spoke(self) -> bool:
        return self.said.count(b"\n") > 1

    def hear(self) -> None:
        part = os.read(self.report, MOST_SAID)
        self.silent = not part
        self.said = (self.said + part)[:MOST_SAID]

    def end(self) -> None:
        os.close(self.lifeline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.report)

    def complaint(self) -> SandboxFailed:
        """Why it has not started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self.complaints.seek(0)
        lines = self.complaints.read(2000).decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"nothing was heard of it, exit code {self.process.returncode}"
        return NoWalls(why) if self.process.returncode == NO_WALLS else SandboxFailed(f"the interpreter did not start: {why}")


def why_unprotected() -> str | None:
    """Why no program can be kept apart on this machine; None where it can. Raises SandboxFailed where none runs at all."""
    return _why_unprotected(sys.executable)


@cache
def _why_unprotected(_: str) -> str | None:
    try:
        _run({"code": "", "name": "", "head": "", "tests": "", **_walls(True)}, Limits())
    except NoWalls as error:
        return str(error)
    return None


def _walls(protected: bool) -> dict[str, bool]:
    """Which stand around a program; see the module."""
    return {"namespaces": protected, "filter": sys.platform == "linux"}


def execute(
    code: str, tests: str = "", name: str = "", head: str = "", limits: Limits = Limits(), unprotected: bool = False
) -> Execution:
    """Run `code` and then `tests`, which call its function `name`; `passed` if both come to their end without an error.
    `head` is what else the tests need, and is run beside them.

    Raises SandboxFailed where none can be run, where no program can be kept apart and `unprotected` does not say that it may
    run all the same, and for tests that no program could pass.
    """
    why = why_unprotected()
    if why is not None and not unprotected:
        raise SandboxFailed(
            f"this machine cannot keep a program away from your files and keys ({why}); "
            "in a container or virtual machine made for it, set grading.unprotected to true"
        )
    return _run({"code": code, "name": name, "head": head, "tests": tests, **_walls(why is None)}, limits)


def _run(request: Mapping[str, Any], limits: Limits) -> Execution:
    limited = {**request, "cpu_seconds": math.ceil(limits.seconds), "memory_bytes": limits.memory_mib * 2**20}
    with _sides(limited) as (program, checker):
        seconds, in_time = _listen(program, checker, limits)
        for side in (program, checker):
            if not side.started:
                raise side.complaint()
        reason, detail = _verdict(checker) if in_time else ("timeout", f"no end within {limits.seconds:g} s")
        if reason == "crashed":
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(1.0)  # how it ended is worth a moment
            detail = _how(program.process.returncode)
    if reason == "unfit":
        raise SandboxFailed(f"the tests of the data cannot be run: {detail}")
    assert reason in get_args(Reason), reason
    return Execution(cast(Reason, reason), detail, seconds, "namespaces" if request["namespaces"] else "none")


def _verdict(checker: _Side) -> tuple[str, str]:
    """(a reason or `unfit`, detail)."""
    with contextlib.suppress(ValueError):
        reason, detail = json.loads(checker.said.removeprefix(STARTED))
        return reason, detail
    return "crashed", ""  # the checker itself


@contextlib.contextmanager
def _sides(request: Mapping[str, Any]) -> Iterator[tuple[_Side, _Side]]:
    """The program and its checker, with a line between them."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="infoagent-trial-", ignore_cleanup_errors=True))
        with contextlib.ExitStack() as ours:  # each hears that the other is gone only where nobody else holds its end
            ends = [ours.enter_context(end) for end in socket.socketpair()]
            program, checker = (
                stack.enter_context(_side({**request, "role": role, "home": home}, end.fileno()))
                for role, end in zip(("program", "checker"), ends, strict=True)
            )
        yield program, checker


@contextlib.contextmanager
def _side(request: Mapping[str, Any], channel: int) -> Iterator[_Side]:
    with contextlib.ExitStack() as files, tempfile.TemporaryFile() as complaints:
        asked = files.enter_context(tempfile.TemporaryFile())
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        (report, told), (hears, lifeline) = os.pipe(), os.pipe()
        home = request["home"]
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(CHILD), *map(str, (told, channel, hears))],
                stdin=asked,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                cwd=home,
                pass_fds=(told, channel, hears),
                env={"HOME": "/tmp" if request["namespaces"] else home, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
        except OSError as error:
            os.close(report)
            os.close(lifeline)
            raise SandboxFailed(f"no process could be started: {error}") from error
        finally:
            os.close(told)
            os.close(hears)
        side = _Side(process, report, lifeline, complaints)
        try:
            yield side
        finally:
            side.end()


def _listen(program: _Side, checker: _Side, limits: Limits) -> tuple[float, bool]:
    """(seconds since both had started, whether the checker ended in time)."""
    started = time.monotonic()
    deadline = started + START_SECONDS
    running = False
    while (left := deadline - time.monotonic()) > 0:
        heard = {side.report: side for side in (program, checker) if not side.silent}
        for report in select.select(list(heard), [], [], left)[0]:
            heard[report].hear()
        if checker.spoke or checker.silent or (program.silent and not program.started):
            return time.monotonic() - started, True
        if not running and program.started and checker.started:
            running = True
            started = time.monotonic()
            deadline = started + limits.seconds
    return time.monotonic() - started, False


def _how(code: int | None) -> str:
    if code is None:
        return "it hung up on its tests"
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == signal.SIGKILL:
        return "killed: out of processor time in C code, or the machine out of memory"
    if number:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return f"ended with code {code} before its tests were done"
