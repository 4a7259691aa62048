"""`financebench`: 150 questions on companies' filings, each with the pages that answer it. For evaluation only.

A row brings the pages of its own evidence only, so the document of a question is those pages and the pages that other
questions on the same filing bring, the nearest first, up to a budget. Group = company.
Source: Islam et al. 2023, arXiv 2311.11944; `PatronusAI/financebench` or `financebench_open_source.jsonl`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import TEXT, WHOLE, ListOf, Maybe, Mistakes, Schema, Texts
from infoagent.grading.words import count_words
from infoagent.types import Problem, ProblemSet

HUB = Hub("PatronusAI/financebench", {split: ("train",) for split in ("validation", "test", "all")})
EVIDENCE_TOKENS = 8000
TOKENS_PER_WORD = 1.5
"""Tables of figures cost more tokens a word than prose does."""
_EVIDENCE: dict[str, Schema] = {
    "evidence_text": TEXT, "doc_name": Maybe(TEXT), "evidence_page_num": WHOLE, "evidence_text_full_page": TEXT,
}  # fmt: skip
_ROW: dict[str, Schema] = {
    "financebench_id": TEXT, "company": TEXT, "doc_name": TEXT, "question": TEXT, "answer": TEXT,
    "evidence": ListOf(_EVIDENCE, least=1),
}  # fmt: skip

_UNIT = re.compile(r"\bin (?:(?:USD|US\$|\$|(?:US )?dollars?) ?)?(thousand|million|billion)s?\b", re.IGNORECASE)
_BARE = re.compile(r"[-+(]{0,2}\$?[-+(]{0,2}[\d,]+(?:\.\d+)?\)?")

Page = tuple[str, int]


def load(path: str | None, split: str, revision: str | None, evidence_tokens: int | None) -> ProblemSet:
    """Every question, its document cut to `evidence_tokens` (words × 1.5; the answering pages always stay)."""
    source = open_source("financebench", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    rows = [
        row.content
        for row in source.rows
        if mistakes.fit(row.where, row.content, _ROW)
        and mistakes.unique(row.where, "financebench_id", row.content["financebench_id"])
    ]
    mistakes.settle()
    pages: dict[str, dict[int, str]] = defaultdict(dict)
    for row in rows:
        for evidence in row["evidence"]:
            filing, number = _page(row, evidence)
            pages[filing].setdefault(number, evidence["evidence_text_full_page"])
    budget, texts = evidence_tokens or EVIDENCE_TOKENS, Texts()
    return ProblemSet("financebench", source.revision, split, tuple(_problem(row, pages, budget, texts) for row in rows))


def _page(row: Mapping[str, Any], evidence: Mapping[str, Any]) -> Page:
    return evidence.get("doc_name") or row["doc_name"], evidence["evidence_page_num"]


def _problem(row: Mapping[str, Any], pages: Mapping[str, Mapping[int, str]], budget: int, texts: Texts) -> Problem:
    chosen = chosen_pages([_page(row, evidence) for evidence in row["evidence"]], pages, budget)
    filings = dict.fromkeys(filing for filing, _ in chosen)
    return Problem(
        id=row["financebench_id"],
        document=texts.one("\n\n".join(pages[filing][number] for filing, number in chosen))[0],
        query=row["question"].strip(),
        # two questions share a document where they share its pages
        document_id=" ".join(f"{name}#{','.join(str(n) for f, n in chosen if f == name)}" for name in filings),
        answer=row["answer"].strip(),
        references=with_unit(row["question"], row["answer"].strip()),
        group=row["company"],
        evidence=tuple(evidence["evidence_text"] for evidence in row["evidence"]),
    )


def with_unit(question: str, answer: str) -> tuple[str, ...]:
    """The answer with the unit that the question sets: to "… (in USD millions)" the answer is a bare $1577.00, and $1,577 million is
    as right. None where the question sets no unit or two, or the answer is not an amount alone."""
    units = {unit.lower() for unit in _UNIT.findall(question)}
    return (f"{answer} {units.pop()}",) if len(units) == 1 and _BARE.fullmatch(answer) else ()


def chosen_pages(gold: list[Page], pages: Mapping[str, Mapping[int, str]], budget: int) -> list[Page]:
    """The answering pages `gold`, then pages of the same filings, the nearest first, while all fit into `budget` tokens.

    In the order of the filings and of their pages. Of two pages equally near, the earlier one comes first.
    """
    chosen = set(gold)
    filled = sum(_tokens(pages[filing][number]) for filing, number in chosen)
    near = sorted(
        (min(abs(number - n) for f, n in gold if f == filing), number, filing)
        for filing in {filing for filing, _ in gold}
        for number in pages[filing]
        if (filing, number) not in chosen
    )
    for _, number, filing in near:
        filled += _tokens(pages[filing][number])
        if filled > budget:
            break
        chosen.add((filing, number))
    return sorted(chosen)


def _tokens(text: str) -> float:
    return count_words(text) * TOKENS_PER_WORD
