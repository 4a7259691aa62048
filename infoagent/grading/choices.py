"""Which lettered option a reply names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from infoagent.grading.facts import normalise, states_fact
from infoagent.grading.replies import Unreadable, after_cue, gives_up

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RUN = r"[(\[]?[A-Z](?![\w'])[)\]]?(?:\s*(?:,|/|&|\bor\b|\band\b)+\s*[(\[]?[A-Z](?![\w'])[)\]]?)*"
_BARE = re.compile(rf"\W*(?:(?:option|choice|answer|letter)\s\W*)?({_RUN})\W*", re.IGNORECASE)
_GOOD = r"(?:the )?(?:right|correct|best|most|answer)\b"
_RIGHT = rf"is {_GOOD}"
_WRONG = rf"[*_]{{0,3}}\s{{0,3}}(?:is|was)(?:\s(?:wrong|incorrect|false)\b|(?: not|n['’]t) {_GOOD})"
_LABEL = re.compile(
    rf"[(\[]?([A-Za-z])\s?(?:[)\]]|[).:]\s|[).:]$|\s[-–—]\s|[,;\n，；：。、])[).:\]]*(?!{_WRONG})\s*(.*)", re.DOTALL
)
_LEADING = re.compile(_RUN)
_BECAUSE = re.compile(rf"([A-Z])\s+(?:because|since|as\b|{_RIGHT})")
_PICKED = re.compile(
    r"(?<!not )(?<!n't )\b(?i:choose|chose|pick|select|go with|it is|it's|that is|that's|must be|would be|should be|option|choice)"
    rf"\s+[*_]*({_RUN})(?=[*_]*(?:[.,;:!?)\n]|$|\s(?:because|since|{_RIGHT})))"
)
_DECORATED = re.compile(rf"(?<!not )(?:(?<!\w)[(\[]([A-Za-z])[)\]]|(?<![\w(])([A-Z])\)(?!\w))(?!{_WRONG})")


def choose(said: str, choices: Sequence[str]) -> int:
    """Index of the option that the answer part of a reply names, by its letter or by its text.

    The text after an "answer is" is read first, then the whole. In each: the text of one option and nothing else; a
    letter and nothing else; a letter as label or behind a choosing word; a letter in parentheses; one option whose text
    stands in it (of options that contain each other, the longest). A letter A that may be an article, or an I, counts
    only where punctuation or a choosing word sets it apart, and none behind a "not" or before an "is wrong".

    Raises Unreadable for two letters, two options, a letter beside the text of another option, a letter that no option
    has, or nothing. "A" among options that are letters themselves is read as both, which must agree.
    """
    for part in (after_cue(said), said):
        found = _read(part, choices) if part else None
        if found is not None:
            return found
    raise Unreadable("names no option")


def option_index(answer: str, choices: Sequence[str]) -> int:
    """Which option `answer` is: by its text as it stands, else normalised, else by its letter. ValueError for none."""
    for same in (lambda c: c == answer, lambda c: _key(c) == _key(answer)):
        found = [i for i, choice in enumerate(choices) if same(choice)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"choices: {answer!r} stands there {len(found)} times; each option must be unique")
    letter = answer.strip().upper()
    if len(letter) == 1 and letter in LETTERS[: len(choices)]:
        return LETTERS.index(letter)
    raise ValueError(f"answer {answer!r} is none of the choices {list(choices)}")


def _read(text: str, choices: Sequence[str]) -> int | None:
    text = text.strip().strip('*`_"“”').strip()
    whole = _whole(text, choices)
    bare = _BARE.fullmatch(text)
    letter = _one_letter(bare[1].upper(), choices, whole) if bare else None
    if letter is not None and whole is not None and letter != whole:
        raise Unreadable(f"{text!r} is the letter of one option and the text of another")
    if letter is not None or whole is not None:
        return whole if letter is None else letter
    if (run := _LEADING.match(text)) and len(_letters(run[0], choices)) > 1:
        return _one_letter(run[0], choices, None)
    # of an option such as "B. Jones" the initial is no label
    initials = any(_LABEL.match(c) and _key(text).startswith(_key(c)) for c in choices)
    label = None if initials else _LABEL.match(text)
    if label and LETTERS.index(label[1].upper()) < len(choices):
        index = LETTERS.index(label[1].upper())
        other = _whole(label[2].strip().strip('*`_"“”').strip(), choices)
        if other not in (None, index):
            raise Unreadable(f"{text[:40]!r} is the letter of one option and the text of another")
        return index
    if own := re.match(r"([A-Z])\s+(\S.*)", text, re.DOTALL):
        index = LETTERS.index(own[1])
        if index < len(choices) and _whole(own[2], choices) == index:
            return index
    if because := _BECAUSE.match(text):
        return _one_letter(because[1], choices, None)
    picked = [m[1] for m in _PICKED.finditer(text)]
    decorated = [m[1] or m[2] for m in _DECORATED.finditer(text)]
    for runs in (picked, decorated):
        if runs:
            return _one_letter(" ".join(runs).upper(), choices, None)
    found = _within(text, choices)
    if found is not None and gives_up(text) and not gives_up(choices[found]):
        raise Unreadable("gives no answer")
    return found


def _one_letter(run: str, choices: Sequence[str], otherwise: int | None) -> int | None:
    """The one option of the letters in `run`; a letter that no option has is an error, unless the text says another."""
    letters = _letters(run, choices)
    if len(letters) > 1:
        raise Unreadable(f"several letters: {', '.join(sorted(letters))}")
    [letter] = letters
    if LETTERS.index(letter) < len(choices):
        return LETTERS.index(letter)
    if otherwise is None:
        raise Unreadable(f"no option has the letter {letter}")
    return None


def _letters(run: str, choices: Sequence[str]) -> set[str]:
    """The letters of `run` that options have; if none has one, all of them."""
    letters = set(re.findall(r"(?<![A-Z])[A-Z](?![A-Z])", run))
    return {a for a in letters if LETTERS.index(a) < len(choices)} or letters


def _key(text: str) -> str:
    return normalise(text).strip(" .,;:!?\"'`*") or text.strip().casefold()


def _whole(text: str, choices: Sequence[str]) -> int | None:
    for same in (lambda c: c.strip() == text, lambda c: _key(c) == _key(text)):
        found = [i for i, choice in enumerate(choices) if same(choice)]
        if len(found) == 1:
            return found[0]
    return None


def _within(text: str, choices: Sequence[str]) -> int | None:
    found: list[int] = []
    rest = normalise(text)
    for i in sorted(range(len(choices)), key=lambda i: -len(_key(choices[i]))):
        key = _key(choices[i])
        # one letter in a running text is an article, an initial or a blood group
        if len(key) < 2 and not key.isdigit():
            continue
        # rest lost what looks like an article: the A of vitamin A deficiency
        if states_fact(rest, key) or (key.endswith((" a", " an")) and states_fact(text, key)):
            found.append(i)
            rest = rest.replace(key, "\n")
    if len(found) > 1:
        raise Unreadable(f"several options: {', '.join(repr(choices[i]) for i in sorted(found))}")
    return found[0] if found else None
