"""Prove a trained compressor: the same evaluator on the checkpoint and on its frozen self, paired.

    python eval/checkpoint.py configs/eval/records.yaml checkpoint=runs/records-grpo/checkpoint-100 [key=value ...]

The checkpoint takes the place of the recipe's first `lm` compressor and nothing else changes: same problems, prompts,
negatives, seeds, same frozen scorer and predictors. Differences are taken problem by problem, so that the interval
holds what the training did and not how hard the documents are. Frozen records that eval/frozen.py left in the same
output_dir are reused.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.models import adapter_prompt, check_adapter
from infoagent.recipes import EvaluationRecipe
from infoagent.types import InputError


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = load_recipe(EvaluationRecipe, arguments.recipe, arguments.overrides)
    frozen_label, trained_label, recipe = with_checkpoint(recipe)
    if arguments.dry_run:
        from infoagent.evaluation.plan import describe_evaluation

        print(recipe_yaml(recipe))
        print(describe_evaluation(recipe))
        return 0

    from infoagent.evaluation.runner import plan_cells
    from infoagent.evaluation.session import run_evaluation
    from infoagent.evaluation.summary import compare
    from infoagent.reporting.tables import COLUMNS, COMPARISON_COLUMNS, as_text, comparison_rows, summary_row
    from infoagent.store import write_json

    cells = plan_cells(recipe)
    records, summaries = run_evaluation(recipe, cells, arguments.quiet)
    print(as_text(COLUMNS, [summary_row(s) for s in summaries]))

    comparisons = []
    for section in {cell.data.name: cell.data for cell in cells}.values():
        trained, frozen = (
            [r for r in records if r["compressor"]["label"] == label and r["data"]["name"] == section.name]
            for label in (trained_label, frozen_label)
        )
        comparison = compare(trained, frozen, recipe.price)
        comparisons.append(
            {"data": section.name, "trained": trained_label, "frozen": frozen_label, "price": recipe.price,
             "checkpoint": recipe.checkpoint, "values": comparison}
        )  # fmt: skip
        print(f"\n{trained_label} against {frozen_label} on {section.name} ({section.split}), paired, 95 % intervals:")
        print(as_text(COMPARISON_COLUMNS, comparison_rows(comparison)))
    write_json(Path(recipe.output_dir) / "comparison.json", comparisons)
    print(f"\ncomparison: {recipe.output_dir}/comparison.json")
    return 0


def with_checkpoint(recipe: EvaluationRecipe) -> tuple[str, str, EvaluationRecipe]:
    """(label of the frozen compressor, label of the trained one, the recipe with the trained one added)."""
    if recipe.checkpoint is None:
        raise InputError("checkpoint: must be given, e.g. checkpoint=runs/records-grpo/checkpoint-100")
    frozen = next((c for c in recipe.compressors if c.kind == "lm"), None)
    if frozen is None:
        raise InputError("compressors: none of them is of kind lm; the checkpoint needs one to be compared with")
    check_adapter(recipe.checkpoint, frozen.model.name)
    prompt = adapter_prompt(recipe.checkpoint)
    if prompt and prompt != frozen.prompt.model_dump():
        raise InputError(
            f"checkpoint: was trained with the prompt {prompt}; give compressor {frozen.label!r} the same prompt"
        )
    label = "trained " + "/".join(Path(recipe.checkpoint).parts[-2:])
    if label in [c.label for c in recipe.compressors]:
        raise InputError(f"compressors: the label {label!r} is taken by the checkpoint; rename the compressor")
    trained = frozen.model_copy(
        update={"label": label, "model": frozen.model.model_copy(update={"adapter": recipe.checkpoint})}
    )
    return frozen.label, label, recipe.model_copy(update={"compressors": [*recipe.compressors, trained]})


if __name__ == "__main__":
    sys.exit(exit_code(main))
