"""Log-likelihoods of texts under candidate prompts, where one text that cannot be scored fails alone.

Shape legend: L tokens of one text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs

Ids = tuple[int, ...]
Pair = tuple[Ids, Ids]
"""(prefix, text)."""
Text = TypeVar("Text")
Scores = TypeVar("Scores")


def pair_log_probs(scorer: ColumnScorer, pairs: Sequence[Pair]) -> dict[Pair, TokenLogProbs]:
    """The (L,) log-probabilities of each text's tokens under its prefix, nats; prefixes that begin alike are read together,
    equal pairs once. Raises FloatingPointError where a value is not finite."""
    prefixes, texts = list(dict.fromkeys(p for p, _ in pairs)), list(dict.fromkeys(t for _, t in pairs))
    place = {text: number for number, text in enumerate(texts)}
    wanted: dict[Ids, list[int]] = {prefix: [] for prefix in prefixes}
    for prefix, text in dict.fromkeys(pairs):
        wanted[prefix].append(place[text])
    found: dict[Pair, TokenLogProbs] = {}
    for k, columns in scorer.score_tokens(prefixes, texts, list(wanted.values())):
        for number, column in zip(wanted[prefixes[k]], columns, strict=True):
            if not np.isfinite(column).all():
                raise FloatingPointError("a token has no finite log-probability; try dtype float32")
            found[prefixes[k], texts[number]] = column
    return found


def total(column: TokenLogProbs) -> float:
    """log p of a whole text."""
    return float(column.sum(dtype=np.float64))


def each_alone(
    score: Callable[[Sequence[Text]], Sequence[Scores]],
    texts: Sequence[Text],
    failed: Callable[[Exception], Scores],
    failures: tuple[type[Exception], ...] = (FloatingPointError,),
) -> list[Scores]:
    """What `score` gives for all texts together; where that fails for each by itself, and `failed` for those that fail."""
    try:
        return list(score(texts))
    except failures as error:
        if len(texts) == 1:
            return [failed(error)]
    return [scores for text in texts for scores in each_alone(score, [text], failed, failures)]
