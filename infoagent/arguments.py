"""Command lines: types of arguments that several commands share, and a parser that tells every mistake in a line of its
own before anything else is imported or read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from infoagent.files import check_output_file
from infoagent.types import InputError

MOST = 10**9
"""Of counts and amounts: far above what any machine can do, far below where arithmetic ends."""


@dataclass(frozen=True)
class _Mistake:
    """In the place of a value; the parser knows whose it is."""

    said: str


class _Gathered(argparse.Action):
    """The values of an option with several, of all the times it is given: argparse alone keeps those of the last."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*([] if before is self.default else before), *values])


class Parser(argparse.ArgumentParser):
    """Raises InputError in the place of printing its usage, with a line for each value that is not allowed. An option of several
    values may be given several times."""

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        if names[0].startswith("-") and options.get("nargs") in ("+", "*"):
            options.setdefault("action", _Gathered)
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        return self.checked(super().parse_args(args, namespace))

    def parse_intermixed_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        return self.checked(super().parse_intermixed_args(args, namespace))

    @staticmethod
    def checked(found: argparse.Namespace) -> argparse.Namespace:
        """`found`, which parse_known_args leaves as it is. Raises InputError for values that are not allowed."""
        wrong = [
            f"--{name.replace('_', '-')} {value.said}"
            for name, held in vars(found).items()
            for value in (held if isinstance(held, list) else [held])
            if isinstance(value, _Mistake)
        ]
        if wrong:
            raise InputError(wrong)
        return found


def whole(least: int, most: int = MOST) -> Callable[[str], int | _Mistake]:
    """Integers from `least` to `most`."""

    def parse(text: str) -> int | _Mistake:
        try:
            value = int(text[:20])  # more digits are too large in any case, and take long to read
        except ValueError:
            return _Mistake(f"{text[:40]}: must be a whole number of at least {least}")
        if len(text) > 20 or value > most:
            return _Mistake(f"{text[:40]}: must be at most {most}")
        return value if value >= least else _Mistake(f"{text}: must be at least {least}")

    return parse


def real(least: float, most: float = MOST, above: bool = False) -> Callable[[str], float | _Mistake]:
    """Finite numbers from `least`, or above it, to `most`."""
    rule = f"above {least:g}" if above else f"at least {least:g}"

    def parse(text: str) -> float | _Mistake:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            return _Mistake(f"{text[:40]}: must be a number {'' if above else 'of '}{rule}")
        if value > most:
            return _Mistake(f"{text[:40]}: must be at most {most:g}")
        return value if value > least or (value == least and not above) else _Mistake(f"{text[:40]}: must be {rule}")

    return parse


COUNT, NATURAL = whole(1), whole(0)
SEED = whole(0, 2**32 - 1)
PORT = whole(0, 2**16 - 1)
MEMORY_MIB = whole(1, 2**30)
TEMPERATURE = real(0, 100)
MONEY = real(0, 1e6)
"""US dollars: prices of a million tokens, and limits."""


def existing_file(hint: str) -> Callable[[str], str | _Mistake]:
    """The name of a file that is there; `hint` says what to give."""

    def parse(text: str) -> str | _Mistake:
        try:
            there = Path(text).is_file()
        except (OSError, ValueError):  # no name of a file at all
            there = False
        return text if there else _Mistake(f"{text[:200]}: no such file; {hint}")

    return parse


def written_by(program: str) -> Callable[[str], str | _Mistake]:
    """A file that `program` may write: a new one, or its own earlier output."""

    def parse(text: str) -> str | _Mistake:
        try:
            check_output_file(text, program, said="")
        except InputError as error:
            return _Mistake(error.problems[0].strip())
        return text

    return parse
