"""Base and adapter as one plain model directory, checked against the adapter before it gets its name.

The sum W + ΔW is computed in float32 and rounded once, to the type that is saved. The directory is written under
another name, loaded again, compared, and renamed only then: what stands under the final name is a whole and checked
model.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from infoagent.files import write_json
from infoagent.lm.adapter_fit import attach, check_fit
from infoagent.lm.adapters import base_here, is_activated
from infoagent.lm.cache import open_to_readers
from infoagent.lm.identity import PROMPT_HASH, SOURCE_FILE, prompt_hash
from infoagent.lm.models import adapter_budget_range, adapter_prompt, adapter_revision, find_by_name, load_weights
from infoagent.lm.prompts import compressor_ids
from infoagent.lm.reference import ModelReference
from infoagent.types import InputError, RunFailed

TOLERANCE_NATS = {"float32": 1e-3, "bfloat16": 0.1}
"""Mean difference of a token's log-probability between the merged model and the adapter on its base in float32.
bfloat16 rounds every weight to 8 bits, as loading the base in bfloat16 does too."""
CHECK_TEXT = (
    "The museum was opened on 8 May 1921 by Ada Lindqvist. Its library holds 12,400 maps, the oldest of them drawn in "
    "Lisbon; the reading room has 36 seats and is closed on Mondays. A ticket costs 7 euros."
)
CHECK_QUESTION = "How many maps does the library hold?"


@dataclass(frozen=True)
class Merge:
    """A merged model. Differences are mean |Δ log p| of the tokens of a prompt, in nats."""

    directory: Path
    base: str
    difference_nats: float
    """Merged against adapter: what merging costs."""
    effect_nats: float
    """Base against adapter: what the adapter does."""


def merge_adapter(adapter: str, out: str | Path, dtype: str, base: str | None = None) -> Merge:
    """Write base + adapter to `out` in `dtype`, with tokenizer, chat template and generation settings.

    `base` None: the model that the adapter names.

    Raises InputError where `adapter` is no complete checkpoint or `out` exists, RunFailed where the merged model
    differs from the adapter by more than TOLERANCE_NATS; nothing is left behind then.
    """
    target = Path(out)
    if target.exists():
        raise InputError(f"--out {target}: exists already; name a new directory")
    base = base_here(adapter) if base is None else base
    whole = find_by_name(base, adapter=adapter).pinned
    if is_activated(adapter):
        raise InputError(
            f"adapter {adapter!r}: acts from the instruction on (lora.activated) and cannot be merged; use it as it is"
        )
    reference, tokenizer = whole.reference, whole.tokenizer
    check_fit(adapter, reference)
    prefix = compressor_ids(tokenizer, CHECK_TEXT, CHECK_QUESTION)

    model = attach(load_weights(reference, "float32", device="cpu"), adapter, reference)
    adapted = prompt_log_probs(model, prefix)
    with model.disable_adapter():
        plain = prompt_log_probs(model, prefix)
    _untie(model)
    try:
        merged = model.merge_and_unload().to(getattr(torch, dtype))
    except (RuntimeError, ValueError) as error:  # what PEFT has no merging for
        raise InputError(f"adapter {adapter!r}: cannot be merged ({' '.join(str(error).split())[:160]})") from error

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        merged.save_pretrained(work)
        tokenizer.save_pretrained(work)
        _write_source(work, whole.pinned.reference, adapter, dtype)
        del model, merged
        gc.collect()
        again = prompt_log_probs(load_weights(ModelReference(str(target), str(work), ""), dtype, device="cpu"), prefix)
        difference = float((again - adapted).abs().mean())
        if not difference <= TOLERANCE_NATS[dtype]:
            raise RunFailed(
                f"{adapter}: merged in {dtype} it differs from the adapter by {difference:.3g} nats a token, "
                f"{TOLERANCE_NATS[dtype]:g} are allowed; nothing was written" + _advice(dtype)
            )
        open_to_readers(work)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Merge(target, base, difference, float((plain - adapted).abs().mean()))


def prompt_log_probs(model: Any, ids: list[int]) -> torch.Tensor:
    """log p of each token of a prompt given those before it, nats, (L − 1,); log-softmax in float32."""
    tokens = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=tokens).logits[0, :-1].float()
    return logits.log_softmax(-1).gather(-1, tokens[0, 1:, None])[:, 0].cpu()


def _untie(model: Any) -> None:
    """Where LoRA changes the input or the output embedding of a model that has one matrix for both, give each its own:
    merged in place, the change of one would reach the other."""
    from peft.tuners.lora import LoraLayer

    base = model.get_base_model()
    first, last = base.get_input_embeddings(), base.get_output_embeddings()
    if not any(isinstance(layer, LoraLayer) for layer in (first, last)):
        return
    inner, outer = (getattr(layer, "base_layer", layer) for layer in (first, last))
    if inner.weight is outer.weight:
        outer.weight = torch.nn.Parameter(outer.weight.detach().clone(), requires_grad=False)
        base.config.get_text_config().tie_word_embeddings = False
        base.config.tie_word_embeddings = False


def _advice(dtype: str) -> str:
    return "; try --dtype float32" if dtype != "float32" else ""


def _write_source(work: Path, reference: ModelReference, adapter: str, dtype: str) -> None:
    """Who the weights are, by content: a model merged again from the same parts has the same revision."""
    parts = f"{reference.revision} {adapter_revision(adapter)} {dtype}"
    write_json(
        work / SOURCE_FILE,
        {
            "revision": "merged:" + hashlib.sha256(parts.encode()).hexdigest()[:16],
            "base_model": reference.name,
            "base_revision": reference.revision,
            "adapter_revision": adapter_revision(adapter),
            "dtype": dtype,
            PROMPT_HASH: prompt_hash(work),
            "prompt": adapter_prompt(adapter),
            "budget_range": adapter_budget_range(adapter),
        },
    )
