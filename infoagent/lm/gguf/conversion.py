"""Conversion of a GGUF file: its weights dequantised once to float32 safetensors, with a tokenizer beside them, so that the
model can be read in seconds, trained and saved as any other.

    header read once → configuration, weights by transformers → every tensor accounted for → one matrix for head and
    embedding where they are the same → tokenizer by its family → written

Dequantised values are exact in float32; another type would round them once more.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from infoagent.files import write_json
from infoagent.lm.cache import cache_root, converted_once, holds_model, keep, kept
from infoagent.lm.gguf.header import EMBEDDING, HEAD, Header, read_header, read_once
from infoagent.lm.gguf.tokenizers import build_tokenizer
from infoagent.lm.identity import PROMPT_HASH, SOURCE_FILE, prompt_hash
from infoagent.lm.machine.device import settle_deepspeed
from infoagent.lm.pretrained import blank_model, read_weights
from infoagent.types import InputError

CONVERSION = 1
"""Number of the conversion's recipe: a change that changes a model's behaviour raises it."""
FLOAT32_BYTES = 4
SAME = 0.15
"""Head and embedding are one matrix where they differ by no more than this part of their norm: quantised apart in four to
eight bits the same matrix differs from itself by 2 to 9 %, an independent one by about 140."""


def gguf_file(name: str) -> Path:
    """Raises InputError where there is no such file."""
    file = Path(name).expanduser()
    if not file.is_file():
        raise InputError(f"model {name!r}: no such file; give the path of a GGUF file, a directory or a hub id")
    return file.resolve()


def file_sha256(file: Path) -> str:
    """Of a large file; remembered in the cache for as long as its size and time are the same."""
    state = file.stat()
    known = cache_root() / "gguf" / f"{hashlib.sha256(str(file).encode()).hexdigest()[:16]}.json"
    stamp = [state.st_size, state.st_mtime_ns, state.st_ino]
    before = kept(known)
    if before is not None and before.get("stamp") == stamp and "sha256" in before:
        return str(before["sha256"])
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    keep(known, {"stamp": stamp, "sha256": digest}, f"the hash of {file.name}")
    return digest


def converted_directory(file: Path) -> Path:
    """Where the model of these bytes is, or will be, whatever the file is called."""
    return cache_root() / "models" / f"gguf-{file_sha256(file)[:16]}-c{CONVERSION}"


def prepare_file(file: Path) -> Path:
    """The directory of the converted model; converts it first if needed. Raises InputError where that cannot be done."""
    directory = converted_directory(file)

    def convert_it(work: Path) -> None:
        digest = file_sha256(file)
        convert(file, work)
        note_source(work, file.stem, f"sha256:{digest[:16]}-c{CONVERSION}", digest, file.name)

    return converted_once(directory, convert_it)


def known_sizes(name: str) -> Path | dict[str, Any]:
    """What costs are computed from: the configuration of the converted model, or what the file says itself."""
    file = gguf_file(name)
    directory = converted_directory(file)
    return directory / "config.json" if holds_model(directory) else read_header(file).sizes


def note_source(directory: Path, name: str, revision: str, sha256: str, file: str) -> None:
    source = {"name": name, "revision": revision, "sha256": sha256, "gguf": file}
    write_json(directory / SOURCE_FILE, {**source, PROMPT_HASH: prompt_hash(directory)})


def convert(file: Path, target: Path) -> None:
    """Write the model of a GGUF file into `target`.

    Raises InputError where the file is damaged, of an unknown architecture or tokenizer, or holds weights that the model
    has no place for.
    """
    import torch

    settle_deepspeed()
    header = read_header(file)
    _check_room(header, target)
    tokenizer = build_tokenizer(header)  # first: it is refused in seconds, the weights take longer
    with read_once(header):
        loaded = read_weights(str(file), str(file.parent), gguf_file=file.name, dtype=torch.float32)
    _check_all_used(header, loaded)
    config = type(loaded.config).from_dict(
        {k: v for k, v in loaded.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    )
    config.eos_token_id, config.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    weights = loaded.state_dict()
    if HEAD in header.tensors and _tie(header, weights):
        config.tie_word_embeddings = True
    # a model loaded from GGUF refuses save_pretrained; the same weights in a fresh model do not
    with torch.device("meta"):
        fresh = blank_model(str(file), config, dtype=torch.float32)
    fresh.load_state_dict(weights, strict=not config.tie_word_embeddings, assign=True)
    fresh.tie_weights()
    fresh.generation_config.eos_token_id = tokenizer.eos_token_id
    fresh.generation_config.pad_token_id = tokenizer.pad_token_id
    fresh.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _check_room(header: Header, target: Path) -> None:
    needed, free = FLOAT32_BYTES * header.elements, shutil.disk_usage(target).free
    if needed > free:
        raise InputError(
            f"model {str(header.file)!r}: {needed / 1e9:.1f} GB are needed in {cache_root()}, {free / 1e9:.1f} are free; make "
            "room or set INFOAGENT_CACHE to another disk"
        )


def _check_all_used(header: Header, loaded: Any) -> None:
    """Each weight of the file in the model, and none there that the file does not hold (it would be a random one)."""
    held = sum({parameter.data_ptr(): parameter.numel() for parameter in loaded.parameters()}.values())
    if held == header.elements:
        return
    what = "it lacks some" if held > header.elements else "it has parts that are not known here (scaled positions, say)"
    raise InputError(
        f"model {str(header.file)!r}: the file holds {header.elements:,} weights, its model {held:,}: {what}; name the directory or "
        "the hub id of the model itself"
    )


def _tie(header: Header, weights: dict[str, Any]) -> bool:
    """Whether head and embedding are one matrix that was quantised twice; then both are the one in more bits."""
    head, embedding = weights["lm_head.weight"], weights["model.embed_tokens.weight"]
    if head.shape != embedding.shape or float((head - embedding).norm() / head.norm()) > SAME:
        return False
    bits = {name: header.tensors[name].n_bytes / int(header.tensors[name].n_elements) for name in (HEAD, EMBEDDING)}
    weights["model.embed_tokens.weight"] = head if bits[HEAD] > bits[EMBEDDING] else embedding
    del weights["lm_head.weight"]
    return True
