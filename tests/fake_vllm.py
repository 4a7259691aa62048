"""vLLM's offline engine as far as this package uses it, computed by a Hugging Face model in this process.

Its process is a real one that sleeps: when it is killed, whoever waits for its outputs waits for ever, as in vLLM.
"""

import multiprocessing
import queue
import sys
import time
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import torch
from transformers import AutoModelForCausalLM


@dataclass
class SamplingParams:
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    ignore_eos: bool = False
    stop_token_ids: list = field(default_factory=list)
    detokenize: bool = True
    prompt_logprobs: int | None = None
    prompt_logprob_token_ids: list | None = None
    prompt_logprob_start: int | None = None
    skip_reading_prefix_cache: bool | None = None
    structured_outputs: "StructuredOutputsParams | None" = None


@dataclass
class StructuredOutputsParams:
    json: dict | None = None


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


def install(monkeypatch):
    """`import vllm` finds this one."""
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request", "vllm.sampling_params")}
    modules["vllm"].SamplingParams = SamplingParams
    modules["vllm.lora.request"].LoRARequest = LoRARequest
    modules["vllm.sampling_params"].StructuredOutputsParams = StructuredOutputsParams
    modules["vllm"].__spec__ = SimpleNamespace(name="vllm")
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


class FakeLLM:
    """`deaths`: so many calls end with the death of the process, half way through; shared by its successors."""

    block = 16

    def __init__(self, deaths=None, suffixes=False, **options):
        self.options = options
        self.deaths = deaths if deaths is not None else []
        self.model = AutoModelForCausalLM.from_pretrained(options["model"], dtype=torch.float32).eval()
        self.adapters = {}
        self.calls = []
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
        process.start()
        core = SimpleNamespace(
            outputs_queue=queue.Queue(),
            resources=SimpleNamespace(engine_dead=False, engine_manager=SimpleNamespace(processes=[process])),
            shutdown=process.kill,
        )
        config = SimpleNamespace(use_v2_model_runner=suffixes)
        self.llm_engine = SimpleNamespace(engine_core=core, vllm_config=config)
        self.process = process

    def generate(self, requests, plans, use_tqdm, lora_request):
        assert not use_tqdm
        assert self.process.is_alive()
        self.calls.append((requests, plans, lora_request))
        if self.deaths and self.deaths.pop(0):
            self.process.kill()
            raise self.llm_engine.engine_core.outputs_queue.get(timeout=300)
        model = self._with(lora_request)
        plans = plans if isinstance(plans, list) else [plans] * len(requests)
        return [self._answer(model, r["prompt_token_ids"], p) for r, p in zip(requests, plans, strict=True)]

    def _with(self, lora):
        if lora is None:
            return self.model
        if lora.lora_int_id not in self.adapters:  # as vLLM: what the number held once is not read again
            from peft import PeftModel

            base = AutoModelForCausalLM.from_pretrained(self.options["model"], dtype=torch.float32).eval()
            self.adapters[lora.lora_int_id] = PeftModel.from_pretrained(base, lora.lora_path).eval()
        return self.adapters[lora.lora_int_id]

    @torch.no_grad()
    def _answer(self, model, ids, plan):
        values = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)
        output = SimpleNamespace(prompt_logprobs=None, prompt_token_id_logprobs=None)
        if plan.prompt_logprobs is not None:
            rows = [{t: SimpleNamespace(logprob=float(values[i, t]))} for i, t in enumerate(ids[1:])]
            output.prompt_logprobs = [None, *rows]
        if plan.prompt_logprob_token_ids is not None:
            start = plan.prompt_logprob_start
            assert len(plan.prompt_logprob_token_ids) == len(ids) - 1 - start
            if (start + 1) % self.block:  # else its first row stands in a cached block, and nothing is given
                rows = enumerate(plan.prompt_logprob_token_ids, start)
                output.prompt_token_id_logprobs = [[float(values[i, t]) for t in row] for i, row in rows]
        written = []
        while len(written) < plan.max_tokens and plan.prompt_logprobs is None and not plan.prompt_logprob_token_ids:
            assert plan.temperature < 0.01  # greedy, all but in name
            written.append(int(model(torch.tensor([ids + written])).logits[0, -1].argmax()))
            if written[-1] in plan.stop_token_ids:
                break
        output.outputs = [SimpleNamespace(token_ids=written)]
        return output
