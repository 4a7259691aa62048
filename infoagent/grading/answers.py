"""Right or wrong: a predictor's reply against the reference answer, by choice, exact match, number, or a judge's verdict.

A reply that gives no answer, or two, is wrong and counted as unparseable; it never leaves a mean.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from infoagent.grading.choices import LETTERS, choose, option_index
from infoagent.grading.mathematics import final_answer, same_mathematics
from infoagent.grading.quantities import Quantity, compatible, find_quantities, parse_quantity, same_quantity
from infoagent.grading.replies import Unreadable, after_cue, gives_up, said, some
from infoagent.grading.words import split_words
from infoagent.parsing import json_loads

Method = Literal["auto", "choice", "exact", "numeric", "math"]


@dataclass(frozen=True)
class Grade:
    """The verdict on one reply.

    `method` is what decided ("choice", "exact", "numeric", "math", "code", "judge"), `score` 1.0 or 0.0 (`correct` for means), `parsed`
    the answer that was read from the reply (None where none was), `unparseable` that there was none or more than one,
    `f1` the token F1 (exact only), `detail` one phrase on why.
    """

    method: str
    correct: bool
    score: float
    parsed: str | None
    unparseable: bool
    f1: float | None = None
    detail: str = ""


def grade(
    reply: str,
    answer: str,
    *,
    choices: Sequence[str] = (),
    references: Sequence[str] = (),
    method: Method = "auto",
    relative_tolerance: float = 0.01,
) -> Grade:
    """Whether `reply` gives `answer`, or one of the other right answers `references`.

    - "choice": the reply names the option that `answer` is, by its letter (the first option is A) or its text
      (`infoagent.grading.choices.choose`).
    - "exact": the same text once case, punctuation, articles and spaces are dropped (`normalise_answer`); `f1` is the
      best token F1 over answer and references. Both as in SQuAD (Rajpurkar et al. 2016).
    - "numeric": the reply is a quantity, or holds just one in the answer's unit, within `relative_tolerance` of the
      answer (`infoagent.grading.quantities.same_quantity`: units, percentages, whole numbers).
    - "math": the final answer of the reply is the same number or expression (`infoagent.grading.mathematics`).
    - "auto": choice where there are choices, numeric where the whole answer is a number with at most a unit, else exact.

    Replies may be JSON with a field "answer", may reason first and end with "Answer: …". Saying that there is no answer
    is unparseable, unless it is the answer. Raises ValueError for an empty answer, a negative tolerance, `method`
    "choice" without choices or with an answer that is none of them, and "numeric" with an answer that is no number.
    """
    if method not in get_args(Method):
        raise ValueError(f"method {method!r} is unknown; allowed: {', '.join(get_args(Method))}")
    if not answer.strip():
        raise ValueError("answer is empty; a question without an answer cannot be graded")
    if not relative_tolerance >= 0:
        raise ValueError(f"relative_tolerance = {relative_tolerance}; must be at least 0")
    if method == "choice" or (method == "auto" and choices):
        return _by_choice(reply, answer, choices)
    if method == "math":
        return _by_mathematics(reply, [answer, *(r for r in references if r.strip())])
    quantity = parse_quantity(answer) if method in ("auto", "numeric") else None
    if method == "numeric" and quantity is None:
        raise ValueError(f"answer {answer!r} is no number with at most a unit; use method exact")
    golds = [answer, *(r for r in references if r.strip())]
    if quantity is not None:
        return _by_number(reply, golds, quantity, relative_tolerance)
    return _by_text(reply, golds)


def _by_choice(reply: str, answer: str, choices: Sequence[str]) -> Grade:
    if not 2 <= len(choices) <= len(LETTERS):
        raise ValueError(f"choices: {len(choices)} given; grading by choice takes 2 to {len(LETTERS)}")
    right = option_index(answer, choices)
    try:
        chosen = choose(said(reply), choices)
    except Unreadable as error:
        return _unparseable("choice", error)
    correct = chosen == right
    return Grade("choice", correct, float(correct), choices[chosen], False, detail=f"option {LETTERS[chosen]}")


def _by_text(reply: str, golds: Sequence[str]) -> Grade:
    try:
        parsed = _answer_text(reply, golds)
    except Unreadable as error:
        return _unparseable("exact", error, f1=0.0)
    correct = _is_one_of(parsed, golds)
    f1 = 1.0 if correct else max(token_f1(parsed, gold) for gold in golds)
    return Grade("exact", correct, float(correct), parsed, False, f1)


def _by_mathematics(reply: str, golds: Sequence[str]) -> Grade:
    try:
        found = final_answer(reply)
        correct = any(same_mathematics(gold, found) for gold in golds)
    except Unreadable as error:
        return _unparseable("math", error)
    return Grade("math", correct, float(correct), found, False)


def _by_number(reply: str, golds: Sequence[str], quantity: Quantity, relative_tolerance: float) -> Grade:
    try:
        parsed = _answer_text(reply, golds)
        if _is_one_of(parsed, golds, numbers=True):
            return Grade("numeric", True, 1.0, parsed, False, detail="as written")
        found = _the_quantity(parsed, quantity)
    except Unreadable as error:
        return _unparseable("numeric", error)
    rights = [quantity, *(q for q in map(parse_quantity, golds[1:]) if q is not None)]
    correct = any(same_quantity(found, right, relative_tolerance) for right in rights)
    return Grade("numeric", correct, float(correct), parsed, False, detail=_spelled(found))


def _unparseable(method: str, error: Unreadable, f1: float | None = None) -> Grade:
    return Grade(method, False, 0.0, None, True, f1, str(error))


def _answer_text(reply: str, golds: Sequence[str]) -> str:
    """The answer of a reply in words; one that is a right answer as it stands needs no reading."""
    if any(reply.strip() == gold.strip() for gold in golds):
        return reply.strip()
    text = said(reply)
    if any(text == gold.strip() for gold in golds):
        return text
    text = text if (final := after_cue(text)) is None else final
    if not text:
        raise Unreadable("empty")
    if gives_up(text) and not _is_one_of(text, golds):
        raise Unreadable("gives no answer")
    return text


def _the_quantity(text: str, right: Quantity) -> Quantity:
    """The one quantity of a reply: all of it, else the one in the answer's unit, else the one without a unit."""
    if (whole := parse_quantity(text)) is not None:
        return whole
    found = find_quantities(text, right.family)
    if not right.whole:  # a year beside an amount is none
        found = [q for q in found if not (q.whole and q.family is None)] or found
    for family in dict.fromkeys((right.family, None)):
        values = {(q.base, q.family): q for q in found if q.family == family}
        if len(values) == 1:
            return next(iter(values.values()))
        if values:
            raise Unreadable(f"several numbers: {some([f'{q.value:g}' for q in values.values()])}")
    distinct = {(q.base, q.family): q for q in found}
    if len(distinct) == 1:
        return found[0]
    raise Unreadable("several numbers, none in the answer's unit" if found else "holds no number")


def _spelled(quantity: Quantity) -> str:
    family = (quantity.family or "no unit").removeprefix("word ")
    return f"read as {quantity.value:g} ({family})"


def _is_one_of(text: str, golds: Sequence[str], numbers: bool = False) -> bool:
    """Normalised equality with one of `golds`; for `numbers` as written, since signs and units are no punctuation."""
    prepare = _spaced if numbers else normalise_answer
    return any(prepare(text) == prepare(gold) for gold in golds)


def _spaced(text: str) -> str:
    return " ".join(text.casefold().split())


def normalise_answer(text: str) -> str:
    """`text` as SQuAD compares answers: lower case, no punctuation, no articles, one space between words.

    Unlike there a decimal point, a minus before a digit and the sign of a power stay: 1.5 is not 15, -5 not 5, 10² not 102. A text
    of nothing but punctuation and articles stays as it is.
    """
    plain = compatible(text).casefold()
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain)
    kept = {m.start() for m in re.finditer(r"(?<=\d)\.(?=\d)|(?<![\w.])-(?=[\d.])|(?<=\w)\^(?=[-\d])", plain)}
    plain = "".join(c for i, c in enumerate(plain) if i in kept or not _is_punctuation(c))
    words = [w for w in plain.split() if w not in ("a", "an", "the")]
    return " ".join(words) or _spaced(text)


def _is_punctuation(character: str) -> bool:
    # SQuAD's list is ASCII's, which holds symbols such as $ and + too; degree and micro signs are none of it
    ascii_symbol = character.isascii() and unicodedata.category(character)[0] in "PS"
    return ascii_symbol or unicodedata.category(character)[0] == "P"


def token_f1(one: str, other: str) -> float:
    """2 · precision · recall / (precision + recall) of the words that two texts share, with multiplicity; in [0, 1].

    Words are those of `infoagent.grading.words.split_words`, so that texts without spaces have some.
    """
    words, others = (Counter(split_words(normalise_answer(text))) for text in (one, other))
    total = words.total() + others.total()
    return 2 * (words & others).total() / total if total else 1.0


def judge_grade(reply_of_judge: str) -> Grade:
    """The verdict of a judge model: a JSON object, alone or in one code fence, with a boolean field "correct".

    Other fields are let be. Anything else, such as "true" in quotes or two verdicts, is unparseable.
    """
    text = reply_of_judge.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    try:
        verdict = json_loads(fenced[1] if fenced else text, _no_field_twice)
    except ValueError as error:
        return Grade("judge", False, 0.0, None, True, detail=f"no verdict: {error}")
    correct = verdict.get("correct") if isinstance(verdict, dict) else None
    if not isinstance(correct, bool):
        return Grade("judge", False, 0.0, None, True, detail='no verdict: no boolean field "correct"')
    return Grade("judge", correct, float(correct), str(correct).lower(), False)


def _no_field_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field stands twice")
    return dict(pairs)


def agreement(judge: Sequence[bool], exact: Sequence[bool]) -> dict[str, float]:
    """How two graders of the same replies agree.

    `n`, the counts `both_correct`, `judge_only`, `exact_only`, `both_wrong`, the `share` on which they agree, and Cohen's
    `kappa` = (share − chance) / (1 − chance), chance = p_judge · p_exact + (1 − p_judge)(1 − p_exact). Where both give
    one and the same verdict on everything chance is 1 and kappa is undefined: the key is absent.
    Raises ValueError for no replies and for different lengths. Source: Cohen 1960.
    """
    n = len(judge)
    if n != len(exact):
        raise ValueError(f"{n} verdicts of the judge and {len(exact)} exact ones; they must be of the same replies")
    if n == 0:
        raise ValueError("no verdicts to compare")
    both = sum(bool(j) and bool(e) for j, e in zip(judge, exact, strict=True))
    judge_only, exact_only = sum(map(bool, judge)) - both, sum(map(bool, exact)) - both
    wrong = n - both - judge_only - exact_only
    share = (both + wrong) / n
    p_judge, p_exact = (both + judge_only) / n, (both + exact_only) / n
    chance = p_judge * p_exact + (1 - p_judge) * (1 - p_exact)
    counts = {"n": n, "both_correct": both, "judge_only": judge_only, "exact_only": exact_only, "both_wrong": wrong}
    result: dict[str, float] = {**counts, "share": share}
    if n not in (both, wrong):
        result["kappa"] = (share - chance) / (1 - chance)
    return result


def perplexity(nll_nats: float, tokens: int) -> float:
    """exp(nll_nats / tokens): of an answer of `tokens` tokens with −log p = `nll_nats`.

    Raises ValueError for no tokens and for a value that is no finite number: a missing answer has no perplexity.
    """
    if tokens < 1:
        raise ValueError(f"tokens = {tokens}: an answer without tokens has no perplexity")
    if not math.isfinite(nll_nats):
        raise ValueError(f"nll_nats = {nll_nats}: not a finite number")
    return math.exp(nll_nats / tokens)
