"""What a served scorer and its client say to each other: JSON over HTTP, token ids in, log-probabilities in nats out.

    GET /health   {"model", "revision", "dtype", "vocabulary", "identity", "context_tokens", ...}
    POST /score   {"prefixes": [[id]], "continuations": [[id]], "wanted": [[c]], "tokens": false}
                  → {"log_probs": [[nats]], "identity", "prefix_tokens", "continuation_tokens"}

`log_probs[k][i]` belongs to prefix k and continuation `wanted[k][i]` (default: all of them): its sum, or with `tokens`
the list of its tokens. A float32 goes through JSON unchanged; −∞, for a token of probability 0, is written -Infinity.
A request names the server as its Host, brings "Authorization: Bearer TOKEN", and comes from no web page (no Origin).
An error is a status of 400 or more and {"error": one line}: 400 for a wrong request, 401 without the token, 403 from a
web page, 408 for a body that does not come, 411 without its length, 413 where it is too large, 415 unless it is
application/json, 421 for a foreign Host, 422 where the model returned NaN, 500 where the pass failed, 503 where too many
wait.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infoagent.types import AUTO, InputError

TOKEN_VARIABLE = "INFOAGENT_SCORER_TOKEN"
"""Environment variable of both sides, which holds the token."""
LARGEST_BODY_BYTES = 32 * 2**20
LARGEST_PAIRS = 2**18
"""Of a prefix and a continuation, in one request."""
LARGEST_SCORED_TOKENS = 2**22
"""Of the continuations of all pairs of a request, which is also how many numbers a reply may hold."""

Ids = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ScoreRequest:
    """A request that holds what the model can take. `wanted[k]` names continuations under prefix k."""

    prefixes: Ids
    continuations: Ids
    wanted: Ids
    tokens: bool


def read_request(body: bytes, vocabulary_size: int, context_tokens: int) -> ScoreRequest:
    """Raises ValueError with one line for the first mistake."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: not JSON: {str(error)[:200]}") from None
    if not isinstance(fields, dict):
        raise ValueError("body: must be an object with prefixes and continuations")
    unknown = set(fields) - {"prefixes", "continuations", "wanted", "tokens"}
    if unknown:
        raise ValueError(f"{sorted(unknown)[0][:60]!r}: unknown field; allowed: prefixes, continuations, wanted, tokens")
    prefixes = _rows(fields, "prefixes", vocabulary_size)
    continuations = _rows(fields, "continuations", vocabulary_size)
    if fields.get("wanted") is None:
        wanted: Ids = (tuple(range(len(continuations))),) * len(prefixes)
    else:
        wanted = _rows(fields, "wanted", len(continuations), least=0)
        if len(wanted) != len(prefixes):
            raise ValueError(f"wanted: {len(wanted)} lists for {len(prefixes)} prefixes; give one for each")
    _check_size(continuations, wanted)
    longest = max(len(p) + max((len(continuations[c]) for c in w), default=0) for p, w in zip(prefixes, wanted, strict=True))
    if longest > context_tokens:
        raise ValueError(f"a prefix and its continuation take {longest} tokens, the model's context holds {context_tokens}")
    tokens = fields.get("tokens", False)
    if not isinstance(tokens, bool):
        raise ValueError("tokens: must be true or false")
    return ScoreRequest(prefixes, continuations, wanted, tokens)


def _check_size(continuations: Ids, wanted: Ids) -> None:
    pairs = sum(map(len, wanted))
    if pairs > LARGEST_PAIRS:
        raise ValueError(f"{pairs} pairs of a prefix and a continuation are above {LARGEST_PAIRS}; send fewer at a time")
    tokens = sum(len(continuations[c]) for columns in wanted for c in columns)
    if tokens > LARGEST_SCORED_TOKENS:
        raise ValueError(f"{tokens} tokens to score are above {LARGEST_SCORED_TOKENS}; send fewer pairs at a time")


def _rows(fields: Mapping[str, Any], name: str, limit: int, least: int = 1) -> Ids:
    rows = fields.get(name)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{name}: must be a list of at least one list of whole numbers")
    for place, row in enumerate(rows):
        if not isinstance(row, list) or set(map(type, row)) - {int}:
            raise ValueError(f"{name}[{place}]: must be a list of whole numbers")
        if len(row) < least:
            raise ValueError(f"{name}[{place}]: must hold at least one token")
        if row and not 0 <= min(row) <= max(row) < limit:
            raise ValueError(f"{name}[{place}]: holds numbers outside 0 to {limit - 1}")
    return tuple(map(tuple, rows))


def read_token() -> str | None:
    """The token that the environment holds; None where it holds none. Raises InputError for what no header can hold."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{TOKEN_VARIABLE}: holds blanks or signs that no token has; export the token alone")
    return token or None


def vocabulary_hash(tokenizer: Any) -> str:
    """The tokenizer's tokens with their ids, as a hash: equal where the same ids mean the same text."""
    text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def identity_of(revision: str, dtype: str, vocabulary: str) -> str:
    """Stands in every reply, so that a client notices when another model has taken the server's place."""
    assert dtype != AUTO, "a server names the type that it computes in"
    return hashlib.sha256(f"{revision}\n{dtype}\n{vocabulary}".encode()).hexdigest()[:16]
