"""The schema of each recipe: a file per kind of script, `sections` for what they share."""

from infoagent.config import Section
from infoagent.recipes.compressors import CompressorSection
from infoagent.recipes.dpo import DPORecipe
from infoagent.recipes.evaluation import EvaluationRecipe
from infoagent.recipes.grpo import GRPORecipe
from infoagent.recipes.information import PRESETS, InformationRecipe
from infoagent.recipes.proxies import ProxyRecipe
from infoagent.recipes.research import ResearchRecipe
from infoagent.recipes.rounds import CompactionRecipe, RoundsRecipe
from infoagent.recipes.sections import DataSection, ModelSection, PromptSection
from infoagent.recipes.sft import SFTRecipe
from infoagent.recipes.shannon import ShannonRecipe
from infoagent.recipes.stress import HardInputsRecipe, LoadRecipe
from infoagent.recipes.sweep import SweepFile

__all__ = [
    "PRESETS", "RECIPES", "CompactionRecipe", "CompressorSection", "DPORecipe", "DataSection", "EvaluationRecipe",
    "GRPORecipe", "HardInputsRecipe", "InformationRecipe", "LoadRecipe", "ModelSection", "PromptSection", "ProxyRecipe",
    "ResearchRecipe", "RoundsRecipe", "SFTRecipe", "ShannonRecipe", "SweepFile", "recipe_schema",
]  # fmt: skip

RECIPES: dict[str, type[Section]] = {
    "train/grpo.py": GRPORecipe, "train/sft.py": SFTRecipe, "train/dpo.py": DPORecipe,
    "train/shannon.py": ShannonRecipe,
    "eval/frozen.py": EvaluationRecipe, "eval/information.py": InformationRecipe, "eval/proxies.py": ProxyRecipe,
    "eval/rounds.py": RoundsRecipe, "eval/compaction.py": CompactionRecipe, "eval/deep_research.py": ResearchRecipe,
    "eval/stress.py load": LoadRecipe, "eval/stress.py inputs": HardInputsRecipe,
    "infoagent sweep": SweepFile,
}  # fmt: skip


def recipe_schema(keys: set[str]) -> type[Section]:
    """The schema whose fields cover most of `keys`: recipes carry no type field, their keys tell."""
    return max(RECIPES.values(), key=lambda schema: len(keys & set(schema.model_fields)))
