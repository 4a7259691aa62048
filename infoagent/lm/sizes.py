"""The sizes of a model without torch and without the network: for --dry-run and for the FLOPs of records."""

from __future__ import annotations

import json
from pathlib import Path

from infoagent.costs import Architecture
from infoagent.lm.embedded import EMBEDDED
from infoagent.lm.gguf import is_gguf
from infoagent.lm.gguf.conversion import known_sizes
from infoagent.types import InputError


def architecture_of(name: str, revision: str | None = None) -> Architecture | None:
    """From an embedded model's table, a local config.json, a GGUF file, or the hub's cache; None for a hub model never loaded here.

    Raises InputError, in one line, for no such directory and for a configuration that cannot be read or whose model
    type has no known costs.
    """
    if name in EMBEDDED:
        return Architecture.from_config(EMBEDDED[name].sizes)
    if is_gguf(name):
        sizes = known_sizes(name)
        return _read(sizes) if isinstance(sizes, Path) else Architecture.from_config(sizes)
    local = Path(name).expanduser() / "config.json"
    if local.is_file():
        return _read(local)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"model {name!r}: no such directory; give a directory, a GGUF file, a hub id, or one of: {', '.join(EMBEDDED)}"
        )
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json", revision=revision)
    return _read(Path(cached)) if isinstance(cached, str) else None


def _read(path: Path) -> Architecture:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON: {error}; save the model again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}; a model's configuration is an object")
    try:
        return Architecture.from_config(content)
    except InputError as error:
        raise InputError([f"{path}: {line}" for line in error.problems]) from error
