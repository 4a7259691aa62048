"""transformers' `from_pretrained` and `from_config`, by their one door: code that comes with a model never runs, whatever
standard input would answer, and weights are read from safetensors alone.

Where `trust_remote_code` is left open, transformers asks on standard input whether to run a model's own code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infoagent.types import InputError

PICKLED = "pytorch_model*.bin"


def read_tokenizer(name: str, path: str, revision: str | None = None, **more: Any) -> Any:
    """`name` is what the user calls the model. Raises InputError, in one line, where there is no tokenizer."""
    from transformers import AutoTokenizer

    with _in_one_line(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False, **more)


def read_config(name: str, path: str, revision: str | None = None) -> Any:
    """Raises InputError, in one line, where there is no configuration that transformers knows."""
    from transformers import AutoConfig

    with _in_one_line(name, "configuration"):
        return AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)


def read_weights(name: str, path: str, revision: str | None = None, **more: Any) -> Any:
    """The causal LM. Raises InputError, in one line, where there are no weights as safetensors (or as `gguf_file`)."""
    from transformers import AutoModelForCausalLM

    safe = None if "gguf_file" in more else True
    with _in_one_line(name, "weights"):
        return AutoModelForCausalLM.from_pretrained(path, revision=revision, trust_remote_code=False, use_safetensors=safe, **more)


def blank_model(name: str, config: Any, **more: Any) -> Any:
    """The causal LM of a configuration, its weights not read. Raises InputError where transformers knows none."""
    from transformers import AutoModelForCausalLM

    with _in_one_line(name, "model"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False, **more)


def check_readable(name: str, directory: Path) -> None:
    """Raise InputError, before anything loads, for a model directory that needs code of its own, or whose weights are no
    safetensors: a pickle is a program."""
    pickled = sorted(directory.glob(PICKLED))
    if pickled and not any(directory.glob("*.safetensors")):
        raise InputError(
            f"model {name!r}: its weights are pickled ({pickled[0].name}), and only safetensors are read; where you trust "
            "it, load it with transformers and save it anew (save_pretrained)"
        )
    if b'"auto_map"' in (directory / "config.json").read_bytes():  # many models name code that they do not need here
        read_config(name, str(directory))


@contextlib.contextmanager
def _in_one_line(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged file is met anywhere in transformers, and tokenizers raises Exception itself
        if getattr(error, "errno", None) is not None:  # of the system, a full disk say: no matter of the model
            raise
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise InputError(
                f"model {name!r}: needs code of its own, which is never run here; name a model that transformers knows by itself"
            ) from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"model {name!r}: no {what} could be loaded, it is damaged or of another kind: {first}") from error
