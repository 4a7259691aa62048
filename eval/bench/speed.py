"""How fast, and where the time goes: the scorer, a training step, its memory; one command, one JSON.

    python eval/bench/speed.py configs/train/speed.yaml [key=value ...] [--launch NAME] [--out FILE]

Three measurements, each in a process of its own: the scorer against the machine (eval/bench/scoring_speed.py), a training
step with its prompts read once against TRL's way (eval/bench/training_speed.py), and a run of train/grpo.py by the recipe,
whose own clocks say what sampling, scoring, reference, forward and backward took. Two short runs, with the
adapter-disabled base and with a scorer of its own weights, show what the first saves. On a GPU take
configs/train/gpu.yaml --launch single_gpu: vLLM samples where it can be imported, and the record says which engine did.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, median

from infoagent.arguments import written_by
from infoagent.config import exit_code, load_recipe, script_parser
from infoagent.lm.settling import settle
from infoagent.recipes import GRPORecipe
from infoagent.types import RunFailed

ROOT = Path(__file__).parents[2]
WARM_UP_STEPS = 2
TARGETS = {"scorer_share_of_matrix_rate": (">=", 0.60), "scoring_share_of_step": ("<=", 0.15)}


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("recipe", help="a recipe of train/grpo.py")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--launch", default="cpu", help="a configuration of accelerate_configs/ (default cpu)")
    parser.add_argument("--out", type=written_by("eval/bench/speed.py"), default="runs/speed/speed.json")
    arguments = parser.parse_intermixed_args(argv)
    overrides = list(arguments.overrides)
    recipe = settle(load_recipe(GRPORecipe, arguments.recipe, overrides))
    if recipe.vllm.enabled and importlib.util.find_spec("vllm") is None:
        print("vLLM is not installed: the model's own generate samples", file=sys.stderr)
        overrides.append("vllm.enabled=false")
        recipe = settle(load_recipe(GRPORecipe, arguments.recipe, overrides))

    from infoagent.files import read_jsonl, write_json
    from infoagent.store import provenance

    out = Path(arguments.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    model = ["--model", recipe.model.name, "--dtype", recipe.model.dtype]
    scorer = part("eval/bench/scoring_speed.py", [*model, "--no-count"], out.with_name("scoring.json"))
    packed = part("eval/bench/training_speed.py", model, out.with_name("training.json"))

    def steps(*more: str, **environment: str) -> list[dict]:
        run(
            [
                str(Path(sys.executable).with_name("accelerate")),
                "launch",
                "--config_file",
                str(ROOT / f"accelerate_configs/{arguments.launch}.yaml"),
                str(ROOT / "train/grpo.py"),
                arguments.recipe,
                *overrides,
                "resume=false",
                *more,
            ],
            **environment,
        )
        return list(read_jsonl(Path(load_recipe(GRPORecipe, arguments.recipe, [*overrides, *more]).output_dir) / "metrics.jsonl"))

    def peak_gib(name: str, *more: str) -> float:
        """Of a short run that gives freed memory back: else holes in glibc's heap would hide what is alive."""
        short = [f"output_dir={recipe.output_dir}-{name}", f"grpo.steps={WARM_UP_STEPS}", f"grpo.save_steps={WARM_UP_STEPS}"]
        return steps(*short, *more, MALLOC_MMAP_THRESHOLD_="131072")[-1]["memory/peak_gib"]

    rows = steps()
    shared = peak_gib("one-copy")
    own = peak_gib("second-copy", f"scorer.model.name={recipe.model.name}", f"scorer.model.dtype={recipe.model.dtype}")
    result = {
        "model": recipe.model.name, "dtype": recipe.model.dtype, "launch": arguments.launch,
        "sampler": "vllm" if recipe.vllm.enabled else "transformers",
        "completions": recipe.grpo.prompts_per_step * recipe.grpo.num_generations,
        "group": recipe.grpo.num_generations, "negatives": recipe.negatives.total,
        **step_figures(rows[WARM_UP_STEPS:], recipe),
        "peak_memory_gib": rows[-1]["memory/peak_gib"],
        "peak_memory_given_back_gib": shared,
        "second_copy_gib": own - shared,
        "scorer_share_of_matrix_rate": scorer["share_of_matrix_rate"],
        "scorer_tokens_per_second": scorer["tokens_per_second"],
        "scorer_speedup_over_one_by_one": scorer["speedup"],
        "packed_step_speedup_over_separate_rows": packed["ratio"],
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    for name, (sign, bound) in TARGETS.items():
        met = result[name] >= bound if sign == ">=" else result[name] <= bound
        print(f"{name} {result[name]:.1%}, wanted {sign} {bound:.0%}: {'met' if met else 'NOT met'}")
    write_json(out, {**result, "overrides": overrides, "recipe": arguments.recipe, **provenance()})
    return 0


def run(command: list[str], **environment: str) -> None:
    """Raise RunFailed where a part fails; its own lines have said why."""
    if subprocess.run(command, stdout=sys.stderr, env={**os.environ, **environment}).returncode:
        raise RunFailed(f"{Path(command[-1]).name if len(command) < 3 else command[1]}: this part failed, see above")


def part(script: str, options: list[str], out: Path) -> dict:
    run([sys.executable, str(ROOT / script), *options, "--out", str(out)])
    return json.loads(out.read_text(encoding="utf-8"))


def step_figures(rows: list[dict], recipe: GRPORecipe) -> dict:
    """Seconds (medians over steps: a machine may stall in one) and shares by phase, tokens a second."""
    seconds = {
        name: median(row[f"time/{name}_seconds"] for row in rows) for name in ("generation", "scoring", "reference", "update")
    }
    step = sum(seconds.values())
    sampled = recipe.grpo.prompts_per_step * recipe.grpo.num_generations * mean(row["rate/tokens"] for row in rows)
    return {
        "steps": len(rows),
        "step_seconds": step,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        **{f"{name}_share_of_step": value / step for name, value in seconds.items()},
        "sampled_tokens_per_second": sampled / seconds["generation"],
        "sampled_tokens_per_second_of_step": sampled / step,
    }


if __name__ == "__main__":
    sys.exit(exit_code(main))
