"""Every claim of the paper in one table: collected from the numbers of figures that were run, and from what other scripts kept.

A file is recognised by what it holds: FIGURE.json of eval/paper/figures.py, rounds.json of eval/applications/rounds.py,
deep_research.json of eval/applications/deep_research.py. A claim that no file answers stands in the table all the same, with what
asking it would take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.applications.paper.claims import ALL, DECIDED, FAILS, HOLDS, UNASKED, UNDECIDED, Answer, Missing, claim_row, ratio
from infoagent.applications.paper.figures import EXPERIMENTS
from infoagent.applications.paper.published import PUBLISHED, NotAsked, Published
from infoagent.files import read_json
from infoagent.types import InputError, Mistakes

Row = dict[str, Any]
NOT_RUN = "{figure} was not run; `python eval/paper/figures.py ls` tells at which sizes it can be, and what that needs"
ROUNDS_OF_THE_PAPER = 2
STILL_ALIKE = 0.1
"""Share of the information so far that later rounds may add and it still counts as saturated: the band of other claims that
something is alike."""
LABELS = {"deep research": ("frozen", "whole sources"), "rounds": "rewritten"}
"""Which systems of the kept runs stand for the paper's: compressed and raw sources; a reader that rewrites its question."""


def collect_claims(paths: Sequence[Path], published: Sequence[Published] = PUBLISHED) -> tuple[list[Row], list[Row]]:
    """(claims, files): every claim once for each question and data set, in the order of the paper's figures; and of each file its
    figure, name, command, commit, start and data revisions. Raises InputError with a line for each file that is none of these."""
    rows: list[Row] = []
    files: list[Row] = []
    mistakes = Mistakes()
    for path in paths:
        with mistakes.of():
            content = read_json(path)
            figure, found = _claims_of(content, path)
            if figure in [file["figure"] for file in files]:
                raise InputError(f"{path}: {figure} is there twice; give one run of each figure")
            rows += found
            kept = ("command", "commit", "started", "data_revisions")
            files.append({"figure": figure, "file": path.name, **{name: content[name] for name in kept if name in content}})
    mistakes.end()
    there = [file["figure"] for file in files]
    rows += [_not_run(claim) for claim in published if claim.figure not in there]
    order = list(dict.fromkeys(claim.figure for claim in published))
    rows.sort(key=lambda row: order.index(row["figure"]))
    return [{"id": name, **row} for name, row in zip(_names(rows), rows, strict=True)], files


def _claims_of(content: Any, path: Path) -> tuple[str, list[Row]]:
    """The figure of a kept file and its rows. Raises InputError where it has none."""
    try:
        figure, found = _read(content)
    except (KeyError, TypeError, AttributeError):  # fields of another program's file
        figure, found = None, []
    if figure is None:
        raise InputError(
            f"{path}: holds no claims; give FIGURE.json of eval/paper/figures.py run, rounds.json or deep_research.json"
        )
    return figure, found


def goals_of(rows: Sequence[Row]) -> tuple[dict[str, Row], dict[str, list[str]]]:
    """(goals, undecided) as in goals.json: met says that a claim is decided, either way; one that cannot be asked has no number
    and stands with its cause."""
    goals: dict[str, Row] = {}
    undecided: dict[str, list[str]] = {}
    for row in rows:
        if row["verdict"] == UNASKED:
            undecided[row["id"]] = [row["why"] or row["says"]]
            continue
        ours = row["ours"] or {}
        numbers = {name: ours.get(name) for name in ("value", "low", "high", "n") if name in ours}
        goals[row["id"]] = {**numbers, "goal": row["says"], "met": row["verdict"] in DECIDED, "verdict": row["verdict"]}
    return goals, undecided


def _read(content: Mapping[str, Any]) -> tuple[str | None, list[Row]]:
    """(figure, its claims); None: not one of the files."""
    if content.get("figure") in EXPERIMENTS and isinstance(content.get("claims"), list):
        return content["figure"], [{"figure": content["figure"], **row} for row in content["claims"]]
    systems = content.get("systems")
    if not isinstance(systems, list) or not all(isinstance(s, dict) for s in systems):
        return None, []
    if content.get("kind") == "research":
        return "fig7", list(_of_research(systems))
    return ("fig18", [_of_rounds(systems)]) if any("saturated_after" in s for s in systems) else (None, [])


def _of_rounds(systems: Sequence[Mapping[str, Any]]) -> Row:
    """fig18: what later rounds add, together, to the information after the second, among random documents."""
    [claim] = [c for c in PUBLISHED if c.figure == "fig18"]
    asked = (s for s in systems if s["questions"] == LABELS["rounds"] and s["remembers"] and s["rounds"] > ROUNDS_OF_THE_PAPER)
    system = next(asked, None)
    if system is None:
        why = f"needs a system that remembers and has its questions {LABELS['rounds']}, of more than {ROUNDS_OF_THE_PAPER} rounds"
        return _row(claim, ALL, Answer(UNASKED, None, why))
    try:
        return _row(claim, system["label"], _saturation(system))
    except Missing as missing:
        return _row(claim, ALL, Answer(UNASKED, None, str(missing)))


def _saturation(system: Mapping[str, Any]) -> Answer:
    """Does the information among random documents end after the second round? Absent from `saturated_after`: even the last round
    gains; 0 there: nothing is told in any."""
    rounds = system["information"].get("easy")
    if not rounds:
        raise Missing("its talks were not scored among random documents")
    after = system["saturated_after"].get("easy")
    rest = rounds[-1]["gain"] if after is None else system["rest"]["easy"]
    ours = {name: rest[name] for name in ("value", "low", "high", "n")}
    if None in ours.values():
        raise Missing("an interval is unknown")
    if after is None:
        return Answer(FAILS, ours, f"nats of the last of {len(rounds)} rounds: even it still adds")
    if after > ROUNDS_OF_THE_PAPER:
        return Answer(FAILS, ours, f"nats of the rounds after {after}; the one before them still adds")
    if after == 0:
        return Answer(UNDECIDED, ours, f"nats of all rounds: with n = {ours['n']:.0f} none are shown that could saturate")
    most = STILL_ALIKE * rounds[after - 1]["total"]["infonce_nats"]
    if ours["high"] <= most:
        return Answer(HOLDS, ours, f"nats of all rounds after {after}: at most {most:.2g}")
    why = f"nats of all rounds after {after}: none is shown, and with n = {ours['n']:.0f} more than {most:.2g} is not ruled out"
    return Answer(UNDECIDED, ours, why)


def _of_research(systems: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """fig7: found facts that reach the writer in place of RACE, which judges of this size cannot tell; GFLOP in place of money."""
    compressed, raw = LABELS["deep research"]
    by_label = {s["label"]: s for s in systems}
    for claim in (c for c in PUBLISHED if c.figure == "fig7"):
        if compressed not in by_label or raw not in by_label:
            yield _row(claim, ALL, Answer(UNASKED, None, f"needs the systems {compressed!r} and {raw!r}"))
            continue
        if "3B" in claim.quantity:
            yield _row(claim, ALL, Answer(UNASKED, None, "a second compressor was not run"))
            continue
        over, under = by_label[compressed], by_label[raw]
        try:
            if "cost" in claim.quantity:
                gflops = [{"value": s["cost"]["total"]["gflops"]} for s in (over, under)]
                ours = ratio(*gflops)
                yield _row(claim, "GFLOP", Answer(HOLDS if ours["value"] < 1 else FAILS, ours, "counted, reading included"))
                continue
            facts = [{**s["values"]["facts/notes"], "documents": s["values"]["facts/notes"]["n"]} for s in (over, under)]
            ours = ratio(*facts)
            verdict = FAILS if ours["high"] < 1 else HOLDS if ours["low"] > 1 else UNDECIDED
            yield _row(claim, "facts in the notes", Answer(verdict, ours, "asked facts that reach the writer"))
        except Missing as missing:
            yield _row(claim, ALL, Answer(UNASKED, None, str(missing)))


def _not_run(claim: Published) -> Row:
    why = claim.question.why if isinstance(claim.question, NotAsked) else NOT_RUN.format(figure=claim.figure)
    return _row(claim, ALL, Answer(UNASKED, None, why))


def _row(claim: Published, data: str, answer: Answer) -> Row:
    return {"figure": claim.figure, **claim_row(claim, data, answer)}


def _names(rows: Sequence[Row]) -> list[str]:
    """`fig2-accuracy-qwen2-5-coder-1-5b-over-…-records`, with a number behind it where the paper claims the same twice."""
    found: list[str] = []
    for row in rows:
        data = "" if row["data"] == ALL else f" {row['data']}"
        name = re.sub(r"[^a-z0-9]+", "-", f"{row['figure']} {row['quantity']}{data}".lower()).strip("-")
        number = sum(n == name or n.startswith(f"{name}--") for n in found)
        found.append(f"{name}--{number + 1}" if number else name)
    return found
