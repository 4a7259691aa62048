"""What `infoagent doctor` looks at, as plain values. Nothing is judged here, nothing is written, no network is asked."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infoagent.grading.sandbox import SandboxFailed, why_unprotected
from infoagent.lm.cache import cache_root
from infoagent.lm.embedded import EMBEDDED, find_gguf, is_prepared
from infoagent.lm.machine import dtype, processor
from infoagent.lm.machine.cores import usable_cores
from infoagent.lm.machine.device import default_device
from infoagent.mirror import login_source, wandb_mode
from infoagent.types import InputError

GIB = 2**30
IMPORT_SECONDS = 180
TOOLS = ("g++", "ninja", "nvcc")
"""What DeepSpeed builds its operators with when it first needs them."""
DEEPSPEED_OPERATORS = (
    "from deepspeed.ops.op_builder import CPUAdamBuilder, FusedAdamBuilder\n"
    "bad = [b.NAME for b in (CPUAdamBuilder(), FusedAdamBuilder()) if not b.is_compatible(verbose=False)]\n"
    "assert not bad, 'operators that cannot be built here: ' + ', '.join(bad)"
)


@dataclass(frozen=True)
class Package:
    """A requirement of infoagent; `extra` is set where it is optional."""

    name: str
    wanted: str
    version: str | None
    extra: str | None = None
    conflicts: tuple[str, ...] = ()
    """What of its own requirements on packages of infoagent is not met."""


@dataclass(frozen=True)
class Device:
    name: str
    total_gib: float
    free_gib: float
    bfloat16: bool


@dataclass(frozen=True)
class Torch:
    """`cuda`: the CUDA version it is built for; None of a CPU build. `error`: why torch or CUDA cannot be used."""

    cuda: str | None = None
    devices: tuple[Device, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Arithmetic:
    """`has`: AVX2, AVX512-BF16, …; `native`: those for bfloat16 that may be used. `ratio`: bfloat16's rate over float32's
    in products of matrices on the processor. `chosen`: what dtype auto is on the device that would be used."""

    processor: str
    has: tuple[str, ...]
    native: tuple[str, ...]
    ratio: float
    chosen: str
    why: str
    on_processor: bool = True
    forced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A directory that is written to. `used_gib` is None where it is not measured."""

    what: str
    path: str
    free_gib: float
    writable: bool
    used_gib: float | None = None


@dataclass(frozen=True)
class Machine:
    python: str = "3.11.0"
    system: str = "Linux x86_64"
    cores: int = 1
    omp_threads: str | None = None
    memory_gib: tuple[float, float] | None = None
    """(total, available)."""
    shared_memory_gib: float | None = None
    packages: tuple[Package, ...] = ()
    driver: str | None = None
    """Version of the NVIDIA driver; None where there is none."""
    driver_cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver runs; None where its library was not found."""
    visible_devices: str | None = None
    torch: Torch = Torch()
    arithmetic: Arithmetic | None = None
    """None where torch cannot tell."""
    named_bfloat16: tuple[str, ...] = ()
    """Where the recipes that were asked about name bfloat16, as RECIPE: section.dtype."""
    places: tuple[Place, ...] = ()
    hub_token: str | None = None
    """Where it was found, never the token."""
    offline_flags: tuple[str, ...] = ()
    wandb_mode: str = "offline"
    """Or the reason why there is none."""
    wandb_login: str | None = None
    accelerate_default: str | None = None
    """A configuration that `accelerate launch` follows where none is named."""
    tools: dict[str, bool] = field(default_factory=dict)
    embedded: dict[str, tuple[bool, str]] = field(default_factory=dict)
    """Model → (ready, what to do else)."""
    unprotected: str | None = None
    """Why code that a model writes cannot be kept apart here."""
    imports: dict[str, str | None] | None = None
    """Engine → why it cannot be imported; None where that was not asked."""


def look(imports: bool = False, named_bfloat16: Sequence[str] = ()) -> Machine:
    """This machine. With `imports` the installed engines are imported, each in a process of its own."""
    torch = _torch()
    packages = _packages()
    engines = [p.name for p in packages if p.name in ("vllm", "deepspeed") and p.version is not None]
    driver, driver_cuda = _driver()
    try:
        mode = str(wandb_mode("auto"))
    except InputError as error:
        mode = error.problems[0]
    offline = [n for n in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE") if _is_set(n)]
    default = _hub_home() / "accelerate" / "default_config.yaml"
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=usable_cores(),
        omp_threads=os.environ.get("OMP_NUM_THREADS"),
        memory_gib=_memory(),
        shared_memory_gib=shutil.disk_usage("/dev/shm").total / GIB if Path("/dev/shm").is_dir() else None,
        packages=tuple(packages),
        driver=driver,
        driver_cuda=driver_cuda,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        torch=torch,
        arithmetic=None if torch.error is not None and torch.cuda is None else _arithmetic(),
        named_bfloat16=tuple(named_bfloat16),
        places=(
            _place("here", Path.cwd()),
            _place("cache", cache_root(), measured=True),
            _place("hub cache", Path(os.environ.get("HF_HUB_CACHE") or _hub_home() / "hub"), measured=True),
        ),
        hub_token=_hub_token(),
        offline_flags=tuple(offline),
        wandb_mode=mode,
        wandb_login=login_source(),
        accelerate_default=str(default) if _is_there(default) else None,
        tools={name: shutil.which(name) is not None for name in TOOLS},
        embedded={model.name: _embedded(model.name) for model in EMBEDDED.values()},
        unprotected=_unprotected(),
        imports={name: _import_error(name) for name in engines} if imports else None,
    )


def _packages() -> list[Package]:
    from packaging.requirements import Requirement

    required, optional = [], []
    for line in importlib.metadata.requires("infoagent") or []:
        wanted = Requirement(line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", str(wanted.marker or ""))
        if extra is None:
            required.append(Package(wanted.name, str(wanted.specifier), version_of(wanted.name)))
        elif extra[1] == wanted.name:  # an extra of the package's own name: an engine
            version = version_of(wanted.name)
            conflicts = _conflicts(wanted.name) if version else ()
            optional.append(Package(wanted.name, str(wanted.specifier), version, extra[1], conflicts))
    return [*required, *optional]


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _conflicts(name: str) -> tuple[str, ...]:
    from packaging.requirements import Requirement

    found = []
    for line in importlib.metadata.requires(name) or []:
        wanted = Requirement(line)
        have = version_of(wanted.name) if wanted.name in ("torch", "transformers") else None
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if applies and have is not None and not wanted.specifier.contains(have.split("+")[0], prereleases=True):
            found.append(f"{wanted.name}{wanted.specifier}")
    return tuple(found)


def _memory() -> tuple[float, float] | None:
    if "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    file = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", file.read_text()) if file.is_file() else None
    page = os.sysconf("SC_PAGE_SIZE")
    available = int(found[1]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * page
    return os.sysconf("SC_PHYS_PAGES") * page / GIB, available / GIB


def _driver() -> tuple[str | None, tuple[int, int] | None]:
    """From the kernel's module and the driver's own library; `nvidia-smi` need not be there."""
    file = Path("/proc/driver/nvidia/version")
    found = re.search(r"\b(\d{3,}\.\d+(\.\d+)?)\b", file.read_text()) if file.is_file() else None
    number = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))
    except (OSError, AttributeError):
        failed = 1
    cuda = None if failed or not number.value else (number.value // 1000, number.value % 1000 // 10)
    return (found[1] if found else None), cuda


def _torch() -> Torch:
    if version_of("torch") is None:
        return Torch(error="not installed")
    try:
        import torch
    except (ImportError, OSError) as error:
        return Torch(error=str(error).splitlines()[0])
    if torch.version.cuda is None:
        return Torch()
    try:
        torch.cuda.init()
        devices = [_device(torch, i) for i in range(torch.cuda.device_count())]
    except (RuntimeError, AssertionError) as error:
        return Torch(torch.version.cuda, error=str(error).splitlines()[0])
    return Torch(torch.version.cuda, tuple(devices))


def _device(torch: object, index: int) -> Device:
    cuda = torch.cuda  # type: ignore[attr-defined]
    free, total = cuda.mem_get_info(index)
    return Device(cuda.get_device_name(index), total / GIB, free / GIB, dtype.gpu_has_bfloat16(index))


def _arithmetic() -> Arithmetic:
    found, device = processor.this_processor(), default_device()
    rates = processor.kept_measurement() or processor.time_products()
    choice = dtype.choose(device, lambda: rates)
    on_processor = device == "cpu"
    return Arithmetic(found.name, found.has, found.bfloat16, rates.ratio, choice.dtype, choice.why, on_processor, found.forced)


def _place(what: str, path: Path, measured: bool = False) -> Place:
    there = path
    while not _is_there(there) and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free / GIB
    return Place(what, str(path), free, os.access(there, os.W_OK), _size(path) / GIB if measured else None)


def _is_there(path: Path) -> bool:
    """False too where this user may not look: what lies in another user's home is none of ours."""
    try:
        return path.exists()
    except OSError:
        return False


def _size(directory: Path) -> int:
    """Bytes of the files below, links not followed: the hub's cache names each file twice."""
    found = (Path(folder) / name for folder, _, names in os.walk(directory) for name in names)
    return sum(file.lstat().st_size for file in found if not file.is_symlink() and file.exists())


def _hub_home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser()


def _hub_token() -> str | None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name):
            return name
    file = Path(os.environ.get("HF_TOKEN_PATH") or _hub_home() / "token").expanduser()
    return str(file) if _is_there(file) else None


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")


def _embedded(name: str) -> tuple[bool, str]:
    model = EMBEDDED[name]
    if is_prepared(model):
        return True, ""
    try:
        find_gguf(model)
    except InputError as error:
        return False, error.problems[0]
    return False, f"installed, not converted yet; run: infoagent models prepare {name}"


def _unprotected() -> str | None:
    try:
        return why_unprotected()
    except SandboxFailed as error:
        return str(error)


def _import_error(name: str) -> str | None:
    code = f"import {name}\n" + (DEEPSPEED_OPERATORS if name == "deepspeed" else "")
    try:
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=IMPORT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"was not imported within {IMPORT_SECONDS} s"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1]
