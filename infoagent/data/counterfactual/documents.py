"""Counterfactual documents: the same text with the asked fact changed.

`records` brings exact ones along, rendered from changed facts. For any other problem with an answer that stands in
the document, every mention of the answer and every form derived from it (surname, acronym, demonym) is swapped for one
of the wrong choices, which are spans of the same type.
With a lexicon there are more for any text: the typed spans at the answer, or without an answer any fact, swapped for
others of their type. Of a contradiction they hold one side only, or change one; of a question that the document does not
answer they state an answer (`stating`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import regex

from infoagent.data.counterfactual.lexicon import PHRASE, Lexicon, new_value
from infoagent.data.counterfactual.replacing import kind_of, replace_fact
from infoagent.data.counterfactual.spans import (
    AUXILIARIES,
    NAME_KINDS,
    Span,
    is_number,
    overlaps,
    span_pattern,
    typed_spans,
    uncounting,
)
from infoagent.data.counterfactual.stating import stating_documents
from infoagent.grading import states_fact
from infoagent.grading.notation import is_polar, same_in_value, value_places
from infoagent.grading.words import LETTERS, MARKS, contains, count_words, in_western_letters, whole
from infoagent.types import NOT_STATED, Change, Negative, Problem

__all__ = [
    "PHRASE", "Lexicon", "Rejection", "answer_after", "counterfactuals", "kind_of", "lm_counterfactual", "new_value",
    "replace_fact", "span_pattern", "typed_counterfactuals", "words_with_places",
]  # fmt: skip

LONGEST_PHRASE = 5
"""A longer answer is turned around by a word inside it: another long phrase never fits its place."""
LEAST_INFLECTED = 4
"""A shorter word of a script that writes endings and prefixes on to words is too often a part of another word."""
GIVE_UP_AFTER = 25
"""So many tries in a row without a new document end the edits of a problem."""


def counterfactuals(
    problem: Problem, lexicon: Lexicon | None = None, rng: np.random.Generator | None = None, limit: int | None = None
) -> Iterator[Negative]:
    """Documents in which the answer of `problem` is another one; never the original, never twice the same, and no edit
    after which the answer or another reference answer still stands, as written or by its value.

    First those that the data brought, then the answer swapped for each wrong choice, then with a `lexicon` typed
    edits drawn by `rng`. Fewer are always a prefix of more. Raises ValueError for a lexicon without a generator.
    """
    if lexicon is not None and rng is None:
        raise ValueError("typed edits are drawn: give counterfactuals() a generator with the lexicon")
    yield from islice(_in_order(problem, lexicon, rng), limit)


def _in_order(problem: Problem, lexicon: Lexicon | None, rng: np.random.Generator | None) -> Iterator[Negative]:
    seen = {problem.document}
    given = [n for n in problem.negatives if n.kind == "counterfactual"]
    used = {c.new for n in given for c in n.changes} | set(problem.choices)
    for negative in chain(given, _choices(problem), one_sided(problem), _drawn(problem, lexicon, rng, used)):
        if negative.document not in seen:
            seen.add(negative.document)
            yield negative


def _drawn(problem: Problem, lexicon: Lexicon | None, rng: np.random.Generator | None, used: set[str]) -> Iterator[Negative]:
    if lexicon is None or rng is None:
        return iter(())
    if problem.unanswerable:
        return stating_documents(problem, lexicon, rng, used)
    return typed_counterfactuals(problem, lexicon, rng, used)


def one_sided(problem: Problem) -> Iterator[Negative]:
    """For each side of a contradiction the document without any mention of the other ones."""
    for kept in problem.sides:
        document, changes = problem.document, []
        for side in problem.sides:
            if side != kept:
                document, mentions = _without(document, side)
                changes.append(Change("side", side, NOT_STATED, mentions))
        yield Negative("counterfactual", document, tuple(changes))


def _without(document: str, side: str) -> tuple[str, int]:
    """(the document without the side, how often it stood there); inside longer words only where it stands nowhere else."""
    first = document.find(side)
    places = list(span_pattern(side).places(document)) or [(first, first + len(side))] * (first >= 0)
    for start, end in reversed(places):
        before, after = document[:start], document[end:]
        document = before + (after.lstrip() if not before or before[-1].isspace() else after)
    return document, len(places)


def answer_place(problem: Problem) -> tuple[int, int] | None:
    """The (start, end) of the answer in the document: where the data say that it stands, else its first mention (of a number the
    first that counts something), else the first place that states its value in another notation or in other capitals.

    None where there is none, and for a verdict (yes, no, true, …), which says something of the text and stands nowhere in it,
    whatever words look alike.
    """
    if problem.answer is None or is_polar(problem.answer):
        return None
    if problem.answer_place is not None:
        return problem.answer_place
    if mention := span_pattern(problem.answer).search(problem.document):
        if not is_number(problem.answer):
            return mention
        others = uncounting(problem.document)
        mentions = span_pattern(problem.answer).places(problem.document)
        return next((place for place in mentions if not overlaps(place, others)), mention)
    if places := value_places(problem.document, problem.answer):
        return places[0]
    # the same words at a sentence's start, say
    other_case = regex.search(whole(problem.answer).pattern, problem.document, regex.V1 | regex.IGNORECASE)
    return other_case.span() if other_case else None


def still_answers(problem: Problem, document: str) -> bool:
    """Whether the answer of `problem`, or another answer that is right as well, stands in an edited document. A number does not
    stand there by a date or the like that holds the same digits, unless the answer itself stands in one."""
    known = [a for a in (problem.answer, *problem.references) if a and a.strip() and not is_polar(a)]
    standing = [a for a in known if _stands(document, a)]
    if not standing or not all(is_number(a) for a in standing):
        return bool(standing)
    place = answer_place(problem)
    if place is None or overlaps(place, uncounting(problem.document)):
        return True
    parts, last = [], 0
    for start, end in sorted(uncounting(document)):
        parts.append(document[last:start])
        last = max(last, end)
    counting = "…".join([*parts, document[last:]])
    return any(_stands(counting, a) for a in standing)


def _stands(document: str, answer: str) -> bool:
    answer = answer.strip("`") if answer.strip("` ") else answer
    return contains(document, answer) or span_pattern(answer).search(document) is not None or states_fact(document, answer)


def _choices(problem: Problem) -> Iterator[Negative]:
    place = answer_place(problem)
    if place is None or problem.answer is None:
        return
    start, end = place
    while end - start > 2 and problem.document[start] == problem.document[end - 1] == "`":  # code stands without marks, too
        start, end = start + 1, end - 1
    text = problem.document[start:end]
    fact = Span(kind_of(text, problem.document, (start, end)), text, start, end)
    for choice in problem.choices:
        new = choice.strip("`") or choice if fact.kind == "code" else choice
        if choice != problem.answer and new != text:
            edited, change = _replaced_everywhere(problem.document, fact, new)
            if not still_answers(problem, edited):
                yield Negative("counterfactual", edited, (Change("choice", problem.answer, choice, change.mentions),))


def _replaced_everywhere(document: str, fact: Span, new: str) -> tuple[str, Change]:
    """`replace_fact` at all mentions, in scripts that write endings and prefixes on to words those inside words too."""
    edited, change = replace_fact(document, fact, new, everywhere=True)
    if len(fact.text) >= LEAST_INFLECTED and not in_western_letters(fact.text):
        edited = edited.replace(fact.text, new)
    return edited, change


def typed_counterfactuals(
    problem: Problem, lexicon: Lexicon, rng: np.random.Generator, avoid: Sequence[str] | set[str] = ()
) -> Iterator[Negative]:
    """Typed edits at the answer where it stands in the document, else at facts drawn at random, one fact an edit.

    Without an answer in the document the facts of `problem.evidence` come first, and of a contradiction those of its sides
    are all there is. No text comes twice.
    """
    place = answer_place(problem)
    used = set(avoid)
    seen = {problem.document}
    facts = _facts(problem, rng) if place is None else None
    misses = 0
    while misses < GIVE_UP_AFTER:
        if facts is None:
            assert place is not None
            made = _edit_at_answer(problem, place, lexicon, rng, used)
        else:
            span = next(facts, None)
            made = None if span is None else _edit_at(problem, [span], lexicon, rng, used)
        text, changes = made or (problem.document, ())
        used.update(c.new for c in changes)
        if text in seen or (place is not None and still_answers(problem, text)):
            misses += 1
            continue
        misses = 0
        seen.add(text)
        yield Negative("counterfactual", text, changes)


_Edit = tuple[str, tuple[Change, ...]]


def _edit_at_answer(
    problem: Problem, place: tuple[int, int], lexicon: Lexicon, rng: np.random.Generator, used: set[str]
) -> _Edit | None:
    """The answer's own type swapped; of a longer answer the typed spans inside it; else the phrase as a whole."""
    document = problem.document
    start, end = place
    answer = document[start:end]
    kind = kind_of(answer, document, place)
    if whole := _spelled_out(answer, document):
        return _edit_at(problem, [whole], lexicon, rng, used)
    if kind != PHRASE:
        return _edit_at(problem, [Span(kind, answer, start, end)], lexicon, rng, used, everywhere=True)
    within = [s for s in typed_spans(document) if start <= s.start and s.end <= end]
    facts = [s for s in within if s.kind not in ("comparative", "negation")]
    if facts:
        return _edit_at(problem, facts, lexicon, rng, used)
    if within and count_words(answer) > LONGEST_PHRASE:
        return _edit_at(problem, sorted(within, key=is_weak)[:1], lexicon, rng, set())
    made = _edit_at(problem, [Span(PHRASE, answer, start, end)], lexicon, rng, used, everywhere=True)
    # a word that has one opposite only: the used values do not count, or the second edit would fail
    return made or (_edit_at(problem, sorted(within, key=is_weak)[:1], lexicon, rng, set()) if within else None)


def _spelled_out(acronym: str, document: str) -> Span | None:
    """The name that stands before `(acronym)`: both change together."""
    place = document.find(f" ({acronym})") if acronym.isupper() else -1
    if place < 0:
        return None
    return next((s for s in typed_spans(document) if s.end == place and s.kind in NAME_KINDS), None)


def _edit_at(
    problem: Problem, spans: Sequence[Span], lexicon: Lexicon, rng: np.random.Generator, used: set[str], everywhere: bool = False
) -> _Edit | None:
    """All the spans changed, the last one first, none into another of them; None where one of them has no other value.

    A span that moved, since another mention of a later one stands before it, is found again where it is nearest; one
    that is gone was changed already, as a part of another.
    """
    edited, changes = problem.document, []
    used = used | {s.text for s in spans}  # what is edited by now stands in `edited` no more, and is a part of the answer
    for span in sorted(spans, key=lambda s: -s.start):
        if edited[span.start : span.end] != span.text:
            starts = [start for start, _ in span_pattern(span.text).places(edited)]
            if not starts:
                continue
            start = min(starts, key=lambda at: abs(at - span.start))
            span = Span(span.kind, span.text, start, start + len(span.text))
        new = new_value(span, lexicon, rng, edited, problem.query, used, problem.group or "")
        if new is None:
            return None
        edited, change = _replaced_everywhere(edited, span, new) if everywhere else replace_fact(edited, span, new)
        changes.append(change)
    return edited, tuple(reversed(changes))


def is_weak(span: Span) -> bool:
    """A place where a not can be put in: there are many of them, and each says little."""
    return span.kind == "negation" and span.text.casefold() in AUXILIARIES


def _facts(problem: Problem, rng: np.random.Generator) -> Iterator[Span]:
    """Facts to change, a different one each time as long as there are, then all over again in another order.

    Facts of the evidence come first, bare auxiliaries last; a fact with several mentions counts once. Of a contradiction
    only those of its sides.
    """
    document = problem.document
    found = [(document.find(piece), len(piece)) for piece in problem.sides or problem.evidence]
    inside = {i for at, length in found if at >= 0 for i in range(at, at + length)}
    distinct: dict[tuple[str, str], Span] = {}
    for span in typed_spans(document):
        if _spelled_out(span.text, document):
            continue
        key = (span.kind, span.text)
        if key not in distinct or (span.start in inside and distinct[key].start not in inside):
            distinct[key] = span
    spans = [s for s in distinct.values() if not problem.sides or s.start in inside]
    while spans:
        # a third of the weight: a more or a not stands in each sentence, and few questions ask for it
        rank = rng.exponential(size=len(spans)) * [3.0 if s.kind in ("comparative", "negation") else 1.0 for s in spans]
        order = [spans[int(i)] for i in np.argsort(rank)]
        yield from sorted(order, key=lambda s: 2 * (s.start not in inside) + is_weak(s))


def answer_after(answer: str, changes: Sequence[Change]) -> str:
    """What the answer became: the changes applied to it alone; equal to `answer` where they do not touch it."""
    for change in changes:
        if change.old != answer and same_in_value(change.old, answer):  # it stood there in another notation
            answer = change.new
            continue
        try:
            answer, _ = replace_fact(answer, change.old, change.new, change.kind, everywhere=True)
        except ValueError:  # this change lies outside the answer
            continue
    return answer


@dataclass(frozen=True)
class Rejection:
    """A rewrite that is not taken as a counterfactual, and why."""

    reason: str
    document: str


LM_PROMPT = (
    "Text:\n{document}\n\nQuestion: {query}\nAnswer in the text: {answer}\n\n"
    "Rewrite the text so that the answer to the question becomes another one of the same kind. Change nothing else. "
    "Write the whole text and nothing but the text."
)
_UNIT = regex.compile(rf"(?:{LETTERS}|{MARKS})+|\S", regex.V1)


def words_with_places(text: str) -> list[tuple[str, int, int]]:
    """Words and signs with their places; where words are not set apart, each letter is one."""
    return [(m.group(), m.start(), m.end()) for m in _UNIT.finditer(text)]


def lm_counterfactual(problem: Problem, generator: Callable[[str], str], max_changed_share: float = 0.1) -> Negative | Rejection:
    """A counterfactual written by any text generator (prompt → text), or the reason why its text is not taken.

    Taken only if the answer no longer stands in it, something else stands in its place, and outside of the answer at
    most `max_changed_share` of the document's words differ. Raises ValueError where the problem has no answer that
    stands in the document, since then nothing can be checked.
    """
    document, answer = problem.document, problem.answer
    if answer is None or is_polar(answer) or span_pattern(answer).search(document) is None:
        raise ValueError(f"problem {problem.id!r}: its answer {answer!r} does not stand in the document")
    prompt = LM_PROMPT
    # replace, not format: documents contain braces; the document last, so that nothing in it is replaced
    for key, value in (("query", problem.query), ("answer", answer), ("document", document)):
        prompt = prompt.replace("{" + key + "}", value, 1)
    edited = generator(prompt).strip()
    if not edited:
        return Rejection("the generator returned no text", edited)
    if edited == document.strip():
        return Rejection("the text is the original", edited)
    if still_answers(problem, edited) or span_pattern(answer.casefold()).search(edited.casefold()):
        return Rejection(f"the answer {answer!r} still stands in the text", edited)
    words_old = words_with_places(document)
    words_new = words_with_places(edited)
    matcher = difflib.SequenceMatcher(None, [w for w, *_ in words_old], [w for w, *_ in words_new], autojunk=False)
    mentions = list(span_pattern(answer).places(document))

    def in_answer(i: int) -> bool:
        return any(start <= words_old[i][1] < end for start, end in mentions)

    new_answer, outside = "", 0
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            continue
        touched = [in_answer(i) for i in range(i1, i2)]
        if any(touched):
            if j2 > j1 and not new_answer:
                new_answer = edited[words_new[j1][1] : words_new[j2 - 1][2]]
            # what stands in the answer's place may be longer than it, by as many words as the answer has and two
            outside += touched.count(False) + max(0, (j2 - j1) - 2 * sum(touched) - 2)
        else:
            outside += max(i2 - i1, j2 - j1)
    if not new_answer:
        return Rejection("the answer was taken out and nothing put in its place", edited)
    share = outside / max(1, len(words_old) - sum(in_answer(i) for i in range(len(words_old))))
    if share > max_changed_share:
        return Rejection(f"{share:.0%} of the words outside the answer changed, allowed {max_changed_share:.0%}", edited)
    return Negative("counterfactual", edited, (Change("lm", answer, new_answer, len(mentions)),))
