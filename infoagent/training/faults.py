"""What can go wrong while a run is under way, in one line each."""

from __future__ import annotations

import contextlib
import math
import pickle
import re
from collections.abc import Iterator
from typing import Any

from infoagent.types import InputError, RunFailed

# safetensors and torch.save report a failed write as errors of their own, with the system's number in the text
_WRITE_FAILED = re.compile(
    r"os error (?:28|27|122)|No space left|File too large|Disk quota|PytorchStreamWriter failed|unexpected pos|iostream error"
)
_READ_FAILED = re.compile(r"PytorchStreamReader failed|Error while deserializing")
# the sampler meets weights that are not finite before the loss does
_DIVERGED = re.compile(r"probability tensor contains either `?inf`?, `?nan`?|^the model returned NaN;")


def _calmer(setting: str) -> str:
    return f"lower {setting} or use model.dtype=float32, and run again: it goes on from the last complete checkpoint"


def broken_policy(setting: str = "grpo.learning_rate") -> RunFailed:
    """What a sampler raises that meets probabilities which are not finite."""
    return RunFailed(f"the policy's probabilities are not finite any more; {_calmer(setting)}")


@contextlib.contextmanager
def one_line_faults(setting: str = "grpo.learning_rate") -> Iterator[None]:
    """A checkpoint that could not be written, and a policy that broke, become RunFailed. What has no marker does not
    count, so the last complete checkpoint stays the one to go on from. A checkpoint to go on from whose states hold more
    than tensors and numbers (a pickle is a program, and this one was not run), or are damaged, becomes InputError."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, RuntimeError, FloatingPointError, pickle.UnpicklingError, EOFError) as error:
        if isinstance(error, RunFailed):
            raise
        if _DIVERGED.search(str(error)):
            raise broken_policy(setting) from error
        if isinstance(error, pickle.UnpicklingError | EOFError) or _READ_FAILED.search(str(error)):
            raise InputError(
                "the checkpoint to go on from: its weights or states (optimizer.pt, scheduler.pt, rng_state.pth) are damaged or hold more "
                "than tensors and numbers, and nothing of them was run; copy it anew, or name another output_dir"
            ) from error
        if not _WRITE_FAILED.search(str(error)):
            raise
        raise RunFailed(
            f"a checkpoint could not be written ({' '.join(str(error).split())[:160]}); the last complete one is "
            "untouched: free some space and run the same command again"
        ) from error


def check_finite(step: int, logs: dict[str, Any], setting: str = "grpo.learning_rate") -> None:
    """Raise RunFailed for a loss or gradient that is not finite, before the checkpoint of that step is written."""
    for name, said in (("loss", "the loss"), ("grad_norm", "the gradient's norm")):
        if name in logs and not math.isfinite(float(logs[name])):
            raise RunFailed(f"step {step}: {said} is {logs[name]}; {_calmer(setting)}")


def check_finite_weights(step: int, model: Any) -> None:
    """Raise RunFailed before a checkpoint is marked complete whose trained weights are not finite: a run that goes on
    from it could only fail again."""
    wrong = [name for name, weight in model.named_parameters() if weight.requires_grad and not weight.isfinite().all()]
    if wrong:
        raise RunFailed(
            f"step {step}: {len(wrong)} trained weights are not finite, {wrong[0]} first; {_calmer('the learning rate')}"
        )
