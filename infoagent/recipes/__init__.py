"""The schema of each core recipe: a file per kind of script, `sections` for what they share.

An application brings its own: infoagent/applications/recipes.py knows them all.
"""

from collections.abc import Mapping

from infoagent.config import SCRIPTS, Section
from infoagent.recipes.compressors import CompressorSection
from infoagent.recipes.dpo import DPORecipe
from infoagent.recipes.evaluation import EvaluationRecipe
from infoagent.recipes.goals import GoalsRecipe
from infoagent.recipes.grpo import GRPORecipe
from infoagent.recipes.information import PRESETS, InformationRecipe
from infoagent.recipes.sections import DataSection, ModelSection, PromptSection
from infoagent.recipes.sft import SFTRecipe
from infoagent.recipes.sweep import SweepFile

__all__ = [
    "CORE_RECIPES", "PRESETS", "CompressorSection", "DPORecipe", "DataSection", "EvaluationRecipe", "GRPORecipe", "GoalsRecipe",
    "InformationRecipe", "ModelSection", "PromptSection", "SFTRecipe", "SweepFile", "schema_for",
]  # fmt: skip

CORE_RECIPES: dict[str, type[Section]] = {
    "train/grpo.py": GRPORecipe,
    "train/sft.py": SFTRecipe,
    "train/dpo.py": DPORecipe,
    "eval/frozen.py": EvaluationRecipe,
    "eval/information.py": InformationRecipe,
    "eval/goals.py": GoalsRecipe,
    "infoagent sweep": SweepFile,
}
SCRIPTS.update(CORE_RECIPES)


def schema_for(keys: set[str], recipes: Mapping[str, type[Section]] = CORE_RECIPES) -> type[Section]:
    """The schema whose fields cover most of `keys`: recipes carry no type field, their keys tell."""
    return max(recipes.values(), key=lambda schema: len(keys & set(schema.model_fields)))
