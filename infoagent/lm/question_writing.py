"""Questions for documents that bring none, written by a language model, stored by `infoagent.data.questions`.

Who writes is a function (prompts, seed) → replies, one reply for each prompt: `local_writer` makes one of a model that
runs here, and a client of a server can take its place. What a model writes is checked before it is stored. A reply that
is not in the asked form, or whose extractive answer does not stand in the document, is asked for again under other
seeds, and after that recorded as failed with all that was replied; it never becomes a question.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infoagent.data.questions import (
    KINDS,
    QUESTIONS_VERSION,
    SourceDocument,
    StoredQuestions,
    document_hash,
    read_questions,
)
from infoagent.data.segmentation import sentences
from infoagent.files import append_jsonl, read_jsonl, write_jsonl
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import chat_ids, text_ids
from infoagent.lm.question_prompts import QUESTION_TEMPLATES, RejectedReply, States, question_prompt, read_reply
from infoagent.progress import Progress
from infoagent.store import provenance
from infoagent.types import InputError

Write = Callable[[Sequence[str], int], Sequence[str]]
"""(prompts, seed) → one reply for each prompt. Raises what it cannot mend; what is stored by then stays."""

RETRIES = 3
TOKENS_OF_A_QUESTION = 64
"""Room for each question that a prompt says is taken already."""


@dataclass(frozen=True)
class Wanted:
    """Which questions are to be written: `counts` says how many of each kind a document gets."""

    counts: dict[str, int]
    template: str = "questions-v1"
    temperature: float = 0.7
    seed: int = 0
    batch_size: int = 4

    def __post_init__(self) -> None:
        if self.template not in QUESTION_TEMPLATES:
            raise InputError(f"template {self.template!r} is unknown; allowed: {', '.join(QUESTION_TEMPLATES)}")
        wrong = [kind for kind in self.counts if kind not in KINDS]
        if wrong or not self.counts:
            raise InputError(f"kinds {', '.join(wrong) or 'none'}: allowed are {', '.join(KINDS)}, at least one")
        few = [f"{kind} {count}" for kind, count in self.counts.items() if count < 1]
        if few:
            raise InputError(f"number of questions of a document: {', '.join(few)}; must be at least 1")

    @property
    def attempts(self) -> int:
        """Greedy decoding replies the same under every seed."""
        return 1 + RETRIES if self.temperature > 0 else 1


@dataclass
class Written:
    """What a call of `write_questions` did."""

    stored: int = 0
    before: int = 0
    """Questions that were there already, and not asked for again."""
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    """Of the rejected replies, also of those that were mended by another seed."""


@dataclass(frozen=True)
class _Job:
    """One question to be written for one document, and what was replied so far."""

    document: SourceDocument
    identity: str
    kind: str
    prompt: str
    tried: list[dict[str, Any]] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, str]:
        return self.identity, self.kind


def failures_path(path: str | Path) -> Path:
    """Where the failures of a file of questions stand: FILE.failed.jsonl for FILE.jsonl."""
    return Path(path).with_suffix(".failed.jsonl")


def write_questions(
    documents: Sequence[SourceDocument],
    path: str | Path,
    header: dict[str, Any],
    wanted: Wanted,
    write: Write,
    states: States,
    quiet: bool = False,
) -> Written:
    """Write what is missing of the `wanted` questions into the file `path`, and say what was done.

    A file that is there is gone on with: of each document and kind, as many questions as it lacks are asked for;
    failures are tried again, under seeds that were not used before. Raises InputError where its header names another
    model, template, sampling or data than `header`. What a reply gives is on disk before the next is asked for.
    """
    file, failures = Path(path), failures_path(path)
    held: dict[tuple[str, str], list[str]] = defaultdict(list)
    for question in _opened(file, header).questions:
        held[question.document_sha256, question.kind].append(question.query)
    tried = _tried_before(failures)
    by_hash: dict[str, SourceDocument] = {}
    for document in documents:  # one text under two ids is asked about once
        by_hash.setdefault(document_hash(document.text), document)
    lacking = {
        (identity, kind): max(count - len(held[identity, kind]), 0)
        for identity in by_hash
        for kind, count in wanted.counts.items()
    }
    done = Written(before=len(by_hash) * sum(wanted.counts.values()) - sum(lacking.values()))
    with Progress(sum(lacking.values()), "questions", "question", quiet) as bar:
        for batch in _batches(lacking, wanted.batch_size):
            jobs = [
                _Job(by_hash[i], i, kind, question_prompt(by_hash[i].text, kind, held[i, kind], wanted.template))
                for i, kind in batch
            ]
            for attempt in range(tried[batch[0]], tried[batch[0]] + wanted.attempts):
                seed = _seed(wanted.seed, batch[0], attempt)
                found, jobs = _asked(jobs, seed, write, states, held, done.causes)
                append_jsonl(file, found)
                done.stored += len(found)
                bar.update(len(found))
                if not jobs:
                    break
            append_jsonl(failures, [_failure(job) for job in jobs])
            done.failed += len(jobs)
            bar.update(len(jobs))
            for job in jobs:
                tried[job.place] += wanted.attempts
    return done


def _batches(lacking: dict[tuple[str, str], int], size: int) -> Iterator[list[tuple[str, str]]]:
    """Documents and kinds in batches, each once before any a second time: a second question must see the first."""
    for turn in range(max(lacking.values(), default=0)):
        places = [place for place, number in lacking.items() if turn < number]
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _seed(seed: int, place: tuple[str, str], attempt: int) -> int:
    """31 bits, the same for the same place and attempt: equal seeds would draw alike for prompts that are alike."""
    return int.from_bytes(hashlib.sha256(f"{seed} {place} {attempt}".encode()).digest()[:4], "big") >> 1


def _asked(
    jobs: Sequence[_Job],
    seed: int,
    write: Write,
    states: States,
    held: dict[tuple[str, str], list[str]],
    causes: Counter[str],
) -> tuple[list[dict[str, Any]], list[_Job]]:
    """Rows of the jobs whose replies are good, and the other jobs."""
    rows, left = [], []
    for job, reply in zip(jobs, write([job.prompt for job in jobs], seed), strict=True):
        try:
            query, answer = read_reply(reply, job.kind, job.document.text, states, held[job.place])
        except RejectedReply as error:
            causes[str(error)] += 1
            job.tried.append({"seed": seed, "cause": str(error), "reply": reply})
            left.append(job)
            continue
        held[job.place].append(query)
        row = {"document_sha256": job.identity, "document_id": job.document.id, "kind": job.kind}
        rows.append({**row, "query": query, "answer": answer, **_evidence(job, answer, states)})
    return rows, left


def _evidence(job: _Job, answer: str, states: States) -> dict[str, str]:
    """The sentence that the answer stands in, where there is only one."""
    if job.kind != "extractive":
        return {}
    found = [sentence for sentence in sentences(job.document.text) if states(sentence, answer)]
    return {"evidence": found[0]} if len(found) == 1 else {}


def _failure(job: _Job) -> dict[str, Any]:
    return {
        "document_sha256": job.identity,
        "document_id": job.document.id,
        "kind": job.kind,
        "status": "failed",
        "cause": job.tried[-1]["cause"],
        "attempts": job.tried,
    }


# ---- files ----------------------------------------------------------------------------------------------------


def question_header(
    model: str, model_revision: str, wanted: Wanted, data_name: str, data_revision: str
) -> dict[str, Any]:
    """The first line of a file of questions."""
    made = provenance()
    return {
        "questions_version": QUESTIONS_VERSION,
        "model": model,
        "model_revision": model_revision,
        "template": wanted.template,
        "temperature": wanted.temperature,
        "seed": wanted.seed,
        "created": made["started"],
        "commit": made["commit"],
        "data": {"name": data_name, "revision": data_revision},
    }


def check_file(path: str | Path, header: dict[str, Any]) -> None:
    """Raise InputError unless `path` is free, or a file of questions made in the same way."""
    file = Path(path)
    if not file.exists():
        return
    if file.is_dir():
        raise InputError(f"{file}: is a directory; name a file")
    try:
        before = json.loads(file.read_bytes().split(b"\n", 1)[0])
    except ValueError:
        before = None
    if not isinstance(before, dict) or "questions_version" not in before:
        raise InputError(f"{file}: is there and holds no questions; name another file")
    different = [
        f"{key} was {before.get(key)!r} and is {header[key]!r} now"
        for key in header
        if key not in ("created", "commit") and before.get(key) != header[key]
    ]
    if different:
        raise InputError(f"{file}: its questions were made otherwise, {'; '.join(different)}; name another file")


def _opened(file: Path, header: dict[str, Any]) -> StoredQuestions:
    """What stands in the file; a new one gets its header."""
    check_file(file, header)
    if not file.exists():
        write_jsonl(file, [header])  # a killed process leaves a whole header or no file
    return read_questions(str(file))


def _tried_before(failures: Path) -> Counter[tuple[str, str]]:
    """Attempts of earlier runs, by document and kind."""
    tried: Counter[tuple[str, str]] = Counter()
    if failures.is_file():
        for row in read_jsonl(failures):
            tried[row["document_sha256"], row["kind"]] += len(row["attempts"])
    return tried


# ---- a model that runs here -------------------------------------------------------------------------------------


def check_lengths(
    documents: Sequence[SourceDocument], wanted: Wanted, tokenizer: Any, context_tokens: int, max_tokens: int
) -> None:
    """Raise InputError where a document, its longest prompt and a reply do not fit the model's context."""
    frames = [chat_ids(tokenizer, _chat(question_prompt("", kind, (), wanted.template))) for kind in wanted.counts]
    taken = max(map(len, frames)) + max_tokens + TOKENS_OF_A_QUESTION * (max(wanted.counts.values()) - 1)
    mistakes = []
    for document in documents:
        # a token holds at least one byte, so most documents need not be tokenised here
        if taken + len(document.text.encode()) > context_tokens:
            length = taken + len(text_ids(tokenizer, document.text))
            if length > context_tokens:
                mistakes.append(
                    f"document {document.id!r}: with prompt and reply it takes {length} tokens, the model's context holds "
                    f"{context_tokens}; cut shorter passages (--max-words), or use a model with a longer context"
                )
    if mistakes:
        more = len(mistakes) - 5
        raise InputError(mistakes[:5] + ([f"and {more} more documents are too long"] if more > 0 else []))


def local_writer(lm: LoadedModel, max_tokens: int, temperature: float) -> Write:
    """A model that runs here. A reply of more than `max_tokens` is cut off there, and mostly rejected for it."""
    from infoagent.lm.generation import generate

    def write(prompts: Sequence[str], seed: int) -> list[str]:
        ids = [chat_ids(lm.tokenizer, _chat(prompt)) for prompt in prompts]
        names = [str(number) for number in range(len(ids))]
        return [reply.text for reply in generate(lm, ids, names, max_tokens, temperature, seed)]

    return write


def _chat(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]
