"""Types of facts that a memory may keep or lose: groups of the typed spans of a text."""

from __future__ import annotations

from collections.abc import Mapping

from infoagent.data.counterfactual.documents import is_weak
from infoagent.data.counterfactual.spans import NAME_KINDS, Span, typed_spans

FACT_TYPES: dict[str, tuple[str, ...]] = {
    "numbers": ("money", "percentage", "quantity", "ordinal", "number"),
    "dates": ("date", "year", "time"),
    "names": (*NAME_KINDS, "drug"),
    "identifiers": ("code",),
    "rules": ("negation", "comparative"),
}
"""Kinds of spans. `identifiers` are file names, order numbers, versions, functions; `rules` are what must not and never is done, and
the comparatives of a decision."""
WEIGHTS = {name: 0.0 if name == "rules" else 1.0 for name in FACT_TYPES}
"""Where nothing else is said."""
OTHER = "other"
_TYPE_OF = {kind: name for name, kinds in FACT_TYPES.items() for kind in kinds}


def type_of(fact: str) -> str:
    """The type of a fact by the longest typed span in it; `other` for one without."""
    spans = [span for span in typed_spans(fact) if not is_weak(span)]
    return _TYPE_OF[max(spans, key=lambda span: len(span.text)).kind] if spans else OTHER


def weighted_facts(document: str, weights: Mapping[str, float]) -> list[tuple[Span, float]]:
    """The typed spans whose type has a weight, each text once, at its first place. Bare auxiliaries (is, can) say too little."""
    first: dict[str, Span] = {}
    for span in typed_spans(document):
        if weights[_TYPE_OF[span.kind]] > 0 and not is_weak(span):
            first.setdefault(span.text, span)
    return [(span, weights[_TYPE_OF[span.kind]]) for span in first.values()]
