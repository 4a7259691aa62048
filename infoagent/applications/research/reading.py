"""Searches and pages: asked once, several at a time, kept as they come; a failed one is a record and never a source."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any

from infoagent.applications.research.asking import LIMIT, LimitReached
from infoagent.applications.research.search import Provider, SearchFailed, Source
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.lm.endpoint.spending import SpendingLimit

Found = Callable[[], Row]


class Reading:
    """Who searches and reads, for all tasks of a run."""

    def __init__(self, provider: Provider, records: RecordFile, budget: SpendingLimit, concurrency: int) -> None:
        self.provider = provider
        self.records = records
        self.budget = budget
        self.concurrency = concurrency

    def search(self, queries: Sequence[str], count: int) -> list[Row]:
        """A record for each query, in order: `sources` with id, title and address, or why there are none."""

        def work(query: str) -> Found:
            return lambda: {"sources": [_head(s) for s in self.provider.search(query, count)]}

        keys = [self._key("search", query=query, count=count) for query in queries]
        heads = [{"kind": "search", "query": query, "count": count} for query in queries]
        return self._all(keys, heads, [work(query) for query in queries], self.provider.usd_per_search)

    def read(self, sources: Sequence[Row]) -> list[Row]:
        """A record for each source, in order: its `text`, or why there is none."""

        def work(source: Row) -> Found:
            return lambda: asdict(self.provider.fetch(Source(source["id"], source["title"], source["address"])))

        keys = [self._key("source", id=source["id"]) for source in sources]
        heads = [{"kind": "source", **source} for source in sources]
        return self._all(keys, heads, [work(source) for source in sources], self.provider.usd_per_fetch)

    def _key(self, kind: str, **what: Any) -> str:
        return content_key(kind=kind, provider=self.provider.identity, **what)

    def _all(self, keys: Sequence[str], heads: Sequence[Row], works: Sequence[Found], usd: float) -> list[Row]:
        missing = {k: (h, w) for k, h, w in zip(keys, heads, works, strict=True) if not self.records.done(k)}
        with ThreadPoolExecutor(self.concurrency) as pool:
            jobs = {pool.submit(self._one, work, usd): (key, head) for key, (head, work) in missing.items()}
            left = set(jobs)

            def keep(job: Future[Row]) -> None:
                left.discard(job)
                key, head = jobs[job]
                self.records.append({"key": key, **head, **job.result()})

            try:
                for job in as_completed(jobs):
                    keep(job)
            except BaseException:
                under_way = [job for job in left if not job.cancel()]
                for job in as_completed(under_way):  # they are paid for
                    with contextlib.suppress(Exception):  # the first error is the one that is raised
                        keep(job)
                raise
        rows = [self.records.rows[key] for key in keys]
        stopped = next((row for row in rows if row.get("cause") == LIMIT), None)
        if stopped is not None:
            raise LimitReached(stopped["error"])
        return rows

    def _one(self, work: Found, usd: float) -> Row:
        room = self.budget.reserve(usd)
        if room is None:
            return {"status": "failed", "cause": LIMIT, "error": self.budget.refused(usd), "usd": 0.0, "seconds": 0.0}
        start = time.perf_counter()
        with room:
            try:
                row: Row = {"status": "ok", **work()}
            except SearchFailed as failure:
                room.paid_usd = failure.usd
                row = {"status": "failed", "cause": failure.cause, "error": str(failure)}
        return {**row, "usd": room.paid_usd, "seconds": time.perf_counter() - start}


def _head(source: Source) -> Row:
    return {"id": source.id, "title": source.title, "address": source.address}
