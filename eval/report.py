"""Records → one self-contained HTML page with tables, plots and samples, and its numbers as JSON.

    python eval/report.py runs/records-eval runs/records-grpo --out runs/report.html

The same as `infoagent report`.
"""

import sys

from infoagent.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
