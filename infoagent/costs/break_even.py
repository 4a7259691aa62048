"""From how many questions on is it worth compressing a document?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BreakEven:
    """Where compressing first stops costing more than answering from the whole document."""

    verdict: Literal["always", "from", "never"]
    """`always`: at any number of questions; `from`: from `questions` on; `never`: at no number."""
    questions: float | None
    """With `from`: the exact number, at which both ways cost the same; None else."""


def break_even_questions(
    compress: float, answer_from_compression: float, answer_from_document: float, *, per_question: bool = False
) -> BreakEven:
    """The number n of questions on one document from which compressing pays: C + n · a ≤ n · d, n = C / (d − a).

    All three in one unit, USD or FLOPs: C `compress`, once for the document (a query-agnostic compression); a and d an
    answer from the compression and from the document. With `per_question` the compression is made for each question
    (query-specific), so C + a ≤ d decides alone, and the verdict is `always` or `never`. Raises ValueError for a
    cost that is negative or not finite: an unknown cost has no break-even.
    """
    costs = (compress, answer_from_compression, answer_from_document)
    if not all(math.isfinite(cost) and cost >= 0 for cost in costs):
        raise ValueError(f"costs {costs}: each is a finite number of at least 0")
    if per_question:
        pays = compress + answer_from_compression <= answer_from_document
        return BreakEven("always" if pays else "never", None)
    if compress == 0 and answer_from_compression <= answer_from_document:
        return BreakEven("always", None)
    if answer_from_compression >= answer_from_document:
        return BreakEven("never", None)
    return BreakEven("from", compress / (answer_from_document - answer_from_compression))
