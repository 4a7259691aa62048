"""What a run that goes on needs to take the way of one that was never broken: the adapter that learns, and its problems' order.

A policy that begins as an adapter of an earlier run is given a frozen copy by TRL, an adapter of the name "ref", which stands in each
checkpoint in a folder of its own. Of such a checkpoint transformers reads the folders alone and leaves the adapter that learns as it
began. TRL's sampler draws one order after the other from a generator that no checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

LEARNS, REFERENCE = "default", "ref"
"""Adapters by the names that PEFT and TRL give them."""
_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object


class AdapterReadBack(_Trainer):
    """Mixed into a trainer of transformers whose model carries adapters."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if not self.is_fsdp_enabled:  # shards are read as shards, all adapters of them
            (self.model if model is None else model).load_adapter(resume_from_checkpoint, LEARNS, is_trainable=True)


class PassSampler(RepeatSampler):
    """TRL's sampler, with an order of each pass over the problems that the seed and the number of the pass alone decide."""

    def __init__(self, like: RepeatSampler, steps_done: Callable[[], int]) -> None:
        """`like` is TRL's own. A step takes `like.batch_size` problems, so `steps_done()` says which pass begins, or is gone on with."""
        super().__init__(like.data_source, like.mini_repeat_count, like.batch_size, like.repeat_count, like.shuffle, like.seed)
        self.steps_done = steps_done

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            passes = self.steps_done() // max(1, self.num_samples // self.batch_size)
            drawn = np.random.SeedSequence([self.seed, passes]).generate_state(1)
            self.generator.manual_seed(int(drawn[0]) if passes else self.seed)  # the first as TRL's own
        return super().__iter__()


class ResumedExactly(AdapterReadBack):
    """Mixed into TRL's GRPO and RLOO trainers. The reference of their divergence is the base, also where training starts from an
    adapter: what an earlier stage has done to the language is not forgiven."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._drop_reference()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self._drop_reference()  # of a checkpoint that holds one still

    def _drop_reference(self) -> None:
        if REFERENCE in getattr(self.model, "peft_config", ()):
            self.model.delete_adapter(REFERENCE)

    def _get_train_sampler(self, dataset: Any = None) -> PassSampler:
        return PassSampler(super()._get_train_sampler(dataset), lambda: self.state.global_step)
