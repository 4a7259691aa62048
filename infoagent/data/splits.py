"""Train, validation and test of a set whose texts belong to groups: no group and no document stands in two of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from infoagent.data.identity import identities
from infoagent.data.passages import SPLIT_SHARES, split_of

ORDER = [name for name, _ in SPLIT_SHARES]


def splits_of(texts: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The split of each text: that of its group. A text whose copies stand in several groups goes by its content, as a group
    of its own, since it cannot follow all of them."""
    if not texts:
        return []
    found = identities(texts)
    groups_of: dict[str, set[str]] = defaultdict(set)
    for identity, group in zip(found, groups, strict=True):
        groups_of[identity].add(group)
    wholes = [group if len(groups_of[identity]) == 1 else f"text {identity}" for identity, group in zip(found, groups, strict=True)]
    assigned = split_of(Counter(wholes))
    return [assigned[whole] for whole in wholes]


def splits_of_parts(texts: Sequence[str], splits: Sequence[str]) -> list[str]:
    """The split of each part of longer texts, given the splits of these: a part that stands in several splits (a notice
    that many pages end with) stays in the first of them alone, train before validation before test."""
    found = identities(texts)
    first: dict[str, str] = {}
    for identity, split in zip(found, splits, strict=True):
        first[identity] = min(split, first.get(identity, split), key=ORDER.index)
    return [first[identity] for identity in found]
