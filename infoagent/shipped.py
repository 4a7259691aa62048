"""Where the files of the checkout lie that travel with the package: scripts, launch configurations, base recipes.

In a clone they stand beside the package, where people read and change them; an installed wheel carries copies of them
(`infoagent/wheel.py`). Nothing imports a script: it is run by its path.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infoagent.types import InputError

PACKAGE = Path(__file__).resolve().parent
CARRIED = PACKAGE / "checkout"
"""Of a wheel; a clone has none."""


def root() -> Path:
    """The folder that holds train/, eval/, configs/ and accelerate_configs/."""
    return CARRIED if CARRIED.is_dir() else PACKAGE.parent


def shipped(name: str) -> Path:
    """The path of a file or folder, e.g. `train/grpo.py`. Raises InputError where this installation has none."""
    found = root() / name
    if not found.exists():
        raise InputError(f"{name}: is not in {root()}; install infoagent anew from its wheel, or run it from a clone")
    return found


def module_command(name: str) -> list[str]:
    """A module run as a program of its own. -P: the folder that a user stands in, which may hold a `statistics.py`, is no place
    to take modules from."""
    return [sys.executable, "-P", "-m", name]


def module_environment() -> dict[str, str]:
    """Of such a program where it is one of this package: it finds the package that runs here, installed or not."""
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
