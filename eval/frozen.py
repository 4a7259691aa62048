"""Measure frozen compressors: information, rate, what a predictor can answer. The baseline of everything.

    python eval/frozen.py configs/eval/records.yaml [key=value ...]

For each compressor and problem a compression is sampled and recorded with its log-probabilities under the source and
its negatives, then every predictor answers from it alone. Records are appended to output_dir/records.jsonl under the
hash of their content: run it again and it goes on where it was killed, or adds what the recipe has more.
"""

import sys

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.recipes import EvaluationRecipe


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = load_recipe(EvaluationRecipe, arguments.recipe, arguments.overrides)
    if arguments.dry_run:
        from infoagent.evaluation.plan import describe_evaluation

        print(recipe_yaml(recipe))
        print(describe_evaluation(recipe))
        return 0

    from infoagent.evaluation.runner import plan_cells
    from infoagent.evaluation.session import run_evaluation
    from infoagent.reporting.tables import ADHERENCE_COLUMNS, COLUMNS, adherence_rows, as_text, summary_row

    cells = plan_cells(recipe)  # everything that can be wrong is found before a model loads
    _, summaries = run_evaluation(recipe, cells, arguments.quiet)
    print(as_text(COLUMNS, [summary_row(s) for s in summaries]))
    if adherence_rows(summaries):
        print("\n" + as_text(ADHERENCE_COLUMNS, adherence_rows(summaries)))
    print(f"\nrecords: {recipe.output_dir}/records.jsonl")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
