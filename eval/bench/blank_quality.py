"""How good cloze questions on real text are: the share of good blanks, by rules that each name a flaw.

    python eval/bench/blank_quality.py FOLDER… [--out runs/blank_quality.json]

Each folder of .txt, .md and .pdf files is one kind of text (stories, documentation, dialogue); its passages get the
questions that a recipe with `data.name: text` would train on. The rules: infoagent/measurement/blank_quality.py.
"""

import sys
from pathlib import Path

from infoagent.arguments import SEED, written_by
from infoagent.config import exit_code, script_parser
from infoagent.types import InputError


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="texts of one kind, a file or a folder")
    parser.add_argument("--seed", type=SEED, default=0)
    parser.add_argument("--out", type=written_by("eval/bench/blank_quality.py"), help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    names = [Path(folder).resolve().name for folder in arguments.folders]
    if len(set(names)) < len(names):
        raise InputError(f"{' '.join(arguments.folders)}: two have the same name; rename one")
    from infoagent.data.sets.own import load_text
    from infoagent.files import write_json
    from infoagent.measurement.blank_quality import summarise
    from infoagent.store import provenance

    found = {}
    for name, folder in zip(names, arguments.folders, strict=True):
        data = load_text(folder, "all", arguments.seed, None, None)
        found[name] = {**summarise(data.problems), "revision": data.revision, "left_out": dict(data.left_out)}
        shares = ", ".join(f"{k} {v:.3f}" for k, v in found[name].items() if isinstance(v, float))
        print(f"{name}: {shares} of {found[name]['questions']} questions")
    if arguments.out:
        write_json(arguments.out, {"seed": arguments.seed, "texts": found, **provenance()})
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
