"""Compact a growing conversation again and again: what survives of what was said first?

    python eval/applications/compaction.py configs/eval/compaction.yaml [checkpoint=runs/records-grpo/checkpoint-100] [key=value ...]
    python eval/applications/compaction.py configs/eval/compaction.yaml data.name=conversations data.path=mine.jsonl --dry-run

Every few turns the context is compacted to [summary, newest turns], the summary being made from the one before it. After
each compaction: how much the context still tells of facts of the first turns, among versions of the history with that
fact changed; how many contexts state it; how often a predictor that is asked for it is right. For frozen prompts, an
adapter, the newest or the first sentences, BM25 with the question known, and no compaction at all. Every summary, score and
answer is kept as it comes in output_dir: run it again and it goes on where it was killed.
"""

import sys
from pathlib import Path

from infoagent.applications.rounds.recipe import CompactionRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    from infoagent.applications.rounds.trained import with_checkpoint

    recipe = load_recipe(CompactionRecipe, arguments.recipe, arguments.overrides)
    recipe = with_checkpoint(settle(recipe, arguments.dry_run))
    if arguments.dry_run:
        from infoagent.applications.rounds.estimate import describe_compaction

        print(recipe_yaml(recipe))
        print(describe_compaction(recipe))
        return 0

    from infoagent.applications.rounds import drawing as shown
    from infoagent.applications.rounds.compaction import plan_compaction
    from infoagent.applications.rounds.run import measure_compaction
    from infoagent.reporting.information import known
    from infoagent.reporting.tables import as_text, write_tables
    from infoagent.tracking import Tracker, wandb_mode

    wandb_mode(recipe.tracking.wandb)  # a login that is missing is said before the work, not after
    found = known(measure_compaction(plan_compaction(recipe), arguments.quiet))
    out = Path(recipe.output_dir)
    table = (shown.COMPACTION_COLUMNS, shown.compaction_rows(found))
    write_tables(out / "tables.md", table)
    shown.save_compaction(found, out / "compaction.svg")
    tracker = Tracker.of(recipe, "eval")
    for step, line in enumerate(metrics(compactor) for compactor in found["compactors"]):
        tracker.log(step, line)
    tracker.finish()

    print(
        f"{found['histories']} histories of {found['data']['name']}, compacted every {recipe.every} turns; questions on the "
        f"first {recipe.asked}; 95 % intervals over histories"
    )
    print(as_text(*table))
    print()
    for note in shown.compaction_notes(found):
        print(note)
    print(f"\n{out}/compaction.json, tables.md, compaction.svg; every text in records.jsonl")
    return 0


def metrics(compactor: dict) -> dict[str, float]:
    """The last compaction under the house's names."""
    after = compactor["after"][-1]
    line = {"rate/tokens": after["rate/context_tokens"]["value"], "distortion/fact_missing": 1 - after["fact/stated"]["value"]}
    if "accuracy" in after:
        line["distortion/error"] = 1 - after["accuracy"]["value"]
    if "mi" in after:
        line["mi/hard_nats"] = after["mi"]["value"]["value"]
    return line


if __name__ == "__main__":
    sys.exit(exit_code(main))
