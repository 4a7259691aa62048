"""The tokenizer of a GGUF file, built from its vocabulary by the rules of its family, and checked.

The file holds pieces, merges or scores, and the name of a rule: how a text is cut before pieces are joined. The rule itself
is no part of the file, so it stands here. A family that is not known is refused: with another family's rule a text
still comes back whole, in tokens that the model never saw so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infoagent.lm.control_tokens import meant_ids, text_ids
from infoagent.lm.gguf.header import Header
from infoagent.types import InputError

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
"""Kinds of a vocabulary's entries: pieces, tokens that no text is cut into, and such as are found before a text is cut."""
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}"
LLAMA3 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}"
PROBES = (
    "in 2021, naïve ünïcode → 12.5 % \n\n  x", "def f(x):\n    return x**2  # ok ?", "日本語 🎉 1,234", "It's  what they'll\tdo.",
)  # fmt: skip
"""Texts that must come back as they were."""


@dataclass(frozen=True)
class Family:
    """How a family cuts a text into what its merges are applied to."""

    cut: Callable[[], Any]
    digits_at_once: int | None
    """The longest run of digits in one token; None: as the merges have it."""
    composed: bool = False
    """Whether characters are composed first (NFC)."""
    whole_pieces_first: bool = False
    """Whether a word that is a piece of its own is taken before any merge."""


def _by_pattern(pattern: str) -> Callable[[], Any]:
    def cut() -> Any:
        from tokenizers import Regex, pre_tokenizers

        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    return cut


def _single_digits() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def _gpt2() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


FAMILIES = {
    "smollm": Family(_single_digits, 1),
    "gpt-2": Family(_gpt2, None),
    "qwen2": Family(_by_pattern(QWEN2), 1, composed=True),
    "llama-bpe": Family(_by_pattern(LLAMA3), 3, whole_pieces_first=True),
}
"""By tokenizer.ggml.pre, of vocabularies over bytes."""


def build_tokenizer(header: Header) -> Any:
    """transformers' tokenizer of the file, its control tokens, chat template and longest context included.

    Raises InputError where the family is not known, or a text does not come back from its tokens.
    """
    from transformers import PreTrainedTokenizerFast

    kind = header.need("tokenizer.ggml.model")
    if kind not in _BACKENDS:
        raise InputError(_unknown(header, f"its tokenizer is of the kind {kind!r}"))
    backend = _BACKENDS[kind](header)
    tokens: list[str] = header.need("tokenizer.ggml.tokens")
    _add_tokens(backend, tokens, header.get("tokenizer.ggml.token_type"))
    named = {
        name: tokens[place]
        for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding"))
        if (place := header.get(f"tokenizer.ggml.{key}_token_id")) is not None
    }
    if header.get("tokenizer.ggml.add_bos_token", kind == "llama") and "bos_token" in named:
        _begin_with(backend, named["bos_token"])
    named.setdefault("pad_token", named.get("eos_token"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=header.need(f"{header.architecture}.context_length"),
        clean_up_tokenization_spaces=False,  # it would strip spaces before punctuation
        **named,
    )
    tokenizer.chat_template = header.get("tokenizer.chat_template")
    _check(header, tokenizer)
    return tokenizer


def _unknown(header: Header, what: str) -> str:
    return (
        f"model {str(header.file)!r}: {what}, whose rules are not known here (llama, gpt2 with {', '.join(FAMILIES)}); name the "
        "directory or the hub id of the model itself"
    )


def _over_bytes(header: Header) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers

    rule = header.get("tokenizer.ggml.pre")
    if rule not in FAMILIES:
        raise InputError(_unknown(header, f"its tokenizer cuts by the rule {rule!r}"))
    family = FAMILIES[rule]
    merges = [tuple(merge.split(" ", 1)) for merge in header.need("tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE(_places(header), merges, ignore_merges=family.whole_pieces_first))
    backend.normalizer = normalizers.NFC() if family.composed else normalizers.Sequence([])
    backend.pre_tokenizer = family.cut()
    backend.decoder = decoders.ByteLevel()
    return backend


def _over_pieces(header: Header) -> Any:
    """SentencePiece's merges in the order of the pieces' scores; a character that is no piece is told in bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens, unknown = header.need("tokenizer.ggml.tokens"), header.get("tokenizer.ggml.unknown_token_id")
    kinds = header.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    scores = header.need("tokenizer.ggml.scores")
    pieces = {token: score for token, score, kind in zip(tokens, scores, kinds, strict=True) if kind == NORMAL}
    backend = Tokenizer(
        models.BPE(
            _places(header), piece_merges(pieces),
            unk_token=None if unknown is None else tokens[unknown], fuse_unk=True, byte_fallback=True,
        )
    )  # fmt: skip
    first = header.get("tokenizer.ggml.add_space_prefix", True)
    backend.normalizer = normalizers.Sequence([*([normalizers.Prepend("▁")] if first else []), normalizers.Replace(" ", "▁")])
    words = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*words, *([decoders.Strip(" ", 1, 0)] if first else [])])
    return backend


_BACKENDS: dict[str, Callable[[Header], Any]] = {"gpt2": _over_bytes, "llama": _over_pieces}


def _places(header: Header) -> dict[str, int]:
    return {token: place for place, token in enumerate(header.need("tokenizer.ggml.tokens"))}


def piece_merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """All ways to make a piece of two others, by the pieces' scores: the highest first, and of one piece the pair with the
    higher scores first."""
    merges: list[tuple[str, str]] = []
    for piece in sorted(scores, key=lambda piece: -scores[piece]):
        halves = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        pairs = [(left, right) for left, right in halves if left in scores and right in scores]
        merges += sorted(pairs, key=lambda pair: (-scores[pair[0]], -scores[pair[1]]))
    return merges


def _add_tokens(backend: Any, tokens: Sequence[str], kinds: Sequence[int] | None) -> None:
    from tokenizers import AddedToken

    if kinds is None:
        return
    by_kind = {kind: [token for token, its in zip(tokens, kinds, strict=True) if its == kind] for kind in (CONTROL, USER_DEFINED)}
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in by_kind[CONTROL]])
    backend.add_tokens([AddedToken(token, normalized=False) for token in by_kind[USER_DEFINED]])


def _begin_with(backend: Any, token: str) -> None:
    from tokenizers import processors

    backend.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, backend.token_to_id(token))]
    )


def _check(header: Header, tokenizer: Any) -> None:
    """Raise InputError where a text does not come back, a control token is cut, or digits are not cut as the family does."""
    problems = []
    for text in PROBES:
        back = tokenizer.decode(text_ids(tokenizer, text))
        if back != text:
            problems.append(f"{text!r} comes back as {back!r}")
    tokens, kinds = header.need("tokenizer.ggml.tokens"), header.get("tokenizer.ggml.token_type") or []
    for place, kind in enumerate(kinds):
        if kind == CONTROL and meant_ids(tokenizer, tokens[place]) != [place]:
            problems.append(f"the control token {tokens[place]!r} is not the one of number {place}")
    family = FAMILIES.get(header.get("tokenizer.ggml.pre"))
    if family is not None and family.digits_at_once is not None:
        longest = max(len(piece) for piece in tokenizer.convert_ids_to_tokens(text_ids(tokenizer, "20211234")))
        if longest > family.digits_at_once:
            problems.append(f"{longest} digits make one token, {family.digits_at_once} at most do in this family")
    if problems:
        raise InputError([f"model {str(header.file)!r}: its tokenizer cannot be rebuilt: {problem}" for problem in problems[:4]])
