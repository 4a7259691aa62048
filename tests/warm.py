"""A prefork server for scripts: one process imports torch and its like, and forks a process of its own for each script.

A script started here is what `python SCRIPT` starts: its own process with its own arguments, environment, working
directory and output, that may be killed and that ends with an exit code. What it shares with the others is what a
fresh interpreter would do in the same way each time: the imports, some 13 seconds of processor time, and the seed of
str's hashes. Where one of these is what a test is about (a dry run that leaves torch alone, an order that must not
depend on hashes), it starts a fresh interpreter instead: conftest.run_script(..., fresh=True).
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import moments

LIBRARIES = [
    "torch", "torch.distributed", "transformers", "transformers.trainer", "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama", "transformers.generation.utils", "peft", "trl", "trl.trainer.grpo_trainer",
    "trl.trainer.rloo_trainer", "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer", "accelerate", "datasets", "wandb",
    "safetensors.torch", "scipy.stats", "scipy.optimize", "matplotlib.pyplot", "pydantic", "yaml", "httpx", "jinja2", "faker",
    "infoagent.applications.recipes",
]  # fmt: skip
"""What scripts import; none of it reads the environment at import, but for what conftest sets for all."""


ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""What keeps torch, numpy and Arrow from threads at their import: a fork takes none of them along."""


class Script:
    """A script's process, with the methods of subprocess.Popen that tests use. `stdout` and `stderr` are file
    descriptors or PIPE; None and DEVNULL throw away. `limits` are its resources by name, such as FSIZE; `killed_at` is
    the moment (tests/moments.py) at which it gets SIGKILL."""

    def __init__(self, server: "Server", arguments, cwd, env, stdout=None, stderr=None, limits=None, killed_at=None):
        self.returncode, self.cpu_seconds, self.args = None, None, list(arguments)
        ends = [self._end(stdout), self._end(stderr)]
        (self.stdout, out), (self.stderr, err) = ends
        reply, theirs = os.pipe()
        request = {"arguments": self.args, "cwd": str(cwd), "env": dict(env), "limits": limits or {}, "killed_at": killed_at}
        server.send(json.dumps(request).encode(), [out, err, theirs])
        for given in (out, err, theirs):
            os.close(given)
        self._reply = os.fdopen(reply, "r")
        self.pid = int(self._reply.readline())

    @staticmethod
    def _end(given):
        """(what the test reads, what the script writes to)."""
        if given == subprocess.PIPE:
            read, write = os.pipe()
            return os.fdopen(read, "r", errors="replace"), write
        if given is None or given == subprocess.DEVNULL:
            return None, os.open(os.devnull, os.O_WRONLY)
        return None, os.dup(given if isinstance(given, int) else given.fileno())

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._reply], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            end = json.loads(self._reply.readline())
            self._reply.close()
            self.returncode, self.cpu_seconds = end["returncode"], end["cpu_seconds"]
            Server.cpu_seconds += self.cpu_seconds
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # ended, and its code is on its way
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it writes, and its end; raises subprocess.TimeoutExpired as Popen does."""
        said = {}
        until = None if timeout is None else time.monotonic() + timeout
        readers = [
            threading.Thread(target=lambda n=name, f=file: said.__setitem__(n, f.read()), daemon=True)
            for name, file in (("out", self.stdout), ("err", self.stderr))
            if file is not None
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        return said.get("out", ""), said.get("err", "")


class Server:
    """The process that has everything imported; ended with the test process, or by `close`."""

    cpu_seconds = 0.0
    """What all scripts took that have ended, in this test process."""

    def __init__(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD},
        )
        theirs.close()

    def send(self, request: bytes, descriptors: list[int]) -> None:
        socket.send_fds(self._socket, [len(request).to_bytes(8, "little")], descriptors)
        for start in range(0, len(request), 65536):
            self._socket.send(request[start : start + 65536])

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def receive(connection: socket.socket) -> tuple[dict, list[int]] | None:
    size, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    if not size:
        return None
    request = b""
    while len(request) < int.from_bytes(size, "little"):
        request += connection.recv(65536)
    return json.loads(request), list(descriptors)


def serve(connection: socket.socket) -> dict:
    """Fork a process for each request. Returns in that process alone, with the request."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # what is here stays: collecting in a child would copy its pages
    threads = len(os.listdir("/proc/self/task")) if Path("/proc/self/task").is_dir() else threading.active_count()
    assert threads == 1, f"{threads} threads: a fork would lose the others, and the locks that they hold"
    while (received := receive(connection)) is not None:
        request, (out, err, reply) = received
        if os.fork() == 0:
            connection.close()
            script = os.fork()
            if script == 0:
                os.close(reply)
                os.dup2(out, 1)
                os.dup2(err, 2)
                os.close(out)
                os.close(err)
                # a temporary folder of the server's is not the script's to remove
                for kept in list(weakref.finalize._registry):
                    kept.atexit = False
                atexit.unregister(sys.modules["wandb.sdk.data_types._private"].MEDIA_TMP.cleanup)
                return request
            os.close(out)
            os.close(err)
            os.write(reply, f"{script}\n".encode())
            _, status, usage = os.wait4(script, 0)
            end = {"returncode": os.waitstatus_to_exitcode(status), "cpu_seconds": usage.ru_utime + usage.ru_stime}
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it
                os.write(reply, json.dumps(end).encode() + b"\n")
            os._exit(0)
        for given in (out, err, reply):
            os.close(given)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    sys.exit()


def become(request: dict) -> None:
    """Run the script in this process as the interpreter would have begun it."""
    import numpy

    os.environ.clear()
    os.environ.update(request["env"])
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    os.chdir(request["cwd"])
    numpy.random.seed()  # noqa: NPY002, from the system, as at a start; the random module sees to it by itself
    if request["killed_at"]:
        moments.at(request["killed_at"])
    first, *rest = request["arguments"]
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if first == "-m":
        sys.path[:0] = [os.getcwd(), *paths]
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[:0] = [str(Path(first).resolve().parent), *paths]
        sys.argv = request["arguments"]
        runpy.run_path(first, run_name="__main__")


def end(request: dict) -> int:
    """The exit code of the script, its threads and exit handlers done: all of an interpreter's end but the freeing of
    every module, which would copy each page of them first, for half a second."""
    code = 0
    try:
        become(request)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        if code and not isinstance(left.code, int):
            print(left.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file
    os._exit(end(serve(socket.socket(fileno=int(sys.argv[1])))))
