"""How often the intervals of an MI estimate cover what they are for, on channels with a known information.

    python eval/bench/coverage.py --out eval/results/coverage.json

Pools of documents are drawn anew for every replicate. The table gives, for each channel, the share of 95 % intervals
that hold their target, with the mean width: t and jackknife for the expected InfoNCE of pools of this size, the
midpoint's for the true information, the paired one for the difference to a worse compressor.
"""

import sys

from infoagent.arguments import COUNT, SEED, whole, written_by
from infoagent.config import exit_code, script_parser

LOW, HIGH = 0.93, 0.98


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("--documents", type=whole(3), nargs="+", default=[64, 32, 16, 8], help="pool sizes, one table each")
    parser.add_argument("--samples", type=COUNT, default=2, help="compressions of each document")
    parser.add_argument("--replicates", type=COUNT, default=4000)
    parser.add_argument("--seed", type=SEED, default=0)
    parser.add_argument("--out", type=written_by("eval/bench/coverage.py"), help="write the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, a line a minute")
    arguments = parser.parse_args(argv)

    import numpy as np

    from infoagent.files import write_json
    from infoagent.information.coverage import populations, simulate
    from infoagent.progress import each
    from infoagent.store import provenance

    drawn = populations(arguments.seed)
    work = [(documents, name) for documents in arguments.documents for name in drawn]
    tables: dict[str, dict] = {str(documents): {} for documents in arguments.documents}
    for i, (documents, name) in enumerate(each(work, len(work), "coverage", "channel", arguments.quiet)):
        rng = np.random.default_rng([arguments.seed, i])
        figures = simulate(drawn[name], documents, arguments.samples, arguments.replicates, rng)
        tables[str(documents)][name] = figures
    config = {k: getattr(arguments, k) for k in ("documents", "samples", "replicates", "seed")}
    if arguments.out:
        write_json(arguments.out, {"config": config, "limits": [LOW, HIGH], "coverage": tables, **provenance()})
    for documents, rows in tables.items():
        print(f"\n### {documents} documents, {arguments.samples} compressions each\n\n{markdown(rows)}")
    return 0


def markdown(rows: dict[str, dict]) -> str:
    """Coverage in percent and mean width in nats; * marks coverage outside 93 to 98 %."""
    titles = {"t": "t", "jackknife": "jackknife", "midpoint": "midpoint, for I", "paired": "paired difference"}
    lines = ["| channel | I | χ² | E InfoNCE | " + " | ".join(titles.values()) + " |", "|---" * 8 + "|"]
    for name, row in rows.items():
        cells = [name, f"{row['mi_nats']:.3f}", f"{row['chi_squared']:.2f}", f"{row['infonce_nats']:.3f}"]
        for interval in titles:
            found = row[interval]
            mark = "" if LOW <= found["coverage"] <= HIGH else " \\*"
            width = f"{found['width_nats']:.2f}" if found["unknown"] < 1 else "unknown"
            cells.append(f"{found['coverage']:.1%}{mark} ({width})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(exit_code(main))
