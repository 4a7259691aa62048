"""Where the time of a training step goes: sampling, scoring, the reference, forward and backward.

The clock stands around the trainer's own methods, so that it tells of any engine. A phase ends where its results are
read, which is when a GPU has done its part too. The same names stand in a profile of torch (`profile_steps`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.profiler import record_function
from trl import GRPOTrainer

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object  # RLOOTrainer has the same methods

PHASES = ("generation", "scoring", "reference", "update")
"""`reference`: what follows sampling and scoring before the first forward pass, the frozen base's log-probabilities
for the KL above all. `update`: forward and backward."""


class TimedPhases(_Trainer):
    """Mixed into a TRL trainer: `time/<phase>_seconds` of every step among its metrics. They sum to `step_time`."""

    def training_step(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("update"):
            output = super().training_step(*arguments, **more)
        if self._step % self.current_gradient_accumulation_steps == 0:
            for phase, seconds in self._phase_seconds.items():
                self._metrics["train"][f"time/{phase}_seconds"].append(seconds)
                self._phase_seconds[phase] = 0.0
        return output

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Adds the time inside to a phase, less what phases within it have taken."""
        spent = self.__dict__.setdefault("_phase_seconds", dict.fromkeys(PHASES, 0.0))
        before = sum(spent.values())
        start = time.perf_counter()
        with record_function(name):
            yield
        spent[name] += time.perf_counter() - start - (sum(spent.values()) - before)

    def _generate(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("generation"):
            return super()._generate(*arguments, **more)

    def _calculate_rewards(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("scoring"):
            return super()._calculate_rewards(*arguments, **more)

    def _generate_and_score_completions(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("reference"):
            return super()._generate_and_score_completions(*arguments, **more)
