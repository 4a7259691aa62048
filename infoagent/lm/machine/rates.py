"""How fast this machine is now: a benchmark of some seconds, so that no estimate rests on a constant.

    python -P -m infoagent.lm.machine.rates float32

A small random transformer of the embedded model's widths reads 96 tokens, about what a candidate has
that its neighbour has not, writes for 16 rows and goes forward and backward.
What was measured is kept in the cache for an hour (machines change with what else runs on them), apart for each device, processor,
number of threads, version of torch, arithmetic type and limit on the instructions that torch may use. Beside other work it is kept
for five minutes, and the line says so: the rates are true for as long as that work runs.

The dry run asks here too and imports no torch: the benchmark then runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from infoagent.costs import Architecture
from infoagent.costs.rates import FORWARD_PASSES_OF_TRAINING, Rates
from infoagent.lm.cache import cache_root, keep, kept
from infoagent.lm.machine.cores import usable_cores
from infoagent.lm.machine.told import device_told
from infoagent.shipped import module_command, module_environment
from infoagent.types import RunFailed

KEPT_SECONDS, KEPT_BUSY_SECONDS = 3600.0, 300.0
READ_TOKENS, ROWS, PAST_TOKENS, WRITTEN_TOKENS = 96, 16, 160, 4
REPETITIONS = 3
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Environment variables that change how fast torch is."""
ORIGIN = "measured on this machine"
BUSY_FROM = 0.2
"""Share of all cores from which on other work is said to stand beside a benchmark."""
BUSY_SECONDS = 0.3
"""How long the cores are watched before it."""


def machine_rates(stated_gflops: float | None, dtype: str = "auto") -> Rates:
    """The rates of a recipe's cost section: the stated one, else what this machine does in arithmetic of `dtype`.

    Raises RunFailed where the benchmark fails.
    """
    if stated_gflops is not None:
        return Rates.stated(stated_gflops)
    file = _file(dtype)
    if (before := _measured_before(file)) is not None:
        return before
    busy = busy_share()
    if "torch" in sys.modules:
        found = measure(dtype)
    else:
        command = [*module_command("infoagent.lm.machine.rates"), dtype]
        done = subprocess.run(command, capture_output=True, text=True, env=module_environment())
        if done.returncode:
            cause = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise RunFailed(f"the speed of this machine could not be measured: {cause[0]}; set cost.gflops_per_second")
        found = json.loads(done.stdout.splitlines()[-1])
    found = {**found, "busy": busy}
    keep(file, found, "the speed of this machine")
    return _rates(found)


def _measured_before(file: Path) -> Rates | None:
    """None where it was not, or too long ago."""
    found = kept(file)
    try:
        age = time.time() - file.stat().st_mtime
        if found is None or age >= (KEPT_SECONDS if found.get("busy", 0.0) < BUSY_FROM else KEPT_BUSY_SECONDS):
            return None
        return _rates(found)
    except (OSError, LookupError, TypeError):  # gone meanwhile, or not what this version writes
        return None


def _rates(found: Mapping[str, float]) -> Rates:
    busy = found.get("busy", 0.0)
    origin = ORIGIN if busy < BUSY_FROM else f"{ORIGIN} while other work took {busy:.0%} of it"
    return Rates(found["reading"], found["writing"], found["training"], origin)


def busy_share() -> float:
    """Share of all cores that is taken just now, while this process waits: what other work takes."""
    return psutil.cpu_percent(BUSY_SECONDS) / 100


def measure(dtype: str) -> dict[str, float]:
    """{reading, writing, training} in GFLOP/s of the device that models are loaded on, the best of a few repetitions."""
    import torch
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    from infoagent.lm.machine.device import default_device
    from infoagent.lm.machine.dtype import resolve

    device = default_device()
    dtype = resolve(dtype, device)
    wide = 1 if device == "cpu" else 4  # an accelerator is idle behind matrices of a small model
    config = LlamaConfig(
        hidden_size=576 * wide,
        intermediate_size=1536 * wide,
        num_hidden_layers=4,
        num_attention_heads=9 * wide,
        num_key_value_heads=3 * wide,
        vocab_size=8192,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    architecture = Architecture.from_config(config.to_dict())
    random_state = torch.random.get_rng_state()
    model = LlamaForCausalLM(config).to(device, getattr(torch, dtype)).eval().requires_grad_(False)
    ids = torch.randint(0, 8192, (1, READ_TOKENS), device=device)
    torch.random.set_rng_state(random_state)  # a run draws what it would have drawn without the benchmark
    past = torch.zeros((ROWS, PAST_TOKENS), dtype=torch.long, device=device)
    token = past[:, :1]

    def best(work: Callable[[], Any]) -> float:
        work()
        times = []
        for _ in range(REPETITIONS):
            start = time.perf_counter()
            work()
            if device != "cpu":  # else only the handing over of the work would be timed
                torch.accelerator.synchronize()
            times.append(time.perf_counter() - start)
        return min(times)

    def write() -> None:
        if (written := cache.get_seq_length() - PAST_TOKENS) > 0:
            cache.crop(-written)
        for _ in range(WRITTEN_TOKENS):
            model(input_ids=token, past_key_values=cache, use_cache=True)

    def train() -> None:
        inputs = model.get_input_embeddings()(ids).requires_grad_()
        model(inputs_embeds=inputs, use_cache=False).logits.float().logsumexp(-1).sum().backward()

    read = architecture.flops(READ_TOKENS, READ_TOKENS / 2) / 1e9
    with torch.inference_mode():
        reading = best(lambda: model(input_ids=ids, use_cache=False))
        cache = DynamicCache(config=config)
        model(input_ids=past, past_key_values=cache, use_cache=True, logits_to_keep=1)
        writing = best(write)
    training = best(train)
    return {
        "reading": read / reading,
        "writing": architecture.flops(ROWS * WRITTEN_TOKENS, PAST_TOKENS) / 1e9 / writing,
        "training": FORWARD_PASSES_OF_TRAINING * read / training,
    }


def _file(dtype: str) -> Path:
    """Where the rates are kept of this device and this processor as they may be used now."""
    limits = [f"{name}={os.environ.get(name, '')}" for name in LIMITS]
    benchmark = f"{READ_TOKENS} {ROWS} {PAST_TOKENS} {WRITTEN_TOKENS}"
    device = device_told()
    processor = [platform.machine(), _processor(), str(os.cpu_count()), str(usable_cores())]
    machine = [*processor, device.kind, device.name, version("torch"), dtype, benchmark, *limits]
    return cache_root() / "rates" / f"{hashlib.sha256(' '.join(machine).encode()).hexdigest()[:16]}.json"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
