"""`records`: seeded record-like documents whose facts are known.

Because every document is rendered from its facts, a question, its answer, wrong choices and *exact* counterfactual
documents (the same text with one fact changed) come for free. Three kinds of record (a patient, a company, a
shipment) are written in three styles (prose, note, letter), 80 to 400 words long.

A record is a function of (seed, split, index): splits never share a record, and the first n records of a split do
not depend on how many are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets.record_templates import GENERAL_FILLERS, KINDS, Fact, Kind
from infoagent.types import Change, InputError, Negative, Problem, ProblemSet

SPLITS = {"train": 0, "validation": 1, "test": 2}
DEFAULT_SIZE = {"train": 2000, "validation": 200, "test": 200}
STYLES = ("prose", "note", "letter")
COUNTERFACTUALS = 8
CHOICES = 4
ATTEMPTS = 200

_OPENINGS = {
    "prose": "{title} {code}. This concerns {name} ({group}).",
    "note": "{title} {code}\nName: {name}\n{group_label}: {group}",
    "letter": "Re: {title} {code}\n\nDear colleague,\n\nplease find below what we know about {name} ({group}).",
}
_CLOSINGS = {"prose": "", "note": "", "letter": "\n\nWith kind regards,\nthe records office"}


@dataclass(frozen=True)
class Record:
    """A record before it is written: its facts in order, and everything that decides the wording."""

    kind: Kind
    code: str
    name: str
    group: str
    style: str
    facts: tuple[tuple[Fact, str, int], ...]
    """(fact, value, which of its sentences)."""
    fillers: tuple[tuple[int, str], ...]
    """(the fact that it follows, sentence)."""

    def text(self, changed: dict[str, str] | None = None) -> str:
        """The document; `changed` maps fact keys to other values and alters nothing else."""
        changed = changed or {}
        parts = {
            "title": self.kind.title,
            "code": self.code,
            "name": self.name,
            "group": self.group,
            "group_label": self.kind.group_label,
        }
        lines: list[str] = []
        for position, (fact, value, wording) in enumerate(self.facts):
            lines.append(self.line(fact, changed.get(fact.key, value), wording))
            lines += [filler for after, filler in self.fillers if after == position]
        separator = "\n" if self.style == "note" else " "
        opening = _OPENINGS[self.style].format(**parts)
        gap = "\n\n" if self.style == "letter" else separator
        return opening + gap + separator.join(lines) + _CLOSINGS[self.style]

    def line(self, fact: Fact, value: str, wording: int) -> str:
        """How this record states a fact: a sentence, or an entry of a note."""
        if self.style == "note":
            return f"{fact.label}: {value}"
        sentence = fact.sentences[wording].format(value=value, name=self.name)
        return sentence[0].upper() + sentence[1:]


def draw_record(rng: np.random.Generator, min_words: int, max_words: int) -> Record:
    """One record of a drawn kind and style whose text has between min_words and max_words words."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    style = STYLES[int(rng.integers(len(STYLES)))]
    target = int(rng.integers(min_words, max_words + 1))
    code, name = kind.code(rng), kind.subject(rng)
    group = kind.groups[int(rng.integers(len(kind.groups)))]
    order = [int(i) for i in rng.permutation(len(kind.facts))]
    pool = [(kind.facts[i], kind.facts[i].draw(rng), int(rng.integers(len(kind.facts[i].sentences)))) for i in order]
    # remarks that fit any record are used up last: they make the long documents long
    spare = [GENERAL_FILLERS[int(i)] for i in rng.permutation(len(GENERAL_FILLERS))]
    spare += [kind.fillers[int(i)] for i in rng.permutation(len(kind.fillers))]

    facts: list[tuple[Fact, str, int]] = []
    fillers: list[tuple[int, str]] = []

    def words() -> int:
        return len(Record(kind, code, name, group, style, tuple(facts), tuple(fillers)).text().split())

    while words() < target and (pool or (spare and facts)):  # a filler stands behind a fact
        # two facts to one filler, so that neither runs out long before the other
        take_fact = bool(pool) and (not spare or len(facts) < 4 or rng.random() < 0.67)
        if take_fact:
            facts.append(pool.pop())
        else:
            fillers.append((int(rng.integers(len(facts))), spare.pop()))
        if words() > max_words:  # too long a piece: leave it out and try the next
            (facts if take_fact else fillers).pop()
    return Record(kind, code, name, group, style, tuple(facts), tuple(fillers))


def other_values(fact: Fact, value: str, number: int, rng: np.random.Generator) -> list[str]:
    """Up to `number` different values of `fact` that neither contain `value` nor are contained in it."""
    found: list[str] = []
    for _ in range(50 * number):
        other = fact.draw(rng)
        if other not in found and other not in value and value not in other:
            found.append(other)
        if len(found) == number:
            break
    return found


def make_problem(seed: int, split: str, index: int, min_words: int, max_words: int) -> Problem:
    """The problem number `index` of a split: a record, a question on one of its facts, choices, counterfactuals."""
    return make_known_problem(seed, split, index, min_words, max_words)[0]


def make_known_problem(seed: int, split: str, index: int, min_words: int, max_words: int) -> tuple[Problem, Record, Fact]:
    """A problem with the record that its document was rendered from and the fact that its question asks for."""
    rng = np.random.default_rng([seed, SPLITS[split], index])
    for _ in range(ATTEMPTS):
        record = draw_record(rng, min_words, max_words)
        document = record.text()
        if min_words <= len(document.split()) <= max_words and record.facts:
            break
    else:
        raise InputError(
            f"data.min_words = {min_words}, data.max_words = {max_words}: no record came out so long in {ATTEMPTS} tries; "
            "records have 30 to 450 words, and need some room between the two"
        )
    # a value that stands twice in the text cannot be asked for: the question would have two places
    askable = [(fact, value) for fact, value, _ in record.facts if document.count(value) == 1]
    fact, value = askable[int(rng.integers(len(askable)))]
    others = other_values(fact, value, COUNTERFACTUALS + CHOICES - 1, rng)
    counterfactuals = others[: min(COUNTERFACTUALS, len(others))]
    wrong = others[::-1][: CHOICES - 1]
    choices = [value, *wrong]
    choices = [choices[int(i)] for i in rng.permutation(len(choices))]
    identity = f"records-{split}-{seed}-{index:05d}"
    problem = Problem(
        id=identity,
        document=document,
        query=fact.questions[int(rng.integers(len(fact.questions)))],
        document_id=identity,
        answer=value,
        choices=tuple(choices),
        group=f"{record.kind.name}: {record.group}",
        negatives=tuple(
            Negative("counterfactual", record.text({fact.key: other}), (Change("fact", value, other, mentions=1),))
            for other in counterfactuals
        ),
    )
    return problem, record, fact


@cache
def revision() -> str:
    """Hash of a fixed sample of problems, and of every wording there is: few of the questions stand in a sample."""
    sample = [make_problem(0, split, index, 80, 400) for split in SPLITS for index in range(IDENTITY_SAMPLE)]
    wordings = [(fact.label, fact.questions, fact.sentences) for kind in KINDS for fact in kind.facts]
    return digest([*sample, *wordings, *(kind.fillers for kind in KINDS), GENERAL_FILLERS])


def load(split: str, limit: int | None, seed: int, min_words: int | None, max_words: int | None) -> ProblemSet:
    """`limit` records of `split` (default 2,000 to train, 200 to validate and to test)."""
    low, high = word_limits(min_words, max_words)
    problems = tuple(make_problem(seed, name, index, low, high) for name, index in numbers_of(split, limit))
    return ProblemSet("records", revision(), split, problems)


def word_limits(min_words: int | None, max_words: int | None) -> tuple[int, int]:
    """The fewest and the most words of a record: 80 to 400 where nothing is asked for."""
    low = min_words if min_words is not None else min(80, max_words or 80)
    return low, max_words if max_words is not None else max(400, low)


def numbers_of(split: str, limit: int | None) -> list[tuple[str, int]]:
    """(split, number in it) of the problems that are loaded; `all` is the splits behind each other."""
    splits = list(SPLITS) if split == "all" else [split]
    found = [(name, index) for name in splits for index in range(limit if limit is not None else DEFAULT_SIZE[name])]
    return found if limit is None else found[:limit]
