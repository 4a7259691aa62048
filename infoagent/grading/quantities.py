"""Numbers with units, read from text and compared.

Understood are thousands separators (1,234 · 1 234 · 1'234 · 1.234,5), decimal commas (1,5), exponents (1e-3), a sign or
accounting parentheses for a loss, currencies before or after, percent and basis points, scale words (thousand, million,
billion, trillion; k, m, mn, bn, b, t where they can only mean that), numbers in English words, and the units of UNITS, also
behind a hyphen (30-day) and as a quotient (mg/dl, beats per minute). Not understood, and so no quantity: dates, decades (1990s),
ordinals, fractions, ranges. A dash with a space behind it is a dash or the mark of a list, and no minus.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import regex

from infoagent.grading.number_words import in_digits
from infoagent.grading.words import NUMERALS, SPACELESS, has_spaceless

EXACT = 1e-9
"""Relative difference that is rounding of floats."""

CURRENCIES = {
    "us$": "USD", "usd": "USD", "$": "USD", "dollar": "USD", "dollars": "USD", "us dollar": "USD", "us dollars": "USD",
    "c$": "CAD", "cad": "CAD", "a$": "AUD", "aud": "AUD", "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pounds sterling": "GBP", "¥": "JPY", "jpy": "JPY", "yen": "JPY", "₹": "INR", "inr": "INR",
    "rupees": "INR", "chf": "CHF", "francs": "CHF", "cny": "CNY", "rmb": "CNY", "yuan": "CNY",
}  # fmt: skip
PERCENT = {
    "%": 0.01, "percent": 0.01, "per cent": 0.01, "pct": 0.01, "percentage points": 0.01, "percentage point": 0.01,
    "bps": 1e-4, "bp": 1e-4, "basis points": 1e-4, "basis point": 1e-4,
}  # fmt: skip
SCALES = {
    "dozen": 12.0, "hundred": 1e2,
    "thousand": 1e3, "million": 1e6, "millions": 1e6, "mn": 1e6, "mln": 1e6, "billion": 1e9, "billions": 1e9, "bn": 1e9,
    "bln": 1e9, "trillion": 1e12, "trillions": 1e12, "tn": 1e12,
}  # fmt: skip
SHORT_SCALES = {"k": 1e3, "m": 1e6, "mm": 1e6, "b": 1e9, "t": 1e12}
"""Units or words elsewhere: a scale beside a currency only; k, K, M and B also where they touch the number."""
TOUCHING_SCALES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}
ALONE = {"zero": 0.0, "one": 1.0}
"""Number words that are none beside other words (no one)."""

_FAMILIES: dict[str, tuple[tuple[float, str], ...]] = {
    "mass": (
        (1.0, "g gram grams gramme grammes"),
        (1e-3, "mg milligram milligrams"),
        (1e-6, "μg ug mcg microgram micrograms"),
        (1e-9, "ng nanogram nanograms"),
        (1e3, "kg kilogram kilograms kilo kilos"),
        (1e6, "t tonne tonnes"),
        (453.59237, "lb lbs pound pounds"),
        (28.349523125, "oz ounce ounces"),
    ),
    "length": (
        (1.0, "m metre metres meter meters"),
        (1e-2, "cm centimetre centimetres centimeter centimeters"),
        (1e-3, "mm millimetre millimetres millimeter millimeters"),
        (1e-6, "μm um micrometre micrometres micrometer micrometers"),
        (1e3, "km kilometre kilometres kilometer kilometers"),
        (0.0254, "inch inches"),
        (0.3048, "ft foot feet"),
        (1609.344, "mile miles"),
    ),
    "volume": (
        (1.0, "l L litre litres liter liters"),
        (1e-1, "dl decilitre decilitres deciliter deciliters"),
        (1e-2, "cl centilitre centilitres centiliter centiliters"),
        (1e-3, "ml millilitre millilitres milliliter milliliters"),
        (1e-6, "μl ul microlitre microlitres microliter microliters"),
    ),
    "time": (
        (1.0, "s sec secs second seconds"),
        (1e-3, "ms millisecond milliseconds"),
        (60.0, "min mins minute minutes"),
        (3600.0, "h hr hrs hour hours"),
        (86400.0, "d day days"),
        (604800.0, "week weeks wk wks"),
    ),
    "months": ((1.0, "month months"), (12.0, "year years yr yrs")),
    "amount": ((1.0, "mol mole moles"), (1e-3, "mmol millimole millimoles"), (1e-6, "μmol umol micromole micromoles")),
    "beats": ((1.0, "beat beats"),),
}
UNITS = {name: (family, size) for family, rows in _FAMILIES.items() for size, names in rows for name in names.split()}
TEMPERATURES = {
    "°c": "°C", "degrees celsius": "°C", "degree celsius": "°C", "celsius": "°C", "degrees c": "°C", "degc": "°C",
    "°f": "°F", "degrees fahrenheit": "°F", "degree fahrenheit": "°F", "fahrenheit": "°F", "degrees f": "°F", "degf": "°F",
}  # fmt: skip
_NO_UNITS = {
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    "january", "february", "march", "april", "june", "july", "august", "september", "october", "november", "december",
    "a", "an", "the", "and", "or", "of", "in", "to", "at", "on", "by", "for", "from", "with", "than",
    "is", "was", "are", "were", "st", "nd", "rd", "th", "am", "pm",
}  # fmt: skip

_NUMBER = (
    r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?"  # 1,234.5
    r"|\d{1,3}(?:[ ']\d{3})+(?!\d)(?:\.\d+|,\d{1,2}(?!\d))?"  # 1 234.5 and 1 234,50
    r"|\d{1,3}(?:\.\d{3})+,\d+"  # 1.234,5
    r"|\d+,\d{1,2}(?!\d)"  # 1,5
    r"|\d+(?:\.\d+)?|\.\d+)"
)
_EXPONENT = r"(?:\s?(?:e|E|[x×·*]\s?10\^)(?P<exponent>[-+]?\d+))?"
_POWER = re.compile(r"\s?[x×·*]\s?10(?:\^[-+]?\d|[⁻⁺]?[⁰¹²³⁴-⁹])[\d⁰¹²³⁴-⁹]*")
"""What makes 250 × 10^9 of 250."""
_SIGNS = r"(?:us\$|c\$|a\$|[$€£¥₹]|(?:usd|eur|gbp|jpy|cad|aud|chf|inr|cny|rmb)(?=[\s\d(-]))"
_QUANTITY = re.compile(
    rf"(?P<minus>[-−](?=\S))?\s?(?P<before>{_SIGNS})?\s?(?P<open>\()?\s?(?P<inner_minus>[-−+](?=\S))?(?P<inner>{_SIGNS})?\s?"
    rf"(?P<number>{_NUMBER}){_EXPONENT}(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_STARTS = re.compile(  # in running text: not inside a word, a date, a time or a version; (2019) there is an aside, $(5) a loss
    rf"(?<![\w.,^])(?<!\d[/:])(?<![A-Za-z]-)(?!\s)(?:[-−](?=\S))?(?:{_SIGNS}\s?\(?)?(?:[-−+](?=\S))?(?:{_SIGNS})?\s?{_NUMBER}",
    re.IGNORECASE,
)
_RAISED = {raised: str(digit) for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")} | {"⁻": "-", "⁺": "+"}
_RAISED_RUN = re.compile(r"(?<=[\d\w])[⁻⁺]?[⁰¹²³⁴-⁹]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_DECADE = re.compile(r"\d{3}0s")
_CLOSING = ".,;:!?]\"'。、」』"
_APART = regex.compile(rf"[{SPACELESS}--{NUMERALS}]", regex.V1)
"""Letters that make no word with a number beside them: 136人 holds 136, but 5万人 no 5."""
LONGEST_UNIT = 5
"""Words of a number with its scale and unit: 5 million beats per minute."""
_HYPHENED_UNIT = re.compile(r"(?<=\d)-(?=[a-z]{2})")
_GOES_ON = re.compile(r"\w|[/:.,]\d")
_JOINED = re.compile(r"\s*(?:-|–|—|to|or|and)\s*")


@dataclass(frozen=True)
class Quantity:
    """`value` in the unit as written (scale words are multiplied out), and what that unit measures.

    `size` is the unit in the base unit of its `family`; None stands for no unit at all. `whole` says that it
    is a whole number without scale word or measure, and so may be a year, a count or an identifier.
    """

    value: float
    family: str | None = None
    size: float = 1.0
    whole: bool = False

    @property
    def base(self) -> float:
        return self.value * self.size


@lru_cache(maxsize=1 << 15)  # the versions of a document say the same again but for one fact
def parse_quantity(text: str, any_unit: bool = True, unit: str | None = None) -> Quantity | None:
    """The quantity that `text` as a whole is, or None.

    A unit that UNITS does not know is one lower-case word, compared as it is written; with `any_unit` false only the
    family `unit` is taken of those.
    """
    text = _clean(text)
    if text.casefold() in ALONE:
        return Quantity(ALONE[text.casefold()], whole=True)
    match = _QUANTITY.fullmatch(text)
    if match is None or re.match(r"0\d", match["number"]):  # 007 is a name
        return None
    if _DECADE.fullmatch(match["number"] + match["rest"]):
        return None
    rest, negative = match["rest"], bool(match["minus"]) or match["inner_minus"] in ("-", "−")
    if match["open"]:
        if match["minus"] or match["inner_minus"] or rest.count(")") != 1:
            return None
        rest, negative = rest.replace(")", "", 1), True
    if match["before"] and match["inner"]:
        return None
    symbol = match["before"] or match["inner"]
    currency = CURRENCIES[symbol.casefold()] if symbol else None
    value = float(f"{_plain(match['number'])}e{match['exponent'] or 0}")
    found = _unit(rest, currency)
    if found is None:
        return None
    scale, family, size = found
    if not math.isfinite(value * scale):
        return None
    if family is not None and family.startswith("word ") and not any_unit and family != unit:
        return None
    countable = scale == 1 and not match["exponent"] and (family is None or family.startswith("word "))
    return Quantity((-value if negative else value) * scale, family, size, countable and value == round(value))


def find_quantities(text: str, unit: str | None = None) -> list[Quantity]:
    """All quantities that stand in `text`, in order, each with the longest unit that is known there (or is `unit`).

    Of numbers joined by a dash, "to", "or" or "and" the earlier take the unit of the last.
    """
    return [quantity for quantity, _, _ in _find(_clean(text), unit)]


def quantity_places(text: str) -> list[tuple[Quantity, int, int]]:
    """The quantities of `find_quantities` with where each stands: text[start:end] is number, sign and unit."""
    return _find(re.sub(r"\s|[^\x00-\x7f]", _plain_character, text), None)


def _plain_character(match: re.Match[str]) -> str:
    """As `_clean` writes a character; one character for one, so that places stay."""
    if match[0].isspace():
        return " "
    if match[0] in _RAISED or _VULGAR.match(match[0]):
        return match[0]
    plain = unicodedata.normalize("NFKC", match[0])
    plain = {"−": "-", "’": "'", "µ": "μ"}.get(plain, plain)
    return plain if len(plain) == 1 else match[0]


def _find(text: str, unit: str | None) -> list[tuple[Quantity, int, int]]:
    if has_spaceless(text):
        text = _APART.sub("?", text)  # one closing sign for one letter, so that places stay
    spans: list[tuple[int, int]] = []
    for match in _STARTS.finditer(text):
        start, end = match.span()
        if not spans or start >= spans[-1][1]:  # the 10 of 5 × 10^6 begins no number
            power = _POWER.match(text, end)
            spans.append((start, power.end() if power else end))
    found: list[tuple[Quantity, int, int]] = []
    for i in reversed(range(len(spans))):
        start, end = spans[i]
        limit = spans[i + 1][0] if i + 1 < len(spans) else len(text)
        longest = _longest(text, start, end, limit, unit)
        if longest is None:
            continue
        quantity, stop = longest
        if found and quantity.family is None and _JOINED.fullmatch(text[end:limit]) and i + 1 < len(spans):
            quantity = replace(quantity, family=found[-1][0].family, size=found[-1][0].size)
        found.append((quantity, start, stop))
    return found[::-1]


def same_quantity(reply: Quantity, answer: Quantity, relative_tolerance: float) -> bool:
    """|reply − answer| ≤ tolerance · |answer|, in the answer's unit.

    Units of one family are converted; other units and currencies are never equal. A side that states no unit is read in
    the other's. With a percentage on one side only, the bare number must be the fraction exactly (12 % and 0.12), or the
    reply the answer's number without its sign (12 for 12 %). Bare whole numbers and counts, which may be years or
    identifiers, are off by less than a half at most.
    """
    value = _in_unit_of(answer, reply)
    if value is None:
        return False
    bare = [q.family is None for q in (reply, answer)]
    if "percent" in (reply.family, answer.family) and any(bare):
        if math.isclose(reply.base, answer.base, rel_tol=EXACT):
            return True
        if answer.family is None:
            return False
    allowed = relative_tolerance * abs(answer.value)
    if answer.whole:
        allowed = min(allowed, 0.499)
    return abs(value - answer.value) <= max(allowed, EXACT * abs(answer.value))


def same_value(found: Quantity, answer: Quantity) -> bool:
    """Whether a quantity that stands in a text says what `answer` says, in whatever notation; exact up to rounding.

    Units of one family are converted (1.5 kg and 1500 g). A currency may go unsaid on either side, since tables name it once.
    A percentage equals the fraction that is written out (12 % and 0.12, but not 100 % and 1). Any other unit must be said on
    both sides.
    """
    families = (found.family, answer.family)
    if "percent" in families and None in families:
        bare = answer if answer.family is None else found
        return not bare.whole and math.isclose(found.base, answer.base, rel_tol=EXACT)
    if None in families and any(family not in (None, *CURRENCIES.values()) for family in families):
        return False
    value = _in_unit_of(answer, found)
    return value is not None and math.isclose(value, answer.value, rel_tol=EXACT, abs_tol=0.0)


def _in_unit_of(answer: Quantity, reply: Quantity) -> float | None:
    if reply.family is None or answer.family is None:
        return reply.value
    temperatures = {"°C", "°F"}
    if {reply.family, answer.family} == temperatures:
        return (reply.value - 32) / 1.8 if answer.family == "°C" else reply.value * 1.8 + 32
    return reply.base / answer.size if reply.family == answer.family else None


def compatible(text: str) -> str:
    """`text` in its plain characters (NFKC), but raised digits stay powers and fractions numbers of their own: 10² is 10^2 and not
    102, 2½ is 2 1/2 and not 21/2."""
    if not text.isascii():
        text = _RAISED_RUN.sub(lambda match: "^" + "".join(_RAISED[c] for c in match[0]), text)
        text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]).replace("⁄", "/"), text)
    return unicodedata.normalize("NFKC", text)


def _clean(text: str) -> str:
    text = compatible(text).replace("−", "-").replace("’", "'")
    text = " ".join(text.replace("µ", "μ").split()).strip("*`_\"“”' ")
    text = re.sub(r"(?<![\w.^×·*])(?<![x×·*] )10\^([-+]?\d+)", r"1e\1", text)
    return re.sub(r"(?<=[\w%)])[.!,;:]+$", "", in_digits(text))


def _plain(text: str) -> str:
    text = re.sub(r"[ ']", "", text)
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", text):
        text = text.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d{1,2}", text):
        text = text.replace(",", ".")
    return text.replace(",", "")


def _unit(rest: str, currency: str | None) -> tuple[float, str | None, float] | None:
    """(scale, family, size) of what follows a number, or None if that is no scale and unit."""
    touches = rest[:1].strip() != ""
    words = rest.strip().split(" ")
    scale = 1.0
    head = words[0].rstrip(".")
    if head.casefold() in SCALES:
        scale, words = SCALES[head.casefold()], words[1:]
    elif touches and head in TOUCHING_SCALES:
        scale, words = TOUCHING_SCALES[head], words[1:]
    elif head.casefold() in SHORT_SCALES and (currency or _currency(words[1:])):
        scale, words = SHORT_SCALES[head.casefold()], words[1:]
    unit = " ".join(words).strip()
    if not unit:
        return scale, currency, 1.0
    if other := CURRENCIES.get(unit.casefold()):
        # "$5 USD" says one thing twice, "$5 EUR" is no amount
        return (scale, other, 1.0) if currency in (None, other) else None
    if currency:
        return None
    if unit.casefold() in PERCENT:
        return scale, "percent", PERCENT[unit.casefold()]
    if temperature := TEMPERATURES.get(unit.casefold().replace("° ", "°")):
        return scale, temperature, 1.0
    measured = _measure(unit)
    return None if measured is None else (scale, *measured)


def _currency(words: Sequence[str]) -> bool:
    return " ".join(words).casefold() in CURRENCIES


def _measure(unit: str) -> tuple[str, float] | None:
    unit = re.sub(r" ?/ ?| per ", "/", "beats/min" if unit.casefold() == "bpm" else unit)
    parts = unit.split("/")
    if len(parts) > 2:
        return None
    families, size = [], 1.0
    for part, sign in zip(parts, (1, -1), strict=False):
        # a single capital is no unit: M is a million to some, and S or T a name
        if known := UNITS.get(part) or (UNITS.get(part.casefold()) if len(part) > 1 else None):
            families.append(known[0])
            size *= known[1] ** sign
        elif re.fullmatch(r"[a-zμ][^\W\d_]*|IU|[kMG]?Hz|[KMGT]i?B", part) and part not in _NO_UNITS:
            families.append("word " + part.casefold().removesuffix("s"))
        else:
            return None
    if families[0].startswith("word ") and len(families) == 1:
        return families[0], 1.0
    return "/".join(families), size


def _longest(text: str, start: int, end: int, limit: int, unit: str | None) -> tuple[Quantity, int] | None:
    """The quantity at `start` with the longest unit before `limit`, and its end; None where the number is part of a word."""
    ends = [start + m.end() for m in re.finditer(r"\S+", text[start:limit]) if start + m.end() >= end]
    for stop in reversed(ends[:LONGEST_UNIT]):
        piece = _HYPHENED_UNIT.sub(" ", text[start:stop])
        for trial in dict.fromkeys((piece, piece.rstrip(_CLOSING + ")"), piece.rstrip(_CLOSING))):
            if len(trial) >= end - start and (found := parse_quantity(trial, any_unit=False, unit=unit)):
                return found, start + len(trial)
    bare = None if _GOES_ON.match(text, end) else parse_quantity(text[start:end].replace("(", ""))
    return None if bare is None else (bare, end)
