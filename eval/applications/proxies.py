"""Can another scorer stand in for the compressor's own model? The same compressions under several, with and without a scale.

    python eval/applications/proxies.py configs/eval/proxies.yaml [key=value ...] [--dry-run]
    python eval/applications/proxies.py configs/eval/proxies.yaml checkpoint=runs/records-grpo/checkpoint-100

A grid of compressions as eval/frozen.py makes it, with its self-scores and a reader's answers, and the same on other
documents, where each scorer's critic scale is fitted. Then every scorer of the recipe scores all of them: rank
correlations with the self-score and with right answers (intervals over documents), verdicts between compressors that are
lost or turned, what each scorer costs, and the smallest that can be trusted by a criterion that the recipe fixes. All
is kept as it comes: run it again and it goes on where it was killed, or adds the scorers that the recipe has more.
"""

import sys
from pathlib import Path

from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle
from infoagent.types import InputError


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(ProxyRecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    grids = {"evaluation": recipe, "calibration": recipe.calibration()} if recipe.calibration_documents else {"evaluation": recipe}
    if arguments.dry_run:
        from infoagent.applications.proxies.estimate import describe_scorers
        from infoagent.evaluation.estimate import describe_evaluation

        print(recipe_yaml(recipe))
        for name, grid in grids.items():
            print(f"{name}: {describe_evaluation(grid)}")
        print(describe_scorers(recipe, list(grids.values())))
        return 0

    from infoagent.analysis.session import run_evaluation
    from infoagent.applications.proxies.drawing import COLUMNS, rows, save_study, smallest_line, title
    from infoagent.applications.proxies.run import check_scorers, proxy_rows
    from infoagent.applications.proxies.summary import SELF, fit_scales, study
    from infoagent.evaluation.cells import plan_cells
    from infoagent.files import hold, write_json
    from infoagent.records.grid import compressions_of, predictions_of
    from infoagent.reporting.tables import as_text
    from infoagent.store import provenance

    cells = {"evaluation": plan_cells(recipe, arguments.quiet)}
    if "calibration" in grids:
        try:
            cells["calibration"] = plan_cells(grids["calibration"], arguments.quiet)
        except InputError as error:  # of a set that nobody wrote down: data with their validation split, and fewer
            setting = f"calibration_documents = {recipe.calibration_documents}"
            raise InputError([f"{setting}, taken from the validation split: {line}" for line in error.problems]) from error
    check_scorers(recipe.studied, [cell for planned in cells.values() for cell in planned])
    if "calibration" in cells:
        check_apart(cells["evaluation"], cells["calibration"])
    hold(recipe.output_dir)
    scored: dict[str, dict[str, list]] = {}
    predictions = []
    for name, grid in grids.items():
        records, _ = run_evaluation(grid, cells[name], arguments.quiet)
        predictions += predictions_of(records)
        scored[name] = {SELF: [r for r in compressions_of(records) if r.is_scored or not r.is_ok]}
    for section in recipe.studied:
        for name, grid in grids.items():
            scored[name][section.label] = proxy_rows(grid, cells[name], scored[name][SELF], section, arguments.quiet)
    names = {cell.data.name for cell in cells["evaluation"]}
    scales = {data: fit_scales(scored["calibration"], data) for data in names if "calibration" in scored}
    found = study(scored["evaluation"], predictions, scales, recipe.trusted_correlation, recipe.seeds[0], recipe.resamples)

    out = Path(recipe.output_dir)
    about = {"recipe": recipe.model_dump(mode="json"), **provenance()}
    about["data_revisions"] = {f"{c.data.name} ({c.data.split})": c.data.revision for part in cells.values() for c in part}
    write_json(out / "proxies.json", {"schema_version": 1, **found, **about})
    for part in found["parts"]:
        print(title(part))
        print(as_text(COLUMNS, rows(part)))
        print(smallest_line(part) + "\n")
    print(", ".join(str(file) for file in (out / "proxies.json", *save_study(found, out))))
    return 0


def check_apart(evaluated: list, calibrated: list) -> None:
    """Raise InputError where a document of the fit is evaluated too: the scale would have been chosen on it."""
    from infoagent.data.identity import text_identity

    texts = [
        {
            text_identity(text)
            for cell in cells
            for i, p in enumerate(cell.problems)
            for text in (p.document, *(n.document for n in cell.negatives[i]))
        }
        for cells in (evaluated, calibrated)
    ]
    if shared := texts[0] & texts[1]:
        raise InputError(
            f"calibration_documents: {len(shared)} documents of the validation split are evaluated too; take data whose "
            "splits differ, or set calibration_documents to 0"
        )


if __name__ == "__main__":
    sys.exit(exit_code(main))
