"""Meeting a mean length: dual ascent on the price.

To maximise E[MI] under E[rate] ≤ budget, the multiplier of the constraint is the price of a unit of rate. It rises
while texts are longer than the budget and falls while they are shorter:

    price ← clip(price + step · (mean rate / budget − 1), 0, max)

The mean is taken over all processes, so every process has the same price. During the warm-up it stays: the policy
first learns what to keep. Source: the dual of a constrained Markov decision process (Altman 1999, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.files import read_json, write_json
from infoagent.recipes.sections import RewardSection
from infoagent.reward.processes import gathered
from infoagent.types import InputError

STATE_FILE = "price.json"


@dataclass
class PriceControl:
    """The price in nats per unit of rate, and how it moves. Without a budget it never does."""

    price: float
    budget: float | None = None
    step: float = 0.01
    maximum: float = 0.5
    warmup_steps: int = 0
    updates: int = 0

    @classmethod
    def of(cls, reward: RewardSection) -> PriceControl:
        return cls(reward.first_price, reward.budget, reward.price_step, reward.price_max, reward.price_warmup_steps)

    def update(self, mean_rate: float) -> None:
        """One step of the dual, after a step whose compressions had this mean rate."""
        self.updates += 1
        if self.budget is None or self.updates <= self.warmup_steps:
            return
        moved = self.price + self.step * (mean_rate / self.budget - 1)
        self.price = min(max(moved, 0.0), self.maximum)

    def save(self, checkpoint: str | Path) -> None:
        """Into the checkpoint, before its marker: a resumed run goes on with the same price."""
        write_json(Path(checkpoint) / STATE_FILE, {"price": self.price, "updates": self.updates, "budget": self.budget})

    def restore(self, checkpoint: str | Path) -> None:
        """Raises InputError where a checkpoint of a run with a budget does not say its price."""
        file = Path(checkpoint) / STATE_FILE
        if not file.is_file():
            if self.budget is None:
                return  # a fixed price stands in the recipe
            raise InputError(f"{checkpoint}: holds no {STATE_FILE}, so the price of this run is lost; start a new output_dir")
        state: dict[str, Any] = read_json(file)
        self.price, self.updates = float(state["price"]), int(state["updates"])


def mean_over_processes(values: list[float]) -> float:
    """The mean of what all processes of a launch hold, so that all of them find the same."""
    everywhere = gathered(values)
    return sum(everywhere) / len(everywhere)
