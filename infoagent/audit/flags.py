"""Rules that say when a training run is paid for something else than what it is for.

A rule compares the first quarter of a run with its last one. A metric has risen (or fallen) when the difference of
the two means is at least a smallest change that matters, and Welch's t-test over the steps of both quarters puts
the chance of such a difference, were there none, below a limit:

    rules of two metrics     MET_LIMIT = 0.01 for each of the two
    rules of one metric      ALONE_LIMIT = 0.0002

The limits are that low because the rules are asked again at every step of a run: of simulated runs of 100 steps that
learn nothing, 3.5 % (400 runs) raise a flag at some step. What they find, at 16 compressions a step: the asked fact
missing in 30 points more of the compressions while MI rises by 0.5 nats is flagged in 93 % of runs of 100 steps, in 45 %
of runs of 50. Steps are taken as independent: every step brings other documents. A metric that was logged for fewer
than LEAST_VALUES steps in a quarter decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr

StepMetrics = Mapping[str, Any]
"""A line of metrics.jsonl."""
Severity = Literal["alarm", "warning"]

PART = 4
"""First and last quarter of a run are compared."""
LEAST_STEPS = 24
"""A shorter run is not judged."""
LEAST_VALUES = 3
"""So many steps of a quarter must have the metric; accuracy is taken at every tenth step or so."""
MET_LIMIT = 0.01
ALONE_LIMIT = 0.0002
AT_CEILING = 0.9
"""Above this share of its ceiling, information cannot rise any more."""
BLIND_MISSING = 0.25
"""With the reward at its ceiling, more than this share of compressions without the asked fact means a blind reward."""

SMALLEST = {
    "mi/nats": 0.05,
    "mi/easy_nats": 0.05,
    "mi/hard_nats": 0.05,
    "audit/accuracy": 0.05,
    "distortion/fact_missing": 0.05,
    "faithfulness/unsupported": 0.05,
    "audit/identifier_only": 0.1,
    "audit/symbol_share": 0.02,
    "audit/foreign_letters": 0.02,
    "audit/unknown_words": 0.1,
    "audit/distinct_2": 0.05,
    "audit/distinct_2_set": 0.05,
    "audit/repeated_words": 2.0,
    "reward/truncated": 0.1,
    "reward/gated": 0.05,
}
"""The smallest change of a metric that matters, in its own unit; of a metric that no rule asks for, any."""


@dataclass(frozen=True)
class Flag:
    """A suspicion with its numbers. `alarm`: the reward pays for the wrong thing; `warning`: the texts get worse."""

    name: str
    sentence: str
    severity: Severity


@dataclass(frozen=True)
class Change:
    """A metric in the first and in the last quarter. `p_rise` is the chance of such a rise or more, were there none."""

    first: float
    last: float
    p_rise: float
    smallest: float

    def rises(self, limit: float) -> bool:
        return self.last - self.first >= self.smallest and self.p_rise < limit

    def falls(self, limit: float) -> bool:
        return self.first - self.last >= self.smallest and 1 - self.p_rise < limit


def change(history: Sequence[StepMetrics], name: str) -> Change | None:
    """The change of a metric between the first and the last quarter of the rows, or None where it cannot be told."""
    part = len(history) // PART
    first, last = (_values(rows, name) for rows in (history[:part], history[len(history) - part :]))
    if part * PART < LEAST_STEPS or min(len(first), len(last)) < LEAST_VALUES:
        return None
    variances = np.array([first.var(ddof=1) / len(first), last.var(ddof=1) / len(last)])
    difference = float(last.mean() - first.mean())
    if variances.sum() > 0:  # Welch-Satterthwaite
        freedom = variances.sum() ** 2 / (variances**2 / [len(first) - 1, len(last) - 1]).sum()
        p_rise = float(stdtr(freedom, -difference / math.sqrt(variances.sum())))
    else:
        p_rise = 0.5 if difference == 0 else float(difference < 0)
    return Change(float(first.mean()), float(last.mean()), p_rise, SMALLEST.get(name, 0.0))


def flags(history: Sequence[StepMetrics], hard_ceiling_nats: float | None = None) -> list[Flag]:
    """The flags of a run, worst first. `history` are rows of metrics.jsonl, one a step, in the order of the steps.

    `hard_ceiling_nats` is log(1 + counterfactuals): it tells hard information that cannot rise any more from hard
    information that the policy leaves lying.
    """
    changes = {name: change(history, name) for name in SMALLEST}
    found = [
        flag
        for rule in (_paid_for_loss, _identifier_hacking, _blind_reward, _single)
        for flag in rule(changes, history, hard_ceiling_nats)
    ]
    return sorted(found, key=lambda f: f.severity != "alarm")


Changes = Mapping[str, Change | None]


def _paid_for_loss(changes: Changes, history: Sequence[StepMetrics], ceiling: float | None) -> Iterator[Flag]:
    """Information rises while what it is for gets worse."""
    mi = changes["mi/nats"]
    if mi is None or not mi.rises(MET_LIMIT):
        return
    told = f"MI rose from {mi.first:.2f} to {mi.last:.2f} nats while"
    accuracy = changes["audit/accuracy"]
    if accuracy is not None and accuracy.falls(MET_LIMIT):
        yield Flag(
            "accuracy_falls",
            f"{told} accuracy fell from {_range(accuracy)}: the reward pays for something that does not answer the question.",
            "alarm",
        )
    missing = changes["distortion/fact_missing"]
    if missing is not None and missing.rises(MET_LIMIT):
        yield Flag("fact_lost", f"{told} the share of compressions without the asked fact rose from {_range(missing)}.", "alarm")
    invented = changes["faithfulness/unsupported"]
    if invented is not None and invented.rises(MET_LIMIT):
        yield Flag(
            "invention",
            f"{told} the share of compressions with numbers or names that the document does not have rose from {_range(invented)}.",
            "alarm",
        )


def _identifier_hacking(changes: Changes, history: Sequence[StepMetrics], ceiling: float | None) -> Iterator[Flag]:
    """Information among other documents rises, information among versions of the same document does not.

    Since "does not rise" is no finding, the rise must pass the strict limit.
    """
    easy, hard = changes["mi/easy_nats"], changes["mi/hard_nats"]
    if easy is None or hard is None or not easy.rises(ALONE_LIMIT):
        return
    if ceiling is not None and hard.last >= AT_CEILING * ceiling:
        return
    if hard.last - hard.first < hard.smallest:
        verb = "fell" if hard.falls(MET_LIMIT) else "stayed"
        yield Flag(
            "identifier_hacking",
            f"MI among other documents rose from {easy.first:.2f} to {easy.last:.2f} nats while MI among versions of the "
            f"same document {verb} ({hard.first:.2f} to {hard.last:.2f}): the policy learns which document it is, not "
            "what is asked.",
            "alarm" if verb == "fell" else "warning",
        )


def _blind_reward(changes: Changes, history: Sequence[StepMetrics], ceiling: float | None) -> Iterator[Flag]:
    """MI near its ceiling while many compressions lack the fact: these negatives cannot tell the difference."""
    part = len(history) // PART
    last = history[len(history) - part :]
    shares = np.array([r["mi/nats"] / r["mi/ceiling_nats"] for r in last if "mi/nats" in r and r.get("mi/ceiling_nats")])
    missing = _values(last, "distortion/fact_missing")
    if part * PART < LEAST_STEPS or min(len(shares), len(missing)) < LEAST_VALUES:
        return
    if _p_above(shares, AT_CEILING) < MET_LIMIT and _p_above(missing, BLIND_MISSING) < MET_LIMIT:
        yield Flag(
            "blind_reward",
            f"MI is at {100 * shares.mean():.0f} % of its ceiling while {100 * missing.mean():.0f} % of compressions lack "
            "the asked fact: these negatives cannot tell the difference; add counterfactual ones.",
            "alarm",
        )


SINGLE: tuple[tuple[str, str, int, str, Severity], ...] = (
    # name, metric, direction, what it is, severity
    ("identifier_only", "audit/identifier_only", +1, "the share of compressions that only name the document", "alarm"),
    ("symbols", "audit/symbol_share", +1, "the share of odd symbols", "warning"),
    ("foreign_letters", "audit/foreign_letters", +1, "the share of letters of foreign scripts", "warning"),
    ("unknown_words", "audit/unknown_words", +1, "the share of words from nowhere", "warning"),
    ("repetition", "audit/distinct_2", -1, "the share of different word pairs in a compression", "warning"),
    ("repetition_run", "audit/repeated_words", +1, "the longest run of words that a compression says twice", "warning"),
    ("truncation", "reward/truncated", +1, "the share of compressions cut at the length limit", "warning"),
    ("gated", "reward/gated", +1, "the share of empty or looping compressions", "warning"),
)


def _single(changes: Changes, history: Sequence[StepMetrics], ceiling: float | None) -> Iterator[Flag]:
    """Texts get worse, whatever the reward does. Texts growing alike is one only if information falls with it: a policy
    that has settled on a good sentence writes it for every sample of a group."""
    for name, metric, direction, title, severity in SINGLE:
        found = changes[metric]
        if found is not None and (found.rises(ALONE_LIMIT) if direction > 0 else found.falls(ALONE_LIMIT)):
            numbers = _range(found) if metric != "audit/repeated_words" else f"{found.first:.1f} to {found.last:.1f} words"
            yield Flag(name, f"{title[0].upper()}{title[1:]} {'rose' if direction > 0 else 'fell'} from {numbers}.", severity)
    mi, alike = changes["mi/nats"], changes["audit/distinct_2_set"]
    if mi is not None and alike is not None and mi.falls(MET_LIMIT) and alike.falls(MET_LIMIT):
        yield Flag(
            "collapse",
            f"The share of different word pairs over all compressions of a step fell from {_range(alike)} and MI with it, "
            f"from {mi.first:.2f} to {mi.last:.2f} nats: the policy writes the same for every document.",
            "alarm",
        )


class FlagHistory:
    """The flags of a run as it goes: since which step each has stood, and until when."""

    def __init__(self, hard_ceiling_nats: float | None = None) -> None:
        self.hard_ceiling_nats = hard_ceiling_nats
        self.rows: list[StepMetrics] = []
        self._seen: dict[str, dict[str, Any]] = {}

    def add(self, row: StepMetrics) -> list[Flag]:
        """Take the row of one step; returns the flags that appear for the first time."""
        self.rows.append(row)
        new = []
        for flag in flags(self.rows, self.hard_ceiling_nats):
            if flag.name not in self._seen:
                self._seen[flag.name] = {"name": flag.name, "first_step": row["step"]}
                new.append(flag)
            self._seen[flag.name] |= {"severity": flag.severity, "sentence": flag.sentence, "last_step": row["step"]}
        return new

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the last step and every flag with its first and last step; it stands still if its last step is
        the run's."""
        step = self.rows[-1]["step"] if self.rows else 0
        return {"step": step, "flags": [{**seen, "standing": seen["last_step"] == step} for seen in self._seen.values()]}


def _values(rows: Sequence[StepMetrics], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([row[name] for row in rows if name in row], dtype=float)


def _p_above(values: np.ndarray[Any, np.dtype[np.float64]], level: float) -> float:
    """The chance of such a mean or a higher one, were the true mean `level`; one-sided t-test."""
    error = values.std(ddof=1) / math.sqrt(len(values))
    if error == 0:
        return float(values.mean() <= level)
    return float(stdtr(len(values) - 1, -(values.mean() - level) / error))


def _range(found: Change) -> str:
    return f"{100 * found.first:.1f} % to {100 * found.last:.1f} %"
