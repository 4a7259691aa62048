"""Progress where no bar can be seen: the line, its interval, who says it, and that stdout stays clean."""

import gc
import io
import logging
import re
import sys
import threading
from types import SimpleNamespace

import pytest
from conftest import ROOT, run_script
from virtual_time import Clock

from infoagent import progress
from infoagent.cli import main as cli
from infoagent.config import exit_code, script_parser
from infoagent.logs import LEVELS
from infoagent.progress import INTERVAL_VARIABLE, Progress, each
from infoagent.types import InputError

LINE = re.compile(r"\d\d:\d\d:\d\d (\w+): (\w+) ([\d,]+) of ([\d,]+), (.*)")


@pytest.fixture
def clock(monkeypatch):
    """The heartbeat in simulated time."""
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    monkeypatch.setattr(progress, "threading", SimpleNamespace(**{**vars(threading), "Event": made.event}))
    monkeypatch.setattr(progress, "_heartbeat", progress._Heartbeat())
    return made


@pytest.mark.parametrize(
    ("total", "initial", "done", "seconds", "expected"),
    [
        (100, 0, 34, 108.8, "grpo: step 34 of 100, 3.2 s a step, 3 min 31 s left"),  # 66 × 3.2 = 211.2
        (100, 90, 5, 50.0, "grpo: step 95 of 100, 10.0 s a step, 50 s left"),  # the first 90 were done before
        (2000, 0, 500, 25.0, "grpo: step 500 of 2,000, 20.0 steps a second, 1 min 15 s left"),
        (10, 0, 1, 3600.0, "grpo: step 1 of 10, 3600.0 s a step, 9 h 0 min left"),
        (10, 0, 0, 75.0, "grpo: step 0 of 10, 1 min 15 s so far"),  # no pace is known yet
    ],
)
def test_the_line_says_where_it_is_and_how_long_the_rest_takes(total, initial, done, seconds, expected):
    clock = Clock()
    with Progress(total, "grpo", "step", initial=initial, clock=clock) as work:
        clock.seconds += seconds
        work.update(done)
        assert work.line() == expected


def test_a_line_comes_each_interval_and_tells_of_the_innermost_work(monkeypatch, capsys, clock):
    monkeypatch.setenv(INTERVAL_VARIABLE, "1")
    with Progress(4, "train", "step") as outer:
        outer.update()
        clock.sleep(2.5)
        with Progress(9, "validation", "problem", quiet=True):
            clock.sleep(2.75)
        clock.sleep(2.5)
    out, err = capsys.readouterr()
    clock.sleep(3)
    assert capsys.readouterr().err == ""  # nothing is open any more
    assert out == ""
    titles = [LINE.fullmatch(line)[1] for line in err.splitlines()]
    assert titles == ["train"] * 2 + ["validation"] * 3 + ["train"] * 2
    assert "train: step 1 of 4, " in err


def test_many_short_works_get_a_line_as_well(monkeypatch, capsys, clock):
    monkeypatch.setenv(INTERVAL_VARIABLE, "3")
    monkeypatch.setattr(progress, "SETTLING_SECONDS", 0.1)
    for part in range(10):  # none of them lasts an interval
        with Progress(1, f"part{part}", "text"):
            clock.sleep(0.8)
    assert [LINE.fullmatch(line)[1] for line in capsys.readouterr().err.splitlines()] == ["part3", "part7"]


def test_work_that_ends_by_an_error_is_silent_from_then_on(monkeypatch, capsys, clock):
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.05")

    def train():
        for _ in each(range(3), 3, "train", "step"):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        train()
    gc.collect()  # the generator that was left in its middle
    capsys.readouterr()
    clock.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_the_bar_and_no_lines(monkeypatch, clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv(INTERVAL_VARIABLE, "0.05")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(5, "train", "step", leave=True) as work:
        for _ in range(5):
            work.update()
            clock.sleep(0.03)
    shown = sys.stderr.getvalue()
    assert "5/5" in shown
    assert not LINE.search(shown)


def test_only_the_first_process_of_a_launch_says_it(monkeypatch, capsys, clock):
    monkeypatch.setenv(INTERVAL_VARIABLE, "0.05")
    monkeypatch.setenv("RANK", "1")
    with Progress(5, "train", "step"):
        clock.sleep(0.2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", ["0", "-3", "soon", "nan"])
def test_an_interval_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv(INTERVAL_VARIABLE, value)
    with pytest.raises(InputError, match="must be a number of seconds above 0"):
        Progress(5, "train", "step")


def test_a_script_without_a_terminal_beats_on_stderr_and_keeps_stdout(tmp_path):
    result = run_script(
        "eval/bench/coverage.py",
        "--documents",
        "32",
        "--replicates",
        "20",
        "--out",
        str(tmp_path / "c.json"),
        "--quiet",
        OMP_NUM_THREADS="1",
        INFOAGENT_HEARTBEAT_SECONDS="0.2",
    )
    assert result.returncode == 0, result.stderr
    found = [LINE.fullmatch(line) for line in result.stderr.splitlines()]
    assert found
    assert all(line[1] == "coverage" for line in found)
    places = [int(line[3]) for line in found]
    assert places == sorted(places)
    assert "coverage: " not in result.stdout
    assert result.stdout.startswith("\n### 32 documents")


@pytest.fixture
def logging_as_before():
    root, ours = logging.getLogger(), logging.getLogger("infoagent")
    before = root.level, ours.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    ours.setLevel(before[1])
    root.handlers = before[2]


@pytest.mark.parametrize(
    ("level", "rank", "ours", "theirs"),
    [
        ("debug", "0", 4, 2),
        ("info", "0", 3, 2),
        (None, "0", 2, 2),
        ("error", "0", 1, 1),
        ("debug", "1", 2, 2),  # the other processes say the same
        ("error", "1", 1, 1),
    ],
)
def test_log_levels(level, rank, ours, theirs, monkeypatch, capsys, logging_as_before):
    monkeypatch.setenv("RANK", rank)

    def main():
        script_parser("x").parse_args([] if level is None else ["--log-level", level])
        for name in ("infoagent.some.module", "library"):
            for each_level in LEVELS:
                getattr(logging.getLogger(name), each_level)("%s of %s", each_level, name)

    for _ in range(2):  # set up anew, nothing is said twice
        assert exit_code(main) == 0
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert sum("of infoagent.some.module" in line for line in lines) == ours
        assert sum("of library" in line for line in lines) == theirs
        assert len(lines) == ours + theirs
        assert all(re.match(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) \S+: ", line) for line in lines)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(InputError, match="invalid choice: 'loud'"):
        script_parser("x").parse_args(["--log-level", "loud"])


SCRIPTS = sorted(p for folder in ("train", "eval") for p in (ROOT / folder).rglob("*.py") if p.name != "report.py")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_script_takes_a_log_level(script):
    """By its source: to start each of them would take minutes."""
    source = script.read_text()
    assert "script_arguments(" in source or "script_parser(" in source or "add_log_level(" in source
    assert "basicConfig" not in source


@pytest.mark.parametrize("command", ["compress", "score", "questions", "sweep", "merge"])
def test_commands_that_work_long_take_a_log_level(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli([command, "--help"])
    assert end.value.code == 0
    assert "--log-level" in capsys.readouterr().out
