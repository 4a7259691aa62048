"""URLs of servers that a user names: checked before anything is sent, by recipes and clients alike."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def address_mistakes(url: str) -> list[str]:
    """What is wrong with the address of a server: a line each, empty for one that can be asked. Never shows it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a port out of range shows when it is read
        (parts.hostname or "").encode("idna")  # nor is a name looked up whose parts are empty or too long
    except ValueError:
        return ["is no address that can be asked; write one such as http://localhost:8000/v1"]
    mistakes = []
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        mistakes.append("must be an http or https address such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        mistakes.append("holds credentials or a query; put the key into an environment variable")
    return mistakes


def is_local(url: str) -> bool:
    """Whether the server is on this machine, where no proxy is asked."""
    return _split(url).hostname in LOOPBACK


def is_encrypted(url: str) -> bool:
    return _split(url).scheme == "https"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # no address at all: whoever asks there says so
        return urlsplit("")
