"""Stress: a compressor and a reader under load, and with inputs that are hard or broken.

    python eval/applications/stress.py load configs/eval/stress_load.yaml [key=value ...]
    python eval/applications/stress.py inputs configs/eval/stress.yaml [checkpoint=DIR] [key=value ...]

`load`: jobs (compress, then answer) arrive at a chat server by a Poisson process, whether or not the earlier ones are
done; latency counts from the planned arrival, failures count as slow, nothing is sent twice. Without a server of your
own a local one is started. `inputs`: seeded cases of each kind with exact expectations (unanswerable, ambiguous,
contradictory, foreign, empty, enormous, broken Unicode, hidden instructions, forged turns), and how often each compressor
fails, the trained one paired with its frozen self. Both keep everything in output_dir and go on where they were killed.
"""

import sys
from pathlib import Path

from infoagent.applications.stress.recipe import HardInputsRecipe, LoadRecipe
from infoagent.config import exit_code, load_recipe, recipe_yaml, script_parser
from infoagent.lm.settling import settle


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("what", choices=["load", "inputs"])
    parser.add_argument("recipe", help="path of a YAML recipe, see configs/eval/stress*.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a key, e.g. jobs=100")
    parser.add_argument("--dry-run", action="store_true", help="show the resolved recipe and an estimate, then stop")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, a line a minute")
    arguments = parser.parse_intermixed_args(argv)
    story = load if arguments.what == "load" else inputs
    return story(arguments.recipe, arguments.overrides, arguments.dry_run, arguments.quiet)


def load(path: str, overrides: list[str], dry_run: bool, quiet: bool) -> int:
    recipe = settle(load_recipe(LoadRecipe, path, overrides), dry_run)
    from infoagent.applications.stress.load_run import plan_load, run_load
    from infoagent.files import hold, write_json
    from infoagent.store import check_output_dir, provenance

    check_output_dir(recipe.output_dir, "load")
    plan = plan_load(recipe)  # everything that can be wrong is found before anything is sent
    if dry_run:
        from infoagent.applications.stress.estimate import describe_load

        print(recipe_yaml(recipe))
        print(describe_load(plan))
        return 0
    from infoagent.applications.stress.load_drawing import load_text, save_load
    from infoagent.applications.stress.load_summary import summarise_load

    out = Path(recipe.output_dir)
    run = {"kind": "load", "recipe": recipe.model_dump(mode="json"), "data_revision": plan.data_revision, **provenance()}
    hold(out)
    write_json(out / "run.json", run)
    conditions = summarise_load(recipe, run_load(plan, quiet))
    write_json(out / "load.json", {**run, "conditions": conditions})
    save_load(conditions, out / "load.svg", out / "load.png")
    print(load_text(conditions))
    print(f"\n{out / 'load.json'}, {out / 'load.svg'}; every job stands in {out / 'records.jsonl'}")
    return 0


def inputs(path: str, overrides: list[str], dry_run: bool, quiet: bool) -> int:
    recipe = settle(load_recipe(HardInputsRecipe, path, overrides), dry_run)
    from infoagent.applications.stress.hard_inputs_checks import plan_inputs
    from infoagent.files import hold, write_json
    from infoagent.store import check_output_dir, provenance

    check_output_dir(recipe.output_dir, "stress")
    plan = plan_inputs(recipe)  # everything that can be wrong is found before a model loads
    if dry_run:
        from infoagent.applications.stress.estimate import describe_inputs

        print(recipe_yaml(recipe))
        print(describe_inputs(plan))
        return 0
    from infoagent.applications.stress.hard_inputs import run_inputs
    from infoagent.applications.stress.hard_inputs_drawing import hard_inputs_text, save_hard_inputs
    from infoagent.applications.stress.rates import summarise_inputs

    out = Path(recipe.output_dir)
    run = {"kind": "stress", "recipe": recipe.model_dump(mode="json"), "revisions": plan.revisions, **provenance()}
    hold(out)
    write_json(out / "run.json", run)
    found = summarise_inputs(plan, *run_inputs(plan, quiet))
    write_json(out / "stress.json", {**run, **found})
    save_hard_inputs(found, out / "stress.svg", out / "stress.png")
    print(hard_inputs_text(found))
    print(f"\n{out / 'stress.json'}, {out / 'stress.svg'}; cases in {out / 'cases.jsonl'}, texts in {out / 'records.jsonl'}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
