"""Programs under test that try to stay, to forge, to read and to swell, what their tests can be handed, and who may run them."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.registry import load_data
from infoagent.evaluation.replies import check_sandbox
from infoagent.grading import sandbox, sandbox_child, sandbox_values
from infoagent.grading.programs import code_grade
from infoagent.grading.sandbox import Limits, SandboxFailed, execute, why_unprotected
from infoagent.recipes import EvaluationRecipe
from infoagent.types import RunFailed, Trial

LONG = Limits(20, 256)
SHORT = Limits(0.4, 256)
OWN_FILES = ("sandbox_child.py", "sandbox_walls.py", "sandbox_values.py")
walled = pytest.mark.skipif(
    sys.platform != "linux" or why_unprotected() is not None, reason="no namespaces for this user"
)


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Gives the processes of this test's programs that are alive now: nobody else's stand under such a name."""
    for name in OWN_FILES:
        shutil.copy(ROOT / "infoagent" / "grading" / name, tmp_path)
    monkeypatch.setattr(sandbox, "CHILD", tmp_path / OWN_FILES[0])
    mark = os.fsencode(tmp_path)

    def alive():
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if mark in line.read_bytes():
                    found.append(int(line.parent.name))
            except OSError:  # it has just ended
                continue
        return found

    return alive


def started_by(act):
    """Run `act` in a thread and give back the thread."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def seen(condition, seconds=60):
    """Whether it comes true while there is patience."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


START = textwrap.dedent("""
    import ctypes, os, signal, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    def stays():
        if hasattr(signal, 'pthread_sigmask'):
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        time.sleep(60)
        os._exit(0)
    def call(*what):
        found = libc.syscall(*what)
        if found < 0:
            raise OSError(ctypes.get_errno(), 'refused')
        return found
""")
FORKS = {
    "a child": "if not os.fork(): stays()",
    "in a session of its own": "if not os.fork(): os.setsid(); stays()",
    "twice removed": "if not os.fork():\n    os.setsid()\n    if not os.fork(): stays()\n    os._exit(0)",
    "four times removed": "for _ in range(4):\n    if os.fork(): break\n    os.setsid()\nelse: stays()",
    "without a death signal": "if not os.fork(): libc.prctl(1, 0, 0, 0, 0); stays()",
    "as a keeper of orphans": "if not os.fork():\n    libc.prctl(36, 1, 0, 0, 0)\n    if not os.fork(): stays()\n    stays()",
    "hundreds": "for _ in range(300):\n    if not os.fork(): stays()",
    "stopped": "if not os.fork(): os.kill(os.getpid(), signal.SIGSTOP); stays()",
    "by vfork": "if not call(58 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0): stays()",
    "by clone": "if not call(56 if os.uname().machine == 'x86_64' else 220, 17, 0, 0, 0, 0): stays()",
    "as a sibling": "if not call(56 if os.uname().machine == 'x86_64' else 220, 0x8000 | 17, 0, 0, 0, 0): stays()",
    "by clone3": "a = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)\nif not call(435, a, 64): stays()",
    "in a namespace of processes":
        "if not call(56 if os.uname().machine == 'x86_64' else 220, 0x30000000 | 17, 0, 0, 0, 0): stays()",
    "as an interpreter": "os.posix_spawn(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'], {})",
    "a pool": "import multiprocessing as m\nm.get_context('fork').Process(target=stays).start()",
    "a terminal": "import pty\nif not pty.fork()[0]: stays()",
    "who forks on": "if not os.fork():\n    for _ in range(200):\n        if os.fork(): os._exit(0)\n    stays()",
    "a thread": "import threading\nthreading.Thread(target=stays).start()",
    "a daemon thread": "import _thread\n_thread.start_new_thread(stays, ())",
}  # fmt: skip
HANGS = {
    "sleeps": "time.sleep(60)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP); time.sleep(60)",
    "blocks every signal": "stays()",
    "handles every signal": "for n in set(range(1, 65)) - {9, 19, 32, 33}:\n    signal.signal(n, lambda *_: None)\ntime.sleep(60)",
    "swallows everything": "while True:\n    try:\n        while True: time.sleep(1)\n    except BaseException: pass",
    "spins in C": "import re\nre.match('(a*)*b', 'a' * 40)",
    "floods the line": "while True:\n    for f in range(3, 64):\n        try: os.write(f, b'x' * 10**5)\n        except OSError: pass",
    "half a message": "for f in range(3, 64):\n    try: os.write(f, b'\\0\\0')\n    except OSError: pass\ntime.sleep(60)",
    "waits for an alarm": "signal.setitimer(signal.ITIMER_REAL, 50); signal.pause()",
}  # fmt: skip


@walled
@pytest.mark.parametrize("name", FORKS)
def test_nothing_that_a_program_starts_outlives_it(left, monkeypatch, name):
    """Nothing can be started; and without the filter of system calls the namespace alone ends it all."""
    code = f"{START}\ndef f():\n{textwrap.indent(FORKS[name], '    ')}\n    time.sleep(60)"
    refused = execute(code, "f()", "f", limits=LONG)
    assert refused.reason == "raised", refused
    assert not left()
    monkeypatch.setattr(sandbox, "_walls", lambda protected: {"namespaces": protected, "filter": False})
    execute(code, "f()", "f", limits=SHORT)
    assert not left()


@walled
def test_what_is_started_without_the_filter_was_there_before_it_was_ended(left, monkeypatch):
    """The test above could see what stays."""
    monkeypatch.setattr(sandbox, "_walls", lambda protected: {"namespaces": protected, "filter": False})
    if os.getuid():
        pytest.skip("no namespaces for this user")  # a user's own limit forbids children
    code = f"{START}\nfor _ in range(20):\n    if not os.fork(): os.setsid(); stays()\ntime.sleep(60)"
    running = started_by(lambda: execute(code, limits=Limits(60)))
    assert seen(lambda: len(left()) >= 26)
    for pid in left():
        if os.getpgid(pid) == pid:  # the first of each side
            os.kill(pid, signal.SIGKILL)
    running.join(60)
    assert seen(lambda: not left())


@pytest.mark.parametrize("name", HANGS)
def test_a_program_that_hangs_is_ended_in_time(left, name):
    found = execute(f"{START}\ndef f():\n{textwrap.indent(HANGS[name], '    ')}", "f()", "f", limits=SHORT, unprotected=True)
    assert not found.passed
    assert found.reason == "timeout" or name == "floods the line", found
    assert found.seconds < 15
    assert not left()


@walled
def test_programs_end_with_the_evaluation(left, tmp_path):
    """Also where nobody is left to end them: kill -9."""
    script = (
        "from pathlib import Path\nfrom infoagent.grading import sandbox\n"
        f"sandbox.CHILD = Path({str(sandbox.CHILD)!r})\n"
        "sandbox.execute('import time; time.sleep(600)', limits=sandbox.Limits(600))"
    )
    evaluation = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    assert seen(lambda: len(left()) == 6)  # three in a row, for the program and for its checker
    evaluation.kill()
    evaluation.wait()
    assert seen(lambda: not left())


# what the tests want is 2, and no such function gives it
FORGERIES = {
    "the end of the process": "def f(x):\n    import os; os._exit(0)",
    "sys.exit": "def f(x):\n    import sys; sys.exit(0)",
    "sys.exit at once": "import sys; sys.exit(0)",
    "os._exit at once": "import os; os._exit(0)",
    "at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit",
    "an equal object": "class E:\n    __eq__ = lambda s, o: True\n    __hash__ = None\ndef f(x): return E()",
    "an equal integer": "class E(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\ndef f(x): return E(7)",
    "an equal text": "class E(str):\n    __eq__ = lambda s, o: True\n    __hash__ = str.__hash__\ndef f(x): return E('7')",
    "an equal float": "class E(float):\n    __eq__ = lambda s, o: True\n    __hash__ = float.__hash__\ndef f(x): return E(7)",
    "an equal list": "class E(list):\n    __eq__ = lambda s, o: True\ndef f(x): return E()",
    "an equal class": "class M(type):\n    __eq__ = lambda s, o: True\n    __hash__ = type.__hash__\nclass E(metaclass=M): pass\ndef f(x): return E",
    "what reduces to another": "class E:\n    __reduce__ = lambda s: (int, (2,))\n    __int__ = __index__ = lambda s: 2\ndef f(x): return E()",
    "another AssertionError": "import builtins\nclass A(BaseException): pass\nbuiltins.AssertionError = A\ndef f(x): return 7",
    "no AssertionError": "import builtins\ndel builtins.AssertionError\ndef f(x): return 7",
    "other built-ins": "import builtins\nfor n in ('abs', 'len', 'isinstance', 'compile', 'exec', 'str'):\n    setattr(builtins, n, lambda *a, **k: True)\ndef f(x): return 7",
    "the caller's frame": "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for n, v in list(frame.f_locals.items()) + list(frame.f_globals.items()):\n            if hasattr(v, 'failure'): v.failure = ('passed', '')\n        frame = frame.f_back\n    return 7",
    "all objects": "import gc\ndef f(x):\n    for o in gc.get_objects():\n        if type(o).__name__ in ('Checker', 'Program'): o.failure = ('passed', ''); o.verdict = lambda *a: ('passed', '')\n    return 7",
    "a word on the line": "import json, os\ndef f(x):\n    for fd in range(64):\n        try: os.write(fd, b'started\\n[\"passed\", \"\"]\\n')\n        except OSError: pass\n    return 7",
    "a message of a verdict": "import json, os\ndef f(x):\n    d = json.dumps(['passed', '']).encode()\n    for fd in range(3, 64):\n        try: os.write(fd, len(d).to_bytes(4, 'big') + d)\n        except OSError: pass\n    return 7",
    "answers ahead": "import json, os\ndef f(x):\n    d = json.dumps(['value', True]).encode()\n    for fd in range(3, 64):\n        try: os.write(fd, 8 * (len(d).to_bytes(4, 'big') + d))\n        except OSError: pass\n    return 7",
    "printed lines": "print('started\\n[\"passed\", \"\"]', flush=True)\ndef f(x):\n    print('[\"passed\", \"\"]', flush=True)\n    return 7",
    "its main module": "import sys\nm = sys.modules['__main__']\nm.Checker.verdict = lambda *a: ('passed', '')\nm.main = lambda: None\ndef f(x): return 7",
    "its values": "import sys\nv = sys.modules['sandbox_values']\nv.encode = lambda *a: ['call', 0]\ndef f(x): return 7",
    "an unknown kind": "import sys\nsys.modules['sandbox_values'].encode = lambda *a: ['checker', 2]\ndef f(x): return 7",
    "a dead function": "import sys\nsys.modules['sandbox_values'].encode = lambda *a: ['next', 10**9]\ndef f(x): return 7",
    "another json": "import json\njson.dumps = lambda *a: '[\"passed\", \"\"]'\ndef f(x): return 7",
    "a raised verdict": "def f(x):\n    class passed(BaseException): pass\n    raise passed('passed')",
    "a raised Failed": "def f(x):\n    class Failed(BaseException): pass\n    raise Failed('passed')",
    "StopIteration": "def f(x): raise StopIteration(2)",
    "GeneratorExit": "def f(x): raise GeneratorExit",
    "KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "a signal to the group": "import os, signal\ndef f(x):\n    os.killpg(0, signal.SIGKILL)\n    return 7",
    "a signal to all": "import os, signal\ndef f(x):\n    os.kill(-1, signal.SIGKILL)\n    return 7",
    "a signal to the parent": "import os, signal\ndef f(x):\n    os.kill(os.getppid(), signal.SIGTERM)\n    return 7",
    "ptrace": "import ctypes, os\ndef f(x):\n    l = ctypes.CDLL(None)\n    return 2 if any(l.ptrace(16, p, 0, 0) == 0 for p in range(1, 99)) else 7",
    "another's memory": "import os\ndef f(x):\n    for p in range(1, 99):\n        try: open(f'/proc/{p}/mem', 'r+b'); return 2\n        except OSError: pass\n    return 7",
    "a closed line": "import os\nos.closerange(3, 64)\ndef f(x): return 7",
    "a closed line later": "import os\ndef f(x):\n    os.closerange(3, 64)\n    return 7",
    "a file of the tests": "import os\ndef f(x):\n    for n in ('json.py', 'usercustomize.py', 'random.py'): open(n, 'w').write('raise SystemExit')\n    return 7",
    "no function": "f = None",
    "NaN": "def f(x): return float('nan')",
    "None": "def f(x): return None",
}  # fmt: skip


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


SECRET = "a-secret-8d1f"
READS = {
    "environment": "import os; return str(dict(os.environ))",
    "environment in C": "import ctypes; g = ctypes.CDLL(None).getenv; g.restype = ctypes.c_char_p; return str(g(b'A_KEY'))",
    "evaluator's environment": "return open('/proc/{pid}/environ').read()",
    "all environments": "import glob; return ''.join(map(slurp, glob.glob('/proc/[0-9]*/environ')))",
    "parent's environment": "import os; return slurp(f'/proc/{os.getppid()}/environ')",
    "evaluator's arguments": "return slurp('/proc/{pid}/cmdline')",
    "evaluator's files": "return slurp('/proc/{pid}/fd/{held}')",
    "evaluator's root": "return slurp('/proc/{pid}/root{file}')",
    "evaluator's directory": "import os; return ''.join(map(slurp, ['/proc/{pid}/cwd/' + n for n in os.listdir('/proc/{pid}/cwd')]))",
    "a file": "return slurp('{file}')",
    "a file by way of ..": "return slurp('../../../../../../../../{file}')",
    "a file by a link": "import os; os.symlink('{file}', 'l-{pid}'); t = slurp('l-{pid}'); os.unlink('l-{pid}'); return t",
    "a file's name": "import os; return str(os.listdir('{home}'))",
    "what others have in /tmp": "import os; return str(os.listdir('{temporary}'))",
    "shared memory of others": "import glob; return ''.join(map(slurp, glob.glob('/dev/shm/*{pid}*')))",
    "a shared segment": "l = ctypes.CDLL(None); l.shmat.restype = ctypes.c_void_p; a = l.shmat({segment}, 0, 4096); return str(ctypes.string_at(a, 64)) if a != 2**64 - 1 else ''",
    "a socket's file": "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(9); s.connect('{unix}'); return str(s.recv(99))",
    "an abstract socket": "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(9); s.connect('\\0{abstract}'); return str(s.recv(99))",
    "a port of this machine": "import socket; s = socket.create_connection(('127.0.0.1', {port}), 9); return str(s.recv(99))",
    "an inherited file": "import os; return str(os.pread({held}, 99, 0))",
    "every descriptor": "import os\n    t = ''\n    for fd in range(3, 64):\n        try: t += str(os.pread(fd, 9999, 0))\n        except OSError: pass\n    return t",
    "what is mounted": "return slurp('/proc/self/mountinfo') and slurp('/etc/passwd') + '{secret}'",
    "the user's password file": "return slurp('/etc/passwd') and '{secret}'",
    "the installed packages": "import glob, sys; return '{secret}' if glob.glob('{packages}/*') else ''",
    "another program": "import subprocess; return subprocess.run(['cat', '{file}'], capture_output=True, text=True).stdout",
    "the request": "import os; return str(os.pread(0, 99999, 0)) and str(os.fstat(0).st_size or '') and '{secret}'",
}  # fmt: skip
SLURP = "import ctypes\ndef slurp(path):\n    try: return open(path, errors='replace').read(99999)\n    except OSError: return ''\n"


def _speaking(family, address):
    server = socket.socket(family)
    server.bind(address)
    server.listen(64)

    def speak():
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            line.sendall(SECRET.encode())
            line.close()

    threading.Thread(target=speak, daemon=True).start()
    return server


@walled
def test_a_program_reads_nothing_of_this_machine(monkeypatch):
    """Each way leads to the secret where nothing stands in it, and nowhere from behind the walls."""
    home = Path(tempfile.mkdtemp(prefix=SECRET))  # not tmp_path: a socket's name must be short
    file = home / f"{SECRET}.txt"
    file.write_text(SECRET)
    shared = Path(f"/dev/shm/infoagent-test-{os.getpid()}")
    shared.write_text(SECRET)
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    segment = libc.shmget(0, 4096, 0o1600)
    ctypes.memmove(libc.shmat(segment, 0, 0), SECRET.encode(), len(SECRET))
    libc.shmctl(segment, 0, 0)  # it goes with this process
    held = os.open(file, os.O_RDONLY)
    os.set_inheritable(held, True)
    servers = [
        _speaking(socket.AF_UNIX, str(home / "s")), _speaking(socket.AF_UNIX, f"\0infoagent-{os.getpid()}"),
        _speaking(socket.AF_INET, ("127.0.0.1", 0)),
    ]  # fmt: skip
    monkeypatch.setenv("A_KEY", SECRET)
    script = (
        "import json, os, sys\n"
        "for name, code in json.loads(sys.argv[2]).items():\n"
        "    space = {}\n    exec(code, space)\n"
        "    try: found = space['f']()\n    except Exception as error: found = ''\n"
        "    print(json.dumps([name, sys.argv[1] in found]))"
    )
    # a process of this user that has the secret in its arguments, its environment, its files and its directory
    holder = subprocess.Popen(
        [sys.executable, "-c", "input()", SECRET], stdin=subprocess.PIPE, cwd=home, pass_fds=[held]
    )
    places = {
        "pid": holder.pid, "file": file, "home": home, "temporary": home.parent, "segment": segment, "unix": home / "s",
        "abstract": f"infoagent-{os.getpid()}", "port": servers[2].getsockname()[1], "held": held, "secret": SECRET,
        "packages": Path(pytest.__file__).parent.parent,
    }  # fmt: skip
    shared.rename(shared := shared.with_name(f"infoagent-test-{holder.pid}"))
    codes = {}
    for name, code in READS.items():
        for key, value in places.items():
            code = code.replace("{" + key + "}", str(value))
        codes[name] = f"{SLURP}def f():\n    {code}"
    inside = {n: execute(c, f"assert {SECRET!r} not in f(), 'read'", "f", limits=LONG) for n, c in codes.items()}
    with (home / "request").open("w+") as asked:
        asked.write(SECRET)
        asked.flush()
        outside = subprocess.run(
            ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", script, SECRET, json.dumps(codes)],
            stdin=asked, capture_output=True, text=True,
            pass_fds=[held], cwd=home, check=True, timeout=60,
        )  # fmt: skip
    holder.communicate(b"\n")
    for server in servers:
        server.close()
    shared.unlink()
    shutil.rmtree(home)
    found = dict(map(json.loads, outside.stdout.splitlines()))
    assert not {n for n, read in found.items() if not read}
    assert {n: e for n, e in inside.items() if e.detail.startswith("read")} == {}
    assert all(e.reason in ("passed", "raised") for e in inside.values()), inside
    assert {e.isolation for e in inside.values()} == {"namespaces"}
