"""Measure frozen compressors: information, rate, what a predictor can answer, what it costs. The baseline of everything.

    python eval/frozen.py configs/eval/records.yaml [key=value ...]
    python eval/frozen.py configs/eval/baselines.yaml --limit 5 --dry-run
    accelerate launch --config_file accelerate_configs/cpu_2proc.yaml eval/frozen.py configs/eval/records.yaml

Compressors × prompt variants × data sets × predictors × seeds. Each compression is recorded with its log-probabilities
under the source and its negatives, then every predictor answers from it alone. Records are appended to output_dir under
the hash of their content: run it again and it goes on where it was killed, or adds what the recipe has more; a reply
that was paid for is never asked for again. Processes of a launcher share the work; --shard 2/4 does so by hand.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, recipe_yaml, script_arguments


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__, grid=True)
    from infoagent.evaluation.part import grid_recipe

    recipe, shard = grid_recipe(arguments)
    if arguments.dry_run:
        from infoagent.evaluation.estimate import describe_evaluation

        print(recipe_yaml(recipe))
        print(describe_evaluation(recipe))
        return 0

    from infoagent.analysis.comparison import compare_pairs
    from infoagent.analysis.session import check_compressions, run_grid
    from infoagent.evaluation.cells import plan_cells
    from infoagent.evaluation.mirroring import track_evaluation
    from infoagent.files import write_json
    from infoagent.reporting.tables import (
        ADHERENCE_COLUMNS,
        WITHOUT_Z_COLUMNS,
        adherence_rows,
        as_text,
        comparison_text,
        summary_text,
        without_z_rows,
    )
    from infoagent.store import provenance

    cells = plan_cells(recipe, arguments.quiet)  # everything that can be wrong is found before a model loads
    found = run_grid(recipe, cells, arguments.quiet, shard)
    if found is None:
        return 0
    records, summaries = found
    print(summary_text(summaries))
    if without_z_rows(summaries):
        print("\n" + as_text(WITHOUT_Z_COLUMNS, without_z_rows(summaries)))
    if adherence_rows(summaries):
        print("\n" + as_text(ADHERENCE_COLUMNS, adherence_rows(summaries)))
    if recipe.compare:
        comparisons = compare_pairs(records, recipe.compare, recipe.price)
        write_json(Path(recipe.output_dir) / "pairs.json", {"pairs": comparisons, **provenance()})
        print("".join("\n" + comparison_text(comparison) + "\n" for comparison in comparisons))
    track_evaluation(recipe, summaries)
    print(f"\nrecords: {recipe.output_dir}/records.jsonl; infoagent report {recipe.output_dir} --out report.html")
    check_compressions(summaries)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
