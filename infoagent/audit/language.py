"""Which language a short text is in, by its script and its function words. For a handful of languages, without a model."""

from __future__ import annotations

from collections import Counter

from infoagent.audit.measures import script, words

FUNCTION_WORDS = {
    "en": "the of and to in is was were are for with by on at from that this it its be has have had not which who as an a "
          "will their there no or but how what when where under after before during",
    "de": "der die das und ist war wird werden wurde wurden den dem des ein eine einen für von mit auf im an aus nicht sich "
          "auch noch nach bei über vor zum zur sind hat wie wer welcher welche",
    "fr": "le la les des du et est était sera sont une un pour de dans sur par avec au aux il elle qui que ne pas ont été "
          "ce cette se d l n avant",
    "es": "el la los las del y es fue son una un para de en con por que se no hay está han su al lo como antes sobre quién "
          "tiene quedan",
}  # fmt: skip
_WORDS = {language: frozenset(text.split()) for language, text in FUNCTION_WORDS.items()}
SCRIPTS = {"CYRILLIC": "ru", "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "GREEK": "el", "ARABIC": "ar"}
LEAST_HITS = 2


def language_of(text: str) -> str | None:
    """A code such as en or ru; None where the text does not tell.

    A script that belongs to one language here decides if at least half of the words are written in it (where words are
    not set apart, each character is one). Latin words are told apart by function words: at least two, and more than of
    any other language.
    """
    own = [word for word in words(text) if not word.isdigit()]
    scripts = Counter(script(word[0]) for word in own)
    if not scripts:
        return None
    most, count = scripts.most_common(1)[0]
    if most in SCRIPTS and 2 * count >= scripts.total():
        return SCRIPTS[most]
    found = Counter({language: sum(word in known for word in own) for language, known in _WORDS.items()})
    (first, hits), (_, second) = found.most_common(2)
    return first if hits >= LEAST_HITS and hits > second else None
