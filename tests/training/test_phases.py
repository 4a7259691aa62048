"""The clocks of a step on a trainer that sleeps known times, and the profile of a real operator."""

import gzip
import json
from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from virtual_time import Clock

from infoagent.phases import PhaseTimes
from infoagent.training import phases
from infoagent.training.phases import PHASES, TimedPhases
from infoagent.training.profiling import TABLE, TRACE, WARM_UP_STEPS, ProfileCallback


class Sleeper:
    """The methods of a TRL trainer, one inside the other as there."""

    current_gradient_accumulation_steps = 2

    def __init__(self):
        self._metrics = {"train": defaultdict(list)}
        self._step, self.clock = 0, Clock()

    def training_step(self):
        if self._step % 2 == 0:
            self._generate_and_score_completions()
        self.clock.sleep(0.02)
        self._step += 1
        return "loss"

    def _generate_and_score_completions(self):
        self._generate()
        self._calculate_rewards()
        self.clock.sleep(0.01)

    def _generate(self):
        self.clock.sleep(0.08)

    def _calculate_rewards(self):
        self.clock.sleep(0.04)


class Timed(TimedPhases, Sleeper):
    pass


def test_phases_sum_to_the_step_and_each_has_its_own(monkeypatch):
    trainer = Timed()
    monkeypatch.setattr(phases, "PhaseTimes", partial(PhaseTimes, trainer.clock.perf_counter))
    start = trainer.clock.perf_counter()
    assert [trainer.training_step() for _ in range(4)] == ["loss"] * 4
    whole = trainer.clock.perf_counter() - start
    found = {phase: trainer._metrics["train"][f"time/{phase}_seconds"] for phase in PHASES}
    assert all(len(values) == 2 for values in found.values())  # once for each optimizer step
    for phase, seconds in zip(PHASES, (0.08, 0.04, 0.01, 0.04), strict=True):
        assert found[phase] == pytest.approx([seconds] * 2)
    assert sum(map(sum, found.values())) == pytest.approx(whole)


def test_the_profile_has_the_operators_of_the_wanted_steps_only(tmp_path):
    callback, arguments = ProfileCallback(str(tmp_path), 1), SimpleNamespace(use_cpu=True)
    matrix = torch.randn(8, 8)
    for step in range(WARM_UP_STEPS + 3):
        callback.on_step_begin(arguments, None, None)
        for _ in range(step + 1):
            torch.linalg.inv(matrix)
        callback.on_step_end(arguments, None, None)
    callback.on_train_end(arguments, None, None)
    [row] = [line.split() for line in (tmp_path / TABLE).read_text().splitlines() if "linalg_inv " in line + " "][:1]
    assert int(row[-1]) == WARM_UP_STEPS + 1  # the third step inverts three times
    trace = json.loads(gzip.decompress((tmp_path / TRACE).read_bytes()))
    assert trace["traceEvents"]
