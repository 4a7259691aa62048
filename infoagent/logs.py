"""Where the package's log lines go: stderr, above a progress bar where one is shown, and from one process of a launch.

Modules log to `logging.getLogger(__name__)`; the programs say here how much of it is shown. Libraries stay at warning:
their own lines below that hide ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys

from tqdm import tqdm

LEVELS = ("debug", "info", "warning", "error")
DEFAULT = "warning"


class _AboveBars(logging.Handler):
    """Writes to the stderr of the moment, so that a line never breaks into a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def set_up_logging(level: str = DEFAULT) -> None:
    """Show the package's lines from `level` on, a name of LEVELS. Processes of a launch but the first: only warnings
    and errors, since all of them say the same. Called again, the last call holds."""
    wanted = getattr(logging, level.upper())
    if not is_first_process():
        wanted = max(wanted, logging.WARNING)
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _AboveBars)]
    handler = _AboveBars()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root.addHandler(handler)
    root.setLevel(max(wanted, logging.WARNING))
    logging.getLogger("infoagent").setLevel(wanted)


def is_first_process() -> bool:
    """Of a launcher's processes; a program without a launcher is the first."""
    return os.environ.get("RANK", "0") == "0"


class _SetUp(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, *_: object
    ) -> None:
        set_up_logging(str(values))
        setattr(namespace, self.dest, values)


def add_log_level(parser: argparse.ArgumentParser) -> None:
    """--log-level, which holds from the moment that it is parsed."""
    parser.add_argument(
        "--log-level", choices=LEVELS, default=DEFAULT, action=_SetUp, help=f"log lines on stderr (default {DEFAULT})"
    )
