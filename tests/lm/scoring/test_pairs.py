"""Texts under candidate prompts: equal pairs once, and one that cannot be scored fails alone."""

import numpy as np
import pytest

from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.pairs import each_alone, pair_log_probs, total


class Counting(ColumnScorer):
    """log p of a token is −(its id) − (the prefix's first id); id 99 has none."""

    def __init__(self):
        super().__init__()
        self.scored = []

    def score_tokens(self, prefixes, continuations, wanted=None):
        for k, prefix in enumerate(prefixes):
            chosen = [continuations[c] for c in wanted[k]]
            self.scored += [(prefix, text) for text in chosen]
            yield k, [np.array([-np.inf if i == 99 else -i - prefix[0] for i in text], np.float32) for text in chosen]


def test_only_the_asked_pairs_are_scored_each_once():
    scorer = Counting()
    pairs = [((1,), (5, 6)), ((2,), (7,)), ((1,), (5, 6)), ((2,), (5, 6))]
    found = pair_log_probs(scorer, pairs)
    assert sorted(scorer.scored) == sorted(set(pairs))
    assert [total(found[pair]) for pair in pairs] == [-13.0, -9.0, -13.0, -15.0]


def test_a_text_that_cannot_be_scored_fails_alone():
    def score(texts):
        found = pair_log_probs(Counting(), [((1,), text) for text in texts])
        return [total(found[(1,), text]) for text in texts]

    values = each_alone(score, [(5,), (99,), (6,)], str)
    assert values == [-6.0, "a token has no finite log-probability; try dtype float32", -7.0]
    assert each_alone(score, [], str) == []
    with pytest.raises(ZeroDivisionError):
        each_alone(lambda texts: 1 / 0, [(5,)], str)
