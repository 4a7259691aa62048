"""The other side of infoagent.grading.sandbox: run as a file of its own by a bare interpreter, it imports nothing of the
package. It limits itself, runs the program that stands on its standard input, and says on a pipe what came of it. Where
there are no namespaces a keeper stands above it, who ends what the program leaves."""

import contextlib
import json
import os
import resource
import signal
import sys
import time
import types
from typing import Any

DETAIL = 300
"""Characters of an error that are told."""
FILE_BYTES = 2**20
OPEN_FILES = 64
PR_SET_CHILD_SUBREAPER = 36
"""Of <linux/prctl.h>."""


class OutOfTime(BaseException):
    """The processor's time is used up. No Exception, so that `except Exception` does not swallow it."""


class ToldToEnd(Exception):
    """The other side has waited long enough."""


def keep_watch(said: int) -> None:
    """Return in a fork that is to run the program. This process becomes its keeper: orphans of its descendants come to it
    wherever they went, and it ends them with the program, or when it is told to (SIGTERM)."""

    def end(*_: Any) -> None:
        raise ToldToEnd

    import ctypes  # here, since most programs run in namespaces

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, end)
    code = 1
    with contextlib.suppress(ToldToEnd):
        trial = os.fork()
        if not trial:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            return
        os.close(said)  # so that the other side hears that the program is gone
        code = os.waitstatus_to_exitcode(os.waitpid(trial, 0)[1])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is at it
    end_children()
    os._exit(code if code >= 0 else 128 - code)


def end_children() -> None:
    """Kill and bury until none is left: those of a child that was killed come up."""
    while True:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:  # some end meanwhile
                if int(stat.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    os.kill(int(pid), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def limit_itself(cpu_seconds: int, memory_bytes: int) -> None:
    def stop(*_: Any) -> None:
        raise OutOfTime

    signal.signal(signal.SIGXCPU, stop)
    limits = {
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),  # the second one kills what sits in C code
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        resource.RLIMIT_FSIZE: (FILE_BYTES, FILE_BYTES),
        resource.RLIMIT_NOFILE: (OPEN_FILES, OPEN_FILES),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0),  # no children; the kernel does not hold root to it
    }
    for name, limit in limits.items():
        resource.setrlimit(name, limit)


def run(program: str) -> tuple[str, str]:
    """(reason, detail): `passed` where the program came to its end without an error."""
    trial = sys.modules["__trial__"] = types.ModuleType("__trial__")  # dataclasses and pickle look classes up there
    try:
        exec(compile(program, "<reply>", "exec"), trial.__dict__)
    except OutOfTime:
        return "timeout", "the processor's time is used up"
    except MemoryError:
        return "memory", "more than it may take"
    except AssertionError as error:
        return "wrong", str(error)
    except BaseException as error:
        return "raised", f"{type(error).__name__}: {error}"
    return "passed", ""


def main() -> None:
    said = int(sys.argv[1])
    request = json.loads(sys.stdin.buffer.read())
    if request["block_sockets"]:
        if sys.platform == "linux":
            keep_watch(said)
        for name in ("socket", "_socket"):
            sys.modules[name] = None  # type: ignore[assignment]
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # the request cannot be read again
    limit_itself(request["cpu_seconds"], request["memory_bytes"])
    os.write(said, b"started\n")
    os.dup2(nothing, 2)  # the complaints before the start went to a file, whose size is limited
    own = os.getpid()
    reason, detail = run(request["program"])
    if os.getpid() != own:
        os._exit(1)  # a fork of the program came to the end of it: the verdict is not its to give
    # without the word that only the two sides know an early end could pass for a good one
    os.write(said, json.dumps([request["word"], reason, detail[:DETAIL]]).encode() + b"\n")
    os._exit(0)  # whatever threads and exit handlers the program left


if __name__ == "__main__":
    main()
