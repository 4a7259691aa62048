"""The paper's claims, asked of models that are at hand: the larger of a pair stands for the larger of the paper's.

The paper compares 7B with 1.5B and readers of 405B with 70B. Who has neither can still ask whether more parameters help, and
where they help more. Every claim on a pair of models is asked of each pair here, on every data set of the run; the paper's
number stays beside the answer, though its factor of sizes is another. Claims on information are asked twice: among random documents,
as the paper does, and among versions of the same document, where a name alone tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from infoagent.applications.paper.published import AMONG_VERSIONS, PUBLISHED, WHOLE, Ahead, Direction, Near, Published, Side


@dataclass(frozen=True)
class StandIns:
    """Two compressors and two readers, by the labels of configs/figures/shared/local.yaml."""

    large: str
    small: str
    reads_large: str
    reads_small: str


PAIRS = (
    StandIns("Qwen2.5-Coder 1.5B", "Qwen2.5-Coder 0.5B", "Qwen2.5-Coder 1.5B reads", "Qwen2.5-Coder 0.5B reads"),
    StandIns("Qwen2.5-Coder 0.5B", "SmolLM2 135M", "Qwen2.5-Coder 0.5B reads", "SmolLM2 135M reads"),
)


def claims_at_hand(published: Sequence[Published] = PUBLISHED, pairs: Sequence[StandIns] = PAIRS) -> list[Published]:
    """The claims with the stand-ins in the places of the paper's models; those that name no model as they are. A claim that the
    paper makes of one data set is asked of all."""
    found: list[Published] = []
    for claim in published:
        new = list(_asked_of(claim, pairs)) if isinstance(claim.question, Direction | Near | Ahead) else [claim]
        found += [c for c in new if c not in found]
    return found


def _asked_of(claim: Published, pairs: Sequence[StandIns]) -> Iterator[Published]:
    head = claim.quantity.partition(",")[0]
    for pair in pairs:
        question = claim.question
        if isinstance(question, Ahead):
            who = f"{pair.large} above the {question.other} (points)"
            question = replace(question, compressors=(pair.large,))
        else:
            assert isinstance(question, Direction | Near)
            over, under = (_stand_in(side, pair, first) for side, first in zip(question.pairs[0], (True, False), strict=True))
            if question.pairs[0][0][0] == question.pairs[0][1][0]:  # one compressor, two readers
                under = (over[0], under[1])
                who = f"{over[1]} over {under[1]}, from {over[0]}"
            else:
                who = f"{over[0]} over {under[0]}"
            question = replace(question, pairs=((over, under),))
        yield replace(claim, quantity=f"{head}, {who}", question=question, data=None)
        if not isinstance(question, Ahead) and question.measure in AMONG_VERSIONS:
            harder = replace(question, measure=AMONG_VERSIONS[question.measure])
            yield replace(claim, quantity=f"{head} among versions, {who}", question=harder, data=None)


def _stand_in(side: Side, pair: StandIns, first: bool) -> Side:
    label, predictor = side
    reader = None if predictor is None else pair.reads_large if first else pair.reads_small
    return (label if label == WHOLE else pair.large if first else pair.small), reader
