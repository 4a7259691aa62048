"""The schema of each recipe: a file per kind of script, `sections` for what they share."""

from infoagent.config import Section
from infoagent.recipes.dpo import DPORecipe
from infoagent.recipes.evaluation import CompressorSection, EvaluationRecipe
from infoagent.recipes.grpo import GRPORecipe
from infoagent.recipes.information import PRESETS, InformationRecipe
from infoagent.recipes.rounds import CompactionRecipe, RoundsRecipe
from infoagent.recipes.sections import DataSection, ModelSection, PromptSection
from infoagent.recipes.sft import SFTRecipe
from infoagent.recipes.shannon import ShannonRecipe
from infoagent.recipes.sweep import SweepFile

__all__ = [
    "PRESETS", "RECIPES", "CompactionRecipe", "CompressorSection", "DPORecipe", "DataSection", "EvaluationRecipe", "GRPORecipe",
    "InformationRecipe", "ModelSection", "PromptSection", "RoundsRecipe", "SFTRecipe", "ShannonRecipe", "SweepFile", "recipe_schema",
]  # fmt: skip

RECIPES: dict[str, type[Section]] = {
    "train/grpo.py": GRPORecipe, "train/sft.py": SFTRecipe, "train/dpo.py": DPORecipe,
    "train/shannon.py": ShannonRecipe,
    "eval/frozen.py": EvaluationRecipe, "eval/information.py": InformationRecipe,
    "eval/rounds.py": RoundsRecipe, "eval/compaction.py": CompactionRecipe,
    "infoagent sweep": SweepFile,
}  # fmt: skip


def recipe_schema(keys: set[str]) -> type[Section]:
    """The schema whose fields cover most of `keys`: recipes carry no type field, their keys tell."""
    return max(RECIPES.values(), key=lambda schema: len(keys & set(schema.model_fields)))
