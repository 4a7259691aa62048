"""Named experiments behind the figures: what is measured, as plain values; eval/paper/figures.py runs and draws them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.data.sets.record_templates import Fact
from infoagent.data.sets.records import Record, make_known_problem, other_values, revision
from infoagent.information import estimate_mi, infonce_terms, mean_interval
from infoagent.lm.models import load
from infoagent.lm.prompts import Prompt, end_of_turn_id, text_ids
from infoagent.lm.scoring.jobs import Processes
from infoagent.measurement.pool import Pool, score_pool
from infoagent.types import Change, InputError, Negative, Problem

TEMPLATE = "agnostic-v1"


def fact_deletion(
    out: str, model: str, dtype: str, documents: int, facts: int, versions: int, seed: int, memory_mib: int, quiet: bool
) -> dict[str, Any]:
    """MI while facts are deleted from a compression one at a time.

    The compression of a record names it and lists `facts` of its facts; then one fact fewer, down to the name alone.
    Each is scored under all documents (random negatives) and, fact by fact, under `versions` documents in which that
    fact is another one. Reported for every number of facts left: I among random documents, ceiling log `documents`, and
    the mean over the facts of what tells the document from versions of that fact, ceiling log(1 + versions).
    """
    lm = load(model, dtype=dtype)
    drawn = _records(documents, facts, seed)
    end = end_of_turn_id(lm.tokenizer)
    problems, rows, continuations, left = [], [], [], []
    changed: dict[str, list[Negative]] = {}
    for index, (problem, record, chosen) in enumerate(drawn):
        problems.append(problem)
        changed[problem.id] = _versions(record, chosen, versions, np.random.default_rng([seed, index]))
        for kept in range(facts, -1, -1):
            rows.append(problem)
            left.append(kept)
            listed = "; ".join(f"{fact.label}: {value}" for fact, value in chosen[:kept])
            text = f"{record.kind.title} {record.code}, {record.name}." + (f" {listed}." if listed else "")
            continuations.append([*text_ids(lm.tokenizer, text), end])
    matrix = score_pool(
        lm,
        None,
        Pool(problems, rows, changed),
        continuations,
        [f"{p.id}#{n}" for p, n in zip(rows, left, strict=True)],
        Prompt(TEMPLATE),
        Path(out) / "scores",
        memory_mib,
        False,
        Processes(),
        quiet,
    )
    assert matrix.counterfactual_CN is not None
    own_C = matrix.log_probs_CK[np.arange(len(rows)), matrix.source_C]
    versions_CFV = matrix.counterfactual_CN.reshape(len(rows), facts, versions)
    source = np.zeros(len(rows), dtype=np.intp)
    fact_C = np.mean([infonce_terms(np.column_stack([own_C, versions_CFV[:, f]]), source) for f in range(facts)], axis=0)
    points = []
    for kept in range(facts, -1, -1):
        chosen_C = np.array(left) == kept
        among = estimate_mi(matrix.log_probs_CK[chosen_C], matrix.source_C[chosen_C], sampler=False)
        told = mean_interval(fact_C[chosen_C])
        points.append(
            {
                "facts_left": kept,
                "random_nats": among.infonce_nats,
                "random_ci_nats": list(among.ci_nats),
                "fact_nats": told.value,
                "fact_ci_nats": [told.low, told.high],
                "rate_tokens": float(np.mean([len(z) - 1 for z, c in zip(continuations, chosen_C, strict=True) if c])),
            }
        )
    return {
        "figure": "fact-deletion",
        "random_ceiling_nats": float(np.log(documents)),
        "fact_ceiling_nats": float(np.log1p(versions)),
        "points": points,
        "scorer": matrix.about["scorer"],
        "data": {"name": "records", "split": "test", "revision": revision()},
        "documents": documents,
        "facts": facts,
        "versions": versions,
        "seed": seed,
    }


def _records(documents: int, facts: int, seed: int) -> list[tuple[Problem, Record, list[tuple[Fact, str]]]]:
    """Records with enough facts whose value stands in the text once."""
    found: list[tuple[Problem, Record, list[tuple[Fact, str]]]] = []
    for index in range(20 * documents):
        problem, record, _ = make_known_problem(seed, "test", index, 80, 140)
        usable = [(fact, value) for fact, value, _ in record.facts if problem.document.count(value) == 1]
        if len(usable) >= facts:
            found.append((problem, record, usable[:facts]))
        if len(found) == documents:
            return found
    raise InputError(f"--facts {facts}: only {len(found)} of {20 * documents} records state so many; lower it")


def _versions(record: Record, chosen: Sequence[tuple[Fact, str]], versions: int, rng: np.random.Generator) -> list[Negative]:
    """`versions` documents for each fact, in the order of the facts."""
    found = []
    for fact, value in chosen:
        others = other_values(fact, value, versions, rng)
        if len(others) < versions:
            raise InputError(f"--versions {versions}: {fact.label!r} has only {len(others)} other values; lower it")
        found += [
            Negative("counterfactual", record.text({fact.key: other}), (Change("fact", value, other, 1),)) for other in others
        ]
    return found
