"""What a trained policy earns on the problems of which the optimum is known: its own samples, priced as in training.

Shape legend: N problems, S samples of each, C = N · S compressions, D states of the source, Z different strings.

Few different strings are written and few states exist, so each string is scored once under each state, and the K
candidates of a problem are looked up. It is the reward of infoagent.reward, which a test holds it against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infoagent.applications.shannon.optimum import Candidates, candidates_of, source_information, terms_of
from infoagent.data.sets.shannon import FACTS, QUERY, all_states, state_of, state_probabilities
from infoagent.grading import is_looping
from infoagent.information.intervals import mean_interval
from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel, load
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.recipes.grpo import GRPORecipe
from infoagent.types import Compression, Finding, InputError, Negative, Problem

BATCH = 1024


@dataclass(frozen=True)
class Reached:
    """Values of one policy; (N,) means over the samples of each problem."""

    reward_N: NDArray[np.float64]
    source_nats_N: NDArray[np.float64]
    """Against the whole source with its probabilities: the mean is at most I(X;Z)."""
    tokens_N: NDArray[np.float64]
    default_said: dict[str, Finding]
    """For each fact with a default: among documents that state it, the share of samples that say it."""
    truncated: float
    gated: float
    facts_wrong_N: NDArray[np.float64]
    """Facts that a reader who is the scorer, and knows the source, guesses wrong from the text."""


def source_candidates(problems: Sequence[Problem], negatives: Sequence[Sequence[Negative]]) -> Candidates:
    """The candidates of `shannon` problems, by state."""
    place = {state: i for i, state in enumerate(all_states())}
    return candidates_of(
        [place[state_of(p.document)] for p in problems],
        [[place[state_of(n.document)] for n in drawn] for drawn in negatives],
        len(place),
    )


def state_prompts(tokenizer: Any, template: str) -> list[list[int]]:
    """The prompt of each state. Raises InputError where a tokenizer reads the number of a document."""
    prompts = []
    for state in all_states():
        plain = compressor_ids(tokenizer, " ".join(state), QUERY, Prompt(template))
        if compressor_ids(tokenizer, f"№ 17 {' '.join(state)}", QUERY, Prompt(template)) != plain:
            raise InputError("model.name: its tokenizer reads the numbers of documents, so states cannot be enumerated")
        prompts.append(plain)
    return prompts


def sample_policy(
    lm: LoadedModel, template: str, candidates: Candidates, samples: int, max_tokens: int, temperature: float, seed: int
) -> list[Compression]:
    """`samples` compressions of each problem's document, problem by problem."""
    prompts = state_prompts(lm.tokenizer, template)
    rows = [(problem, sample) for problem in range(len(candidates.own_N)) for sample in range(samples)]
    found: list[Compression] = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        found += generate(
            lm,
            [prompts[candidates.own_N[problem]] for problem, _ in part],
            [str(problem) for problem, _ in part],
            max_tokens,
            temperature,
            seed + start,
        )
    return found


def reached_by(lm: LoadedModel, recipe: GRPORecipe, candidates: Candidates, compressions: Sequence[Compression]) -> Reached:
    """Price compressions of a policy by its frozen base. `compressions` hold the same number for each problem."""
    samples = len(compressions) // len(candidates.own_N)
    problem_C = np.repeat(np.arange(len(candidates.own_N)), samples)
    price = recipe.reward.first_price
    end = end_of_turn_id(lm.tokenizer)
    strings = [continuation_ids(z, end) for z in compressions]
    place = {string: i for i, string in enumerate(dict.fromkeys(strings))}
    scorer = Scorer(lm.model, recipe.scorer.memory_mib, base_only=lm.adapter is not None)
    log_probs_ZD = scorer.score(state_prompts(lm.tokenizer, recipe.prompt.template), list(place))
    log_probs_CD = log_probs_ZD[[place[string] for string in strings]]

    gated_C = np.array([not z.text.strip() or is_looping(z.text) for z in compressions])
    truncated_C = np.array([z.finish == "length" for z in compressions])
    tokens_C = np.array([z.rate_tokens for z in compressions], dtype=np.float64)
    terms_C = terms_of(log_probs_CD, problem_C, candidates)
    reward_C = terms_C - price * tokens_C - recipe.reward.truncated_penalty_nats * truncated_C
    reward_C[gated_C] = recipe.reward.gate_nats
    nats_C = source_information(log_probs_CD, candidates.own_N[problem_C], state_probabilities())

    def means(values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values_C.reshape(-1, samples).mean(1))

    return Reached(
        reward_N=means(reward_C),
        source_nats_N=means(nats_C),
        tokens_N=means(tokens_C),
        default_said=_default_said([z.text.split() for z in compressions], problem_C, candidates),
        truncated=float(truncated_C.mean()),
        gated=float(gated_C.mean()),
        facts_wrong_N=means(_facts_wrong(log_probs_CD, candidates.own_N[problem_C])),
    )


def _facts_wrong(log_probs_CD: NDArray[np.float64], state_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """(C,) expected number of facts told wrong by the most probable value of each under p(d | z) ∝ P(d) p(z | d)."""
    weights_CD = np.exp(log_probs_CD - log_probs_CD.max(1, keepdims=True)) * state_probabilities()
    states = all_states()
    wrong_C = np.zeros(len(state_C))
    for index, fact in enumerate(FACTS):
        member_DV = np.array([[state[index] == value for value in fact.values] for state in states])
        guess_C = (weights_CD @ member_DV).argmax(1)
        wrong_C += ~member_DV[state_C, guess_C]
    return wrong_C


def _default_said(words_C: Sequence[Sequence[str]], problem_C: NDArray[np.intp], candidates: Candidates) -> dict[str, Finding]:
    states, found = all_states(), {}
    for index, fact in enumerate(FACTS):
        rows = [c for c, n in enumerate(problem_C) if states[candidates.own_N[n]][index] == fact.default]
        if rows:  # a fact without a default has none
            said = [float(fact.default in words_C[c]) for c in rows]
            found[fact.name] = mean_interval(said, clusters=[int(problem_C[c]) for c in rows])
    return found


def load_policy_model(model: str, checkpoint: str | Path) -> LoadedModel:
    """The tiny model with a trained adapter, in float32."""
    return load(model, dtype="float32", adapter=str(checkpoint), device="cpu")


def blank_tokens(tokenizer: Any) -> NDArray[np.bool_]:
    """(V,) whether a token decodes to nothing: a text of such tokens alone is gated."""
    return np.array([not tokenizer.decode([i], skip_special_tokens=True).strip() for i in range(len(tokenizer))])


def one_thread() -> None:
    """A tiny model runs fastest on one thread: what the threads would share is too small to split."""
    torch.set_num_threads(1)
