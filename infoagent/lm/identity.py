"""Who a model is in records: its weights, and what turns texts into ids, which is its tokenizer and chat template.

The same weights under another chat template are another compressor. A directory's revision therefore ends in `+p:` and the
hash of its prompt files; one that this package made (SOURCE_FILE) keeps the revision that it was made with for as long as
those files are the ones that it was made with.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from infoagent.files import read_json, write_json

logger = logging.getLogger(__name__)

SOURCE_FILE = "infoagent_source.json"
"""Written beside weights that this package made: the revision that identifies them, and where they are from."""
PROMPT_HASH = "prompt_hash"
"""Of SOURCE_FILE: the hash of the prompt files when the weights were made."""
PROMPT_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
    "merges.txt", "*.model", "*.tiktoken", "tekken.json", "chat_template.jinja", "chat_template.json",
    "additional_chat_templates/*.jinja",
)  # fmt: skip
"""What a tokenizer is loaded from, and its chat template, which may stand in a file of its own."""
MARK = "+p:"


def prompt_hash(directory: str | Path) -> str:
    """Hash of what turns texts into ids, by content: 12 hexadecimal digits."""
    folder, content = Path(directory), hashlib.sha256()
    for file in sorted({f for pattern in PROMPT_FILES for f in folder.glob(pattern) if f.is_file()}):
        own = hashlib.sha256(file.read_bytes()).hexdigest()
        content.update(f"{file.relative_to(folder).as_posix()} {own}\n".encode())
    return content.hexdigest()[:12]


def source_of(directory: Path) -> dict[str, Any]:
    """What SOURCE_FILE says; nothing where there is none."""
    file = directory / SOURCE_FILE
    return dict(read_json(file)) if file.is_file() else {}


def note_prompt(directory: Path) -> None:
    """Add the hash of the prompt files to a SOURCE_FILE from before it was kept there."""
    source = source_of(directory)
    if source and PROMPT_HASH not in source:
        try:
            write_json(directory / SOURCE_FILE, {**source, PROMPT_HASH: prompt_hash(directory)})
        except OSError as error:  # a cache for reading only: a change of its files cannot be told
            logger.debug("%s: %s", directory, error)


def directory_revision(directory: Path) -> str:
    """A cheap identity of a local model: of its weights names, sizes and times, of its prompt files the content."""
    source = source_of(directory)
    if source:
        revision, now = str(source["revision"]), prompt_hash(directory)
        return revision if source.get(PROMPT_HASH, now) == now else f"{revision}{MARK}{now}"
    files = sorted(f for f in directory.iterdir() if f.suffix in (".safetensors", ".bin", ".json"))
    stamp = "\n".join(f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files)
    return f"local:{hashlib.sha256(stamp.encode()).hexdigest()[:16]}{MARK}{prompt_hash(directory)}"


def same_revision(before: Any, now: Any) -> bool:
    """Whether what was kept under `before` is of the model `now`. Local directories had no hash of their prompt files
    once: then it counts as equal."""
    if before == now:
        return True
    return str(before).startswith("local:") and MARK not in str(before) and str(now).partition(MARK)[0] == before
