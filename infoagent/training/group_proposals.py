"""A proposal in a GRPO group: a text that the policy did not write stands beside those that it wrote.

A group teaches nothing where no sample holds the fact: all rewards are alike. The best text that an earlier run knows for the
problem (a teacher's choice, another policy's sample) then takes the place of the group's last sample:

    b     = mean reward of the group's own samples
    A(z)  = r(z) − b              a sample of the policy: the policy gradient, as it would be without the proposal
    A(z*) = max(0, r(z*) − b)     the proposal: imitation, weighted by its lead over the policy

The proposal is left out of the baseline, so the samples' gradient stays an unbiased estimate of that of the expected reward. Its own
term is none of the policy's gradient (z* was not drawn from it) but imitation of a better text, and it ends by itself: where the
policy has caught up, the lead is 0. A worse proposal is not pushed down: nothing is known of what the policy would write instead.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import torch
from trl import GRPOTrainer

from infoagent.lm.prompts import end_of_turn_id
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.proposals.sources import YARDSTICK
from infoagent.recipes import GRPORecipe
from infoagent.reward.metrics import ScoredCompression
from infoagent.training.candidates import Key, key_of, read_candidates
from infoagent.training.launch import batch_shape, process_count
from infoagent.training.preparation import Prepared
from infoagent.training.recipe_reward import build_reward
from infoagent.types import InputError

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object

logger = logging.getLogger(__name__)

PROPOSAL = "proposal"
"""Of a row of the data set: token ids of a text that may stand in its group, with the end of turn; empty for none."""
COLUMN = "proposed"
"""Of a row of the batch: whether its completion is a proposal."""


class GroupProposals(_Trainer):
    """Mixed into a TRL trainer whose groups lie whole in one process. Rows without proposals change nothing."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        self._group_rows = inputs
        if PROPOSAL not in inputs[0]:
            return super()._generate_and_score_completions(inputs)
        for place, row in enumerate(inputs):
            is_last = place % self.num_generations == self.num_generations - 1
            row[COLUMN] = is_last and len(row[PROPOSAL]) > 0
        output = super()._generate_and_score_completions(inputs)
        first = self.accelerator.process_index * len(inputs)
        rewards_B = self._rewards_B[first : first + len(inputs)]
        proposed_B = torch.tensor([row[COLUMN] for row in inputs], device=rewards_B.device)
        lead_B = leads(rewards_B, proposed_B, self.num_generations)
        output["advantages"] = advantages(lead_B, proposed_B)
        everywhere = self.accelerator.gather(lead_B.masked_fill(~proposed_B, torch.nan)).nanmean().item()
        if not math.isnan(everywhere):  # NaN: no group of this step has one
            self._metrics["train"]["proposals/lead_nats"].append(everywhere)
        return output

    def _generate_single_turn(self, prompt_ids: list[list[int]], *more: Any) -> Any:
        generated = super()._generate_single_turn(prompt_ids, *more)
        if PROPOSAL not in self._group_rows[0]:
            return generated
        completions, engine_log_probs = generated
        for place, row in enumerate(self._group_rows):
            if row[COLUMN]:
                completions[place] = list(row[PROPOSAL])
        return completions, engine_log_probs

    def _calculate_rewards(self, *arguments: Any, **more: Any) -> Any:
        rewards = super()._calculate_rewards(*arguments, **more)
        self._rewards_B = rewards[:, 0]  # of all processes
        return rewards


def leads(rewards_B: torch.Tensor, proposed_B: torch.Tensor, group: int) -> torch.Tensor:
    """(B,) r − b in nats. A reward that is NaN, since it could not be computed, is in no baseline, and its lead is NaN; so is that of
    every row of a group without an own reward."""
    own_B = rewards_B.masked_fill(proposed_B, torch.nan)
    baseline_B = own_B.view(-1, group).nanmean(dim=1).repeat_interleave(group)
    return rewards_B - baseline_B


def advantages(lead_B: torch.Tensor, proposed_B: torch.Tensor) -> torch.Tensor:
    """(B,) A in nats. A lead that is not known moves nothing: TRL drops such rows in the same way."""
    known_B = torch.nan_to_num(lead_B, nan=0.0)
    return torch.where(proposed_B, known_B.clamp(min=0.0), known_B)


def group_proposals(recipe: GRPORecipe, prepared: Prepared) -> dict[int, list[int]]:
    """For each problem on which the directories of `grpo.proposals` hold a text, the one that earns most at the first price: token
    ids with the end of turn, by the problem's index. Whichever model wrote it, the ids are the policy's.

    What a step pays for it is scored in the step. Raises InputError, a line for each directory that holds nothing here.
    """
    grpo = recipe.grpo
    if not grpo.proposals:
        return {}
    micro_batch, accumulation = batch_shape(recipe, process_count())
    if micro_batch * accumulation % grpo.num_generations:
        raise InputError(
            f"grpo.proposals: a group of {grpo.num_generations} is divided over processes, of which each has {micro_batch * accumulation} "
            "completions of a step; raise grpo.prompts_per_step, or start fewer processes"
        )
    price = build_reward(recipe, prepared).price
    known = [
        candidate.scored
        for candidate in read_candidates(grpo.proposals, None, prepared.problems, price, "grpo.proposals", prepared)
        if candidate.origin != YARDSTICK and candidate.scored.reward is not None and not candidate.scored.gated
    ]
    fitting = [s for s in known if s.compression.rate_tokens < grpo.max_completion_tokens]  # its end of turn needs a place
    best: dict[Key, ScoredCompression] = {}
    for scored in sorted(fitting, key=lambda s: s.reward or 0.0):
        best[key_of(scored.problem)] = scored
    if len(fitting) < len(known):
        logger.warning("grpo.proposals: %d texts are longer than grpo.max_completion_tokens allows", len(known) - len(fitting))
    if len(best) < len(prepared.problems):
        logger.warning("grpo.proposals: no text for %d of %d problems", len(prepared.problems) - len(best), len(prepared.problems))
    end = end_of_turn_id(prepared.tokenizer)
    texts = {key: s.compression for key, s in best.items()}
    keys = {index: key_of(problem) for index, problem in enumerate(prepared.problems)}
    return {index: list(continuation_ids(texts[key], end)) for index, key in keys.items() if key in texts}
