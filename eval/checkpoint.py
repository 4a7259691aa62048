"""Prove a trained compressor: the same evaluator on the checkpoint and on its frozen self, paired.

    python eval/checkpoint.py configs/eval/records.yaml checkpoint=runs/records-grpo/checkpoint-100 [key=value ...]

The checkpoint takes the place of the recipe's first `lm` compressor, at each temperature that the recipe has it at, and
nothing else changes: same problems, prompts, negatives, seeds, same frozen scorer and predictors. An any-rate checkpoint
takes the place of every `lm` compressor whose prompt names a budget. Differences are taken problem by problem, so that the
interval holds what the training did and not how hard the documents are. Frozen records that eval/frozen.py left in the
same output_dir are reused.

What `compare` holds against the frozen compressor ([frozen, BM25]) is held against its checkpoint as well: pairs.json.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, recipe_yaml, script_arguments


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__, grid=True)
    from infoagent.evaluation.part import grid_recipe
    from infoagent.evaluation.trained import with_checkpoint

    recipe, shard = grid_recipe(arguments)
    pairs, recipe = with_checkpoint(recipe.model_copy(update={"compressors": recipe.grid, "variants": []}))
    if arguments.dry_run:
        from infoagent.evaluation.estimate import describe_evaluation

        print(recipe_yaml(recipe))
        print(describe_evaluation(recipe))
        return 0

    from infoagent.analysis.comparison import compare, compare_pairs, verdicts
    from infoagent.analysis.session import check_compressions, run_grid
    from infoagent.evaluation.cells import plan_cells
    from infoagent.evaluation.mirroring import track_evaluation
    from infoagent.files import write_json
    from infoagent.reporting.tables import (
        ADHERENCE_COLUMNS,
        COMPARISON_COLUMNS,
        adherence_rows,
        as_text,
        comparison_rows,
        comparison_text,
        summary_text,
    )
    from infoagent.store import provenance

    cells = plan_cells(recipe, arguments.quiet)
    found = run_grid(recipe, cells, arguments.quiet, shard)
    if found is None:
        return 0
    records, summaries = found
    print(summary_text(summaries))

    if adherence_rows(summaries):
        print("\n" + as_text(ADHERENCE_COLUMNS, adherence_rows(summaries)))

    comparisons = []
    for section in {cell.data.name: cell.data for cell in cells}.values():
        for frozen_label, trained_label in pairs:
            trained, frozen = (
                [r for r in records if r.compressor.label == label and r.data.name == section.name]
                for label in (trained_label, frozen_label)
            )
            comparison = compare(trained, frozen, recipe.price)
            comparisons.append(
                {
                    "data": section.name,
                    "trained": trained_label,
                    "frozen": frozen_label,
                    "price": recipe.price,
                    "checkpoint": recipe.checkpoint,
                    "checkpoint_revision": next((r.compressor.extra.get("adapter_revision") for r in trained), None),
                    "values": comparison,
                    "verdicts": verdicts(comparison),
                }
            )
            print(f"\n{trained_label} against {frozen_label} on {section.name} ({section.split}), paired, 95 % intervals:")
            print(as_text(COMPARISON_COLUMNS, comparison_rows(comparison)))
            print("\n".join(f"verdict on {v['quantity']}: {v['sentence']}" for v in verdicts(comparison)))
    write_json(Path(recipe.output_dir) / "comparison.json", comparisons)
    if recipe.compare:
        trained = dict(pairs)
        asked = [[label, old] for new, old in recipe.compare for label in (new, trained.get(new)) if label is not None]
        found_pairs = compare_pairs(records, asked, recipe.price)
        write_json(Path(recipe.output_dir) / "pairs.json", {"pairs": found_pairs, **provenance()})
        print("".join("\n" + comparison_text(comparison) + "\n" for comparison in found_pairs))
    track_evaluation(recipe, summaries, comparisons)
    print(f"\ncomparison: {recipe.output_dir}/comparison.json")
    check_compressions(summaries)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
