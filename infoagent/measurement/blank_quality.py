"""Quality of cloze questions on real text: the share of good blanks, by rules that each name a flaw.

The rules look at the finished question alone, not at how it was found. A blank is good where none of them applies:

- prose as code: a code term with white space or a mark of a sentence's end, and no sign that code has
- no name: a contraction, a function word or an interjection at its edge, a possessive, or a word that the document
  writes in lower case as well
- piece of a whole: a number whose neighbours belong to it (a date, a version, a range, a time, a word, a longer number),
  or a name between whose neighbours and itself stands a space and no function word
- mark: a number that counts a list's items or refers to a source
- mixed choices: a wrong choice is written as another kind of number, or is itself no name or no code
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from infoagent.data.cloze import BLANK
from infoagent.data.counterfactual import word_lists as words
from infoagent.types import Problem

FLAWS = ("prose as code", "no name", "piece of a whole", "mark", "mixed choices")

_KIND = re.compile(r"Which (code term|date|time|number|name) stands")
_CODE_SIGN = re.compile(r"[_=(){}\[\]<>*@\\|#/]|\w\.\w|[a-z][A-Z]|^[a-z]+(?: [a-z]+)?$|^[A-Z]{2,}\b|^\w+$")
_CODE_TEXT = re.compile(r"\w\(|\w_\w|`|>>>|::=|\b[a-z]+\.[a-z]+\b|[a-z][A-Z]")
_CONTRACTION = re.compile(r"\w+['’](?:m|ll|ve|re|d|t)|(?:It|That|There|Here|What|Who|How|Where|Let|He|She)['’]s")
_SAID = "Ah Hello Hey Hi Hmm Mm Mmm No Oh Ok OK Okay Please Right Sorry Sure Thanks Uh Um Well Yeah Yes"
_INTERJECTIONS = frozenset(_SAID.split())
_MONTHS = "|".join(words.MONTHS)


def flaws(problem: Problem) -> list[str]:
    """The rules that a cloze question breaks, in the order of FLAWS; empty where its blank is good."""
    kind = _KIND.match(problem.query)
    if kind is None or problem.answer is None:
        raise ValueError(f"problem {problem.id!r} asks no cloze question: {problem.query[:60]!r}")
    document, answer = problem.document, problem.answer
    found = []
    if kind[1] == "code term" and not is_code(answer, document):
        found.append("prose as code")
    # what stands around the blank in the sentence that the question shows
    before, _, after = problem.query.partition(": ")[2].partition(BLANK)
    if kind[1] == "name" and not is_name(answer, document):
        found.append("no name")
    if kind[1] == "name" and is_part_of_name(before, after):
        found.append("piece of a whole")
    if kind[1] == "number":
        if is_mark(before, after):
            found.append("mark")
        elif is_piece(before, after):
            found.append("piece of a whole")
    if any(not _alike(kind[1], answer, choice, document) for choice in problem.choices if choice != answer):
        found.append("mixed choices")
    return sorted(found, key=FLAWS.index)


def is_code(text: str, document: str) -> bool:
    """Whether it is written as code is; a plain word in quotation marks is, where the document holds code."""
    if re.search(r"[.!?,;]$|['’ ](?:m|ll|ve|re|s|t)\b", text) or not _CODE_SIGN.search(text):
        return False
    plain = re.fullmatch(r"[A-Za-z]+(?: [a-z]+)?", text) is not None
    return not plain or _CODE_TEXT.search(document) is not None


def is_name(text: str, document: str = "") -> bool:
    """Whether it may be a name: no contraction, possessive or function word at its edges, no word of the lower case."""
    parts = text.split()
    edges = {parts[0], parts[-1]}
    if edges & (words.NOT_NAMES | _INTERJECTIONS) or any(_CONTRACTION.fullmatch(p) for p in parts):
        return False
    if re.search(r"['’]s?$", text):
        return False
    alone = len(parts) == 1 and not text.isupper()
    return not (alone and re.search(rf"(?<![\w'’-]){re.escape(text.casefold())}(?![\w'’-])", document))


def is_mark(before: str, after: str) -> bool:
    """Whether a number between these texts counts an item (`3.` or `(3)` at the start of a line) or a source (`[3]`)."""
    rest = before.removesuffix("(")
    end = next((at for at in range(len(rest), 0, -1) if not (rest[at - 1].isspace() or rest[at - 1] in "*•-")), 0)
    gap = rest[end:]
    begins = not end or "\n" in gap or (rest[end - 1] in ".:;!?" and gap[:1].isspace())
    item = begins and re.match(r"[.)]\s", after) is not None
    return item or (before.endswith("[") and after.startswith("]"))


def is_piece(before: str, after: str) -> bool:
    """Whether a number between these texts is a part of something longer."""
    left = re.search(rf"[\w.,:/+–−-]$|(?:{_MONTHS}) $", before) is not None
    right = re.match(rf"[\w%]|[.,:/–−-]\w| (?:{_MONTHS})\b|:\d", after) is not None
    return left or right


def is_part_of_name(before: str, after: str) -> bool:
    """Whether a name between these texts has another capitalised word beside it that is no function word."""
    left = re.search(r"(?<![\w'’])([A-Z][\w'’-]+) $", before[-40:])
    right = re.match(r" ([A-Z][\w'’-]+)", after)
    beside = [m[1] for m in (left, right) if m is not None]
    return any(w not in words.NOT_NAMES | _INTERJECTIONS and not _CONTRACTION.fullmatch(w) for w in beside)


def _alike(kind: str, answer: str, choice: str, document: str) -> bool:
    if kind == "number":
        return _written(answer) == _written(choice)
    if kind == "name":
        return is_name(choice)
    return kind != "code term" or is_code(choice, document)


def _written(number: str) -> str:
    """How a number is written: with which sign or word, as a year, with or without decimals."""
    sign = re.sub(r"[\d.,\s]", "", number)
    if sign:
        return sign
    return "year" if re.fullmatch(r"1\d{3}|20\d\d", number) else "decimal" if "." in number else "whole"


def summarise(problems: Sequence[Problem]) -> dict[str, float]:
    """The share of good blanks, the number of questions, and the share that each rule refuses."""
    if not problems:
        raise ValueError("there are no questions to judge")
    found = [flaws(problem) for problem in problems]
    counts = Counter(flaw for one in found for flaw in one)
    shares = {flaw: counts[flaw] / len(found) for flaw in FLAWS}
    return {"good": sum(not one for one in found) / len(found), "questions": len(found), **shares}
