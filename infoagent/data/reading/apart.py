"""Isolation of parsers: PDF and Markdown are read in one process apart, under limits on its memory and processor time.

A parser of a format of thirty years cannot be made safe from outside: a few kilobytes can keep it busy for hours or fill the
machine. What goes over its limits, or brings the process down, is that file's failure alone; the next file gets a new process.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import threading
from typing import IO, Any, cast

from infoagent.data.reading.tables import BadFile
from infoagent.parsing import MIB
from infoagent.shipped import module_command, module_environment

MEMORY_BYTES = 2048 * MIB
"""Of the process, beside five times the file's size. Held to where the system knows the limit: on Linux."""
SECONDS, SECONDS_A_MIB, MOST_SECONDS = 60, 20, 600
"""Of processor time for one file."""
PATIENCE = 5
"""The clock may take so many times the processor's time: other processes want it too."""
START_SECONDS = 60
HEADER = struct.Struct(">QQQ")
_ADVICE = "open it and save it anew, or bring its text as .txt"


class _Process:
    """The process apart. `ask` is one file; after a failure it is of no use any more."""

    def __init__(self) -> None:
        self.popen = subprocess.Popen(
            module_command("infoagent.data.reading.apart_child"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=module_environment(),
        )
        self.owner = os.getpid()

    def ask(self, kind: str, where: str, content: bytes, seconds: int) -> dict[str, Any] | None:
        """The child's answer; None where it has ended without one."""
        about = json.dumps({"kind": kind, "where": where}).encode()
        memory = MEMORY_BYTES + 5 * len(content)
        timer = threading.Timer(START_SECONDS + PATIENCE * seconds, self.popen.kill)
        timer.daemon = True
        timer.start()
        try:
            out, answer = cast(IO[bytes], self.popen.stdin), cast(IO[bytes], self.popen.stdout)
            out.write(HEADER.pack(len(about) + len(content), seconds, memory) + struct.pack(">I", len(about)) + about)
            out.write(content)
            out.flush()
            size = answer.read(8)
            if len(size) < 8:
                return None
            body = answer.read(int.from_bytes(size, "big"))
            return dict(json.loads(body)) if len(body) == int.from_bytes(size, "big") else None
        except BrokenPipeError:
            return None
        finally:
            timer.cancel()

    def end(self) -> int:
        """Ends the process; how it ended, as `Popen.returncode`."""
        try:
            self.popen.wait(timeout=0.2)  # one that has fallen by itself says by what
        except subprocess.TimeoutExpired:
            self.popen.kill()
        code = self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            try:
                cast(IO[bytes], stream).close()
            except BrokenPipeError:
                continue  # half a file was on its way
        return code


_lock = threading.Lock()
_process: _Process | None = None


def read_apart(kind: str, where: str, content: bytes) -> dict[str, Any]:
    """What `apart_child.READERS[kind]` makes of `content`, read in the process apart.

    Raises BadFile, as the reader does, and where a limit was passed or the process fell.
    """
    global _process
    seconds = min(SECONDS + SECONDS_A_MIB * len(content) // MIB, MOST_SECONDS)
    with _lock:
        if _process is not None and (_process.owner != os.getpid() or _process.popen.poll() is not None):
            _process = None  # of another process since a fork, or ended from outside
        if _process is None:
            _process = _Process()
        answer = _process.ask(kind, where, content, seconds)
        code = 0
        if answer is None or "limit" in answer:
            code, _process = _process.end(), None
    if answer is None:
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            raise BadFile(f"{where}: takes more than {seconds} s to read; {_ADVICE}", "file that takes too long")
        raise BadFile(f"{where}: its reader fell (exit code {code}); {_ADVICE}", "file that its reader fell over")
    if "limit" in answer:
        raise BadFile(f"{where}: {answer['limit']}; {_ADVICE}", "file that takes too much memory")
    if "bad" in answer:
        raise BadFile(answer["bad"], answer["cause"])
    return answer


@atexit.register
def _close() -> None:
    if _process is not None and _process.owner == os.getpid():
        _process.popen.kill()
