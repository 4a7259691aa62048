"""Where the rows of a published data set come from: a local copy, or the hub at a pinned revision.

A local copy is a file or a folder of files (`infoagent.data.reading.tables`); its identity is the hash of their bytes.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infoagent.data.reading.schema import Unreadable
from infoagent.data.reading.tables import PUBLISHED, Row, bytes_identity, file_rows, table_files
from infoagent.types import InputError

BRANCHES = ("main", "master", "HEAD")


@dataclass(frozen=True)
class Hub:
    """A data set of the hub. `revision` is the commit that is read unless another is asked for; None where none has been
    checked, so that it must be given. `splits` maps data.split to the hub's own. `branch` is where its commits stand."""

    id: str
    splits: Mapping[str, Sequence[str]]
    revision: str | None = None
    configs: Sequence[str | None] = (None,)
    branch: str = "main"
    streaming: bool = False
    """Read row by row, for sets of which a small part at the beginning is used."""


@dataclass(frozen=True)
class Source:
    """Rows and their identity. `name` is the path or the hub id; the rows can be read once."""

    name: str
    revision: str
    rows: Iterable[Row]


def open_source(name: str, path: str | None, split: str, revision: str | None, hub: Hub) -> Source:
    """The rows of data set `name`: of `path` where it is given, all of them, else of the hub's splits for `split`."""
    if path is not None:
        return open_files(name, path, revision)
    pinned = pinned_revision(name, hub, revision)
    return Source(hub.id, pinned, _hub_rows(name, hub, split, pinned))


def pinned_revision(name: str, hub: Hub, revision: str | None) -> str:
    """`revision`, or the data set's own. Raises InputError for none and for a branch: a branch moves."""
    how = f"`git ls-remote https://huggingface.co/datasets/{hub.id} {hub.branch}` prints it"
    chosen = revision or hub.revision
    if chosen is None:
        raise InputError(
            f"data.revision: data.name={name} is read from a file, data.path=…, or from the hub ({hub.id}) at a commit that "
            f"must be named, data.revision=…; {how}"
        )
    if chosen in BRANCHES or chosen.startswith("refs/"):
        raise InputError(f"data.revision = {chosen!r}: is a branch, which moves; name the commit: {how}")
    return chosen


def open_files(
    name: str, path: str, revision: str | None = None, kinds: tuple[str, ...] = PUBLISHED, setting: str | None = None
) -> Source:
    """The rows of a local file, or of all files of a folder in the order of their names. `setting` as in `table_files`."""
    if revision is not None:
        raise InputError(f"data.revision = {revision!r}: a local copy is identified by its content; drop it, or drop data.path")
    files = table_files(name, path, kinds, setting)
    return Source(path, bytes_identity(*files), _rows_of(files))


def _rows_of(files: Sequence[Path]) -> Iterator[Row]:
    """The rows of all files; one that cannot be read is a bad row, so that all of them are told at once."""
    for file in files:
        try:
            yield from file_rows(file)
        except InputError as error:
            yield Row(str(file), Unreadable(str(error).removeprefix(f"{file}: ")))


def missing_path(name: str, example: str) -> InputError:
    """What to say where a set that is not on the hub comes without a path."""
    return InputError(f"data.path: data.name={name} needs the file, e.g. data.path={example} (.gz is read as well)")


def _hub_rows(name: str, hub: Hub, split: str, revision: str) -> Iterator[Row]:
    import datasets
    import httpx

    # Where the hub fails, `datasets` takes whatever revision it finds in its cache and only logs it. In a cache of its own
    # a revision finds nothing but itself, without a network as well.
    cache = Path(datasets.config.HF_DATASETS_CACHE).expanduser() / "pinned" / revision
    try:
        for config in hub.configs:
            for part in hub.splits[split]:
                which = () if config is None else (config,)
                with _quiet(progress=True):
                    table = datasets.load_dataset(
                        hub.id, *which, revision=revision, split=part, cache_dir=str(cache), streaming=hub.streaming
                    )
                place = " ".join((f"{hub.id}@{revision[:12]}", *which, part))
                for number, row in enumerate(table, start=1):
                    yield Row(f"{place}: row {number}", row)
    except (OSError, ValueError, RuntimeError, httpx.HTTPError, datasets.exceptions.DatasetsError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise  # the disk is full: that is no matter of the input
        raise InputError(
            f"data.name={name}: {hub.id} at revision {revision} cannot be read from the hub: {_reason(error)}; download it "
            "where there is a network and name the file or folder as data.path=…"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of what went wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _quiet(progress: bool) -> Iterator[None]:
    """No lines of the libraries about what we report ourselves in one; bars only where `progress`."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from datasets.utils import logging as datasets_logging
    from huggingface_hub.utils import logging as hub_logging

    before = [(module, module.get_verbosity()) for module in (datasets_logging, hub_logging)]
    hidden = not progress and not are_progress_bars_disabled()
    for module, _ in before:
        module.set_verbosity(logging.CRITICAL)
    if hidden:
        disable_progress_bars()
    try:
        yield
    finally:
        for module, level in before:
            module.set_verbosity(level)
        if hidden:
            enable_progress_bars()
