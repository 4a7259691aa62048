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
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from infoagent.arguments import real, written_by
from infoagent.config import exit_code, load_recipe, recipe_keys, script_parser
from infoagent.recipes import GRPORecipe, SFTRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.types import InputError, RunFailed

METRIC = "objective/hard_nats"
SCRIPTS: dict[type[TrainingRecipe], str] = {SFTRecipe: "train/sft.py", GRPORecipe: "train/grpo.py"}
POLL_SECONDS = 0.2


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
    print(
        json.dumps(
            {k: v for k, v in result.items() if k in ("minutes", "reached_nats", "seconds", "scoring_share_of_step")}, indent=2
        )
    )
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


class Clock:
    """Runs trainers, watches their files and tells where the time went."""

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted
        self.began = time.monotonic()
        self.seconds: Counter[str] = Counter()
        self.validations: list[dict[str, float]] = []
        self.reached: dict[str, Any] = {}
        self.shares: list[float] = []

    def run(self, path: str, recipe: TrainingRecipe, out: Path, adapter: str | None, given: list[str]) -> str:
        """Run one recipe to its end; its last checkpoint. Raises RunFailed with the end of its log if it fails."""
        command = [sys.executable, SCRIPTS[type(recipe)], path, *given, f"output_dir={out}", "tracking.wandb=disabled", "--quiet"]
        command += [] if adapter is None else [f"init_adapter={adapter}"]
        out.parent.mkdir(parents=True, exist_ok=True)
        log = out.parent / f"{out.name}.log"
        with log.open("w") as written:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True)
            watch, before = Watch(out), time.monotonic()
            while process.poll() is None or watch.pending():
                for kind, row in watch.new():
                    now = time.monotonic()
                    self.note(kind, row, now - before)
                    before = now
                time.sleep(POLL_SECONDS)
            assert process.stdout is not None
            said = process.stdout.read().split()
        if process.returncode != 0 or not said:
            raise RunFailed(f"{' '.join(command[1:3])} failed; the end of {log}: {log.read_text()[-300:]}")
        return said[-1]

    def note(self, kind: str, row: dict[str, Any], seconds: float) -> None:
        if not self.reached:
            self.seconds[kind] += seconds
        if "scorer/share_of_step" in row:
            self.shares.append(row["scorer/share_of_step"])
        value = row.get(f"validation/{METRIC}")
        if value is None:
            return
        minutes = (time.monotonic() - self.began) / 60
        self.validations.append({"minutes": minutes, "nats": value, "tokens": row["validation/rate/tokens"]})
        print(f"{minutes:.1f} min: {value:.3f} nats at {row['validation/rate/tokens']:.1f} tokens", flush=True)
        if value >= self.wanted and not self.reached:
            self.reached = {"minutes": minutes, "reached_nats": value, "tokens": row["validation/rate/tokens"]}

    def found(self) -> dict[str, Any]:
        """What is known; without `minutes` where the gain was not reached."""
        shares = self.shares[2:] or self.shares  # the first steps warm the machine up
        share = {"scoring_share_of_step": sum(shares) / len(shares)} if shares else {}
        seconds = {kind: round(value, 1) for kind, value in self.seconds.items()}
        return {**self.reached, "seconds": seconds, "validations": self.validations, **share}


class Watch:
    """New lines of a run's files, in the order in which they are seen."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seen: Counter[str] = Counter()

    def new(self) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        for name in ("run.json", "candidates.jsonl", "metrics.jsonl"):
            lines = self._whole_lines(name)
            for line in lines[self.seen[name] :]:
                row = json.loads(line) if name == "metrics.jsonl" else {}
                found.append((kind_of(name, row), row))
            self.seen[name] = len(lines)
        return found

    def pending(self) -> bool:
        return any(len(self._whole_lines(name)) > self.seen[name] for name in ("candidates.jsonl", "metrics.jsonl"))

    def _whole_lines(self, name: str) -> list[str]:
        file = self.out / name
        if not file.is_file():
            return []
        if name == "run.json":
            return ["{}"]
        return file.read_text().split("\n")[:-1]


def kind_of(name: str, row: dict[str, Any]) -> str:
    """What the time before a line was spent on."""
    if name == "run.json":
        return "start"
    if name == "candidates.jsonl":
        return "choosing"
    if any(key.startswith("validation/") for key in row):
        return "validation"
    return "steps" if "time/update_seconds" in row else "fitting"


if __name__ == "__main__":
    sys.exit(exit_code(main))
