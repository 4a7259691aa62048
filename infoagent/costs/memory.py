"""Memory of one process in training, term by term: what is alive together where most of it is.

Shape legend: U prompts in a pass, G completions of a prompt in it, P prompt tokens, T tokens of a completion,
S = P − 1 + G · T columns of a packed row (infoagent/training/shared_prefix.py), V vocabulary, H hidden size,
W = heads · head size, I width of the MLP, r rank of the adapter, b bytes of a number.

A GRPO step has three phases that do not overlap, so the peak is what is held throughout and the largest phase. What the
backward pass needs was counted with autograd's own hooks and with torch's record of allocations; tests repeat that, and
eval/bench/training_memory.py holds the sum against the peaks of whole runs. Sharding and offload follow the sources of
DeepSpeed 0.19, accelerate 1.15 and TRL 1.16 and are not measured. A mixture of experts is estimated by the experts that
a token passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from infoagent.costs.architecture import Architecture

BYTES = {"float32": 4, "bfloat16": 2}
GIB, MIB = 2**30, 2**20

Device = Literal["cpu", "cuda"]
Sampler = Literal["own", "colocate", "server"]
ScorerPlace = Literal["base", "served"]
Terms = dict[str, float]

LORA_MODULES = 7
NF4_BYTES = 0.516
"""Half a byte a weight, and for 64 of them a constant of 8 bits, quantised in turn."""
WHOLE_LOGITS_BYTES = 512 * MIB
TILE_ROWS, TILE_WORDS = 4096, 32_768
"""Of TRL's tiled head; its buffer is a whole tile whatever the vocabulary."""
FRAMEWORK_BYTES = {"cpu": 0.55 * GIB, "cuda": 1.0 * GIB}
"""CPU: imports of the training script, measured. CUDA: context and kernels of one process, a rule of thumb."""
COLLECTIVES_BYTES = 0.5 * GIB
"""NCCL's buffers, where there are several processes; a rule of thumb."""
BUCKET_ELEMENTS = 500_000_000
"""DeepSpeed's reduce bucket, which it allocates whole however small the adapter is."""
LIVE_ELEMENTS = 1_000_000_000
"""Weights that ZeRO-3 keeps gathered at a time, where the model has so many."""


@dataclass(frozen=True)
class Layout:
    """What a launch configuration does with weights, gradients and optimizer states."""

    name: str
    kind: Literal["plain", "zero", "fsdp"] = "plain"
    stage: int = 0
    """Of ZeRO: 1 shards the optimizer states, 2 the gradients too, 3 the weights too. FSDP shards as 3 does."""
    offload: bool = False
    """Weights and optimizer states wait in the host's memory."""

    @property
    def shards_weights(self) -> bool:
        return self.stage == 3


SINGLE = Layout("single_gpu")
LAYOUTS = (
    Layout("multi_gpu"),
    Layout("zero1", "zero", 1),
    Layout("zero2", "zero", 2),
    Layout("zero3", "zero", 3),
    Layout("fsdp2", "fsdp", 3),
    Layout("zero3_offload", "zero", 3, offload=True),
)
"""The configurations of accelerate_configs/ for several GPUs, from simple to involved."""


@dataclass(frozen=True)
class Workload:
    """What one process does in a step."""

    prompt_tokens: int
    """Of the longest prompt, the document and what stands around it."""
    completion_tokens: int
    group: int
    """Completions of one prompt."""
    completions: int
    """Sampled together by one process: its part of the step."""
    micro_batch: int
    """Completions in one forward and backward pass."""
    dtype: str = "bfloat16"
    lora_rank: int = 16
    gradient_checkpointing: bool = False
    quantized: bool = False
    """The base in 4 bits."""
    sampler: Sampler = "own"
    sampler_share: float = 0.3
    """Of the GPU's memory, for a colocated vLLM."""
    scorer: ScorerPlace = "base"
    scorer_mib: int = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes of one process, by name: `held` throughout, `phases` while they last."""

    held: Terms
    phases: dict[str, Terms] = field(default_factory=dict)

    @property
    def peak_phase(self) -> str:
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def total(self) -> float:
        return sum(self.held.values()) + sum(self.phases[self.peak_phase].values())


def step_memory(
    architecture: Architecture,
    work: Workload,
    layout: Layout = SINGLE,
    processes: int = 1,
    device: Device = "cuda",
    framework_bytes: float | None = None,
    gpu_bytes: float = 0.0,
) -> Memory:
    """Of one of `processes` in a GRPO step. `framework_bytes` puts a measured baseline in place of the rule of thumb;
    `gpu_bytes` is what a colocated vLLM takes its share of."""
    held = {"framework": FRAMEWORK_BYTES[device] if framework_bytes is None else framework_bytes}
    if device == "cuda" and processes > 1:
        held["collectives"] = COLLECTIVES_BYTES
    held |= _weights(architecture, work, layout, processes) | _adapter(architecture, work, layout, processes)
    if work.sampler == "colocate":
        held["vllm"] = work.sampler_share * gpu_bytes
    phases = {"update": _update(architecture, work, layout, device) | _gathered(architecture, work, layout)}
    phases["generation"] = _gathered_for_sampling(architecture, work, layout, processes)
    if work.sampler == "own":
        phases["generation"] |= _generation(architecture, work, layout, device)
    if work.scorer == "base":
        phases["scoring"] = _scoring(architecture, work)
    return Memory(held, phases)


def fit_memory(
    architecture: Architecture, *, dtype: str, rows: int, tokens: int, lora_rank: int, gradient_checkpointing: bool
) -> Memory:
    """Of a pass of supervised or preference training on the CPU: `rows` of `tokens` each, nothing shared, scored by the
    tiled head of TRL."""
    work = Workload(tokens, 0, 1, rows, rows, dtype, lora_rank, gradient_checkpointing)
    held = {"framework": FRAMEWORK_BYTES["cpu"]}
    held |= _weights(architecture, work, SINGLE, 1) | _adapter(architecture, work, SINGLE, 1)
    update = _passed(architecture, work, SINGLE, "cpu", rows, tokens)
    return Memory(held, {"update": update | {"log_probs": _tile(architecture, BYTES[dtype], rows * tokens)}})


def _weight_bytes(architecture: Architecture, work: Workload) -> float:
    size = BYTES[work.dtype]
    if not work.quantized:
        return architecture.parameters * size
    # embeddings, head and norms stay as they are, and are made float32 for training in 4 bits
    whole = architecture.head_parameters * (1 if architecture.tied else 2)
    return (architecture.parameters - whole) * NF4_BYTES + whole * 4


def _weights(architecture: Architecture, work: Workload, layout: Layout, processes: int) -> Terms:
    whole = _weight_bytes(architecture, work)
    if not layout.shards_weights:
        return {"weights": whole}
    terms = {"weights": 0.0 if layout.offload else whole / processes}
    if work.scorer == "base":  # a sharded base cannot run alone
        terms["scorer's copy of the base"] = whole
    return terms


def _adapter(architecture: Architecture, work: Workload, layout: Layout, processes: int) -> Terms:
    """Adam keeps two float32 numbers for each weight of the adapter; DeepSpeed a float32 master copy beside weights that
    it has made bfloat16. Data parallelism copies gradients into its buckets."""
    count, size = architecture.lora_parameters(work.lora_rank), BYTES[work.dtype]
    shards = processes if layout.stage else 1
    if layout.kind == "zero":
        states = 0.0 if layout.offload else (12 if size == 2 else 8) * count / shards
        return {
            "adapter": size * count / (shards if layout.shards_weights else 1),
            "gradients": 4 * count / (shards if layout.stage >= 2 else 1),
            "optimizer": states,
            "reduce bucket": BUCKET_ELEMENTS * (4 if layout.stage == 1 else size),
        }
    buckets = 4 * count if layout.kind == "plain" and processes > 1 else 0
    return {"adapter": 4 * count / shards, "gradients": (4 * count + buckets) / shards, "optimizer": 8 * count / shards}


def _gathered(architecture: Architecture, work: Workload, layout: Layout) -> Terms:
    """Weights that a sharded pass has at hand: up to a number of them with ZeRO-3, two layers and what stands outside
    the layers with FSDP."""
    if not layout.shards_weights:
        return {}
    size = BYTES[work.dtype]
    if layout.kind == "zero":
        return {"gathered weights": size * min(architecture.parameters, LIVE_ELEMENTS)}
    outside = architecture.head_parameters * (1 if architecture.tied else 2)
    return {"gathered weights": size * (outside + 2 * (architecture.parameters - outside) / architecture.layers)}


def _width(architecture: Architecture) -> float:
    """Width of the MLP, in a mixture of the experts that a token passes; the mean over layers."""
    routed = architecture.experts_per_token * architecture.expert_intermediate + architecture.shared_intermediate
    dense = (architecture.layers - architecture.sparse_layers) * architecture.intermediate
    return (dense + architecture.sparse_layers * routed) / architecture.layers


def saved_per_token(architecture: Architecture, rank: int, dtype: str, is_autocast: bool, lora_dtype: str) -> float:
    """Bytes that a layer keeps of a token for its backward pass, with an adapter on all linear layers.

    Kept in the model's type: the inputs of both norms (always float32), queries, keys and values (repeated for all
    heads), the attention's output, in the MLP gate, its activation, up and their product; and the input of each linear
    layer for the adapter, which PEFT casts to the adapter's type anew for every module. Under autocast the copies are
    bfloat16 again.

        float32          16 H + 16 W + 16 I + 28 r        bfloat16, float32 adapter   28 H + 12 W + 10 I + 28 r
        all bfloat16     12 H +  8 W +  8 I + 14 r        the same under autocast     18 H + 10 W +  8 I + 14 r

    and 4 for each head (the softmax' logarithm) and 8 (two norms).
    """
    hidden, wide, width = architecture.hidden, architecture.heads * architecture.head_size, _width(architecture)
    if dtype == "float32":
        saved, low = 16 * hidden + 16 * wide + 16 * width, 4
    elif lora_dtype == "bfloat16":
        saved, low = 12 * hidden + 8 * wide + 8 * width, 2
    elif is_autocast:
        saved, low = 18 * hidden + 10 * wide + 8 * width, 2
    else:
        saved, low = 28 * hidden + 12 * wide + 10 * width, 4
    return saved + LORA_MODULES * rank * low + 4 * architecture.heads + 8


def _saved(architecture: Architecture, work: Workload, layout: Layout, device: Device) -> float:
    # DeepSpeed and FSDP compute with a bfloat16 adapter; else PEFT keeps it in float32
    lora_dtype = "bfloat16" if layout.stage or work.quantized else "float32"
    return saved_per_token(architecture, work.lora_rank, work.dtype, device == "cuda", lora_dtype)


def _passed(architecture: Architecture, work: Workload, layout: Layout, device: Device, rows: int, columns: int) -> Terms:
    """Of a forward and backward pass, without what comes after the last layer. With gradient checkpointing a layer keeps
    its input alone, and one layer at a time is computed again."""
    tokens, size = rows * columns, BYTES[work.dtype]
    layer = tokens * _saved(architecture, work, layout, device)
    kept = architecture.layers * layer
    if work.gradient_checkpointing:
        kept = layer + tokens * (architecture.layers * architecture.hidden * size + 4 * architecture.hidden)
    rotary = 2 * tokens * architecture.head_size * size
    cast = 0.0
    if device == "cuda" and not layout.stage and size == 2:
        cast = 2 * architecture.lora_parameters(work.lora_rank)  # autocast remembers the adapter in bfloat16
    return {
        "activations": kept + rotary + cast,
        "attention mask": tokens * columns * size,
        "one layer's gradients": 8 * tokens * _width(architecture),
    }


def _update(architecture: Architecture, work: Workload, layout: Layout, device: Device) -> Terms:
    prompts, columns = _packed(work)
    terms = _passed(architecture, work, layout, device, prompts, columns)
    size, predicted = BYTES[work.dtype], work.micro_batch * work.completion_tokens
    if device == "cuda":  # the kernel folds a tile in place, and only positions that predict a completion are scored
        tile = size * min(predicted, TILE_ROWS) * TILE_WORDS + 4 * predicted * architecture.hidden
        return terms | {"log_probs": tile}
    if 3 * 4 * predicted * architecture.vocabulary <= WHOLE_LOGITS_BYTES:
        return terms | {"log_probs": _whole(architecture, size, predicted)}
    return terms | {"log_probs": _tile(architecture, size, prompts * columns)}


def _packed(work: Workload) -> tuple[int, int]:
    """(U, S) of the largest pass. TRL shuffles the completions of a step before it cuts passes from them, so that a pass
    of fewer than all of them may meet more prompts than would hold its completions: of U prompts one has at most
    micro_batch − U + 1."""
    most = -(-work.completions // work.group)

    def columns(prompts: int) -> int:
        return work.prompt_tokens - 1 + min(work.group, work.micro_batch - prompts + 1) * work.completion_tokens

    least = most if work.micro_batch == work.completions else -(-work.micro_batch // work.group)
    prompts = max(range(least, min(most, work.micro_batch) + 1), key=lambda number: number * columns(number))
    return prompts, columns(prompts)


def _whole(architecture: Architecture, size: int, predicted: int) -> float:
    """Logits, and in float32 the log-softmax, its exponential and their product, for the entropy."""
    return (size + 3 * 4) * predicted * architecture.vocabulary


def _tile(architecture: Architecture, size: int, positions: int) -> float:
    """Without the kernel of a GPU a tile's backward pass holds it in its own type, seven times in float32 and once as
    truth values; every position is scored."""
    words = (7 * 4 + 1) * min(architecture.vocabulary, TILE_WORDS) + size * TILE_WORDS
    return min(positions, TILE_ROWS) * words + 4 * positions * architecture.hidden


def _cache(architecture: Architecture, size: int, tokens: float) -> float:
    """Keys and values of so many tokens in all layers."""
    return 2 * tokens * architecture.layers * architecture.key_value_heads * architecture.head_size * size


def _gathered_for_sampling(architecture: Architecture, work: Workload, layout: Layout, processes: int) -> Terms:
    """TRL gathers the whole policy on every process of ZeRO-3, to sample from it or to send it, merged, to vLLM. FSDP's
    layers are gathered one by one, and sent to vLLM one tensor at a time."""
    if layout.kind == "zero" and layout.shards_weights:
        return {"gathered weights": _weight_bytes(architecture, work) * (1 - (0 if layout.offload else 1 / processes))}
    if work.sampler == "own":
        return _gathered(architecture, work, layout)
    return {"gathered weights": architecture.head_parameters * BYTES[work.dtype]} if layout.shards_weights else {}


def _generation(architecture: Architecture, work: Workload, layout: Layout, device: Device) -> Terms:
    """All completions of a process's part of the step at once. A step appends to the cache by copying a layer of it, and
    attention repeats a layer's keys and values for all heads; the draw takes logits in float32 twice and once in
    float64."""
    size, rows, length = BYTES[work.dtype], work.completions, work.prompt_tokens + work.completion_tokens
    cache = _cache(architecture, size, rows * length)
    prompts = -(-rows // work.group)
    prefill = prompts * work.prompt_tokens * _saved(architecture, work, layout, device)
    wide = architecture.heads * architecture.head_size
    step = cache / architecture.layers + 2 * rows * length * wide * size + 16 * rows * architecture.vocabulary
    return {"keys and values": cache, "a pass": max(prefill, step)}


def _scoring(architecture: Architecture, work: Workload) -> Terms:
    """The cache of one document, and a pass that `scorer_mib` bounds (infoagent/lm/scoring/prefix.py)."""
    size, wide = BYTES[work.dtype], architecture.heads * architecture.head_size
    chunk = min(work.prompt_tokens, 4096)
    hidden = chunk * size * (6 * architecture.hidden + 3 * _width(architecture) + 2 * wide + work.prompt_tokens)
    logits = work.group * work.completion_tokens * architecture.vocabulary * (8 + size)
    bound = work.scorer_mib * MIB
    return {
        "keys and values": _cache(architecture, size, work.prompt_tokens + work.group * work.completion_tokens),
        "a pass": max(min(hidden, bound / 2), min(logits, bound / 4)),
    }
