"""The clock that users feel: minutes from nothing to a compressor that is clearly better than the frozen model.

    python eval/bench/time_to_result.py RECIPE [RECIPE ...] [--gain 1.0] [--runs DIR] [--out FILE]

The recipes of train/sft.py and train/grpo.py run one after the other as a user would start them, each from the checkpoint of the one
before. The clock starts with the first process and stops when

    mean over the validation problems of hard MI − price · tokens  ≥  that of the frozen model + gain

stands in its metrics. The frozen model is measured before, on the same problems in the same way. What lies between two lines of a run's
files is counted to the later one: `start` until the recipe is checked and its data read, then `choosing`, `fitting`, `steps`,
`validation`. Nothing else should run on the machine.
"""

import json
import os
import sys
from pathlib import Path

from infoagent.arguments import real, written_by
from infoagent.config import exit_code, load_recipe, recipe_keys, script_parser
from infoagent.recipes import GRPORecipe, SFTRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.clock import METRIC, Clock
from infoagent.types import InputError, RunFailed


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("recipes", nargs="+", metavar="RECIPE", help="recipes in their order; key=value among them holds for all")
    parser.add_argument("--gain", type=real(0, above=True), default=1.0, help="nats above the frozen model")
    parser.add_argument("--runs", default="runs/time_to_result", help="where the runs go; must not exist")
    parser.add_argument("--out", type=written_by("eval/bench/time_to_result.py"), default="runs/time_to_result.json")
    arguments = parser.parse_args(argv)
    given = [text for text in arguments.recipes if "=" in text]
    arguments.recipes = [text for text in arguments.recipes if "=" not in text]
    recipes = [recipe_of(path, given) for path in arguments.recipes]
    if (runs := Path(arguments.runs)).exists():
        raise InputError(f"--runs {runs}: exists; the clock starts from nothing, so remove it or name another directory")

    from infoagent.files import write_json
    from infoagent.store import provenance

    frozen = frozen_value(recipes[0])
    print(f"frozen: {frozen:.3f} nats; wanted: {frozen + arguments.gain:.3f}", flush=True)
    clock = Clock(frozen + arguments.gain)
    last: str | None = None
    for path, recipe in zip(arguments.recipes, recipes, strict=True):
        last = clock.run(path, recipe, runs / Path(path).stem, last, given)
    result = {"recipes": [Path(p).as_posix() for p in arguments.recipes], "gain_nats": arguments.gain, "frozen_nats": frozen}
    result |= clock.found() | {"cpus": os.cpu_count()} | provenance()
    write_json(arguments.out, result)
    told = ("minutes", "reached_nats", "seconds", "scoring_share_of_step")
    print(json.dumps({name: result[name] for name in told if name in result}, indent=2))
    if "minutes" not in result:
        raise RunFailed(
            f"no checkpoint stood {arguments.gain:g} nats above the frozen model; what was measured stands in {arguments.out}"
        )
    return 0


def recipe_of(path: str, given: list[str]) -> TrainingRecipe:
    """The recipe of train/sft.py or train/grpo.py with validation. Raises InputError for any other."""
    schema: type[TrainingRecipe] = GRPORecipe if "grpo" in recipe_keys(path) else SFTRecipe
    recipe = load_recipe(schema, path, given)
    if recipe.validation is None:
        raise InputError(f"{path}: names no validation, so that nobody knows when it is better; set validation.metric={METRIC}")
    return recipe


def frozen_value(recipe: TrainingRecipe) -> float:
    """Mean of hard MI − price · tokens of the plain base on the validation problems, in nats."""
    from infoagent.lm.models import load_weights
    from infoagent.lm.scoring.exact import Scorer
    from infoagent.lm.settling import settle
    from infoagent.training.recipe_reward import build_reward
    from infoagent.training.validation import ValidationCallback
    from infoagent.training.validation_checks import plan_validation

    recipe = settle(recipe, False)
    longest = recipe.grpo.max_completion_tokens if isinstance(recipe, GRPORecipe) else recipe.sampling.max_completion_tokens
    plan = plan_validation(recipe, longest, 1, quiet=True)
    assert plan is not None
    model = load_weights(plan.prepared.reference, recipe.model.dtype).eval()
    reward = build_reward(recipe, plan.prepared, Scorer(model))
    return ValidationCallback(plan, reward, None).measure(model)[METRIC]


if __name__ == "__main__":
    sys.exit(exit_code(main))
