"""Worker process of isolated parsers: reads one file after the other from its standard input, each under its limits."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

from infoagent.data.reading.apart import HEADER
from infoagent.data.reading.markdown import markdown_paragraphs
from infoagent.data.reading.pdf import parsed
from infoagent.data.reading.tables import BadFile
from infoagent.parsing import MIB

try:
    import resource
except ImportError:  # Windows has no limits of this kind; the clock of the asking process holds there
    resource = None  # type: ignore[assignment]


def _markdown(content: bytes, where: str) -> dict[str, Any]:
    return {"paragraphs": markdown_paragraphs(content.decode())}


READERS: dict[str, Callable[[bytes, str], dict[str, Any]]] = {"markdown": _markdown, "pdf": parsed}


def _limit(seconds: int, memory: int) -> None:
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = {
        resource.RLIMIT_CPU: int(used.ru_utime + used.ru_stime) + 1 + seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _, most = resource.getrlimit(kind)  # the machine's own, which stays: nobody but root may raise it
        resource.setrlimit(kind, (value if most == resource.RLIM_INFINITY else min(value, most), most))


def _answer(reader: Callable[[bytes, str], dict[str, Any]], content: bytes, where: str, memory: int) -> bytes:
    try:
        return json.dumps(reader(content, where)).encode()
    except BadFile as error:
        return json.dumps({"bad": "\n".join(error.problems), "cause": error.cause}).encode()
    except (MemoryError, RecursionError) as error:
        told = f"takes more than {memory // MIB} MiB of memory to read"
        return json.dumps({"limit": told if isinstance(error, MemoryError) else "is nested too deeply"}).encode()


def main() -> None:
    source = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while head := source.read(HEADER.size):
        size, seconds, memory = HEADER.unpack(head)
        (told,) = struct.unpack(">I", source.read(4))
        about = json.loads(source.read(told))
        content = source.read(size - told)
        _limit(seconds, memory)
        body = _answer(READERS[about["kind"]], content, about["where"], memory)
        answers.write(len(body).to_bytes(8, "big") + body)
        answers.flush()


if __name__ == "__main__":
    main()
