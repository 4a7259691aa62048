"""Data revision: the identity of a built-in set, the hash of what comes out of it.

A fixed sample of problems, counterfactuals included, is written as canonical JSON and hashed. So a set that was only moved
or formatted keeps its identity, and one whose text changed anywhere in the sample has another, whichever module the change
was made in. Fields at their default value are left out, so that a field that is added to `Problem` changes nothing.

Until version 0.1 the identity was the hash of the module's source. FORMERLY says which of those sources gave the
same text, so that what was measured then still compares. python-reference and continuations have none: their passages are cut
anew since tables and listings are kept, so what was measured on them before is of another text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

IDENTITY_SAMPLE = 60
"""Problems of each split that a generated set is known by."""
FORMERLY: Mapping[str, tuple[str, ...]] = {
    "sha256:475cd76176a99249": ("sha256:d92b83d3ef834f4c", "sha256:d8d064308ba4cc4e", "sha256:9decff2a2d28089b"),  # records
    "sha256:e2ff44537afe3c5f": ("sha256:a6024b5263fc8a19", "sha256:54dce2c87859e9f7"),  # shannon
    "sha256:c024919acb58438c": ("sha256:55403e4563bd29b9",),  # word-problems
    "sha256:e3481721431137c7": ("sha256:4d512d0250221a8e",),  # python-functions
    "sha256:d74c9e4ceaa46c01": ("sha256:df57a567edea2572", "sha256:1551fd43443c11b5", "sha256:63da31a33df88d37"),  # histories
}  # fmt: skip
"""{an identity of today: those that the same text had before}."""


def digest(items: Iterable[Any]) -> str:
    """`sha256:` and 16 hexadecimal digits of dataclasses (problems, histories), strings and numbers, in their order."""
    content = hashlib.sha256()
    for item in items:
        line = json.dumps(_plain(item), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        content.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return "sha256:" + content.hexdigest()[:16]


def same_data(one: str, other: str) -> bool:
    """Whether two identities of one set, of today or of before, are of the same text; `a + b` is a mixture of sets."""
    parts, others = one.split(" + "), other.split(" + ")
    return len(parts) == len(others) and all(
        a == b or any({a, b} <= {now, *before} for now, before in FORMERLY.items()) for a, b in zip(parts, others, strict=True)
    )


def _plain(item: Any) -> Any:
    """`item` as JSON holds it: dataclasses as {field: value}, without fields at their default."""
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {f.name: _plain(v) for f in dataclasses.fields(item) if (v := getattr(item, f.name)) != _default(f)}
    if isinstance(item, Mapping):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, (tuple, list)):
        return [_plain(value) for value in item]
    return item


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
