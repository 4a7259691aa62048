"""A training step's forward and backward, with the prompt of a group read once and with every completion its own.

    python eval/bench/training_speed.py [--model NAME] [--prompt 180] [--completion 32] [--group 8] [--prompts 2] [--out FILE]

Both ways are TRL's GRPO trainer on the same tokens in one run, taking turns, the faster of their repetitions each; the
log-probabilities and the gradient of the adapter are compared as well.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from infoagent.arguments import COUNT, whole, written_by
from infoagent.config import exit_code, script_parser
from infoagent.types import AUTO, DTYPES


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", choices=DTYPES, default=AUTO)
    parser.add_argument("--prompt", type=COUNT, default=180, help="tokens of a prompt")
    parser.add_argument("--completion", type=COUNT, default=32, help="tokens of a completion")
    parser.add_argument("--group", type=whole(1, 10**6), default=8, help="completions of a prompt")
    parser.add_argument("--prompts", type=COUNT, default=2)
    parser.add_argument("--repetitions", type=COUNT, default=3)
    parser.add_argument("--out", type=written_by("eval/bench/training_speed.py"), default="runs/training_speed.json")
    arguments = parser.parse_args(argv)

    import torch
    from trl import GRPOTrainer

    from infoagent.files import write_json
    from infoagent.store import provenance

    trainer, model = build(arguments)
    torch.manual_seed(0)
    prompts = torch.randint(10, 250, (arguments.prompts, arguments.prompt))
    rows = prompts.repeat_interleave(arguments.group, 0)
    ids = torch.cat([rows, torch.randint(10, 250, (len(rows), arguments.completion))], 1).to(model.device)
    shared, separate = type(trainer), GRPOTrainer
    found: dict[str, list[Any]] = {"shared": [], "separate": []}
    for _ in range(arguments.repetitions):
        for name, owner in (("shared", shared), ("separate", separate)):
            found[name].append(one_step(owner, trainer, model, ids, arguments.completion))
    seconds = {name: min(s for s, _, _ in runs) for name, runs in found.items()}
    (_, values, gradient), (_, plain_values, plain_gradient) = found["shared"][0], found["separate"][0]
    result = {
        "arguments": vars(arguments) | {"out": Path(arguments.out).name},
        "device": str(model.device),
        "seconds": seconds,
        "ratio": seconds["separate"] / seconds["shared"],
        "largest_difference_nats": float((values - plain_values).abs().max()),
        "gradient_relative_difference": float((gradient - plain_gradient).norm() / plain_gradient.norm()),
        "tokens": {
            "separate": len(rows) * (arguments.prompt + arguments.completion),
            "shared": arguments.prompts * (arguments.prompt - 1 + arguments.group * arguments.completion),
        },
        **provenance(),
    }
    write_json(arguments.out, result)
    print(json.dumps({k: v for k, v in result.items() if k in ("seconds", "ratio", "tokens")}, indent=2))
    print(
        f"values equal to {result['largest_difference_nats']:.1e} nats, gradients to "
        f"{result['gradient_relative_difference']:.1e}; record: {arguments.out}"
    )
    return 0


def build(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """A trainer as train/grpo.py makes it, as far as its log-probabilities need one, and its adapted model."""
    import contextlib

    from peft import LoraConfig, get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    from infoagent.lm.models import load
    from infoagent.training.grpo_trainer import trainer_class

    base = load(arguments.model, dtype=arguments.dtype).model
    add_fused_lm_head(base, outputs=("log_probs", "entropy"))
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainer = object.__new__(trainer_class("grpo"))
    trainer.__dict__.update(
        accelerator=SimpleNamespace(unwrap_model=lambda m: m, autocast=contextlib.nullcontext, is_main_process=False),
        state=SimpleNamespace(global_step=0),
        args=SimpleNamespace(report_to=[]),
        temperature=1.0,
    )
    return trainer, model.train()


def one_step(owner: Any, trainer: Any, model: Any, ids: Any, width: int) -> tuple[float, Any, Any]:
    """(seconds, log-probabilities, gradient) of one forward and backward."""
    import torch

    model.zero_grad()
    start = time.perf_counter()
    mask = torch.ones_like(ids)
    values, _, _ = owner._get_per_token_logps_and_entropies(trainer, model, ids, mask, width, compute_entropy=True)
    values.sum().backward()
    if ids.is_cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    gradient = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    return seconds, values.detach(), gradient


if __name__ == "__main__":
    sys.exit(exit_code(main))
