"""GGUF files that tests write themselves: the weights of a small transformers model under llama.cpp's names, and a vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
TOP = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def theirs(name: str) -> str:
    """llama.cpp's name of a parameter."""
    if name in TOP:
        return TOP[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{LAYER[part]}.{kind}"


def turned(name: str, weight: np.ndarray, config: Any) -> np.ndarray:
    """Queries and keys of Llama in llama.cpp's order: the two halves that positions turn stand interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found = next((count for part, count in heads.items() if part in name), None)
    if config.model_type != "llama" or found is None:
        return weight
    half = weight.shape[0] // found // 2
    rows = [head * 2 * half + side * half + place for head in range(found) for place in range(half) for side in range(2)]
    return weight[rows]


def write_gguf(
    file: Path, model: Any, vocabulary: dict[str, Any], types: dict[str, Any] | None = None, extra: dict[str, Any] | None = None,
    leave_out: str = "", architecture: str | None = None, head: np.ndarray | None = None, **fields: Any,
) -> Path:  # fmt: skip
    """`types`: quantisation by llama.cpp's name of a tensor. `extra`: more tensors. `fields`: more keys, _ for a point."""
    config, types = model.config, types or {}
    writer = gguf.GGUFWriter(file, architecture or config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["kinds"])
    if "merges" in vocabulary:
        writer.add_token_merges(vocabulary["merges"])
    if "scores" in vocabulary:
        writer.add_token_scores(vocabulary["scores"])
    for name, place in vocabulary["named"].items():
        getattr(writer, f"add_{name}_token_id")(place)
    writer.add_add_bos_token(vocabulary.get("begins", False))
    writer.add_add_space_prefix(vocabulary.get("space_first", False))
    if vocabulary.get("template"):
        writer.add_chat_template(vocabulary["template"])
    for key, value in fields.items():
        add = writer.add_uint16 if isinstance(value, int) else writer.add_string
        add(key.replace("_", "."), value)
    tensors = {theirs(name): turned(name, weight.numpy(), config) for name, weight in model.state_dict().items()}
    if config.tie_word_embeddings:
        tensors.pop("output.weight", None)
    if head is not None:
        tensors["output.weight"] = head
    tensors.pop(leave_out, None)
    for name, weight in {**tensors, **(extra or {})}.items():
        kind = types.get(name)
        if kind is None:
            writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(weight, np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def byte_vocabulary(backend: Any, pre: str, more: dict[str, int], **rest: Any) -> dict[str, Any]:
    """The fields of a tokenizer over bytes, and the tokens `more` behind its pieces, by their kind."""
    import json

    content = json.loads(backend.to_str())["model"]
    pieces = sorted(content["vocab"], key=content["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["merges"]]
    tokens = [*pieces, *more]
    named = {"bos": tokens.index("<|endoftext|>"), "eos": tokens.index("<|im_end|>"), "pad": tokens.index("<|endoftext|>")}
    return {
        "model": "gpt2", "pre": pre, "tokens": tokens, "kinds": [NORMAL] * len(pieces) + list(more.values()), "merges": merges,
        "named": named, "template": CHAT, **rest,
    }  # fmt: skip
