"""The user's cache: where converted models and what was measured of this machine are kept."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from infoagent.files import read_json, write_json
from infoagent.lm.identity import SOURCE_FILE, note_prompt
from infoagent.types import InputError

logger = logging.getLogger(__name__)

PARTS = ("config.json", "tokenizer_config.json", SOURCE_FILE)
"""Of every converted model, beside its weights."""


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


def kept(file: Path) -> dict[str, Any] | None:
    """What was kept there; None where it was not, may not be read (another user's cache) or is damaged (a power cut): it is found
    out again, as without a cache."""
    try:
        found: dict[str, Any] = read_json(file)
    except InputError as error:
        logger.debug("not taken from the cache: %s", error)
        return None
    return found


def holds_model(directory: Path) -> bool:
    """Whether a converted model is there with all that it needs: what tidies up a home may have taken a part of it."""
    try:
        return all((directory / name).is_file() for name in (*PARTS, *_weights(directory)))
    except OSError:  # may not be looked into
        return False


def _weights(directory: Path) -> set[str]:
    index = kept(directory / "model.safetensors.index.json")
    return {"model.safetensors"} if index is None else set(index.get("weight_map", {}).values())


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
        _put(work, directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return directory


def _put(work: Path, directory: Path) -> None:
    """A complete model in its place; what stands there and is none, for a part of it is lost, makes room."""
    try:
        work.rename(directory)
    except OSError:
        if holds_model(directory):  # another process finished first: its copy is as good
            return
        aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
        try:
            with contextlib.suppress(FileNotFoundError):  # another process did so first
                directory.rename(aside)
            work.rename(directory)
        except OSError:
            if not holds_model(directory):
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def open_to_readers(directory: Path) -> None:
    """A folder of a model with the rights that its user's files have by default: temporary folders and weights are made for their
    maker alone, and others could not read the finished model."""
    mask = os.umask(0o022)
    os.umask(mask)
    directory.chmod(0o777 & ~mask)
    for file in directory.iterdir():
        if file.is_file():
            file.chmod(0o666 & ~mask)
