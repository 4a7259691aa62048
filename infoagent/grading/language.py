"""Language identification of short texts: which language a text is in, and whether a text keeps the language of its document.

A maintained detector (py3langid: naive Bayes over byte n-grams, 140 languages) gives a probability for each language. Names,
numbers and quoted words fool any detector, so a text is only said to be in another language than its document

- by the words that the document does not have: what is copied is the document's own language, or a name (a text that is
  copied for more than half, with fewer new words than that, keeps the language);
- where there are at least LEAST_WORDS of them, numbers apart;
- where another language is at least e^LEAD_NATS times as probable as the document's.

How often that errs: `eval/bench/language_kept.py`.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from typing import Any

import numpy as np
import regex

from infoagent.grading.words import bare_words

LEAST_WORDS = 4
"""Of fewer words a name makes half of the text."""
LEAD_NATS = 2.0
"""Of probabilities: between close languages (es, gl; hi, mr) a sentence of five words is rarely further on the wrong side."""
FIRST_LEAD_NATS = 1.0
"""Of probabilities: so far must the first language be before the second for a text on its own to be told."""
KEPT_DOCUMENTS = 4096
_HELD = regex.compile(r"\p{L}")
_SCRIPTS = {
    "ru": r"\p{Cyrillic}", "zh": r"\p{Han}", "ja": r"[\p{Hiragana}\p{Katakana}]", "el": r"\p{Greek}", "ar": r"\p{Arabic}",
    "hi": r"\p{Devanagari}", "he": r"\p{Hebrew}", "ko": r"\p{Hangul}", "th": r"\p{Thai}",
}  # fmt: skip
_BY_SCRIPT = {language: regex.compile(letters, regex.V1) for language, letters in _SCRIPTS.items()}
"""The largest language of a script: what a text of two or three words is taken for."""


def language_of(text: str) -> str | None:
    """The code (ISO 639-1) of the language that a text is in; None where it does not tell.

    Of fewer than LEAST_WORDS words the script decides where most words are in one that is not Latin. Otherwise the detector,
    where its first language is e^FIRST_LEAD_NATS times as probable as its second.
    """
    words = _telling(text)
    if len(words) < LEAST_WORDS:
        scripts = Counter(next((code for code, letters in _BY_SCRIPT.items() if letters.match(w)), "") for w in words)
        most, count = scripts.most_common(1)[0] if scripts else ("", 0)
        return most if most and 2 * count >= len(words) else None
    scores = _log_probs(" ".join(words))
    first, second = sorted(scores, key=lambda code: -scores[code])[:2]
    return first if scores[first] - scores[second] > FIRST_LEAD_NATS else None


def keeps_language(text: str, document: str) -> bool | None:
    """Whether `text` is in the language of `document`, a longer text; None where one of them is too short to be judged."""
    own, held = _document(document)
    words = _telling(text)
    if own is None or len(words) < LEAST_WORDS:
        return None
    new = [word for word in words if word.casefold() not in held]
    if len(new) < LEAST_WORDS:  # most words are the document's, or nothing is known
        return True if 2 * len(new) < len(words) else None
    scores = _log_probs(" ".join(new))
    return bool(max(scores.values()) - scores[own] <= LEAD_NATS)


@lru_cache(maxsize=KEPT_DOCUMENTS)
def _document(text: str) -> tuple[str | None, frozenset[str]]:
    """The language of a document, and its words."""
    words = _telling(text)
    scores = _log_probs(" ".join(words)) if len(words) >= LEAST_WORDS else {}
    return max(scores, key=lambda code: scores[code]) if scores else None, frozenset(w.casefold() for w in words)


def _telling(text: str) -> list[str]:
    """The words that hold a letter, without punctuation: numbers are alike in all languages."""
    return [word for word in bare_words(text) if _HELD.search(word) and not any(c.isdigit() for c in word)]


def _log_probs(text: str) -> dict[str, float]:
    """log p(language | text) of every language with a code of two letters: Wu stands for Chinese, and no dialect of a
    neighbour for the language itself."""
    found = {code: p for code, p in _detector().rank(text) if len(code) == 2}
    return {code: float(np.log(max(p, 1e-30))) for code, p in found.items()}


@cache
def _detector() -> Any:
    # its model is read where a language is asked for, and not by whoever counts words
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    detector.set_languages([code for code in detector.labels if len(code) == 2])
    return detector
