"""Does training come near the best that can be reached? Against limits that are known.

    python train/shannon.py configs/train/shannon.yaml [key=value ...] [--dry-run] [--quiet]

A document states four facts of known distribution, two of them with a default. A tiny language model learns to name
facts; then train/grpo.py trains it at several prices and seeds, and what it reaches is held against three limits:

    optimum   the best string for every document, of all strings, under the same scorer, negatives and price
    naming    codes that name some values of each fact, where silence tells as well
    Shannon   R(D) of the source: no language at all

Runs that are finished are kept; after a kill the same command goes on.
"""

import sys
from pathlib import Path

from infoagent.applications.shannon.recipe import ShannonRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = load_recipe(ShannonRecipe, arguments.recipe, arguments.overrides)
    if arguments.dry_run:
        return dry_run(recipe)
    from infoagent.training.policy import quiet_libraries

    with quiet_libraries():
        return experiment(recipe, arguments.quiet)


def experiment(recipe: ShannonRecipe, quiet: bool) -> int:
    from infoagent.applications.shannon.drawing import save_shannon, table
    from infoagent.applications.shannon.reached import one_thread, source_candidates
    from infoagent.applications.shannon.run import Limits, compare_run, compare_teacher, verdict
    from infoagent.applications.shannon.subruns import finished_checkpoint, run_all
    from infoagent.applications.shannon.tiny_lm import TinySettings, train_tiny_lm
    from infoagent.data.negatives import take_negatives
    from infoagent.data.registry import load_data
    from infoagent.files import hold, write_json
    from infoagent.store import check_output_dir, provenance

    check_output_dir(recipe.output_dir, "shannon")
    runs = [recipe.run(price, seed) for price in recipe.prices for seed in recipe.seeds]
    for run in runs:
        finished_checkpoint(run)  # a directory of another recipe is refused before the work
    hold(recipe.output_dir)
    write_json(Path(recipe.output_dir) / "run.json", {"kind": "shannon", "recipe": recipe.model_dump(mode="json"), **provenance()})
    one_thread()

    # 1. A language model that describes documents: any subset of the facts, truthfully.
    train_tiny_lm(f"{recipe.output_dir}/lm", TinySettings(**recipe.lm.model_dump()), quiet)

    # 2. Problems on which policies and optimum are compared, other draws than in training, and the limits there.
    test = load_data(**recipe.test.asked)
    drawn = take_negatives(test.problems, recipe.negatives.counts, recipe.negatives.seed, quiet)
    candidates = source_candidates(drawn.problems, drawn.negatives)
    limits = Limits.find(recipe, candidates, quiet)
    limits.check_prices(recipe)

    # 3. Reinforcement learning, for each price and seed.
    checkpoints = run_all(runs, recipe.processes, quiet)

    # 4. What each run reaches, and the teacher that chooses among pieces of the documents.
    rows = [compare_run(run, checkpoint, limits, recipe) for run, checkpoint in zip(runs, checkpoints, strict=True)]
    first = [recipe.run(price, recipe.seeds[0]) for price in recipe.prices]
    teachers = [compare_teacher(run, drawn.problems, drawn.negatives, limits, quiet) for run in first]
    found = {
        "recipe": recipe.model_dump(mode="json"),
        "data_revision": test.revision,
        "rows": rows,
        "teacher": teachers,
        "limits": limits.to_dict(recipe),
        "verdict": verdict(rows, recipe),
        **provenance(),
    }
    write_json(f"{recipe.output_dir}/shannon.json", found)
    for ending in ("png", "svg"):
        save_shannon(found, f"{recipe.output_dir}/shannon.{ending}")
    print(table(found))
    return 0


def dry_run(recipe: ShannonRecipe) -> int:
    """The resolved recipe and what it will take; torch is not imported."""
    from infoagent.data.sets.shannon import FACTS, all_states

    runs = len(recipe.prices) * len(recipe.seeds)
    words = 4 + sum(len(fact.values) for fact in FACTS)
    strings = sum((words - 1) ** length for length in range(recipe.longest + 1))
    print(recipe_yaml(recipe))
    print(
        f"plan: {recipe.lm.steps} steps of the tiny model, then {runs} runs of {recipe.grpo.steps} steps, "
        f"{recipe.processes} at a time\noptimum: {strings:,} strings for each of {len(all_states())} documents"
    )
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
