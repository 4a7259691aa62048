"""`python-functions`: code from a specification in prose.

A document describes two small Python functions, between remarks on their module; the task is to write one of them. What
it must do hangs on two or three parameters (a limit, a rate, a word) that stand in the description and that no reader can
guess, so a compression has to keep them. The reference, the tests and the exact counterfactuals (the same document with
one parameter changed, for which the reference fails the tests) come from the same parameters. The wrong choices are the
references of counterfactuals.

A problem is a function of (seed, split, index).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.records import SPLITS
from infoagent.data.sets.statements import draw_layout, draw_problem, problem_set
from infoagent.types import Change, Negative, Problem, ProblemSet, Trial

SIZES = {"train": 2000, "validation": 200, "test": 200}
WORDS = (70, 130)
COUNTERFACTUALS = 6
CHOICES = 4
Values = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """A function with parameters. `inputs` are argument lists that tell any two settings of its parameters apart."""

    name: str
    signature: str
    parameters: dict[str, tuple[Any, ...]]
    """What each may be."""
    description: str
    """What it does, with the {parameters}."""
    code: str
    compute: Callable[..., Any]
    """The same, of the arguments and the parameters."""
    inputs: Callable[[Values], list[tuple[Any, ...]]]
    fits: Callable[[Values], bool] = lambda values: True

    def reference(self, values: Values) -> str:
        return self.code.format(**{name: f"{value!r}" for name, value in values.items()})

    def trial(self, values: Values) -> Trial:
        lines = []
        for arguments in self.inputs(values):
            call = f"{self.name}({', '.join(map(repr, arguments))})"
            lines.append(f"assert {call} == {self.compute(*arguments, **values)!r}, {call!r}")
        return Trial(self.name, "\n".join(lines))


FUNCTIONS = (
    Function(
        "parcel_fee", "parcel_fee(weight)",
        {"base": tuple(range(4, 19)), "limit": tuple(range(5, 31)), "extra": tuple(range(2, 10))},
        "`parcel_fee(weight)` gives a fee in euros for whole kilograms. Up to {limit} kilograms the fee is {base} euros. "
        "Each kilogram above that adds {extra} euros.",
        "def parcel_fee(weight):\n    if weight <= {limit}:\n        return {base}\n    return {base} + {extra} * (weight - {limit})",
        lambda weight, base, limit, extra: base if weight <= limit else base + extra * (weight - limit),
        lambda v: [(1,), (v["limit"] - 1,), (v["limit"],), (v["limit"] + 1,), (v["limit"] + 7,)],
    ),
    Function(
        "discounted", "discounted(total)",
        {"threshold": tuple(range(110, 400, 10)), "percent": tuple(range(3, 41))},
        "`discounted(total)` gives the price after the discount in whole euros. From a total of {threshold} euros on, "
        "{percent} percent of it, rounded down, are taken off. A lower total stays as it is.",
        "def discounted(total):\n    if total >= {threshold}:\n        return total - total * {percent} // 100\n    return total",
        lambda total, threshold, percent: total - total * percent // 100 if total >= threshold else total,
        lambda v: [(90,), (v["threshold"] - 1,), (v["threshold"],), (2 * v["threshold"] + 7,), (1000,)],
    ),
    Function(
        "clamp_level", "clamp_level(value)",
        {"low": tuple(range(11, 50)), "high": tuple(range(51, 99))},
        "`clamp_level(value)` keeps a level within bounds. A value below {low} becomes {low}, one above {high} becomes "
        "{high}, and any other is given back.",
        "def clamp_level(value):\n    return max({low}, min({high}, value))",
        lambda value, low, high: max(low, min(high, value)),
        lambda v: [(0,), (v["low"],), (v["low"] + 1,), (50,), (v["high"],), (v["high"] + 1,), (500,)],
    ),
    Function(
        "is_due", "is_due(day)",
        {"cycle": tuple(range(5, 21)), "first": (1, 2, 3, 4)},
        "`is_due(day)` says whether the pump is serviced on a day, by True or False. It is on day {first}, and then every "
        "{cycle} days; before day {first} it is not.",
        "def is_due(day):\n    return day >= {first} and (day - {first}) % {cycle} == 0",
        lambda day, cycle, first: day >= first and (day - first) % cycle == 0,
        lambda v: [(day,) for day in (0, 1, 2, 3, 4, v["first"] + v["cycle"], v["first"] + v["cycle"] + 1, v["first"] + 2 * v["cycle"])],
    ),
    Function(
        "size_class", "size_class(grams)",
        {"small": tuple(range(100, 500, 20)), "large": tuple(range(700, 2000, 50)), "word": ("bulky", "heavy", "freight", "oversize")},
        "`size_class(grams)` names the class of a letter. Below {small} grams it is 'light', from {large} grams on "
        "'{word}', and in between 'normal'.",
        "def size_class(grams):\n    if grams < {small}:\n        return 'light'\n    return {word} if grams >= {large} else 'normal'",
        lambda grams, small, large, word: "light" if grams < small else word if grams >= large else "normal",
        lambda v: [(v["small"] - 1,), (v["small"],), (v["large"] - 1,), (v["large"],), (5000,)],
    ),
    Function(
        "check_digit", "check_digit(number)",
        {"factor": tuple(range(3, 20)), "shift": tuple(range(21, 60)), "modulus": (61, 67, 71, 73, 79, 83, 89, 97)},
        "`check_digit(number)` makes a check value. The number is multiplied by {factor}, {shift} is added, and the result "
        "is the remainder of a division by {modulus}.",
        "def check_digit(number):\n    return ({factor} * number + {shift}) % {modulus}",
        lambda number, factor, shift, modulus: (factor * number + shift) % modulus,
        lambda v: [(0,), (1,), (2,), (10,), (123,), (4567,)],
    ),
    Function(
        "pad_code", "pad_code(text)",
        {"width": tuple(range(6, 19)), "sign": ("0", "x", "#", "*", "%", "+")},
        "`pad_code(text)` brings a code to its printed form. Codes of fewer than {width} characters are filled up on the "
        "left with the sign '{sign}'; longer ones stay as they are.",
        "def pad_code(text):\n    return text.rjust({width}, {sign})",
        lambda text, width, sign: text.rjust(width, sign),
        lambda v: [("A7",), ("B" * (v["width"] - 1),), ("C" * v["width"],), ("D" * (v["width"] + 2),)],
    ),
    Function(
        "league_points", "league_points(wins, draws)",
        {"win": tuple(range(4, 13)), "draw": (1, 2, 3), "bonus": tuple(range(13, 40))},
        "`league_points(wins, draws)` counts the points of a team: {win} for each win, {draw} for each draw, and {bonus} "
        "more for a team with at least one win.",
        "def league_points(wins, draws):\n    points = {win} * wins + {draw} * draws\n    return points + {bonus} if wins > 0 else points",
        lambda wins, draws, win, draw, bonus: win * wins + draw * draws + (bonus if wins > 0 else 0),
        lambda v: [(0, 0), (0, 3), (1, 0), (5, 2)],
    ),
    Function(
        "rest_minutes", "rest_minutes(hours)",
        {"every": tuple(range(3, 9)), "minutes": tuple(range(10, 60, 5)), "most": (90, 120, 150, 180, 240)},
        "`rest_minutes(hours)` gives the rest that a driver takes. For every {every} full hours it is {minutes} minutes, "
        "but never more than {most} minutes in all.",
        "def rest_minutes(hours):\n    return min({most}, hours // {every} * {minutes})",
        lambda hours, every, minutes, most: min(most, hours // every * minutes),
        lambda v: [(v["every"] - 1,), (v["every"],), (v["every"] + 1,), (2 * v["every"] - 1,), (200,)],
    ),
    Function(
        "sample_rows", "sample_rows(rows)",
        {"skip": tuple(range(2, 9)), "step": tuple(range(9, 16))},
        "`sample_rows(rows)` thins out a list. The first {skip} rows are dropped. The next one is kept, and then "
        "always the one {step} places on, as a list.",
        "def sample_rows(rows):\n    return rows[{skip}::{step}]",
        lambda rows, skip, step: rows[skip::step],
        lambda v: [([*range(5)],), ([*range(40)],)],
    ),
)  # fmt: skip
OPENINGS = (
    "Notes on the module tools.", "From the handbook of the office software.", "What the scripts of the depot do.",
    "Hand-over of the helper functions.",
)  # fmt: skip
REMARKS = (
    "Nobody remembers who wrote the first version.", "The module is loaded when the program starts.",
    "Errors are written to the usual log.", "An older copy in another language was given up.",
    "Names follow the rules of the house.", "The functions are called from the nightly job.",
    "There is no graphical interface for this.", "Changes are announced a week before.",
    "Please keep the file free of tabs.", "The reviewers asked for shorter names.",
    "Everything runs on the old server as well.", "A colleague is writing a longer manual.",
)  # fmt: skip


def make_problem(seed: int, split: str, index: int, low: int, high: int) -> Problem:
    """The problem number `index` of a split."""
    identity = f"python-functions-{split}-{seed}-{index:05d}"
    rng = np.random.default_rng([seed, SPLITS[split], index])
    return draw_problem(rng, lambda rng: _attempt(rng, identity, low, high), "python-functions", low, high)


def _draw(rng: np.random.Generator, function: Function) -> Values:
    return {name: values[int(rng.integers(len(values)))] for name, values in function.parameters.items()}


def _attempt(rng: np.random.Generator, identity: str, low: int, high: int) -> Problem | None:
    function, other = (FUNCTIONS[int(i)] for i in rng.permutation(len(FUNCTIONS))[:2])
    values, others = _draw(rng, function), _draw(rng, other)
    if len({str(v) for v in (*values.values(), *others.values())}) < len(values) + len(others):
        return None  # a parameter that stands twice could be kept by mistake
    rest = [other.description.format(**others), *REMARKS]

    def statements(values: Values) -> list[str]:
        return [function.description.format(**values), *rest]

    layout = draw_layout(rng, OPENINGS[int(rng.integers(len(OPENINGS)))], statements(values), 2, low, high)
    if layout is None:
        return None
    negatives: dict[str, Negative] = {}  # by reference
    names = list(values)
    for turn in range(10 * COUNTERFACTUALS):  # the parameters by turns
        name = names[turn % len(names)]
        changed = {**values, name: _draw(rng, function)[name]}
        taken = {str(v) for v in (*values.values(), *others.values())}
        if str(changed[name]) not in taken and len(negatives) < COUNTERFACTUALS:
            change = Change("parameter", str(values[name]), str(changed[name]), mentions=1)
            document = layout.text(statements(changed))
            negatives.setdefault(function.reference(changed), Negative("counterfactual", document, (change,)))
    choices = [function.reference(values), *list(negatives)[: CHOICES - 1]]
    return Problem(
        identity,
        layout.text(statements(values)),
        f"Write the Python function `{function.signature}`.",
        identity,
        answer=choices[0],
        choices=tuple(choices[int(i)] for i in rng.permutation(len(choices))),
        group=function.name,
        negatives=tuple(negatives.values()),
        needs=tuple(str(v) for v in values.values()),
        evidence=(statements(values)[0],),
        trial=function.trial(values),
    )


@cache
def revision() -> str:
    """Hash of a fixed sample of problems."""
    return digest(make_problem(0, split, index, *WORDS) for split in SPLITS for index in range(IDENTITY_SAMPLE))


def load(split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """`limit` problems of `split` (default 2,000 to train, 200 to validate and to test)."""
    low = min_words if min_words is not None else min(WORDS[0], max_words or WORDS[0])
    high = max_words if max_words is not None else max(WORDS[1], low)
    return problem_set(
        "python-functions", revision(), split, limit, SIZES, lambda part, index: make_problem(seed, part, index, low, high)
    )
