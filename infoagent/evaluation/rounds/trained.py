"""A trained checkpoint beside the frozen systems of a recipe."""

from __future__ import annotations

from typing import Any, TypeVar

from infoagent.lm.models import adapter_prompt, check_adapter
from infoagent.recipes import CompactionRecipe, RoundsRecipe
from infoagent.types import InputError

RecipeT = TypeVar("RecipeT", RoundsRecipe, CompactionRecipe)


def with_checkpoint(recipe: RecipeT) -> RecipeT:
    """The recipe with `checkpoint` as one more system (or compactor): a copy of the first that is a language model, with
    the adapter, and with the prompt that it was trained with where that is recorded.

    Raises InputError where it is no checkpoint of that model.
    """
    if recipe.checkpoint is None:
        return recipe
    name = "systems" if isinstance(recipe, RoundsRecipe) else "compactors"
    sections: list[Any] = list(getattr(recipe, name))
    first = next((s for s in sections if getattr(s, "kind", "lm") == "lm"), None)
    if first is None:
        raise InputError(f"checkpoint = {recipe.checkpoint!r}: none of the {name} is of kind lm; add one to copy")
    check_adapter(recipe.checkpoint, first.model.name)
    prompt = adapter_prompt(recipe.checkpoint)
    changed = {
        "label": f"trained {'/'.join(recipe.checkpoint.rstrip('/').split('/')[-2:])}",
        "model": first.model.model_copy(update={"adapter": recipe.checkpoint}),
        "prompt": type(first.prompt).model_validate(prompt) if prompt else first.prompt,
    }
    return recipe.model_copy(update={name: [*sections, first.model_copy(update=changed)]})
