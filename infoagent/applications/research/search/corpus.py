"""A local corpus under BM25: a registered data set, a folder of .txt, .md and .pdf files, or a JSONL index file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infoagent.applications.research.search.sources import SearchFailed, Source
from infoagent.data.ranking import BM25
from infoagent.data.reading.schema import IDENTITY, STRING, TEXT, Maybe, Mistakes, Schema
from infoagent.data.reading.tables import file_rows
from infoagent.data.registry import load_data
from infoagent.data.sets.own import read_texts
from infoagent.types import InputError

ROW: dict[str, Schema] = {"id": IDENTITY, "text": TEXT, "title": Maybe(TEXT), "address": Maybe(STRING)}
TITLE_CHARACTERS = 80
SHORTEST_PASSAGE_WORDS = 5
"""Of a folder's passages: a rest of a file below that is left out."""


class Corpus:
    """Documents, found by BM25 (`infoagent.data.ranking`) over title and text; free, and every text is at hand."""

    usd_per_search = 0.0
    usd_per_fetch = 0.0

    def __init__(self, sources: Sequence[Source], revision: str, name: str) -> None:
        if not sources:
            raise InputError(f"search.corpus: {name} holds no text; name a folder, a data set or a file that has some")
        self.sources = list(sources)
        self.revision = revision
        self.name = name
        self._by_id = {source.id: source for source in self.sources}
        self._index = BM25([f"{s.title}\n{s.text}" for s in self.sources])

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "corpus", "name": self.name, "revision": self.revision}

    def check(self) -> None:
        """Nothing can be missing once it is read."""

    def search(self, query: str, count: int) -> list[Source]:
        """The documents of the highest score; those that share no word with the query are no results."""
        scores = self._index.scores(query)
        return [self.sources[i] for i in self._index.order(scores)[:count] if scores[i] > 0]

    def fetch(self, source: Source) -> Source:
        if source.id not in self._by_id:
            raise SearchFailed("no text", f"{source.id}: is not in the corpus {self.name}")
        return self._by_id[source.id]


def corpus_of_data(section: dict[str, Any]) -> Corpus:
    """The distinct documents of a registered data set; `section` are the arguments of `load_data`."""
    data = load_data(**section)
    texts = {p.document_id: p.document for p in data.problems if p.document.strip()}
    sources = [Source(key, _title(text), f"{data.name}/{key}", text) for key, text in texts.items()]
    return Corpus(sources, _revision(sources), data.name)


def corpus_of_folder(path: str, max_words: int, skip_bad_files: bool = False) -> Corpus:
    """Passages of at most `max_words` words of all .txt, .md and .pdf files below `path`; the title is the file's name.

    Raises InputError with a line for every bad file, or leaves them out with a warning for each.
    """
    texts = read_texts(path, min(SHORTEST_PASSAGE_WORDS, max_words), max_words, skip_bad_files)
    sources = [Source(p.id, p.group, p.group, p.text) for p in texts.passages]
    return Corpus(sources, _revision(sources), texts.name)


def corpus_of_file(path: str) -> Corpus:
    """One JSON object a line: `id`, `text`, and optionally `title` and `address`. Raises InputError, a line for each
    bad row."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"search.corpus.file = {path!r}: no such file; give a JSONL file with id and text in each row")
    mistakes = Mistakes(str(file))
    sources: list[Source] = []
    for row in file_rows(file, ":"):
        if mistakes.fit(row.where, row.content, ROW) and mistakes.unique(row.where, "id", str(row.content["id"])):
            name, text = str(row.content["id"]), row.content["text"]
            title = row.content.get("title") or _title(text)
            sources.append(Source(name, title, row.content.get("address") or f"{file.name}/{name}", text))
    mistakes.settle()
    return Corpus(sources, _revision(sources), file.stem)


def _title(text: str) -> str:
    """The first line, cut."""
    first = text.strip().split("\n", 1)[0].strip()
    return first if len(first) <= TITLE_CHARACTERS else first[: TITLE_CHARACTERS - 1] + "…"


def _revision(sources: Sequence[Source]) -> str:
    content = json.dumps([[s.id, s.title, s.text] for s in sources])
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()[:16]
