"""Room for the next model."""

import gc
import weakref

from infoagent.lm.machine.allocator import free_memory


class Part:
    """A trainer or a model, as far as it holds the other."""


def test_what_holds_each_other_goes_at_once():
    gc.disable()
    try:
        trainer, model = Part(), Part()
        trainer.model, model.trainer = model, trainer
        alive = weakref.ref(model)
        del trainer, model
        assert alive() is not None
        free_memory()
        assert alive() is None
    finally:
        gc.enable()
