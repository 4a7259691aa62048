"""What can go wrong while a run is under way, in one line each."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

from infoagent.types import RunFailed

# safetensors and torch.save report a failed write as errors of their own, with the system's number in the text
_WRITE_FAILED = re.compile(r"os error (?:28|27|122)|No space left|File too large|Disk quota|PytorchStreamWriter failed")


@contextlib.contextmanager
def failed_writes() -> Iterator[None]:
    """A checkpoint that could not be written becomes RunFailed; it has no marker, so the one before it counts."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RunFailed) or not _WRITE_FAILED.search(str(error)):
            raise
        raise RunFailed(
            f"a checkpoint could not be written ({' '.join(str(error).split())[:160]}); the last complete one is "
            "untouched: free some space and run the same command again"
        ) from error


def check_finite(step: int, logs: dict[str, Any], setting: str = "grpo.learning_rate") -> None:
    """Raise RunFailed for a loss or gradient that is not finite, before the checkpoint of that step is written."""
    for name, said in (("loss", "the loss"), ("grad_norm", "the gradient's norm")):
        if name in logs and not math.isfinite(float(logs[name])):
            raise RunFailed(
                f"step {step}: {said} is {logs[name]}; lower {setting} or use model.dtype=float32, and run "
                "again: it goes on from the last complete checkpoint"
            )
