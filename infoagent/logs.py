"""Where the package's log lines go: stderr, above a progress bar where one is shown, and from one process of a launch.

Modules log to `logging.getLogger(__name__)`; the programs say here how much of it is shown. Libraries stay at warning:
their own lines below that hide ours.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

from tqdm import tqdm

LEVELS = ("debug", "info", "warning", "error")
DEFAULT = "warning"


# all but tab and the two line ends: a terminal would obey the others
_COMMANDS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """`text` without what a terminal would take for a command, each such character as U+FFFD."""
    return _COMMANDS.sub("\ufffd", text)


class PlainStream:
    """A stream that shows what a document says and does nothing of it: what a terminal would take for a command is shown
    as U+FFFD, and what the terminal's encoding lacks as an escape. What the program itself draws goes to `unfiltered`."""

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        self.unfiltered.write(plain(text).encode(self._encoding, errors="backslashreplace").decode(self._encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


def unfiltered(stream: Any) -> Any:
    """The stream behind a PlainStream, for bars and colours."""
    return stream.unfiltered if isinstance(stream, PlainStream) else stream


def result_stream(coloured: bool = False) -> Any:
    """Where a text that was asked for goes: what a terminal would obey is filtered for a terminal alone, unless it is the program's
    own colours; a file or a pipe gets the text as it is. That is UTF-8 whatever the locale's encoding is, which may lack a character
    that a model has worked for."""
    is_terminal = sys.stdout.isatty()
    if is_terminal and not coloured:
        return sys.stdout
    stream = unfiltered(sys.stdout)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    return _Lossless(stream, stream.encoding if is_terminal else "utf-8")


class _Lossless:
    """A text stream that writes in `encoding`, and what that lacks as an escape. It goes around the stream's own encoder, which
    cannot be changed on every stream that has begun."""

    def __init__(self, stream: io.TextIOWrapper, encoding: str) -> None:
        self._stream, self._encoding = stream, encoding

    def write(self, text: str) -> int:
        self._stream.flush()  # what was printed before stands before
        self._stream.buffer.write(text.encode(self._encoding, errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def plain_streams() -> Iterator[None]:
    """stdout and stderr as PlainStreams, for a whole program. What is said on one that was closed (`>&-`) goes nowhere."""
    before = sys.stdout, sys.stderr
    with ExitStack() as opened:
        sys.stdout, sys.stderr = (
            PlainStream(opened.enter_context(open(os.devnull, "w", encoding="utf-8")) if stream is None else unfiltered(stream))
            for stream in before
        )
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


class _AboveBars(logging.Handler):
    """Writes to the stderr of the moment, so that a line never breaks into a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        write_above_bars(self.format(record))


def write_above_bars(line: str) -> None:
    """A line on stderr, which never breaks into a progress bar."""
    tqdm.write(plain(line), file=unfiltered(sys.stderr))


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
    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, *_: object) -> None:
        set_up_logging(str(values))
        setattr(namespace, self.dest, values)


def add_log_level(parser: argparse.ArgumentParser) -> None:
    """--log-level, which holds from the moment that it is parsed."""
    parser.add_argument(
        "--log-level", choices=LEVELS, default=DEFAULT, action=_SetUp, help=f"log lines on stderr (default {DEFAULT})"
    )
