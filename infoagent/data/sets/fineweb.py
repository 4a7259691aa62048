"""`fineweb`: long pages of the web, the first 100 English ones of 15,000 to 28,000 tokens.

The paper has five generated items for each: two extractive questions, an email, a rap, a poem. They are read from
data.questions, which `infoagent questions` writes; without it each page gets a blank. Splits are by page.
Source: Penedo et al. 2024, arXiv 2406.17557; `HuggingFaceFW/fineweb`, its sample of 10 billion tokens.
"""

from __future__ import annotations

from collections import Counter

from infoagent.data.questions import SourceDocument
from infoagent.data.reading.hub import Hub, open_source
from infoagent.data.reading.schema import STRING, TEXT, WHOLE, Mistakes, Schema
from infoagent.data.sets.generic import problem_set
from infoagent.types import InputError, ProblemSet

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


def load(
    path: str | None,
    split: str,
    revision: str | None,
    seed: int,
    min_words: int | None,
    max_words: int | None,
    questions: str | None,
) -> ProblemSet:
    """Pages, whole or in passages of min_words to max_words words. Rows after the hundredth page are not read."""
    source = open_source("fineweb", path, split, revision, HUB)
    mistakes = Mistakes(source.name)
    documents: list[SourceDocument] = []
    left_out: Counter[str] = Counter()
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
    return problem_set("fineweb", source.revision, documents, split, seed, min_words, max_words, questions, left_out)
