"""The order of a compressor that knows the answer: the least that a baseline of whole sentences could miss."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from infoagent.data.ranking import bm25_scores
from infoagent.data.segmentation import sentences as split_sentences
from infoagent.grading import normalise, states_fact
from infoagent.grading.words import bare_words
from infoagent.types import InputError, Problem


def oracle_order(sentences: Sequence[str], problem: Problem) -> list[int]:
    """Sentences that hold the evidence first, then their neighbours, the nearest first (of two, the earlier).

    Of several that hold it, those that state the answer come first, then those with more of the query (BM25), then
    the earlier. Without evidence, or where the document does not hold it, the sentences that state the answer take
    its place. Raises InputError, naming the problem, where neither is found.
    """
    held = holding_sentences(sentences, problem)
    scores = bm25_scores(sentences, problem.query)
    answer = problem.answer or ""

    def states(i: int) -> bool:
        return bool(answer.strip()) and states_fact(sentences[i], answer)

    first = sorted(held, key=lambda i: (not states(i), -scores[i], i))
    rest = [i for i in range(len(sentences)) if i not in set(held)]
    return first + sorted(rest, key=lambda i: (min(abs(i - h) for h in held), i))


def holding_sentences(sentences: Sequence[str], problem: Problem) -> list[int]:
    """Places of the sentences with the evidence, else with the answer, else with another annotator's; InputError where none
    is found."""
    evidence, answer = problem.evidence, (problem.answer or "").strip()
    if not evidence and not answer:
        raise InputError(f"oracle: problem {problem.id!r} has neither evidence nor an answer; give one, or drop the oracle")
    words = _Words(sentences)
    if evidence and (held := words.holding(evidence)):
        return held
    for said in filter(None, (answer, *problem.references)):  # SQuAD has a "7" that stands in "1978" alone, and "seventh" beside it
        held = [i for i, sentence in enumerate(sentences) if states_fact(sentence, said)]
        # an answer may run over the end of what was taken for a sentence: Dr. Brandt
        if held := held or words.place(said):
            return held
    known = " and ".join(name for name, given in (("evidence", evidence), ("answer", answer)) if given)
    raise InputError(f"oracle: the document of problem {problem.id!r} does not hold its {known}; mend it, or drop the oracle")


class _Words:
    """The words of a document with the sentence of each, so that a text is found whatever its punctuation."""

    def __init__(self, sentences: Sequence[str]) -> None:
        spelled = [_words(s) for s in sentences]
        self.owner = [i for i, words in enumerate(spelled) for _ in words]
        flat = [w for words in spelled for w in words]
        self.text = " " + "".join(w + " " for w in flat)
        self.ends = list(accumulate(len(w) + 1 for w in flat))

    def place(self, text: str) -> list[int]:
        """The sentences under every occurrence of `text`; none where it does not occur, or has no word."""
        wanted = _words(text)
        if not wanted:
            return []
        needle, found = " " + "".join(w + " " for w in wanted), set()
        at = self.text.find(needle)
        while at >= 0:
            first = bisect_right(self.ends, at)
            found.update(self.owner[first : first + len(wanted)])
            at = self.text.find(needle, at + 1)
        return sorted(found)

    def holding(self, evidence: Sequence[str]) -> list[int]:
        """The sentences under the pieces of the evidence: under a whole piece, else under its lines, and under the sentences
        of a line that fails."""
        found: set[int] = set()
        for piece in evidence:
            if whole := self.place(piece):
                found.update(whole)
                continue
            for line in piece.splitlines():
                found.update(self.place(line) or [i for part in split_sentences(line) for i in self.place(part)])
        return sorted(found)


def _words(text: str) -> list[str]:
    return bare_words(normalise(text))
