"""Tables of the kept results, written from the JSON beside them into the pages that show them.

    python eval/results/pages.py            # every README.md of the repository anew
    python eval/results/pages.py --check    # exit code 1, and a line for each table that is not what its JSON says

A table stands between `<!-- table`, its recipe, `-->` and `<!-- end -->`; infoagent/reporting/json_tables.py says how a recipe
is written. What stands outside of tables is left alone.
"""

import re
import sys
from pathlib import Path

from infoagent.config import exit_code, script_parser

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"(<!-- table\n(.*?)-->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="README.md files; without any, all of the repository")
    parser.add_argument("--check", action="store_true", help="write nothing, name the tables that differ")
    arguments = parser.parse_args(argv)

    from infoagent.files import write_text
    from infoagent.reporting.json_tables import markdown_table

    differing = 0
    for page in map(Path, arguments.pages or own_pages()):
        text = page.read_text(encoding="utf-8")
        written = TABLE.sub(lambda part, page=page: part[1] + markdown_table(part[2], page.parent) + part[4], text)
        for old, new in zip(TABLE.finditer(text), TABLE.finditer(written), strict=True):
            if old[3] != new[3]:
                differing += 1
                print(f"{page}:{text[: old.start()].count(chr(10)) + 1}: a table that is not what its JSON says")
        if not arguments.check and written != text:
            write_text(page, written)
    if not arguments.check:
        print(f"{differing} tables written anew")
    return int(arguments.check and differing > 0)


def own_pages() -> list[Path]:
    """README.md at the top, and in the folders of the repository: not in environments and runs."""
    folders = ("train", "eval", "infoagent", "accelerate_configs", "configs", "tests")
    return [ROOT / "README.md", *sorted(page for folder in folders for page in (ROOT / folder).rglob("README.md"))]


if __name__ == "__main__":
    sys.exit(exit_code(main))
