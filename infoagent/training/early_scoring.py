"""A served scorer works while the trainer does: it begins when the texts are sampled, not when the reward is asked for.

Between the two a trainer runs the frozen base over the texts for the KL: a fifth of the time of forward and backward, 5 %
of a step (embedded model, 16 completions, two cores), and so much of the scoring is hidden. To begin earlier, with the
first part of the texts while the rest is sampled, does not pay: sampling reads all weights for each token, whatever the
number of rows, so that two halves take nearly twice the time of the whole (on two cores 1.9 times for 8 + 8 rows against
16), and that is more than the half of the scoring that would be hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl import GRPOTrainer

from infoagent.reward.mi_reward import MIReward

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object  # RLOOTrainer has the same methods


class EarlyScoring(_Trainer):
    """Mixed into a TRL trainer whose rewards are `MIReward`. Values and their order stay as they are."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        self._sampled_rows = inputs
        return super()._generate_and_score_completions(inputs)

    def _generate(self, *arguments: Any, **more: Any) -> Any:
        output = super()._generate(*arguments, **more)
        columns = {name: [row[name] for row in self._sampled_rows] for name in self._sampled_rows[0]}
        for reward in self.reward_funcs:
            if isinstance(reward, MIReward):
                reward.begin(output[1], columns["problem_index"], columns.get("budget"))
        return output
