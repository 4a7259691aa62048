"""Samples that depend on the seed, the step and the row of the global batch, and on nothing else.

A sampler that reads a process's random state draws other texts on two processes than on one, after a resume or beside a
validation. Here row r of step s has uniform numbers u_1, u_2, … of its own, and token t is the quantile of u_t under the
model: the first token whose cumulated probability exceeds u_t. So the same recipe takes the same way on any number of
processes, up to rounding.

Shape legend: B rows, T tokens at most, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from transformers import LogitsProcessor

from infoagent.training.faults import broken_policy

SAMPLING_STREAM = 5
"""Keeps these draws apart from other draws by the same seed."""


class RowDraws(LogitsProcessor):
    """Leaves of each row's scores the one of the token that its own draw picks, everything else at −inf: for greedy
    decoding, which then has no choice left. (Sampling after it would draw a number for every word of the vocabulary.)
    """

    def __init__(self, seed: int, step: int, rows: Iterable[int], prompt_width: int, max_tokens: int, temperature: float) -> None:
        draws = [np.random.default_rng([seed, SAMPLING_STREAM, step, row]).random(max_tokens) for row in rows]
        self.draws_BT = torch.from_numpy(np.stack(draws))
        self.prompt_width = prompt_width
        self.temperature = temperature

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.Tensor:
        """`input_ids`: the prompt and what was sampled so far; `scores` (B, V): logits before the temperature.

        Raises RunFailed where probabilities are not finite.
        """
        logits_BV = scores if self.temperature == 1 else scores / self.temperature
        cumulated_BV = logits_BV.softmax(dim=-1, dtype=torch.float32).cumsum(dim=-1, dtype=torch.float64)
        whole_B1 = cumulated_BV[:, -1:]
        if not whole_B1.isfinite().all():
            raise broken_policy()
        draw_B1 = self.draws_BT[:, input_ids.size(1) - self.prompt_width, None].to(scores.device)
        picked_B1 = torch.searchsorted(cumulated_BV, draw_B1 * whole_B1, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, picked_B1, scores.gather(1, picked_B1))
