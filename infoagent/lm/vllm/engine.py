"""vLLM's offline engine: started, asked, started again if it dies, stopped. One engine serves a base and its adapters.

The engine's work is done by processes of their own. Killed from outside (by the kernel, where memory has run out),
they leave vLLM's synchronous client waiting for ever; so their end is watched here, and told to the client. Then a new
engine is started and the same call is made again: its answers had not been handed to anyone, so none is lost and none
is there twice. If that engine dies too, the run fails.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

from infoagent.lm.machine.device import default_device
from infoagent.lm.machine.dtype import say_notes
from infoagent.lm.models import context_tokens
from infoagent.lm.reference import ModelReference, load_config
from infoagent.lm.vllm.adapters import Room, ServedAdapters
from infoagent.types import InputError, RunFailed

logger = logging.getLogger(__name__)

FITTING = -1
"""vLLM's word for the longest context that its memory has room for."""
ADAPTERS_AT_ONCE = 4
"""Adapters in the engine's memory; it reads others from their copies when they are asked for."""


class VllmEngine:
    """A base model with its adapters in vLLM. Needs the extra `infoagent[vllm]`.

    `adapters`: all directories that will be asked for; what they hold may change. `max_model_length`: tokens of a prompt
    and its reply; None: what the model holds, or less where memory is short. `options` go to vLLM's LLM.
    Raises InputError where vLLM is missing or cannot serve an adapter, RunFailed where the engine does not start.
    """

    def __init__(
        self,
        reference: ModelReference,
        dtype: str,
        adapters: Sequence[str] = (),
        max_model_length: int | None = None,
        start: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        if start is None:
            check_installed()
        self.name = reference.name
        self._adapters = None
        self.options: dict[str, Any] = {"model": reference.path, "dtype": dtype, **options}
        if default_device() == "cpu":
            self.options |= _on_the_cpu(max_model_length or context_tokens(load_config(reference)))
        else:
            self.options["max_model_len"] = max_model_length or FITTING
        if adapters:
            room = Room.for_adapters(adapters)
            self._adapters = ServedAdapters(room)
            self.options |= {
                "enable_lora": True,
                "max_lora_rank": room.rank,
                "max_loras": min(len(set(adapters)), ADAPTERS_AT_ONCE),
                "lora_target_modules": sorted(room.modules),
            }
        self._start = start or start_llm
        self._llm: Any = None
        self._died = threading.Event()
        self._restart()

    def ask(self, prompts: Sequence[Sequence[int]], plans: Any, adapter: str | None = None) -> list[Any]:
        """vLLM's outputs for prompts of token ids, in order, with `plans`: SamplingParams for all, or for each.

        Raises RunFailed where the engine dies, and the one that is started in its place dies of the same work.
        """
        requests = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        cause: Exception | None = None
        for _ in range(2):
            if self._is_dead():
                self._restart()
            try:
                found = self._llm.generate(requests, plans, use_tqdm=False, lora_request=self._lora(adapter))
            except Exception as error:  # what it raises when it dies depends on the moment; all else goes on its way
                if not self._is_dead():
                    raise
                cause = error
                continue
            return list(found)
        raise RunFailed(
            f"vLLM's engine for {self.name} died twice on the same {len(prompts)} prompts ({_first_line(cause)}); its last "
            "words stand above; less memory is taken by a smaller vllm.max_model_length, batch_size or vllm.gpu_memory_utilization"
        )

    @property
    def scores_suffixes(self) -> bool:
        """Whether it gives the log-probabilities of chosen tokens behind a prefix alone, and reads the prefix from its
        cache: vLLM ≥ 0.31 with the V2 runner, which runs on GPUs."""
        from vllm import SamplingParams

        known = "prompt_logprob_token_ids" in getattr(SamplingParams, "__annotations__", {})
        return known and bool(getattr(self._llm.llm_engine.vllm_config, "use_v2_model_runner", False))

    def processes(self) -> list[Any]:
        """The engine's own processes; none where vLLM was told to run inside this one."""
        manager = getattr(getattr(self._llm.llm_engine.engine_core, "resources", None), "engine_manager", None)
        return list(getattr(manager, "processes", []))

    def close(self) -> None:
        """End the engine's processes, which poll and hold memory until then. Idempotent."""
        self._stop()
        if self._adapters is not None:
            self._adapters.close()

    def _stop(self) -> None:
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            for process in self.processes():
                process.join(timeout=30)  # the next engine needs the memory of this one
            self._llm = None

    def _restart(self) -> None:
        if self._llm is not None:
            logger.warning("vLLM's engine for %s has died; it is started again", self.name)
        self._stop()
        begun = time.perf_counter()
        self._llm = self._start(**self.options)
        self._died = threading.Event()
        if processes := self.processes():
            watched = [p.sentinel for p in processes], self._died, self._llm.llm_engine.engine_core.outputs_queue
            threading.Thread(target=_tell_of_death, args=watched, daemon=True).start()
        logger.info("vLLM's engine for %s is up after %.0f s", self.name, time.perf_counter() - begun)

    def _is_dead(self) -> bool:
        if self._llm is None or self._died.is_set():
            return True
        resources = getattr(self._llm.llm_engine.engine_core, "resources", None)
        return bool(getattr(resources, "engine_dead", False)) or not all(p.is_alive() for p in self.processes())

    def _lora(self, adapter: str | None) -> Any:
        if adapter is None:
            return None
        assert self._adapters is not None, f"{adapter} was not named when the engine was made"
        served = self._adapters.of(adapter)
        from vllm.lora.request import LoRARequest

        return LoRARequest(served.name, served.number, served.path)


def check_installed() -> None:
    """Raise InputError where there is no vLLM. Does not import it, which takes seconds."""
    if importlib.util.find_spec("vllm") is None:
        raise InputError("vLLM is not installed; run: pip install 'infoagent[vllm]' (Linux with a CUDA device)")


def check_served(adapter: str | None) -> None:
    """Raise InputError where an engine could not be used here, or could not serve the adapter. Starts nothing."""
    check_installed()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "vLLM under a launcher: every process would start an engine on the same device; run one process with "
            "vllm.tensor_parallel_size, or --shard 1/N with a CUDA_VISIBLE_DEVICES for each"
        )
    if adapter is not None:
        Room.for_adapters([adapter])


def start_llm(**options: Any) -> Any:
    """vLLM's LLM, with its words on stderr, where they do not mix with results."""
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # it would send them to its makers
    try:
        from vllm import LLM
    except ImportError as error:
        raise InputError(f"vLLM cannot be imported ({_first_line(error)}); infoagent doctor --imports says more") from error
    try:
        # a model's own generation_config may bend its distribution; the scorer knows the plain one
        say_notes()
        return LLM(
            enable_prefix_caching=True,
            max_logprobs=1,
            generation_config="vllm",
            trust_remote_code=False,
            # the grammars of infoagent.lm.constrained; white space would be drawn without an end
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            **options,
        )
    except (RuntimeError, ValueError) as error:
        raise RunFailed(
            f"vLLM's engine for {options['model']} did not start ({_first_line(error)}); its own words stand above; where "
            "memory was short, set vllm.gpu_memory_utilization (of all engines together below 1) or vllm.max_model_length"
        ) from error


def _on_the_cpu(max_model_length: int) -> dict[str, Any]:
    """Compiling takes longer than it saves there; and a prompt that is read in parts breaks draws that have a seed."""
    whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_model_length, 4096)}
    return {"max_model_len": max_model_length, "enforce_eager": True, **whole}


def _tell_of_death(sentinels: Sequence[int], died: threading.Event, outputs: Any) -> None:
    """Waits for the end of a process, says so, and wakes whoever waits for its outputs."""
    wait(sentinels)
    died.set()
    outputs.put_nowait(RuntimeError("its process ended"))


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
