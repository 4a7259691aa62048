"""`infoagent compact`: a history in, the compacted history on stdout in the same form, figures on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from infoagent.cli.compress import DEFAULT_MODEL
from infoagent.data.reading.chat_logs import MESSAGES, messages_field
from infoagent.data.reading.hub import open_files
from infoagent.data.reading.schema import Unreadable, reported
from infoagent.data.reading.tables import STANDARD_INPUT, stream_rows
from infoagent.logs import result_stream
from infoagent.progress import Progress
from infoagent.types import InputError

if TYPE_CHECKING:
    from infoagent.lm.compacting import Compaction, Compactor

Raw = dict[str, Any]


def compact(arguments: argparse.Namespace) -> int:
    """One message a line is one history; a conversation a row (under one of MESSAGES) is a history each. Returns 1 where a
    history could not be compacted; it is printed as it was. So is one among several of which none can go, which is no failure."""
    from infoagent.lm.adapters import base_here
    from infoagent.lm.compacting import CompactionSettings, Compactor

    histories = _histories(arguments.history)
    name = arguments.model or (base_here(arguments.adapter) if arguments.adapter else DEFAULT_MODEL)
    settings = CompactionSettings(
        arguments.budget,
        arguments.newest,
        tuple(arguments.keep),
        arguments.query or "",
        None,
        arguments.temperature,
        arguments.seed,
    )
    compactor = Compactor(name, settings, arguments.adapter, arguments.dtype)
    several = len(histories) > 1
    mistakes = [line for where, messages, _ in histories for line in _mistakes(compactor, where, messages, several)]
    if mistakes:
        raise InputError(mistakes)
    out = result_stream()
    failed = 0
    with Progress(len(histories), "compact", "history", arguments.quiet or not several) as bar:
        for where, messages, row in histories:
            result = _compacted(compactor, messages, several)
            failed += result.status == "failed"
            for line in _lines(result, row, arguments.json):
                print(line, file=out)
            out.flush()  # what is done stays done where a later one is killed
            print(_figures(result, where if several else ""), file=sys.stderr)
            bar.update()
    return 1 if failed else 0


def _histories(name: str) -> list[tuple[str, list[Raw], Raw | None]]:
    """(where, messages, the row that holds them; None where each row is a message). Raises InputError for every bad row."""
    if name == "-":
        source, name = stream_rows(sys.stdin.buffer, STANDARD_INPUT, ": line "), STANDARD_INPUT
    else:
        source = iter(open_files("history", name, setting="HISTORY").rows)
    rows = [(row.where, row.content) for row in source]
    mistakes = [f"{where}: {content.reason}" for where, content in rows if isinstance(content, Unreadable)]
    mistakes += [f"{where}: must be an object, a message or a conversation" for where, content in rows if _is_no_row(content)]
    mistakes += [f"{where}: {mistake}" for where, content in rows for mistake in _unwritable(content)]
    if mistakes:
        raise InputError(reported(mistakes, name, "mistakes"))
    if not rows:
        raise InputError(f"{name}: holds no message")
    fields = {messages_field(content) for _, content in rows}
    if fields == {None}:
        return [(name, [content for _, content in rows], None)]
    if None in fields:
        where = next(where for where, content in rows if messages_field(content) is None)
        raise InputError(f"{where}: a message among conversations; give one of them: messages in rows, or rows with {MESSAGES[1]}")
    return [(where, content[messages_field(content)], content) for where, content in rows]


def _is_no_row(content: Any) -> bool:
    return not isinstance(content, (dict, Unreadable))


def _unwritable(row: Any) -> Iterator[str]:
    """A line for each field that stdout cannot take: what a model has worked for must not be lost there."""
    for field, value in row.items() if isinstance(row, dict) else ():
        try:
            json.dumps({field: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            yield f"field {field!r}: holds half a surrogate pair, which is no text; leave it out"
        except (TypeError, ValueError) as error:
            yield f"field {field!r}: cannot be written as JSON ({error}); make it a text, or leave it out"


def _mistakes(compactor: Compactor, where: str, messages: Any, several: bool) -> list[str]:
    from infoagent.lm.compacting import NoneCanGo

    try:
        compactor.plan(messages)
    except InputError as error:
        is_short = several and isinstance(error, NoneCanGo)  # a short one must not stop the others
        return [] if is_short else [f"{where}: {line}" for line in error.problems]
    return []


def _compacted(compactor: Compactor, messages: list[Raw], several: bool) -> Compaction:
    from infoagent.lm.compacting import Compaction, NoneCanGo

    try:
        return compactor.compact(messages)
    except NoneCanGo as error:
        if not several:
            raise
        return Compaction("short", messages, str(error))


def _lines(result: Compaction, row: Raw | None, as_json: bool) -> Iterator[str]:
    """What goes to stdout: messages a line, or the row with its new messages; with --json the figures as well."""
    if as_json:
        figures = {key: value for key, value in vars(result).items() if key != "messages"}
        yield json.dumps({**(row or {}), **figures, (messages_field(row) or "messages"): result.messages}, ensure_ascii=False)
    elif row is not None:
        yield json.dumps({**row, str(messages_field(row)): result.messages}, ensure_ascii=False)
    else:
        yield from (json.dumps(message, ensure_ascii=False) for message in result.messages)


def _figures(result: Compaction, where: str) -> str:
    from infoagent.lm.compacting import UNREAD

    head = f"{where}: " if where else ""
    if result.status == "failed":
        return f"{head}not compacted, the history is unchanged: {result.cause}"
    if result.status == "short":
        return f"{head}nothing to compact: {result.cause}"
    line = f"{head}{result.gone} messages of {result.tokens_before} tokens → a memory of {result.tokens}, {result.seconds:.1f} s"
    line += f", {len(result.messages) - 1} messages unchanged"
    if result.kept:
        line += f"; to the letter: {len(result.kept)}"
        line += f", {len(result.added)} of them put behind the model's text" if result.added else ", all in the model's text"
    if result.left_out:
        line += "\n" + UNREAD % result.unread
    if result.parts > 1:
        line += f"\nlonger than the model's context: read in {result.parts} parts"
    return line
