"""Can vLLM write this run's completions, here? Answered before a model loads."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import httpx

from infoagent.lm.models import default_device
from infoagent.recipes import GRPORecipe
from infoagent.recipes.sections import VllmSection
from infoagent.types import InputError

ANSWER_SECONDS = 5.0
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
    if recipe.lora.dora:
        mistakes.append("vllm.enabled with lora.dora: vLLM gets base + LoRA, which is not what DoRA computes; drop one")
    if recipe.lora.quantize != "none":
        mistakes.append(
            f"vllm.enabled with lora.quantize = {recipe.lora.quantize!r}: to hand the policy over, its adapter is merged into "
            "the quantised base and taken out again, and the frozen base is no longer what it was; drop one"
        )
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
            with httpx.Client(base_url=section.server_base_url, timeout=ANSWER_SECONDS) as client:
                health = client.get("/health").status_code
                info = client.get("/server_info", params={"config_format": "json"})
            break
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                cause = " ".join(f"{type(error).__name__}: {error}".split())
                return f"{where}: no answer ({cause}); {START}, or set vllm.server_patience_seconds while it starts"
            time.sleep(PAUSE_SECONDS)
    if health != 200:
        return f"{where}: /health says {health}; {START}"
    if info.status_code != 200:
        return f"{where}: takes no weights (/server_info says {info.status_code}); {START}"
    return _settings_mistake(where, info.json()["vllm_config"])


def _settings_mistake(where: str, config: dict[str, Any]) -> str | None:
    if config["weight_transfer_config"] is None:
        return f"{where}: has no engine that takes weights; {START}"
    mode = config["model_config"]["logprobs_mode"]
    if mode != "processed_logprobs":
        return f"{where}: its log-probabilities ({mode}) are not those it samples from, which biases the correction; {START}"
    return None
