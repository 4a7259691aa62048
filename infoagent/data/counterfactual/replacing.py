"""Swapping a fact for another through a whole document: every mention, its derived forms, and the words around it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from infoagent.data.counterfactual import word_lists as words
from infoagent.data.counterfactual.amounts import amount_value, in_words, plural
from infoagent.data.counterfactual.spans import (
    NAME_KINDS,
    Span,
    is_number,
    name_kind,
    overlaps,
    span_pattern,
    starts_sentence,
    typed_spans,
    uncounting,
)
from infoagent.grading.number_words import word_value
from infoagent.types import Change

_GENERIC_LAST = words.ORGANISATION_HEADS | words.PLACE_HEADS | words.NOT_FAMILY_NAMES
_ONE_PLACE = ("comparative", "negation", "ordinal")
"""Kinds whose other mentions are other facts: they are changed at one place only."""
_SMALL_NUMBER = 13
"""A smaller bare number stands for many things in one text, so that only its own place is changed."""


@dataclass(frozen=True)
class _Form:
    old: str
    new: str
    alone: bool = False
    """Only where no capitalised word stands beside it: another name of which it is a part is another fact."""


def replace_fact(
    document: str, fact: Span | str, new: str, kind: str | None = None, everywhere: bool = False
) -> tuple[str, Change]:
    """The document with `fact` changed to `new`, and what was changed.

    All mentions change, and with them short forms of names (surname, acronym in brackets), country and demonym,
    other spellings of a number, plurals and possessives; a capital at a sentence's start stays, and a/an before a
    changed word agrees with it. Comparatives, negations, ordinals and small bare numbers change at the place of the
    span (or the first one) alone, since elsewhere they are other facts, unless `everywhere` is asked for. No number
    changes inside a date, time, ordinal or code, nor a `one` that counts nothing, unless the span itself is there. Raises
    ValueError where the fact does not stand in the document.
    """
    text = fact if isinstance(fact, str) else fact.text
    kind = kind or (kind_of(text, document) if isinstance(fact, str) else fact.kind)
    place = fact.start if isinstance(fact, Span) else None
    if place is not None and document[place : place + len(text)] != text:
        raise ValueError(f"{text!r} does not stand at {place}: the span is of another document")
    own = (place, place + len(text)) if place is not None else None
    if not everywhere and (kind in _ONE_PLACE or (kind == "number" and _is_small(text))):
        own = own or span_pattern(text).search(document)
        places = [(*own, _capital(new) if text[:1].isupper() else new)] if own else []
    else:
        forms = _forms(document, text, new, kind)
        others = uncounting(document) if kind == "number" else []
        if own and overlaps(own, others):  # the number is asked for as a part of a date or the like
            others = []
        places = _mentions(document, forms, others)
        if not (own or places):
            places = _mentions(document, forms)
        if own and not overlaps(own, [(start, end) for start, end, _ in places]):  # in 12,907.5a, say
            places = sorted([*places, (*own, new)])
    if not places:
        raise ValueError(f"{text!r} does not stand in the document")
    edited, mentions = _substitute(document, places)
    return edited, Change(kind, text, new, mentions)


def kind_of(text: str, document: str = "", place: tuple[int, int] | None = None) -> str:
    """The kind of a whole text: that of the span that fills it, or that it has within the document (at its first mention, or
    at `place`); else "phrase"."""
    start, end = place or span_pattern(text).search(document) or (-1, -1)
    if start >= 0:
        for span in typed_spans(document):
            in_person = span.kind == "person" and span.start <= start and end <= span.end
            if (span.start, span.end) == (start, end) or in_person:
                return span.kind
        if is_number(text):  # with a capital, say
            return "number"
        if " " not in text and starts_sentence(document, start):  # a capital that says nothing
            return "phrase"
    if is_number(text):
        return "number"
    spans = typed_spans(text)
    if len(spans) == 1 and spans[0].text == text:
        return spans[0].kind
    is_name = re.fullmatch(r"[A-ZÀ-Þ]\w+(?: [A-ZÀ-Þ]\w+)*", text) and text.split()[0] not in words.NOT_NAMES
    return name_kind(text) if is_name else "phrase"


def _is_small(text: str) -> bool:
    value = amount_value(text)
    return value is not None and value < _SMALL_NUMBER and value.denominator == 1


def _forms(document: str, old: str, new: str, kind: str) -> list[_Form]:
    """The forms that a fact has in the document, the longest first, with their new ones."""
    forms = [_Form(old, new)]
    if kind in ("number", "quantity", "money", "percentage"):
        forms += _spellings(old, new)
    elif kind == "person":
        forms += _parts_of_person(old, new)
    elif kind in ("place", "demonym"):
        forms += _of_country(old, new)
    elif kind in ("organisation", "name"):
        forms += _short_names(document, old, new, kind)
    if kind in NAME_KINDS or kind == "drug" or (kind == "phrase" and " " not in old):
        forms += [_Form(plural(f.old), plural(f.new), f.alone) for f in forms if not f.old.endswith("s")]
    if kind == "code" and old.endswith("()") and new.endswith("()"):
        forms.append(_Form(old.removesuffix("()"), new.removesuffix("()")))
    if kind == "phrase" and old[:1].isupper() and old[1:].islower():  # it may have stood at a sentence's start
        forms += [_Form(_small(f.old), _small(f.new), f.alone) for f in forms]
    if old[:1].islower():
        forms += [_Form(_capital(f.old), _capital(f.new), f.alone) for f in forms]
    unique = {f.old: f for f in reversed(forms) if f.old and f.old != f.new}
    return sorted(unique.values(), key=lambda f: (-len(f.old), f.old))


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spellings(old: str, new: str) -> list[_Form]:
    """1,200 and 1200, 5 mg and 5mg, twelve and 12."""
    forms = []
    if "," in old:
        forms.append(_Form(old.replace(",", ""), new.replace(",", "")))
    elif re.fullmatch(r"\d{4,}", old):
        grouped = f"{int(new):,}" if new.isdecimal() else new
        forms.append(_Form(f"{int(old):,}", grouped))
    if re.match(r"\d[\d.,]* \S", old) and " " in new:
        head, _, tail = old.partition(" ")
        forms.append(_Form(f"{head}{tail}", new.replace(" ", "", 1)))
        if tail.isalpha() and tail.endswith("s"):  # 5 years, a 5-year plan
            forms.append(_Form(f"{head}-{tail[:-1]}", new.replace(" ", "-", 1).removesuffix("s")))
    elif re.match(r"[$€£\d][\d.,]*\S", old) and "%" in old and " " not in old:
        forms.append(_Form(old.replace("%", " percent"), new.replace("%", " percent")))
    first_old, _, rest_old = old.partition(" ")
    first_new, _, rest_new = new.partition(" ")
    other_old, other_new = _other_spelling(first_old), _other_spelling(first_new)
    if other_old and other_new and (not rest_old) == (not rest_new):
        forms.append(_Form(f"{other_old} {rest_old}".rstrip(), f"{other_new} {rest_new}".rstrip()))
    return forms


def _other_spelling(amount: str) -> str | None:
    """12 → twelve and back; None for what is neither."""
    if amount.isdecimal() and len(amount) <= 3:
        return in_words(int(amount))
    try:
        return str(word_value(amount))
    except ValueError:
        return None


def _parts_of_person(old: str, new: str) -> list[_Form]:
    """Given and family name alone, where they do not stand in another person's name."""
    parts_old = [p for p in old.split() if p not in words.TITLES]
    parts_new = [p for p in new.split() if p not in words.TITLES]
    if not parts_old or not parts_new:
        return []
    if any(part[:1].islower() and part not in words.LOWER_NAME_PARTS for part in parts_new):  # no name: the mayor
        parts_new = [new]
    forms = [_Form(parts_old[-1], parts_new[-1], alone=True)]
    if len(parts_old) > 1:
        forms.append(_Form(f"{parts_old[0]} {parts_old[-1]}", " ".join(dict.fromkeys((parts_new[0], parts_new[-1])))))
        forms.append(_Form(parts_old[0], parts_new[0], alone=True))
    return [f for f in forms if len(f.old) > 2]


def _of_country(old: str, new: str) -> list[_Form]:
    """Germany, German, Germans → France, French, French."""
    by_name = {c.name: c for c in words.COUNTRIES}
    one = by_name.get(old) or words.demonyms().get(old)
    other = by_name.get(new) or words.demonyms().get(new)
    if one is None or other is None:
        return []
    return [_Form(one.name, other.name), _Form(one.adjective, other.adjective), _Form(one.people, other.people)]


def initials(name: str) -> str:
    return "".join(p[0] for p in re.findall(r"[\w'’-]+", name) if p[0].isupper())


def _short_names(document: str, old: str, new: str, kind: str) -> list[_Form]:
    """The acronym in brackets and its later uses; the last word alone (the Broncos)."""
    forms = []
    acronym = re.search(re.escape(old) + r" \(([A-Z]{2,})\)", document)
    short = acronym.group(1) if acronym else initials(old)
    new_short = initials(new) if len(initials(new)) > 1 else new[:3].upper()
    if acronym or (len(short) > 2 and short != old):
        forms.append(_Form(short, new_short))
    parts_old, parts_new = old.split(), new.split()
    last = parts_old[-1]
    if len(parts_old) > 1 and "of" not in parts_old and last not in _GENERIC_LAST and last.isalpha() and len(last) > 3:
        forms.append(_Form(last, parts_new[-1], alone=True))
    if kind == "organisation" and len(parts_old) == 2 and last in words.ORGANISATION_HEADS and len(parts_new) > 1:
        first = parts_old[0]
        if first not in words.places() and first not in words.demonyms() and len(first) > 4:
            forms.append(_Form(first, parts_new[0], alone=True))
    return forms


_BARE_POSSESSIVE = re.compile(r"['’](?!\w)")
_NAME_BEFORE = re.compile(r"(?:^|[\s(])([A-ZÀ-Þ][\w.’'-]*|&|of) $")


def _mentions(document: str, forms: list[_Form], others: Iterable[tuple[int, int]] = ()) -> list[tuple[int, int, str]]:
    """(start, end, new text) of all mentions outside `others`; a longer form hides the shorter ones inside it."""
    taken = bytearray(len(document))
    for start, end in others:
        taken[start:end] = b"\1" * (end - start)
    places = []
    for form in forms:
        for start, end in span_pattern(form.old).places(document):
            if any(taken[start:end]) or (form.alone and _in_a_name(document, start, end)):
                continue
            taken[start:end] = b"\1" * (end - start)
            new = form.new
            if _BARE_POSSESSIVE.match(document, end) and form.old.endswith("s") and not new.endswith("s"):
                new, end = f"{new}{document[end]}s", end + 1  # the Normans' → the Caesar's
            if document[start].isupper() and new[:1].islower() and starts_sentence(document, start):
                new = _capital(new)
            places.append((start, end, new))
    return sorted(places)


def _in_a_name(document: str, start: int, end: int) -> bool:
    before = _NAME_BEFORE.search(document[max(0, start - 24) : start])
    if before and before.group(1) != "of":
        word = before.group(1)
        at_start = starts_sentence(document, start - 1 - len(word))
        if word not in words.TITLES and not (at_start or word in words.NOT_NAMES):
            return True
    return re.match(r" (?:[A-ZÀ-Þ]|&)", document[end : end + 2]) is not None


def _substitute(document: str, places: list[tuple[int, int, str]]) -> tuple[str, int]:
    """The document with new texts at the places, and a/an before them made to agree."""
    parts, last = [], 0
    for start, end, new in places:
        before = document[last:start]
        parts += [_agreeing(before, document[start:end], new), new]
        last = end
    return "".join([*parts, document[last:]]), len(places)


_ARTICLE = re.compile(r"(?<![\w'’.-])([Aa])(n?)(\s+[\"“'(]?)$")


def _agreeing(before: str, old: str, new: str) -> str:
    """`before` with its last article fit for `new`; left as it is where old and new begin with the same sort of sound."""
    article = _ARTICLE.search(before)
    if article is None or vowel_sound(old) == vowel_sound(new):
        return before
    return before[: article.start()] + article.group(1) + ("n" if vowel_sound(new) else "") + article.group(3)


def vowel_sound(text: str) -> bool:
    """Whether `an` stands before `text`: an hour, an 8, an FBI agent, but a union, a European, a one."""
    word = re.match(r"[\W_]*(\w*)", text)
    first = word.group(1) if word else ""
    if first[:1].isdigit():
        digits = re.match(r"[\d,]*", text.lstrip("$€£¥ "))
        number = (digits.group() if digits else first).replace(",", "")
        return number.startswith("8") or (number.startswith(("11", "18")) and len(number) % 3 == 2)
    # three capitals are read as letters (an FBI agent), more of them as a word where that can be said (a NASA plan)
    if len(first) > 1 and first.isupper() and (len(first) <= 3 or not re.search(r"[AEIOUY]", first)):
        return first[0] in "AEFHILMNORSX"
    lower = first.casefold()
    if lower.startswith(("hour", "honest", "honour", "honor", "heir")):
        return True
    if re.match(r"uni(?!n|m)|u[bcfhjkqrstn][aeiou]|eu|ew|one|once|ut[ie]", lower) and not lower.startswith(("unin", "unim")):
        return False
    return lower[:1] in tuple("aeiouàáâäåæèéêëìíîïòóôöøùúûü")
