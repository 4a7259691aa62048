"""Code graded by its tests: what a program may not do, what a reply's code is, and a sandbox that cannot start."""

import os
import socket
import sys
import tempfile

import pytest

from infoagent.grading import sandbox
from infoagent.grading.programs import code_grade, function_of
from infoagent.grading.replies import Unreadable
from infoagent.grading.sandbox import Limits, SandboxFailed, why_unprotected
from infoagent.types import Trial

SHORT = Limits(seconds=0.5, memory_mib=256)
LONG = Limits(seconds=20)
DOUBLE = Trial("double", "assert double(2) == 4, 'double(2)'\nassert double(-1) == -2")


def execute(program, limits=LONG):
    """On any machine."""
    return sandbox.execute(program, limits=limits, unprotected=True)


@pytest.fixture(params=["namespaces", "none"])
def apart(request, monkeypatch):
    """A program that is kept apart, where this machine can, and one that runs unprotected."""
    if request.param == "namespaces":
        if why_unprotected() is not None:
            pytest.skip("no namespaces for this user")
    else:
        monkeypatch.setattr(sandbox, "why_unprotected", lambda: "as if there were none")
    return request.param


@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("assert 1 + 1 == 2", "passed", ""),
        ("assert 1 + 1 == 3, 'no'", "wrong", "no"),
        ("1 / 0", "raised", "ZeroDivisionError"),
        ("def f(:", "raised", "SyntaxError"),
        ("import sys; sys.exit(0)", "raised", "SystemExit"),
        ("import os; os._exit(0)", "crashed", "before its tests were done"),  # no word of an end: not passed
        ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
        ("x = 'x' * 10**9", "memory", ""),
        ("open('big', 'wb').write(b'0' * 10**7)", "raised", "File too large"),
        ("while True: pass", "timeout", ""),
        ("import time; time.sleep(60)", "timeout", "no end within 0.5 s"),
        ("while True: print('x' * 10**5)", "timeout", ""),  # what is printed is kept nowhere
        ("import sys; sys.setrecursionlimit(50)\ndef f(): f()\nf()", "raised", "RecursionError"),
        ("input()", "raised", "EOFError"),
        # what looks a class up in its module
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int'\nassert P(1).x == 1", "passed", ""),
        ("import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A", "passed", ""),
        # more than a file may hold, straight to the other output
        ("import os\nfor i in range(300): os.write(2, b'x' * 10**4)", "passed", ""),
    ],
)
def test_what_comes_of_a_program(program, reason, detail):
    # the machine may be at work on something else: only what is to run out of time gets little of it
    found = execute(program, SHORT if reason == "timeout" else Limits(20, 256))
    assert (found.reason, found.passed) == (reason, reason == "passed"), found
    assert detail in found.detail
    assert found.seconds < 15


def test_the_processors_time_is_held_to_the_limit_too():
    """A busy loop that swallows every Exception ends by the processor's time, well before the clock of a busy machine."""
    swallows = "while True:\n  try:\n    while True: pass\n  except Exception: pass"
    assert execute(swallows, Limits(seconds=1.0)).reason == "timeout"


def test_no_network(apart):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), 5).close()  # it can be reached from here
    found = execute(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)", LONG)
    server.close()
    assert (found.reason, found.isolation) == ("raised", apart)
    assert "Operation not permitted" in found.detail


def test_nothing_is_inherited_and_nothing_is_left(apart, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret")
    held = (tmp_path / "held").open("w")
    os.set_inheritable(held.fileno(), True)
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    program = (
        "import os, sys\n"
        "assert 'sk-a-secret' not in str(os.environ), 'secret'\n"
        "assert os.listdir() == [], 'files'\n"
        "open('left', 'w').write('x')\n"
        "assert not any('site-packages' in p for p in sys.path), sys.path\n"
        f"held = os.stat_result({tuple(os.fstat(held.fileno()))})\n"
        "def stands(f):\n"
        "    try:\n        return os.fstat(f)\n    except OSError:\n        return None\n"
        "found = [f for f in range(99) if stands(f)]\n"
        "assert len(found) == 4, found\n"  # input, output, errors, and the line to the tests
        "assert held.st_ino not in [stands(f).st_ino for f in found if stands(f).st_dev == held.st_dev], found\n"
        "assert os.read(0, 10) == b'' and os.lseek(0, 0, 0) == 0 and os.read(0, 10) == b'', 'request'"
    )
    found = execute(program, LONG)
    assert found.passed, found
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("interpreter", ["/nowhere/python", "/bin/false"])
def test_a_sandbox_that_cannot_start_is_no_verdict(apart, monkeypatch, interpreter):
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.raises(SandboxFailed, match="start"):
        execute("pass")
    with pytest.raises(SandboxFailed):
        code_grade("def double(x):\n    return 2 * x", DOUBLE)


HEAD = 'from math import tau\n\n\ndef turn(share: float) -> float:\n    """A share of a full turn."""\n'


@pytest.mark.parametrize(
    "reply",
    [
        "def double(x):\n    return 2 * x",
        "```python\ndef double(x):\n    return 2 * x\n```",
        "Sure!\n\n```py\ndef double(x):\n    return x + x\n```\nIt adds x to itself.",
        "Here it is:\n\ndef double(x):\n    return 2 * x\n\nThis doubles x.",
        "```python\ndouble(3)\n```\nwith\n```python\nimport math\n\ndef double(x):\n    return math.prod([2, x])\n```",
        "<think>def double(x): return x</think>def double(x):\n    return 2 * x",
        "import functools\n@functools.cache\ndef double(x):\n    return 2 * x",
        "```python\ndef double(x):\n    return 2 * x",  # cut before the fence was closed
    ],
)
def test_code_is_found_in_a_reply_and_passes(reply):
    assert code_grade(reply, DOUBLE, LONG).detail == "passed"


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        ("", "no code that defines double"),
        ("I would multiply by two.", "no code that defines double"),
        ("def triple(x):\n    return 3 * x", "no code that defines double"),
        ("def double(x)\n    return 2 * x", "no code that defines double"),
        ("<think>def double(x): return 2 * x", "the reasoning was cut off"),
    ],
)
def test_a_reply_without_the_function_is_wrong_and_unparseable(reply, detail):
    found = code_grade(reply, DOUBLE, LONG)
    assert (found.correct, found.unparseable, found.detail) == (False, True, detail)


def test_wrong_code_is_wrong_with_its_reason_and_parseable():
    found = code_grade("def double(x):\n    return x", DOUBLE, LONG)
    assert (found.correct, found.score, found.unparseable, found.detail) == (False, 0.0, False, "wrong: double(2)")
    # a function of that name inside something else is not the function
    with pytest.raises(Unreadable):
        function_of("class A:\n    def double(self, x):\n        return 2 * x", DOUBLE)


@pytest.mark.parametrize(
    "reply",
    ["    return share * tau", "return share * tau", "```python\nreturn share * tau\n```", "    a = tau\n    return a * share"],
)
def test_a_bare_body_is_put_under_the_head(reply):
    trial = Trial("turn", "assert abs(turn(0.5) - 3.14159) < 1e-4", HEAD)
    assert code_grade(reply, trial, LONG).detail == "passed"
    assert code_grade(reply.replace("share", "2"), trial, LONG).detail.startswith("wrong")


@pytest.mark.parametrize("head", ["", HEAD, "from __future__ import annotations\n" + HEAD])
def test_what_code_has_from_the_future_stands_before_the_head(head):
    body = (
        "class A:\n    def turn(self) -> A:\n        return self\n\ndef turn(share):\n    # whole\n"
        "    return 7 * share if A().turn() else None"
    )
    trial = Trial("turn", "assert turn(1) > 6", head)
    for first in ("from __future__ import annotations\n", "from __future__ import annotations; import math\n\n"):
        assert code_grade(f"```python\n{first}{body}\n```", trial, LONG).detail == "passed"
    if head:
        assert code_grade("    return 7 * share", Trial("turn", "assert turn(1) > 6", head), LONG).detail == "passed"


def test_what_stands_in_the_head_is_there_for_a_whole_function():
    trial = Trial("turn", "assert turn(1) > 6", HEAD)
    assert code_grade("def turn(share):\n    return share * tau", trial, LONG).correct
