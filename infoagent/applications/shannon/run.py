"""The experiment on a source with known limits: the limits, each run against them, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.applications.shannon.enumeration import string_at, string_lengths, string_log_probs
from infoagent.applications.shannon.optimum import Candidates, Optimum, best_strings, mean_terms, source_information
from infoagent.applications.shannon.reached import blank_tokens, load_policy_model, reached_by, sample_policy, state_prompts
from infoagent.applications.shannon.recipe import ShannonRecipe
from infoagent.applications.shannon.teacher import teacher_texts
from infoagent.data.sets.shannon import FACTS, all_states, state_probabilities
from infoagent.files import replacing
from infoagent.information.intervals import mean_interval
from infoagent.lm.models import load
from infoagent.rate_distortion.naming_code import NamedFact, best_code, naming_frontier
from infoagent.rate_distortion.shannon_limit import entropy_nats, facts_curve, string_capacity_nats
from infoagent.recipes.grpo import GRPORecipe
from infoagent.types import Finding, InputError, Negative, Problem

SLOPES = tuple(np.geomspace(0.3, 12.0, 40).tolist())
PRICES = tuple(np.geomspace(0.02, 1.6, 60).tolist())
"""Prices at which the line of the optimum is drawn."""
SAID_AT_MOST = 0.1
"""A default that so small a share of the samples says is left out."""
TEMPLATE = "plain-v1"


@dataclass(frozen=True)
class Limits:
    """Everything that is known of the source and the frozen scorer."""

    candidates: Candidates
    alphabet: tuple[int, ...]
    lengths_Z: NDArray[np.intp]
    gated_Z: NDArray[np.bool_]
    mean_terms_ZD: NDArray[np.float64]
    source_nats_ZD: NDArray[np.float64]
    words: dict[int, str]
    gate_nats: float

    @classmethod
    def find(cls, recipe: ShannonRecipe, candidates: Candidates, quiet: bool) -> Limits:
        """Score every string of at most `longest` tokens under every state by the frozen model."""
        directory = Path(recipe.output_dir) / "lm"
        lm = load(str(directory), dtype="float32", device="cpu")
        stop = int(lm.tokenizer.eos_token_id)
        alphabet = tuple(i for i in range(len(lm.tokenizer)) if i != stop)
        table = directory / f"strings-{recipe.longest}.npy"  # beside the weights: it goes when they go
        if not table.is_file():
            prompts = state_prompts(lm.tokenizer, TEMPLATE)
            with replacing(table) as work:
                np.save(work, string_log_probs(lm.model, prompts, alphabet, stop, recipe.longest, quiet))
        log_probs_ZD = np.load(table, allow_pickle=False)
        blank_V = blank_tokens(lm.tokenizer)
        gated_Z = np.array([all(blank_V[t] for t in string_at(z, alphabet)) for z in range(len(log_probs_ZD))])
        probabilities_D = state_probabilities()
        source = [
            source_information(log_probs_ZD, np.full(len(log_probs_ZD), d), probabilities_D) for d in range(len(probabilities_D))
        ]
        return cls(
            candidates,
            alphabet,
            string_lengths(len(alphabet), recipe.longest),
            gated_Z,
            mean_terms(log_probs_ZD, candidates),
            np.stack(source, axis=1),
            {i: lm.tokenizer.convert_ids_to_tokens(i) for i in alphabet},
            recipe.run(recipe.prices[0], recipe.seeds[0]).reward.gate_nats,
        )

    def optimum(self, price: float) -> Optimum:
        return best_strings(self.mean_terms_ZD, self.lengths_Z, self.gated_Z, price, self.gate_nats)

    def check_prices(self, recipe: ShannonRecipe) -> None:
        """Raise InputError for a price at which even the optimum earns nothing: no share of it could be given."""
        values = {price: self.optimum(price).value_nats(self.candidates) for price in recipe.prices}
        wrong = [
            f"prices: at {price:g} nats a token even the best strings earn {value:.3f} nats in the mean; name a lower price"
            for price, value in values.items()
            if value <= 0
        ]
        if wrong:
            raise InputError(wrong)

    def optimum_point(self, price: float) -> dict[str, float]:
        """Tokens and nats of the best strings, means over the problems."""
        best_N = self.optimum(price).best_D[self.candidates.own_N]
        return {
            "price": price,
            "tokens": float(self.lengths_Z[best_N].mean()),
            "source_nats": float(self.source_nats_ZD[best_N, self.candidates.own_N].mean()),
        }

    def strings(self, optimum: Optimum) -> list[dict[str, Any]]:
        """What the optimum says of each document."""
        probabilities = state_probabilities()
        return [
            {
                "document": " ".join(state),
                "probability": float(probabilities[d]),
                "best": " ".join(self.words[t] for t in string_at(int(optimum.best_D[d]), self.alphabet)),
                "reward": float(optimum.reward_D[d]),
            }
            for d, state in enumerate(all_states())
            if optimum.best_D[d] >= 0
        ]

    def to_dict(self, recipe: ShannonRecipe) -> dict[str, Any]:
        """The three limits as lines, and how sure the first one is."""
        facts = [NamedFact(f.probabilities, (1.0,) * len(f.values)) for f in FACTS]
        entropy = sum(entropy_nats(f.probabilities) for f in FACTS)
        optima = {price: self.optimum(price) for price in recipe.prices}
        return {
            "entropy_nats": entropy,
            "ceiling_nats": float(np.log(self.candidates.number)),
            "strings_tried": len(self.lengths_Z),
            "longest": recipe.longest,
            "optimum": {
                f"{price:g}": {
                    "reward": optimum.value_nats(self.candidates),
                    # 1: cut-off texts cannot beat it either, so it is the exact optimum over all that a policy can write
                    "exact_share": optimum.ruled_out(self.candidates, recipe.longest, recipe.truncated_penalty_nats),
                    "exact_at_any_length_share": optimum.ruled_out(self.candidates, recipe.longest),
                    **self.optimum_point(price),
                    "strings": self.strings(optimum),
                }
                for price, optimum in optima.items()
            },
            "optimum_line": [self.optimum_point(price) for price in PRICES],
            "naming": [{"tokens": p.tokens, "nats": p.nats} for p in naming_frontier(facts)],
            "naming_at_price": {
                f"{price:g}": {
                    "tokens": p.tokens,
                    "nats": p.nats,
                    "said": {f.name: [f.values[v] for v in said] for f, said in zip(FACTS, p.said, strict=True)},
                }
                for price, p in ((price, best_code(facts, price)) for price in recipe.prices)
            },
            "rate_distortion": [
                {"nats": p.rate_nats, "facts_wrong": p.distortion, "gap_nats": p.gap_nats}
                for p in facts_curve([f.probabilities for f in FACTS], SLOPES)
            ],
            "capacity": [
                {"tokens": float(t), "nats": float(min(entropy, string_capacity_nats(t, len(self.alphabet))))}
                for t in np.linspace(0, 4.5, 91)
            ],
        }


def compare_run(run: GRPORecipe, checkpoint: Path, limits: Limits, recipe: ShannonRecipe) -> dict[str, Any]:
    """One row: what a trained policy earns against the optimum of its price, on the same problems."""
    lm = load_policy_model(run.model.name, checkpoint)
    sampled = sample_policy(lm, TEMPLATE, limits.candidates, recipe.samples, run.grpo.max_completion_tokens, 1.0, run.seed)
    greedy = sample_policy(lm, TEMPLATE, limits.candidates, 1, run.grpo.max_completion_tokens, 0.0, run.seed)
    reached, at_best = (reached_by(lm, run, limits.candidates, drawn) for drawn in (sampled, greedy))
    price = run.reward.first_price
    optimum_N = limits.optimum(price).reward_D[limits.candidates.own_N]
    ratio = share_of(reached.reward_N, optimum_N)
    return {
        "price": price,
        "seed": run.seed,
        "reward": _plain(mean_interval(reached.reward_N)),
        "greedy_reward": _plain(mean_interval(at_best.reward_N)),
        "optimum_reward": float(optimum_N.mean()),
        "ratio": _plain(ratio),
        "greedy_ratio": _plain(share_of(at_best.reward_N, optimum_N)),
        "goal_met": bool(ratio.value >= recipe.goal),
        "tokens": _plain(mean_interval(reached.tokens_N)),
        "source_nats": _plain(mean_interval(reached.source_nats_N)),
        "default_said": {name: _plain(share) for name, share in reached.default_said.items()},
        "facts_wrong": _plain(mean_interval(reached.facts_wrong_N)),
        "truncated": reached.truncated,
        "gated": reached.gated,
        "checkpoint": checkpoint.name,
    }


def compare_teacher(
    run: GRPORecipe, problems: Sequence[Problem], negatives: Sequence[tuple[Negative, ...]], limits: Limits, quiet: bool
) -> dict[str, Any]:
    """What the teacher of a warm start earns at the price of `run` against the optimum, on the same problems."""
    reward_N, tokens_N = teacher_texts(run, problems, negatives, quiet)
    price = run.reward.first_price
    optimum_N = limits.optimum(price).reward_D[limits.candidates.own_N]
    return {
        "price": price,
        "reward": _plain(mean_interval(reward_N)),
        "optimum_reward": float(optimum_N.mean()),
        "ratio": _plain(share_of(reward_N, optimum_N)),
        "tokens": _plain(mean_interval(tokens_N)),
    }


def share_of(reached_N: NDArray[np.float64], optimum_N: NDArray[np.float64]) -> Finding:
    """Σ reached / Σ optimum over problems, with the interval of the ratio from the residuals reached − ratio · optimum.

    Raises ValueError where the optimum earns nothing in the mean: no share of it is defined.
    """
    if optimum_N.mean() <= 0:
        raise ValueError(f"the optimum earns {optimum_N.mean():.3f} nats in the mean; a share of that says nothing")
    ratio = float(reached_N.mean() / optimum_N.mean())
    around = mean_interval((reached_N - ratio * optimum_N) / optimum_N.mean())
    return Finding(ratio, ratio + around.low, ratio + around.high, around.n)


def verdict(rows: Sequence[Mapping[str, Any]], recipe: ShannonRecipe) -> dict[str, Any]:
    """Whether every run reached its goal, and whether defaults go unsaid at the highest price.

    Left out: no run of the highest price says a default in more than SAID_AT_MOST of its samples, and in the mean over
    seeds the lowest price has it said more often.
    """
    high, low = ([r for r in rows if r["price"] == f(recipe.prices)] for f in (max, min))
    defaults = sorted({name for row in rows for name in row["default_said"]})

    def said(some: Sequence[Mapping[str, Any]], name: str) -> list[float]:
        return [row["default_said"][name]["value"] for row in some]

    return {
        "goal": recipe.goal,
        "goal_met": all(row["goal_met"] for row in rows),
        "lowest_ratio": min(row["ratio"]["value"] for row in rows),
        "defaults_left_out": all(
            max(said(high, name)) <= SAID_AT_MOST and float(np.mean(said(low, name))) > float(np.mean(said(high, name)))
            for name in defaults
        ),
    }


def _plain(found: Finding) -> dict[str, float | int]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
