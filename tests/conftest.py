import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# a machine at work on something else is slow, not wrong; the same examples everywhere, so that a failure in CI is one
# here too. HYPOTHESIS_PROFILE=search looks for new ones
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

# no test touches the network or the user's logins
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side: a thread for each
    os.environ["OMP_NUM_THREADS"] = "1"
# a slow machine's progress lines are no part of what a test reads on stderr
os.environ["INFOAGENT_HEARTBEAT_SECONDS"] = "3600"


MAY_BE_SKIPPED = {
    "no namespaces for this user": "a container may forbid them; that nothing is run then is tested there",
    "no interpreter that another user may run": "root's own may stand where nobody else can read it",
    "the text comes with Python, another with each version": "one data set is the reference of the Python that reads it",
    "no keeper": "a program's descendants are found by Linux alone",
    "no filter": "calls are filtered by Linux alone, on the machines of the table",
}
"""Reasons for which --no-skips lets a test go. What needs a GPU or vLLM is left out by its marker and skips nothing."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failed one, but for MAY_BE_SKIPPED")


SLOWEST_FIRST = ("scripts/test_distributed.py", "scripts", "costs/test_costs_memory.py", "training", "evaluation")
"""What is begun first, so that no process is left with a long file at the end (make test gives files out in this order)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT / "tests").as_posix() if item.path.is_relative_to(ROOT / "tests") else ""
        return next((n for n, name in enumerate(SLOWEST_FIRST) if path.startswith(name)), len(SLOWEST_FIRST))

    items.sort(key=place)


def _no_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if reason.removeprefix("Skipped: ") not in MAY_BE_SKIPPED:
            report.outcome, report.longrepr = "failed", f"{reason}: --no-skips wants it run (tests/conftest.py)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    _no_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    _no_skip(report, collector.config)
    return report


BEGUN = time.time()


@pytest.fixture(autouse=True)
def _rates_of_this_session():
    """What a dry run measured of this machine serves the whole session. Beside other work, and here it always stands beside
    other work, it would be measured anew every five minutes."""
    from infoagent.lm.cache import cache_root

    for file in (cache_root() / "rates").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime > BEGUN:
                os.utime(file)


@pytest.fixture(autouse=True)
def _own_wandb_service():
    """A test that starts W&B in this process leaves its service's address behind: scripts would share it, and a killed
    one's run would stay open there."""
    yield
    os.environ.pop("WANDB_SERVICE", None)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def compactor(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch):
    """A Compactor whose texts the test writes."""
    from compactors import scripted

    return scripted(tiny_dir, monkeypatch)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def smollm():
    """The embedded model in float32, converted once into the user's cache."""
    from infoagent.lm.models import load

    return load("smollm2-135m", dtype="float32", device="cpu")


_warm: list = []
"""The server that forks scripts, from the first that is started on."""


def eventually(condition, seconds: float = 500) -> None:
    """Wait until `condition()` holds: for as long as a machine at work on something else may need."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.005)


def start_script(*arguments: str, cwd: Path = ROOT, stdout=None, stderr=None, limits=None, killed_at=None, **environment: str):
    """`python ARGUMENTS` begun, in a process that has the libraries imported: a tests.warm.Script."""
    from warm import Script, Server

    if not _warm:
        _warm.append(Server())
        atexit.register(_warm[0].close)
    given = [str(argument) for argument in arguments]
    return Script(_warm[0], given, cwd, {**os.environ, **environment}, stdout, stderr, limits, killed_at)


def run_killed_at(moment: str, *arguments: str, **environment: str) -> None:
    """`python ARGUMENTS` until SIGKILL at `moment` (tests/moments.py), which it must come to."""
    with tempfile.TemporaryFile("w+") as errors:  # not a pipe: what the killed one started may hold it open
        process = start_script(*arguments, stderr=errors, killed_at=moment, **environment)
        try:
            process.wait(500)
        finally:
            process.kill()
        errors.seek(0)
        assert process.returncode == -signal.SIGKILL, f"it did not come to {moment}: {errors.read()}"


def run_script(
    *arguments: str, cwd: Path = ROOT, timeout: float = 500, fresh: bool = False, limits=None, **environment: str
) -> subprocess.CompletedProcess:
    """Run `python ARGUMENTS` as a user would; `fresh`: in an interpreter that has imported nothing, as with -c and -X."""
    if fresh or (str(arguments[0]).startswith("-") and arguments[0] != "-m"):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    process = start_script(*arguments, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limits=limits, **environment)
    try:
        said = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def run_in_turn(script: str, cases: list[list[str]], **environment: str) -> list[subprocess.CompletedProcess]:
    """What `python SCRIPT ARGUMENTS` says of each of the cases, in one process: for what is refused before a model loads."""
    done = run_script(str(ROOT / "tests" / "in_turn.py"), script, json.dumps(cases), PYTHONPATH=str(ROOT), **environment)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    return [subprocess.CompletedProcess(case, *end) for case, end in zip(cases, ends, strict=True)]


def run_together(*arguments: str, timeout: float = 500, **environment: str) -> subprocess.CompletedProcess:
    """`accelerate launch --config_file accelerate_configs/cpu_2proc.yaml ARGUMENTS` without the launcher, which imports all
    anew in three processes: two processes in the environment that it gives them, their outputs one behind the other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {"ACCELERATE_USE_CPU": "true", "ACCELERATE_MIXED_PRECISION": "no", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [start_script(*arguments, **pipes, **told, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]
    try:
        with ThreadPoolExecutor() as readers:  # a full pipe would stop the one, and the other would wait for it
            said = list(readers.map(lambda process: process.communicate(timeout), processes))
    finally:
        for process in processes:
            process.kill()
    code = next((process.returncode for process in processes if process.returncode), 0)
    return subprocess.CompletedProcess(list(arguments), code, *map("".join, zip(*said, strict=True)))


WITHOUT_TORCH = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules
"""
"""Runs the script behind it, `python -c WITHOUT_TORCH SCRIPT …`, which must end well and not import torch."""


@pytest.fixture
def script():
    return run_script
