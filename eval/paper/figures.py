"""The paper's figures as named experiments: an evaluation recipe each, its numbers beside the paper's, and its picture.

    python eval/paper/figures.py ls
    python eval/paper/figures.py run fig5 [--size small|local|full] [--out DIR] [--limit N] [--dry-run] [key=value ...]
    python eval/paper/figures.py fact-deletion --out runs/figures

`run` takes configs/figures/FIGURE-SIZE.yaml through the evaluator of eval/frozen.py (run again, it goes on where it was),
then writes FIGURE.json, .png and .svg beside the records: every point with its interval, and for each claim of the paper
whether it holds here. A small experiment takes minutes on the embedded model and text, a local one an hour on GGUF files and
published questions; a full one names what it needs.
All claims in one table: eval/paper/claims.py. fact-deletion: MI among random and among counterfactual documents while facts are
deleted from a compression, one at a time. A name is enough for the first, so it stays at its ceiling; the second falls with every fact.
"""

import argparse
import sys
from pathlib import Path

from infoagent.arguments import COUNT, MEMORY_MIB, SEED, whole
from infoagent.config import exit_code, recipe_yaml, script_parser
from infoagent.logs import add_log_level
from infoagent.types import AUTO, DTYPES, InputError

RECIPES = Path(__file__).resolve().parents[2] / "configs" / "figures"


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    figures = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    figures.add_parser("ls", help="every experiment, its sizes and what they need")
    run = figures.add_parser("run", help="measure and draw one experiment", usage="%(prog)s FIGURE [options] [key=value ...]")
    run.add_argument("figure", help="a name of `ls`")
    run.add_argument("--size", choices=["small", "local", "full"], default="small", help="small: the embedded model and text")
    run.add_argument("--out", help="directory of records, numbers and picture; by default the recipe's output_dir")
    run.add_argument("--limit", type=COUNT, metavar="N", help="at most N problems of each data set")
    run.add_argument("--scorer", action="append", metavar="NAME[:DTYPE]", help="fig13: score by these models instead")
    run.add_argument("--dry-run", action="store_true", help="show the recipe, what it needs and an estimate, then stop")
    run.add_argument("--quiet", action="store_true", help="no progress bars, a line a minute")
    deletion = figures.add_parser("fact-deletion", help="random stays at log K, counterfactual falls with the facts")
    deletion.add_argument("--documents", type=whole(2), default=16)
    deletion.add_argument("--facts", type=COUNT, default=6, help="facts of the whole compression")
    deletion.add_argument("--versions", type=COUNT, default=3, help="counterfactual documents of each fact")
    deletion.add_argument("--model", default="smollm2-135m")
    deletion.add_argument("--dtype", choices=DTYPES, default=AUTO)
    deletion.add_argument("--seed", type=SEED, default=0)
    deletion.add_argument("--memory-mib", type=MEMORY_MIB, default=1024)
    deletion.add_argument("--out", required=True, help="directory of the figure, its numbers and its scores")
    deletion.add_argument("--quiet", action="store_true", help="no progress bar, a line a minute")
    for long in (run, deletion):
        add_log_level(long)
    arguments, overrides = parser.parse_known_args(argv)  # overrides may stand between options
    parser.checked(arguments)
    if wrong := [o for o in overrides if o.startswith("-") or arguments.command != "run"]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    if arguments.command == "ls":
        return ls()
    return run_experiment(arguments, overrides) if arguments.command == "run" else fact_deletion(arguments)


def ls() -> int:
    from infoagent.applications.paper.figures import listing
    from infoagent.reporting.tables import as_text

    columns = ("experiment", "shows", "--size small: on", "--size local: on; needs", "--size full: on; needs")
    print(as_text(columns, listing(RECIPES)))
    return 0


def run_experiment(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from infoagent.applications.paper.figures import experiment_of, needs, numbers_of, points_of, recipe_file
    from infoagent.evaluation.part import grid_recipe

    experiment = experiment_of(arguments.figure)
    overrides += [] if arguments.out is None else [f"output_dir={arguments.out}"]
    path = recipe_file(RECIPES, experiment.name, arguments.size)
    limit = argparse.Namespace(recipe=path, overrides=overrides, limit=arguments.limit, shard=None, dry_run=arguments.dry_run)
    recipe, shard = grid_recipe(limit)
    if arguments.scorer and not experiment.scorers:
        raise InputError(f"--scorer: {experiment.name} shows no proxies; only fig13 takes scorers")
    names = arguments.scorer or list((experiment.scorers or {}).get(arguments.size, ()))
    if arguments.dry_run:
        from infoagent.evaluation.estimate import describe_evaluation

        print(recipe_yaml(recipe))
        print(f"needs: {', '.join(needs(recipe, names)) or 'nothing beside a processor'}")
        print(describe_evaluation(recipe) + (f"\nthen scored by {', '.join(names)}" if names else ""))
        return 0

    from infoagent.analysis.session import run_grid
    from infoagent.applications.paper.drawing import save_experiment
    from infoagent.applications.paper.pairing import relative_values
    from infoagent.applications.proxies.run import check_scorers, parse_scorer, proxy_summaries
    from infoagent.evaluation.cells import plan_cells
    from infoagent.evaluation.mirroring import track_evaluation
    from infoagent.files import write_json
    from infoagent.records.summaries import read_analysis
    from infoagent.store import provenance

    scorers = [parse_scorer(name) for name in names]
    cells = plan_cells(recipe, arguments.quiet)
    check_scorers(scorers, cells)
    found = run_grid(recipe, cells, arguments.quiet, shard)
    if found is None:
        return 0
    records, summaries = found
    points = points_of(summaries)
    if scorers:
        seen = proxy_summaries(recipe, cells, records, scorers, arguments.quiet)
        points = [point for title, part in seen.items() for point in points_of(part, title)]
    out = Path(recipe.output_dir)
    numbers = numbers_of(experiment, arguments.size, points, read_analysis(out), relative_values(records))
    revisions = {cell.data.name: cell.data.revision for cell in cells}
    about = {"recipe": recipe.model_dump(mode="json"), "data_revisions": revisions, **provenance()}
    write_json(out / f"{experiment.name}.json", {**numbers, **about})
    pictures = save_experiment(numbers, out)
    track_evaluation(recipe, summaries)
    for claim in numbers["claims"]:
        print(f"claim: {claim['sentence']}")
    if not numbers["claims"]:
        print("claims: the paper states none about this figure that a number here could meet")
    print(f"\n{out / experiment.name}.json, " + ", ".join(str(p) for p in pictures))
    return 0


def fact_deletion(arguments: argparse.Namespace) -> int:
    from infoagent.applications.paper.fact_deletion import fact_deletion as measure
    from infoagent.files import check_output_file, write_json
    from infoagent.reporting.plots import save_fact_deletion
    from infoagent.store import provenance

    settings = {k: v for k, v in vars(arguments).items() if k not in ("command", "log_level")}
    numbers = Path(arguments.out) / "fact-deletion.json"
    check_output_file(numbers, "eval/paper/figures.py")
    found = measure(**settings)
    out = Path(arguments.out)
    write_json(numbers, {**found, **provenance()})
    for suffix in (".svg", ".png"):
        save_fact_deletion(found, str(out / f"fact-deletion{suffix}"))
    print(
        f"facts left  tokens  among random (of {found['random_ceiling_nats']:.2f})  "
        f"among versions (of {found['fact_ceiling_nats']:.2f})"
    )
    for p in found["points"]:
        print(f"{p['facts_left']:10}  {p['rate_tokens']:6.1f}  {p['random_nats']:24.3f}  {p['fact_nats']:26.3f}")
    print(f"\n{out / 'fact-deletion.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
