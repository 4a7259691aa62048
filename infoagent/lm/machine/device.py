"""The device that models run on here: cuda, mps or cpu."""

from __future__ import annotations

import os


def default_device() -> str:
    """cuda, mps or cpu; cpu where `accelerate launch` was told so."""
    import torch

    if told_to_use_cpu():
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def told_to_use_cpu() -> bool:
    """Whether `accelerate launch` was told so."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1", "yes")


def settle_deepspeed() -> None:
    """Where DeepSpeed is installed other libraries import it to unwrap or save any model. Without a GPU it then prints,
    to stdout where results go, that it found none; told so beforehand it is silent."""
    if default_device() == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
