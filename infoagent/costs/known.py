"""Sizes of well-known models, so that a plan needs neither their weights nor the network.

From their published configurations; tests/costs/test_costs_memory.py holds them against the published numbers of weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from infoagent.costs.architecture import Architecture
from infoagent.types import InputError

_COLUMNS = ("hidden", "layers", "heads", "key_value_heads", "head_size", "intermediate", "vocabulary", "tied")
_SIZES: Mapping[str, tuple[int, ...]] = {
    "Qwen/Qwen2.5-0.5B": (896, 24, 14, 2, 64, 4864, 151_936, True),
    "Qwen/Qwen2.5-1.5B": (1536, 28, 12, 2, 128, 8960, 151_936, True),
    "Qwen/Qwen2.5-3B": (2048, 36, 16, 2, 128, 11_008, 151_936, True),
    "Qwen/Qwen2.5-7B": (3584, 28, 28, 4, 128, 18_944, 152_064, False),
    "Qwen/Qwen2.5-14B": (5120, 48, 40, 8, 128, 13_824, 152_064, False),
    "Qwen/Qwen2.5-32B": (5120, 64, 40, 8, 128, 27_648, 152_064, False),
    "Qwen/Qwen2.5-72B": (8192, 80, 64, 8, 128, 29_568, 152_064, False),
    "Qwen/Qwen3-0.6B": (1024, 28, 16, 8, 128, 3072, 151_936, True),
    "Qwen/Qwen3-1.7B": (2048, 28, 16, 8, 128, 6144, 151_936, True),
    "Qwen/Qwen3-4B": (2560, 36, 32, 8, 128, 9728, 151_936, True),
    "Qwen/Qwen3-8B": (4096, 36, 32, 8, 128, 12_288, 151_936, False),
    "Qwen/Qwen3-14B": (5120, 40, 40, 8, 128, 17_408, 151_936, False),
    "HuggingFaceTB/SmolLM2-360M": (960, 32, 15, 5, 64, 2560, 49_152, True),
    "HuggingFaceTB/SmolLM2-1.7B": (2048, 24, 32, 32, 64, 8192, 49_152, True),
    "meta-llama/Llama-3.2-1B": (2048, 16, 32, 8, 64, 8192, 128_256, True),
    "meta-llama/Llama-3.2-3B": (3072, 28, 24, 8, 128, 8192, 128_256, True),
    "meta-llama/Llama-3.1-8B": (4096, 32, 32, 8, 128, 14_336, 128_256, False),
    "meta-llama/Llama-3.1-70B": (8192, 80, 64, 8, 128, 28_672, 128_256, False),
}
KNOWN: Mapping[str, Architecture] = {
    name: Architecture(
        **dict(zip(_COLUMNS, sizes, strict=True)),  # type: ignore[arg-type]
        layer_vectors=2 * sizes[0]
        + (sizes[4] * (sizes[2] + 2 * sizes[3]) if "Qwen2.5" in name else 2 * sizes[4] if "Qwen3" in name else 0),
    )
    for name, sizes in _SIZES.items()
}
"""By hub id, without the `-Instruct` of a tuned model, which has the sizes of its base."""


def known_architecture(name: str) -> Architecture | None:
    """By hub id, with or without `-Instruct`, or by what stands behind its slash; None for any other."""
    base = name.removesuffix("-Instruct")
    found = KNOWN.get(base) or next((sizes for known, sizes in KNOWN.items() if known.split("/")[1] == base), None)
    return found


def unknown_model(name: str) -> InputError:
    """What to say of a hub model whose configuration is not at hand."""
    near = difflib.get_close_matches(name, KNOWN, n=3, cutoff=0.3) or sorted(KNOWN)
    return InputError(
        f"model {name!r}: its configuration is not on this machine; give a directory with its config.json, load it here "
        f"once, or take one of the known sizes nearby: {', '.join(near)}"
    )
