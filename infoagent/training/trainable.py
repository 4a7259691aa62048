"""Training data: which data sets may be trained on, and whether they hold enough problems."""

from __future__ import annotations

from collections.abc import Sequence

from infoagent.data.registry import DATA_SETS, load_data
from infoagent.lm.adapters import check_adapter
from infoagent.lm.prompts import check_prompt
from infoagent.recipes import DataSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.types import InputError, ProblemSet


def check_start(recipe: TrainingRecipe) -> None:
    """Raise InputError for a prompt, or an adapter to start from, that a run would refuse: before data or a model is loaded, and
    in a plan as well."""
    check_prompt(recipe.prompt)
    if recipe.model.adapter is not None:
        raise InputError("model.adapter: a run trains an adapter on the plain base; to start from one, name it as init_adapter")
    if recipe.init_adapter is not None:
        check_adapter(recipe.init_adapter, recipe.model.name)


def check_trainable(sections: Sequence[DataSection]) -> None:
    """Raise InputError for data that is for evaluation only."""
    mistakes = []
    for section in sections:
        known = DATA_SETS.get(section.name)
        if known is not None and known.evaluation_only:
            mistakes.append(
                f"data.name = {section.name!r}: is for evaluation only and is not trained on; "
                f"train on one of {', '.join(d.name for d in DATA_SETS.values() if not d.evaluation_only)}"
            )
        elif section.split in ("validation", "test"):
            mistakes.append(
                f"data.split = {section.split!r} of {section.name}: is kept for evaluation; train on split train, or on "
                "all where nothing of it will be reported"
            )
    if mistakes:
        raise InputError(mistakes)


def load_trainable(sections: Sequence[DataSection]) -> list[ProblemSet]:
    """The data of a training recipe. Raises InputError for what is for evaluation only: by the name of its set, or because
    its file says so under whatever name it is read."""
    check_trainable(sections)
    sets = [load_data(**section.asked) for section in sections]
    marked = [f"data: {data.name} is for evaluation only, {data.benchmark}" for data in sets if data.benchmark is not None]
    if marked:
        raise InputError(marked)
    return sets


def check_enough(problems: int, least: tuple[str, int], left_out: int = 0) -> None:
    """Raise InputError where a setting needs more problems than there are."""
    if problems < least[1]:
        without = f" ({left_out} more have too few negatives)" if left_out else ""
        raise InputError(
            f"data: {problems} problems{without} are fewer than {least[0]} = {least[1]}; bring more documents or lower it"
        )
