"""Character borders in Unicode text: where a text may be cut so that every character of it stays whole.

What a reader takes for one character is an extended grapheme cluster (Unicode UAX #29): a letter with its accents, an
emoji with its skin tone, a flag of two letters, a syllable of Devanagari. `regex` knows them.
"""

from __future__ import annotations

import regex

_CLUSTER = regex.compile(r"\X")
_SAFE = regex.compile(r"(?r)[\x20-\x7e\p{Han}]")
"""Characters behind which, or with whose marks, no earlier character has a part: clusters are counted from the last
of them before a border, and not from the beginning of a long text."""


def clusters(text: str) -> list[str]:
    """The extended grapheme clusters of a text, in order; joined they are the text."""
    return [match.group() for match in _CLUSTER.finditer(text)]


def border_before(text: str, at: int) -> int:
    """The largest border of clusters that is at most `at`: text[:border] ends with a whole cluster.

    `at` itself where a cluster that begins the text reaches beyond it: half of a cluster is more than nothing.
    """
    low, _ = _around(text, at)
    return low or at


def border_behind(text: str, at: int) -> int:
    """The smallest border of clusters that is at least `at`: text[border:] begins with a whole cluster.

    `at` itself where the cluster around it ends the text.
    """
    _, high = _around(text, at)
    return high if high < len(text) else at


def _around(text: str, at: int) -> tuple[int, int]:
    """The borders next to `at`, below and above; both are `at` where it is one."""
    if at <= 0 or at >= len(text):
        return at, at
    start = _SAFE.search(text, 0, at)
    for match in _CLUSTER.finditer(text, 0 if start is None else start.start()):
        if match.end() == at:
            return at, at
        if match.end() > at:
            return match.start(), match.end()
    raise AssertionError("the clusters of a text reach its end")


def storable(text: str) -> str:
    """`text` as it can be written to a file. Halves of a surrogate pair are put together where they stand side by side
    (a stream may have cut between them), a half at the end is left out, and any other becomes "?"."""
    if text.isascii():
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if joined and "\ud800" <= joined[-1] <= "\udbff":
        joined = joined[:-1]
    return joined.encode(errors="replace").decode()
