"""The warm process that scripts of tests are forked from: what a script can see is what a fresh interpreter shows it."""

import json
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, run_killed_at, run_script, start_script

LOOKS = """
import atexit, json, os, sys
from pathlib import Path
assert __name__ == "__main__"
atexit.register(lambda: print("at exit"))
print(json.dumps([sys.argv, sys.path[0], os.getcwd(), os.environ["GIVEN"], sorted(set(os.environ) - {"JE_ARROW_MALLOC_CONF"})]))
print("word", file=sys.stderr)
Path(sys.argv[1]).write_text("one")
Path(sys.argv[1]).write_text("two")
sys.exit(eval(sys.argv[2]))
"""


@pytest.fixture
def looks(tmp_path):
    path = tmp_path / "looks.py"
    path.write_text(LOOKS)
    return path


@pytest.mark.parametrize("left", ["0", "None", "3", "'no such thing'", "1 / 0"])
def test_a_forked_script_is_as_a_fresh_one(looks, tmp_path, left):
    arguments = [str(looks), str(tmp_path / "out.txt"), left, "é  ü"]
    forked, fresh = (run_script(*arguments, GIVEN="x", fresh=fresh) for fresh in (False, True))
    assert (forked.returncode, forked.stdout) == (fresh.returncode, fresh.stdout)
    assert forked.stderr.splitlines()[0] == fresh.stderr.splitlines()[0] == "word"
    assert forked.stderr.splitlines()[-1] == fresh.stderr.splitlines()[-1]
    assert json.loads(forked.stdout.splitlines()[0])[2] == str(ROOT)
    assert forked.stdout.endswith("at exit\n")


def test_it_is_killed_where_it_is_told_to(looks, tmp_path):
    out = tmp_path / "out.txt"
    run_killed_at("out.txt#2", str(looks), str(out), "0", GIVEN="x")
    assert out.read_text() == "one"
    with pytest.raises(AssertionError, match="did not come to"):
        run_killed_at("out.txt#3", str(looks), str(out), "0", GIVEN="x")


def test_it_is_waited_for_stopped_and_ended(tmp_path):
    path = tmp_path / "waits.py"
    path.write_text("import sys, time\nprint('here', flush=True)\ntime.sleep(600)\n")
    process = start_script(str(path), stdout=subprocess.PIPE)
    assert process.stdout.readline() == "here\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == -signal.SIGTERM == process.poll()
    process.kill()  # of one that has ended: nothing


def test_no_script_takes_what_another_needs(tmp_path):
    """Each in its turn has wandb's folder for tables, which is removed when its owner ends."""
    path = tmp_path / "folder.py"
    path.write_text("import os, wandb.sdk.data_types._private as p; print(os.path.isdir(p.MEDIA_TMP.name))")
    assert [run_script(str(path)).stdout for _ in range(2)] == ["True\n"] * 2
    assert sys.modules.get("warm") is not None
