"""How fast the prefix-shared scorer is: against scoring one by one, against vLLM, against the machine; in one run.

    python eval/bench/scoring_speed.py --out runs/scoring_speed.json        # --vllm where vLLM is installed

Real text (the Python reference) in exact lengths: seconds, tokens and values of each way, the share of the machine's own
matrix-multiply rate at the model's shapes, and a large job's tokens (8,000 / 150 / 20 × 20) counted as they pass.
"""

import sys
import time
from contextlib import closing

from infoagent.arguments import COUNT, written_by
from infoagent.config import exit_code, script_parser
from infoagent.types import AUTO, DTYPES


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", choices=DTYPES, default=AUTO)
    parser.add_argument("--prefixes", type=COUNT, default=8)
    parser.add_argument("--prefix-tokens", type=COUNT, default=1000)
    parser.add_argument("--continuations", type=COUNT, default=32)
    parser.add_argument("--continuation-tokens", type=COUNT, default=64)
    parser.add_argument("--vllm", action="store_true", help="score the same with vLLM's prompt_logprobs")
    parser.add_argument("--no-count", action="store_true", help="leave the large job out")
    parser.add_argument("--out", type=written_by("eval/bench/scoring_speed.py"), help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    sizes = {k: v for k, v in vars(arguments).items() if isinstance(v, int) and not isinstance(v, bool)}

    from infoagent.costs import Architecture, scoring_flops
    from infoagent.files import write_json
    from infoagent.lm.machine import device, dtype
    from infoagent.lm.models import find_by_name, load_weights
    from infoagent.lm.scoring.exact import Scorer
    from infoagent.store import provenance

    base, place = find_by_name(arguments.model), device.default_device()
    arguments.dtype = dtype.resolve(arguments.dtype, place)
    prefixes, continuations = texts(base.tokenizer, **sizes)
    engine = vllm_figures(base.reference, arguments.dtype, prefixes, continuations) if arguments.vllm else None
    model = load_weights(base.reference, arguments.dtype)
    shared, naive = Scorer(model), Scorer(model)
    shared.score(prefixes[:1], continuations[:1])  # the check of the first cell is made once for each scorer
    shared.prefix_tokens = shared.continuation_tokens = 0
    fast, shared_seconds = timed(lambda: shared.score(prefixes, continuations))
    slow, naive_seconds = timed(lambda: naive.score_one_by_one(prefixes, continuations))
    architecture = Architecture.from_config(model.config.get_text_config().to_dict())
    tokens = shared.prefix_tokens + shared.continuation_tokens
    work = (shared.prefix_tokens, shared.continuation_tokens, len(prefixes) * sum(map(len, continuations)))
    needed = scoring_flops(architecture, *work, past=arguments.prefix_tokens)
    rate = matrix_rate(architecture, arguments.dtype, place, rows=512)
    result = {
        "model": base.reference.name, "revision": base.reference.revision, "dtype": arguments.dtype, "device": place, **sizes,
        "shared_seconds": shared_seconds, "one_by_one_seconds": naive_seconds, "speedup": naive_seconds / shared_seconds,
        "largest_difference_nats": float(abs(fast - slow).max()), "shared_tokens": tokens,
        "one_by_one_tokens": naive.prefix_tokens + naive.continuation_tokens,
        "tokens_per_second": tokens / shared_seconds, "matrix_gflops_per_second": rate,
        "share_of_matrix_rate": needed / shared_seconds / 1e9 / rate,
    }  # fmt: skip
    if engine is not None:
        values, seconds = engine
        apart = float(abs(values - slow).max())
        result |= {"vllm_seconds": seconds, "speedup_over_vllm": seconds / shared_seconds, "vllm_largest_difference_nats": apart}
    if not arguments.no_count:
        result |= counted(prefix_tokens=8000, continuation_tokens=150, prefixes=20, samples=20)
    for name, value in result.items():
        if isinstance(value, float):
            print(f"{name:32} {value:,.4g}")
    if arguments.out:
        write_json(arguments.out, {**result, **provenance()})
    return 0


def texts(tokenizer, prefixes: int, prefix_tokens: int, continuations: int, continuation_tokens: int):
    """Prefixes and continuations of exact lengths, from different places of the Python reference."""
    from infoagent.data.registry import load_data
    from infoagent.lm.prompts import text_ids

    documents = load_data("python-reference", split="all").problems
    ids = [token for problem in documents for token in text_ids(tokenizer, problem.document)]
    ids *= 1 + (prefixes * prefix_tokens + continuations * continuation_tokens) // len(ids)
    cut = [ids[i * prefix_tokens : (i + 1) * prefix_tokens] for i in range(prefixes)]
    rest = ids[prefixes * prefix_tokens :]
    return cut, [rest[i * continuation_tokens : (i + 1) * continuation_tokens] for i in range(continuations)]


def timed(action):
    """(what it returns, its seconds)."""
    start = time.perf_counter()
    found = action()
    return found, time.perf_counter() - start


def vllm_figures(reference, dtype: str, prefixes, continuations):
    """(values, seconds) of vLLM on the same work, after a warm-up; before our model takes memory."""
    from infoagent.lm.vllm.engine import VllmEngine
    from infoagent.lm.vllm.scoring import VllmScorer

    length = len(prefixes[0]) + len(continuations[0]) + 1
    with closing(VllmEngine(reference, dtype, max_model_length=length)) as engine:
        (scorer := VllmScorer(engine)).score(prefixes[:1], continuations[:2])
        return timed(lambda: scorer.score(prefixes, continuations))


def counted(prefix_tokens: int, continuation_tokens: int, prefixes: int, samples: int) -> dict[str, float]:
    """Tokens that pass through a one-layer model for N documents and N · M compressions, against one prompt a pair."""
    import numpy as np
    from transformers import LlamaConfig, LlamaForCausalLM

    from infoagent.lm.scoring.exact import Scorer

    sizes = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, max_position_embeddings=16_384, **sizes)).eval()
    rng, scorer = np.random.default_rng(0), Scorer(model, pack_tokens=2048)
    scorer.score([[1, 2]], [[3, 4]])  # the look at the head and the check of the first cell come before the count
    passed = []
    model.model.layers[0].register_forward_hook(lambda _, inputs, __: passed.append(inputs[0].shape[1]))
    pairs = [rng.integers(32, size=n).tolist() for n in [prefix_tokens] * prefixes]
    scorer.score(pairs, [rng.integers(32, size=continuation_tokens).tolist() for _ in range(prefixes * samples)])
    naive = prefixes * prefixes * samples * (prefix_tokens + continuation_tokens)
    tokens, one_by_one = float(sum(passed)), float(naive)
    return {"large_job_tokens": tokens, "large_job_tokens_one_by_one": one_by_one, "large_job_ratio": one_by_one / tokens}


def matrix_rate(architecture, dtype: str, device: str, rows: int) -> float:
    """GFLOP/s of bare matrix products at the shapes of the model's layers and head, in their proportions."""
    import torch

    hidden, wide = architecture.hidden, architecture.intermediate
    shapes = ([(hidden, hidden)] * 2 + [(hidden, wide)] * 2 + [(wide, hidden)]) * architecture.layers
    shapes += [(hidden, architecture.vocabulary)]
    kind = getattr(torch, dtype)
    weights = {shape: torch.randn(shape[1], shape[0], dtype=kind, device=device) for shape in set(shapes)}
    inputs = {size: torch.randn(rows, size, dtype=kind, device=device) for size in {shape[0] for shape in shapes}}
    with torch.inference_mode():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            for shape in shapes:
                torch.nn.functional.linear(inputs[shape[0]], weights[shape])
            if device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return sum(2 * rows * a * b for a, b in shapes) / sorted(times[1:])[len(times[1:]) // 2] / 1e9


if __name__ == "__main__":
    sys.exit(exit_code(main))
