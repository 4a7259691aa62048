"""`infoagent compact`: a history in, the compacted history on stdout in the same form, figures on stderr."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from infoagent.cli.compress import DEFAULT_MODEL
from infoagent.data.reading.chat_logs import MESSAGES, messages_field
from infoagent.data.reading.hub import open_files
from infoagent.data.reading.schema import Unreadable
from infoagent.logs import unfiltered
from infoagent.progress import Progress
from infoagent.types import InputError

Raw = dict[str, Any]


def compact(arguments: argparse.Namespace) -> int:
    """One message a line is one history; a conversation a row (under one of MESSAGES) is a history each. Returns 1 where a
    history could not be compacted; it is printed as it was."""
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
    mistakes = [line for where, messages, _ in histories for line in _mistakes(compactor, where, messages)]
    if mistakes:
        raise InputError(mistakes)
    out = sys.stdout if sys.stdout.isatty() else unfiltered(sys.stdout)
    failed = 0
    with Progress(len(histories), "compact", "history", arguments.quiet or len(histories) == 1) as bar:
        for where, messages, row in histories:
            result = compactor.compact(messages)
            failed += result.status == "failed"
            for line in _lines(result, row, arguments.json):
                print(line, file=out)
            print(_figures(result, where if len(histories) > 1 else ""), file=sys.stderr)
            bar.update()
    return 1 if failed else 0


def _histories(name: str) -> list[tuple[str, list[Raw], Raw | None]]:
    """(where, messages, the row that holds them; None where each row is a message). Raises InputError for every bad row."""
    rows = list(_stdin_rows() if name == "-" else ((row.where, row.content) for row in open_files("history", name).rows))
    mistakes = [f"{where}: {content.reason}" for where, content in rows if isinstance(content, Unreadable)]
    mistakes += [f"{where}: must be an object, a message or a conversation" for where, content in rows if _is_no_row(content)]
    if mistakes:
        raise InputError(mistakes)
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


def _stdin_rows() -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(sys.stdin, start=1):
        if line.strip():
            try:
                yield f"standard input: line {number}", json.loads(line)
            except ValueError as error:
                raise InputError(f"standard input: line {number}: no JSON: {error}") from error


def _mistakes(compactor: Any, where: str, messages: Any) -> list[str]:
    try:
        compactor.plan(messages)
    except InputError as error:
        return [f"{where}: {line}" for line in error.problems]
    return []


def _lines(result: Any, row: Raw | None, as_json: bool) -> Iterator[str]:
    """What goes to stdout: messages a line, or the row with its new messages; with --json the figures as well."""
    if as_json:
        figures = {key: value for key, value in vars(result).items() if key != "messages"}
        yield json.dumps({**(row or {}), **figures, (messages_field(row) or "messages"): result.messages}, ensure_ascii=False)
    elif row is not None:
        yield json.dumps({**row, str(messages_field(row)): result.messages}, ensure_ascii=False)
    else:
        yield from (json.dumps(message, ensure_ascii=False) for message in result.messages)


def _figures(result: Any, where: str) -> str:
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
