"""What is right and wrong about a machine, in words. Pure: a Machine goes in, findings come out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infoagent.cli.doctor.machine import Device, Machine, Package, Place
from infoagent.parsing import whole_number

OK, NOTE, WARNING, WRONG = "ok", "note", "warning", "wrong"
FULL_GIB, LOW_GIB = 1.0, 10.0
"""Free disk space below which nothing can be written for long, and below which checkpoints soon fill it."""
LOW_MEMORY_GIB = 2.0
LOW_SHARED_GIB = 1.0
BUSY_SHARE = 0.5
"""Of a GPU's memory that is held by others."""


@dataclass(frozen=True)
class Finding:
    """`state`: ok; note, nothing to do for most; warning, something will go worse than it could; wrong, fix it first."""

    name: str
    state: str
    found: str
    advice: str = ""


def judge(machine: Machine) -> list[Finding]:
    return [
        _python(machine),
        *(_package(p) for p in machine.packages),
        *_engines(machine),
        *_accelerator(machine),
        *_arithmetic(machine),
        _memory(machine),
        *_shared_memory(machine),
        _threads(machine),
        *(_place(p) for p in machine.places),
        *_embedded(machine),
        _code(machine),
        *_hub(machine),
        _accelerate(machine),
        _wandb(machine),
    ]


def _python(machine: Machine) -> Finding:
    found = f"{machine.python} on {machine.system}"
    if tuple(int(part) for part in machine.python.split(".")[:2]) < (3, 11):
        return Finding("python", WRONG, found, "3.11 or newer is needed")
    return Finding("python", OK, found)


def _package(package: Package) -> Finding:
    required = package.extra is None
    target = f"{package.name}{package.wanted}" if required else f"infoagent[{package.extra}]"
    install = f"run: pip install '{target}'"
    if package.version is None:
        if required:
            return Finding(package.name, WRONG, "missing", install)
        return Finding(package.name, NOTE, "not installed (optional)", install)
    worse = WRONG if required else WARNING
    if not _within(package.version, package.wanted):
        return Finding(package.name, worse, f"{package.version} is outside {package.wanted}", install)
    if package.conflicts:
        return Finding(package.name, worse, f"{package.version} wants {', '.join(package.conflicts)}, which is not here", install)
    return Finding(package.name, OK, package.version)


def _within(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version.split("+")[0], prereleases=True)


def _engines(machine: Machine) -> Iterator[Finding]:
    installed = {p.name for p in machine.packages if p.version is not None}
    lacking = [name for name in ("g++", "ninja") if not machine.tools.get(name, False)]
    if machine.torch.devices and not machine.tools.get("nvcc", False):
        lacking.append("nvcc")
    if "deepspeed" in installed and lacking:
        yield Finding(
            "deepspeed tools",
            NOTE,
            f"without {', '.join(lacking)} no operator can be built, such as CPU Adam for offload",
            "install them if a configuration offloads the optimizer",
        )
    for name, error in (machine.imports or {}).items():
        if error is None:
            yield Finding(f"import {name}", OK, "works")
        else:
            yield Finding(f"import {name}", WARNING, error, f"run: pip install --force-reinstall 'infoagent[{name}]'")


def _accelerator(machine: Machine) -> Iterator[Finding]:
    torch, driver = machine.torch, machine.driver_cuda
    driver_name = f"driver {machine.driver or 'of unknown version'}"
    if driver is not None:
        yield Finding("driver", OK, f"{machine.driver or 'version unknown'}, runs CUDA up to {_dotted(driver)}")
    elif machine.driver is not None:
        yield Finding(
            "driver",
            WARNING,
            f"{machine.driver}, but its library libcuda.so.1 is not found",
            "in a container: start it with --gpus all (NVIDIA_DRIVER_CAPABILITIES=compute,utility)",
        )
    if torch.error is not None and torch.cuda is None:
        yield Finding(
            "import torch", WRONG, f"cannot be imported: {torch.error}", "install it anew: pip install --force-reinstall torch"
        )
        return
    if torch.cuda is None:
        if driver is None:
            yield Finding("accelerator", OK, "none: everything runs on the CPU (accelerate_configs/cpu.yaml)")
        else:
            yield Finding(
                "accelerator",
                WARNING,
                "torch is a build for the CPU, the GPU stays unused",
                f"install a build for CUDA {driver[0]} (https://pytorch.org/get-started)",
            )
        return
    built = tuple(int(part) for part in torch.cuda.split(".")[:2])
    if driver is None and machine.driver is not None:
        return  # said above
    if driver is None:
        yield Finding(
            "accelerator",
            NOTE,
            f"none, though torch is built for CUDA {torch.cuda}: everything runs on the CPU",
            "with a GPU in the machine: install its driver",
        )
        return
    if built[0] > driver[0]:  # within a major version newer builds run on older drivers
        yield Finding(
            "accelerator",
            WARNING,
            f"torch is built for CUDA {torch.cuda}, {driver_name} runs {_dotted(driver)}: no GPU is used",
            f"update the driver, or install a torch for CUDA {driver[0]}",
        )
        return
    if torch.error is not None or not torch.devices:
        hidden = machine.visible_devices is not None
        yield Finding(
            "accelerator",
            WARNING,
            f"no GPU can be used: {torch.error or 'none is visible'}",
            f"CUDA_VISIBLE_DEVICES={machine.visible_devices!r}: unset it, or name a device"
            if hidden
            else "see `nvidia-smi`; a restart of the machine or container often helps",
        )
        return
    several = "single_gpu" if len(torch.devices) == 1 else "multi_gpu"
    yield Finding("accelerator", OK, f"CUDA {torch.cuda}, {len(torch.devices)} GPU (accelerate_configs/{several}.yaml)")
    for number, device in enumerate(torch.devices):
        yield _device(number, device)


def _device(number: int, device: Device) -> Finding:
    name, found = f"gpu {number}", f"{device.name}, {device.free_gib:.0f} of {device.total_gib:.0f} GiB free"
    if not device.bfloat16:
        advice = "dtype auto is float32 there, as with model.dtype=float32; set mixed_precision: 'no' in launch configurations"
        return Finding(name, WARNING, found + ", no bfloat16", advice)
    if device.free_gib < BUSY_SHARE * device.total_gib:
        return Finding(name, WARNING, found, "another program holds the rest, `nvidia-smi` names it")
    return Finding(name, OK, found + ", bfloat16")


def _arithmetic(machine: Machine) -> Iterator[Finding]:
    found = machine.arithmetic
    if found is None:
        return
    has = ", ".join(found.has) or "none of the instructions asked for"
    forced = "".join(f", {entry}" for entry in found.forced)
    yield Finding("processor", OK, f"{found.processor}: {has}{forced}")
    how = "computed" if found.native else "emulated"
    rate = f"bfloat16 is {how} at {found.ratio:.2g} times float32's rate on the processor"
    auto = f"dtype auto is {found.chosen}" if found.on_processor else f"dtype auto is {found.chosen}: {found.why}"
    yield Finding("arithmetic", OK, f"{auto}; {rate}")
    if found.native or not found.on_processor:
        return
    for place in machine.named_bfloat16:
        yield Finding("recipe", WARNING, f"{place} is bfloat16, which is emulated here", "leave it out, or set it to auto")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _memory(machine: Machine) -> Finding:
    if machine.memory_gib is None:
        return Finding("memory", NOTE, "unknown on this system")
    total, available = machine.memory_gib
    found = f"{available:.1f} of {total:.1f} GiB available"
    if available < LOW_MEMORY_GIB:
        return Finding("memory", WARNING, found, "end other programs, or lower batch sizes and memory_mib")
    return Finding("memory", OK, found)


def _shared_memory(machine: Machine) -> Iterator[Finding]:
    if machine.shared_memory_gib is None:
        return
    found = f"{machine.shared_memory_gib:.1f} GiB in /dev/shm"
    if machine.shared_memory_gib < LOW_SHARED_GIB:
        advice = "several GPUs and vLLM need more; in a container: docker run --shm-size=8g"
        yield Finding("shared memory", WARNING, found, advice)
    else:
        yield Finding("shared memory", OK, found)


def _threads(machine: Machine) -> Finding:
    found = f"{machine.cores} usable"
    threads = machine.omp_threads
    if threads is None:
        return Finding("cores", OK, found)
    found += f", OMP_NUM_THREADS={threads}"
    number = whole_number(threads)
    if number is None or not 1 <= number <= machine.cores:
        return Finding("cores", WARNING, found, f"set it to a number from 1 to {machine.cores}, or unset it")
    if number < machine.cores and not machine.torch.devices:
        return Finding("cores", NOTE, found, "one process on the CPU is faster with all: unset it")
    return Finding("cores", OK, found)


def _place(place: Place) -> Finding:
    used = "" if place.used_gib is None else f", {place.used_gib:.1f} GiB used"
    found = f"{place.path}{used}, {place.free_gib:.0f} GiB free"
    if not place.writable:
        return Finding(place.what, WRONG, f"{found}, not writable", f"{_elsewhere(place)}, or change its permissions")
    if place.free_gib < FULL_GIB:
        return Finding(place.what, WRONG, found, f"free some space, or {_elsewhere(place)}")
    if place.free_gib < LOW_GIB:
        return Finding(place.what, WARNING, found, f"checkpoints and models soon fill that: free some, or {_elsewhere(place)}")
    return Finding(place.what, OK, found)


def _elsewhere(place: Place) -> str:
    variable = {"cache": "INFOAGENT_CACHE", "hub cache": "HF_HOME"}.get(place.what)
    return f"set {variable} to another disk" if variable else "work on another disk"


def _embedded(machine: Machine) -> Iterator[Finding]:
    for name, (ready, advice) in machine.embedded.items():
        yield Finding(name, OK, "ready") if ready else Finding(name, NOTE, "not ready", advice)


def _code(machine: Machine) -> Finding:
    if machine.unprotected is None:
        return Finding("code", OK, "what a model writes can be run apart from your files, keys and network")
    return Finding(
        "code",
        NOTE,
        f"what a model writes cannot be kept apart here: {machine.unprotected}",
        "grading.method=code needs a machine that lets users make namespaces, or grading.unprotected=true in a container made for it",
    )


def _hub(machine: Machine) -> Iterator[Finding]:
    if machine.offline_flags:
        flags = ", ".join(machine.offline_flags)
        yield Finding("hub", NOTE, f"offline by {flags}", "unset it where a model or data set is to be fetched")
    elif machine.hub_token is None:
        yield Finding("hub", NOTE, "no token", "only gated models need one: hf auth login, or HF_TOKEN")
    else:
        yield Finding("hub", OK, f"token from {machine.hub_token}")


def _accelerate(machine: Machine) -> Finding:
    if machine.accelerate_default is None:
        return Finding("launch default", OK, "no default configuration that could interfere")
    return Finding(
        "launch default",
        NOTE,
        f"{machine.accelerate_default} holds for every launch that names no configuration",
        "launch with --config_file accelerate_configs/NAME.yaml",
    )


def _wandb(machine: Machine) -> Finding:
    login = f"login from {machine.wandb_login}" if machine.wandb_login else "no login"
    if machine.wandb_mode not in ("online", "offline", "disabled"):
        return Finding("W&B", WARNING, machine.wandb_mode)
    if machine.wandb_mode == "online" or machine.wandb_login:
        return Finding("W&B", OK, f"{machine.wandb_mode}, {login}")
    return Finding("W&B", NOTE, f"{machine.wandb_mode}, {login}: runs are kept here", "wandb login, or WANDB_API_KEY, to send them")
