"""Tokenizers in the manner of published families: their chat template from TRL, their control tokens, tiny vocabularies."""

import importlib.util
import re
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_SPEC = importlib.util.find_spec("trl")
assert _SPEC is not None
assert _SPEC.origin is not None
TEMPLATES = Path(_SPEC.origin).parent / "chat_templates"

ENDS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "cohere2": "<|END_RESPONSE|>",  # then the end of the turn, which says no more
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "diffusion_gemma": "<turn|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "gemma4": "<turn|>",
    "glm4moe": "<|user|>",  # nothing closes a turn but the next one's header
    "gptoss": "<|return|>",
    "idefics3": "<end_of_utterance>",
    "lfm2": "<|im_end|>",
    "lfm2_2_5": "<|im_end|>",
    "lfm2_2_5_vl": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "llava_next": "</s>",
    "muse_glimmer": "<|eot|>",
    "nemotron_3_5_lightning": "<|im_end|>",
    "nemotron_3_nano": "<|im_end|>",
    "nemotron_3_super": "<|im_end|>",
    "nemotron_3_ultra": "<|im_end|>",
    "phi3": "<|end|>",
    "phi3_5": "<|end|>",
    "qwen2_5": "<|im_end|>",
    "qwen2_5_vl": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "qwen3_5_nothink": "<|im_end|>",
    "qwen3_5_think": "<|im_end|>",
    "qwen3_6": "<|im_end|>",
    "qwen3_8": "<|im_end|>",
    "qwen3_instruct_2507": "<|im_end|>",
    "qwen3_vl": "<|im_end|>",
    "smolvlm": "<end_of_utterance>",
}
"""By family, read by hand in the templates: the token with which an assistant stops."""
EOS = {"deepseek_r1_distill": "<｜end▁of▁sentence｜>", "deepseekv3": "<｜end▁of▁sentence｜>"}
MARKUP = re.compile(
    r"<[|｜][\w▁/]+[|｜]>|<[|]?(?:turn|channel|tool_call|tool_response)[|]?>|</?(?:think|tool_call|tool_response)>"
    r"|<(?:start_of_turn|end_of_turn|end_of_utterance|sop)>|\[gMASK\]"
)
"""What those families have as single tokens."""


def family_of(template: str) -> str:
    return re.sub(r"_v\d$", "", template.removesuffix("_training"))


def every_template() -> list[str]:
    return sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def bytes_backend() -> Tokenizer:
    """A byte-level tokenizer with a few merges, so that borders of pieces show."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("<", "|"), ("|", ">"), ("i", "m"), ("e", "n"), ("en", "d"), ("Ġ", "<|")]
    words = alphabet + ["".join(pair) for pair in merges]
    backend = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def pieces_backend() -> Tokenizer:
    """In the manner of SentencePiece: spaces are letters, a text begins with one, unknown characters are bytes."""
    letters = [*(chr(c) for c in range(33, 127)), "▁"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("<", "|"), ("|", ">"), ("▁", "<|"), ("i", "m")]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *letters, *("".join(p) for p in merges)]
    vocabulary = {w: i for i, w in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return backend


def unigram_backend() -> Tokenizer:
    """A model whose vocabulary holds its control tokens as likely words."""
    letters = [(chr(c), -5.0) for c in range(33, 127)] + [("▁", -3.0), ("▁the", -4.0)]
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *letters], 0, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Metaspace(prepend_scheme="first")
    return backend


def wrapped(backend: Tokenizer, template: str, eos: str = "</s>", unmarked: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer with the template's control tokens; those of thoughts and tools are not marked as special."""
    found = sorted(set(MARKUP.findall(template)) | {eos, "<s>"})
    plain = {t for t in found if re.fullmatch(r"</?(think|tool_call|tool_response)>", t)} | set(unmarked)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, bos_token="<s>", pad_token=eos)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(t, special=True, normalized=False) for t in found if t not in plain]}
    )
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in sorted(plain)])
    tokenizer.chat_template = template
    return tokenizer


@cache
def family(template: str) -> PreTrainedTokenizerFast:
    """Shared by the tests of a process: nobody changes it."""
    text = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    return wrapped(bytes_backend(), text, EOS.get(family_of(template), "</s>"))
