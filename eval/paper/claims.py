"""Every claim of the paper in one table: holds here, does not, is not decided and why, cannot be asked and what it would take.

    python eval/paper/claims.py runs/figures/*/fig*.json [rounds.json] [deep_research.json] --out runs/claims [--goals goals.json]

Reads the JSON files of eval/paper/figures.py, eval/applications/rounds.py and eval/applications/deep_research.py; no model is
loaded. Writes claims.json, and goals.json, in which a claim is met where it is decided, either way; --goals lays the goals of
eval/goals.py beside them.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="FIGURE.json of runs, rounds.json, deep_research.json")
    parser.add_argument("--goals", metavar="FILE", help="goals.json of eval/goals.py whose goals stand beside the claims")
    parser.add_argument("--out", required=True, help="directory for claims.json and goals.json")
    arguments = parser.parse_args(argv)

    from infoagent.analysis.goals import decided_before
    from infoagent.applications.paper.collection import collect_claims, goals_of
    from infoagent.files import check_output_file, write_json
    from infoagent.reporting.tables import as_text
    from infoagent.store import SCHEMA_VERSION, provenance

    out = Path(arguments.out)
    for name in ("claims.json", "goals.json"):
        check_output_file(out / name, "eval/paper/claims.py")
    rows, files = collect_claims([Path(file) for file in arguments.files])
    goals, undecided = goals_of(rows)
    if arguments.goals:
        more = decided_before(Path(arguments.goals))
        goals, undecided = {**goals, **more.goals}, {**undecided, **more.undecided}
    made = {"schema_version": SCHEMA_VERSION, **provenance()}
    said = [{name: value for name, value in row.items() if value is not None} for row in rows]
    write_json(out / "claims.json", {**made, "files": files, "claims": said})
    write_json(out / "goals.json", {**made, "goals": goals, "undecided": undecided})
    print(as_text(("claim", "verdict"), [[row["id"], row["verdict"]] for row in rows]))
    print(f"\n{sum(g['met'] for g in goals.values())} of {len(goals) + len(undecided)} decided; {out / 'claims.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
