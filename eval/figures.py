"""The figures, each a named experiment: measured, kept as JSON with what it needs to be repeated, and drawn.

    python eval/figures.py fact-deletion --out runs/figures

fact-deletion: MI among random and among counterfactual documents while facts are deleted from a compression one at a
time. A name is enough for the first, so it stays at its ceiling; the second falls with every fact.
"""

import argparse
import sys
from pathlib import Path

from infoagent.config import exit_code
from infoagent.types import InputError


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    figures = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    deletion = figures.add_parser("fact-deletion", help="random stays at log K, counterfactual falls with the facts")
    deletion.add_argument("--documents", type=int, default=16)
    deletion.add_argument("--facts", type=int, default=6, help="facts of the whole compression")
    deletion.add_argument("--versions", type=int, default=3, help="counterfactual documents of each fact")
    for figure in figures.choices.values():
        figure.add_argument("--model", default="smollm2-135m")
        figure.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
        figure.add_argument("--seed", type=int, default=0)
        figure.add_argument("--memory-mib", type=int, default=1024)
        figure.add_argument("--out", required=True, help="directory of the figure, its numbers and its scores")
        figure.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args(argv)
    least = {"documents": 2, "facts": 1, "versions": 1, "memory_mib": 1, "seed": 0}
    if wrong := [
        f"--{k.replace('_', '-')} {getattr(arguments, k)}: must be at least {v}" for k, v in least.items()
        if getattr(arguments, k) < v
    ]:  # fmt: skip
        raise InputError(wrong)

    from infoagent.evaluation.figures import fact_deletion
    from infoagent.reporting.plots import save_fact_deletion
    from infoagent.store import finite, provenance, write_json

    settings = {k: v for k, v in vars(arguments).items() if k != "figure"}
    found = fact_deletion(**settings)
    out = Path(arguments.out)
    write_json(out / "fact-deletion.json", finite({**found, **provenance()}))
    for suffix in (".svg", ".png"):
        save_fact_deletion(found, str(out / f"fact-deletion{suffix}"))
    print(f"facts left  tokens  among random (of {found['random_ceiling_nats']:.2f})  "
          f"among versions (of {found['fact_ceiling_nats']:.2f})")  # fmt: skip
    for p in found["points"]:
        print(f"{p['facts_left']:10}  {p['rate_tokens']:6.1f}  {p['random_nats']:24.3f}  {p['fact_nats']:26.3f}")
    print(f"\n{out / 'fact-deletion.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
