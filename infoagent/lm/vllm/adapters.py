"""LoRA adapters as vLLM's engine takes them: by content, never by path.

The engine keeps an adapter under its name and number, and reads its files when it is first asked for, and again once
another has taken its place. Under a path's name it would go on with old weights after the path has new ones. So an
adapter is served as a copy, under a name and a number made from the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.lm.adapters import ADAPTER_SETTINGS, ADAPTER_WEIGHTS, not_usable, read_settings, tensors_of
from infoagent.types import InputError, RunFailed

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `vllm serve --max-lora-rank` takes (vllm/config/lora.py, 0.32)."""
NUMBERS = 2**31 - 1
"""vLLM's adapter numbers are positive and fit into 32 bits."""


@dataclass(frozen=True)
class Room:
    """What an engine is started with: the largest rank, and the names of the modules that an adapter may change.

    Only those are wrapped. An engine that wraps the output layer as well cannot give log-probabilities of a prompt:
    its kernel for that layer knows of sampled positions only.
    """

    rank: int
    modules: frozenset[str]

    @classmethod
    def for_adapters(cls, directories: Sequence[str | Path]) -> Room:
        """Raises InputError, a line each, for adapters that vLLM cannot serve."""
        mistakes, ranks, modules = [], [VLLM_RANKS[0]], set()
        for directory in directories:
            settings = read_settings(directory)
            tensors_of(directory)
            why_not = not_usable(settings) or servable(settings)
            if why_not is None:
                ranks.append(served_rank(settings))
                modules |= modules_of((Path(directory) / ADAPTER_WEIGHTS).read_bytes())
            else:
                mistakes.append(
                    f"adapter {str(directory)!r}: {why_not}; merge it (infoagent merge {directory} --out MERGED) and name "
                    "the merged model"
                )
        if mistakes:
            raise InputError(mistakes)
        return cls(max(ranks), frozenset(modules))

    def refuses(self, settings: Mapping[str, Any], modules: set[str]) -> str | None:
        """Why an adapter has no room, None where it has."""
        if (why_not := servable(settings)) is not None:
            return why_not
        if rank_of(settings) > self.rank:
            return f"its rank {rank_of(settings)} is above {self.rank}, for which the engine was started"
        if beyond := sorted(modules - self.modules):
            return f"it changes {', '.join(beyond)}, for which the engine was not started"
        return None


@dataclass(frozen=True)
class ServedAdapter:
    """A copy of an adapter: `name` is its content's hash, `number` comes from the same hash."""

    name: str
    number: int
    path: str


class ServedAdapters:
    """Copies of the adapters that were asked for, in a folder that ends with this object."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._folder = tempfile.TemporaryDirectory(prefix="infoagent-adapters-")
        self._by_name: dict[str, ServedAdapter] = {}

    def of(self, directory: str | Path) -> ServedAdapter:
        """The adapter that stands in `directory` now. Raises RunFailed for one that the engine has no room for."""
        weights, settings = ((Path(directory) / name).read_bytes() for name in (ADAPTER_WEIGHTS, ADAPTER_SETTINGS))
        digest = hashlib.sha256(weights + settings).hexdigest()
        name = "sha256-" + digest[:32]
        if name not in self._by_name:
            if (why_not := self.room.refuses(json.loads(settings), modules_of(weights))) is not None:
                raise RunFailed(f"adapter {str(directory)!r} has changed since the start: {why_not}; start again")
            copy = Path(self._folder.name) / name
            copy.mkdir()
            (copy / ADAPTER_WEIGHTS).write_bytes(weights)
            (copy / ADAPTER_SETTINGS).write_bytes(settings)
            self._by_name[name] = ServedAdapter(name, self._free_number(digest), str(copy))
        return self._by_name[name]

    def _free_number(self, digest: str) -> int:
        number = 1 + int(digest[:16], 16) % NUMBERS
        while number in {adapter.number for adapter in self._by_name.values()}:
            number = 1 + number % NUMBERS
        return number

    def close(self) -> None:
        self._folder.cleanup()


def servable(settings: Mapping[str, Any]) -> str | None:
    """None if vLLM takes a LoRA adapter with these settings, else the reason why not (vllm/lora/peft_helper.py)."""
    if settings.get("use_dora"):
        return "vLLM does not support DoRA"
    if settings.get("alora_invocation_tokens"):
        return "vLLM does not support adapters that act from the instruction on (lora.activated)"
    if settings.get("modules_to_save"):
        return f"vLLM does not support modules_to_save ({', '.join(settings['modules_to_save'])})"
    if settings.get("trainable_token_indices"):
        return "vLLM does not support single trained tokens (trainable_token_indices)"
    if settings.get("bias", "none") != "none" or settings.get("lora_bias"):
        return "vLLM does not support the biases of an adapter"
    for name in ("rank_pattern", "alpha_pattern"):
        if settings.get(name):
            return f"not every vLLM reads {name}, some scale all modules alike"
    if rank_of(settings) > VLLM_RANKS[-1]:
        return f"rank {rank_of(settings)} is above vLLM's largest, {VLLM_RANKS[-1]}"
    return None


def rank_of(settings: Mapping[str, Any]) -> int:
    """The largest rank of an adapter's modules."""
    return max(int(settings["r"]), *(settings.get("rank_pattern") or {"": 1}).values())


def served_rank(settings: Mapping[str, Any]) -> int:
    """The smallest of VLLM_RANKS with room for it."""
    return next(rank for rank in VLLM_RANKS if rank >= rank_of(settings))


def modules_of(weights: bytes) -> set[str]:
    """The last names of the modules that a safetensors file changes, from its header: {"q_proj", "down_proj", …}."""
    length = int.from_bytes(weights[:8], "little")
    names = (name.split(".lora_")[0] for name in json.loads(weights[8 : 8 + length]) if ".lora_" in name)
    return {name.rsplit(".", 1)[-1] for name in names}
