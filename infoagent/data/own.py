"""The user's own data: `jsonl` (documents with questions) and `text` (files or folders; questions by cloze, or stored).

JSONL, one problem a line: `id`, `document`, `query`, and optionally `answer`, `choices`, `group`, `negatives`,
`evidence`. Every bad line is reported, with its number and field.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.data.cloze import Passage, questions_and_rest
from infoagent.data.markdown import markdown_paragraphs
from infoagent.data.passages import cut_and_rest, paragraphs_of, split_of
from infoagent.data.pdf import pdf_paragraphs
from infoagent.data.questions import WITHOUT_QUESTION, SourceDocument, attach_questions, documents_without
from infoagent.types import InputError, Negative, Problem, ProblemSet

REQUIRED = ("id", "document", "query")
OPTIONAL = ("answer", "choices", "group", "negatives", "evidence")
SUFFIXES = (".txt", ".md", ".pdf")
REPORTED = 20


def _existing(path: str | None, name: str, what: str) -> Path:
    if path is None:
        raise InputError(f"data.path: data.name={name} needs the path of {what}, e.g. data.path=my_documents")
    found = Path(path).expanduser()
    if not found.exists():
        raise InputError(f"data.path = {path!r}: no such file or folder")
    return found


def load_jsonl(path: str | None, split: str) -> ProblemSet:
    """Problems of a JSONL file. Splits are by `group` where it is given, else by document."""
    file = _existing(path, "jsonl", "a JSONL file")
    if not file.is_file():
        raise InputError(
            f"data.path = {path!r}: is a folder; data.name=jsonl reads one file, data.name=text reads folders"
        )
    content = file.read_bytes()
    problems: list[Problem] = []
    mistakes: list[str] = []
    lines_of: dict[str, int] = {}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: strings may hold other line ends
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            mistakes.append(f"{where}: not valid JSON: {error.msg} at column {error.colno}")
            continue
        found = _row_mistakes(row)
        identity = row.get("id") if isinstance(row, dict) else None
        if isinstance(identity, str) and identity in lines_of:
            found.append(f"field 'id': {identity!r} stands already in line {lines_of[identity]}; ids must differ")
        mistakes += [f"{where}: {mistake}" for mistake in found]
        if not found:
            lines_of[row["id"]] = number
            problems.append(_problem(row))
    if mistakes:
        more = len(mistakes) - REPORTED
        raise InputError(mistakes[:REPORTED] + ([f"{file}: and {more} more mistakes"] if more > 0 else []))
    if not problems:
        raise InputError(f"{file}: holds no problem; write one JSON object a line with {', '.join(REQUIRED)}")
    if split != "all":
        wholes: dict[str, int] = {}
        for problem in problems:
            whole = problem.group or problem.document_id
            wholes[whole] = wholes.get(whole, 0) + 1
        assigned = split_of(wholes)
        problems = [p for p in problems if assigned[p.group or p.document_id] == split]
        if not problems:
            raise InputError(
                f"{file}: split {split!r} is empty with {len(wholes)} groups or documents; use data.split=all"
            )
    return ProblemSet(file.stem, "sha256:" + hashlib.sha256(content).hexdigest()[:16], split, tuple(problems))


def _row_mistakes(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return [f"a line must be a JSON object, this is a {type(row).__name__}"]
    mistakes = []
    for field in REQUIRED:
        value = row.get(field)
        if field not in row:
            mistakes.append(f"field {field!r}: missing; required are {', '.join(REQUIRED)}")
        elif not isinstance(value, str):
            mistakes.append(f"field {field!r}: must be a string, got {type(value).__name__}")
        elif not value.strip():
            mistakes.append(f"field {field!r}: is empty")
    for field, value in row.items():
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            mistakes.append(f"field {field!r}: holds half a surrogate pair, which is no text")
    for field in ("answer", "group", "evidence"):
        value = row.get(field)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            mistakes.append(f"field {field!r}: must be a non-empty string or absent")
    for field in ("choices", "negatives"):
        value = row.get(field)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, str) and v.strip() for v in value)):
            mistakes.append(f"field {field!r}: must be a list of non-empty strings")
    if not mistakes and row.get("choices"):
        if row.get("answer") not in row["choices"]:
            mistakes.append("field 'choices': must contain the answer")
        elif len(set(row["choices"])) < len(row["choices"]):
            mistakes.append("field 'choices': a choice stands twice")
    if not mistakes and row["document"] in (row.get("negatives") or []):
        mistakes.append("field 'negatives': the document itself is among them")
    unknown = sorted(set(row) - {*REQUIRED, *OPTIONAL})
    if unknown:
        mistakes.append(f"field {unknown[0]!r}: unknown; allowed are {', '.join((*REQUIRED, *OPTIONAL))}")
    return mistakes


def _problem(row: dict[str, Any]) -> Problem:
    return Problem(
        id=row["id"],
        document=row["document"],
        query=row["query"],
        document_id="sha256:" + hashlib.sha256(row["document"].encode()).hexdigest()[:16],
        answer=row.get("answer"),
        choices=tuple(row.get("choices") or ()),
        group=row.get("group"),
        negatives=tuple(Negative("counterfactual", text) for text in row.get("negatives") or ()),
        evidence=row.get("evidence"),
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
    """Words and whole files that came into no passage, by cause."""


def as_documents(passages: Sequence[Passage]) -> list[SourceDocument]:
    """What questions can be written for."""
    return [SourceDocument(p.id, p.text, p.group, p.part_of) for p in passages]


def read_texts(path: str | None, min_words: int | None, max_words: int | None) -> OwnTexts:
    """Passages of .txt, .md and .pdf files, group = file. Raises InputError with a line for every bad file."""
    root = _existing(path, "text", "a text file or a folder")
    files = (
        [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    )
    if not files:
        raise InputError(f"data.path = {path!r}: holds no file that ends in {', '.join(SUFFIXES)}")
    low = min_words if min_words is not None else min(120, max_words or 120)
    high = max_words if max_words is not None else max(250, low)
    digest = hashlib.sha256()
    passages: list[Passage] = []
    mistakes: list[str] = []
    left_out: Counter[str] = Counter()
    for file in files:
        content = file.read_bytes()
        digest.update(content)
        name = str(file.relative_to(root)) if root.is_dir() else file.name
        try:
            found, rest = cut_and_rest(name, _paragraphs(file, content), low, high, group=name)
            passages += found
            left_out += rest
            left_out[f"file of fewer than {low} words (data.min_words)"] += not found
        except InputError as error:
            mistakes += error.problems
    if mistakes:
        raise InputError(mistakes)
    revision = "sha256:" + digest.hexdigest()[:16]
    return OwnTexts(root.name, revision, tuple(passages), len(files), (low, high), +left_out)


def _paragraphs(file: Path, content: bytes) -> list[str]:
    if file.suffix.lower() == ".pdf":
        return pdf_paragraphs(content, str(file))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    is_markdown = file.suffix.lower() == ".md"
    paragraphs = markdown_paragraphs(text) if is_markdown else paragraphs_of(text)
    if not (paragraphs if is_markdown else text.strip()):
        raise InputError(f"{file}: the document is empty")
    return paragraphs


def load_text(
    path: str | None,
    split: str,
    seed: int,
    min_words: int | None,
    max_words: int | None,
    *,
    questions: str | None = None,
) -> ProblemSet:
    """Passages of text, Markdown or PDF files, group = file; splits by file.

    Their questions are blanks in their own sentences, or with `questions` those of a file that `infoagent questions`
    wrote; the file is then a part of what the revision identifies.
    """
    texts = read_texts(path, min_words, max_words)
    passages = list(texts.passages)
    if split != "all":
        sizes: dict[str, int] = {}
        for passage in passages:
            sizes[passage.group] = sizes.get(passage.group, 0) + 1
        assigned = split_of(sizes) if sizes else {}
        passages = [p for p in passages if assigned[p.group] == split]
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
