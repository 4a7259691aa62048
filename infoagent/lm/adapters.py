"""LoRA checkpoints on disk: their settings, their tensors, and the base model that they name. Imports no torch.

An adapter is the difference to one base model, and what PEFT writes says which one in the words of the machine where it
was trained: a hub id, a path, or nothing. A name that cannot hold here does not decide; that the tensors fit does
(`infoagent.lm.adapter_fit`).
"""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path
from typing import Any

from infoagent.files import read_json
from infoagent.lm.embedded import EMBEDDED
from infoagent.lm.gguf import is_gguf
from infoagent.types import InputError

logger = logging.getLogger(__name__)

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_SETTINGS = "adapter_config.json"
RECORD_FILE = "infoagent.json"
"""Written beside every adapter: which base it belongs to."""
PLAIN_STARTS = ("true", "false", "gaussian", "eva", "orthogonal", "mica")
"""Values of init_lora_weights that leave the base's weights alone."""
BUNDLED = Path(__file__).parent / "bundled_adapters"
"""A directory for each model that has one; package data."""
_HUB_CACHE = re.compile(r"models--([^/\\]+)--([^/\\]+)[/\\]snapshots[/\\]")

Shape = tuple[int, ...]


def is_adapter(directory: str | Path) -> bool:
    return (Path(directory) / ADAPTER_SETTINGS).is_file()


def bundled_adapter(model: str) -> str | None:
    """The adapter that comes with this package for a model, in bfloat16 with its card and record; None where there is none."""
    directory = BUNDLED / model
    return str(directory) if model in EMBEDDED and is_adapter(directory) else None


def read_settings(directory: str | Path) -> dict[str, Any]:
    """What PEFT wrote of an adapter. Raises InputError where that is no JSON object."""
    return read_json(Path(directory) / ADAPTER_SETTINGS, ANEW)


ANEW = "copy the checkpoint anew"


def read_record(directory: str | Path) -> dict[str, Any] | None:
    """What this package's training wrote of an adapter; None for one of others. Raises InputError for a damaged one."""
    file = Path(directory) / RECORD_FILE
    return read_json(file, ANEW) if file.is_file() else None


def tensors_of(directory: str | Path) -> dict[str, tuple[str, Shape]]:
    """(type, shape) of each tensor by its name, from the header of the weights. Raises InputError for a file that is
    missing, damaged or cut off."""
    file = Path(directory) / ADAPTER_WEIGHTS
    if not file.is_file():
        old = Path(directory) / "adapter_model.bin"
        hint = "save it as safetensors (PEFT's save_pretrained)" if old.is_file() else "give a complete checkpoint"
        raise InputError(f"adapter {str(directory)!r}: its weights {ADAPTER_WEIGHTS} are missing; {hint}")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stream:
            slices = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118 (it is no dict)
            return {name: (str(s.get_dtype()), tuple(s.get_shape())) for name, s in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:100]
        raise InputError(
            f"adapter {str(directory)!r}: its weights {ADAPTER_WEIGHTS} are damaged or cut off ({said}); copy the checkpoint anew"
        ) from error


def adapter_base(directory: str | Path) -> str | None:
    """The name of the base model that an adapter was trained on, where anything says it."""
    record = read_record(directory)
    found = read_settings(directory).get("base_model_name_or_path") if record is None else record.get("base_model")
    return str(found) if found else None


def base_here(adapter: str) -> str:
    """The base that an adapter names, for a user who names none. Raises InputError where it names none, or one that is
    a path of another machine."""
    check_checkpoint(adapter)
    found = adapter_base(adapter)
    if found is None:
        raise InputError(f"adapter {adapter!r}: does not say which model it was trained on; name that model with --model")
    cached = _hub_name(found)
    if is_path(found) and not is_local(found):
        if cached is not None:
            return cached
        raise InputError(
            f"adapter {adapter!r}: was trained on {found!r}, which is not on this machine; name that model with --model"
        )
    return found


def check_adapter(adapter: str, base: str) -> None:
    """Raise InputError unless `adapter` is a whole LoRA checkpoint, and not one of another model than `base`. Reads its
    settings and the header of its weights.

    Where the name of its base says nothing here (none, or a path of another machine), `base` is taken, with a warning.
    """
    check_checkpoint(adapter)
    trained_on = adapter_base(adapter)
    if trained_on is None or not _same(trained_on, base):
        if trained_on is not None and not _is_elsewhere(trained_on, base):
            raise InputError(f"adapter {adapter!r}: trained on {trained_on!r}, not on {base!r}; name the same base model")
        _warn(
            f"adapter {adapter!r}: "
            + ("does not say which model it was trained on" if trained_on is None else f"was trained on {trained_on!r}")
            + f"; that this is {base!r} could not be verified, only that its tensors fit"
        )
    tensors_of(adapter)
    if mistake := not_usable(read_settings(adapter)):
        raise InputError(f"adapter {adapter!r}: {mistake}")


def check_checkpoint(adapter: str) -> None:
    """Raise InputError unless `adapter` is a directory that PEFT saved an adapter to."""
    directory = Path(adapter)
    if not directory.is_dir():
        raise InputError(f"adapter {adapter!r}: no such directory; give a checkpoint directory, e.g. runs/x/checkpoint-100")
    if not is_adapter(directory):
        inside = sorted(str(d) for d in directory.glob("checkpoint-*") if is_adapter(d))
        hint = f"; did you mean {inside[-1]}?" if inside else ""
        raise InputError(f"adapter {adapter!r}: not a checkpoint, it holds no {ADAPTER_SETTINGS}{hint}")


def not_usable(settings: dict[str, Any]) -> str | None:
    """Why an adapter of these settings is not used; None where it is.

    Everything here keeps "adapter disabled = frozen base" true, since that is who scores.
    """
    kind = settings.get("peft_type")
    if kind != "LORA":
        return f"is of PEFT's type {kind!r}, only 'LORA' is used here; merge it with PEFT, and name the merged model"
    start = settings.get("init_lora_weights", True)
    if str(start).lower() not in PLAIN_STARTS:
        return (
            f"init_lora_weights {start!r} changes the base's own weights when it loads; convert it to plain LoRA "
            "(save_pretrained with path_initial_model_for_weight_conversion)"
        )
    for name in ("layer_replication", "megatron_config"):  # the last imports what it names
        if settings.get(name):
            return f"{name} is not supported; merge it with PEFT, and name the merged model"
    return None


def is_activated(directory: str | Path) -> bool:
    """Whether an adapter acts from the instruction of its prompt on (`infoagent.lm.activation`)."""
    return bool(read_settings(directory).get("alora_invocation_tokens"))


def needs_own_base(directory: str | Path) -> bool:
    """Whether an adapter swaps whole modules or single tokens, which PEFT cannot do for several adapters of one model."""
    settings = read_settings(directory)
    return bool(settings.get("modules_to_save") or settings.get("trainable_token_indices"))


@cache
def _warn(message: str) -> None:
    logger.warning(message)


def _same(trained_on: str, base: str) -> bool:
    if trained_on == base or (_hub_name(trained_on) or trained_on) == (_hub_name(base) or base):
        return True
    first, second = Path(trained_on).expanduser(), Path(base).expanduser()
    return is_local(trained_on) and is_local(base) and first.resolve() == second.resolve()


def _is_elsewhere(trained_on: str, base: str) -> bool:
    """Whether a name is one of another machine, so that `base` may be the same model: a path that is not here, or what a
    local directory calls like its last part."""
    if is_local(trained_on):
        return False
    if is_path(trained_on):
        # the cache of a hub names the model: another one is another model
        return _hub_name(trained_on) is None or is_local(base)
    last = trained_on.rsplit("/", 1)[-1].lower()
    return Path(base).expanduser().is_dir() and Path(base).expanduser().resolve().name.lower() == last


def is_local(name: str) -> bool:
    """Whether a model of this name is on this machine, as a directory or a GGUF file."""
    path = Path(name).expanduser()
    return path.is_dir() or (is_gguf(name) and path.is_file())


def is_path(name: str) -> bool:
    """Whether a model's name can be no hub id: those are `owner/name`, or `name` alone."""
    return is_gguf(name) or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or name.endswith("/")


def _hub_name(name: str) -> str | None:
    """owner/name where `name` is a path into the cache of the hub, on whatever machine."""
    found = _HUB_CACHE.search(name + "/")
    return None if found is None else f"{found[1]}/{found[2]}"
