"""Rate-distortion curves of an evaluation: picture, fits, every curve against every other, information against the score.

    python eval/frozen.py configs/eval/baselines.yaml
    python eval/curves.py runs/baselines --out runs/baselines [--baseline eval/baselines/smollm2-135m.json]

Reads summary.json and analysis.json; no model is loaded. Several directories stand beside one another. Writes curves.png
and .svg.
"""

import sys
from pathlib import Path

from infoagent.config import exit_code, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("directories", nargs="+", metavar="RUN", help="output_dir of eval/frozen.py or eval/checkpoint.py")
    parser.add_argument("--out", required=True, help="directory for the figures")
    parser.add_argument("--baseline", action="append", default=[], metavar="FILE", help="a kept summary.json to lay below")
    arguments = parser.parse_args(argv)

    from infoagent.evaluation.mirroring import draw_curves, report_mirror
    from infoagent.records.summaries import read_analysis, read_summaries, read_summary_file
    from infoagent.reporting.curves import (
        BD_COLUMNS,
        CONTROLLED_COLUMNS,
        FIT_COLUMNS,
        bd_rows,
        controlled_rows,
        fit_rows,
        save_curves,
    )
    from infoagent.reporting.tables import as_text

    summaries = [s for directory in arguments.directories for s in read_summaries(directory)]
    baselines = [s for file in arguments.baseline for s in read_summary_file(file).summaries]
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "svg"):
        save_curves(summaries, out / f"curves.{ending}", baselines)
    for directory in arguments.directories:
        analysis = read_analysis(directory)
        print(f"{directory}: D(R) = C·exp(−b·R) + D0 and its alternatives, 95 % intervals over documents")
        print(as_text(FIT_COLUMNS, fit_rows(analysis)))
        print("\nfirst curve over second, paired by document, 95 %")
        print(as_text(BD_COLUMNS, bd_rows(analysis)))
        print("\nMI of each compression against the score of the answer from it: correlations, 95 %")
        print(as_text(CONTROLLED_COLUMNS, controlled_rows(analysis)) + "\n")
    mirror = report_mirror(arguments.directories[0], "curves")
    draw_curves(mirror, summaries)
    mirror.finish()
    print(f"curves: {out}/curves.png, .svg")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
