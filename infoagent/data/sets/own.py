"""The user's own data: `jsonl` (documents with questions) and `text` (files or folders; questions by cloze, or stored).

Questions are rows with `id`, `document`, `query`, and optionally `answer`, `references`, `choices`, `group`, `negatives`,
`evidence`, `unanswerable`, `sides`: JSON lines, a JSON list, CSV or parquet by the names of the columns, each plain or gzipped.
In a cell of CSV a list is written as JSON. Files in SQuAD's forms are read as well. Every bad row is reported, with its place
and field.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from infoagent.data.cloze import Passage, questions_and_rest
from infoagent.data.passages import cut_and_rest
from infoagent.data.questions import WITHOUT_QUESTION, SourceDocument, attach_questions, documents_without
from infoagent.data.reading.documents import SUFFIXES, document_files, read_document
from infoagent.data.reading.schema import HALF_PAIR, IDENTITY, Mistakes, Texts, Unreadable, shown
from infoagent.data.reading.tables import BadFile, bytes_identity, file_rows, kind_of, read_bytes
from infoagent.data.sets import meetings, squad
from infoagent.data.sets.squad import Reading
from infoagent.data.splits import splits_of
from infoagent.parsing import json_loads
from infoagent.types import InputError, Negative, Problem, ProblemSet

REQUIRED = ("id", "document", "query")
LISTS = ("choices", "negatives", "references", "evidence", "sides")
OPTIONAL = ("answer", "references", "choices", "group", "negatives", "evidence", "unanswerable", "sides")
IN_A_RECIPE = "data.path ="
"""How a user names the path, where no command has an option for it."""
log = logging.getLogger(__name__)


def _existing(path: str | None, name: str, what: str, setting: str) -> Path:
    if path is None:
        if setting != IN_A_RECIPE:
            raise InputError(f"{setting}: must be given, the path of {what}, e.g. {setting} my_documents")
        raise InputError(f"data.path: data.name={name} needs the path of {what}, e.g. data.path=my_documents")
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(f"{setting} {path!r}: no such file or folder")
    return found


def load_jsonl(path: str | None, split: str, setting: str = IN_A_RECIPE) -> ProblemSet:
    """Problems of a file of rows. Splits are by `group` where it is given, else by document; a document with several groups
    goes by its content, so that none stands in two splits. Raises InputError for every bad row, and for the split "train" of
    a file that says it is a benchmark."""
    file = _existing(path, "jsonl", "a JSONL file", setting)
    if not file.is_file():
        other = "data.name=jsonl reads one file, data.name=text reads folders" if setting == IN_A_RECIPE else "give one file"
        raise InputError(f"{setting} {path!r}: is a folder; {other}")
    found = _read(file)
    problems = found.problems
    if not problems:
        told = "; ".join(f"{cause}: {count}" for cause, count in found.left_out.items())
        raise InputError(f"{file}: holds no problem{' (' + told + ')' if told else ''}; {_WHAT_A_ROW_IS}")
    if split == "train" and found.benchmark is not None:
        raise InputError(f"data.split = 'train': {file} is for evaluation only, {found.benchmark}; use data.split=test or all")
    if split != "all":
        wholes = [p.group or p.document_id for p in problems]
        splits = splits_of([p.document for p in problems], wholes)
        problems = [p for p, found in zip(problems, splits, strict=True) if found == split]
        if not problems:
            raise InputError(f"{file}: split {split!r} is empty with {len(set(wholes))} groups or documents; use data.split=all")
    name = Path(file.name.removesuffix(".gz")).stem
    return ProblemSet(name, bytes_identity(file), split, tuple(problems), found.left_out, found.benchmark)


_WHAT_A_ROW_IS = f"write one JSON object a line with {', '.join(REQUIRED)}"


def _read(file: Path) -> Reading:
    """What the file holds, in the form that its first row has."""
    rows = file_rows(file, ":")
    first = next(rows, None)
    if first is None:
        return Reading()
    rows = chain([first], rows)
    if squad.is_nested(first.content) or squad.is_flat(first.content):
        return squad.read(str(file), rows)
    if meetings.is_meeting(first.content):
        return meetings.read(str(file), rows)
    mistakes, texts, found = Mistakes(str(file)), Texts(), Reading()
    for row in rows:
        content = _with_lists(row.content) if kind_of(file) in (".csv", ".tsv") else row.content
        wrong = _row_mistakes(content)
        mistakes.rows += 1
        mistakes.add(row.where, wrong)
        is_named = isinstance(content, dict) and IDENTITY.fits(content.get("id"))
        if is_named and mistakes.unique(row.where, "id", str(content["id"])) and not wrong:
            found.problems.append(_problem(content, texts))
    mistakes.settle()
    return found


def _with_lists(row: Any) -> Any:
    """A row of CSV with its lists read from JSON; what is no JSON stays as it is, to be reported."""
    if not isinstance(row, dict):
        return row
    read = dict(row)
    for name in (*LISTS, "unanswerable"):
        try:
            read[name] = json_loads(read[name])
        except (KeyError, ValueError):
            continue
    return read


def _row_mistakes(row: Any) -> list[str]:
    if isinstance(row, Unreadable):
        return [row.reason]
    if not isinstance(row, dict):
        return [f"a line must be a JSON object, got {shown(row)}"]
    mistakes = []
    for field in REQUIRED:
        value = row.get(field)
        if field not in row:
            mistakes.append(f"field {field!r}: missing; required are {', '.join(REQUIRED)}")
        elif field == "id" and IDENTITY.fits(value):
            continue
        elif not isinstance(value, str):
            mistakes.append(f"field {field!r}: must be a string, got {shown(value)}")
        elif not value.strip():
            mistakes.append(f"field {field!r}: is empty")
    for field, value in row.items():
        held = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and HALF_PAIR.search(text) for text in held):
            mistakes.append(f"field {field!r}: holds half a surrogate pair, which is no text")
    for field in ("answer", "group"):
        value = row.get(field)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            mistakes.append(f"field {field!r}: must be a non-empty string or absent, got {shown(value)}")
    for field in LISTS:
        value = row.get(field)
        if field == "evidence" and isinstance(value, str):  # in one piece
            value = [value]
        if value is not None and not (isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value)):
            mistakes.append(f"field {field!r}: must be a list of non-empty strings, got {shown(value)}")
    mistakes += _unanswered_mistakes(row)
    if not mistakes and row.get("choices"):
        if row.get("answer") not in row["choices"]:
            mistakes.append("field 'choices': must contain the answer")
        elif len(row["choices"]) < 2:
            mistakes.append("field 'choices': must be at least two; of one alone every guess is right")
        elif len(set(row["choices"])) < len(row["choices"]):
            mistakes.append("field 'choices': a choice stands twice")
    if not mistakes and row.get("references") and not row.get("answer"):
        mistakes.append("field 'references': are other right answers beside 'answer', which is missing")
    if not mistakes and row["document"] in (row.get("negatives") or []):
        mistakes.append("field 'negatives': the document itself is among them")
    unknown = sorted(set(row) - {*REQUIRED, *OPTIONAL})
    if unknown:
        mistakes.append(f"field {unknown[0]!r}: unknown; allowed are {', '.join((*REQUIRED, *OPTIONAL))}")
    return mistakes


def _unanswered_mistakes(row: Mapping[str, Any]) -> list[str]:
    """Of the fields for a document that does not answer, or answers in two ways."""
    unanswerable, sides = row.get("unanswerable"), row.get("sides")
    mistakes = []
    if unanswerable is not None and not isinstance(unanswerable, bool):
        mistakes.append(f"field 'unanswerable': must be true, false or absent, got {shown(unanswerable)}")
    elif unanswerable and (row.get("answer") is not None or sides):
        mistakes.append("field 'unanswerable': is true beside an answer or sides; drop one of them")
    if isinstance(sides, list) and isinstance(row.get("document"), str):
        if len(set(map(str, sides))) < 2:
            mistakes.append("field 'sides': must be at least two different pieces of the document that contradict each other")
        mistakes += [
            f"field 'sides': {shown(side)} does not stand in the document"
            for side in sides
            if isinstance(side, str) and side not in row["document"]
        ]
        texts = [side for side in dict.fromkeys(filter(None, sides)) if isinstance(side, str)]
        mistakes += [
            f"field 'sides': {shown(one)} is a part of {shown(other)}; without the one the other is gone, too: name longer pieces"
            for one in texts
            for other in texts
            if one != other and one in other
        ]
    return mistakes


def _problem(row: Mapping[str, Any], texts: Texts) -> Problem:
    document, document_id = texts.one(row["document"])
    return Problem(
        id=str(row["id"]),
        document=document,
        query=row["query"],
        document_id=document_id,
        answer=row.get("answer"),
        choices=tuple(row.get("choices") or ()),
        group=row.get("group"),
        negatives=tuple(Negative("counterfactual", text) for text in row.get("negatives") or ()),
        evidence=row.get("evidence") or (),
        unanswerable=bool(row.get("unanswerable")),
        sides=tuple(row.get("sides") or ()),
        references=tuple(dict.fromkeys(r for r in row.get("references") or () if r != row["answer"])),
    )


@dataclass(frozen=True)
class OwnTexts:
    """What a file or a folder of the user's holds, cut into passages. `revision` identifies the files' content."""

    name: str
    revision: str
    passages: tuple[Passage, ...]
    files: int
    words: tuple[int, int]
    left_out: Mapping[str, int]
    """Files, pages, and words that came into no passage, by cause."""


def as_documents(passages: Sequence[Passage]) -> list[SourceDocument]:
    """What questions can be written for."""
    return [SourceDocument(p.id, p.text, p.group, p.part_of) for p in passages]


def read_texts(
    path: str | None, min_words: int | None, max_words: int | None, skip_bad_files: bool = False, setting: str = IN_A_RECIPE
) -> OwnTexts:
    """Passages of .txt, .md and .pdf files, group = file. Raises InputError with a line for every bad file; with
    `skip_bad_files` they are left out, each with a warning, and counted, as long as one is left."""
    root = _existing(path, "text", "a text file or a folder", setting)
    left_out: Counter[str] = Counter()
    files = document_files(root, left_out)
    if not files:
        raise InputError(f"{setting} {path!r}: holds no file that ends in {', '.join(SUFFIXES)}")
    low = min_words if min_words is not None else min(120, max_words or 120)
    high = max_words if max_words is not None else max(250, low)
    digest = hashlib.sha256()
    passages: list[Passage] = []
    bad: list[BadFile] = []
    for file in files:
        name = str(file.relative_to(root)) if root.is_dir() else file.name
        try:
            content = read_bytes(file)
            document = read_document(file, content)
        except BadFile as error:
            bad.append(error)
            continue
        digest.update(content)
        left_out.update(document.left_out)
        found, rest = cut_and_rest(name, document.paragraphs, low, high, group=name)
        passages += found
        left_out += rest
        left_out[f"file of fewer than {low} words (data.min_words)"] += not found
    if bad and not (skip_bad_files and len(bad) < len(files)):
        lines = [line for error in bad for line in error.problems]
        if len(bad) < len(files):
            lines.append(
                f"{path}: {len(bad)} of {len(files)} files cannot be read; mend or remove them, or leave them out with "
                "skip_bad_files: true (`infoagent questions`: --skip-bad-files)"
            )
        raise InputError(lines)
    for skipped in bad:
        log.warning("%s; left out", skipped)
        left_out[skipped.cause] += 1
    revision = "sha256:" + digest.hexdigest()[:16]
    return OwnTexts(root.name, revision, tuple(passages), len(files) - len(bad), (low, high), +left_out)


def load_text(
    path: str | None,
    split: str,
    seed: int,
    min_words: int | None,
    max_words: int | None,
    *,
    questions: str | None = None,
    skip_bad_files: bool = False,
) -> ProblemSet:
    """Passages of text, Markdown or PDF files, group = file; splits by file, but for passages that
    stand in several files, which go by their content.

    Their questions are blanks in their own sentences, or with `questions` those of a file that `infoagent questions`
    wrote; the file is then a part of what the revision identifies.
    """
    texts = read_texts(path, min_words, max_words, skip_bad_files)
    passages = list(texts.passages)
    if split != "all":
        splits = splits_of([p.text for p in passages], [p.group for p in passages])
        passages = [p for p, found in zip(passages, splits, strict=True) if found == split]
    low, high = texts.words
    where = f"{texts.files} files and {len(passages)} passages of {low}-{high} words"
    advice = "use data.split=all, longer files, or a lower data.min_words"
    if questions is None:
        problems, without = questions_and_rest(passages, seed)
        revision = texts.revision
        if not problems:
            raise InputError(f"data.path = {path!r}: split {split!r} gives no question from {where}; {advice}")
    else:
        if not passages:
            raise InputError(f"data.path = {path!r}: split {split!r} gives no document from {where}; {advice}")
        problems = attach_questions(as_documents(passages), questions)
        without = Counter({WITHOUT_QUESTION: documents_without(as_documents(passages), questions)})
        content = texts.revision.encode() + Path(questions).expanduser().read_bytes()
        revision = "sha256:" + hashlib.sha256(content).hexdigest()[:16]
    return ProblemSet(texts.name, revision, split, tuple(problems), +(Counter(texts.left_out) + without))
