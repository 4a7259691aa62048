"""Token log-probabilities on disk by content: a killed run goes on where it was, no cell is computed twice.

The address of a cell is the hash of everything that decides it: who scores (model, revision, adapter, dtype), the
token ids of the prefix (they hold the template, the document and the question) and those of the continuation.
SQLite keeps each column whole or not at all. Every process writes a file of its own and reads those of all.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.types import InputError, RunFailed

Address = bytes
PATIENCE_SECONDS = 60
"""With another process that writes to the same file."""


def address(**parts: Any) -> Address:
    """16 bytes of the SHA-256 of `parts` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16]


class ScoreStore:
    """Cells of one scorer in a directory. `scorer` names it: whatever differs there is another cell."""

    def __init__(self, directory: str | Path, scorer: Mapping[str, Any], process: int = 0) -> None:
        self.directory = Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(f"{directory}: is a file; the scores need a directory")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._scorer = dict(scorer)
        self._own = self.directory / f"scores-{process}.sqlite"
        self._connections: dict[Path, sqlite3.Connection] = {}

    def prefix(self, ids: Sequence[int]) -> Address:
        return address(scorer=self._scorer, prefix=[int(i) for i in ids])

    @staticmethod
    def continuation(ids: Sequence[int]) -> Address:
        return address(continuation=[int(i) for i in ids])

    def column(self, prefix: Address) -> dict[Address, NDArray[np.float32]]:
        """All cells under a prefix, from the files of all processes: {continuation: (L,) nats}."""
        found: dict[Address, NDArray[np.float32]] = {}
        for path in sorted(self.directory.glob("scores-*.sqlite")):
            with self._connected(path) as connection:
                rows = connection.execute("SELECT continuation, log_probs FROM cells WHERE prefix = ?", (prefix,))
                found |= {key: np.frombuffer(blob, dtype="<f4") for key, blob in rows}
        return found

    def put(self, prefix: Address, cells: Iterable[tuple[Address, NDArray[np.float32]]]) -> None:
        """Write one column in one transaction. Raises ValueError for NaN: a failed score is no value."""
        rows = []
        for continuation, log_probs in cells:
            if np.isnan(log_probs).any():
                raise ValueError("a NaN log-probability is not stored")
            rows.append((prefix, continuation, np.asarray(log_probs, dtype="<f4").tobytes()))
        with self._connected(self._own) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", rows)

    def count(self) -> int:
        """Cells in the directory."""
        cells = 0
        for path in sorted(self.directory.glob("scores-*.sqlite")):
            with self._connected(path) as connection:
                cells += int(connection.execute("SELECT count(*) FROM cells").fetchone()[0])
        return cells

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections = {}

    @contextmanager
    def _connected(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection; what SQLite says of the file or the disk becomes one line. Raises InputError for a file that is no
        score file, RunFailed where the work cannot go on: what is in the file stays there in either case."""
        try:
            if path not in self._connections:
                connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS)
                self._connections[path] = connection
                with connection:
                    connection.execute(
                        "CREATE TABLE IF NOT EXISTS cells (prefix BLOB, continuation BLOB, log_probs BLOB, "
                        "PRIMARY KEY (prefix, continuation)) WITHOUT ROWID"
                    )
            yield self._connections[path]
        except sqlite3.DatabaseError as error:
            raise _in_words(path, error) from error


def _in_words(path: Path, error: sqlite3.DatabaseError) -> InputError | RunFailed:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return RunFailed(
            f"{path}: another process writes there for more than {PATIENCE_SECONDS} s; run the same command again when it has ended"
        )
    if name.startswith("SQLITE_FULL"):
        return RunFailed(
            f"{path}: the disk is full; free some space and run the same command again: it goes on from what is complete"
        )
    if name.startswith("SQLITE_CORRUPT"):
        return RunFailed(
            f"{path}: is damaged ({error}); move it away and run the same command again: its cells are computed anew, and "
            f"`sqlite3 {path.name} .recover` may still read the others"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM")):
        return RunFailed(f"{path}: cannot be written or read ({error}); check its mode and its disk, and run it again")
    return InputError(f"{path}: is no score file of this tool ({error}); name another directory for the scores")
