"""How much a compressor says about its document, from easy candidates to hard ones. No labels needed.

    python eval/information.py configs/eval/information.yaml [preset=hard] [key=value ...]
    accelerate launch --config_file accelerate_configs/cpu_2proc.yaml eval/information.py configs/eval/information.yaml

A pool of documents, some compressions of each, and every compression's log-probability under every document: from that
matrix come I(X;Z) with its interval and ceiling, how much of it is the topic and how much the document, whether the
facts are kept (counterfactual versions of the own document), and which tokens carry it. Compressions and scores are
kept as they come in output_dir: run it again and it goes on where it was killed.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, load_recipe, recipe_yaml, script_arguments
from infoagent.lm.settling import settle
from infoagent.recipes import InformationRecipe

SHOWN = 12
"""Compressions whose tokens the report shows."""


def main(argv: list[str] | None = None) -> int:
    arguments = script_arguments(argv, __doc__)
    recipe = settle(load_recipe(InformationRecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.dry_run:
        from infoagent.measurement.estimate import describe_measurement

        print(recipe_yaml(recipe))
        print(describe_measurement(recipe))
        return 0

    from infoagent.files import hold, write_json
    from infoagent.information.analysis import analyse, token_examples
    from infoagent.lm.machine.device import default_device
    from infoagent.lm.scoring.jobs import current_processes
    from infoagent.measurement.run import measure, plan_measurement
    from infoagent.reporting.information import information_lines
    from infoagent.store import check_output_dir, provenance
    from infoagent.tracking import Tracker, wandb_mode

    check_output_dir(recipe.output_dir, "measure")
    wandb_mode(recipe.tracking.wandb)
    plan = plan_measurement(recipe, arguments.quiet)  # everything that can be wrong is found before a model loads
    processes = current_processes(on_cpu=default_device() == "cpu")
    out = Path(recipe.output_dir)
    if processes.index == 0:
        hold(out)
        run = {
            "kind": "measure",
            "recipe": recipe.model_dump(mode="json"),
            "data_revision": plan.data.revision,
            "drawn": [plan.drawn],
        }
        write_json(out / "run.json", {**run, **provenance(), "processes": processes.number})
    matrix = measure(plan, processes, arguments.quiet)
    if processes.index > 0:
        return 0

    matrix.save(out / "scores.npz")
    # a trained or cooler compressor is read by its frozen base: a lower bound, and no upper one
    analysis = analyse(matrix, beta=plan.beta, sampler=plan.is_sampler)
    found = analysis.to_dict()
    label = recipe.compressor.label
    about = {"label": label, **matrix.about}
    kept = {**about, "analysis": found, "examples": token_examples(matrix, SHOWN, plan.beta)}
    write_json(out / "information.json", kept)
    tracker = Tracker.of(recipe, "eval")
    tracker.log(0, metrics(found, matrix.about["rate_tokens"]))
    tracker.finish()
    print(f"{label} on {plan.data.name} ({plan.data.split}), preset {recipe.preset}")
    print("\n".join(information_lines(found, recipe.print_clipped)))
    for note in analysis.warnings:
        print(f"warning: {note}", file=sys.stderr)
    print(f"\n{out / 'scores.npz'}, {out / 'information.json'}")
    return 0


def metrics(found: dict, rate_tokens: float) -> dict[str, float]:
    """One line under the house's names."""
    from infoagent.types import NATS_PER_BIT

    pool = found["pool"]  # where a part of the pool was scored, the value against all of it
    mi_nats = found["infonce_nats"] if pool is None else pool["value_nats"]
    line = {
        "mi/nats": mi_nats,
        "mi/bits_per_token": mi_nats / NATS_PER_BIT / max(1.0, rate_tokens),
        "mi/ceiling_nats": found["ceiling_nats"] if pool is None else pool["ceiling_nats"],
        "mi/saturation": found["saturation"],
        "rate/tokens": rate_tokens,
    }
    if found["chain"]["fact"] is not None:
        line["mi/hard_nats"] = found["chain"]["fact"]["value_nats"]
    return line


if __name__ == "__main__":
    sys.exit(exit_code(main))
