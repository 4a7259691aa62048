"""From scored samples to what is trained on: the rules of `selection` on candidates, and what was chosen in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.pricing.parts import Price
from infoagent.proposals.sources import YARDSTICK
from infoagent.recipes.dpo import PairsSection
from infoagent.recipes.sft import SelectionSection
from infoagent.reward.metrics import summarise
from infoagent.training.candidates import Candidate, key_of
from infoagent.training.selection import best_of_n, half_doublings, pairs_by_margin
from infoagent.types import RunFailed


def keep_best(drawn: Sequence[Candidate], section: SelectionSection, budgets: Sequence[int] | None = None) -> list[Candidate]:
    """The samples to imitate. Raises RunFailed where no sample is better than its group.

    `budgets`: the least and the most tokens that a prompt names under any rate. A budget is met by the best text of its length and
    not by the best of all, so the texts of a problem compete with those of like length (`half_doublings`), and what no budget asks for
    is left out.
    """
    drawn = rivals(drawn)
    if budgets is not None:
        drawn = [c for c in drawn if budgets[0] <= c.scored.compression.rate_tokens <= budgets[1]]
    kept = [drawn[i] for i in best_of_n(**columns_of(drawn, by_length=budgets is not None), **section.rule)]
    if not kept:
        raise RunFailed(
            f"none of {len(drawn)} samples is {section.min_gain_nats:g} nats above its group's mean; lower "
            "selection.min_gain_nats, or raise sampling.samples or the number of negatives"
        )
    return kept


def make_pairs(drawn: Sequence[Candidate], section: PairsSection) -> list[tuple[Candidate, Candidate]]:
    """(better, worse) samples of one problem. Raises RunFailed where no two differ by the margin."""
    drawn = rivals(drawn)
    pairs = pairs_by_margin(**columns_of(drawn), **section.rule)
    if not pairs:
        raise RunFailed(
            f"no two of the {len(drawn)} samples answer the same problem and differ by {section.margin_nats:g} nats of "
            "reward; lower pairs.margin_nats, or draw more samples"
        )
    return [(drawn[better], drawn[worse]) for better, worse in pairs]


def rivals(drawn: Sequence[Candidate]) -> list[Candidate]:
    """What may be chosen: all but what is there to be compared with."""
    return [c for c in drawn if c.origin != YARDSTICK and not c.too_long]


def columns_of(candidates: Sequence[Candidate], by_length: bool = False) -> dict[str, Any]:
    """What `infoagent.training.selection` chooses by, one value for each candidate. A group is one problem, `by_length` the texts of
    like length of one problem."""
    keys = [(key_of(c.scored.problem), half_doublings(c.scored.compression.rate_tokens) if by_length else None) for c in candidates]
    place = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return {
        "rewards": [math.nan if c.scored.reward is None else c.scored.reward for c in candidates],
        "groups": [place[key] for key in keys],
        "lengths": [c.scored.compression.rate_tokens for c in candidates],
        "gated": [c.scored.gated for c in candidates],
        "texts": [c.scored.compression.text for c in candidates],
    }


def choice_metrics(
    drawn: Sequence[Candidate], chosen: Mapping[str, Sequence[Candidate]], price: Price, candidates: int
) -> dict[str, float]:
    """The metrics of all samples, and of each chosen part under its name: `selected/mi/nats`, `selected/number`, ...

    `candidates` is the number of documents that a sample was scored among.
    """
    metrics = summarise([c.scored for c in rivals(drawn)], price, candidates)
    for name, part in chosen.items():
        values = summarise([c.scored for c in part], price, candidates)
        metrics |= {f"{name}/{metric}": value for metric, value in values.items()}
        metrics[f"{name}/number"] = float(len(part))
    return metrics
