"""How often a text is told to keep its document's language: on parallel texts, cut to a few words.

    python eval/bench/language_kept.py en=xquad.en.json.gz es=xquad.es.json.gz [--words 5 8 12 20]

Files in SQuAD's nested form, the same paragraphs in each (XQuAD); the first language is the one that others are answered in. The
beginning of a sentence of a paragraph is held against that paragraph (`own`: another verdict than kept is a false accusation)
and against the same paragraph in the other language (`foreign`: kept is a miss). The rule: infoagent/grading/language.py.
"""

import sys

from infoagent.arguments import whole, written_by
from infoagent.config import exit_code, script_parser
from infoagent.types import InputError

VERDICTS = {True: "kept", False: "another", None: "too short"}


def main(argv: list[str] | None = None) -> int:
    parser = script_parser(__doc__)
    parser.add_argument("files", nargs="+", metavar="CODE=FILE", help="a language and its paragraphs")
    parser.add_argument("--words", type=whole(1, 1000), nargs="+", default=[5, 8, 12, 20], help="lengths of the texts")
    parser.add_argument("--out", type=written_by("eval/bench/language_kept.py"), help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    if wrong := [text for text in arguments.files if "=" not in text]:
        raise InputError([f"{text}: must be CODE=FILE, e.g. es=xquad.es.json.gz" for text in wrong])
    from infoagent.data.sets.own import load_jsonl
    from infoagent.files import write_json
    from infoagent.store import provenance

    held = {code: load_jsonl(path, "all") for code, _, path in (text.partition("=") for text in arguments.files)}
    documents = {code: list(dict.fromkeys(p.document for p in data.problems)) for code, data in held.items()}
    pivot = next(iter(documents))
    if any(len(own) != len(documents[pivot]) for own in documents.values()):
        raise InputError("the files hold different numbers of paragraphs: they must be translations of each other")
    found = []
    for words in arguments.words:
        for code in documents:
            pairs = [("own", code), ("foreign", pivot)] if code != pivot else [("own", code)]
            for what, text_code in pairs:
                found.append(shares(what, code, words, documents[code], documents[text_code], spaced=text_code not in ("zh", "ja")))
                print(found[-1])
    if arguments.out:
        write_json(arguments.out, {"rows": found, **provenance()})
    return 0


def shares(what: str, code: str, words: int, documents: list[str], texts: list[str], spaced: bool) -> dict[str, object]:
    """The share of each verdict over the paragraphs that have a sentence of so many words."""
    from infoagent.data.segmentation import sentences
    from infoagent.grading.language import keeps_language
    from infoagent.grading.words import split_words

    verdicts = []
    for document, text in zip(documents, texts, strict=True):
        long = [found for s in sentences(text) if len(found := split_words(s)) >= words]
        if long:
            verdicts.append(keeps_language((" " if spaced else "").join(long[len(long) // 2][:words]), document))
    told = {name: round(verdicts.count(verdict) / max(1, len(verdicts)), 3) for verdict, name in VERDICTS.items()}
    return {"document": code, "text": what, "words": words, "texts": len(verdicts), **told}


if __name__ == "__main__":
    sys.exit(exit_code(main))
