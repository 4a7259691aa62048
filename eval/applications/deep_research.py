"""Deep research with a compressor in the middle: what does a compression keep of a report's quality, at what cost?

    python eval/applications/deep_research.py configs/eval/deep_research.yaml [checkpoint=runs/records-grpo/checkpoint-100] [key=value ...]
    python eval/applications/deep_research.py configs/eval/deep_research_full.yaml --dry-run

For each task a predictor plans queries, a provider searches (a local corpus, or the web by key), each source is compressed
for its query, and the predictor writes a report with citations. The systems share plan and sources and differ in the
compression alone: whole sources, their first sentences, a frozen compressor, a trained one. Reports are judged against a
reference report, by whether sources say what they are cited for, and by the asked facts where these are known. Every reply,
search, page and score is kept as it comes in output_dir: run it again and it goes on where it was killed, or where the
spending limit stopped it.
"""

import sys
from pathlib import Path

from infoagent.applications.research.recipe import ResearchRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(ResearchRecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.dry_run:
        from infoagent.applications.research.checks import systems_of
        from infoagent.applications.research.estimate import describe_research

        print(recipe_yaml(recipe))
        print(describe_research(recipe, systems_of(recipe)))
        return 0

    from infoagent.applications.research import drawing as shown
    from infoagent.applications.research.checks import prepare
    from infoagent.applications.research.run import run_research
    from infoagent.applications.research.summary import metrics
    from infoagent.reporting.tables import as_text, write_tables
    from infoagent.tracking import Tracker, wandb_mode

    wandb_mode(recipe.tracking.wandb)  # a login that is missing is said before the work, not after
    prepared = prepare(recipe)  # everything that can be wrong is found before a model loads or a request is sent
    found = run_research(recipe, prepared, arguments.quiet)

    tables = [
        (shown.COLUMNS, shown.system_rows(found)),
        (shown.COMPARISON_COLUMNS, shown.comparison_rows(found)),
        (shown.STAGE_COLUMNS, shown.stage_rows(found)),
    ]
    out = Path(recipe.output_dir)
    write_tables(out / "tables.md", *tables)
    drawn = shown.save_quality_cost(found, out / "quality_cost.svg")

    tracker = Tracker.of(recipe, "eval")
    for step, system in enumerate(found["systems"]):
        tracker.log(step, metrics(system))
    tracker.finish()

    print(f"{found['tasks']} tasks × {found['runs']} runs; means over tasks ± half of the 95 % interval")
    print(as_text(*tables[0]))
    print("\npaired by task and run, 95 % intervals; cost as a share of the other's")
    print(as_text(*tables[1]))
    print("\na report takes, by stage")
    print(as_text(*tables[2]))
    for note in shown.notes(found):
        print(note)
    print(f"\n{out}/reports.jsonl, deep_research.json, tables.md" + (", quality_cost.svg" if drawn else ""))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
