"""Sustained arithmetic rates of a machine, and the seconds that work takes at them.

Three kinds of work differ most in how fast a machine does them: reading (many tokens in one pass), writing (one token after
another, the weights read anew for each) and training (forward and backward of an adapter).
"""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.costs.flops import GenerationFlops

FORWARD_PASSES_OF_TRAINING = 3
"""Forward and backward of a step count as so many forward passes; a rate of training is measured in the same count."""


@dataclass
class Work:
    """Arithmetic by its kind, in GFLOP."""

    reading: float = 0.0
    writing: float = 0.0
    training: float = 0.0

    def generate(self, times: float, flops: GenerationFlops) -> None:
        """So many generations: each reads its prompt and writes."""
        self.reading += times * flops.prefill / 1e9
        self.writing += times * flops.decode / 1e9

    @property
    def gflop(self) -> float:
        return self.reading + self.writing + self.training

    def seconds(self, rates: Rates) -> float:
        """One kind after the other."""
        return self.reading / rates.reading + self.writing / rates.writing + self.training / rates.training


@dataclass(frozen=True)
class Rates:
    """GFLOP/s of each kind of work. `origin`: where they are from, in words."""

    reading: float
    writing: float
    training: float
    origin: str

    @classmethod
    def stated(cls, gflops_per_second: float) -> Rates:
        """One rate for all work, as a recipe states it."""
        return cls(gflops_per_second, gflops_per_second, gflops_per_second, "cost.gflops_per_second")

    @property
    def line(self) -> str:
        """`at 61 GFLOP/s reading, 20 writing, 48 training (measured on this machine)`."""
        if self.reading == self.writing == self.training:
            return f"at {self.reading:,.0f} GFLOP/s ({self.origin})"
        return f"at {self.reading:,.0f} GFLOP/s reading, {self.writing:,.0f} writing, {self.training:,.0f} training ({self.origin})"
