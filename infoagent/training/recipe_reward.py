"""The reward function that a recipe asks for."""

from __future__ import annotations

from infoagent.lm.prompts import Prompt
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.pricing.objectives import Objective
from infoagent.pricing.parts import Price
from infoagent.recipes.training import TrainingRecipe
from infoagent.reward.mi_reward import MIReward
from infoagent.training.preparation import Prepared


def build_reward(recipe: TrainingRecipe, prepared: Prepared, scorer: ColumnScorer | None = None) -> MIReward:
    """The reward of a recipe. The scorer may be set later, once a trainer has built its model."""
    section = recipe.reward
    any_rate = section.budget_range is not None
    return MIReward(
        problems=prepared.problems,
        negatives=prepared.negatives,
        tokenizer=prepared.tokenizer,
        price=Price(
            section.first_price,
            section.rate,
            section.truncated_penalty_nats,
            section.gate_nats,
            section.unsupported_nats,
            section.over_nats if any_rate else 0.0,
            section.under_nats if any_rate else 0.0,
            section.parts or {},
        ),
        prompt=Prompt.of(recipe.prompt, thinking=False),
        scorer=scorer,
        objective=Objective(section.objective, section.clip_nats, section.information_weight, section.answer_weight),
        critic_scale=section.critic_scale,
        max_failed_share=section.max_failed_share,
        watch_only=recipe.negatives.watch_only,
    )
