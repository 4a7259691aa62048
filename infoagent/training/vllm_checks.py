"""Can vLLM write this run's completions, here? Answered before a model loads."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import httpx

from infoagent.lm.adapters import is_activated, read_settings
from infoagent.lm.foreign_http import exchange, mishap, one_line, open_client
from infoagent.lm.machine.device import default_device
from infoagent.recipes import GRPORecipe
from infoagent.recipes.sections import VllmSection
from infoagent.types import InputError

ANSWER = httpx.Timeout(5.0)
PAUSE_SECONDS = 2.0
START = "start one: trl vllm-serve --model MODEL"
"""Vllm's own server, with the settings that a trainer needs (weight transfer, development endpoints, scaled values)."""


def check_vllm(recipe: GRPORecipe, processes: int) -> None:
    """Raise InputError, a line for each reason why not; nothing where vLLM is not asked for."""
    section, mistakes = recipe.vllm, []
    if not section.enabled:
        return
    if importlib.util.find_spec("vllm") is None:
        mistakes.append("vllm.enabled: vLLM is not installed; run: pip install 'infoagent[vllm]'")
    if default_device() != "cuda":
        mistakes.append(
            "vllm.enabled: needs a CUDA device (vLLM's CPU build packs its weights and takes no new ones after a step, and "
            "a server gets them over NCCL); set it to false, and transformers samples"
        )
    if recipe.lora.dora or (recipe.init_adapter and read_settings(recipe.init_adapter).get("use_dora")):
        mistakes.append("vllm.enabled with lora.dora: vLLM gets base + LoRA, which is not what DoRA computes; drop one")
    if recipe.lora.activated or (recipe.init_adapter and is_activated(recipe.init_adapter)):
        mistakes.append("vllm.enabled with lora.activated: vLLM has no adapter that acts from the instruction on; drop one")
    if section.mode == "colocate" and processes % section.tensor_parallel_size:
        mistakes.append(
            f"vllm.tensor_parallel_size = {section.tensor_parallel_size}: must divide the number of processes, {processes}"
        )
    if section.mode == "server" and (mistake := server_mistake(section)) is not None:
        mistakes.append(mistake)
    if mistakes:
        raise InputError(mistakes)


def server_mistake(section: VllmSection) -> str | None:
    """What is wrong with the server at `server_base_url`; None for one that a trainer can use."""
    where = f"vllm.server_base_url = {section.server_base_url!r}"
    deadline = time.monotonic() + section.server_patience_seconds
    while True:
        try:
            with open_client(httpx.Client, section.server_base_url, base_url=section.server_base_url) as client:
                health, _ = exchange(client, "GET", "/health", ANSWER)
                status, info = exchange(client, "GET", "/server_info?config_format=json", ANSWER)
            break
        except InputError as error:
            return f"{where}: {error}"
        except Exception as error:  # whatever it is, it is no answer
            if time.monotonic() > deadline:
                cause = mishap(error, None).error
                return f"{where}: no answer ({cause}); {START}, or set vllm.server_patience_seconds while it starts"
            time.sleep(PAUSE_SECONDS)
    if health != 200:
        return f"{where}: /health says {health}; {START}"
    if status != 200:
        return f"{where}: takes no weights (/server_info says {status}); {START}"
    return _settings_mistake(where, info)


def _settings_mistake(where: str, info: Any) -> str | None:
    config = info.get("vllm_config") if isinstance(info, dict) else None
    of_model = config.get("model_config") if isinstance(config, dict) else None
    if not isinstance(config, dict) or not isinstance(of_model, dict):
        return f"{where}: its /server_info is none of vLLM's; {START}"
    if config.get("weight_transfer_config") is None:
        return f"{where}: has no engine that takes weights; {START}"
    mode = of_model.get("logprobs_mode")
    mode = one_line(mode, None) if isinstance(mode, str) else "unknown"
    if mode != "processed_logprobs":
        return f"{where}: its log-probabilities ({mode}) are not those it samples from, which biases the correction; {START}"
    return None
