"""The device that models run on here, told without torch in this process: asked of a process of its own where there may be an
accelerator, and kept for as long as this one runs.

    python -P -m infoagent.lm.machine.told
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache

from infoagent.lm.machine import dtype
from infoagent.lm.machine.device import default_device, told_to_use_cpu
from infoagent.shipped import module_command, module_environment


@dataclass(frozen=True)
class Told:
    """`kind`: cpu, cuda or mps; `name`: of the model of an accelerator; `bfloat16`: whether it computes in that by itself."""

    kind: str = "cpu"
    name: str = ""
    bfloat16: bool = True


def device_told() -> Told:
    """What `default_device` will say here. The CPU where torch finds no accelerator, or cannot be asked."""
    if told_to_use_cpu() or not dtype.has_accelerator():
        return Told()
    return _asked()


@cache
def _asked() -> Told:
    if "torch" in sys.modules:
        return look()
    environment = {**module_environment(), "ACCELERATE_USE_CPU": "false"}
    done = subprocess.run(module_command("infoagent.lm.machine.told"), capture_output=True, text=True, env=environment)
    try:
        return Told(**json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, TypeError, IndexError):  # torch is broken: whoever needs it says so
        return Told()


def look() -> Told:
    import torch

    kind = default_device()
    if kind == "cpu":
        return Told()
    name = torch.cuda.get_device_name() if kind == "cuda" else ""
    return Told(kind, name, dtype.choose(kind).is_native)


if __name__ == "__main__":
    print(json.dumps(asdict(look())))
