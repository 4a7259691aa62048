"""The memory plan against whole runs: `infoagent plan`'s figures and the peaks of real GRPO steps on the CPU.

    python eval/bench/training_memory.py [--model NAME] [--shape key=value,...] [--no-heap] [--out FILE]

Every shape is a run of train/grpo.py; the kernel says what its processes took. Freed tensors are given back, because the
plan counts what is alive; the heap as glibc keeps it is measured beside it. More than TOLERANCE off fails the command.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from infoagent.arguments import written_by
from infoagent.config import exit_code, script_parser
from infoagent.files import write_json, write_jsonl
from infoagent.store import provenance
from infoagent.types import InputError, RunFailed

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 0.15
IMPORTS = "from infoagent.training import artifacts, audit_callback, callbacks, engine, grpo_trainer, preparation, validation"
BASELINE = f"{IMPORTS}; grpo_trainer.trainer_class('grpo'); import resource; print(resource.getrusage(0).ru_maxrss * 1024)"


@dataclass(frozen=True)
class Shape:
    """One run; `micro` 0: all completions of a process in one pass."""

    dtype: str = "bfloat16"
    document: int = 500
    completion: int = 16
    group: int = 4
    prompts: int = 1
    micro: int = 0
    processes: int = 1  # or 2


SHAPES = (
    Shape("bfloat16", document=1000, group=8), Shape("float32", document=1000, group=2),
    Shape("bfloat16", document=500, prompts=2), Shape("float32", document=500, prompts=2),
    Shape("bfloat16", document=500, prompts=2, micro=4),
    Shape("bfloat16", document=250, group=8, prompts=2, completion=32),
    Shape("float32", document=250, group=8, prompts=2, completion=64),  # beyond whole logits
    Shape("bfloat16", document=1000, prompts=2, processes=2),
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--shape", action="append", help="a shape in place of the standing ones, e.g. group=2,micro=2")
    parser.add_argument("--no-heap", action="store_true", help="leave out the runs with the default allocator")
    parser.add_argument("--out", type=written_by("eval/bench/training_memory.py"), default="runs/training_memory.json")
    arguments = parser.parse_args(argv)
    shapes = [parsed(text) for text in arguments.shape] if arguments.shape else SHAPES

    from infoagent.lm.models import resolve
    from infoagent.lm.reference import load_tokenizer

    rows, tokenizer = [], load_tokenizer(resolve(arguments.model))
    framework = float(subprocess.check_output([sys.executable, "-c", BASELINE], cwd=ROOT, text=True).split()[-1])
    for number, shape in enumerate(shapes, start=1):
        with tempfile.TemporaryDirectory() as directory:
            command, prompt_tokens = prepare(shape, arguments.model, tokenizer, Path(directory))
            peaks = run(command, Path(directory), {"MALLOC_MMAP_THRESHOLD_": "131072"})[: shape.processes]
            heap = [] if arguments.no_heap else run(command, Path(directory), {})[: shape.processes]
        plan = planned(shape, arguments.model, prompt_tokens, framework)
        measured = {"prompt_tokens": prompt_tokens, "peak_bytes": peaks, "heap_bytes": heap}
        told = {"planned_bytes": plan.total, "planned_over_peak": plan.total / max(peaks), **asdict(plan)}
        rows.append({**asdict(shape), **measured, **told})
        figures = ", ".join(f"{value / 2**30:.2f}" for value in (plan.total, peaks[0], *heap[:1]))
        print(f"{number} of {len(shapes)}: {shape}: GiB planned, peak, peak with the heap kept: {figures}")
    record = {"model": Path(arguments.model).name, "tolerance": TOLERANCE, "framework_bytes": framework, "rows": rows}
    write_json(arguments.out, {**record, **provenance()})
    off = [str(i) for i, row in enumerate(rows, start=1) if abs(row["planned_over_peak"] - 1) > TOLERANCE]
    if off:
        raise RunFailed(f"off by more than {TOLERANCE:.0%}: run {', '.join(off)}; record: {arguments.out}")
    print(f"all within {TOLERANCE:.0%}; record: {arguments.out}")
    return 0


def parsed(text: str) -> Shape:
    kinds = {f.name: str if f.name == "dtype" else int for f in fields(Shape)}
    try:
        return Shape(**{key: kinds[key](value) for key, value in (part.split("=") for part in text.split(","))})
    except (KeyError, ValueError) as error:
        raise InputError(f"--shape {text}: give key=value,… of {', '.join(kinds)}; numbers are whole") from error


def prepare(shape: Shape, model: str, tokenizer: Any, directory: Path) -> tuple[list[str], int]:
    """(the command of a run on documents of so many tokens, tokens of its longest prompt)."""
    from infoagent.data.registry import load_data
    from infoagent.lm.detokenization import decode_whole
    from infoagent.lm.prompts import compressor_ids, text_ids

    text, query = " ".join(p.document for p in load_data("records", split="train", limit=100).problems), "What is said?"
    tokens, count = text_ids(tokenizer, text), max(2, shape.prompts)
    documents = [decode_whole(tokenizer, tokens[i * shape.document :][: shape.document]) for i in range(count)]
    write_jsonl(directory / "data.jsonl", ({"id": str(i), "document": d, "query": query} for i, d in enumerate(documents)))
    launch = ["-m", "accelerate.commands.launch", "--config_file", "accelerate_configs/cpu_2proc.yaml"]
    settings = {
        "output_dir": directory / "run", "resume": "false", "model.name": model, "model.dtype": shape.dtype,
        "data.name": "jsonl", "data.split": "all", "data.path": directory / "data.jsonl", "negatives.random": 1,
        "negatives.counterfactual": 0, "grpo.steps": 2, "grpo.save_steps": 2, "grpo.prompts_per_step": shape.prompts,
        "grpo.num_generations": shape.group, "grpo.max_completion_tokens": shape.completion,
        "grpo.micro_batch": shape.micro or shape.prompts * shape.group // shape.processes,
    }  # fmt: skip
    command = [sys.executable, *(launch if shape.processes == 2 else []), "train/grpo.py", "configs/train/speed.yaml"]
    longest = max(len(compressor_ids(tokenizer, document, query)) for document in documents)
    return [*command, *(f"{key}={value}" for key, value in settings.items()), "--quiet"], longest


def planned(shape: Shape, model: str, prompt_tokens: int, framework: float) -> Any:
    from infoagent.costs import LAYOUTS, SINGLE, Workload, step_memory
    from infoagent.lm.sizes import architecture_of

    each, layout = shape.prompts * shape.group // shape.processes, SINGLE if shape.processes == 1 else LAYOUTS[0]
    work = Workload(prompt_tokens, shape.completion, shape.group, each, shape.micro or each, shape.dtype)
    return step_memory(architecture_of(model), work, layout, shape.processes, "cpu", framework)


def run(command: list[str], directory: Path, settings: dict[str, str]) -> list[float]:
    """Peak resident bytes of every process of a run, the largest first."""
    import psutil

    peaks: dict[int, float] = {}
    shutil.rmtree(directory / "run", ignore_errors=True)
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log)
        while process.poll() is None:
            for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                with contextlib.suppress(OSError):  # it has ended since it was listed
                    if found := re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{one.pid}/status").read_text()):
                        peaks[one.pid] = 1024 * float(found[1])
            time.sleep(0.05)
    if not process.returncode:
        return sorted(peaks.values(), reverse=True)
    raise RunFailed(f"{' '.join(command)}: code {process.returncode}: {(directory / 'log').read_text()[-500:]}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
