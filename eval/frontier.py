"""Trained points over the frozen curve: tokens at equal value, value at equal tokens, with intervals.

    python eval/frozen.py configs/eval/frontier.yaml
    python eval/checkpoint.py configs/eval/frontier.yaml checkpoint=runs/frontier/checkpoint-100      # as often as you like
    python eval/frontier.py runs/frontier-eval --out runs/frontier-eval [--value hard]

Reads records.jsonl alone; no model is loaded. Writes frontier-VALUE.json, .png and .svg.
"""

import sys
from pathlib import Path

from infoagent.arguments import SEED
from infoagent.config import exit_code, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("directory", help="output_dir of the evaluations")
    parser.add_argument("--out", required=True, help="directory for the figures")
    parser.add_argument("--value", choices=["hard", "easy", "all", "fact", "accuracy"], default="hard")
    parser.add_argument("--seed", type=SEED, default=0, help="of the bootstrap over documents")
    arguments = parser.parse_args(argv)

    from infoagent.analysis.frontier import find_frontier
    from infoagent.evaluation.mirroring import frontier_points, report_mirror
    from infoagent.files import check_output_file, write_json
    from infoagent.reporting.frontier import COLUMNS, frontier_notes, frontier_rows, save_frontier
    from infoagent.reporting.tables import as_text
    from infoagent.store import provenance

    out = Path(arguments.out)
    numbers = out / f"frontier-{arguments.value}.json"
    check_output_file(numbers, "eval/frontier.py")
    found = find_frontier(arguments.directory, arguments.value, arguments.seed)
    write_json(numbers, {"seed": arguments.seed, **found, **provenance()})
    for ending in ("png", "svg"):
        save_frontier(found, out / f"frontier-{arguments.value}.{ending}")
    mirror = report_mirror(arguments.directory, f"frontier-{arguments.value}")
    mirror.chart("frontier", frontier_points(found), "rate_tokens", "value", "curve", f"{found['title']} against tokens")
    mirror.finish()
    print(f"{found['title']} against tokens; 95 % intervals over documents")
    print(as_text(COLUMNS, frontier_rows(found)))
    for note in frontier_notes(found):
        print(note)
    print(f"\nfrontier: {out}/frontier-{arguments.value}.json, .png, .svg")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
