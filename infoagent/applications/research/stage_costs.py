"""What a stage took, summed over the records of its calls."""

from __future__ import annotations

from collections.abc import Sequence

from infoagent.evaluation.records import Row


def stage_cost(rows: Sequence[Row]) -> dict[str, float]:
    """`calls` (with retries), `tokens_in`, `tokens_out`, `usd` paid to others, `gflops` computed on this machine and
    `seconds`, the sum over calls, of which some may have run side by side. `gflops` is absent where a model of this
    machine is of a kind that has no formula; of what runs elsewhere nothing is known, and nothing is counted."""
    usages = [row["usage"] for row in rows if "usage" in row]
    cost: dict[str, float] = {
        "calls": sum(u["calls"] for u in usages) + sum("usage" not in row and "seconds" in row for row in rows),
        "tokens_in": sum(u["prompt_tokens"] for u in usages),
        "tokens_out": sum(u["completion_tokens"] for u in usages),
        "usd": sum(row.get("usd", 0.0) for row in rows),
        "seconds": sum(row.get("seconds", 0.0) for row in rows),
    }
    here = [row for row in rows if "usage" in row and "usd" not in row]
    if all("gflops_prefill" in row for row in here):
        cost["gflops"] = sum(row["gflops_prefill"] + row["gflops_decode"] for row in here)
    return cost


def added(costs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The sum; a key that one of them lacks is unknown and absent."""
    keys = [key for key in costs[0] if all(key in cost for cost in costs)] if costs else []
    return {key: sum(cost[key] for cost in costs) for key in keys}
