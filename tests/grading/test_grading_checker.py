"""Programs under test that try to forge a verdict, what their tests can be handed, and what the checker makes of any message."""

import json
import socket

import pytest
from hostile_programs import FIT, FORGERIES
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.registry import load_data
from infoagent.grading import sandbox_child, sandbox_values
from infoagent.grading.programs import code_grade
from infoagent.grading.sandbox import Limits, SandboxFailed, execute
from infoagent.types import Trial

LONG = Limits(20, 256)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_program_cannot_say_that_it_passed(name):
    found = execute(FORGERIES[name], "assert f(1) == 2, 'wrong'", "f", limits=Limits(5, 256), unprotected=True)
    assert found.reason in ("wrong", "raised", "crashed"), found


def test_a_failure_stands_whatever_tests_swallow():
    swallow = "try:\n    f(1)\nexcept BaseException:\n    pass\n"
    for code, reason in {
        "def f(x):\n    import os; os._exit(0)": "crashed",
        "def f(x): return object()": "wrong",
        "def f(x): return 'x' * 5 * 2**20": "wrong",
        "def f(x):\n    while True: pass": "timeout",
    }.items():
        found = execute(code, swallow, "f", limits=Limits(1 if "while" in code else 20, 256), unprotected=True)
        assert found.reason == reason, found
    assert execute("def f(x): raise ValueError", swallow, "f", limits=LONG, unprotected=True).passed


@pytest.mark.parametrize("name", FIT)
def test_tests_are_handed_what_the_function_gives(name):
    head, code, tests = FIT[name].split("---\n")
    found = code_grade(code, Trial("f", tests, head), LONG, True)
    assert found.detail == "passed"


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("class A: pass\ndef f(x): return A()", "wrong: it gives back what the tests cannot be handed: a value of type A"),
        ("def f(x):\n    x = []\n    x.append(x)\n    return x", "lists within lists, more than 64 deep"),
        ("def f(x): return 'x' * 5 * 2**20", "5.0 MiB, of 4 at most"),
        ("def f(x): return [1, {2: object()}]", "a value of type object"),
        ("async def f(x): return 2", "a value of type coroutine"),
        ("import sys\nsys.modules['sandbox_values'].encode = lambda *_: ['set', ['list']]\ndef f(x): return 2", "no value: unhashable"),
    ],
)  # fmt: skip
def test_what_cannot_be_handed_over_is_wrong_with_its_reason(code, detail):
    assert detail in code_grade(code, Trial("f", "assert f(1) == 2"), LONG, True).detail


@pytest.mark.parametrize(
    ("head", "tests", "line"),
    [
        ("", "f(object())", "they hand over a value of type object"),
        ("", "f(lambda: 1)", "they hand over a value of type function"),
        ("", "assert f(", "SyntaxError"),
        ("def twice(x):", "f(1)", "IndentationError"),
        ("import numpy", "f(1)", "No module named 'numpy'"),
    ],
)
def test_tests_that_no_program_could_pass_say_nothing_about_it(head, tests, line):
    with pytest.raises(SandboxFailed, match="the tests of the data cannot be run: .*" + line.split("'")[0]):
        execute("def f(x): return 1", tests, "f", head, LONG, unprotected=True)


@pytest.mark.parametrize("problem", load_data("python-functions", limit=20).problems, ids=lambda p: p.id)
def test_every_reference_passes_and_every_other_choice_fails(problem):
    assert code_grade(problem.answer, problem.trial, LONG, True).detail == "passed"
    other = next(c for c in problem.choices if c != problem.answer)
    assert code_grade(other, problem.trial, LONG, True).detail.startswith("wrong")


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.complex_numbers(allow_nan=False),
    st.text(st.characters(codec=None)), st.binary(), st.decimals(allow_nan=False), st.fractions(),
    st.integers(min_value=2**62, max_value=2**9000),
)  # fmt: skip
HASHABLE = st.recursive(ATOMS, lambda v: st.tuples(v, v) | st.frozensets(v, max_size=4), max_leaves=6)
VALUES = st.recursive(
    HASHABLE,
    lambda v: st.lists(v, max_size=4) | st.dictionaries(HASHABLE, v, max_size=4) | st.sets(HASHABLE, max_size=4),
    max_leaves=8,
)


def exact(value):
    """With the types of all that it holds: 1, 1.0 and True are three, and so are 0.0 and -0.0."""
    if isinstance(value, list | tuple):
        return type(value).__name__, [exact(v) for v in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(exact(v)) for v in value)
    if isinstance(value, dict):
        return "dict", [(exact(k), exact(v)) for k, v in value.items()]
    return type(value).__name__, hex(value) if isinstance(value, int) else repr(value)


@settings(max_examples=120, deadline=None)
@given(VALUES)
def test_a_value_arrives_as_it_was(value):
    sent = json.loads(json.dumps(sandbox_values.encode(value, lambda *_: None)))
    assert exact(sandbox_values.decode(sent, lambda *_: None)) == exact(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["value", "raised", "timeout", "unsendable", "list", "set", "dict", "items", "int", "str", "call",
                       "next", "range", "Decimal", "Fraction", "bytes", "complex", "keys", "iterator", "passed"]),
    lambda v: st.lists(v, max_size=5) | st.dictionaries(st.text(max_size=5), v, max_size=2),
    max_leaves=8,
)  # fmt: skip


class Line:
    """A channel on which everything has been said."""

    def __init__(self, message):
        self.message = message

    def send(self, message):
        pass

    def receive(self):
        return self.message


@settings(max_examples=500, deadline=None)
@given(JSON | st.tuples(st.sampled_from(["value", "unsendable"]), JSON).map(list)
       | st.tuples(st.just("raised"), st.lists(JSON, max_size=3), JSON, JSON).map(list))  # fmt: skip
def test_no_message_is_a_verdict(message):
    """Whatever the program says first, the tests get a value, an error, or the program has failed."""
    found = sandbox_child.Checker(Line(message)).verdict("", "f", "assert f(1) == {'never': 'this'}")
    assert found[0] in ("wrong", "raised", "timeout", "memory", "crashed")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_no_bytes_break_the_line(data, whole):
    """A message that is none is told as that, and the end as the end."""
    sent = len(data).to_bytes(4, "big") + data if whole else data
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.close()
        try:
            found = repr(sandbox_values.Channel(ours.fileno()).receive())
        except (sandbox_values.Garbled, sandbox_values.Ended) as error:
            found = type(error).__name__
    assert found == said_by(sent)


def said_by(sent):
    """What a reader of whole bytes says of them: a value, or why there is none."""
    size = int.from_bytes(sent[:4], "big")
    if len(sent) < 4 or (size <= sandbox_values.MOST_BYTES and len(sent) < 4 + size):
        return "Ended"
    try:
        return "Garbled" if size > sandbox_values.MOST_BYTES else repr(json.loads(sent[4 : 4 + size]))
    except ValueError:
        return "Garbled"
