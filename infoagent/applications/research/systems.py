"""A research run: for each task and run a plan, its searches and sources, for each system what its predictor reads of them,
its report, and the judgement.

Plan and sources are shared by all systems of a run, so that systems differ in the compression alone. Every reply, search,
page and score is a record of its own, addressed by its content; a report's row is put together from them, so that a run
that was killed or came to its spending limit goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infoagent.applications.research.asking import Asking
from infoagent.applications.research.judging import Judge, citations, stated
from infoagent.applications.research.prompts import plan_messages, queries_of, report_messages
from infoagent.applications.research.reading import Reading
from infoagent.applications.research.recipe import ResearchRecipe, SystemSection
from infoagent.applications.research.stage_costs import stage_cost
from infoagent.baselines import PICKERS, compress_extractive
from infoagent.data.sets.research_tasks import ResearchTask
from infoagent.evaluation.records import Row, content_key
from infoagent.lm.prompts import Prompt, compressor_messages, text_ids
from infoagent.types import Problem

STAGES = ("plan", "search", "read", "compress", "report", "judge")
Done = Callable[[], None]


class StageFailed(Exception):
    """A stage brought nothing that the next could work on; `stage` and `cause` go into the report's row."""

    def __init__(self, stage: str, cause: str, error: str) -> None:
        self.stage = stage
        self.cause = cause
        super().__init__(error)


@dataclass(frozen=True)
class Sources:
    """What the searches of one task and run brought. `by_number` are the texts of the sources, cut to what is read of
    each; `queries` says which queries found the source with a number."""

    by_number: Mapping[int, Row]
    queries: Mapping[int, Sequence[str]]
    searches: Sequence[Row]
    pages: Sequence[Row]


@dataclass(frozen=True)
class Notes:
    """What one system hands its predictor: a text for each number; `rows` are the records of its compressions."""

    texts: Mapping[int, str]
    rows: Sequence[Row]

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row["status"] != "ok"]


class Research:
    """All stages, for one recipe."""

    def __init__(self, recipe: ResearchRecipe, systems: Sequence[SystemSection], asking: Asking, reading: Reading) -> None:
        self.recipe = recipe
        self.systems = systems
        self.asking = asking
        self.reading = reading

    def run(self, task: ResearchTask, number: int, done: Done) -> list[Row]:
        """A row for each system, in order. `done` is called after each stage. Raises LimitReached."""
        draw = (self.recipe.seed, number)
        heads = [self._head(task, number, system) for system in self.systems]
        shared: dict[str, Sequence[Row]] = {}
        try:
            queries = self._plan(task, draw, shared)
            done()
            sources = self._search(queries, shared)
            done()
        except StageFailed as failure:
            lost = {"status": "failed", "stage": failure.stage, "cause": failure.cause, "error": str(failure)}
            costs = {stage: stage_cost(rows) for stage, rows in shared.items()}
            return [{**head, **lost, "stages": costs} for head in heads]
        notes = []
        for system in self.systems:
            notes.append(self._compress(system, sources, draw))
            done()
        reports = self._report(task, notes, draw)
        done()
        rows = []
        for system, head, noted, report in zip(self.systems, heads, notes, reports, strict=True):
            # who reads no sources needs no plan and no search either
            spent = {} if system.kind == "closed-book" else shared
            rows.append(head | self._row(task, number, queries, sources, spent, noted, report))
            done()
        return rows

    def _head(self, task: ResearchTask, number: int, system: SystemSection) -> Row:
        return {
            "key": content_key(kind="report", task=task.id, run=number, system=system.label),
            "kind": "report",
            "status": "ok",
            "task_id": task.id,
            "run": number,
            "system": system.label,
        }

    def _plan(self, task: ResearchTask, draw: tuple[int, ...], shared: dict[str, Sequence[Row]]) -> list[str]:
        rows = self.asking.ask(self.recipe.planner, [plan_messages(task.task, self.recipe.queries)], draw)
        shared["plan"] = rows
        if rows[0]["status"] != "ok":
            raise StageFailed("plan", rows[0]["cause"], rows[0]["error"])
        queries = queries_of(rows[0]["text"], self.recipe.queries)
        if not queries:
            raise StageFailed("plan", "no query", f"the plan holds no line with words: {rows[0]['text'][:200]!r}")
        return queries

    def _search(self, queries: Sequence[str], shared: dict[str, Sequence[Row]]) -> Sources:
        searches = self.reading.search(queries, self.recipe.sources)
        shared["search"] = searches
        heads: dict[str, Row] = {}
        found_by: dict[str, list[str]] = {}
        for search in searches:
            for source in search.get("sources", []):
                heads.setdefault(source["id"], source)
                found_by.setdefault(source["id"], []).append(search["query"])
        pages = self.reading.read(list(heads.values()))
        shared["read"] = pages
        read = [page for page in pages if page["status"] == "ok"]
        if not read:
            failures = [row for row in (*searches, *pages) if row["status"] != "ok"]
            cause = failures[0]["cause"] if failures else "no result"
            error = failures[0]["error"] if failures else f"{len(queries)} searches found nothing"
            raise StageFailed("search" if not heads else "read", cause, error)
        numbers = range(1, len(read) + 1)
        return Sources(
            by_number=dict(zip(numbers, read, strict=True)),
            queries={n: found_by[page["id"]] for n, page in zip(numbers, read, strict=True)},
            searches=searches,
            pages=pages,
        )

    def _compress(self, system: SystemSection, sources: Sources, draw: tuple[int, ...]) -> Notes:
        """The notes of one system. Compressions of a source for several queries stand below each other."""
        texts = {number: self._text(page) for number, page in sources.by_number.items()}
        if system.kind == "closed-book":
            return Notes({}, [])
        if system.kind == "full-document":
            return Notes(texts, [])
        pairs = [(number, query) for number in texts for query in sources.queries[number]]
        if system.kind in PICKERS:
            written = [self._pick(system, texts[number], query) for number, query in pairs]
            return Notes(_joined(pairs, written), [])
        prompt = Prompt.of(system.prompt)
        tokenizer = None if prompt.pick_tokens is None else self.asking.pool.tokenizer(system.model)
        chats = [compressor_messages(texts[n], query, prompt, tokenizer) for n, query in pairs]
        rows = [_with_text(row) for row in self.asking.ask(system.writer, chats, draw)]
        return Notes(_joined(pairs, [row["text"] if row["status"] == "ok" else "" for row in rows]), rows)

    def _text(self, page: Row) -> str:
        return str(page["text"])[: self.recipe.source_characters]

    def _pick(self, system: SystemSection, text: str, query: str) -> str:
        tokenizer = self.asking.pool.tokenizer(system.model)
        return compress_extractive(
            system.kind,
            Problem("source", text, query, "source"),
            sentences=system.sentences,
            tokens=system.tokens,
            count_tokens=lambda t: len(text_ids(tokenizer, t)),
            seed=self.recipe.seed,
        )

    def _report(self, task: ResearchTask, notes: Sequence[Notes], draw: tuple[int, ...]) -> list[Row]:
        """A record of the report of each system; one whose compressions all failed has none."""
        closed = [system.kind == "closed-book" for system in self.systems]
        writable = [i for i, noted in enumerate(notes) if noted.texts or closed[i]]
        chats = [report_messages(task.task, sorted(notes[i].texts.items())) for i in writable]
        written = dict(zip(writable, self.asking.ask(self.recipe.reporter, chats, draw), strict=True))
        lost = {"status": "failed", "stage": "compress", "cause": "no notes", "error": "no source was compressed"}
        return [written.get(i) or {**lost, **_cause_of(noted)} for i, noted in enumerate(notes)]

    def _row(
        self,
        task: ResearchTask,
        number: int,
        queries: Sequence[str],
        sources: Sources,
        shared: Mapping[str, Sequence[Row]],
        notes: Notes,
        report: Row,
    ) -> Row:
        texts = {n: self._text(page) for n, page in sources.by_number.items()}
        row: Row = {
            "queries": list(queries),
            "failed_searches": _failures(sources.searches),
            "failed_pages": _failures(sources.pages),
            "sources": [{"number": n, **{k: p[k] for k in ("id", "title", "address")}} for n, p in sources.by_number.items()],
            "failed_compressions": _failures(notes.rows),
            "notes_characters": sum(map(len, notes.texts.values())),
        }
        if notes.rows:
            row["notes"] = {str(n): text for n, text in sorted(notes.texts.items())}
        used = {**shared, "compress": notes.rows, "report": [report]}
        if report["status"] != "ok":
            row |= {"status": "failed", "stage": report.get("stage", "report"), "cause": report["cause"], "error": report["error"]}
        elif not report["text"].strip():
            row |= {"status": "failed", "stage": "report", "cause": "empty", "error": "the predictor wrote nothing"}
        else:
            judge = None if self.recipe.judge is None else Judge(self.recipe.judge, self.asking)
            row |= {"report": report["text"], "finish": report["finish"]}
            shown = {n: texts[n] for n in notes.texts}
            asks_judge = self.recipe.judge is not None and self.recipe.judge.citations == "judge"
            row["citations"] = citations(report["text"], shown, judge if asks_judge else None)
            if task.facts:
                row["facts"] = {
                    "asked": list(task.facts),
                    "in_sources": stated(task.facts, list(texts.values())),
                    "in_notes": stated(task.facts, list(notes.texts.values())),
                    "in_report": stated(task.facts, [report["text"]]),
                }
            if judge is not None:
                row["rubric"] = judge.rubric(task, number, report["text"])
                used["judge"] = judge.used
        return {**row, "stages": {stage: stage_cost(used[stage]) for stage in STAGES if stage in used}}


def _with_text(row: Row) -> Row:
    """Silence is no compression of a source."""
    if row["status"] != "ok" or row["text"].strip():
        return row
    return {**row, "status": "failed", "cause": "empty", "error": "the compressor wrote nothing"}


def _joined(pairs: Sequence[tuple[int, str]], written: Sequence[str]) -> dict[int, str]:
    """For each number its texts, each once, those that are empty left out."""
    found: dict[int, dict[str, None]] = {}
    for (number, _), text in zip(pairs, written, strict=True):
        if text.strip():
            found.setdefault(number, {})[text.strip()] = None
    return {number: "\n".join(texts) for number, texts in found.items()}


def _failures(rows: Sequence[Row]) -> list[Row]:
    return [{k: row[k] for k in ("query", "address", "cause", "error") if k in row} for row in rows if row["status"] != "ok"]


def _cause_of(notes: Notes) -> Row:
    """Why there are no notes: what the first compression says."""
    return {"cause": notes.failed[0]["cause"], "error": notes.failed[0]["error"]} if notes.failed else {}
