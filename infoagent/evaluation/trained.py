"""A LoRA checkpoint beside its frozen self: a copy of a recipe's section with the adapter, and nothing else changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from infoagent.lm.adapters import check_adapter
from infoagent.lm.models import adapter_budget_range, adapter_group, adapter_prompt
from infoagent.recipes import CompressorSection, EvaluationRecipe, ModelSection, PromptSection
from infoagent.types import InputError


class _Compressor(Protocol):
    @property
    def label(self) -> str: ...
    @property
    def model(self) -> ModelSection: ...
    @property
    def prompt(self) -> PromptSection: ...
    def model_copy(self, *, update: dict[str, Any]) -> Any: ...


SectionT = TypeVar("SectionT", bound=_Compressor)
Rule = Literal["prompt", "template", "taken over"]
"""What of the prompt that an adapter was trained with must be the section's own: all of it, or its template, where the
adapter follows any budget; or the section takes it over."""


def trained_label(checkpoint: str) -> str:
    return "trained " + "/".join(Path(checkpoint).parts[-2:])


def trained_beside(
    frozen: SectionT, checkpoint: str, labels: Collection[str], where: str = "compressors", rule: Rule = "prompt", suffix: str = ""
) -> SectionT:
    """`frozen` with the adapter `checkpoint`, under a label of its own among `labels`, those of the list `where`.

    Raises InputError where it is no checkpoint of that model, or was trained with another prompt, as far as that is
    recorded.
    """
    check_adapter(checkpoint, frozen.model.name)
    what, recorded = where.removesuffix("s"), adapter_prompt(checkpoint)
    prompt = PromptSection(**recorded) if recorded else frozen.prompt
    if rule == "template" and prompt.template != frozen.prompt.template:
        raise InputError(f"checkpoint: was trained with the template {prompt.template!r}; give {what} {frozen.label!r} the same")
    if rule == "prompt" and prompt != frozen.prompt:
        raise InputError(
            f"checkpoint: was trained with the prompt {prompt.model_dump()}; give {what} {frozen.label!r} the same prompt"
        )
    label = trained_label(checkpoint) + suffix
    if label in labels:
        raise InputError(f"{where}: the label {label!r} is taken by the checkpoint; rename the {what}")
    changed = {"label": label, "model": frozen.model.model_copy(update={"adapter": checkpoint})}
    copied: SectionT = frozen.model_copy(update={**changed, **({"prompt": prompt} if rule == "taken over" else {})})
    return copied


def _other_temperature(compressor: CompressorSection, like: CompressorSection) -> CompressorSection:
    """`compressor` under the name and at the temperature of `like`."""
    return compressor.model_copy(update={name: getattr(like, name) for name in ("label", "curve", "temperature")})


def _suffix(compressor: CompressorSection, first: CompressorSection, any_rate: bool) -> str:
    """What the trained one beside `compressor` is told by from that beside `first`."""
    suffix = f" at {compressor.prompt.budget_tokens}" if any_rate else ""
    return suffix if compressor.temperature == first.temperature else f"{suffix}, temperature {compressor.temperature:g}"


def with_checkpoint(recipe: EvaluationRecipe) -> tuple[list[tuple[str, str]], EvaluationRecipe]:
    """((label of a frozen compressor, label of the trained one beside it), …) and the recipe with the latter added: for the
    first `lm` compressor, and for those that differ from it in temperature alone."""
    if recipe.checkpoint is None:
        raise InputError("checkpoint: must be given, e.g. checkpoint=runs/records-grpo/checkpoint-100")
    labels = [c.label for c in recipe.compressors]
    any_rate = adapter_budget_range(recipe.checkpoint) is not None
    frozen = [c for c in recipe.compressors if c.kind == "lm" and (c.prompt.budget_tokens is not None or not any_rate)]
    if not frozen:
        raise InputError(
            "compressors: none is of kind lm with a prompt.budget_tokens, which this any-rate checkpoint follows"
            if any_rate
            else "compressors: none of them is of kind lm; the checkpoint needs one to be compared with"
        )
    frozen = frozen if any_rate else [c for c in frozen if _other_temperature(c, frozen[0]) == frozen[0]]
    pairs, trained = [], []
    suffixes = [_suffix(compressor, frozen[0], any_rate) for compressor in frozen]
    for compressor, suffix in zip(frozen, suffixes, strict=True):
        if suffixes.count(suffix) > 1:  # under one label two would be read as one, with twice the problems
            suffix += f", as {compressor.label}"
        rule: Rule = "template" if any_rate else "prompt"
        copied = trained_beside(compressor, recipe.checkpoint, labels, rule=rule, suffix=suffix)
        trained.append(copied.model_copy(update={"curve": trained_label(recipe.checkpoint)}))
        pairs.append((compressor.label, copied.label))
    tracking = recipe.tracking  # beside the run that trained it
    tracking = tracking.model_copy(update={"group": tracking.group or adapter_group(recipe.checkpoint)})
    return pairs, recipe.model_copy(update={"compressors": [*recipe.compressors, *trained], "tracking": tracking})
