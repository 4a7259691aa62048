"""The teacher in numbers: what best-of-n over proposals is worth, and which sources it takes its texts from.

Reads candidates.jsonl of train/sft.py or train/dpo.py. Rewards are added up anew from their parts, so another price needs no
scoring. Intervals are Student's t over documents, problems of one document together.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.files import read_json, read_jsonl
from infoagent.information import mean_interval, paired_difference, share_interval
from infoagent.proposals.sources import POLICY, YARDSTICK
from infoagent.training.candidates import MANIFEST_FILE
from infoagent.training.run_directory import CANDIDATES_FILE
from infoagent.types import InputError

Row = Mapping[str, Any]
TEACHER = "teacher"
RATE = "paid for"
"""Of a row: its length in the unit that its run paid for."""
MEASURED: dict[str, Callable[[Row], float | None]] = {
    "fact_kept": lambda row: None if row.get("fact_kept") is None else float(row["fact_kept"]),
    "rate_tokens": lambda row: float(row["rate_tokens"]),
    "hard_nats": lambda row: row.get("hard_nats"),
}
"""Of one text; None where it is not known."""


def find_teacher(directories: Sequence[str | Path], price: float | None = None) -> dict[str, Any]:
    """The table of the teacher over the groups of several runs.

    `price` replaces what the runs were scored with, in nats for each unit of length that a run paid for, tokens or bytes. The
    teacher is the text of the highest reward in a group (a problem in a round of a run), yardsticks and what is longer than its
    run chooses from aside; the row of a source is the best that it offers where it offers anything. Raises InputError for a
    directory without samples, without any proposal, or without a text that could be scored and chosen.
    """
    groups, limits = _groups(directories)
    worth = {id(row): _worth(row, price) for group in groups for row in group}
    best: list[dict[str, Row]] = []
    for group, most_tokens in zip(groups, limits, strict=True):
        by_origin: dict[str, Row] = {}
        for row in sorted((r for r in group if "failed" not in r), key=lambda r: worth[id(r)]):
            by_origin[row.get("origin", POLICY)] = row
            if row.get("origin") != YARDSTICK and row["rate_tokens"] <= most_tokens:
                by_origin[TEACHER] = row
        best.append(by_origin)
    if not any(TEACHER in by_origin for by_origin in best):
        raise InputError(f"{', '.join(map(str, directories))}: no text could be scored and chosen; draw them anew")
    origins = sorted({origin for by_origin in best for origin in by_origin} - {TEACHER})
    won = Counter(by_origin[TEACHER].get("origin", POLICY) for by_origin in best if TEACHER in by_origin)
    rows = [_row(name, [b[name] for b in best if name in b], worth, won) for name in (TEACHER, *origins)]
    against = {
        name: _difference([b for b in best if TEACHER in b and name in b], name, worth) for name in (YARDSTICK, "bm25", "greedy")
        if any(TEACHER in b and name in b for b in best)
    }  # fmt: skip
    return {
        "runs": [str(d) for d in directories],
        "settings": [read_json(Path(d) / MANIFEST_FILE)["settings"] for d in directories],
        "price": price,
        "problems": _problems(row for group in groups for row in group[:1]),
        "groups": len(groups),
        "texts_a_problem": sum(map(len, groups)) / len(groups),
        "failed": sum("failed" in row for group in groups for row in group),
        "rows": rows,
        "teacher_minus": against,
    }


def _groups(directories: Sequence[str | Path]) -> tuple[list[list[Row]], list[int]]:
    """The texts of each problem, and how many tokens the text that its run chooses has at most."""
    mistakes: list[str] = []
    groups: list[list[Row]] = []
    limits: list[int] = []
    for directory in directories:
        path = Path(directory) / CANDIDATES_FILE
        if not path.is_file():
            mistakes.append(f"{directory}: holds no {CANDIDATES_FILE}; name the output_dir of train/sft.py or train/dpo.py")
            continue
        held: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in read_jsonl(path):
            held[row["round"], row["problem_id"], row["document"], row["query"]].append(row)
        if not any("origin" in row for group in held.values() for row in group):
            mistakes.append(f"{directory}: its {CANDIDATES_FILE} holds no proposal; draw it with sampling.proposals")
        settings = read_json(Path(directory) / MANIFEST_FILE)["settings"]
        groups += [[{**row, RATE: row.get(f"rate_{settings['reward']['rate']}")} for row in group] for group in held.values()]
        limits += [int(settings["sampling"]["max_completion_tokens"])] * len(held)
    if mistakes:
        raise InputError(mistakes)
    return groups, limits


def _problems(rows: Iterable[Row]) -> int:
    """How many problems they are on, whatever the rounds and runs."""
    return len({(row["problem_id"], row["document"], row["query"]) for row in rows})


def _worth(row: Row, price: float | None) -> float:
    """The reward of a text in nats, under another price where one is given."""
    parts = dict(row["parts"])
    if price is not None and "rate" in parts:
        parts["rate"] = -price * row[RATE]
    return math.fsum(parts.values())


def _row(name: str, texts: Sequence[Row], worth: Mapping[int, float], won: Counter[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"source": name, "problems": _problems(texts), "wins": won[name] if name != TEACHER else None}
    row["reward_nats"] = vars(mean_interval([worth[id(text)] for text in texts], [text["document"] for text in texts]))
    for measure, value in MEASURED.items():
        known = [text for text in texts if value(text) is not None]
        if known:
            interval = share_interval if measure == "fact_kept" else mean_interval
            row[measure] = vars(interval([value(t) for t in known], [t["document"] for t in known]))  # type: ignore[arg-type]
    return row


def _difference(groups: Sequence[Mapping[str, Row]], name: str, worth: Mapping[int, float]) -> dict[str, Any]:
    """Teacher − source on the same problems."""
    first, second = [group[TEACHER] for group in groups], [group[name] for group in groups]
    documents = [text["document"] for text in first]
    told: dict[str, Any] = {
        "reward_nats": vars(paired_difference([worth[id(t)] for t in first], [worth[id(t)] for t in second], documents))
    }
    for measure, value in MEASURED.items():
        known = [i for i in range(len(groups)) if value(first[i]) is not None and value(second[i]) is not None]
        if known:
            sides = [[value(texts[i]) for i in known] for texts in (first, second)]
            told[measure] = vars(paired_difference(sides[0], sides[1], [documents[i] for i in known]))  # type: ignore[arg-type]
    return told
