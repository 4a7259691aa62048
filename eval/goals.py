"""Are the goals met? Stated bounds, decided from the records of evaluations.

    python eval/goals.py eval/results/compressor/goals.yaml runs/compressor qed=runs/compressor-qed --out eval/results/compressor
    … --set 'labels.trained=[trained seed-0/checkpoint-60, trained seed-1/checkpoint-60]' [--partial] [--goals FILE] [--dirty]

A directory holds records of eval/frozen.py and eval/checkpoint.py; NAME=DIR names its data set, where several are read under one
name. Writes goals.json and goals.md. A goal that the records do not decide is an error, one line for each that is missing;
with --partial the others are written, and it stands under "undecided". --goals FILE, an earlier goals.json, keeps what was decided
then and is not decided now, with its commit: sets are measured one after the other, on several machines. No model is loaded.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, load_recipe, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("goals", metavar="SPEC", help="YAML file of goals (infoagent/recipes/goals.py)")
    parser.add_argument(
        "evaluations",
        nargs="*",
        metavar="DIR",
        help="output_dir of an evaluation, or NAME=DIR; none where all numbers are in JSON files",
    )
    parser.add_argument("--out", required=True, help="directory for goals.json and goals.md")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of SPEC, as in labels.trained=LABEL")
    parser.add_argument("--partial", action="store_true", help="write what can be decided, and why the rest cannot")
    parser.add_argument(
        "--goals", dest="before", metavar="FILE", help="an earlier goals.json, for what these records do not decide"
    )
    parser.add_argument("--dirty", action="store_true", help="also from changed files, or records without a clean commit; is noted")
    arguments = parser.parse_args(argv)

    from infoagent.recipes import GoalsRecipe

    recipe = load_recipe(GoalsRecipe, arguments.goals, arguments.set)

    from infoagent.analysis.goals import decided_before, find_goals, in_order, read_evaluations, unclean
    from infoagent.files import check_output_file, write_json
    from infoagent.reporting.goals import COLUMNS, goal_rows
    from infoagent.reporting.tables import as_text, write_tables
    from infoagent.store import SCHEMA_VERSION, provenance
    from infoagent.types import InputError

    out = Path(arguments.out)
    check_output_file(out / "goals.json", "eval/goals.py")
    evaluations = read_evaluations(arguments.evaluations)
    made = provenance()
    changed = unclean(made["commit"], evaluations)
    goals, undecided = find_goals(recipe, evaluations, Path(arguments.goals).parent)
    if arguments.before:
        before = decided_before(Path(arguments.before))
        if kept := before.standing(recipe, undecided):
            goals, undecided = in_order(recipe, {**goals, **kept}), {n: c for n, c in undecided.items() if n not in kept}
            evaluations.made[:0] = before.made
            changed = [*before.unclean, *changed]
    mistakes = [] if arguments.partial else [f"goal {name!r}: {cause}" for name, causes in undecided.items() for cause in causes]
    if not arguments.dirty:
        mistakes += [f"{line}; commit and evaluate again, or note it with --dirty" for line in changed]
    if mistakes:
        raise InputError(mistakes)

    content = {"schema_version": SCHEMA_VERSION, **made, "goals": goals}
    if undecided:
        content["undecided"] = undecided
    if changed:
        content["dirty"] = changed
    rows = goal_rows(goals, undecided)
    write_json(out / "goals.json", {**content, "evaluations": evaluations.made, "recipe": recipe.model_dump(mode="json")})
    write_tables(out / "goals.md", (COLUMNS, rows))
    print(as_text(COLUMNS, rows))
    met = sum(goal["met"] for goal in goals.values())
    print(f"\n{met} of {len(recipe.goals)} goals met, {len(undecided)} undecided: {out}/goals.json, .md")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
