"""The ceiling of a warm start: what the best of all proposals is worth, beside BM25 and the model's own texts, by source.

    python train/sft.py configs/train/teacher.yaml
    python eval/teacher.py runs/teacher --out runs/teacher/table [--price 0.02]

Reads candidates.jsonl alone; no model is loaded. Writes teacher.json, .md, .png and .svg.
"""

import sys
from pathlib import Path

from infoagent.arguments import real
from infoagent.config import exit_code, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("runs", nargs="+", help="output_dirs of train/sft.py or train/dpo.py with sampling.proposals")
    parser.add_argument("--out", required=True, help="directory for the table and the figure")
    parser.add_argument(
        "--price", type=real(0, 100), help="nats for each token, or byte where a run pays by bytes, in place of its own"
    )
    arguments = parser.parse_args(argv)

    from infoagent.analysis.teacher import find_teacher
    from infoagent.files import check_output_file, write_json
    from infoagent.reporting.tables import as_text, write_tables
    from infoagent.reporting.teacher import COLUMNS, difference_lines, save_teacher, teacher_rows
    from infoagent.store import provenance

    out = Path(arguments.out)
    check_output_file(out / "teacher.json", "eval/teacher.py")
    table = find_teacher(arguments.runs, arguments.price)
    write_json(out / "teacher.json", {**table, **provenance()})
    write_tables(out / "teacher.md", (COLUMNS, teacher_rows(table)))
    save_teacher(table, out / "teacher.png", out / "teacher.svg")
    print(f"{table['problems']} problems, {table['texts_a_problem']:.1f} texts each; 95 % intervals over documents")
    print(as_text(COLUMNS, teacher_rows(table)))
    for line in difference_lines(table):
        print(line)
    print(f"\nteacher: {out}/teacher.json, .md, .png, .svg")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
