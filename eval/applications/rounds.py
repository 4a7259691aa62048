"""Ask again: how much do several rounds of question and summary tell, what does each add, and where does it saturate?

    python eval/applications/rounds.py configs/eval/rounds.yaml [checkpoint=runs/records-grpo/checkpoint-100] [key=value ...]
    python eval/applications/rounds.py configs/eval/rounds.yaml --dry-run

The predictor reads a summary, writes the next question, and the compressor answers it from the document, round after
round. All texts of a talk are scored together under the source and its negatives: the information of z1 … zt after each
round, what round t added to it, tokens, FLOPs and seconds so far, and how often the predictor is right by then. Every text,
question, score and answer is kept as it comes in output_dir: run it again and it goes on where it was killed.
"""

import sys
from pathlib import Path

from infoagent.applications.rounds.recipe import RoundsRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    from infoagent.applications.rounds.trained import with_checkpoint

    recipe = load_recipe(RoundsRecipe, arguments.recipe, arguments.overrides)
    recipe = with_checkpoint(settle(recipe, arguments.dry_run))
    if arguments.dry_run:
        from infoagent.applications.rounds.estimate import describe_rounds

        print(recipe_yaml(recipe))
        print(describe_rounds(recipe))
        return 0

    from infoagent.applications.rounds import drawing as shown
    from infoagent.applications.rounds.run import measure_rounds
    from infoagent.applications.rounds.talks import plan_rounds
    from infoagent.reporting.information import known
    from infoagent.reporting.tables import as_text, write_tables
    from infoagent.tracking import Tracker, wandb_mode

    wandb_mode(recipe.tracking.wandb)  # a login that is missing is said before the work, not after
    found = known(measure_rounds(plan_rounds(recipe), arguments.quiet))
    out = Path(recipe.output_dir)
    tables = [(shown.ROUND_COLUMNS, shown.round_rows(found)), (shown.AGAINST_COLUMNS, shown.against_rows(found))]
    write_tables(out / "tables.md", *tables)
    shown.save_rounds(found, out / "rounds.svg")
    tracker = Tracker.of(recipe, "eval")
    for step, line in enumerate(metrics(system) for system in found["systems"] if system["after"]):
        tracker.log(step, line)
    tracker.finish()

    print(f"{found['problems']} problems of {found['data']['name']} ({found['data']['split']}); 95 % intervals over documents")
    print(as_text(*tables[0]))
    if found["against_first"]:
        print("\npaired by document, 95 % intervals")
        print(as_text(*tables[1]))
    print()
    for note in shown.round_notes(found):
        print(note)
    print(f"\n{out}/rounds.json, tables.md, rounds.svg; every text in records.jsonl")
    return 0


def metrics(system: dict) -> dict[str, float]:
    """The last round of a system under the house's names."""
    after = system["after"][-1]
    line = {"rate/tokens": after["rate/tokens"]["value"]}
    if "accuracy" in after:
        line["distortion/error"] = 1 - after["accuracy"]["value"]
    for kind, name in (("all", "mi/nats"), ("easy", "mi/easy_nats"), ("hard", "mi/hard_nats")):
        if kind in system["information"]:
            line[name] = system["information"][kind][-1]["total"]["infonce_nats"]
    return line


if __name__ == "__main__":
    sys.exit(exit_code(main))
