"""Conversations that grow, with facts of their first turns that can be asked for later.

A turn is what the user said with the reply to it. A probe asks for one fact of one early turn; its versions are that turn
with the fact changed, and everything else of the history stays as it was: exact counterfactual histories. The fact stands in
no other turn, and no changed value does, so that whoever tells it later must have kept it.

    records         seeded: each turn brings a short record of `infoagent.data.sets.records` (a patient, a company, a shipment)
    conversations   rows of chat logs (`infoagent.data.reading.chat_logs`), and optionally probes [{turn, question, answer, choices}]
    wildchat        rows as `allenai/WildChat-1M` has them; ten conversations of a user are one history

Without probes of its own a text is asked by a blank in one of its sentences (`infoagent.data.cloze`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from infoagent.data.cloze import Passage, make_questions
from infoagent.data.counterfactual.documents import Lexicon, counterfactuals, span_pattern
from infoagent.data.reading.chat_logs import MESSAGES, conversation_id, messages_field, read_messages, turns_of
from infoagent.data.reading.hub import missing_path, open_files, open_source
from infoagent.data.reading.schema import TEXT, WHOLE, ListOf, Maybe, Mistakes, Schema
from infoagent.data.revisions import IDENTITY_SAMPLE, digest
from infoagent.data.sets import records, wildchat
from infoagent.grading.words import count_words
from infoagent.types import InputError, Problem

SOURCES = ("records", "conversations", "wildchat")
RECORD_WORDS = (25, 45)
STREAM = 11
"""Keeps the seeded histories apart from the splits of `records`, which take 0 to 2 in its place."""
ATTEMPTS = 200
CHOICES = 4

_ROW: dict[str, Schema] = {
    "probes": Maybe(ListOf({"turn": WHOLE, "question": TEXT, "answer": TEXT, "choices": Maybe(ListOf(TEXT))}))
}


@dataclass(frozen=True)
class Probe:
    """A question on a fact of turn number `turn` (from 0), and that turn with other values of the fact."""

    turn: int
    query: str
    answer: str
    choices: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """The turns of a conversation, oldest first."""

    id: str
    turns: tuple[str, ...]
    probes: tuple[Probe, ...]

    def version(self, probe: Probe, number: int) -> tuple[str, ...]:
        """The turns of version `number` of a probe's fact: 0 is the history itself."""
        if number == 0:
            return self.turns
        return (*self.turns[: probe.turn], probe.versions[number - 1], *self.turns[probe.turn + 1 :])


@dataclass(frozen=True)
class HistorySet:
    """Histories of one source. `left_out` counts those that could not be used, by reason."""

    name: str
    revision: str
    histories: tuple[History, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Wanted:
    """What a run needs of each history: so many turns, the first `asked` of them asked about, each fact in `versions`
    other versions."""

    turns: int
    asked: int
    versions: int


def load_histories(
    name: str,
    wanted: Wanted,
    *,
    path: str | None = None,
    revision: str | None = None,
    limit: int = 32,
    seed: int = 0,
    min_words: int | None = None,
    max_words: int | None = None,
) -> HistorySet:
    """At most `limit` histories, cut to `wanted.turns` turns. `min_words`, `max_words`: of a record.

    Raises InputError for an unknown name, a path that is missing or too much, every bad row, and where no history is left.
    """
    if name not in SOURCES:
        raise InputError(f"data.name: {name!r} is unknown; allowed: {', '.join(SOURCES)}")
    if name == "records":
        if path is not None or revision is not None:
            raise InputError("data.path, data.revision: data.name=records is built in; drop them")
        low = min_words or min(RECORD_WORDS[0], max_words or RECORD_WORDS[0])
        words = (low, max_words or max(RECORD_WORDS[1], low))
        return HistorySet(name, records_revision(), tuple(_of_records(i, seed, wanted, words) for i in range(limit)), {})
    if min_words is not None or max_words is not None:
        raise InputError(f"data.min_words, data.max_words: they are the length of a record; data.name={name} has none")
    left_out: Counter[str] = Counter()
    found, talks = read_talks(name, path, revision, left_out, wanted)
    return _chosen(name, found, talks, wanted, limit, seed, left_out)


def read_talks(
    name: str, path: str | None, revision: str | None, left_out: Counter[str], wanted: Wanted | None = None
) -> tuple[str, list[Talk]]:
    """(revision, conversations) of `conversations` or `wildchat`; what is not taken is counted in `left_out`. Their
    probes are held to what is `wanted`, where that is given. Raises InputError for every bad row."""
    if name == "wildchat":
        source = open_source(name, path, "all", revision, wildchat.HUB)
        users = wildchat.users_of(source, left_out)
        return source.revision, [(u.id, turns_of([m for _, messages in u.conversations for m in messages]), None) for u in users]
    return _own(path, revision, wanted, left_out)


Talk = tuple[str, tuple[str, ...], "list[dict[str, Any]] | None"]
"""(id, turns, probes as they stand in the file)."""


@cache
def records_revision() -> str:
    """Hash of a fixed sample of the histories of records."""
    wanted = Wanted(turns=4, asked=2, versions=3)
    return digest(_of_records(index, 0, wanted, RECORD_WORDS) for index in range(IDENTITY_SAMPLE))


# ---- records ---------------------------------------------------------------------------------------------------


def _of_records(index: int, seed: int, wanted: Wanted, words: tuple[int, int]) -> History:
    """The seeded history number `index`: different subjects, each in the words of a prose record."""
    rng = np.random.default_rng([seed, STREAM, index])
    for _ in range(ATTEMPTS):
        drawn = _subjects(rng, wanted.turns, words)
        turns = _said(drawn)
        probes = [_of_record(drawn[t], t, turns, wanted.versions, rng) for t in range(wanted.asked)]
        if all(probes):
            return History(f"records-{seed}-{index:05d}", turns, tuple(p for p in probes if p is not None))
    raise InputError(
        f"data: no history of {wanted.turns} records with {wanted.versions} versions of each asked fact came out in "
        f"{ATTEMPTS} tries; lower versions, or the number of turns"
    )


def draw_turns(seed: Sequence[int], number: int, words: tuple[int, int]) -> tuple[str, ...]:
    """The turns of a seeded history, each a record of another subject, without questions on them."""
    return _said(_subjects(np.random.default_rng(list(seed)), number, words))


def _said(drawn: Sequence[records.Record]) -> tuple[str, ...]:
    return tuple(f"User: {record.text()}\nAssistant: Noted." for record in drawn)


def _subjects(rng: np.random.Generator, number: int, words: tuple[int, int]) -> list[records.Record]:
    found: dict[str, records.Record] = {}
    misses = 0
    while misses < ATTEMPTS:
        record = replace(records.draw_record(rng, *words), style="prose")
        if record.name in found or not record.facts or not words[0] <= count_words(record.text()) <= words[1]:
            misses += 1
            continue
        misses, found[record.name] = 0, record
        if len(found) == number:
            return list(found.values())
    raise InputError(
        f"data.min_words = {words[0]}, data.max_words = {words[1]}: {len(found)} records of such a length came out, "
        f"needed are {number} different ones; records have 30 to 450 words, and need some room between the two"
    )


def _of_record(record: records.Record, turn: int, turns: Sequence[str], versions: int, rng: np.random.Generator) -> Probe | None:
    whole = "\n".join(turns)
    for place in rng.permutation(len(record.facts)):
        fact, value, _ = record.facts[int(place)]
        others = [o for o in records.other_values(fact, value, versions + CHOICES, rng) if o not in whole]
        if whole.count(value) != 1 or len(others) < max(versions, CHOICES - 1):
            continue
        choices = [value, *others[: CHOICES - 1]]
        question = fact.questions[int(rng.integers(len(fact.questions)))]
        return Probe(
            turn=turn,
            query=f"About {record.name}: {question}",
            answer=value,
            choices=tuple(choices[int(i)] for i in rng.permutation(len(choices))),
            versions=tuple(turns[turn].replace(record.text(), record.text({fact.key: o})) for o in others[:versions]),
        )
    return None


# ---- conversations ---------------------------------------------------------------------------------------------


def _own(path: str | None, revision: str | None, wanted: Wanted | None, left_out: Counter[str]) -> tuple[str, list[Talk]]:
    if path is None:
        raise missing_path("conversations", "my_conversations.jsonl")
    source = open_files("conversations", path, revision)
    mistakes, talks = Mistakes(source.name), []
    for number, row in enumerate(source.rows, start=1):
        content, field = row.content, messages_field(row.content)
        if not mistakes.fit(row.where, content, _ROW):
            continue
        if field is None:
            mistakes.add(row.where, [f"no messages; a conversation has them in one of the fields {', '.join(MESSAGES)}"])
            continue
        messages, found = read_messages(field, content[field], left_out)
        mistakes.add(row.where, found)
        identity, probes = conversation_id(content, number), content.get("probes")
        if found or not mistakes.unique(row.where, "id", identity):
            continue
        turns = turns_of(messages)
        for place, probe in enumerate(probes or ()):
            if wanted is not None:
                mistakes.add(row.where, _probe_mistakes(f"probes[{place}]", probe, turns[: wanted.turns], wanted))
            elif not 0 <= probe["turn"] < len(turns):
                mistakes.add(row.where, [f"field 'probes[{place}].turn': there is no turn {probe['turn']}, there are {len(turns)}"])
        talks.append((identity, turns, probes))
    mistakes.settle()
    return source.revision, talks


def _probe_mistakes(field: str, probe: Mapping[str, Any], turns: Sequence[str], wanted: Wanted) -> Iterator[str]:
    turn, answer, choices = probe["turn"], probe["answer"], probe.get("choices")
    if not 0 <= turn < min(wanted.asked, len(turns)):
        yield (
            f"field '{field}.turn': {turn} is not asked about; allowed are 0 to {min(wanted.asked, len(turns)) - 1} "
            "(`asked` of the recipe, and the turns that are there)"
        )
        return
    places = [t for t, text in enumerate(turns) if span_pattern(answer).search(text)]
    if places != [turn]:
        where = f"turns {', '.join(map(str, places))}" if places else "no turn"
        yield f"field '{field}.answer': {answer!r} must stand in turn {turn} alone, it stands in {where}"
    if choices is not None and (answer not in choices or len(set(choices)) < max(2, len(choices))):
        yield f"field '{field}.choices': must be two or more different texts with the answer among them"


def _chosen(
    name: str, revision: str, talks: Sequence[Talk], wanted: Wanted, limit: int, seed: int, left_out: Counter[str]
) -> HistorySet:
    long = [talk for talk in talks if len(talk[1]) >= wanted.turns]
    left_out[f"fewer than {wanted.turns} turns"] = len(talks) - len(long)
    cut = [(identity, turns[: wanted.turns], probes) for identity, turns, probes in long]
    questions = questions_on(cut, wanted.asked, seed)
    lexicon = Lexicon.from_problems(p for found in questions for _, p in found)
    histories: list[History] = []
    for number in np.random.default_rng(seed).permutation(len(cut)):
        identity, turns, _ = cut[int(number)]
        probes = [_with_versions(turns, t, p, lexicon, wanted.versions, seed) for t, p in questions[int(number)]]
        usable = tuple(p for p in probes if p is not None)
        left_out[f"questions without {wanted.versions} versions, or told in another turn too"] += len(probes) - len(usable)
        if not usable:
            left_out[f"no fact of the first {wanted.asked} turns with {wanted.versions} versions"] += 1
        elif len(histories) < limit:
            histories.append(History(identity, turns, usable))
    reasons = {reason: count for reason, count in left_out.items() if count}
    if not histories:
        told = "; ".join(f"{reason}: {count}" for reason, count in reasons.items())
        raise InputError(
            f"data.name={name}: none of {len(talks)} conversations can be used ({told}); lower every, compactions, asked or "
            "versions, or bring longer conversations"
        )
    return HistorySet(name, revision, tuple(histories), reasons)


def questions_on(talks: Sequence[Talk], asked: int, seed: int) -> list[list[tuple[int, Problem]]]:
    """For each conversation (turn, question on it): its own probes, or a blank in each of the first turns."""
    blanks: dict[str, Problem] = {}
    passages = [
        Passage(f"{identity}#{t}", turns[t], "conversations", identity)
        for identity, turns, probes in talks
        if probes is None
        for t in range(min(asked, len(turns)))
    ]
    for problem in make_questions(passages, seed):
        blanks[problem.id] = problem
    found: list[list[tuple[int, Problem]]] = []
    for identity, turns, probes in talks:
        if probes is None:
            held = [(t, blanks.get(f"{identity}#{t}")) for t in range(min(asked, len(turns)))]
            found.append([(t, p) for t, p in held if p is not None])
            continue
        found.append(
            [
                (
                    p["turn"],
                    Problem(
                        f"{identity}#{p['turn']}",
                        turns[p["turn"]],
                        p["question"],
                        identity,
                        p["answer"],
                        tuple(p.get("choices") or ()),
                    ),
                )
                for p in probes
            ]
        )
    return found


def _with_versions(turns: Sequence[str], turn: int, problem: Problem, lexicon: Lexicon, versions: int, seed: int) -> Probe | None:
    """The probe, or None where the answer stands in another turn too, or too few other values fit its place."""
    assert problem.answer is not None
    elsewhere = "\n".join((*turns[:turn], *turns[turn + 1 :]))
    if span_pattern(problem.answer).search(elsewhere):
        return None
    identity = int.from_bytes(hashlib.sha256(problem.id.encode()).digest()[:8], "little")
    found: list[str] = []
    for negative in counterfactuals(problem, lexicon, np.random.default_rng([seed, identity])):
        if not any(span_pattern(change.new).search(elsewhere) for change in negative.changes):
            found.append(negative.document)
        if len(found) == versions:
            return Probe(turn, problem.query, problem.answer, problem.choices, tuple(found))
    return None
