"""HTTP exchanges with servers that nobody here wrote: whatever comes back is a text, or a failure with a cause.

All clients of this package read bodies, JSON and errors here, so that no charset, number, nesting or broken encoding
of a server ends a run whose replies are paid for, and no key that a server repeats is kept.
"""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import httpx

from infoagent.address import is_encrypted, is_local
from infoagent.types import InputError

MOST_BODY_BYTES = 32 * 2**20
"""Of a reply, unpacked. No text that a model writes and no page is longer; a few kilobytes may unpack to gigabytes."""
MOST_DIGITS = 400
"""Of a whole number in JSON. Python reads no more than 4,300, and no count has as many; a longer one is read as ∞."""
LEAST_KEY_CHARACTERS = 8
"""Shorter keys are the placeholders of servers without keys ("EMPTY", "none"): they are words of ordinary replies."""
SHOWN = 300
"""Characters of an error."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no line of a terminal or a file should hold."""
NEVER_SENT = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)  # fmt: skip
Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)


class TooLong(Exception):
    """A body of more than the bytes that are read."""


@dataclass(frozen=True)
class Mishap:
    """Why there is no response that can be read. `cause` is one of connection, invalid address, timeout, not decodable,
    too long, unreadable; `sent`: the request may have reached the server, which may want money for it."""

    cause: str
    error: str
    sent: bool


def mishap(error: Exception, key: str | None) -> Mishap:
    """What an exception between sending and reading means."""
    text = one_line(said(error), key)
    if isinstance(error, httpx.InvalidURL):
        return Mishap("invalid address", text, sent=False)
    if isinstance(error, NEVER_SENT):
        return Mishap("connection", text, sent=False)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Mishap("timeout", text, sent=True)
    if isinstance(error, httpx.DecodingError):
        return Mishap("not decodable", text, sent=True)
    if isinstance(error, TooLong):
        return Mishap("too long", text, sent=True)
    return Mishap("connection" if isinstance(error, httpx.RequestError) else "unreadable", text, sent=True)


def open_client(kind: type[Client], url: str, **given: Any) -> Client:
    """An httpx client for the server at `url`. Raises InputError where the environment lets none be made."""
    try:
        return kind(
            verify=is_encrypted(url),  # reading the certificates takes longer than many a request without them
            trust_env=not is_local(url),
            **given,
        )
    except (ValueError, OSError, ImportError, httpx.InvalidURL) as error:
        raise InputError(
            f"{one_line(url, None)}: cannot be asked ({one_line(said(error), None)}); correct the address, or what "
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE say"
        ) from None


def read_body(response: httpx.Response, most_bytes: int = MOST_BODY_BYTES, until: float = math.inf) -> bytes:
    """The whole body of a streamed response, unpacked. Raises TooLong, TimeoutError where the monotonic clock passes
    `until` (one that drips is cut off), and what httpx raises."""
    parts, size = [], 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise TooLong(f"more than {most_bytes} bytes")
        if time.monotonic() > until:
            raise TimeoutError
    return b"".join(parts)


async def read_body_async(response: httpx.Response, most_bytes: int = MOST_BODY_BYTES) -> bytes:
    """As `read_body`, whose deadline a task has from outside."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise TooLong(f"more than {most_bytes} bytes")
    return b"".join(parts)


def exchange(
    client: httpx.Client,
    method: str,
    path: str,
    timeout: httpx.Timeout,
    content: bytes | None = None,
    most_bytes: int = MOST_BODY_BYTES,
) -> tuple[int, Any]:
    """(status, the reply as JSON, None where it is none). Raises TooLong, and what httpx raises."""
    with client.stream(method, path, content=content, timeout=timeout) as response:
        text = text_of(read_body(response, most_bytes))
    try:
        return response.status_code, read_json(text)
    except ValueError:
        return response.status_code, None


def text_of(body: bytes) -> str:
    """A body as text. JSON is UTF-8 whatever the Content-Type says: charsets such as `hex` or `idna` are no help."""
    return body.decode("utf-8-sig", errors="replace")


def read_json(text: str) -> Any:
    """A text as JSON. Raises ValueError for everything that is none, too deep nesting among it."""
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float("-inf" if digits.startswith("-") else "inf")


def masked(text: str, key: str | None) -> str:
    """`text` with [key] in every place of the key, each character of it plain or escaped, as in URLs and in JSON."""
    if key is None or len(key) < LEAST_KEY_CHARACTERS:
        return text
    return _pattern(key).sub("[key]", text)


def one_line(text: str, key: str | None) -> str:
    """`text` on one short line, without the key. The key is taken out before the text is cut: half of it is one too."""
    text = masked(text, key)
    text = _CONTROL.sub("?", " ".join(text.split()))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@lru_cache(maxsize=16)
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile("".join(f"(?:{_forms(character)})" for character in key))


def _forms(character: str) -> str:
    """The character itself, %2F, \\/, \\u002f, &#47; and &#x2f; (a few backslashes, as JSON in JSON has them)."""
    number = ord(character)
    return (
        rf"{re.escape(character)}|%(?i:{number:02x})|\\{{1,4}}(?:{re.escape(character)}|u(?i:{number:04x}))"
        rf"|&#(?:{number}|[xX](?i:{number:x}));"
    )


def said(error: Exception) -> str:
    """An exception in words, the name too: a time-out has no words of its own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
