"""Every recipe schema by its script: the core's and each application's."""

from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.applications.research.recipe import ResearchRecipe
from infoagent.applications.rounds.recipe import CompactionRecipe, RoundsRecipe
from infoagent.applications.shannon.recipe import ShannonRecipe
from infoagent.applications.stress.recipe import HardInputsRecipe, LoadRecipe
from infoagent.config import SCRIPTS, Section
from infoagent.recipes import CORE_RECIPES, schema_for

RECIPES: dict[str, type[Section]] = {
    **CORE_RECIPES,
    "train/shannon.py": ShannonRecipe,
    "eval/applications/proxies.py": ProxyRecipe,
    "eval/applications/rounds.py": RoundsRecipe,
    "eval/applications/compaction.py": CompactionRecipe,
    "eval/applications/deep_research.py": ResearchRecipe,
    "eval/applications/stress.py load": LoadRecipe,
    "eval/applications/stress.py inputs": HardInputsRecipe,
}
SCRIPTS.update(RECIPES)


def recipe_schema(keys: set[str]) -> type[Section]:
    """The schema of a recipe with these keys, among all."""
    return schema_for(keys, RECIPES)
