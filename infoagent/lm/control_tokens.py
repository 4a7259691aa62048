"""Control tokens: what a chat template may write and a text may not. Texts become ids here and nowhere else.

A tokenizer that meets `<|im_end|>` in a document makes the real end of a turn of it, and what follows speaks as whoever
it names. So everything that comes from data or from a model is encoded as plain text: by a copy of the tokenizer that
knows its control tokens under names that nobody can write. What holds no control token never meets that copy: its ids
are the tokenizer's own, to the last one.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from weakref import WeakKeyDictionary

from tokenizers import AddedToken, Tokenizer

from infoagent.types import InputError

_BRACKETS = (("<", ">"), ("[", "]"))


def is_control(text: str, special: bool) -> bool:
    """Whether an added token steers a model: it is marked as special, or stands in angle or square brackets, as <think>
    and <tool_call> do, which many tokenizers do not mark. Runs of white space and words of a domain are vocabulary."""
    return bool(text.strip()) and (special or any(text[0] == a and text[-1] == z for a, z in _BRACKETS))


@dataclass
class ControlTokens:
    """The control tokens of one tokenizer, and how texts are encoded without them."""

    model: str
    backend: Any
    """The fast tokenizer; None for one that has none."""
    size: int
    """Tokens of the tokenizer when they were looked for."""
    ids: Mapping[str, int]
    normalized: bool
    """Whether some are looked for in the text as it is after normalisation."""
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    """Part of the names and marks below, so that no text can hold them. No id depends on it."""

    @classmethod
    def of(cls, tokenizer: Any) -> ControlTokens:
        added = getattr(tokenizer, "added_tokens_decoder", {})
        found = {token.content: int(i) for i, token in added.items() if is_control(token.content, token.special)}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        normalized = any(token.normalized for token in added.values() if token.content in found)
        looks = backend is not None and backend.normalizer is not None and normalized
        return cls(str(getattr(tokenizer, "name_or_path", "")), backend, len(tokenizer), found, looks)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The leftmost, longest control token, as the tokenizer finds it."""
        longest = sorted(self.ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    @cached_property
    def _numbers(self) -> set[int]:
        return set(self.ids.values())

    def stand_in(self, text: str) -> bool:
        """Whether the tokenizer would read a control token out of `text`."""
        if self.pattern.search(text):
            return True
        return self.normalized and self.pattern.search(self.backend.normalizer.normalize_str(text)) is not None

    def hide(self, text: str, hidden: list[str]) -> str:
        """`text` with a mark in place of each control token; what stood there is added to `hidden`."""

        def mark(found: re.Match[str]) -> str:
            hidden.append(found[0])
            return f"\ue002{self.nonce}{len(hidden) - 1:x}\ue003"

        return self.pattern.sub(mark, text)

    def encode(self, text: str, hidden: Sequence[str]) -> list[int]:
        """Ids of a text whose control tokens are meant, while the marks of `hide` stand for plain text.

        Raises InputError for a tokenizer that cannot write a control token as text.
        """
        meant = len(self.pattern.findall(text))
        named = self.pattern.sub(lambda found: self._names[found[0]], text)
        parts = re.split(f"\ue002{self.nonce}([0-9a-f]+)\ue003", named)
        parts[1::2] = [hidden[int(number, 16)] for number in parts[1::2]]
        ids = self._plain("".join(parts))
        if sum(i in self._numbers for i in ids) != meant:  # a control token that is a word of the vocabulary as well
            pieces = [piece for k, part in enumerate(parts) for piece in (part if k % 2 else [part])]
            ids = [i for piece in pieces for i in self._plain(piece)]
        if sum(i in self._numbers for i in ids) != meant:
            raise InputError(
                f"model {self.model!r}: its tokenizer cannot encode {sorted(set(hidden))} as plain text; "
                "take the control tokens out of the texts, or use another model"
            )
        return ids

    @cached_property
    def _names(self) -> dict[str, str]:
        """What the copy calls the control tokens."""
        return {text: f"\ue000{self.nonce}{number:x}\ue001" for text, number in self.ids.items()}

    def _plain(self, text: str) -> list[int]:
        copy, own = self._copy
        return [own.get(i, i) for i in copy.encode(text, add_special_tokens=False).ids]

    @cached_property
    def _copy(self) -> tuple[Tokenizer, dict[int, int]]:
        """(the tokenizer with other names for its control tokens, its added ids → those of the tokenizer)."""
        if self.backend is None:
            raise InputError(
                f"model {self.model!r}: its tokenizer has no fast version, which texts with control tokens "
                "need; take them out of the texts, or save the tokenizer as tokenizer.json"
            )
        parts = json.loads(self.backend.to_str())
        added = parts["added_tokens"]
        copy = Tokenizer.from_str(
            json.dumps({**parts, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None})
        )
        own: dict[int, int] = {}
        for token in added:
            number, text = token.pop("id"), token.pop("content")
            name = self._names.get(text, text)
            add = copy.add_special_tokens if token["special"] else copy.add_tokens
            add([AddedToken(name, **token)])
            own[cast(int, copy.token_to_id(name))] = number
        return copy, own


_KNOWN: WeakKeyDictionary[Any, ControlTokens] = WeakKeyDictionary()


def control_tokens(tokenizer: Any) -> ControlTokens:
    """Those of `tokenizer` as it stands now; looked for once, and again where tokens were added since."""
    known = _KNOWN.get(tokenizer)
    if known is None or known.size != len(tokenizer):
        known = _KNOWN[tokenizer] = ControlTokens.of(tokenizer)
    return known


def meant_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text of this package or of a chat template: its control tokens are meant."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text from data or from a model, as plain text: none of them is a control token. Never joined with its
    prefix as a string, so no merge crosses the border."""
    control = control_tokens(tokenizer)
    if not control.stand_in(text):
        return meant_ids(tokenizer, text)
    hidden: list[str] = []
    return control.encode(control.hide(text, hidden), hidden)
