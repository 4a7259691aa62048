"""Sampling on the CPU: single-token attention as two products (infoagent/lm/machine/attention.py) against torch's fused kernel.

    python eval/bench/generation_speed.py [--model NAME] [--prompt 190] [--completion 32] [--group 8] [--prompts 2] [--out FILE]

Both ways sample from the same prompts in one run, taking turns, the faster of their repetitions each; that the
distribution is the same is checked on the first sampled position's logits.
"""

import sys
import time

from infoagent.arguments import COUNT, whole, written_by
from infoagent.config import exit_code, script_parser
from infoagent.types import AUTO, DTYPES


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", choices=DTYPES, default=AUTO)
    parser.add_argument("--prompt", type=COUNT, default=190, help="tokens of a prompt")
    parser.add_argument("--completion", type=COUNT, default=32, help="tokens of a completion")
    parser.add_argument("--group", type=whole(1, 10**6), default=8, help="completions of a prompt")
    parser.add_argument("--prompts", type=COUNT, default=2)
    parser.add_argument("--repetitions", type=COUNT, default=4)
    parser.add_argument("--out", type=written_by("eval/bench/generation_speed.py"), default="runs/generation_speed.json")
    arguments = parser.parse_args(argv)

    import torch

    from infoagent.files import write_json
    from infoagent.lm.generation import shared_cache
    from infoagent.lm.machine.attention import NAME
    from infoagent.lm.models import load
    from infoagent.store import provenance

    model = load(arguments.model, dtype=arguments.dtype, device="cpu").model
    torch.manual_seed(0)
    ids = torch.randint(10, model.config.get_text_config().vocab_size, (arguments.prompts, arguments.prompt))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    many = {name: rows.repeat_interleave(arguments.group, 0) for name, rows in batch.items()}
    exactly = {"max_new_tokens": arguments.completion, "min_new_tokens": arguments.completion}
    seconds: dict[str, list[float]] = {"sdpa": [], NAME: []}
    logits = {}
    for _ in range(arguments.repetitions):
        for name in seconds:
            model.set_attn_implementation(name)
            with torch.no_grad():
                start = time.perf_counter()
                model.generate(
                    **many,
                    past_key_values=shared_cache(model, batch, arguments.group),
                    do_sample=True,
                    top_k=0,
                    temperature=1.0,
                    pad_token_id=0,
                    **exactly,
                )
                seconds[name].append(time.perf_counter() - start)
                cache = shared_cache(model, batch, 1)
                last = model(input_ids=ids[:, -1:], attention_mask=batch["attention_mask"], past_key_values=cache)
            logits[name] = last.logits.float().log_softmax(-1)
    fused, products = min(seconds["sdpa"]), min(seconds[NAME])
    result = {
        "fused_kernel_seconds": fused,
        "products_seconds": products,
        "speedup": fused / products,
        "tokens_per_second": len(many["input_ids"]) * arguments.completion / products,
        "mean_difference_nats": float((logits["sdpa"] - logits[NAME]).abs().mean()),
    }
    for name, value in result.items():
        print(f"{name:24} {value:,.4g}")
    write_json(arguments.out, {"arguments": vars(arguments) | {"out": None}, **result, **provenance()})
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
