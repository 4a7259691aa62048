"""Two processes on one output directory: the second says who holds it and ends; the first comes to its end undisturbed."""

import os
import signal
import subprocess

import pytest
import test_grpo
import test_kills
from conftest import eventually, run_script, start_script

COMMANDS = (test_kills.grid, test_kills.grpo)


@pytest.mark.parametrize("make", COMMANDS, ids=lambda make: make.__name__)
def test_the_second_is_told_who_holds_the_directory(make, tiny_dir, tmp_path):
    out = tmp_path / "out"
    command = make(tiny_dir, out)
    first = start_script(*command, stderr=subprocess.PIPE, **test_kills.QUIET)
    lock = out / ".lock"
    eventually(lambda: first.poll() is not None or (lock.is_file() and lock.read_text()))
    assert first.poll() is None, first.communicate()
    os.kill(first.pid, signal.SIGSTOP)
    try:
        held = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        second = run_script(*command, **test_kills.QUIET)
        assert second.returncode == 2, second.stderr
        [line] = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
        assert f"is being written by process {first.pid} on " in line
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == held
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert first.wait(500) == 0, first.communicate()
    again = run_script(*command, **test_kills.QUIET)  # it is free again
    assert again.returncode == 0, again.stderr


def test_two_trainings_begun_at_once(tiny_dir, tmp_path):
    """Whichever is first, one trains and the other is refused; the run is what one alone makes."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert run_script(*test_kills.grpo(tiny_dir, alone), "grpo.steps=3", **test_kills.QUIET).returncode == 0
    command = [*test_kills.grpo(tiny_dir, both), "grpo.steps=3"]
    processes = [start_script(*command, stderr=subprocess.PIPE, **test_kills.QUIET) for _ in range(2)]
    codes = [process.wait(500) for process in processes]
    # on a machine that is slow to start the second it finds a finished run, which is as good
    assert sorted(codes) in ([0, 2], [0, 0]), [process.communicate() for process in processes]
    assert test_grpo.trajectory(both) == [pytest.approx(row, abs=1e-4) for row in test_grpo.trajectory(alone)]
