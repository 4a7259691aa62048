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
    found = execute(
        f"{START}\ndef f():\n{textwrap.indent(HANGS[name], '    ')}", "f()", "f", limits=SHORT, unprotected=True
    )
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


SWELLS = {
    "children": "for _ in range(6):\n    if not os.fork(): break\nfill = b'x' * (180 * 2**20)\ntime.sleep(60)",
    "children of children": "for _ in range(3): os.fork()\nfill = b'x' * (180 * 2**20)\ntime.sleep(60)",
    "its own": "fill = []\nwhile True: fill.append(b'x' * 2**20)",
    "shared anonymous": "import mmap\nm = []\nwhile True:\n    m.append(mmap.mmap(-1, 2**24)); m[-1].write(b'x' * 2**24)",
    "shared memory": "from multiprocessing import shared_memory as s\nm = []\nwhile True:\n    m.append(s.SharedMemory(create=True, size=2**24)); m[-1].buf[:] = b'x' * 2**24",
    "memory without a name": "while True: os.write(os.memfd_create('x'), b'x' * 2**24)",
    "segments": "libc.shmat.restype = ctypes.c_void_p\nwhile True:\n    n = libc.shmget(0, 2**24, 0o1600)\n    assert n >= 0, 'refused'\n    ctypes.memset(libc.shmat(n, 0, 0), 1, 2**24)",
    "files": "n = 0\nwhile True:\n    n += 1; open(f'/dev/shm/{n}', 'wb').write(b'x' * 2**20)",
    "file after file": "n = 0\nwhile True:\n    n += 1; open(f'/tmp/{n}', 'w').close()",
    "a nested file system": "os.unshare(0x10020000) if hasattr(os, 'unshare') else call(272 if os.uname().machine == 'x86_64' else 97, 0x10020000)\nassert libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0, 'refused'",
    "pipes": "import fcntl\nwhile True:\n    r, w = os.pipe(); os.set_blocking(w, False); fcntl.fcntl(w, 1031, 2**20); os.write(w, b'x' * 2**20)",
    "threads": "import threading\nthreading.stack_size(2**15)\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
    "a great answer": "def f(x): return ['x' * 2**20] * 2**10",
    "an endless answer": "def f(x):\n    x.append(x); return [x] * 2**10",
    "an answer of answers": "a = []\nfor _ in range(50): a = [a, a]\ndef f(x): return a",
    "the checker": "import sys\nsys.modules['sandbox_values'].json.dumps = lambda m: '[\"value\", [\"list\"' + ', [\"list\"]' * 300_000 + ']]'\ndef f(x): return 7",
}  # fmt: skip


@walled
@pytest.mark.parametrize("name", SWELLS)
def test_memory_is_counted_over_all_that_a_program_makes(left, name):
    """Seen from outside, while it runs: what all its processes hold together, in their own share."""
    peak, over = [0], threading.Event()

    def look():
        while not over.wait(0.005):
            total = 0
            for pid in left():
                try:
                    rows = Path(f"/proc/{pid}/smaps_rollup").read_text()
                except OSError:
                    continue
                total += sum(int(row.split()[1]) for row in rows.splitlines() if row.startswith("Pss:"))
            peak[0] = max(peak[0], total)

    looking = started_by(look)
    code = SWELLS[name] if "def f" in SWELLS[name] else f"{START}\n{SWELLS[name]}"
    found = execute(code, "assert f([]) == 2", "f", limits=Limits(5, 256))
    over.set()
    looking.join()
    assert found.reason in ("raised", "memory", "wrong", "timeout"), found
    assert peak[0] < (2 * 256 + 32) * 1024  # the program, and the checker where it swells too
    assert not left()


def test_what_a_program_leaves_goes_with_it():
    leave = "import os\nopen('/tmp/left', 'w').write('x')\nif os.path.exists('/dev/shm'): open('/dev/shm/left', 'w').write('x')"
    look = "import os\nassert not os.path.exists('/tmp/left') and not os.path.exists('/dev/shm/left')"
    assert execute(leave, limits=LONG, unprotected=False).passed
    assert execute(look, limits=LONG).passed
    assert not os.path.exists("/tmp/left")


# head, code of f, tests
FIT = {
    "helpers of the head": ("def twice(x):\n    return 2 * x", "def f(x): return x / 2", "assert twice(f(3)) == 3"),
    "helpers are the data's": ("def twice(x):\n    return 2 * x", "def twice(x): return 7\ndef f(x): return x / 2", "assert twice(f(3)) == 3"),
    "imports of the head": ("import math", "def f(x): return math.pi * x", "assert math.isclose(f(2), math.tau)"),
    "a check": ("", "def f(x): return sorted(x)", "def check(candidate):\n    assert candidate([2, 1]) == [1, 2]\ncheck(f)"),
    "names and defaults": ("", "def f(x, *, y=1, **z): return x, y, z", "assert f(1) == (1, 1, {}) and f(x=2, y=3, k=4) == (2, 3, {'k': 4})"),
    "its own name": ("", "def f(n): return 1 if n < 2 else n * f(n - 1)", "assert f(30) == 30 * f(29) and f.__name__ == 'f'"),
    "what it raises": ("", "def f(x): raise ValueError('odd', x)", "try: f(3)\nexcept ValueError as e: assert e.args == ('odd', 3)\nelse: assert False"),
    "its own class of error": ("", "class Odd(KeyError): pass\ndef f(x): raise Odd('a')", "try: f(3)\nexcept LookupError as e: assert type(e).__name__ == 'Odd' and str(e) == \"'a'\"\nelse: assert False"),
    "an error that wants arguments": ("", "def f(x): return b'\\xff'.decode()", "try: f(3)\nexcept UnicodeDecodeError as e: assert e.start == 0\nelse: assert False"),
    "an error of the library": ("", "import json\ndef f(x): return json.loads(x)", "try: f('{')\nexcept ValueError as e: assert 'line 1' in str(e)\nelse: assert False"),
    "a generator": ("", "def f(n):\n    for i in range(n): yield i", "assert list(f(3)) == [0, 1, 2] and f(2) != [0, 1] and next(f(1)) == 0"),
    "an endless generator": ("", "import itertools\ndef f(): return itertools.count()", "g = f()\nassert [next(g), next(g)] == [0, 1] and [a for a, b in zip(g, 'ab')] == [2, 3]"),
    "a map": ("", "def f(x): return map(str, x)", "assert ''.join(f([1, 2])) == '12'"),
    "a function": ("", "def f(x): return lambda y: x + y", "assert f(2)(3) == 5"),
    "itself, twice": ("", "def f(x): return x if callable(x) else (lambda y: x + y)", "assert f(f(2))(3) == 5"),
    "an iterator": ("", "def f(x): return sum(x)", "assert f(iter([1, 2])) == 3 and f(i * i for i in range(4)) == 14 and f(f2(3) if 0 else range(3)) == 3"),
    "its iterator": ("", "def f(x): return x if hasattr(x, '__next__') else iter(x)", "assert list(f(f([1, 2]))) == [1, 2]"),
    "none": ("", "def f(): pass", "assert f() is None"),
    "truths": ("", "def f(x): return x > 1", "assert f(2) is True and f(1) is False"),
    "views": ("", "def f(x): return x.keys(), x.items(), x.values()", "k, i, v = f({1: 2})\nassert k == {1} and i == {(1, 2)} and list(v) == [2] and k != [1]"),
    "a named tuple": ("", "import collections\nP = collections.namedtuple('P', 'a b')\ndef f(): return P(1, 2), collections.Counter('aab'), collections.deque([1])", "p, c, d = f()\nassert p == (1, 2) and c == {'a': 2, 'b': 1} and list(d) == [1] and d != [1]"),
    "an enumeration": ("", "import enum\nclass E(enum.IntEnum):\n    A = 3\ndef f(): return E.A", "assert f() == 3"),
    "decimals and fractions": ("", "from decimal import Decimal\nfrom fractions import Fraction\ndef f(): return Decimal('0.5'), Fraction(1, 3)", "d, t = f()\nassert d == 0.5 and 3 * t == 1"),
    "a great number": ("", "import math\ndef f(n): return math.factorial(n)", "import math\nassert f(3000) == math.factorial(3000)"),
    "no number": ("", "def f(): return float('nan'), float('-inf'), -0.0, 1e-320", "import math\na, b, c, d = f()\nassert a != a and b == -math.inf and math.copysign(1, c) == -1 and d == 1e-320"),
    "half a character": ("", "def f(x): return x + '\\ud83d' + '\\ude00'", "assert f('a\\udcff') == 'a\\udcff\\ud83d\\ude00' and len(f('')) == 2"),
    "a loop of its own": ("", "import asyncio\nasync def g(x): return x\ndef f(x): return asyncio.run(g(x))", "assert f(3) == 3"),
    "a decorated one": ("", "import functools\n@functools.cache\ndef f(x): return x", "assert f(3) == 3"),
    "a class": ("", "class f:\n    def __new__(cls, x): return x", "assert f(3) == 3"),
    "chance": ("", "def f(x): return x[::-1]", "import random\nfor _ in range(200):\n    t = str(random.random())\n    assert f(f(t)) == t"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIT)
def test_tests_are_handed_what_the_function_gives(name):
    head, code, tests = FIT[name]
    found = code_grade(
        code.replace("f2(3) if 0 else ", ""), Trial("f", tests.replace("f2(3) if 0 else ", ""), head), LONG, True
    )
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
    max_leaves=12,
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


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_a_value_arrives_as_it_was(value):
    sent = json.loads(json.dumps(sandbox_values.encode(value, lambda *_: None)))
    assert exact(sandbox_values.decode(sent, lambda *_: None)) == exact(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["value", "raised", "timeout", "unsendable", "list", "set", "dict", "items", "int", "str", "call",
                       "next", "range", "Decimal", "Fraction", "bytes", "complex", "keys", "iterator", "passed"]),
    lambda v: st.lists(v, max_size=5) | st.dictionaries(st.text(max_size=5), v, max_size=2),
    max_leaves=12,
)  # fmt: skip


class Line:
    """A channel on which everything has been said."""

    def __init__(self, message):
        self.message = message

    def send(self, message):
        pass

    def receive(self):
        return self.message


@settings(max_examples=600, deadline=None)
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
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(len(data).to_bytes(4, "big") + data if whole else data)
        theirs.close()
        try:
            sandbox_values.Channel(ours.fileno()).receive()
        except (sandbox_values.Garbled, sandbox_values.Ended):
            pass


def test_a_machine_without_walls_runs_nothing_unless_it_is_asked_to(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "why_unprotected", lambda: "unshare of namespaces: Operation not permitted")
    line = r"cannot keep a program away .*\(unshare of namespaces: Operation not permitted\).* set grading.unprotected to true"
    with pytest.raises(SandboxFailed, match=line):
        execute("pass")
    content = {"output_dir": str(tmp_path), "compressors": [{"kind": "full-document"}]}
    grading = {"method": "code", "execute": True}
    with pytest.raises(RunFailed, match=f"grading.execute: no code can be run here: .*{line}"):
        check_sandbox(EvaluationRecipe.model_validate({**content, "grading": grading}))
    check_sandbox(EvaluationRecipe.model_validate({**content, "grading": {**grading, "unprotected": True}}))
    found = execute("pass", unprotected=True)
    assert (found.reason, found.isolation) == ("passed", "none")


@pytest.mark.parametrize("step", ["enter_namespaces", "build_root", "drop_privileges", "filter_calls"])
def test_no_wall_may_be_missing(left, monkeypatch, step):
    """Whichever cannot be put up, the machine is one that keeps nothing apart."""
    walls = sandbox.CHILD.with_name("sandbox_walls.py")
    walls.write_text(walls.read_text() + f"\ndef {step}(*_): raise OSError(1, '{step}: not permitted')\n")
    sandbox._why_unprotected.cache_clear()
    assert why_unprotected() == f"{step}: not permitted"
    with pytest.raises(SandboxFailed, match=f"{step}: not permitted"):
        execute("pass")
    assert execute("pass", unprotected=True).isolation == "none"
    sandbox._why_unprotected.cache_clear()
    assert not left()


AS_ANYONE = """
import importlib.util, json, sys
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("sandbox", sys.argv[1] + "/sandbox.py")
sandbox = sys.modules["sandbox"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sandbox)
programs = {
    "right": "def f(x): return 2", "wrong": "def f(x): return 3",
    "forks": "import os\ndef f(x): return os.fork()", "reads": "def f(x): return open(%r).read()" % sys.argv[2],
}
found = {name: sandbox.execute(code, "assert f(1) == 2", "f") for name, code in programs.items()}
print(json.dumps({name: [e.isolation, e.reason, e.detail] for name, e in found.items()}))
"""


@walled
def test_an_ordinary_user_has_the_same_walls():
    who = {} if os.getuid() else {"user": 65534, "group": 65534, "extra_groups": ()}
    interpreters = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    version = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("sandbox.py", *OWN_FILES):
            shutil.copy(ROOT / "infoagent" / "grading" / name, folder)
        secret = Path(folder, "secret")
        secret.write_text("secret")
        for python in interpreters:
            try:
                if subprocess.run([python, *version], cwd="/", **who).returncode == 0:
                    break
            except OSError:  # not there, or not theirs
                continue
        else:
            pytest.skip("no interpreter that another user may run")
        done = subprocess.run(
            [python, "-c", AS_ANYONE, folder, str(secret)], cwd="/", capture_output=True, text=True, check=True, **who
        )
    found = json.loads(done.stdout)
    assert {isolation for isolation, _, _ in found.values()} == {"namespaces"}
    assert found["right"][1:] == ["passed", ""]
    assert found["wrong"][1] == "wrong"
    assert "PermissionError" in found["forks"][2]
    assert "FileNotFoundError" in found["reads"][2]
