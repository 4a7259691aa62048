"""Files that survive a kill, a full disk and whatever foreign text stands in them: all that is written goes through here.

A file is written beside its place and renamed, so a killed process leaves the old one or the new one. A JSONL file grows
by whole lines: what a kill or a full disk left of one is cut before the next. Foreign text is cleaned here and nowhere
else, so every line is JSON that a strict reader takes. A directory has one writer, and a file that a command did not
make is never replaced by it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infoagent.parsing import DEPTH, DIGITS, json_loads
from infoagent.types import InputError

logger = logging.getLogger(__name__)

MOST_BITS = int((DIGITS - 1) / math.log10(2))
"""Of an integer that is read again, and that other readers of JSON still hold, as a double."""
REPLACEMENT = "\ufffd"
# half a surrogate pair has no UTF-8, and databases, terminals and trackers take no control characters but white space
_UNFIT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
LOCK_FILE = ".lock"
MOST_SAID = 300
"""Bytes about the holder of a lock."""


# ---- JSON ---------------------------------------------------------------------------------------------------------


def clean_text(text: str) -> str:
    """`text` with half surrogate pairs and control characters, white space aside, as U+FFFD. Two halves side by side are
    one character: a stream may have cut between them."""
    if not _UNFIT.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _UNFIT.sub(REPLACEMENT, joined)


def clean(value: Any, levels: int = DEPTH) -> Any:
    """`value` as JSON that every reader takes: text by `clean_text`, None for what is not finite, and a sentence in the
    place of an integer beyond a double or of what is nested too deeply."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        digits = int(value.bit_length() * math.log10(2)) + 1
        return value if value.bit_length() <= MOST_BITS else f"an integer of about {digits} digits"
    if isinstance(value, Mapping | list | tuple) and not levels:
        return f"nested deeper than {DEPTH} levels"
    if isinstance(value, Mapping):
        return {clean_text(k) if isinstance(k, str) else k: clean(v, levels - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v, levels - 1) for v in value]
    return value


def json_text(value: Any, indent: int | None = None) -> str:
    """`value`, cleaned, as strict JSON."""
    return json.dumps(clean(value), indent=indent, ensure_ascii=False, allow_nan=False)


def read_json(path: str | Path, what: str = "", kind: type = dict) -> Any:
    """The object, or what else of `kind`, in a file. Raises InputError, with `what` to do about it, for any other."""
    after = f"; {what}" if what else ""
    try:
        content = json_loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}{after}") from error
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({_short(error)}){after}") from error
    if not isinstance(content, kind):
        raise InputError(f"{path}: holds {type(content).__name__} where {kind.__name__} is expected{after}")
    return content


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What files raise that are JSON and yet not what a run writes, is one line about `what`."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        logger.debug("where it happened", exc_info=error)
        raise InputError(
            f"{what}: damaged, or not what this version writes ({type(error).__name__}: {_short(error)}); restore it, or "
            "make it again (--log-level debug tells where)"
        ) from error


def read_jsonl(path: str | Path, missing_in: Callable[[dict[str, Any]], list[str]] | None = None) -> list[dict[str, Any]]:
    """Rows of a JSONL file. A last line that a killed process left half written is skipped; any other that is no object, or
    lacks what `missing_in` names, is an InputError."""
    rows: list[dict[str, Any]] = []
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not content:
        return rows
    whole = content.endswith(b"\n")
    lines = content.removesuffix(b"\n").split(b"\n")  # not splitlines: texts hold other line ends
    for number, line in enumerate(lines, start=1):
        try:
            row = json_loads(line)
        except ValueError as error:
            if number == len(lines) and not whole:
                break
            raise InputError(f"{path}:{number}: damaged line: {_short(error)}") from error
        missing = (missing_in(row) if missing_in else []) if isinstance(row, dict) else ["object"]
        if missing:
            raise InputError(f"{path}:{number}: damaged line: no {', '.join(missing)}")
        rows.append(row)
    return rows


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


# ---- writing ------------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file beside `path`, of the same ending, to write to; it takes its place once all went well, else it goes."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.stem[:100]}.{os.getpid()}{target.suffix}")
    try:
        yield work
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """The whole file or nothing of it, in UTF-8. `text` is written as it is, but for half surrogate pairs."""
    with replacing(path) as work:
        work.write_bytes(text.encode("utf-8", errors="replace"))


def write_json(path: str | Path, content: Any) -> None:
    """The whole file or nothing of it; NaN and infinity as null."""
    write_text(path, json_text(content, indent=2) + "\n")


def write_jsonl(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """The whole file or nothing of it, a line a row."""
    write_text(path, "".join(json_text(row) + "\n" for row in rows))


def append_jsonl(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add rows in one piece, and return them as a reader will find them.

    Half a line of a killed process is cut first. Where the disk is full the file is as it was, and OSError says so.
    Processes may append to the same file: each waits for the other.
    """
    if not rows:
        return []
    cleaned: list[dict[str, Any]] = [clean(row) for row in rows]
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in cleaned).encode()
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: one process writes there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        end = _whole_lines(descriptor)
        try:
            written = 0
            while written < len(text):
                written += os.pwrite(descriptor, text[written:], end + written)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    return cleaned


def cut_half_line(path: str | Path) -> None:
    """What a killed process left behind the last line end goes, before another reader than `read_jsonl` comes."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        _whole_lines(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(descriptor: int, block: int = 1 << 16) -> int:
    """Where the next line goes. What stands behind the last line end is cut, or ended if nothing of it is missing."""
    size = start = os.fstat(descriptor).st_size
    tail = b""
    while start and b"\n" not in tail:
        step = min(block, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    tail = tail.rpartition(b"\n")[2]
    if not tail:
        return size
    try:
        whole = isinstance(json_loads(tail), dict)
    except ValueError:
        whole = False
    if whole:
        return size + os.pwrite(descriptor, b"\n", size)
    os.ftruncate(descriptor, size - len(tail))
    return size - len(tail)


# ---- whose it is --------------------------------------------------------------------------------------------------


HELD_VARIABLE = "INFOAGENT_HELD_LOCK"
"""The descriptor of a lock that a process was started with."""
_HELD: dict[Path, int] = {}
"""Locks that this process keeps until it ends, and their descriptors."""


@contextmanager
def only_writer(directory: str | Path, share: str = "") -> Iterator[int]:
    """Hold a directory for this process and for those that inherit the descriptor which is given; with `share`, the part
    of it that goes by this name, beside holders of other shares. Raises InputError where another process holds it."""
    lock, said = Path(directory) / LOCK_FILE, f"output_dir = {str(directory)!r}"
    with contextlib.ExitStack() as held:
        descriptor = _held(lock)
        if share and descriptor is None:
            held.callback(os.close, _locked(lock, said, fcntl.LOCK_SH))
        if share or descriptor is None:
            descriptor = _locked(lock.with_name(f"{LOCK_FILE}{share}"), said, fcntl.LOCK_EX)
            held.callback(os.close, descriptor)
        yield descriptor


def hold(directory: str | Path) -> None:
    """As `only_writer`, until this process ends."""
    _keep(Path(directory) / LOCK_FILE, f"output_dir = {str(directory)!r}")


def hold_file(path: str | Path) -> None:
    """Be the only writer of a file that is appended to, until this process ends. Raises InputError as `only_writer`."""
    _keep(Path(path).with_name(f".{Path(path).name}{LOCK_FILE}"), f"--out {path}")


def _keep(lock: Path, said: str) -> None:
    if _held(lock) is None:
        _HELD[lock.resolve()] = _locked(lock, said, fcntl.LOCK_EX)


def _held(lock: Path) -> int | None:
    """The descriptor of the lock where this process has it: of its own, or of the one that started it."""
    with contextlib.suppress(OSError, ValueError):  # none was inherited, or it is closed, or no lock is there
        inherited = int(os.environ.get(HELD_VARIABLE, ""))
        if os.path.samestat(os.fstat(inherited), lock.stat()):
            return inherited
    return _HELD.get(lock.resolve())


def _locked(lock: Path, said: str, kind: int) -> int:
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, MOST_SAID, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise InputError(f"{said}: is being written by {holder or 'another process'}; wait for it, or name another") from None
    if kind == fcntl.LOCK_EX:
        say_holder(descriptor, os.getpid())
    return descriptor


def say_holder(descriptor: int, process: int) -> None:
    """Write into a lock who holds it."""
    program = " ".join(Path(part).name if n == 0 else part for n, part in enumerate(sys.argv))
    said = f"process {process} on {socket.gethostname()} ({program})".encode(errors="replace")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, said[:MOST_SAID], 0)


def check_output_file(path: str | Path, program: str, said: str = "--out", earlier: Sequence[str] = ()) -> None:
    """Raise InputError where `path` cannot be written, or is there and was not written by `program`: a command replaces
    nothing but its own earlier output. It is known by the name of the program in its first bytes (WRITTEN_BY); files of
    earlier versions by how they begin, or by the command that a script noted in them."""
    target = Path(path)
    check_writable(target, said)
    if target.is_dir():
        raise InputError(f"{said} {path}: is a directory; name a file")
    if target.exists() and not _written_by(target, program, earlier):
        raise InputError(f"{said} {path}: is there and was not written by {program}; name another file, or move it away first")


def check_writable(path: str | Path, said: str) -> None:
    """Raise InputError where nothing can be made at `path`, a file or a directory that need not be there yet."""
    target = Path(path)
    if "\0" in str(path):
        raise InputError(f"{said} {str(path)!r}: holds a NUL; name a file without")
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise InputError(f"{said} {path}: may not be written; change its mode, or name another")
        parent = next(p for p in (target.absolute().parent, *target.absolute().parents) if p.exists())
        if not parent.is_dir():
            raise InputError(f"{said} {path}: {parent} is a file; name a directory there")
        if not target.exists() and not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(f"{said} {path}: {parent} may not be written; change its mode, or name another place")
    except OSError as error:
        raise InputError(f"{said} {str(path)[:200]}: cannot be written: {error.strerror}") from error


WRITTEN_BY = "written_by"
MARKED_BYTES, BEGINNING = 1 << 16, 100


def _written_by(path: Path, program: str, earlier: Sequence[str]) -> bool:
    with path.open("rb") as stream:
        head = stream.read(MARKED_BYTES)
    names = {program, f"eval/{Path(program).name}"}  # the second: where scripts of an earlier layout stood
    if any(n.encode(code) in head for n in names for code in ("utf-8", "utf-32-le")):  # utf-32: an array of an .npz
        return True
    if any(mark.encode() in head[:BEGINNING] for mark in earlier):
        return True
    if path.suffix != ".json" or not program.endswith(".py"):
        return False
    with contextlib.suppress(InputError):
        return Path(str(read_json(path).get("command", "")).split(" ")[0]).name == Path(program).name
    return False
