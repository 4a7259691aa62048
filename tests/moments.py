"""Fault injection at a known point: a process that ends, or stops, at the same place in its work on every machine.

A moment is `NAME` or `NAME#N`, the N-th time (else the first) of one of
    a/file.jsonl         a file whose path ends so is opened to be written, or put there by a rename: just before that
    package.module:F     the function or method F is called: just before it runs
"""

import functools
import importlib
import os
import signal
import sys


def at(moment: str, number: int = signal.SIGKILL) -> None:
    """Send this process the signal `number` at `moment`."""
    name, _, count = moment.partition("#")
    left = int(count or 1)

    def passed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

    if ":" in name:
        before_calls(name, passed)
    else:
        before_writes(name, passed)


def before_calls(name: str, act) -> None:
    module, _, path = name.partition(":")
    *owners, last = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    plain = getattr(owner, last)

    @functools.wraps(plain)
    def watched(*arguments, **more):
        act()
        return plain(*arguments, **more)

    setattr(owner, last, watched)


def before_writes(name: str, act) -> None:
    def heard(event, arguments):
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and str(path).endswith(name):
                act()
        elif event == "os.rename" and str(arguments[1]).endswith(name):
            act()

    sys.addaudithook(heard)
