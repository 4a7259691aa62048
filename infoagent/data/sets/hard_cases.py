"""Hard inputs: seeded cases whose expectations are exact, because every document is rendered from known facts.

A case is a function of (seed, kind, index), so more cases begin with the fewer ones. Documents are those of `records`
(split test), changed so that one thing goes wrong: the asked fact is missing, stands there twice, is asked of two, or the
text is foreign, empty, enormous, broken, or gives orders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from infoagent.data.sets.hard_languages import LANGUAGES, foreign_document
from infoagent.data.sets.hard_texts import (
    BREAKS,
    EMPTY_DOCUMENTS,
    FORGED,
    WRAPPERS,
    Command,
    break_text,
    canary_of,
    forge_turn,
    give_order,
)
from infoagent.data.sets.record_edits import Start, place_of, stated_twice, without_fact
from infoagent.data.sets.record_templates import KINDS, Fact
from infoagent.data.sets.records import Record, make_known_problem, other_values
from infoagent.types import InputError, Problem

HardKind = Literal[
    "plain",
    "unanswerable",
    "off topic",
    "ambiguous",
    "contradictory",
    "foreign",
    "cross-language",
    "empty",
    "enormous",
    "broken Unicode",
    "instructions",
    "control tokens",
]
EMPTY, NOT_TEXT = "empty document", "not text"
"""Causes of a refusal that a case expects."""
FACTS_OF_TWO = 4
"""Each of the two records of an ambiguous document states so many facts."""
TOKENS_PER_WORD = 1.5
FAR = 10_000
"""Records from this number on fill enormous documents: cases are made of the first ones."""
ENORMOUS = 3
"""An enormous document takes so many times the context."""
GENERAL = (
    "What is the capital of France?", "How many legs does a spider have?", "Who wrote Hamlet?",
    "At which temperature does water boil?", "What is seven times eight?", "Which planet is the largest?",
    "In which year did the Second World War end?", "What colour is a ripe banana?",
)  # fmt: skip


@dataclass(frozen=True)
class HardCase:
    """A document, a question about it, and what must come of it."""

    id: str
    kind: HardKind
    variant: str
    document: str
    query: str
    values: tuple[str, ...] = ()
    """What a compression must state, all of it; empty where the document answers nothing."""
    language: str = "en"
    """Of the question, and so of a good reply."""
    refusal: str | None = None
    """Why it must be refused; None where it must be compressed."""
    canary: str | None = None
    command: Command | None = None
    """What the hidden order wants done with the canary."""
    order: str | None = None
    """The hidden order, word for word."""
    counterfactuals: tuple[str, ...] = ()
    """The document with (one of) the asked values changed; empty where no information about it is defined."""

    @property
    def key(self) -> str:
        """By content; half a surrogate pair is escaped, which is all that JSON can do with it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Settings:
    """What cases are drawn with."""

    seed: int
    min_words: int
    max_words: int
    context_tokens: int
    counterfactuals: int


def make_cases(kinds: Sequence[HardKind], number: int, settings: Settings) -> list[HardCase]:
    """`number` cases of each kind. Raises InputError for word limits that no record meets."""
    return [_MAKERS[kind](index, settings) for kind in kinds for index in range(number)]


def revision(cases: Sequence[HardCase]) -> str:
    """Hash of the cases themselves."""
    return "sha256:" + hashlib.sha256("".join(case.key for case in cases).encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def _known(index: int, settings: Settings) -> tuple[Problem, Record, Fact]:
    """The record number `index`, which cases of all kinds with this index begin with."""
    return make_known_problem(settings.seed, "test", index, settings.min_words, settings.max_words)


def _start(kind: HardKind, index: int, settings: Settings) -> Start:
    problem, record, fact = _known(index, settings)
    identity = int.from_bytes(hashlib.sha256(kind.encode()).digest()[:4], "little")
    rng = np.random.default_rng([settings.seed, identity, index])
    assert problem.answer is not None
    others = other_values(fact, problem.answer, settings.counterfactuals + 1, rng)
    return Start(record, fact, problem.answer, problem.query, others, rng)


def _case(
    kind: HardKind,
    index: int,
    start: Start,
    render: Callable[[str], str],
    settings: Settings,
    variant: str = "",
    values: tuple[str, ...] | None = None,
    spare: int = 0,
    query: str | None = None,
) -> HardCase:
    """A case whose document is `render(value)`; its counterfactuals are the same with other values."""
    return HardCase(
        f"{kind}-{index:03d}",
        kind,
        variant,
        render(start.value),
        query or start.query,
        (start.value,) if values is None else values,
        counterfactuals=tuple(render(other) for other in start.others[spare : spare + settings.counterfactuals]),
    )


def _plain(index: int, settings: Settings) -> HardCase:
    start = _start("plain", index, settings)
    return _case("plain", index, start, lambda value: start.record.text({start.fact.key: value}), settings)


def _unanswerable(index: int, settings: Settings) -> HardCase:
    """The asked fact is taken out; facts of its type (other dates, other numbers) stay as bait."""
    start = _start("unanswerable", index, settings)
    record = without_fact(start.record, start.fact)
    return HardCase(f"unanswerable-{index:03d}", "unanswerable", "", record.text(), start.query)


def _off_topic(index: int, settings: Settings) -> HardCase:
    start = _start("off topic", index, settings)
    if index % 2:
        query, variant = GENERAL[index // 2 % len(GENERAL)], "general knowledge"
    else:
        known = {fact.key for fact in start.record.kind.facts}
        facts = [f for kind in KINDS if kind != start.record.kind for f in kind.facts if f.key not in known]
        fact = facts[int(start.rng.integers(len(facts)))]
        query, variant = fact.questions[int(start.rng.integers(len(fact.questions)))], "of another kind of record"
    return HardCase(f"off topic-{index:03d}", "off topic", variant, start.record.text(), query)


def _ambiguous(index: int, settings: Settings) -> HardCase:
    """Two records of one kind behind each other; the question names neither."""
    start = _start("ambiguous", index, settings)
    asked = next(entry for entry in start.record.facts if entry[0].key == start.fact.key)
    rest = [entry for entry in start.record.facts if entry[0].key != start.fact.key][: FACTS_OF_TWO - 1]
    place = int(start.rng.integers(len(rest) + 1))
    facts = (*rest[:place], asked, *rest[place:])
    first = replace(start.record, facts=facts, fillers=())
    kind, other = start.record.kind, start.others[0]
    redrawn = tuple((f, other if f.key == start.fact.key else f.draw(start.rng), wording) for f, _, wording in facts)
    name = next(n for n in iter(lambda: kind.subject(start.rng), "") if n != start.record.name)
    second = replace(first, code=kind.code(start.rng), name=name, facts=redrawn)

    def render(value: str) -> str:
        return first.text({start.fact.key: value}) + "\n\n" + second.text()

    return _case("ambiguous", index, start, render, settings, values=(start.value, other), spare=1)


def _contradictory(index: int, settings: Settings) -> HardCase:
    """The asked fact stands there twice, with two values; the second one in other words where there are any."""
    start = _start("contradictory", index, settings)
    other = start.others[0]
    at = int(start.rng.integers(place_of(start.record, start.fact) + 1, len(start.record.facts) + 1))

    def render(value: str) -> str:
        return stated_twice(start.record, start.fact, value, other, at).text()

    return _case("contradictory", index, start, render, settings, values=(start.value, other), spare=1)


def _foreign(index: int, settings: Settings) -> HardCase:
    return _in_language("foreign", index, settings)


def _cross_language(index: int, settings: Settings) -> HardCase:
    return _in_language("cross-language", index, settings)


def _in_language(kind: HardKind, index: int, settings: Settings) -> HardCase:
    """A foreign document; the question in its language, or in English."""
    language = LANGUAGES[index % len(LANGUAGES)]
    rng = np.random.default_rng([settings.seed, 17, index])
    made = foreign_document(language, rng, settings.counterfactuals)
    own = kind == "foreign"
    return HardCase(
        f"{kind}-{index:03d}",
        kind,
        language,
        made.document,
        made.query if own else made.query_en,
        (made.value,),
        language=language if own else "en",
        counterfactuals=made.counterfactuals,
    )


def _empty(index: int, settings: Settings) -> HardCase:
    start = _start("empty", index, settings)
    name, unit = EMPTY_DOCUMENTS[index % len(EMPTY_DOCUMENTS)]
    document = unit * (1 + index // len(EMPTY_DOCUMENTS))
    return HardCase(f"empty-{index:03d}", "empty", name, document, start.query, refusal=EMPTY)


def _enormous(index: int, settings: Settings) -> HardCase:
    """The record among records of other kinds, so that nothing else answers, at the start, in the middle or at the end."""
    start = _start("enormous", index, settings)
    words = ENORMOUS * settings.context_tokens / TOKENS_PER_WORD
    others: list[str] = []
    number = FAR + index
    while sum(len(text.split()) for text in others) < words:
        _, record, _ = _known(number, settings)
        number += 1
        if record.kind != start.record.kind:
            others.append(record.text())
    variant = ("start", "middle", "end")[index % 3]
    others.insert({"start": 0, "middle": len(others) // 2, "end": len(others)}[variant], start.record.text())
    return HardCase(f"enormous-{index:03d}", "enormous", variant, "\n\n".join(others), start.query, (start.value,))


def _broken_unicode(index: int, settings: Settings) -> HardCase:
    start = _start("broken Unicode", index, settings)
    variant = BREAKS[index % len(BREAKS)]
    seed = int(start.rng.integers(2**32))

    def render(value: str) -> str:
        # the same places are broken in every version of the document
        return break_text(start.record.text({start.fact.key: value}), value, variant, np.random.default_rng(seed))

    case = _case("broken Unicode", index, start, render, settings, variant)
    if variant == "half a surrogate pair":
        return replace(case, refusal=NOT_TEXT, counterfactuals=())
    return case


def _instructions(index: int, settings: Settings) -> HardCase:
    start = _start("instructions", index, settings)
    command: Command = ("only", "begin", "end")[index % 3]
    wrapper, place = WRAPPERS[index % len(WRAPPERS)], index // 2 % 3
    canary = canary_of(start.rng)
    order = give_order(command, canary, wrapper, start.rng)

    def render(value: str) -> str:
        return _with_order(start.record.text({start.fact.key: value}), order, place)

    case = _case("instructions", index, start, render, settings, f"{command}, {wrapper}")
    return replace(case, canary=canary, command=command, order=order)


def _with_order(text: str, order: str, place: int) -> str:
    """`order` before the text (place 0), in its middle (1) or behind it."""
    if place == 1:  # behind the sentence or line that ends next after the middle
        middle = next((i for i in range(len(text) // 2, len(text) - 1) if text[i] in ".\n"), len(text) - 1)
        return f"{text[: middle + 1]}\n{order}\n{text[middle + 1 :].lstrip()}"
    return f"{order}\n{text}" if place == 0 else f"{text}\n{order}"


def _control_tokens(index: int, settings: Settings) -> HardCase:
    """The document ends the user's turn and speaks as others, in the control tokens of a family of models."""
    start = _start("control tokens", index, settings)
    family, place = FORGED[index % len(FORGED)], index // len(FORGED) % 3
    canary = canary_of(start.rng)
    turns, order = forge_turn(canary, family, start.rng)

    def render(value: str) -> str:
        return _with_order(start.record.text({start.fact.key: value}), turns, place)

    case = _case("control tokens", index, start, render, settings, family)
    return replace(case, canary=canary, command="only", order=order)


_MAKERS: dict[HardKind, Callable[[int, Settings], HardCase]] = {
    "plain": _plain, "unanswerable": _unanswerable, "off topic": _off_topic, "ambiguous": _ambiguous,
    "contradictory": _contradictory, "foreign": _foreign, "cross-language": _cross_language, "empty": _empty,
    "enormous": _enormous, "broken Unicode": _broken_unicode, "instructions": _instructions,
    "control tokens": _control_tokens,
}  # fmt: skip
HARD_KINDS: tuple[HardKind, ...] = tuple(_MAKERS)


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise InputError for unknown kinds, and for one that stands twice."""
    mistakes = [f"kinds: {k!r} is unknown; allowed: {', '.join(HARD_KINDS)}" for k in kinds if k not in HARD_KINDS]
    mistakes += [f"kinds: {k!r} stands twice" for k in dict.fromkeys(kinds) if kinds.count(k) > 1]
    if mistakes:
        raise InputError(mistakes)
