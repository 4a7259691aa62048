"""`fineweb`: long pages of the web, the first 100 English ones of 15,000 to 28,000 tokens.

The paper has five generated items for each: two extractive questions, an email, a rap, a poem. They are read from
data.questions, which `infoagent questions` writes; without it each page gets a blank. Splits are by page.
Source: Penedo et al. 2024, arXiv 2406.17557; `HuggingFaceFW/fineweb`, its sample of 10 billion tokens.
"""

from __future__ import annotations

from collections import Counter

from infoagent.data.questions import SourceDocument
from infoagent.data.reading.hub import Hub, Source
from infoagent.data.reading.schema import STRING, TEXT, WHOLE, Mistakes, Schema
from infoagent.types import InputError

HUB = Hub(
    "HuggingFaceFW/fineweb",
    {split: ("train",) for split in ("train", "validation", "test", "all")},
    revision="9bb295ddab0e05d785b879661af7260fed5140fc",
    configs=("sample-10BT",),
    streaming=True,
)
TOKENS = (15_000, 28_000)
DOCUMENTS = 100
_ROW: dict[str, Schema] = {"id": TEXT, "text": TEXT, "language": STRING, "token_count": WHOLE}


def pages(source: Source, left_out: Counter[str]) -> list[SourceDocument]:
    """English pages of that length. Rows after the hundredth are not read."""
    mistakes = Mistakes(source.name)
    documents: list[SourceDocument] = []
    for row in source.rows:
        if not mistakes.fit(row.where, row.content, _ROW):
            continue
        if row.content["language"] != "en":
            left_out["page that is not in English"] += 1
            continue
        if not TOKENS[0] <= row.content["token_count"] <= TOKENS[1]:
            left_out[f"page not of {TOKENS[0]:,} to {TOKENS[1]:,} tokens"] += 1
            continue
        if mistakes.unique(row.where, "id", row.content["id"]):
            documents.append(SourceDocument(row.content["id"], row.content["text"], None))
        if len(documents) == DOCUMENTS:
            break
    mistakes.settle()
    if not documents:
        raise InputError(f"{source.name}: holds no English document of {TOKENS[0]:,} to {TOKENS[1]:,} tokens (token_count)")
    return documents
