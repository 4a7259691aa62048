"""Sources of proposals in one table: where a text that a reward may choose comes from.

A new one is a function (problem, negatives) → texts and a row here: recipes then take its name in `proposals.sources`, its texts
are scored beside the policy's own, and tables count how often it wins. What the policy samples, what a search shortens and what
another run wrote are no rows: they need a model, a scorer and a file (`infoagent.training.proposing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from infoagent.data.ranking import bm25_order
from infoagent.data.segmentation import sentences as split_sentences
from infoagent.grading.words import contains
from infoagent.proposals.pieces import clauses, fact_places, gathered, telling_sentences, whole_pieces, windows
from infoagent.types import Negative, Problem

Propose = Callable[[Problem, Sequence[Negative]], Iterator[str]]

POLICY, GREEDY, SHORTENED, GIVEN, YARDSTICK = "policy", "greedy", "shortened", "given", "bm25 cut"
"""Origins beside those of the table: sampled from the policy, its likeliest text, shortened from the best so far, given by
another run, and BM25's text in as many tokens as the best one has, which is compared with and never chosen."""

LIST = "; "
GATHERED = ((None, " "), (4, LIST), (2, LIST))
"""How many words of its sentence stand before a gathered fact (None: the whole sentence), and what parts one from the next."""


@dataclass(frozen=True)
class Source:
    """Texts that could stand for a document. `always`: a model reads all of them, however cheap critics judge, and also one that is
    longer than a run may choose, which others are then compared with."""

    name: str
    propose: Propose
    meaning: str
    always: bool = False


def _bm25(problem: Problem, negatives: Sequence[Negative]) -> Iterator[str]:
    sentences = split_sentences(problem.document)
    yield from (sentences[i] for i in bm25_order(sentences, problem.query)[:1])


def _sentences(problem: Problem, negatives: Sequence[Negative]) -> Iterator[str]:
    yield from (problem.document[start:end] for start, end in telling_sentences(problem, negatives))


def _clauses(problem: Problem, negatives: Sequence[Negative]) -> Iterator[str]:
    document = problem.document
    cut = (piece for sentence in telling_sentences(problem, negatives) for piece in clauses(document, sentence))
    yield from (document[start:end] for start, end in whole_pieces(document, cut, fact_places(problem, negatives)))


def _windows(problem: Problem, negatives: Sequence[Negative]) -> Iterator[str]:
    document, facts = problem.document, fact_places(problem, negatives)
    cut = (piece for sentence in telling_sentences(problem, negatives) for piece in windows(document, sentence, facts))
    yield from (document[start:end] for start, end in whole_pieces(document, cut, facts))


def _gathered(problem: Problem, negatives: Sequence[Negative]) -> Iterator[str]:
    for words_before, separator in GATHERED:
        pieces: list[str] = []
        for start, end in gathered(problem, negatives, words_before):
            piece = problem.document[start:end]
            if not any(contains(before, piece) for before in pieces):  # a name that the versions change wherever it stands
                pieces.append(piece)
        if len(pieces) > 1:  # of a single fact the other sources have the windows
            yield separator.join(pieces)


# fmt: off
SOURCES: dict[str, Source] = {source.name: source for source in (
    Source("bm25", _bm25, "the one sentence that BM25 finds for the question", always=True),
    Source("sentences", _sentences, "sentences that a counterfactual changes or that match the question"),
    Source("clauses", _clauses, "their parts between inner punctuation"),
    Source("windows", _windows, "their runs of words that end behind a fact or a clause"),
    Source("gathered", _gathered, "every fact that a counterfactual changes, in one text, each with a few words before it"),
)}
# fmt: on


@dataclass(frozen=True)
class Proposal:
    """A text and where it comes from."""

    text: str
    origin: str


def propose(problem: Problem, negatives: Sequence[Negative], names: Sequence[str]) -> list[Proposal]:
    """The texts of the named sources in their order; one that several propose belongs to the first."""
    origins: dict[str, str] = {}
    for name in names:
        for text in SOURCES[name].propose(problem, negatives):
            if text.strip():
                origins.setdefault(text, name)
    return [Proposal(text, origin) for text, origin in origins.items()]
