"""How fast the prefix-shared scorer is, against scoring one by one, in one run.

    python eval/scoring_speed.py --out runs/scoring_speed.json

Real text (the Python reference) is cut into prefixes and continuations of exact lengths. Reported: seconds and tokens
of both ways, the largest difference of their values, the share of the machine's own matrix-multiply rate at the
model's shapes, and what the allocator's settings are worth.
"""

import argparse
import sys
import time

from infoagent.config import exit_code
from infoagent.types import InputError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--prefixes", type=int, default=8)
    parser.add_argument("--prefix-tokens", type=int, default=600)
    parser.add_argument("--continuations", type=int, default=32)
    parser.add_argument("--continuation-tokens", type=int, default=32)
    parser.add_argument("--out", help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    sizes = {k: v for k, v in vars(arguments).items() if isinstance(v, int)}
    if wrong := [f"--{k.replace('_', '-')} {v}: must be at least 1" for k, v in sizes.items() if v < 1]:
        raise InputError(wrong)

    import torch
    from transformers import AutoModelForCausalLM

    from infoagent.costs import Architecture
    from infoagent.lm.allocator import keep_freed_memory
    from infoagent.lm.models import default_device, load_tokenizer, resolve
    from infoagent.lm.scoring import Scorer
    from infoagent.store import provenance, write_json

    reference = resolve(arguments.model)
    device = default_device()
    model = (
        AutoModelForCausalLM.from_pretrained(reference.path, dtype=getattr(torch, arguments.dtype)).to(device).eval()
    )
    prefixes, continuations = texts(load_tokenizer(reference), **sizes)

    with torch.inference_mode():
        sample = torch.tensor(prefixes[:4], device=device)
        before = seconds(lambda: model(input_ids=sample, use_cache=False, logits_to_keep=1), repeats=3)
        settled = keep_freed_memory()
        after = seconds(lambda: model(input_ids=sample, use_cache=False, logits_to_keep=1), repeats=3)

    shared = Scorer(model)
    shared.score(prefixes[:1], continuations[:1])  # warm up
    shared.prefix_tokens = shared.continuation_tokens = 0
    start = time.perf_counter()
    fast = shared.score(prefixes, continuations)
    shared_seconds = time.perf_counter() - start
    naive = Scorer(model)
    start = time.perf_counter()
    slow = naive.score_one_by_one(prefixes, continuations)
    naive_seconds = time.perf_counter() - start

    architecture = Architecture.from_config(model.config.get_text_config().to_dict())
    tokens = shared.prefix_tokens + shared.continuation_tokens
    rate = matrix_rate(architecture, arguments.dtype, device, rows=min(1024, shared.max_pack_tokens))
    achieved = architecture.flops(tokens, arguments.prefix_tokens) / shared_seconds / 1e9
    result = {
        "model": reference.name, "revision": reference.revision, "dtype": arguments.dtype, "device": device, **sizes,
        "shared_seconds": shared_seconds, "one_by_one_seconds": naive_seconds, "speedup": naive_seconds / shared_seconds,
        "largest_difference_nats": float(abs(fast - slow).max()), "shared_tokens": tokens,
        "one_by_one_tokens": naive.prefix_tokens + naive.continuation_tokens,
        "tokens_per_second": tokens / shared_seconds, "matrix_gflops_per_second": rate,
        "achieved_gflops_per_second": achieved, "share_of_matrix_rate": achieved / rate,
        "allocator_kept": settled, "forward_seconds_default_allocator": before, "forward_seconds_kept": after,
        "allocator_speedup": before / after, **provenance(),
    }  # fmt: skip
    for name in ("shared_seconds", "one_by_one_seconds", "speedup", "largest_difference_nats", "tokens_per_second",
                 "share_of_matrix_rate", "allocator_speedup"):  # fmt: skip
        print(f"{name:26} {result[name]:,.4g}")
    if arguments.out:
        write_json(arguments.out, result)
    return 0


def texts(tokenizer, prefixes: int, prefix_tokens: int, continuations: int, continuation_tokens: int):
    """Prefixes and continuations of exact lengths, from different places of the Python reference."""
    from infoagent.data.registry import load_data
    from infoagent.lm.prompts import text_ids

    documents = load_data("python-reference", split="all").problems
    ids = [token for problem in documents for token in text_ids(tokenizer, problem.document)]
    needed = prefixes * prefix_tokens + continuations * continuation_tokens
    while len(ids) < needed:
        ids += ids
    cut = [ids[i * prefix_tokens : (i + 1) * prefix_tokens] for i in range(prefixes)]
    rest = ids[prefixes * prefix_tokens :]
    return cut, [rest[i * continuation_tokens : (i + 1) * continuation_tokens] for i in range(continuations)]


def seconds(action, repeats: int) -> float:
    """Median time of an action, after one warm-up."""
    import statistics

    import torch

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def matrix_rate(architecture, dtype: str, device: str, rows: int) -> float:
    """GFLOP/s of bare matrix products at the shapes of the model's layers and head, in their proportions."""
    import torch

    hidden, wide = architecture.hidden, architecture.intermediate
    shapes = [(hidden, hidden)] * 2 + [(hidden, wide)] * 2 + [(wide, hidden)]
    shapes = shapes * architecture.layers + [(hidden, architecture.vocabulary)]
    kind = getattr(torch, dtype)
    weights = {shape: torch.randn(shape[1], shape[0], dtype=kind, device=device) for shape in set(shapes)}
    inputs = {size: torch.randn(rows, size, dtype=kind, device=device) for size in {shape[0] for shape in shapes}}

    def multiply() -> None:
        for shape in shapes:
            torch.nn.functional.linear(inputs[shape[0]], weights[shape])

    with torch.inference_mode():
        return sum(2 * rows * a * b for a, b in shapes) / seconds(multiply, repeats=3) / 1e9


if __name__ == "__main__":
    sys.exit(exit_code(main))
