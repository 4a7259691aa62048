"""Measures of a compression against its document and question. Pure, deterministic, without a model.

A word is a run of letters, their marks (vowel signs, accents) and digits, in lower case; where a script is written
without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each letter with its marks is a word. A measure that does
not exist for a text (a rate over no words) is left out of the result, never set to 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import regex

from infoagent.audit.common_words import COMMON_WORDS
from infoagent.grading import states_fact, unsupported_spans
from infoagent.grading.words import MARKS
from infoagent.types import Compression, Problem

COPIED_RUN = 3
"""A word counts as copied when it stands in a run of so many words that the document has as well."""
IDENTIFIER_SHARE = 0.5
"""An identifier-only text has at least this share of identifiers among its content words."""
SHORT_WORD = 3
"""A word of so few letters carries no content of its own, in whatever language."""

MEASURES = {
    "copy_rate": "share of words in runs of at least 3 words that the document has too",
    "distinct_2": "different word pairs over all word pairs of one compression",
    "repeated_words": "length in words of the longest run that a compression says twice",
    "identifier_only": "share of compressions that name the document and say nothing of what is asked",
    "unsupported_spans": "numbers and names in a compression that neither document nor question has",
    "symbol_share": "share of characters that are no letter, digit or ordinary punctuation, and not in the document",
    "foreign_letters": "share of letters of scripts that neither document nor question uses",
    "unknown_words": "share of words that are neither in document nor question nor common",
}
"""Measures of one compression, averaged over compressions as `audit/<name>`."""
SET_MEASURES = {"distinct_2_set": "different word pairs over all word pairs of all compressions together"}
"""Measures of a set of compressions, as `audit/<name>`. They fall with the size of the set."""

_RUN = rf"[\p{{L}}\p{{N}}_][\p{{L}}\p{{N}}_{MARKS[1:-1]}]*"
_WORD = regex.compile(_RUN, regex.V1)
_LETTER = regex.compile(rf"[\p{{L}}\p{{N}}_]{MARKS}*", regex.V1)
_ALPHABETIC = regex.compile(rf"\p{{L}}[\p{{L}}{MARKS[1:-1]}]*", regex.V1)
_TOKEN = regex.compile(rf"{_RUN}(?:[-/.:,]{_RUN})*", regex.V1)
_ODD_PUNCTUATION = frozenset("#@*_\\{}[]")
_SPACELESS = frozenset({"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"})


def words(text: str) -> list[str]:
    """The words of a text in lower case, in their order."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match.group()
        if word.isascii() or not any(script(c) in _SPACELESS for c in word):
            found.append(word)
        else:
            found += _LETTER.findall(word)
    return found


@lru_cache(maxsize=4096)
def script(character: str) -> str:
    """The script of a letter as Unicode names it: LATIN, GREEK, CYRILLIC, CJK, ..."""
    return unicodedata.name(character, "UNKNOWN").split()[0]


def distinct_n(texts: Iterable[str], n: int = 2) -> float | None:
    """Different n-grams over all n-grams of the texts together; None where no text has n words."""
    grams = [gram for text in texts for gram in _grams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else None


def copy_rate(text: str, document: str, run: int = COPIED_RUN) -> float | None:
    """Share of the words of `text` that lie in `run` consecutive words which `document` has too.

    None for a text of fewer than `run` words: it cannot copy, and it cannot not copy.
    """
    own = words(text)
    if len(own) < run:
        return None
    known = set(_grams(words(document), run)) if run != COPIED_RUN else _read(document, "").runs
    copied = np.zeros(len(own), dtype=bool)
    for start, gram in enumerate(_grams(own, run)):
        if gram in known:
            copied[start : start + run] = True
    return float(copied.mean())


def longest_repeat(text: str) -> int:
    """Length in words of the longest run that stands twice in `text` without overlapping itself; 0 if no word does."""
    own = words(text)
    identity = {word: i for i, word in enumerate(dict.fromkeys(own))}
    codes = np.array([identity[word] for word in own], dtype=np.intp)
    positions = np.arange(len(own))
    best, previous = 0, np.zeros(len(own) + 1, dtype=np.intp)
    for end, code in enumerate(codes):
        # ending[j + 1]: length of the common run that ends at word `end` and at the later word j
        ending = np.zeros(len(own) + 1, dtype=np.intp)
        ending[1:] = np.where((codes == code) & (positions > end), previous[:-1] + 1, 0)
        best = max(best, int(np.minimum(ending[1:], positions - end).max(initial=0)))
        previous = ending
    return best


def symbol_share(text: str, document: str, query: str = "") -> float | None:
    """Share of the characters of `text`, spaces aside, that are neither letters, marks, digits nor ordinary punctuation
    (Unicode's classes P without # @ * _ \\ { } [ ]) and do not stand in the document or the question either."""
    characters = [c for c in text if not c.isspace()]
    if not characters:
        return None
    known = _read(document, query).characters
    return sum(_is_symbol(c) and c not in known for c in characters) / len(characters)


def foreign_letters(text: str, document: str, query: str = "") -> float | None:
    """Share of the letters of `text` whose script no letter of the document or the question has."""
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return None
    known = _read(document, query).scripts
    return sum(script(c) not in known for c in letters) / len(letters)


def unknown_words(text: str, document: str, query: str = "") -> float | None:
    """Share of the words of `text` without digits that stand, up to an ending of 3 letters, neither in the document nor
    in the question, nor among the common words. A good paraphrase has some: the level says little, a rise says drift.
    """
    own = [word for word in words(text) if _ALPHABETIC.fullmatch(word)]
    if not own:
        return None
    stems = _read(document, query).stems
    return sum(word not in COMMON_WORDS and not _has_stem(word, stems) for word in own) / len(own)


def identifier_only(problem: Problem, text: str) -> bool | None:
    """Whether `text` names the document and says nothing of what the question asks for.

    Identifiers are spans that the document has: tokens with a digit (codes, dates, amounts) and capitalised words
    that the document and the question never write in lower case. The text is identifier-only if

    1. it has an identifier, and identifiers make up at least half of its content words (the others being words of more
       than 3 letters that are not common);
    2. where the answer is known, no fact that it needs stands in it; and
    3. it shares no content word with the question, endings of 3 letters aside. Names in the question do not count,
       and with a known answer neither does a word right before a name or code ("Patient P-41761" for a
       question on the patient's weight).

    None where the question has no content word, or the text no word. Without a known answer, 3 alone decides what is
    said: a text that answers in other words than the question's is then counted if identifiers dominate it.
    """
    read = _read(problem.document, problem.query)
    tokens = list(_TOKEN.finditer(text))
    if not read.asked or not tokens:
        return None
    if any(states_fact(text, fact) for fact in problem.facts):
        return False
    named = [read.identifies(t.group()) for t in tokens]
    content = [n or _is_content(t.group()) for n, t in zip(named, tokens, strict=True)]
    if not any(named) or sum(named) < IDENTIFIER_SHARE * sum(content):
        return False
    for i, token in enumerate(tokens):
        if named[i] or not _has_stem(token.group().casefold(), read.asked):
            continue
        is_label = (
            problem.answer is not None
            and i + 1 < len(tokens)
            and named[i + 1]
            and not tokens[i + 1].group().replace(".", "").replace(",", "").isdigit()
            and text[token.end() : tokens[i + 1].start()].isspace()
        )
        if not is_label:
            return False
    return True


def measure(text: str, problem: Problem) -> dict[str, float]:
    """The measures of one compression by their names in MEASURES, without those that it does not have."""
    if not words(text):
        return {}
    named = identifier_only(problem, text)
    found = {
        "copy_rate": copy_rate(text, problem.document),
        "distinct_2": distinct_n([text], 2),
        "repeated_words": float(longest_repeat(text)),
        "identifier_only": None if named is None else float(named),
        "unsupported_spans": float(len(unsupported_spans(text, problem.document, problem.query))),
        "symbol_share": symbol_share(text, problem.document, problem.query),
        "foreign_letters": foreign_letters(text, problem.document, problem.query),
        "unknown_words": unknown_words(text, problem.document, problem.query),
    }
    return {name: value for name, value in found.items() if value is not None}


def audit(compressions: Sequence[Compression], problems: Sequence[Problem]) -> dict[str, float]:
    """Means over compressions of MEASURES and the values of SET_MEASURES as `audit/<name>`; problems[i] is the problem
    of compressions[i]. A measure that no compression has is left out.

    Raises ValueError if the lengths differ.
    """
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for compression, problem in zip(compressions, problems, strict=True):
        for name, value in measure(compression.text, problem).items():
            values[name].append(value)
    metrics = {f"audit/{name}": float(np.mean(found)) for name, found in values.items() if found}
    together = distinct_n([c.text for c in compressions], 2)
    if together is not None:
        metrics["audit/distinct_2_set"] = together
    return metrics


@dataclass(frozen=True)
class _Reading:
    """What the measures need to know of a document and its question."""

    characters: frozenset[str]
    scripts: frozenset[str]
    stems: frozenset[str]
    runs: frozenset[tuple[str, ...]]
    tokens: frozenset[str]
    """Tokens of the document with their capitals."""
    lower: frozenset[str]
    """Tokens of document and question that stand there in lower case."""
    asked: frozenset[str]
    """Stems of the question's content words."""

    def identifies(self, token: str) -> bool:
        """Whether a token of a text is a code, an amount or a name that the document has."""
        if token not in self.tokens:
            return False
        folded = token.casefold()
        if any(c.isdigit() for c in token):
            return True
        return token[0].isupper() and folded not in self.lower and folded not in COMMON_WORDS


@lru_cache(maxsize=32)  # the texts on a document come together, and what is read of 20,000 words takes 6 MB
def _read(document: str, query: str) -> _Reading:
    both = f"{document}\n{query}"
    tokens = frozenset(_TOKEN.findall(document))
    lower = frozenset(t for t in _TOKEN.findall(both) if t == t.casefold())
    reading = _Reading(
        characters=frozenset(both),
        scripts=frozenset(script(c) for c in both if c.isalpha()),
        stems=frozenset(stem for word in words(both) for stem in _stems(word)),
        runs=frozenset(_grams(words(document), COPIED_RUN)),
        tokens=tokens,
        lower=lower,
        asked=frozenset(),
    )
    asked = [
        token.casefold()
        for position, token in enumerate(_TOKEN.findall(query))
        if _is_content(token) and not (position > 0 and reading.identifies(token))
    ]
    return _Reading(**{**vars(reading), "asked": frozenset(stem for word in asked for stem in _stems(word))})


def _is_content(token: str) -> bool:
    return len(token) > SHORT_WORD and token.casefold() not in COMMON_WORDS


def _is_symbol(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _ODD_PUNCTUATION or category[0] not in "LMNPZ"


def _stems(word: str) -> Iterator[str]:
    """The word, and what is left of it without an ending of up to 3 letters, at least 4 letters long."""
    for length in range(min(len(word), max(4, len(word) - 3)), len(word) + 1):
        yield word[:length]


def _has_stem(word: str, stems: frozenset[str]) -> bool:
    return any(stem in stems for stem in _stems(word))


def _grams(sequence: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(sequence) - n + 1):
        yield tuple(sequence[start : start + n])
