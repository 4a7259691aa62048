"""A trained checkpoint beside the frozen systems of a recipe."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from infoagent.applications.rounds.recipe import CompactionRecipe, RoundsRecipe
from infoagent.evaluation.trained import trained_beside
from infoagent.types import InputError

RecipeT = TypeVar("RecipeT", RoundsRecipe, CompactionRecipe)


def with_checkpoint(recipe: RecipeT) -> RecipeT:
    """The recipe with `checkpoint` as one more system (or compactor): a copy of the first that is a language model, with
    the adapter, and with the prompt that it was trained with where that is recorded.

    Raises InputError where it is no checkpoint of that model, or was trained with a prompt that is not offered here.
    """
    if recipe.checkpoint is None:
        return recipe
    name = "systems" if isinstance(recipe, RoundsRecipe) else "compactors"
    sections: list[Any] = list(getattr(recipe, name))
    first = next((s for s in sections if getattr(s, "kind", "lm") == "lm"), None)
    if first is None:
        raise InputError(f"checkpoint = {recipe.checkpoint!r}: none of the {name} is of kind lm; add one to copy")
    copied = trained_beside(first, recipe.checkpoint, [s.label for s in sections], name, "taken over")
    try:
        type(first).model_validate(copied.model_dump())
    except ValidationError as error:
        messages = [e["msg"].removeprefix("Value error, ") for e in error.errors()]
        raise InputError([f"checkpoint = {recipe.checkpoint!r}: {message}" for message in messages]) from None
    return recipe.model_copy(update={name: [*sections, copied]})
