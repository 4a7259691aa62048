"""Document identity: when two texts are one document, and what follows for splits and for document ids.

Two texts are one document where they differ in nothing but white space, case, or the Unicode form of their characters.
As negatives of each other they would take up to log 2 nats of a compression that tells everything; in two splits they
would be tested on what was trained on; as two documents they would make intervals too narrow.

NFC, not NFKC: é is one character however it is encoded, while 10² and 102, ½ and 1/2, Ⅳ and IV are different facts, which
NFKC would make equal: a counterfactual document could then count as its own source. Case goes, since a text told in
capitals tells the same; marks without width (U+200B, U+2060, U+FEFF) go as well. A line break between two Chinese or Japanese
characters is where a line was full.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from infoagent.types import Problem

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
_WIDE = "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uffee"
_WRAPPED = re.compile(f"(?<=[{_WIDE}]) (?=[{_WIDE}])")


def text_identity(text: str) -> str:
    """16 hexadecimal digits, equal for texts that are one document; time is linear in the length."""
    if text.isascii():  # most texts: no other form, no wide characters
        plain = " ".join(text.casefold().split())
    else:
        folded = unicodedata.normalize("NFD", text.translate(_WITHOUT_WIDTH)).casefold()
        plain = _WRAPPED.sub("", " ".join(unicodedata.normalize("NFC", folded).split()))
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def identities(texts: Iterable[str]) -> list[str]:
    """The identity of each text; equal texts are read once."""
    known: dict[str, str] = {}
    result = []
    for text in texts:
        if text not in known:
            known[text] = text_identity(text)
        result.append(known[text])
    return result


def with_shared_ids(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems, those on one document under one `document_id`: the smallest of the ids that it came with.

    An id that already stands for several texts (a patient with many letters) takes all of them along.
    """
    first: dict[str, str] = {}
    parent = {p.document_id: p.document_id for p in problems}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for problem, identity in zip(problems, identities(p.document for p in problems), strict=True):
        one, other = sorted((root(problem.document_id), root(first.setdefault(identity, problem.document_id))))
        parent[other] = one
    return tuple(p if (shared := root(p.document_id)) == p.document_id else replace(p, document_id=shared) for p in problems)
