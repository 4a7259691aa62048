"""What part of which grid a command line asks for. Imports no model and no torch, for --dry-run."""

from __future__ import annotations

import argparse
import os

from infoagent.config import load_recipe
from infoagent.evaluation.records import Shard
from infoagent.lm.settling import settle
from infoagent.recipes import EvaluationRecipe
from infoagent.types import InputError


def grid_recipe(arguments: argparse.Namespace) -> tuple[EvaluationRecipe, Shard]:
    """The recipe and the shard of a script's command line: --limit caps each data set, a launcher's processes are
    shards. Raises InputError."""
    recipe = settle(load_recipe(EvaluationRecipe, arguments.recipe, arguments.overrides), arguments.dry_run)
    if arguments.limit is not None:
        if arguments.limit < 1:
            raise InputError(f"--limit {arguments.limit}: must be at least 1")
        limited = [d.model_copy(update={"limit": min(d.limit or arguments.limit, arguments.limit)}) for d in recipe.data]
        recipe = recipe.model_copy(update={"data": limited})
    launched = Shard(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    if arguments.shard is None:
        return recipe, launched
    if launched.number > 1:
        raise InputError("--shard: the launcher's processes are the shards already; leave one of the two")
    return recipe, Shard.parse(arguments.shard)
