"""The warm start's teacher where the optimum is known: the best of what is cut from a document and of deletions from that.

Unlike a policy the teacher sees the negatives of each problem, so it may do better there than the best string for the document's
state, which is the same for all of them; and it only ever deletes words, so it may do worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from infoagent.lm.models import load, resolve
from infoagent.lm.scoring.exact import Scorer
from infoagent.progress import Progress
from infoagent.proposals.sources import SOURCES
from infoagent.recipes.grpo import GRPORecipe
from infoagent.recipes.sft import ProposalsSection
from infoagent.training.preparation import Prepared
from infoagent.training.proposing import Proposer
from infoagent.training.recipe_reward import build_reward
from infoagent.types import Negative, Problem, RunFailed

DELETIONS = 8
"""Rounds at most: no document of the source has so many words."""
READ = 64
"""Shorter texts that are scored in a round: all there are."""


def teacher_texts(
    run: GRPORecipe, problems: Sequence[Problem], negatives: Sequence[tuple[Negative, ...]], quiet: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) reward in nats at the price of `run`, and tokens, of the teacher's choice for each problem, under the frozen scorer."""
    lm = load(run.model.name, dtype=run.model.dtype, device="cpu")
    prepared = Prepared(resolve(run.model.name), lm.tokenizer, "", list(problems), list(negatives))
    reward = build_reward(run, prepared, Scorer(lm.model, run.scorer.memory_mib, remember=run.scorer.remember))
    sources = ProposalsSection(sources=list(SOURCES), keep=None, shorten_rounds=DELETIONS, shorten_keep=READ)
    proposer = Proposer(sources, run.grpo.max_completion_tokens - 1)
    rewards, tokens = [], []
    with Progress(len(problems), f"teacher at {run.reward.first_price:g} nats a token", "problem", quiet) as bar:
        for index in range(len(problems)):
            scored = [s for _, s in proposer.score(reward, index, [])]
            if failed := next((s.failed for s in scored if s.failed), None):
                raise RunFailed(f"the scorer failed on a piece of {problems[index].id}: {failed}")
            best, length = max(((s.reward, s.compression.rate_tokens) for s in scored if s.reward is not None), key=itemgetter(0))
            rewards.append(best)
            tokens.append(float(length))
            bar.update()
    return np.array(rewards), np.array(tokens)
