"""The user's cache: where converted models and what was measured of this machine are kept."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infoagent.files import write_json
from infoagent.lm.identity import note_prompt

logger = logging.getLogger(__name__)


def cache_root() -> Path:
    """$INFOAGENT_CACHE, else $XDG_CACHE_HOME/infoagent, else ~/.cache/infoagent."""
    explicit = os.environ.get("INFOAGENT_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "infoagent"


def keep(file: Path, content: Mapping[str, Any], what: str) -> None:
    """Write what was found out into the cache. One that cannot be written (read-only, full) costs a warning, and `what` is found out
    again the next time."""
    try:
        write_json(file, content)
    except OSError as error:
        logger.warning("%s cannot be kept in %s: %s", what, file.parent, error.strerror)


def holds_model(directory: Path) -> bool:
    return (directory / "config.json").is_file() and any(directory.glob("model*.safetensors"))


def converted_once(directory: Path, convert: Callable[[Path], None]) -> Path:
    """`directory` with the model that `convert` writes into the folder it is given.

    It is written beside its place and renamed when it is complete: a killed conversion leaves nothing that could be
    mistaken for a model.
    """
    if holds_model(directory):
        note_prompt(directory)
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        convert(work)
        open_to_readers(work)
        try:
            work.rename(directory)
        except OSError:
            if not holds_model(directory):  # otherwise another process finished first: its copy is as good
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return directory


def open_to_readers(directory: Path) -> None:
    """A folder of a model with the rights that its user's files have by default: temporary folders and weights are made for their
    maker alone, and others could not read the finished model."""
    mask = os.umask(0o022)
    os.umask(mask)
    directory.chmod(0o777 & ~mask)
    for file in directory.iterdir():
        if file.is_file():
            file.chmod(0o666 & ~mask)
