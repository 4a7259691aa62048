"""Header of a GGUF file: its fields and the names, types and sizes of its tensors; torch is not imported.

The gguf package reads it string by string, seconds for the 150,000 tokens of a large vocabulary. It is therefore read
once a conversion, also by transformers, which would read it anew for the configuration, the weights and the tokenizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from infoagent.types import InputError

HEAD, EMBEDDING = "output.weight", "token_embd.weight"
MODEL_TYPES = {
    "llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "gemma3": "gemma3_text",
    "phi3": "phi3",
}  # fmt: skip
"""The architectures whose conversion is checked here, and transformers' names of them."""
GEMMA_KEYS = 256
"""Length of a key by whose root transformers scales Gemma's attention where a file does not say otherwise."""
SIZES = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "feed_forward_length": "intermediate_size",
}
"""Keys of the header behind the architecture's name, and those of config.json that say the same."""


class _Reader(gguf.GGUFReader):
    """Reads plain arrays: each slice of numpy's memory map costs several times that of an array over the same memory."""

    @property
    def data(self) -> Any:
        return self._plain

    @data.setter
    def data(self, mapped: Any) -> None:
        self._plain = mapped.view(np.ndarray)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of its model before its weights are read."""

    file: Path
    reader: Any

    def get(self, key: str, default: Any = None) -> Any:
        field = self.reader.get_field(key)
        return default if field is None else field.contents()

    def need(self, key: str) -> Any:
        """Raises InputError where the file does not say."""
        found = self.get(key)
        if found is None:
            raise InputError(f"model {str(self.file)!r}: the file lacks {key}; it is damaged or made by another program")
        return found

    @property
    def architecture(self) -> str:
        return str(self.get("general.architecture"))

    @cached_property
    def tensors(self) -> Mapping[str, Any]:
        return {tensor.name: tensor for tensor in self.reader.tensors}

    @property
    def elements(self) -> int:
        return sum(int(tensor.n_elements) for tensor in self.reader.tensors)

    def of_architecture(self, key: str) -> Any:
        return self.get(f"{self.architecture}.{key}")

    @property
    def vocabulary(self) -> int:
        tokens = self.reader.get_field("tokenizer.ggml.tokens")
        return len(self.need("tokenizer.ggml.tokens") if tokens is None else tokens.data)

    @property
    def sizes(self) -> dict[str, Any]:
        """The part of a config.json that costs are computed from. A file that holds a head beside the embedding counts
        as untied here; the conversion looks whether they are the same matrix."""
        named = {theirs: self.of_architecture(key) for key, theirs in SIZES.items()}
        return {
            "model_type": MODEL_TYPES[self.architecture],
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": HEAD not in self.tensors,
            **{key: value for key, value in named.items() if value is not None},
        }


def read_header(file: Path) -> Header:
    """Raises InputError, in one line, for what is no whole model of a known architecture."""
    try:
        header = Header(file, _Reader(file))
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise InputError(f"model {str(file)!r}: is no GGUF file, or a part of one: {error}; fetch it again") from error
    problem = _problem(header)
    if problem:
        raise InputError(f"model {str(file)!r}: {problem}")
    return header


def _problem(header: Header) -> str | None:
    kind, parts = header.get("general.type", "model"), header.get("split.count", 1)
    if kind != "model":
        return f"the file holds a GGUF {kind}, not a model; name the model's own file"
    if parts > 1:
        return f"the file is one of {parts} parts; join them (llama-gguf-split --merge) and name the whole"
    if header.architecture not in MODEL_TYPES:
        return (
            f"the architecture {header.architecture!r} cannot be converted here ({', '.join(MODEL_TYPES)}); name the directory "
            "or the hub id of the model itself"
        )
    if lost := _lost(header):
        return f"{lost}, which the conversion would lose; name the directory or the hub id of the model itself"
    if EMBEDDING not in header.tensors:
        return f"the file lacks {EMBEDDING}; it is damaged or made by another program"
    return None


def _lost(header: Header) -> str | None:
    """What shapes the model and stands in keys that transformers does not read of a GGUF file: the text would stay fluent, and
    every probability be of another model."""
    scaling = header.of_architecture("rope.scaling.type")
    if scaling not in (None, "none"):
        return f"its positions are scaled (rope.scaling.type = {scaling!r})"
    if header.architecture == "phi3" and header.of_architecture("attention.sliding_window"):
        return "its attention reaches no further than a window (attention.sliding_window)"
    if header.architecture in ("gemma2", "gemma3") and header.of_architecture("attention.key_length") not in (None, GEMMA_KEYS):
        return "its attention is scaled otherwise than by the length of a key (Gemma of 27B)"
    return None


@contextlib.contextmanager
def read_once(header: Header) -> Iterator[None]:
    """Within it, transformers is handed this header wherever it would read the file again."""
    original = gguf.GGUFReader

    def reader(path: Any, mode: str = "r") -> Any:
        return header.reader if Path(path).resolve() == header.file.resolve() else original(path, mode)

    gguf.GGUFReader = reader
    try:
        yield
    finally:
        gguf.GGUFReader = original
