"""A source, who finds it, and how a search can fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Source:
    """A text to read. `id` is the same whichever query found it; `text` is None until the source was fetched."""

    id: str
    title: str
    address: str
    """Where a reader finds it: a file, an id in a data set, a URL."""
    text: str | None = None


class SearchFailed(RuntimeError):
    """No sources, or no text: `cause` in two words (http N, timeout, connection, not JSON, no text, not recorded, …),
    the message one line. `usd` is what may have to be paid nevertheless."""

    def __init__(self, cause: str, error: str, usd: float = 0.0) -> None:
        self.cause = cause
        self.usd = usd
        super().__init__(error)


class Provider(Protocol):
    """Who finds sources and reads them. Both calls may come from several threads at a time."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the answers beside the query. No key, no time-out."""

    @property
    def usd_per_search(self) -> float: ...

    @property
    def usd_per_fetch(self) -> float: ...

    def check(self) -> None:
        """Before a long run: everything that can be asked without paying. Raises InputError, a line each."""

    def search(self, query: str, count: int) -> list[Source]:
        """At most `count` sources, the best first; empty where there is none. Raises SearchFailed."""

    def fetch(self, source: Source) -> Source:
        """`source` with its text, which is never empty. Raises SearchFailed."""
