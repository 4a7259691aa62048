"""Runs Python that a model wrote: in a process of its own, with limits, without network, and says what came of it.

What holds: wall time and processor time, address space, size of files, number of open files; no standard input, output
thrown away; an empty directory that is removed afterwards; no environment, no site packages (the standard library
alone); the whole process group is killed in any case. Where the kernel lets an ordinary user make namespaces (`unshare`),
the program has a network of its own with nothing in it, and a process namespace, so that nothing it started outlives it.
Elsewhere the socket modules cannot be imported, which keeps an honest program off the network and no other; and a keeper
above the program, whom it could kill, ends what it started, also what left the group.

**This is no security boundary.** The program runs as the user who runs the evaluation and may read and write that
user's files. It protects an evaluation from programs that hang, swell or crash. Run code of a model that you do not trust
in a container or a virtual machine.

A program that fails, hangs or crashes is a wrong answer with its reason. A sandbox that cannot start says nothing about
the program: SandboxFailed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Reason = Literal["passed", "wrong", "raised", "timeout", "memory", "crashed"]
CHILD = Path(__file__).with_name("sandbox_child.py")
START_SECONDS = 30.0
"""For the interpreter to come up, on a machine at work on something else."""
KEEPER_SECONDS = 5.0
"""For what a program left to be ended."""
MOST_SAID = 4096
STARTED = b"started\n"
NAMESPACES = ("--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")


class SandboxFailed(RuntimeError):
    """No program could be run here; the message is one line."""


@dataclass(frozen=True)
class Limits:
    """Of one program."""

    seconds: float = 10.0
    """By the clock from its start; the processor's time is held to the same, rounded up to whole seconds."""
    memory_mib: int = 512
    """Address space, the interpreter's own (about 30 MiB) included."""


@dataclass(frozen=True)
class Execution:
    """What came of a program. `reason`: `passed`, an assertion was `wrong`, it `raised`, `timeout`, `memory`, `crashed`."""

    reason: Reason
    detail: str
    seconds: float
    isolation: str
    """`namespaces`, or `blocked sockets` where the kernel gives none."""

    @property
    def passed(self) -> bool:
        return self.reason == "passed"


@cache
def isolation() -> str:
    """How far programs are kept apart on this machine; see the module."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "blocked sockets"
    try:
        done = subprocess.run([unshare, *NAMESPACES, "true"], capture_output=True, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "blocked sockets"
    return "blocked sockets" if done.returncode else "namespaces"


def execute(program: str, limits: Limits = Limits()) -> Execution:
    """Run `program`; `passed` if it comes to its end without an error. Raises SandboxFailed where none can be run."""
    apart = isolation()
    word = secrets.token_hex(16)
    request = {
        "program": program, "word": word, "block_sockets": apart != "namespaces",
        "cpu_seconds": math.ceil(limits.seconds), "memory_bytes": limits.memory_mib * 2**20,
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="infoagent-trial-", ignore_cleanup_errors=True) as home,
        tempfile.TemporaryFile() as asked,
        tempfile.TemporaryFile() as complaints,
    ):
        asked.write(json.dumps(request).encode())
        asked.seek(0)
        read_end, write_end = os.pipe()
        wrapper = [str(shutil.which("unshare")), *NAMESPACES] if apart == "namespaces" else []
        try:
            process = subprocess.Popen(
                [*wrapper, sys.executable, "-I", "-S", "-B", str(CHILD), str(write_end)],
                stdin=asked, stdout=subprocess.DEVNULL, stderr=complaints, cwd=home, pass_fds=(write_end,),
                env={"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            os.close(read_end)
            raise SandboxFailed(f"no process could be started: {error}") from error
        finally:
            os.close(write_end)
        try:
            said, seconds, in_time = _listen(read_end, limits)
            if in_time:  # how it ends is worth a moment
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
        finally:
            os.close(read_end)
            if apart != "namespaces" and process.poll() is None:
                process.terminate()  # its keeper ends what left the group
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(KEEPER_SECONDS)
            _kill_group(process)
        if not said.startswith(STARTED):
            complaints.seek(0)
            lines = complaints.read(2000).decode(errors="replace").strip().splitlines()
            why = lines[-1] if lines else f"nothing was heard of it, exit code {process.returncode}"
            raise SandboxFailed(f"the interpreter did not start: {why}")
    if not in_time:
        return Execution("timeout", f"no end within {limits.seconds:g} s", seconds, apart)
    with contextlib.suppress(ValueError):
        told, reason, detail = json.loads(said.removeprefix(STARTED))
        if told == word:
            return Execution(reason, detail, seconds, apart)
    return Execution("crashed", _how(process.returncode), seconds, apart)


def _listen(pipe: int, limits: Limits) -> tuple[bytes, float, bool]:
    """(what the child said, seconds since it said that it had started, whether it ended in time)."""
    said = b""
    started = time.monotonic()
    deadline = started + START_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([pipe], [], [], left)[0]:
            continue
        part = os.read(pipe, MOST_SAID)
        if not part:
            return said, time.monotonic() - started, True
        fresh = not said.startswith(STARTED)
        said = (said + part)[:MOST_SAID]
        if said.count(b"\n") > 1:  # its verdict; what it started may hold the pipe open
            return said, time.monotonic() - started, True
        if fresh and said.startswith(STARTED):
            started = time.monotonic()
            deadline = started + limits.seconds
    return said, time.monotonic() - started, False


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the group is left; `unshare` takes its namespace along."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how(code: int) -> str:
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == signal.SIGKILL:
        return "killed: out of processor time in C code, or the machine out of memory"
    if number:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(number).name}"
    return f"ended with code {code} before its tests were done"
