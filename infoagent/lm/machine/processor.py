"""Bfloat16 arithmetic of a processor: whether it has it, and whether it is faster than float32, measured once.

A processor without the instructions still takes bfloat16 matrices and works on them number by number: a product of 512
rows takes 5 times what float32 takes, small kernels far more. What a processor has is told by torch; where torch must
not be imported (--dry-run), by /proc/cpuinfo. A product at the sizes of small language models is timed once and kept in
the cache, by processor, torch version and what the environment forces.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from infoagent.files import write_json
from infoagent.lm.cache import cache_root

logger = logging.getLogger(__name__)

FORCING = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables by which a processor is told to work as an older one: torch's kernels, and its products (the
last is the second's older name)."""
OLDER_KERNELS = ("default", "avx2")
OLDER_PRODUCTS = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
WITHOUT_TILES = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512", "AVX10_2_512")
"""Values of oneDNN's variable that leave no bfloat16 arithmetic, and those that leave AVX512-BF16 without AMX."""

X86, ARM = ("AVX512-BF16", "AMX-BF16"), ("Arm BF16", "SVE BF16")
FLAGS = {
    "AVX2": {"avx2"}, "AVX512": {"avx512f"}, "AVX512-BF16": {"avx512_bf16"}, "AMX-BF16": {"amx_tile", "amx_bf16"},
    "Arm BF16": {"bf16"}, "SVE BF16": {"svebf16"},
}  # fmt: skip
"""What /proc/cpuinfo calls them."""

SHAPES = ((512, 576, 1536), (16, 2048, 2048))
"""(rows, inputs, outputs) of the timed products: a prompt at the sizes of a model of 135 M weights, a step of decoding
at those of 1 B."""
SMALL_SHAPE, HOPELESS = (64, 576, 576), 0.25
"""Where a small product already runs below this share of float32's rate, larger ones would take long and tell no more."""
REPEATS = 5


@dataclass(frozen=True)
class Processor:
    """`has`: names of FLAGS. `forced`: what the environment takes away, as NAME=value."""

    name: str
    has: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()

    @property
    def bfloat16(self) -> tuple[str, ...]:
        """The instructions for bfloat16 products that it has and may use; empty where these are emulated."""
        left = [name for name in self.has if name in (*X86, *ARM)]
        for entry in self.forced:
            variable, _, value = entry.partition("=")
            taken: tuple[str, ...]
            if variable == FORCING[0]:
                taken = X86 if value.lower() in OLDER_KERNELS else ()
            else:
                older, no_tiles = value.upper() in OLDER_PRODUCTS, value.upper() in WITHOUT_TILES
                taken = X86 if older else ("AMX-BF16",) if no_tiles else ()
            left = [name for name in left if name not in taken]
        return tuple(left)

    @property
    def lacks(self) -> str:
        """Why it has no bfloat16 arithmetic, in words."""
        if any(name in (*X86, *ARM) for name in self.has):
            return f"{self.name}: {' '.join(self.forced)} takes its bfloat16 arithmetic away"
        known = ", ".join(self.has) or "none of its instructions for it"
        return f"{self.name} has no bfloat16 arithmetic ({known})"


@dataclass(frozen=True)
class Measured:
    """Billions of operations a second in products of matrices; `ratio` is bfloat16's rate over float32's, a geometric
    mean over the shapes."""

    float32_gflops: float
    bfloat16_gflops: float
    ratio: float


def this_processor() -> Processor:
    """What torch tells of it."""
    import torch

    told = dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}

    def asked(name: str, *capabilities: str) -> bool:
        question = getattr(torch.cpu, name, None)  # underscored in torch, so it may go
        return bool(question()) if question is not None else all(told.get(c) for c in capabilities)

    found = {
        "AVX2": asked("_is_avx2_supported", "avx2"),
        "AVX512": asked("_is_avx512_supported", "avx512_f"),
        "AVX512-BF16": asked("_is_avx512_bf16_supported", "avx512_bf16"),
        "AMX-BF16": asked("_is_amx_tile_supported", "amx_tile") and told.get("amx_bf16", True),
        "Arm BF16": bool(told.get("bf16")),
        "SVE BF16": bool(told.get("sve_bf16")),
    }
    return Processor(processor_name(), tuple(name for name, there in found.items() if there), forced())


def listed_processor() -> Processor | None:
    """What /proc/cpuinfo tells of it, without torch; None where there is no such file."""
    flags = _listed_flags()
    if flags is None:
        return None
    return Processor(processor_name(), tuple(name for name, needed in FLAGS.items() if needed <= flags), forced())


def forced() -> tuple[str, ...]:
    return tuple(f"{name}={os.environ[name]}" for name in FORCING if os.environ.get(name))


def processor_name() -> str:
    name = _cpuinfo().get("model name") or platform.processor() or platform.machine()
    return " ".join(name.split())


def _listed_flags() -> set[str] | None:
    entries = _cpuinfo()
    return set((entries.get("flags") or entries.get("features") or "").split()) if entries else None


def _cpuinfo() -> dict[str, str]:
    """The entries of the first processor; the kernel reports what all of them have."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    return {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


# ---- the measurement ------------------------------------------------------------------------------------------


def kept_measurement() -> Measured | None:
    """What was measured before on this processor with this torch, under the same forcing; None where it was not."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return Measured(**{name: float(content[name]) for name in Measured.__annotations__})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: it is measured anew


def measured_once(measure: Callable[[], Measured] | None = None) -> Measured:
    """The kept measurement, or a new one, which is then kept. Of processes that measure at the same time the first one's
    holds for all, so that the ranks of a launch choose alike."""
    found = kept_measurement()
    if found is not None:
        return found
    found = (measure or time_products)()
    try:
        _keep(found)
    except OSError as error:
        logger.warning("the measured rate of bfloat16 cannot be kept in %s: %s", _file().parent, error.strerror)
        return found
    return kept_measurement() or found


def _keep(found: Measured) -> None:
    file = _file()
    work = file.with_name(f".{file.stem}.{os.getpid()}.json")
    about = {"processor": processor_name(), "forced": forced(), "torch": importlib.metadata.version("torch")}
    write_json(work, {**asdict(found), **about, "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    try:
        if kept_measurement() is None:
            file.unlink(missing_ok=True)  # a damaged one
        os.link(work, file)  # fails where another process was first
    except FileExistsError:
        pass
    finally:
        work.unlink()


def _file() -> Path:
    decides = [processor_name(), sorted(_listed_flags() or ()), importlib.metadata.version("torch"), forced()]
    name = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]
    return cache_root() / "bfloat16" / f"{name}.json"


def time_products(device: str = "cpu") -> Measured:
    """Products in both types, one after the other in turn, so that a load that comes and goes falls on both."""
    import torch

    def seconds(shape: tuple[int, int, int], repeats: int) -> dict[Any, float]:
        rows, inputs, outputs = shape
        took: dict[Any, list[float]] = {torch.float32: [], torch.bfloat16: []}
        given = {
            t: (torch.ones(rows, inputs, dtype=t, device=device), torch.ones(inputs, outputs, dtype=t, device=device)) for t in took
        }
        for repeat in range(repeats + 1):
            for kind, (a, b) in given.items():
                start = time.perf_counter()
                (a @ b)[0, 0].item()  # waits for the product on an accelerator
                if repeat:  # the first one prepares kernels
                    took[kind].append(time.perf_counter() - start)
        return {kind: median(times) for kind, times in took.items()}

    with torch.no_grad():
        small = seconds(SMALL_SHAPE, 1)
        if small[torch.float32] < HOPELESS * small[torch.bfloat16]:
            timed = {SMALL_SHAPE: seconds(SMALL_SHAPE, REPEATS)}
        else:
            timed = {shape: seconds(shape, REPEATS) for shape in SHAPES}
    operations = 2.0 * sum(rows * inputs * outputs for rows, inputs, outputs in timed) / 1e9
    rates = {kind: operations / sum(found[kind] for found in timed.values()) for kind in (torch.float32, torch.bfloat16)}
    ratio = geometric_mean(found[torch.float32] / found[torch.bfloat16] for found in timed.values())
    return Measured(rates[torch.float32], rates[torch.bfloat16], ratio)
