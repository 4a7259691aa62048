"""What a predictor's reply gives as its answer: the end of its reasoning, the field of its JSON, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

_FENCE = re.compile(r"```(?:[\w-]*\n)?(.*?)(?:```|$)", re.DOTALL)
_OBJECT = re.compile(r"\{(?=\s*[\"}])")
MOST_OBJECTS = 200
"""Each one is looked for up to the end of the reply: thousands in one would take minutes."""
SHOWN = 5
"""So many of the answers that a reply gives at once are told."""
_TRAILING_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])')
_BOXED = re.compile(r"\\boxed\{(?:\\text\{)?\s*([^{}\s][^{}]*)\}")
_CUE = re.compile(
    r"(?:\b(?:answer|(?:final|correct|right|best) (?:choice|option))\b[*_]*\s*(?:(?:is|would be|must be)\b\s*:?|[:=])"
    r"|(?:答案|答え|正解)[*_]*(?:[是为為は][:：]?|[:：]))[*_]*\s*",
    re.IGNORECASE,
)
# we do not sell it, on the other hand, is an answer
_KNOWS = (
    r"(?:\w{1,20}ly |even |yet )?(?:know|have|find|see|tell|say|state|determine|identify|infer|recall|remember|answer|provide"
    r"|locate|access|read|understand|verify|confirm|decide|conclude|think|believe|help|assist|be (?:sure|certain))\b"
)
_NO_ANSWER = re.compile(
    r"(?:sorry,? |unfortunately,? |based on the \w+,? )*"
    r"(?:(?:i|we)(?: (?:do not|don'?t|can ?not|can'?t|could not|couldn'?t)|(?: am| are|'m|'re) (?:unable|not able) to)"
    rf"(?: {_KNOWS}|$)"
    r"|(?:i|we) have no way\b|(?:i'm|i am) (?:not sure|unsure|unable(?! to)|sorry)\b"
    r"|(?:it|this|that|the answer|the \w+ (?:asked for )?)? ?(?:is |was |are )?not (?:stated|mentioned|given|provided"
    r"|specified|available|known|found|contained|included|answerable|possible|enough|clear"
    r"|(?:to be found )?in the (?:\w+ )?(?:notes?|text|summary|context|document|passage))\b"
    r"|the (?:\w+ )?(?:notes?|text|summary|context|document|passage|compression|information)(?: given| provided)?"
    r" (?:do|does|did)(?: not|n't)\b"
    r"|(?:it )?can ?not be (?:determined|answered|known|inferred|found)\b"
    r"|(?:there is |there's )?(?:no|insufficient|not enough) (?:information|answer|mention|data)\b"
    r"|unanswerable\b|undetermined\b|unknown$|none given$|n/?a$|no notes\b)",
    re.IGNORECASE,
)

# what is not included in the price is a fact; what is not included in the text is none
_ELSEWHERE = (
    r"(?! (?:in|at|to|for|on|with|under)\b(?! (?:(?:the|this|that|these|those|any) )?(?:\w+ )?"
    r"(?:notes?|text|summary|context|document|passage|report|compression|information)\b))"
)
_DENIAL = re.compile(
    r"\b(?:(?:is|are|was|were|has|have|been|be)(?: not|n't) (?:been )?(?:stated|mentioned|given|provided|specified|known"
    rf"|(?:available|found|contained|included){_ELSEWHERE}"
    r"|disclosed|described|recorded|listed|indicated|reported|in the \w+)"
    r"|(?:do|does|did)(?: not|n't) (?:say|state|mention|give|provide|specify|contain|include|tell|indicate|list|answer|report)"
    rf"|not (?:stated|mentioned|given|provided|specified|known|recorded|listed|indicated|(?:available|found){_ELSEWHERE})"
    r"|no (?:information|mention|answer|data|record|details?|indication)\b|can ?not be (?:determined|answered|known|inferred|found)"
    r"|unknown|unanswerable|unspecified|n/a)\b",
    re.IGNORECASE,
)


class Unreadable(Exception):
    """The reply gives no answer, or more than one; the message says which."""


def said(reply: str) -> str:
    """The part of a reply that is its answer, before any look at what the answer should be.

    Reasoning in <think> tags is dropped. If a JSON object with a field "answer" stands in the reply (fenced or not; a
    comma before a closing bracket is forgiven), that field is the answer; else the last \\boxed{…}; else all of it.
    Raises Unreadable for an empty reply, for reasoning that was cut off, and for JSON that is broken, lacks the field,
    holds null, or says two things.
    """
    text = reply.rpartition("</think>")[2].strip()
    if "<think>" in text:
        raise Unreadable("the reasoning was cut off")
    if not text.strip("`"):
        raise Unreadable("empty")
    objects = _objects(text)
    fields = [value for value in objects if any(k.strip().casefold() == "answer" for k in value)]
    if not fields:
        fenced = _FENCE.fullmatch(text)
        text = fenced[1].strip() if fenced else text
        if text.startswith("{"):
            raise Unreadable('JSON without a field "answer"' if objects else "broken JSON")
        boxed = _BOXED.findall(text)
        return boxed[-1].strip() if boxed else text
    answers = {_field(value) for value in fields}
    if len(answers) > 1:
        raise Unreadable(f"several answers: {some(sorted(answers))}")
    return answers.pop()


def some(values: Sequence[str]) -> str:
    """The first SHOWN of `values`, each cut, for a line on what a reply holds too much of."""
    shown = ", ".join(value if len(value) <= 80 else value[:79] + "…" for value in values[:SHOWN])
    return shown if len(values) <= SHOWN else f"{shown}, and {len(values) - SHOWN} more"


def after_cue(text: str) -> str | None:
    """What follows the last "answer:", "the answer is", "correct option is"; None where there is no such cue."""
    cues = list(_CUE.finditer(text))
    return text[cues[-1].end() :].strip() if cues else None


def gives_up(text: str) -> bool:
    """Whether `text` begins by saying that there is no answer."""
    plain = " ".join(text.replace("’", "'").strip(" .!\"'*_()[]").split())
    return _NO_ANSWER.match(plain) is not None


def denies(text: str) -> bool:
    """Whether `text` says anywhere that something is not stated, known or to be found, in English."""
    return _DENIAL.search(" ".join(text.replace("’", "'").split())) is not None


def _objects(text: str) -> list[dict[str, Any]]:
    """The outermost JSON objects of `text`, in order."""
    found, start, tried = [], _OBJECT.search(text), 0
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, object_pairs_hook=_once)
    while start is not None:
        tried += 1
        if tried > MOST_OBJECTS:
            raise Unreadable(f"more than {MOST_OBJECTS} JSON objects")
        at = start.start()
        value, end = None, at + 1
        for version in _versions(text, at):
            try:
                value, end = decoder.raw_decode(version, at)
                break
            except json.JSONDecodeError:
                continue
            except RecursionError:
                raise Unreadable("JSON that is nested too deeply") from None
        if isinstance(value, dict):
            found.append(value)
        start = _OBJECT.search(text, end)
    return found


def _versions(text: str, at: int) -> Iterator[str]:
    """The text, then without commas before a closing bracket behind `at`: a space for each, so that places stay."""
    yield text
    yield text[:at] + _TRAILING_COMMA.sub(lambda m: m[0] if m[0] != "," else " ", text[at:])


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a field that stands twice with two values is a list of both, which is no answer."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields[name] = [fields[name], value] if name in fields and fields[name] != value else value
    return fields


def _field(value: dict[str, Any]) -> str:
    [answer, *others] = [v for k, v in value.items() if k.strip().casefold() == "answer"]
    if isinstance(answer, list) and len(answer) == 1:
        [answer] = answer
    if isinstance(answer, bool):
        answer = "true" if answer else "false"
    if others or not isinstance(answer, str):
        raise Unreadable('the field "answer" holds no single text or number')
    if not answer.strip():
        raise Unreadable("empty")
    return answer.strip()
