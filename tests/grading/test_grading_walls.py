"""Programs under test that try to stay, to read and to swell, from behind each wall; a machine that has none; any user."""

import contextlib
import ctypes
import errno
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
from hostile_programs import FORKS, HANGS, READS, SWELLS

from infoagent.evaluation.replies import check_sandbox
from infoagent.grading import sandbox, sandbox_walls
from infoagent.grading.sandbox import Limits, SandboxFailed, execute, why_unprotected
from infoagent.recipes import EvaluationRecipe
from infoagent.types import RunFailed

LONG = Limits(20, 256)
SHORT = Limits(0.4, 256)
OWN_FILES = ("sandbox_child.py", "sandbox_walls.py", "sandbox_values.py")
walled = pytest.mark.skipif(sys.platform != "linux" or why_unprotected() is not None, reason="no namespaces for this user")


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
        with contextlib.suppress(ProcessLookupError):  # with one side the other ends
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


@pytest.mark.skipif(sys.platform != "linux", reason="no keeper")
def test_an_unprotected_program_leaves_nothing_where_the_kernel_has_no_filter(left, monkeypatch):
    """A keeper ends what comes to it, wherever it went; and an honest program stays off the network."""
    monkeypatch.setattr(sandbox, "why_unprotected", lambda: "as if there were none")
    monkeypatch.setattr(sandbox, "_walls", lambda protected: {"namespaces": protected, "filter": False})
    for name in ("a child", "in a session of its own", "four times removed", "without a death signal", "stopped"):
        code = f"{START}\n{FORKS[name]}\ntime.sleep(60)"
        assert execute(code, limits=SHORT, unprotected=True).reason in ("timeout", "raised")
        assert not left()
    found = execute("import socket", limits=LONG, unprotected=True)
    assert (found.isolation, found.detail[:50]) == ("none", "ModuleNotFoundError: import of socket halted; None"[:50])


@pytest.mark.skipif(sys.platform != "linux", reason="no filter")
@pytest.mark.skipif(os.uname().machine not in sandbox_walls.ARCHITECTURES, reason="no filter")
def test_every_call_of_the_table_is_refused():
    column = 1 if os.uname().machine == "x86_64" else 2
    numbers = {row[0]: row[column] for row in sandbox_walls.DENIED if row[column] is not None}
    code = (
        f"{START}\ndef f(number):\n    ctypes.set_errno(0)\n    return libc.syscall(number, -1, -1, -1, -1, -1), ctypes.get_errno()"
    )
    one_by_one = f"for name, number in {numbers}.items():\n    assert f(number) == (-1, {errno.EPERM}), name\n"
    unknown = (
        f"for number in (435, {sandbox_walls.NEWEST_CALL + 1}, 462, 500):\n    assert f(number) == (-1, {errno.ENOSYS}), number"
    )
    assert execute(code, one_by_one + unknown, "f", limits=LONG, unprotected=True).passed


@walled
def test_programs_end_with_the_evaluation(left, tmp_path):
    """Also where nobody is left to end them: kill -9."""
    script = (
        "from pathlib import Path\nfrom infoagent.grading import sandbox\n"
        f"sandbox.CHILD = Path({str(sandbox.CHILD)!r})\n"
        "sandbox.execute('import time; time.sleep(600)', limits=sandbox.Limits(600))"
    )
    evaluation = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    # three in a row, for the program and for its checker, beside the evaluation, whose command line bears the name too;
    # a first trial of the walls comes and goes before them
    assert seen(lambda: len({*left()} - {evaluation.pid}) == 6)
    evaluation.kill()
    evaluation.wait()
    assert seen(lambda: not left())


SECRET = "a-secret-8d1f"
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
        _speaking(socket.AF_UNIX, str(home / "s")),
        _speaking(socket.AF_UNIX, f"\0infoagent-{os.getpid()}"),
        _speaking(socket.AF_INET, ("127.0.0.1", 0)),
    ]
    monkeypatch.setenv("A_KEY", SECRET)
    script = (
        "import json, os, sys\n"
        "for name, code in json.loads(sys.argv[2]).items():\n"
        "    space = {}\n    exec(code, space)\n"
        "    try: found = space['f']()\n    except Exception as error: found = ''\n"
        "    print(json.dumps([name, sys.argv[1] in found]))"
    )
    # a process of this user that has the secret in its arguments, its environment, its files and its directory
    holder = subprocess.Popen([sys.executable, "-c", "input()", SECRET], stdin=subprocess.PIPE, cwd=home, pass_fds=[held])
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
        codes[name] = f"{SLURP}def f():\n" + textwrap.indent(code, "    ")
    inside = {n: execute(c, f"assert {SECRET!r} not in f(), 'read'", "f", limits=LONG) for n, c in codes.items()}
    with (home / "request").open("w+") as asked:
        asked.write(SECRET)
        asked.flush()
        outside = subprocess.run(
            ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", script, SECRET, json.dumps(codes)],
            stdin=asked,
            capture_output=True,
            text=True,
            pass_fds=[held],
            cwd=home,
            check=True,
            timeout=60,
        )
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
    found = execute(code, "assert f([]) == 2", "f", limits=Limits(1.5, 256))
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


def test_a_machine_without_walls_runs_nothing_unless_it_is_asked_to(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "why_unprotected", lambda: "unshare of namespaces: Operation not permitted")
    line = r"cannot keep a program away .*\(unshare of namespaces: Operation not permitted\).* set grading.unprotected to true"
    with pytest.raises(SandboxFailed, match=line):
        execute("pass")
    content = {"output_dir": str(tmp_path), "compressors": [{"kind": "full-document", "label": "all"}]}
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


AS_ANYONE = r"""
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
        done = subprocess.run([python, "-c", AS_ANYONE, folder, str(secret)], cwd="/", capture_output=True, text=True, **who)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {isolation for isolation, _, _ in found.values()} == {"namespaces"}
    assert found["right"][1:] == ["passed", ""]
    assert found["wrong"][1] == "wrong"
    assert "PermissionError" in found["forks"][2]
    assert "FileNotFoundError" in found["reads"][2]
