"""LLMLingua-2 (Pan et al., arXiv 2403.12968): a small encoder says of every word whether it stays.

Needs `pip install 'infoagent[llmlingua]'`. On first use the package downloads the encoder, and tiktoken the table of
the tokenizer that it counts with.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from infoagent.types import InputError

MODEL = "microsoft/llmlingua-2-bert-base-multilingual-cased-meetingbank"
ATTEMPTS = 4
MISSING = "llmlingua2: needs the package llmlingua ({error}); pip install 'infoagent[llmlingua]'"


def check_package() -> None:
    """Raises InputError where llmlingua cannot be imported."""
    try:
        import llmlingua  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(MISSING.format(error=error)) from error


def drop_words(document: str, tokens: int, count_tokens: Callable[[str], int], model_name: str = MODEL) -> str:
    """The words of `document` that LLMLingua-2 keeps when asked for `tokens` tokens. Never empty.

    LLMLingua-2 takes its target in tokens of its own tokenizer and meets it roughly. Where `count_tokens` of the text
    is above `tokens`, it is asked again for proportionally less, at most 4 times; the last text may still be above.
    Where it keeps nothing at all, its target is doubled until it keeps something.
    Raises InputError without the package, and where the model or the tokenizer's table cannot be loaded.
    """
    compressor = _load(model_name)

    def keep(target: int) -> str:
        with _own_randomness():
            return " ".join(compressor.compress_prompt(document, target_token=target)["compressed_prompt"].split())

    target, text = tokens, keep(tokens)
    for _ in range(ATTEMPTS - 1):
        count = count_tokens(text) if text else 0
        if count <= tokens or target == 1:
            break
        target = max(1, target * tokens // count)
        text = keep(target)
    # a target beyond the document's length keeps everything, so this ends
    while not text:
        target *= 2
        text = keep(target)
    return text


@lru_cache(maxsize=1)
def _load(model_name: str) -> Any:
    check_package()
    import torch
    from llmlingua import PromptCompressor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with _own_randomness():
            return PromptCompressor(
                model_name,
                device_map=device,
                use_llmlingua2=True,
                model_config={"trust_remote_code": False},  # its default would run code from the hub
            )
    except OSError as error:  # of the hub as of requests: not found, or no network
        line = str(error).strip().splitlines()[0]
        raise InputError(f"llmlingua2: {model_name!r} cannot be loaded ({line}); check the name and the network") from error


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Undo what llmlingua does to the process: it seeds every generator with 42 and makes cuDNN deterministic when it
    loads, and draws from torch's generator for every text."""
    import torch

    hash_seed, state, numpy_state = os.environ.get("PYTHONHASHSEED"), random.getstate(), np.random.get_state()  # noqa: NPY002
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = flags
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            if hash_seed is None:
                os.environ.pop("PYTHONHASHSEED", None)
            else:
                os.environ["PYTHONHASHSEED"] = hash_seed
