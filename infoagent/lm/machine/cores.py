"""CPU affinity and quota: how many cores this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OF_THIS_PROCESS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that the scheduler gives to this process (taskset, SLURM, docker --cpuset-cpus), and no more than its control group
    has time for (docker --cpus, a limit of Kubernetes): threads beyond that only wait for each other."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([given, *(math.ceil(quota) for quota in _quotas() if 0 < quota < math.inf)]))


def threads() -> int:
    """Of a program that computes on the CPU: what OMP_NUM_THREADS says, else all cores that it may use."""
    said = re.match(r"\s*(\d{1,6})\b", os.environ.get("OMP_NUM_THREADS", ""))  # a list is of nested levels
    return (int(said[1]) if said else 0) or usable_cores()


def _quotas() -> Iterator[float]:
    """In cores: of the control group of this process and of all above it."""
    for directory in _groups():
        try:
            quota, period = (directory / "cpu.max").read_text(encoding="utf-8").split()
            yield float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):  # "max", or no such group: no limit here
            continue
    try:  # the first edition of control groups
        quota, period = (
            (CGROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip() for name in ("quota", "period")
        )
        yield float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass


def _groups() -> list[Path]:
    try:
        lines = OF_THIS_PROCESS.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    inside = next((line.partition("::")[2].strip("/") for line in lines if line.startswith("0::")), "")
    own = CGROUPS / inside
    return [own, *(parent for parent in own.parents if parent.is_relative_to(CGROUPS))]
