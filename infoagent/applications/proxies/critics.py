"""Who can tell how likely a text is under a document: language models, changed ones, served ones, and two floors.

Any of them may stand in the compressor's place as a critic: the estimate stays a lower bound, tight only where the
critic is good.

    lm        log p(text | the compressor's prompt with the document), in the scorer's own template and tokens
    unigram   Σ over words w of the text of log (n(w, document) + μ p(w)) / (|document| + μ), p from all documents
              (query likelihood with Dirichlet smoothing; Zhai & Lafferty 2004); no order, no question
    zlib      −8 log 2 · (C(document + text) − C(document)), C bytes of the deflated text; a byte is the least it sees
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from infoagent.applications.proxies.recipe import ProxySection
from infoagent.applications.proxies.variants import keep_layers, round_weights, weight_mib
from infoagent.evaluation.cells import Cell
from infoagent.lm import models
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring.client import HttpScorer
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.lm.scoring.pairs import pair_log_probs, total
from infoagent.lm.sizes import architecture_of
from infoagent.records.grid import CompressionRecord, known
from infoagent.types import Compression

SMOOTHING_WORDS = 100.0
"""μ: so many words of the whole collection stand in for those that a document lacks."""
_WORD = re.compile(r"\w+")


class Critic(Protocol):
    """Scores the texts of one problem under all its candidates."""

    weight_mib: float | None
    """What its weights take in memory; 0 for none, None where that is not known."""
    gflop: float | None
    """Spent so far; None where that is not known."""

    def log_probs(self, cell: Cell, index: int, rows: Sequence[CompressionRecord]) -> list[list[float]]:
        """log p(text | candidate) in nats for each row, the source first. Raises FloatingPointError, and OSError where a server is gone."""


def load_critic(section: ProxySection, memory_mib: int, documents: Iterable[str]) -> Critic:
    """The critic of a section; `documents` are those that a unigram's smoothing counts."""
    if section.kind == "unigram":
        return UnigramCritic(documents)
    if section.kind == "zlib":
        return ZlibCritic()
    architecture = architecture_of(section.model.name, section.model.revision)
    if section.url is not None:
        tokenizer = models.find_model(section.model).tokenizer
        each = 4 if section.model.dtype == "float32" else 2
        weights = None if architecture is None else architecture.parameters * each / 2**20
        return LmCritic(HttpScorer(section.url), tokenizer, architecture, weights)
    lm = models.load(section.model.name, section.model.revision, section.model.dtype, section.model.adapter)
    if section.layers is not None:
        keep_layers(lm.model, section.layers)
        architecture = None if architecture is None else replace(architecture, layers=section.layers)
    if section.weight_bits is not None:
        round_weights(lm.model, section.weight_bits)
    return LmCritic(Scorer(lm.model, memory_mib), lm.tokenizer, architecture, weight_mib(lm.model, section.weight_bits))


@dataclass
class LmCritic:
    """A language model, here or served."""

    scorer: ColumnScorer
    tokenizer: Any
    architecture: Any
    weight_mib: float | None
    gflop: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.gflop = None if self.architecture is None else 0.0

    def log_probs(self, cell: Cell, index: int, rows: Sequence[CompressionRecord]) -> list[list[float]]:
        problem, tokenizer = cell.problems[index], self.tokenizer
        prompt = cell.scored_as
        prefixes = [tuple(compressor_ids(tokenizer, d, problem.query, prompt)) for d in cell.candidates(index)]
        end = end_of_turn_id(tokenizer)
        texts = [
            continuation_ids(
                Compression(r.problem_id, known(r.text), tuple(text_ids(tokenizer, known(r.text))), known(r.finish)), end
            )
            for r in rows
        ]
        before = self.scorer.prefix_tokens + self.scorer.continuation_tokens
        columns = pair_log_probs(self.scorer, [(prefix, text) for text in texts for prefix in prefixes])
        if self.gflop is not None:
            tokens = self.scorer.prefix_tokens + self.scorer.continuation_tokens - before
            self.gflop += self.architecture.flops(tokens, len(prefixes[0])) / 1e9
        return [[total(columns[prefix, text]) for prefix in prefixes] for text in texts]


class UnigramCritic:
    """See the module. A word that no document has counts as once seen in the collection."""

    weight_mib: float | None = 0.0
    gflop: float | None = 0.0

    def __init__(self, documents: Iterable[str]) -> None:
        self.collection = Counter(word for text in dict.fromkeys(documents) for word in _words(text))
        self.total = sum(self.collection.values()) + len(self.collection) + 1

    def log_probs(self, cell: Cell, index: int, rows: Sequence[CompressionRecord]) -> list[list[float]]:
        counted = [Counter(_words(document)) for document in cell.candidates(index)]
        return [[self._of(_words(known(row.text)), counts) for counts in counted] for row in rows]

    def _of(self, text: Sequence[str], counts: Counter[str]) -> float:
        length = counts.total() + SMOOTHING_WORDS
        return sum(math.log((counts[w] + SMOOTHING_WORDS * (self.collection[w] + 1) / self.total) / length) for w in text)


class ZlibCritic:
    """See the module."""

    weight_mib: float | None = 0.0
    gflop: float | None = 0.0

    def log_probs(self, cell: Cell, index: int, rows: Sequence[CompressionRecord]) -> list[list[float]]:
        documents = cell.candidates(index)
        alone = [_deflated(document) for document in documents]
        return [
            [
                -8 * math.log(2) * max(0, _deflated(f"{document}\n{row.text}") - size)
                for document, size in zip(documents, alone, strict=True)
            ]
            for row in rows
        ]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _deflated(text: str) -> int:
    return len(zlib.compress(text.encode(), 9))
