"""What config.json leaves unsaid: the block of each known model type, read into the sizes of an Architecture.

Each entry is held against the library's own model in tests/costs/test_costs_flops.py, to the last parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infoagent.types import InputError


@dataclass(frozen=True)
class Family:
    """How the layers of a model type differ from Llama's. All have a gated MLP of three matrices."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What the library takes where config.json leaves a key out."""
    norms: int = 2
    """RMS norms over the hidden size in a layer."""
    query_key_norms: Literal["none", "head", "whole"] = "none"
    """Norms of queries and keys: none, one over a head's size each, or one over all heads each."""
    biases: Literal["asked", "qkv", "never"] = "asked"
    """Where linear layers have biases: as attention_bias and mlp_bias say, on queries, keys and values, nowhere."""
    windows: Literal["none", "every", "late", "pattern", "named"] = "none"
    """Which layers look back no further than sliding_window: none; every; those from max_window_layers on; all but
    each sliding_window_pattern-th; those that layer_types names."""
    sparse: bool = False
    """Whether the MLP is a mixture of experts."""
    adapts_experts: bool = False
    """Whether PEFT's all-linear puts LoRA on the routed experts and the router of such an MLP."""


FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "granite": Family(),
    "smollm3": Family({"tie_word_embeddings": True}, windows="named"),
    "olmo2": Family(query_key_norms="whole"),
    "mistral": Family({"sliding_window": 4096}, biases="never", windows="every"),
    "phi3": Family(biases="never", windows="every"),
    "qwen2": Family(biases="qkv", windows="late"),
    "qwen3": Family({"head_dim": 128}, query_key_norms="head", windows="late"),
    "gemma": Family({"head_dim": 256, "tie_word_embeddings": True}),
    "gemma2": Family(
        {"head_dim": 256, "tie_word_embeddings": True, "sliding_window": 4096, "sliding_window_pattern": 2},
        norms=4, windows="pattern",
    ),
    "gemma3_text": Family(
        {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208,
         "tie_word_embeddings": True, "sliding_window": 4096, "sliding_window_pattern": 6},
        norms=4, query_key_norms="head", windows="pattern",
    ),
    "mixtral": Family(biases="never", windows="every", sparse=True, adapts_experts=True),
    "qwen2_moe": Family({"qkv_bias": True}, biases="qkv", windows="named", sparse=True),
    "qwen3_moe": Family(
        {"use_sliding_window": False}, query_key_norms="head", windows="every", sparse=True, adapts_experts=True
    ),
}  # fmt: skip
"""By model_type. A configuration that names none is read as Llama's."""

_REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
_REQUIRED_OF_EXPERTS = ("num_experts_per_tok",)
_OPTIONAL = (
    "num_key_value_heads", "head_dim", "sliding_window", "sliding_window_pattern", "max_window_layers", "num_experts",
    "num_local_experts", "moe_intermediate_size", "decoder_sparse_step",
)  # fmt: skip


def sizes_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an Architecture from the content of a config.json; of a model for text and images, its text part.

    Raises InputError with one line for a model type that is not known here and for sizes that are not given.
    """
    if isinstance(config.get("text_config"), Mapping):
        config = config["text_config"]
    kind = config.get("model_type", "llama")
    if kind not in FAMILIES:
        raise InputError(
            f"model_type {kind!r}: its costs are not known; known are decoders of the types {', '.join(sorted(FAMILIES))}"
        )
    family = FAMILIES[kind]
    given = {key: value for key, value in config.items() if value is not None or key == "sliding_window"}
    config = {**family.defaults, **given}  # null takes the default like a key left out, but for a window it means none
    if config.get("use_bidirectional_attention"):
        raise InputError("use_bidirectional_attention: its costs are not known; known are models that look back only")
    _check(config, (*_REQUIRED, *(_REQUIRED_OF_EXPERTS if family.sparse else ())), kind)
    hidden, layers, heads = (int(config[name]) for name in _REQUIRED[:3])
    key_value_heads = int(config.get("num_key_value_heads", heads))
    head_size = int(config.get("head_dim", hidden // heads))
    sliding, window = _windows(config, family, layers)
    return {
        "hidden": hidden,
        "layers": layers,
        "heads": heads,
        "key_value_heads": key_value_heads,
        "head_size": head_size,
        "intermediate": int(config["intermediate_size"]),
        "vocabulary": int(config["vocab_size"]),
        "tied": bool(config.get("tie_word_embeddings", False)),
        "sliding_layers": sliding,
        "window": window,
        "layer_vectors": _vectors(config, family, hidden, heads * head_size, key_value_heads * head_size, head_size),
        **(_experts(config, kind, layers) if family.sparse else {}),
        "adapts_experts": family.adapts_experts,
    }


def _check(config: Mapping[str, Any], required: tuple[str, ...], kind: str) -> None:
    missing = [name for name in required if name not in config]
    if missing:
        raise InputError(f"the configuration of model_type {kind!r} has no {', '.join(missing)}; give it whole")
    for name in (*required, *_OPTIONAL):
        value = config.get(name, 1)
        least = 1
        if name == "sliding_window":  # some configurations write a window of 0 for none
            value, least = value or 0, 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} = {value!r}: a size is a whole number of at least {least}")


def _windows(config: Mapping[str, Any], family: Family, layers: int) -> tuple[int, int | None]:
    """(layers that look back no further than the window, the window in tokens, the token itself included)."""
    window = config.get("sliding_window") or None
    named = config.get("layer_types")
    used = config.get("use_sliding_window", family.windows in ("every", "pattern"))
    if family.windows == "none":
        return 0, None
    if family.windows == "every":
        count = layers if used and window is not None else 0
    elif named is not None:
        unknown = set(named) - {"full_attention", "sliding_attention"}
        if unknown or len(named) != layers:
            what = f"{sorted(unknown)[0]!r}" if unknown else f"{len(named)} entries for {layers} layers"
            raise InputError(f"layer_types: {what}; known are full_attention and sliding_attention, one for each layer")
        count = list(named).count("sliding_attention")
    elif family.windows == "pattern":
        pattern = int(config["sliding_window_pattern"])
        count = layers - layers // pattern
    elif not used:
        count = 0
    elif family.windows == "late":
        count = max(0, layers - int(config.get("max_window_layers", 28)))
    else:
        raise InputError("use_sliding_window without layer_types: which layers slide is not known; give layer_types")
    if count and window is None:
        raise InputError(f"{count} layers of sliding_attention but no sliding_window; give the window in tokens")
    return (count, window) if count else (0, None)


def _vectors(config: Mapping[str, Any], family: Family, hidden: int, wide: int, narrow: int, head_size: int) -> int:
    """Weights of norms and biases in a layer, which are added or scaled with but multiply no matrix."""
    vectors = family.norms * hidden
    vectors += {"none": 0, "head": 2 * head_size, "whole": wide + narrow}[family.query_key_norms]
    if family.biases == "qkv" and config.get("qkv_bias", True):
        vectors += wide + 2 * narrow
    if family.biases == "asked" and config.get("attention_bias"):
        vectors += wide + 2 * narrow + hidden
    if family.biases == "asked" and config.get("mlp_bias"):
        vectors += 2 * int(config["intermediate_size"]) + hidden
    return vectors


def _experts(config: Mapping[str, Any], kind: str, layers: int) -> dict[str, int]:
    """Sizes of the experts; Mixtral's are as wide as intermediate_size, Qwen's have a width of their own."""
    experts = config.get("num_experts", config.get("num_local_experts"))
    width = config.get("moe_intermediate_size", config["intermediate_size"] if kind == "mixtral" else None)
    if experts is None or width is None:
        lacking = "num_experts" if experts is None else "moe_intermediate_size"
        raise InputError(f"the configuration of model_type {kind!r} has no {lacking}; give it whole")
    dense = set(config.get("mlp_only_layers", ()))
    step = int(config.get("decoder_sparse_step", 1))
    return {
        "sparse_layers": sum((i + 1) % step == 0 and i not in dense for i in range(layers)),
        "experts": int(experts),
        "experts_per_token": int(config["num_experts_per_tok"]),
        "expert_intermediate": int(width),
        "shared_intermediate": int(config.get("shared_expert_intermediate_size", 0)),
    }
