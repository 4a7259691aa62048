"""The recipe of train/dpo.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import Name, PositiveFloat, PositiveInt
from infoagent.recipes.sft import FitSection, SamplingSection, check_fixed_price
from infoagent.recipes.training import TrainingRecipe


class PairsSection(Section):
    """Which samples stand against each other."""

    margin_nats: PositiveFloat = 0.3
    """Least difference of reward between the chosen and the rejected one."""
    per_problem: PositiveInt = 2
    """At most so many pairs of each problem."""
    strategy: Literal["best_worst", "all"] = "best_worst"
    """`best_worst`: the best with the worst, the second best with the second worst, and so on. `all`: the pairs with
    the widest margins."""

    @property
    def rule(self) -> dict[str, Any]:
        """The arguments of `infoagent.training.selection.pairs_by_margin`."""
        return {"margin_nats": self.margin_nats, "per_problem": self.per_problem, "all_pairs": self.strategy == "all"}


class DPOSection(FitSection):
    """Direct preference optimisation against the model that training starts from."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 8
    """Pairs in one optimizer step."""
    learning_rate: PositiveFloat = 5e-5
    beta: PositiveFloat = 0.1
    """Nats of preference for each nat that the policy leaves the reference: higher stays closer."""
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "apo_zero", "apo_down"] = "sigmoid"
    """As TRL names them; sigmoid is DPO itself, sigmoid_norm its length-normalised form."""
    label_smoothing: float = 0.0
    """For `robust`: the chance that a pair stands the wrong way round, below 0.5."""

    @model_validator(mode="after")
    def _smoothing(self) -> DPOSection:
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing {self.label_smoothing}: must be at least 0 and below 0.5")
        if self.label_smoothing and self.loss_type != "robust":
            raise ValueError(f"label_smoothing {self.label_smoothing}: has a meaning for loss_type robust only")
        return self


class DPORecipe(TrainingRecipe):
    """train/dpo.py: a compressor that learns from pairs of its samples, ranked by the reward of all trainers."""

    candidates: list[Name] = Field(default=[])
    """Output directories of train/sft.py or train/dpo.py whose scored samples are used; none: draw own samples."""
    sampling: SamplingSection = SamplingSection()
    """For own samples."""
    pairs: PairsSection = PairsSection()
    dpo: DPOSection = DPOSection()

    @property
    def samples_read(self) -> list[str]:
        return self.candidates

    @model_validator(mode="after")
    def _fixed_price(self) -> DPORecipe:
        check_fixed_price(self, "train/dpo.py", "budget", "budget_range")
        self.reward.check_length(self.sampling.max_completion_tokens)
        return self
