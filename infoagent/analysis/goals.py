"""Goal attainment: stated bounds on numbers of evaluations, decided from records.

A number is a mean over documents with Student's t interval, problems of one document together; a difference is paired by
problem and draw. A bound is kept by the point estimate, or by the whole interval where it says so. What records cannot decide
is undecided, with its cause, and never unmet.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infoagent.analysis.frontier import last_measured
from infoagent.evaluation.summary import HARD, PREDICTION_QUANTITIES, compression_quantities
from infoagent.files import read_json, read_jsonl
from infoagent.grading.language import keeps_language
from infoagent.information import mean_interval, paired_difference, share_interval
from infoagent.rate_distortion.adherence import adherence
from infoagent.recipes.goals import BoundSection, GoalSection, GoalsRecipe, listed
from infoagent.records.files import DOCUMENTS_FILE, grid_of, read_records
from infoagent.records.grid import CompressionRecord, Draw, GridRecord, PredictionRecord, columns, known
from infoagent.reporting.json_tables import value_at
from infoagent.store import read_if_run
from infoagent.types import Finding, InputError, Mistakes

CHOSEN_ON = ("train", "validation")
"""Splits that train and choose, so that nothing is reported on them."""
SIGN = "="
"""Between the name that a directory's data set is given and the directory."""
Texts = Mapping[str, str]
Who = tuple[str, str]
"""(data set, label of the compressor)."""


@dataclass
class Evaluations:
    """The records of several evaluation directories, by data set and compressor."""

    compressions: dict[Who, dict[str, CompressionRecord]] = field(default_factory=lambda: defaultdict(dict))
    """By key."""
    predictions: dict[Who, dict[str, PredictionRecord]] = field(default_factory=lambda: defaultdict(dict))
    texts: dict[str, str] = field(default_factory=dict)
    """Documents by their key."""
    current: set[str] = field(default_factory=set)
    """Keys of each directory's last evaluation."""
    made: list[dict[str, Any]] = field(default_factory=list)
    """Directory, data sets, commit, command and start of each."""

    @property
    def data(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.compressions))

    def labels(self, data: str) -> list[str]:
        return [label for name, label in self.compressions if name == data]


def read_evaluations(named: Sequence[str]) -> Evaluations:
    """The evaluations `DIR` and `NAME=DIR`; NAME is what the one data set of DIR is called in goals, where its own name is
    that of others too. Raises InputError, every mistake at once."""
    found, mistakes = Evaluations(), Mistakes()
    for argument in named:
        name, sign, directory = argument.partition(SIGN)
        if not sign or Path(argument).is_dir():
            name, directory = "", argument
        with mistakes.of():
            _add(found, directory, name)
    mistakes.end()
    return found


def _add(found: Evaluations, directory: str, name: str) -> None:
    records = grid_of(read_records(directory))
    sets = list(dict.fromkeys(record.data.name for record in records))
    if name and len(sets) > 1:
        raise InputError(f"{directory}: holds several data sets ({', '.join(sets)}); give it without {name}{SIGN}")
    for record in records:
        who = name or record.data.name, record.compressor.label
        if isinstance(record, CompressionRecord):
            found.compressions[who][record.key] = record
        else:
            found.predictions[who][record.key] = record
    texts = Path(directory) / DOCUMENTS_FILE
    if texts.is_file():
        found.texts |= {row["document_key"]: row["text"] for row in read_jsonl(texts)}
    run = read_if_run(directory)
    found.current |= set(run.get("record_keys", []))
    made = {key: run.get(key, "unknown") for key in ("commit", "command", "started")}
    found.made.append({"directory": directory, "data": [name] if name else sets, **made})


def in_order(recipe: GoalsRecipe, goals: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The goals by id, as the recipe lists them."""
    return {goal.id: goals[goal.id] for goal in recipe.goals if goal.id in goals}


@dataclass(frozen=True)
class Decided:
    """An earlier goals.json."""

    goals: dict[str, dict[str, Any]]
    """Each with the commit that decided it."""
    undecided: dict[str, list[str]]
    made: list[dict[str, Any]]
    """Its evaluations."""
    unclean: list[str]
    """Why it could not be repeated from its commits alone, a line each."""

    def standing(self, recipe: GoalsRecipe, undecided: Collection[str]) -> dict[str, dict[str, Any]]:
        """Of the goals that are undecided now those that were decided then, of the same compressors, data and bounds."""
        asked = (goal for goal in recipe.goals if goal.id in undecided and goal.id in self.goals)
        return {goal.id: self.goals[goal.id] for goal in asked if _asks_the_same(recipe, goal, self.goals[goal.id])}


def decided_before(path: Path) -> Decided:
    """What a goals.json of eval/goals.py holds. Raises InputError for any other file."""
    content = read_json(path)
    goals, undecided, commit = content.get("goals"), content.get("undecided", {}), content.get("commit")
    whole = isinstance(goals, dict) and all(isinstance(goal, dict) and "met" in goal for goal in goals.values())
    if not whole or not isinstance(undecided, dict) or not isinstance(commit, str):
        raise InputError(f"--goals {path}: is no goals.json; give one that eval/goals.py wrote")
    named = {name: {"commit": commit, **goal} for name, goal in goals.items()}
    return Decided(named, undecided, content.get("evaluations", []), [f"{path}: {line}" for line in content.get("dirty", [])])


def _asks_the_same(recipe: GoalsRecipe, goal: GoalSection, before: Mapping[str, Any]) -> bool:
    """Whether `before`, as in goals.json, has the words, compressors, data and bounds of today's recipe."""
    asked = [(b.json_place or b.measure, b.rule, recipe.called(b.against) if b.against else None, b.predictor) for b in goal.bounds]
    held = [tuple(b.get(key) for key in ("measure", "bound", "against", "predictor")) for b in before.get("bounds", [])]
    whose = [recipe.called(goal.compressor), listed(goal.data)] if goal.compressor else [None, None]
    return (goal.goal, whose, asked) == (before["goal"], [before.get("compressor"), before.get("data")], held)


def unclean(commit: str, evaluations: Evaluations) -> list[str]:
    """Why these goals could not be repeated from a commit alone, a line each."""
    sources = [("this checkout", commit), *((e["directory"], e["commit"]) for e in evaluations.made)]
    return [f"{who}: commit {said}" for who, said in sources if said.endswith("+changes") or len(said) < 40]


# ---- measures ------------------------------------------------------------------------------------------------------


def _language_kept(record: CompressionRecord, texts: Texts) -> float | None:
    """None where the compression or its document is too short to tell its language."""
    document_text = texts.get(record.document_key or "")
    if document_text is None:
        raise InputError(f"{DOCUMENTS_FILE} does not hold the document of problem {record.problem_id!r}; evaluate again")
    kept = keeps_language(known(record.text), document_text)
    return None if kept is None else float(kept)


def _off_length(record: CompressionRecord, _: Texts) -> float | None:
    asked = record.compressor.budget_tokens
    return None if asked is None else known(record.rate_tokens) / asked


def _of_compression(name: str, complement: bool = False) -> Callable[[CompressionRecord, Texts], float | None]:
    quantity = compression_quantities(0.0)[name]

    def value(record: CompressionRecord, _: Texts) -> float | None:
        if not quantity.exists(record):
            return None
        return 1 - quantity.value(record) if complement else quantity.value(record)

    return value


def _of_prediction(name: str, complement: bool = False) -> Callable[[PredictionRecord, Texts], float | None]:
    quantity = PREDICTION_QUANTITIES[name]

    def value(record: PredictionRecord, _: Texts) -> float | None:
        if not quantity.exists(record):
            return None
        return 1 - quantity.value(record) if complement else quantity.value(record)

    return value


OF_COMPRESSIONS: dict[str, Callable[[CompressionRecord, Texts], float | None]] = {
    "fact_kept": _of_compression("distortion/fact_missing", complement=True),
    "tokens": _of_compression("rate/tokens"),
    "tokens_ratio": _of_compression("rate/tokens"),
    "hard_nats": _of_compression("mi/hard_nats"),
    "language_kept": _language_kept,
    "unsupported": _of_compression("faithfulness/unsupported"),
    "adherence": _off_length,
}
OF_PREDICTIONS: dict[str, Callable[[PredictionRecord, Texts], float | None]] = {
    "accuracy": _of_prediction("distortion/error", complement=True),
    "answer_nll_nats": _of_prediction("distortion/nll"),
}
"""Of one record; None where it has no such number."""
SHARES = ("fact_kept", "language_kept", "unsupported", "accuracy")


# ---- goals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Value:
    """One number of one draw."""

    draw: Draw
    document: tuple[str, str]
    value: float
    candidates: int | None
    """Among how many it was scored, where it is information."""


@dataclass(frozen=True)
class _Side:
    """The numbers of a compressor, and how many are missing from them."""

    values: list[_Value]
    failed: int
    left_out: int


def find_goals(
    recipe: GoalsRecipe, evaluations: Evaluations, directory: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """(what is decided, the causes of what is not), by the id of a goal; JSON files are looked for from `directory`."""
    decided, undecided = {}, {}
    for goal in recipe.goals:
        mistakes, rows = Mistakes(), []
        for bound in goal.bounds:
            with mistakes.of():
                rows.append(_row(recipe, goal, bound, evaluations, directory))
        if mistakes.lines:
            undecided[goal.id] = mistakes.lines
            continue
        first = {key: rows[0][key] for key in ("value", "low", "high", "n")}
        whose = {"data": listed(goal.data), "compressor": recipe.called(goal.compressor)} if goal.compressor else {}
        met = all(row["met"] for row in rows)
        decided[goal.id] = {**first, "goal": goal.goal, "met": met, **whose, "bounds": rows}
    return decided, undecided


def _row(recipe: GoalsRecipe, goal: GoalSection, bound: BoundSection, evaluations: Evaluations, directory: Path) -> dict[str, Any]:
    if bound.json_place is not None:
        found, row = _in_file(bound.json_place, directory), {"measure": bound.json_place}
    else:
        found, row = _measured(recipe, goal, bound, evaluations)
    if bound.interval_above is not None and math.isnan(found.low):
        alike = ", which all differ by the same" if bound.against is not None and found.n > 1 else ""
        raise InputError(f"{row['measure']}: its interval is unknown ({found.n} documents{alike})")
    numbers = {**vars(found), "n": row.pop("questions", found.n or None)}
    return {**numbers, "met": bound.is_kept_by(found.value, found.low), "bound": bound.rule, **row}


def _in_file(place: str, directory: Path) -> Finding:
    try:
        held = value_at(place, directory)
        row = held if isinstance(held, Mapping) else {"value": held}
        low, high = (math.nan if row.get(side) is None else row[side] for side in ("low", "high"))
        found = Finding(row["value"], low, high, row.get("n", 0))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        said = error.problems[0] if isinstance(error, InputError) else f"{directory}: nothing at {place}"
        raise InputError(said) from None
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in vars(found).values()):
        raise InputError(f"{directory}: {place} is no number")
    return found


def _measured(
    recipe: GoalsRecipe, goal: GoalSection, bound: BoundSection, evaluations: Evaluations
) -> tuple[Finding, dict[str, Any]]:
    sets, measure = listed(goal.data), str(bound.measure)
    side = _side(recipe.called(str(goal.compressor)), sets, bound, evaluations)
    row: dict[str, Any] = {"measure": measure, "failed": side.failed, "left_out": side.left_out}
    if bound.predictor is not None:
        row["predictor"] = bound.predictor
    values: list[_Value] = side.values
    other: list[float] = []
    if bound.against is not None:
        against = recipe.called(bound.against)
        held = _side(against, sets, bound, evaluations)
        values, other = _paired(side.values, held.values)
        unpaired = len({v.draw for v in side.values} ^ {v.draw for v in held.values})
        row |= {"against": against, "unpaired": unpaired, "failed": side.failed + held.failed}
        row["left_out"] += held.left_out
    questions = {name: len({v.draw[1] for v in values if v.draw[0] == name}) for name in sets}
    few = {name: n for name, n in questions.items() if n < recipe.fewest_questions}
    if few:
        asked = f"{measure}{' against ' + repr(bound.against) if bound.against else ''}"
        told = [
            f"{asked} is known of {n} questions on {name!r}, at least {recipe.fewest_questions} are wanted"
            for name, n in few.items()
        ]
        raise InputError(told)
    row["questions"] = sum(questions.values())
    documents = [v.document for v in values]
    row["documents"] = len(set(documents))
    with warnings.catch_warnings():  # an interval that is not known is null in the table
        warnings.simplefilter("ignore", RuntimeWarning)
        return _estimate(measure, [v.value for v in values], other, documents), row


def _estimate(measure: str, values: Sequence[float], other: Sequence[float], documents: Sequence[tuple[str, str]]) -> Finding:
    if measure == "adherence":
        return adherence([1.0] * len(values), values, ["\0".join(d) for d in documents]).median_error
    if measure != "tokens_ratio":
        if other:
            return paired_difference(values, other, documents)
        return (share_interval if measure in SHARES else mean_interval)(values, documents)
    below = mean_interval(other, documents).value
    if not below:
        raise InputError("tokens_ratio: the other compressor writes nothing")
    # a ratio of means, its error by linearisation: Cochran 1977, Sampling Techniques, 6.4
    ratio = mean_interval(values, documents).value / below
    return mean_interval([ratio + (v - ratio * o) / below for v, o in zip(values, other, strict=True)], documents)


def _side(labels: Sequence[str], sets: Sequence[str], bound: BoundSection, evaluations: Evaluations) -> _Side:
    """The numbers of `labels` on `sets` together. Raises InputError for what is not there, a line for each label."""
    values, missing, failed, left_out = [], [], 0, 0
    for name in sets:
        there = evaluations.labels(name)
        if not there:
            missing.append(f"no records of data {name!r}, give {name}{SIGN}DIR; there are {', '.join(evaluations.data)}")
            continue
        for label in labels:
            if label not in there:
                missing.append(f"no records of compressor {label!r} on {name!r}; there are {', '.join(there)}")
                continue
            records = _asked(name, label, bound, evaluations)
            failed += sum(not record.is_ok for record in records)
            if bound.measure in OF_PREDICTIONS:  # nobody was asked about a compression that failed
                failed += sum(not record.is_ok for record in _counting(name, label, evaluations))
            good = [record for record in records if record.is_ok]
            numbers = [(record, _number(record, bound, evaluations.texts)) for record in good]
            known_ones = [_value(name, record, number, bound) for record, number in numbers if number is not None]
            if not known_ones:
                missing.append(f"{bound.measure} is known of no record of {label!r} on {name!r}")
            left_out += len(good) - len(known_ones)
            values += known_ones
    if missing:
        raise InputError(missing)
    return _Side(values, failed, left_out)


def _counting(name: str, label: str, evaluations: Evaluations) -> list[CompressionRecord]:
    return last_measured(list(evaluations.compressions[name, label].values()), evaluations.current)


def _asked(name: str, label: str, bound: BoundSection, evaluations: Evaluations) -> Sequence[CompressionRecord | PredictionRecord]:
    """The compressions of a label that count, or what a predictor made of them."""
    counting = _counting(name, label, evaluations)
    if counting[0].data.split in CHOSEN_ON:
        raise InputError(f"{label!r} on {name!r}: split {counting[0].data.split!r} trains or chooses; evaluate on test")
    if bound.measure in OF_COMPRESSIONS:
        return counting
    keys = {record.key for record in counting}
    answers = [a for a in evaluations.predictions[name, label].values() if a.compression_key in keys]
    answers = [a for a in answers if a.key in evaluations.current] or answers  # not those of earlier settings as well
    titles = list(dict.fromkeys(a.predictor.title for a in answers))
    if bound.predictor is None and len(titles) > 1:
        raise InputError(f"{bound.measure}: several predictors answered, set predictor to one of {', '.join(titles)}")
    if bound.predictor is not None and bound.predictor not in titles:
        raise InputError(f"{bound.measure}: no predictor {bound.predictor!r} on {name!r}; there are {', '.join(titles) or 'none'}")
    return [a for a in answers if bound.predictor in (None, a.predictor.title)]


def _number(record: GridRecord, bound: BoundSection, texts: Texts) -> float | None:
    if isinstance(record, PredictionRecord):
        return OF_PREDICTIONS[str(bound.measure)](record, texts)
    return OF_COMPRESSIONS[str(bound.measure)](record, texts)


def _value(name: str, record: GridRecord, number: float, bound: BoundSection) -> _Value:
    among = None
    if bound.measure == "hard_nats" and isinstance(record, CompressionRecord):
        among = len(columns(known(record.candidates), HARD))
    return _Value((name, *record.draw[1:]), (name, record.document_id), number, among)


def _paired(first: Collection[_Value], second: Collection[_Value]) -> tuple[list[_Value], list[float]]:
    """Each number of `first` that has a partner, and its partner: the mean of `second` on the same draw."""
    held: dict[Draw, list[_Value]] = defaultdict(list)
    for value in second:
        held[value.draw].append(value)
    pairs = [(value, held[value.draw]) for value in first if value.draw in held]
    if any(value.document != other.document for value, others in pairs for other in others):
        raise InputError("the two were asked on different documents under the same names; evaluate them in one recipe")
    if any(value.candidates != other.candidates for value, others in pairs for other in others):
        raise InputError("hard_nats: the two were scored among different numbers of counterfactuals; evaluate them in one recipe")
    return [value for value, _ in pairs], [math.fsum(o.value for o in others) / len(others) for _, others in pairs]
