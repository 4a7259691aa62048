"""Where the time of a training step goes: sampling, scoring, the reference, forward and backward.

The clock stands around the trainer's own methods, so that it tells of any engine. A phase ends where its results are
read, which is when a GPU has done its part too. The same names stand in a profile of torch (`profile_steps`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.profiler import record_function
from trl import GRPOTrainer

from infoagent.phases import PhaseTimes

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object  # RLOOTrainer has the same methods

PHASES = ("generation", "scoring", "reference", "update")
"""`reference`: what follows sampling and scoring before the first forward pass, the frozen base's log-probabilities
for the KL above all. `update`: forward and backward."""


class TimedPhases(_Trainer):
    """Mixed into a TRL trainer: `time/<phase>_seconds` of every step among its metrics. They sum to `step_time`."""

    _times: PhaseTimes | None = None

    def training_step(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("update"):
            output = super().training_step(*arguments, **more)
        if self._times is not None and self._step % self.current_gradient_accumulation_steps == 0:
            seconds, self._times = self._times.seconds(), None
            for phase in PHASES:
                self._metrics["train"][f"time/{phase}_seconds"].append(seconds.get(phase, 0.0))
        return output

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._times = self._times or PhaseTimes()
        with self._times(name), record_function(name):
            yield

    def _generate(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("generation"):
            return super()._generate(*arguments, **more)

    def _calculate_rewards(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("scoring"):
            return super()._calculate_rewards(*arguments, **more)

    def _generate_and_score_completions(self, *arguments: Any, **more: Any) -> Any:
        with self._phase("reference"):
            return super()._generate_and_score_completions(*arguments, **more)
