"""Counterfactual documents: the same text with the asked fact changed.

`records` brings exact ones along, rendered from changed facts. For any other problem with an answer that stands in
the document, every mention of the answer is swapped for one of the wrong choices, which are spans of the same type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infoagent.types import Negative, Problem


def counterfactuals(problem: Problem) -> Iterator[Negative]:
    """Documents in which the answer of `problem` is another one; never the original, never twice the same."""
    seen = {problem.document}
    for negative in problem.negatives:
        if negative.kind == "counterfactual" and negative.document not in seen:
            seen.add(negative.document)
            yield negative
    if problem.answer is None:
        return
    mention = span_pattern(problem.answer)
    if not mention.search(problem.document):
        return
    for choice in problem.choices:
        if choice == problem.answer:
            continue
        edited = mention.sub(lambda _, new=choice: new, problem.document)  # type: ignore[misc]
        if edited not in seen:
            seen.add(edited)
            yield Negative("counterfactual", edited, f"{problem.answer} → {choice}")


def span_pattern(span: str) -> re.Pattern[str]:
    """Matches `span` as a whole: not inside a longer word or number."""
    before = r"(?<![\w])" if span[:1].isalnum() or span[:1] == "_" else ""
    after = r"(?![\w])" if span[-1:].isalnum() or span[-1:] == "_" else ""
    if span[:1].isdigit():
        before = r"(?<![\w.,])"
    if span[-1:].isdigit():
        after = r"(?![\w]|[.,]\d)"
    return re.compile(before + re.escape(span) + after)
