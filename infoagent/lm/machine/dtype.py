"""Which floating-point type a device computes in where a setting says `auto`: bfloat16 or float32.

    device                                              auto
    CUDA of compute capability 8.0 and above, ROCm      bfloat16
    CUDA below (Turing and older)                       float32
    Apple's GPU from macOS 14 on, Intel's by torch      bfloat16
    processor with AVX512-BF16, AMX or Arm's BF16       bfloat16 if a product that is timed once is faster in it
    any other processor                                 float32

Everything that names a model goes through `resolve`: what reaches weights, records and keys is the type itself.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infoagent.lm.machine.processor import Measured, kept_measurement, listed_processor, measured_once, this_processor
from infoagent.progress import say
from infoagent.types import AUTO, InputError

logger = logging.getLogger(__name__)

BFLOAT16, FLOAT32 = "bfloat16", "float32"
FIRST_MACOS = (14, 0)
"""Whose Metal has bfloat16."""
DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd")
"""Files that tell of an accelerator: NVIDIA's driver, AMD's."""


_notes: list[str] = []
"""What is to be said of the choice when the first model is loaded."""


@dataclass(frozen=True)
class Choice:
    """A type and the reason, in words. `is_native` is False where the device only emulates bfloat16."""

    dtype: str
    why: str
    is_native: bool


def resolve(asked: str, device: str) -> str:
    """`asked`, or the type that `auto` means on `device` (cpu, cuda, cuda:1, mps, xpu)."""
    if asked != AUTO:
        return asked
    choice = choose(device)
    logger.info("dtype auto is %s: %s", choice.dtype, choice.why)
    return choice.dtype


def choose(device: str, measure: Callable[[], Measured] | None = None) -> Choice:
    """The type that `auto` means on `device`; `measure` stands in for the measurement that is kept."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        return _accelerator(*_without_bfloat16(int(index) if index else None))
    if kind == "mps":
        import torch

        has = torch.backends.mps.is_macos_or_newer(*FIRST_MACOS)
        return _accelerator("Apple's GPU", None if has else f"before macOS {FIRST_MACOS[0]}")
    if kind == "xpu":
        import torch

        has = torch.xpu.is_bf16_supported(including_emulation=False)
        return _accelerator(torch.xpu.get_device_name(), None if has else "its kind")
    return _on_processor(measure or measured_once)


def _accelerator(name: str, lacking: str | None) -> Choice:
    if lacking is not None:
        return Choice(FLOAT32, f"{name} has no bfloat16 arithmetic ({lacking})", False)
    return Choice(BFLOAT16, f"{name} has bfloat16 arithmetic", True)


def _without_bfloat16(index: int | None) -> tuple[str, str | None]:
    """(a GPU's name, its compute capability if it has no bfloat16). Without an index: the first that has none, since all
    processes of a launch compute in one type."""
    import torch

    cuda = torch.cuda
    for i in range(cuda.device_count()) if index is None else (index,):
        if not gpu_has_bfloat16(i):
            return cuda.get_device_name(i), "compute capability {}.{}".format(*cuda.get_device_capability(i))
    return cuda.get_device_name(index or 0), None


def gpu_has_bfloat16(index: int) -> bool:
    """Whether a CUDA or ROCm device computes in bfloat16 by itself. No context is opened on a device but the current."""
    import torch

    if torch.version.hip:
        return True
    if index == torch.cuda.current_device():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cuda.get_device_capability(index)[0] >= 8)


def _on_processor(measure: Callable[[], Measured]) -> Choice:
    processor = this_processor()
    if not processor.bfloat16:
        return Choice(FLOAT32, processor.lacks, False)
    return _measured(f"{processor.name} ({', '.join(processor.bfloat16)})", measure().ratio)


def _measured(name: str, ratio: float) -> Choice:
    why = f"{name} multiplies matrices in bfloat16 at {ratio:.2f} times float32's rate"
    return Choice(BFLOAT16 if ratio > 1 else FLOAT32, why, True)


def foresee() -> Choice | None:
    """The type that `auto` will mean here, as far as it can be told without torch; None: it is decided at the start."""
    if not _on_cpu() and has_accelerator():
        return None
    processor = listed_processor()
    if processor is None:
        return None
    if not processor.bfloat16:
        return Choice(FLOAT32, processor.lacks, False)
    kept = kept_measurement()
    return None if kept is None else _measured(f"{processor.name} ({', '.join(processor.bfloat16)})", kept.ratio)


def note(line: str) -> None:
    """Have `line` said when the first model is loaded."""
    _notes.append(line)


def say_notes() -> None:
    """Say what was noted, once and by the first process."""
    while _notes:
        line = _notes.pop(0)
        if os.environ.get("RANK", "0") == "0":
            say(line)


def has_accelerator() -> bool:
    """Whether torch may find one, told without torch."""
    try:
        built_for_cpu = importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        built_for_cpu = False
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    if built_for_cpu or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    return any(Path(file).exists() for file in DRIVERS)


def _on_cpu() -> bool:
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1", "yes")


def is_emulated(dtype: str, device: str) -> bool:
    """Whether `dtype` is a type for which `device` has no arithmetic of its own."""
    if dtype != BFLOAT16:
        return False
    return not this_processor().bfloat16 if device == "cpu" else not choose(device).is_native


def check_mixed_precision(device: str) -> None:
    """Raise InputError where `accelerate launch` was told to compute in bfloat16 and the GPUs have none: torch would
    emulate it, many times slower."""
    if os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "bf16" or device == "cpu":
        return
    found = choose(device)
    if not found.is_native:
        raise InputError(
            f"mixed_precision = bf16 (of accelerate): {found.why}; set mixed_precision: 'no' in the launch configuration, "
            "or start with: accelerate launch --mixed_precision no …"
        )
