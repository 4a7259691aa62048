"""The data that flows through the house. Imports nothing of the package, and no heavy library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]
AUTO: Literal["auto"] = "auto"
Dtype = Literal["auto", "float32", "bfloat16"]
"""In which a model computes; auto: what suits the device (`infoagent.lm.machine.dtype`)."""
DTYPES: tuple[Dtype, ...] = (AUTO, "float32", "bfloat16")
NATS_PER_BIT = math.log(2)
ANCHORS: tuple[str, ...] = ("full-document", "closed-book")
"""Kinds of compressors that compress nothing: the document itself, and nothing. A scale's ends, and no point of a curve."""


LONGEST_LINE = 1500
"""Characters of one line of an error: what it quotes may be a whole file."""


def one_line(text: str) -> str:
    """`text` as a terminal may show it: line ends, control characters and signs that turn the writing are escaped, and what
    is too long is cut."""
    shown = "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text[:LONGEST_LINE])
    return shown if len(text) <= LONGEST_LINE and len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 1] + "…"


class InputError(ValueError):
    """The user's input is wrong. Each entry of `problems` is one line: what, where, what is allowed, what to do."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [one_line(p) for p in ([problems] if isinstance(problems, str) else problems)]
        super().__init__("\n".join(self.problems))


class Mistakes:
    """Gathers what several checks find, each line once, so that a user is told of all of it together.

    mistakes = Mistakes()
    for section in sections:
        with mistakes.of(f"{section.label}: "):
            check(section)
    mistakes.end()
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, *lines: str) -> None:
        self.lines += [line for line in dict.fromkeys(lines) if line not in self.lines]

    @contextmanager
    def of(self, prefix: str = "") -> Iterator[None]:
        """Keep the lines of an InputError that the block raises, `prefix` before each; what stands behind the block goes on."""
        try:
            yield
        except InputError as error:
            self.add(*(prefix + line for line in error.problems))

    def end(self) -> None:
        """Raise InputError with all lines, if there are any."""
        if self.lines:
            raise InputError(self.lines)


class RunFailed(RuntimeError):
    """The run cannot go on, and its input is not to blame: one line says why; what was saved stays."""


NOT_STATED = "(not stated)"
"""In a change: what a document says that does not state the fact."""


@dataclass(frozen=True)
class Change:
    """A fact of a document swapped for another: `kind` of span, the old and the new text, at how many places."""

    kind: str
    old: str
    new: str
    mentions: int


@dataclass(frozen=True)
class Negative:
    """A document that stands beside the source in the estimate, and why it was chosen."""

    kind: str
    """A row of `infoagent.data.negative_kinds`."""
    document: str
    changes: tuple[Change, ...] = ()
    """For a counterfactual: what was changed, where that is known."""

    @property
    def changed(self) -> str:
        """The changes as text: `old → new; old → new`."""
        return "; ".join(f"{c.old} → {c.new}" for c in self.changes)


@dataclass(frozen=True)
class Trial:
    """How a function that a predictor wrote is tried: `tests` is Python that raises where the function `entry_point` is
    wrong; `head` stands before it (imports, other functions, a signature that a bare body is put under)."""

    entry_point: str
    tests: str
    head: str = ""


@dataclass(frozen=True)
class Problem:
    """One document x with one query q. `answer` and `choices` are known for some data only.

    `group` names the topic (topic negatives come from the same group); `part_of` names the longer text that
    `document` was cut from (sibling negatives are other parts of it). `negatives` are documents that the data
    brought along, counterfactuals among them.
    """

    id: str
    document: str
    query: str
    document_id: str
    answer: str | None = None
    choices: tuple[str, ...] = ()
    group: str | None = None
    part_of: str | None = None
    negatives: tuple[Negative, ...] = ()
    evidence: tuple[str, ...] = ()
    """The pieces of the document that the answer rests on, each as it stands there; one piece may be given as a string."""
    references: tuple[str, ...] = ()
    """Other answers that are right as well; a written reply is graded by the best of them."""
    needs: tuple[str, ...] | None = None
    """The facts of the document that the answer is made from, as they are written there; None: the answer is such a fact
    itself. Empty: no fact could be looked for."""
    trial: Trial | None = None
    """For code: the answer is a function, and this tells whether another one does the same."""
    answer_start: int | None = None
    """Where in `document` the answer stands, in characters, where the data say so: the mention that is asked for."""
    unanswerable: bool = False
    """The data say that the document does not answer the question. Its counterfactual documents are those that do."""
    sides: tuple[str, ...] = ()
    """Pieces of the document, each as it stands there, that contradict each other on what is asked. Its counterfactual
    documents hold one of them only."""
    news: str | None = None
    """Of a growing conversation: the end of `document`, which a compactor reads behind its own memory of what stands before."""

    def __post_init__(self) -> None:
        pieces = (self.evidence,) if isinstance(self.evidence, str) else tuple(self.evidence or ())
        object.__setattr__(self, "evidence", tuple(piece for piece in pieces if piece.strip()))

    @property
    def answer_place(self) -> tuple[int, int] | None:
        """The (start, end) of the asked mention of the answer; None where it is unknown, or the answer does not stand there."""
        if not self.answer or self.answer_start is None or self.answer_start < 0:
            return None
        end = self.answer_start + len(self.answer)
        return (self.answer_start, end) if self.document[self.answer_start : end] == self.answer else None

    @property
    def facts(self) -> tuple[str, ...]:
        """What a compression must state for the answer to follow from it; empty where no fact could be looked for."""
        if self.needs is not None:
            return self.needs
        return () if self.answer is None else (self.answer,)


@dataclass(frozen=True)
class ProblemSet:
    """Problems of one split, with the identity of the text they came from."""

    name: str
    revision: str
    split: str
    problems: tuple[Problem, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What the loader did not take, by cause: "file without text" → 3. Nothing is dropped without a count."""
    benchmark: str | None = None
    """Why it must not be trained on, where its file says so whatever name it is read under: a canary, say."""

    def __len__(self) -> int:
        return len(self.problems)

    @property
    def groups(self) -> set[str]:
        return {p.group for p in self.problems if p.group is not None}

    @property
    def documents(self) -> set[str]:
        return {p.document_id for p in self.problems}


@dataclass(frozen=True)
class Compression:
    """A text z that a compressor wrote for a problem.

    `token_ids` are the ids that the compressor sampled, without the end-of-turn token; `finish` says whether that
    token was sampled ("stop") or the length limit cut the text off ("length"). `stop_id` is the token that ended the
    turn, where it is known.
    """

    problem_id: str
    text: str
    token_ids: tuple[int, ...]
    finish: FinishReason
    sample: int = 0
    seconds: float = float("nan")
    stop_id: int | None = None

    @property
    def rate_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def rate_bytes(self) -> int:
        return len(self.text.encode())


@dataclass(frozen=True)
class Finding:
    """A named number with its 95 % interval; NaN bounds mean that the uncertainty is unknown, not that it is zero."""

    value: float
    low: float
    high: float
    n: int = field(default=0)
