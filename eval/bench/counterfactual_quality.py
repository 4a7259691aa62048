"""How good the counterfactual documents are: against exact truth, on real questions, and under a language model.

    python eval/bench/counterfactual_quality.py --squad squad_dev_v1.1.json.gz --out runs/counterfactual_quality.json

Records know their facts, so an edit is compared with the record rendered from the changed fact. On SQuAD the asked
answer must be gone and a reader must follow the edit. A language model says which edits a reader would notice; beside
them stand naive edits, the answer swapped for any other answer of the pool.
"""

import hashlib
import shlex
import sys
from pathlib import Path

import numpy as np

from infoagent.arguments import COUNT, SEED, existing_file, written_by
from infoagent.config import exit_code, script_parser
from infoagent.measurement.edit_quality import edit_squad, on_records, on_squad, read_by_model, read_squad


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--records", type=COUNT, default=200, help="records to edit")
    parser.add_argument(
        "--squad",
        type=existing_file("give SQuAD's JSON, as it is or gzipped"),
        help="SQuAD file (.json or .json.gz); without it only records are measured",
    )
    parser.add_argument("--questions", type=COUNT, default=1000, help="SQuAD questions to edit")
    parser.add_argument("--read", type=COUNT, default=150, help="of these, so many are read by the model")
    parser.add_argument(
        "--articles",
        choices=["odd", "even", "all"],
        default="odd",
        help="which articles, by index: the rules were made by looking at the even ones",
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--seed", type=SEED, default=0)
    parser.add_argument("--out", type=written_by("eval/bench/counterfactual_quality.py"), help="write the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, a line a minute")
    arguments = parser.parse_args(argv)
    settings = {k: v for k, v in vars(arguments).items() if k not in ("squad", "out", "quiet")}
    found = {"records": on_records(arguments.records, arguments.seed)}
    if arguments.squad:
        pool = read_squad(arguments.squad, arguments.articles)
        from infoagent.lm.models import load, resolve

        resolve(arguments.model)  # a wrong name is said before the work
        order = np.random.default_rng(arguments.seed).permutation(len(pool))[: arguments.questions]
        edits = edit_squad(pool, [pool[int(i)] for i in order], arguments.seed)
        found["squad"] = on_squad(pool, edits)
        loaded = load(arguments.model, dtype="float32")
        found["reader"] = read_by_model(edits[: arguments.read], loaded, arguments.seed, arguments.quiet)
        content = Path(arguments.squad).read_bytes()
        settings["squad"] = {"file": Path(arguments.squad).name, "sha256": hashlib.sha256(content).hexdigest()}
        settings["model"] = Path(arguments.model).name  # of a directory its name alone
        settings["model_revision"] = loaded.reference.revision

    from infoagent.files import write_json
    from infoagent.store import provenance

    for part, values in found.items():
        show(part, values)
    if arguments.out:
        # the command is kept without the directories of this machine
        command = shlex.join(Path(a).name if "/" in a else a for a in sys.argv)
        write_json(arguments.out, {"settings": settings, **found, **provenance(), "command": command})
    return 0


def show(name: str, values: dict) -> None:
    """One line for each share, `name  value [low, high] of n`, and one for each plain table."""
    if "low" in values:
        print(f"{name:38} {values['value']:.3f} [{values['low']:.3f}, {values['high']:.3f}] of {values['n']}")
    elif all(isinstance(v, dict) for v in values.values()) and values:
        for key, value in values.items():
            show(f"{name}.{key}", value)
    else:
        print(f"{name:38} " + ", ".join(f"{k}: {v:.4g}" for k, v in values.items()))


if __name__ == "__main__":
    sys.exit(exit_code(main))
