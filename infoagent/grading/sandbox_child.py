"""The other side of infoagent.grading.sandbox: run as a file of its own by a bare interpreter, it imports nothing of the
package but its two neighbours. It goes behind its walls, and is then one of two: the `program`, which runs the code under
test and answers calls of its function, or the `checker`, which runs the tests and says on a pipe what came of them.

Three processes stand in a row. The first waits for the other side to hang up, the second is the first process of the new
namespace, and with it all in there ends; the third runs what it is given."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import select
import signal
import sys
import time
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infoagent.grading import sandbox_values as values
    from infoagent.grading import sandbox_walls as walls
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import sandbox_values as values
    import sandbox_walls as walls

    sys.path.pop()

DETAIL = 300
"""Characters of an error that are told."""
NO_WALLS = 97
"""The exit code where this machine cannot keep a program apart; the reason is the last line of the complaints."""
Verdict = tuple[str, str]


class OutOfTime(BaseException):
    """The processor's time is used up. No Exception, so that `except Exception` does not swallow it."""


class Failed(BaseException):
    """The program has failed whatever its tests make of it. No Exception, likewise."""


def stand_between(report: int, channel: int, lifeline: int, request: dict[str, Any]) -> None:
    """Return in the process that is to run what it is given. The others end here, with its exit code."""
    apart = request["namespaces"]
    if apart:
        walls.enter_namespaces()
    elif sys.platform == "linux":  # orphans of the program come to this process, wherever they went
        walls.prctl(walls.PR_SET_CHILD_SUBREAPER, 1)
    ended, alive = os.pipe()
    first = os.fork()
    if first:
        for descriptor in (report, channel, alive):
            os.close(descriptor)
        select.select([lifeline, ended], [], [])
        os.kill(first, signal.SIGKILL)  # it is not buried yet
        # a namespace is empty when its first process is buried
        code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        if not apart and sys.platform == "linux":
            end_children()
        os._exit(code if code >= 0 else 128 - code)
    os.close(lifeline)
    os.close(ended)
    if apart:
        walls.prctl(walls.PR_SET_PDEATHSIG, signal.SIGKILL)
        walls.build_root(request["home"])
    runs = os.fork()
    if runs:
        os.close(report)
        os.close(channel)
        code = os.waitstatus_to_exitcode(os.waitpid(runs, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    os.close(alive)


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


def go_behind_walls(request: dict[str, Any]) -> None:
    """What a process does to itself."""

    def stop(*_: Any) -> None:
        raise OutOfTime

    signal.signal(signal.SIGXCPU, stop)
    if request["namespaces"]:
        walls.drop_privileges()
    if sys.platform == "linux":
        walls.prctl(walls.PR_SET_DUMPABLE, 0)  # what has the same user cannot read its memory
    walls.limit(request["cpu_seconds"], request["memory_bytes"])
    filtered = False
    if request["filter"]:
        try:
            walls.filter_calls()
            filtered = True
        except OSError:
            if request["namespaces"]:
                raise
    if not filtered and not request["namespaces"]:
        for name in ("socket", "_socket"):  # keeps an honest program off the network
            sys.modules[name] = None  # type: ignore[assignment]


def fresh_module() -> dict[str, Any]:
    trial = sys.modules["__trial__"] = types.ModuleType("__trial__")  # dataclasses and pickle look classes up there
    return trial.__dict__


class Program:
    """The code under test. It answers over the channel: that it is loaded, and then each call."""

    def __init__(self, channel: values.Channel) -> None:
        self.channel = channel
        self.kept: list[Any] = []

    def serve(self, code: str, name: str) -> None:
        namespace = fresh_module()
        with contextlib.suppress(values.Ended):
            self.answer(lambda: exec(compile(code, "<reply>", "exec", dont_inherit=True), namespace))
            self.kept.append(namespace.get(name))
            while True:
                kind, number, arguments, named = self.channel.receive()
                self.answer(lambda: self.asked(kind, number, arguments, named))  # noqa: B023 (called at once)

    def asked(self, kind: str, number: int, arguments: list[Any], named: dict[str, Any]) -> Any:
        target = self.kept[number]
        if kind == "next":
            return next(target)
        arguments = [values.decode(part, lambda _, known: self.kept[known]) for part in arguments]
        named = {key: values.decode(part, lambda _, known: self.kept[known]) for key, part in named.items()}
        return target(*arguments, **named)

    def answer(self, work: Any) -> None:
        try:
            self.channel.send(["value", values.encode(work(), self.keep)])
        except OutOfTime:
            self.channel.send(["timeout"])
        except values.Unsendable as error:
            self.channel.send(["unsendable", str(error)])
        except BaseException as error:  # a program may raise what it likes
            names = [kind.__name__ for kind in type(error).__mro__]
            self.channel.send(["raised", names, self.plain(error), str(error)[:DETAIL]])

    def plain(self, error: BaseException) -> Any:
        try:
            sent = values.encode(list(error.args), self.keep)
        except values.Unsendable:
            return None
        return sent if len(str(sent)) < values.MOST_BYTES // 8 else None

    def keep(self, kind: str, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept) - 1


class Checker:
    """The tests. Whatever they make of an answer, a program that ended, ran out of time or handed over what is no value
    has failed."""

    def __init__(self, channel: values.Channel) -> None:
        self.channel = channel
        self.failure: Verdict | None = None

    def verdict(self, head: str, name: str, tests: str) -> Verdict:
        namespace = fresh_module()
        try:
            self.read_answer()  # that the program is loaded
            try:
                exec(compile(head, "<head>", "exec", dont_inherit=True), namespace)
                compiled = compile(tests, "<tests>", "exec", dont_inherit=True)
            except Exception as error:  # they come with the data: no fault of the program
                return "unfit", f"{type(error).__name__}: {error}"
            namespace[name] = values.Remote(0, self.ask, name)
            exec(compiled, namespace)
        except OutOfTime:
            found = ("timeout", "the processor's time is used up")
        except MemoryError:
            found = ("memory", "more than it may take")
        except AssertionError as error:
            found = ("wrong", str(error))
        except BaseException as error:  # what the program raised, among others
            found = ("raised", f"{type(error).__name__}: {error}")
        else:
            found = ("passed", "")
        return self.failure or found

    def ask(self, kind: str, number: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.failure:
            raise Failed
        try:
            sent = [values.encode(part, self.known) for part in arguments]
            self.channel.send([kind, number, sent, {key: values.encode(part, self.known) for key, part in named.items()}])
        except values.NoValue as error:  # it comes from the tests: whatever the program gave can be sent back
            raise self.fail("unfit", f"they hand over {error}") from error
        except values.Unsendable as error:
            raise self.fail("wrong", f"the tests hand over what cannot be sent: {error}") from error
        except values.Ended as error:
            raise self.fail("crashed", "") from error
        return self.read_answer()

    def known(self, kind: str, value: Any) -> int | None:
        return value.number if isinstance(value, values.Remote | values.RemoteIterator) else None

    def fail(self, reason: str, detail: str) -> Failed:
        self.failure = self.failure or (reason, detail)
        return Failed(detail)

    def read_answer(self) -> Any:
        try:
            match self.channel.receive():
                case ["value", sent]:
                    return values.decode(sent, self.stand_in)
                case ["raised", [str(_), *_] as names, arguments, str(text)]:
                    raise self.rebuilt(names, arguments, text)
                case ["timeout"]:
                    raise self.fail("timeout", "the processor's time is used up")
                case ["unsendable", str(what)]:
                    raise self.fail("wrong", f"it gives back what the tests cannot be handed: {what}")
            raise self.fail("wrong", "it gives back what is no value")
        except values.Garbled as error:
            raise self.fail("wrong", f"it gives back what is no value: {error}") from error
        except values.Ended as error:
            raise self.fail("crashed", "") from error

    def stand_in(self, kind: str, number: int) -> Any:
        return (values.Remote if kind == "call" else values.RemoteIterator)(number, self.ask)

    def rebuilt(self, names: list[Any], arguments: Any, text: str) -> BaseException:
        """What the program raised, as the first of Python's own classes that it derives from, under its own name."""
        known = [getattr(builtins, name, None) for name in names if isinstance(name, str)]
        classes = [kind for kind in known if isinstance(kind, type) and issubclass(kind, BaseException)] or [Exception]
        given = [text] if arguments is None else values.decode(arguments, self.stand_in)
        for kind in classes:
            for parts in (given, [text]):
                with contextlib.suppress(TypeError, ValueError):  # some want other arguments, and a name may be odd
                    return (kind if kind.__name__ == names[0] else type(str(names[0]), (kind,), {}))(*parts)
        return Exception(text)


def main() -> None:
    report, channel, lifeline = map(int, sys.argv[1:])
    request = json.loads(sys.stdin.buffer.read())
    try:
        stand_between(report, channel, lifeline, request)
        nothing = os.open(os.devnull, os.O_RDWR)  # the one behind the walls: nobody can change the mode of the other
        os.dup2(nothing, 0)  # the request cannot be read again
        os.dup2(nothing, 1)
        go_behind_walls(request)
    except OSError as error:
        os.write(2, f"{error.strerror or error}\n".encode())
        os._exit(NO_WALLS)
    talk = values.Channel(channel)
    os.write(report, b"started\n")
    os.dup2(nothing, 2)  # the complaints before the start went to a file of the other side
    os.close(nothing)
    if request["role"] == "program":
        os.close(report)
        Program(talk).serve(request["code"], request["name"])
    else:
        reason, detail = Checker(talk).verdict(request["head"], request["name"], request["tests"])
        os.write(report, json.dumps([reason, detail[:DETAIL]]).encode() + b"\n")
    os._exit(0)  # whatever threads and exit handlers there are


if __name__ == "__main__":
    main()
