"""What several processes of a launch tell each other about a step; one process alone is a launch of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def is_first_process() -> bool:
    return not _in_group() or dist.get_rank() == 0


def gathered(values: Sequence[T]) -> list[T]:
    """The values of all processes, in the order of their ranks; every process must call it."""
    if not _in_group():
        return list(values)
    parts: list[Sequence[T]] = [()] * dist.get_world_size()
    dist.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()
