"""How many cores may be used, where the machine has more of them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.lm.machine import cores
from infoagent.lm.machine.cores import threads, usable_cores


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """The control group /a/b of a machine of 64 cores; returns a writer of limits."""
    own = tmp_path / "cpu" / "a" / "b"
    own.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("1:name=systemd:/\n0::/cpu/a/b\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OF_THIS_PROCESS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda group, limit: (tmp_path / group / "cpu.max").write_text(limit)


def test_the_tightest_limit_above_a_process_holds(groups, monkeypatch):
    assert usable_cores() == 64
    groups("cpu/a/b", "max 100000\n")
    assert usable_cores() == 64
    groups("cpu", "1000000 100000\n")
    assert usable_cores() == 10
    groups("cpu/a", "250000 100000\n")
    assert usable_cores() == 3
    groups("cpu/a/b", "1000 100000\n")
    assert usable_cores() == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 9})
    groups("cpu/a/b", "max 100000\n")
    assert usable_cores() == 2


def test_the_first_edition_of_control_groups(groups, tmp_path):
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for quota, found in (("-1\n", 64), ("400000\n", 4), ("damaged", 64)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert usable_cores() == found


@pytest.mark.parametrize(("said", "found"), [("6", 6), ("4,2", 4), ("", 64), ("0", 64), ("many", 64)])
def test_threads_are_those_that_the_user_set(groups, monkeypatch, said, found):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == found


@given(st.text(max_size=20) | st.lists(st.floats() | st.integers(), min_size=2, max_size=2).map(lambda pair: "{} {}".format(*pair)))
def test_whatever_a_file_of_the_system_says_there_is_a_core(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "_groups", lambda: [FakeGroup(text)])
        assert 1 <= usable_cores() <= (os.cpu_count() or 1)


class FakeGroup:
    def __init__(self, text):
        self.text = text

    def __truediv__(self, _):
        return self

    def read_text(self, **_):
        return self.text
