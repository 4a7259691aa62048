"""What rounds tell, cost and are good for: numbers with intervals over documents, from talks and their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoagent.applications.rounds.means import answer_values, failures, means
from infoagent.applications.rounds.recipe import RoundsRecipe, SystemSection
from infoagent.applications.rounds.steps import Workplace
from infoagent.applications.rounds.talks import Talk, answer_of
from infoagent.evaluation.records import Row
from infoagent.evaluation.summary import EASY, HARD, even, of_one_kind
from infoagent.grading import states_fact
from infoagent.information import estimate_rounds, paired_difference, rest_after, saturated_after
from infoagent.records.grid import columns

AMONG = {"easy": EASY, "hard": HARD, "all": EASY + HARD}
PER_ROW = ("per_compression_nats", "per_document_nats")
COMPARED = ("mi/hard_nats", "mi/nats", "accuracy", "rate/tokens")
Values = dict[str, dict[str, tuple[str, float]]]
"""By measure, of each problem its document and its number."""


def summarise_rounds(
    recipe: RoundsRecipe, place: Workplace, found: Mapping[str, Sequence[Talk]]
) -> dict[str, list[dict[str, Any]]]:
    """`systems`: what each tells after each round; `against_first`: each system's last round against that of the first
    system, paired by problem, with intervals over documents."""
    systems, ends = [], {}
    for section in recipe.systems:
        summary, ends[section.label] = _system(place, section, found[section.label])
        systems.append(summary)
    first = recipe.systems[0].label
    against = [{"label": s.label, "first": first, **_compared(ends[first], ends[s.label])} for s in recipe.systems[1:]]
    return {"systems": systems, "against_first": against}


def _system(place: Workplace, section: SystemSection, talks: Sequence[Talk]) -> tuple[dict[str, Any], Values]:
    whole = [t for t in talks if t.failed is None and t.scores is not None and t.scores["status"] == "ok"]
    lost = [row for t in talks if t not in whole and (row := t.failed or t.scores) is not None]
    summary: dict[str, Any] = {
        **section.model_dump(mode="json"), "talks": len(talks), "failed": len(talks) - len(whole),
        "failed_causes": dict(Counter(row["cause"] for row in lost)), "information": {}, "saturated_after": {}, "rest": {},
        "after": [], "answers": failures([answer_of(place, t, n) for t in talks for n in range(1, len(t.rounds) + 1)]),
    }  # fmt: skip
    if not whole:
        return summary, {}
    scores = [t.scores for t in whole if t.scores is not None]
    documents = [row["document_id"] for row in scores]
    sampler = section.temperature == 1.0 and section.model.adapter is None
    ends: Values = {}
    for name, kinds in AMONG.items():
        kept = even([row["candidates"] for row in scores], kinds)
        rows = [scores[i] for i in kept]
        chosen = [columns(row["candidates"], kinds) for row in rows]
        if len(chosen[0]) < 2:
            continue
        table = [np.array(row["log_probs"])[:, held] for row, held in zip(rows, chosen, strict=True)]
        steps_RCK, among = np.array(table).transpose(1, 0, 2), [row["document_id"] for row in rows]
        one_pool, own_C = of_one_kind([row["candidates"] for row in rows], kinds), np.zeros(len(rows), dtype=int)
        rounds = estimate_rounds(steps_RCK, own_C, document=among, sampler=sampler, even=one_pool)
        if len(rows) < len(scores):
            summary["left_out_as_padded"] = {**summary.get("left_out_as_padded", {}), name: len(scores) - len(rows)}
        summary["information"][name] = [_without_rows(r.to_dict()) for r in rounds]
        if (ended := saturated_after(rounds)) is not None:
            summary["saturated_after"][name] = ended
            summary["rest"][name] = vars(rest_after(rounds, ended))
        last = rounds[-1].total.per_compression_nats.tolist()
        measure = "mi/nats" if name == "all" else f"mi/{name}_nats"
        ends[measure] = {whole[i].problem.id: (document, nats) for i, document, nats in zip(kept, among, last, strict=True)}
    for t in range(1, section.rounds + 1):
        values = [_after(place, talk, t) for talk in whole]
        summary["after"].append({"round": t, **means(values, documents)})
        if t == section.rounds:
            for name in ("accuracy", "rate/tokens"):
                asked = zip(whole, documents, values, strict=True)
                ends[name] = {talk.problem.id: (document, row[name]) for talk, document, row in asked if name in row}
    return summary, ends


def _without_rows(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "total": {k: v for k, v in found["total"].items() if k not in PER_ROW}}


def _after(place: Workplace, talk: Talk, rounds: int) -> dict[str, float]:
    """Numbers of one talk after so many rounds. Tokens, GFLOP, seconds and money are sums over the rounds; a number that
    is not known is left out."""
    rows = talk.rounds[:rounds]
    asking: list[Row] = [row["asking"] for row in rows if "asking" in row]
    values = {
        "round/tokens": float(rows[-1]["rate_tokens"]),
        "rate/tokens": float(sum(row["rate_tokens"] for row in rows)),
        "cost/tokens_read": float(sum(row["prompt_tokens"] for row in rows) + _used(asking, "prompt_tokens")),
        "cost/tokens_written": float(sum(row["rate_tokens"] for row in rows) + _used(asking, "completion_tokens")),
        "cost/seconds": sum(row["seconds"] for row in rows) + sum(row["seconds"] for row in asking),
    }
    if rounds > 1:
        asked = rows[-1]["question"]
        values["question/repeated"] = float(asked.casefold() == talk.problem.query.casefold())
        values["question/ends_as_one"] = float(asked.endswith("?"))
    # a reader over HTTP has a price and no known FLOPs, one that runs here has FLOPs and no price
    flops = [row.get("gflops_prefill", np.nan) + row.get("gflops_decode", np.nan) for row in (*rows, *asking)]
    if not np.isnan(flops).any():
        values["cost/gflops"] = float(sum(flops))
    if all("usd" in row for row in asking) and asking:
        values["cost/usd"] = float(sum(row["usd"] for row in asking))
    if talk.problem.answer is not None:
        values["fact/stated"] = float(states_fact(talk.notes(rounds), talk.problem.answer))
    return values | answer_values(answer_of(place, talk, rounds))


def _used(rows: Sequence[Row], name: str) -> int:
    return sum(row["usage"][name] for row in rows)


def _compared(first: Values, other: Values) -> dict[str, dict[str, float]]:
    """other − first of each measure over the problems that both have."""
    found = {}
    for name in COMPARED:
        ones, others = first.get(name, {}), other.get(name, {})
        shared = [problem for problem in ones if problem in others]
        if shared:
            last, before = ([side[problem][1] for problem in shared] for side in (others, ones))
            found[name] = vars(paired_difference(last, before, [ones[problem][0] for problem in shared]))
    return found
