"""Constrained decoding: at each step only tokens that can still become JSON of a schema. Needs `infoagent[structured]`.

A masked distribution is renormalised token by token, so that a draw is none of the model given that it writes valid JSON;
either way the scorer is not the sampler. JSON is written without white space, as the canonical form is.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from infoagent.types import InputError, RunFailed

INSTALL = "pip install 'infoagent[structured]'"


def check_constrained(schema: Mapping[str, Any], setting: str = "form.constrained") -> None:
    """Raise InputError where the library is missing, or has no grammar for the schema."""
    if importlib.util.find_spec("llguidance") is None:
        raise InputError(f"{setting}: needs llguidance, which is not installed; run: {INSTALL}, or set it to false")
    from llguidance import LLMatcher

    said = LLMatcher.validate_grammar(grammar_of(schema))
    if said:
        raise InputError(f"{setting}: no grammar for this schema: {said.splitlines()[0]}; simplify it, or set it to false")


def grammar_of(schema: Mapping[str, Any]) -> str:
    """llguidance's grammar of the JSON texts that fit `schema`, its properties in their order."""
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides={"whitespace_flexible": False}))


_MADE: WeakKeyDictionary[Any, tuple[tuple[int, tuple[int, ...]], Any]] = WeakKeyDictionary()


def constrained_tokenizer(tokenizer: Any, vocabulary: int, stop: Sequence[int]) -> Any:
    """What the grammar has to know of a tokenizer: made once, it takes a second."""
    from llguidance.hf import from_tokenizer

    asked = vocabulary, tuple(stop)
    if tokenizer not in _MADE or _MADE[tokenizer][0] != asked:
        _MADE[tokenizer] = asked, from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(stop))
    return _MADE[tokenizer][1]


class SchemaLogits:
    """A logits processor of transformers for one call of `generate`: a row of the batch each its own state."""

    def __init__(self, tokenizer: Any, schema: Mapping[str, Any], stop: Sequence[int]) -> None:
        from llguidance import LLMatcher

        self._first = LLMatcher(tokenizer, grammar_of(schema))
        self._rows: list[Any] = []
        self._stop = torch.tensor(sorted(stop))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not self._rows:  # the first step: nothing is written yet
            self._rows = [self._first.deep_copy() for _ in range(len(input_ids))]
        else:
            for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
                if not row.is_stopped():
                    row.consume_token(token)
        for row in self._rows:
            if row.is_error():
                raise RunFailed(f"constrained decoding: {row.get_error().splitlines()[0]}")
        allowed = torch.stack([self._allowed(row, scores.shape[-1]) for row in self._rows]).to(scores.device)
        return scores.masked_fill(~allowed, float("-inf"))

    def _allowed(self, row: Any, vocabulary: int) -> torch.Tensor:
        allowed = torch.zeros(vocabulary, dtype=torch.bool)
        if row.is_stopped():  # the object is closed: only the end of the turn is left
            allowed[self._stop] = True
            return allowed
        bits = np.frombuffer(row.compute_bitmask(), dtype=np.uint8)
        known = np.unpackbits(bits, bitorder="little")[:vocabulary].astype(bool)
        allowed[: len(known)] = torch.from_numpy(known)
        return allowed
