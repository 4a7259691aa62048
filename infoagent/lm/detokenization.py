"""Detokenisation of ids that were cut: text that begins and ends with whole characters.

A token may hold a part of a character: tokenizers of bytes give an emoji two to four of them. Ids that a limit cut in
its middle decode to U+FFFD, the sign of what cannot be read. A compression keeps its ids, since those were sampled and
are scored; only its text steps back to the last whole code point. A document that is cut here steps back to what a reader
takes for one character (`infoagent.data.characters`). A U+FFFD that the text itself has stays.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from infoagent.data.characters import border_before, border_behind
from infoagent.lm.control_tokens import text_ids

UNREADABLE = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""A byte in the vocabulary of a tokenizer that falls back on bytes."""


def decode_whole(tokenizer: Any, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
    """The text of `ids` without the parts of characters at its two ends.

    What is unreadable in its middle was not cut but written so, and stays.
    """
    kept = [int(i) for i in ids]
    text = str(tokenizer.decode(kept, skip_special_tokens=skip_special_tokens))
    if not text.startswith(UNREADABLE) and not text.endswith(UNREADABLE):
        return text
    if skip_special_tokens:
        special = set(tokenizer.all_special_ids)
        kept = [i for i in kept if i not in special]
    tokens = [t if isinstance(t, bytes) else str(t) for t in tokenizer.convert_ids_to_tokens(kept)]
    whole = [None if isinstance(t, bytes) else _BYTE.fullmatch(t) for t in tokens]
    if (whole and whole[0]) or (whole and whole[-1]):  # one broken byte makes all bytes beside it unreadable: decode anew
        bytes_at_start = _run(whole)
        first = _lost_begin(bytes_at_start)
        last = len(kept) - _lost_end(_run(whole[::-1])[::-1])
        return str(tokenizer.decode(kept[first : max(first, last)], skip_special_tokens=skip_special_tokens))
    data = [_bytes_of(t) for t in tokens]
    first, unfinished = _lost_begin(b"".join(data[:4])), _lost_end(b"".join(data[-4:]))
    # each byte without a beginning is one sign, the beginning of a character at the end is one altogether
    return text[first : len(text) - bool(unfinished)]


def _run(found: Sequence[re.Match[str] | None]) -> bytes:
    """The bytes of the tokens up to the first that is no byte."""
    end = next((k for k, match in enumerate(found) if match is None), len(found))
    return bytes(int(match[1], 16) for match in found[:end] if match is not None)


def _lost_begin(data: bytes) -> int:
    """How many bytes stand before the first that can begin a character."""
    return next((k for k, byte in enumerate(data) if not 0x80 <= byte < 0xC0), len(data))


def _lost_end(data: bytes) -> int:
    """How many bytes at the end begin a character and do not end it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return len(decoder.getstate()[0])


def _bytes_of(token: str | bytes) -> bytes:
    if isinstance(token, bytes):
        return token
    table = _byte_symbols()
    return bytes(table[c] for c in token) if all(c in table for c in token) else token.encode(errors="replace")


@cache
def _byte_symbols() -> dict[str, int]:
    """The bytes of the printable characters that vocabularies of bytes are written in (GPT-2's table)."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {symbol: byte for byte, symbol in bytes_to_unicode().items()}


def token_pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """What each token adds to the text: joined they are `decode_whole` of all ids.

    A character of several tokens stands with the last of them, the others add nothing.
    """
    pieces: list[str] = []
    before = ""
    for end in range(1, len(ids) + 1):
        text = decode_whole(tokenizer, ids[:end])
        if text.startswith(before):
            pieces.append(text[len(before) :])
            before = text
        else:  # a tokenizer that takes back what it wrote, a space before a full stop say
            pieces.append(decode_whole(tokenizer, ids[end - 1 : end]))
            before = text
    return pieces


def cut_to_room(tokenizer: Any, text: str, room: int, keep: Literal["head", "tail"] = "head") -> str:
    """A part of `text` as `cut_to_tokens` gives it, that takes no more than `room` tokens in a prompt: there a mark of control is
    spelled out, and takes several where the tokenizer sees one."""
    limit = room
    while True:
        cut = cut_to_tokens(tokenizer, text, limit, keep)
        over = len(text_ids(tokenizer, cut)) - room
        if over <= 0:
            return cut
        limit -= over


def cut_to_tokens(tokenizer: Any, text: str, tokens: int, keep: Literal["head", "tail"] = "head") -> str:
    """The longest beginning of `text` (or its end) that ends (begins) with a whole character within its first (last)
    `tokens` tokens; a part of `text`, whatever its tokenizer makes of white space or accents."""
    if tokens < 1:
        return ""
    if not tokenizer.is_fast:  # no word on where its tokens stand
        ids = [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]
        return decode_whole(tokenizer, ids[:tokens] if keep == "head" else ids[-tokens:])
    encoded = tokenizer(text, add_special_tokens=False, verbose=False, split_special_tokens=True, return_offsets_mapping=True)
    spans = encoded["offset_mapping"]
    if len(spans) <= tokens:
        return text
    # the token next to the cut may hold a part of a character: then its place is that of the whole one
    if keep == "head":
        return text[: border_before(text, spans[tokens][0])]
    return text[border_behind(text, spans[-tokens - 1][1]) :]
