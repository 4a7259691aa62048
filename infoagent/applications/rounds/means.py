"""Numbers of single texts as means over documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.evaluation.records import Row
from infoagent.information import mean_interval, share_interval

SHARES = ("accuracy", "fact/", "facts/", "faithfulness/", "language/", "question/", "rate/cut_off")
"""How names begin of what lies within 0 and 1."""


def means(values: Sequence[Mapping[str, float]], documents: Sequence[str], shares: bool = False) -> dict[str, dict[str, float]]:
    """Mean and 95 % interval of each number over the documents whose rows have it; `n` says how many those are. `shares`: all of
    them are shares, whatever their names."""
    found = {}
    for name in dict.fromkeys(name for row in values for name in row):
        held = [(row[name], d) for row, d in zip(values, documents, strict=True) if name in row]
        interval = share_interval if shares or name.startswith(SHARES) else mean_interval
        found[name] = vars(interval([v for v, _ in held], [d for _, d in held]))
    return found


def answer_values(answered: Row | None) -> dict[str, float]:
    """What an answer's record says; nothing for one that is missing or failed."""
    if answered is None or answered["status"] != "ok":
        return {}
    found = {"accuracy": float(answered["correct"])} if "correct" in answered else {}
    if "answer_nll_nats" in answered:
        found["distortion/nll"] = float(answered["answer_nll_nats"])
    return found


def failures(rows: Sequence[Row | None]) -> dict[str, Any]:
    """How many records failed, and of what; None is none."""
    causes = Counter(row["cause"] for row in rows if row is not None and row["status"] != "ok")
    return {"failed": sum(causes.values()), "failed_causes": dict(causes)}
