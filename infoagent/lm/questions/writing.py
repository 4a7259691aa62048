"""Questions for documents that bring none, written by a language model, stored by `infoagent.data.questions`.

Who writes is a function (prompts, seed, keep) that hands every reply over as it comes: `local_writer` makes one of a
model that runs here, `served_writer` one of a server. What a model writes is checked before it is stored. A reply that
is not in the asked form, or was cut off, or whose extractive answer does not stand in the document, is asked for again under
other seeds; a document that a server refuses is left for the next call. Both are recorded with all that was replied and paid,
and never become a question; other documents go on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infoagent.data.questions import KINDS, QUESTIONS_VERSION, SourceDocument, document_hash
from infoagent.data.segmentation import sentences
from infoagent.files import append_jsonl
from infoagent.lm.endpoint.client import Endpoint, Failure, Reply
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import chat_ids, text_ids
from infoagent.lm.questions.files import Place, failures_path, open_files
from infoagent.lm.questions.prompts import QUESTION_TEMPLATES, RejectedReply, States, question_prompt, read_reply
from infoagent.progress import Progress
from infoagent.store import provenance
from infoagent.types import InputError, RunFailed

RETRIES = 3
TOKENS_OF_A_QUESTION = 64
"""Room for each question that a prompt says is taken already."""
UNANSWERED_IN_A_ROW = 8
"""So many requests without one reply between them: the server is not in order, and the call ends."""
CUT = {"length": "cut off at max_tokens", "content_filter": "cut off by the server's filter"}
"""Ends of a reply by which it is half of one."""
ENDS = ("spending limit", "http 401", "http 402")
"""Causes that the next request would meet too."""


@dataclass(frozen=True)
class Replied:
    """A text, what it has cost where it costs: {"usd", "prompt_tokens", …, "estimated"}, and how it ended, in OpenAI's words."""

    text: str
    paid: dict[str, Any] | None = None
    finish: str = "stop"


@dataclass(frozen=True)
class Unanswered:
    """No text: the cause in two words, one line, and what it has cost nevertheless."""

    cause: str
    error: str
    paid: dict[str, Any] | None = None


Keep = Callable[[int, Replied | Unanswered], None]
"""(number of the prompt, what came) → None; it is on disk when this returns."""
Write = Callable[[Sequence[str], int, Keep], None]
"""(prompts, seed, keep): hands one reply for each prompt to `keep`, each as soon as it is there."""


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
    def is_greedy(self) -> bool:
        """Whether the same prompt is replied to the same under every seed."""
        return self.temperature == 0

    @property
    def attempts(self) -> int:
        return 1 if self.is_greedy else 1 + RETRIES


@dataclass
class Written:
    """What a call of `write_questions` did."""

    stored: int = 0
    before: int = 0
    """Questions that were there already, and not asked for again."""
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    """Of the rejected replies, also of those that were mended by another seed, and of those that did not come."""
    paid_usd: float = 0.0
    """For all that the files hold, earlier calls included."""


@dataclass(frozen=True)
class _Job:
    """One question to be written for one document."""

    document: SourceDocument
    identity: str
    kind: str
    prompt: str

    @property
    def place(self) -> Place:
        return self.identity, self.kind

    @property
    def row(self) -> dict[str, Any]:
        return {"document_sha256": self.identity, "document_id": self.document.id, "kind": self.kind}


def question_header(model: str, model_revision: str, wanted: Wanted, data_name: str, data_revision: str) -> dict[str, Any]:
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
    failures are tried again, after all others and under seeds that were not used before. Raises InputError where its
    header names another model, template, sampling or data than `header`, RunFailed where nobody answers any more.
    What comes is on disk before anything else is done with it.
    """
    by_hash: dict[str, SourceDocument] = {}
    for document in documents:  # one text under two ids is asked about once
        by_hash.setdefault(document_hash(document.text), document)
    held = _Held(path, header, states)
    places = [(identity, kind) for identity in by_hash for kind in wanted.counts]
    lacking = {
        place: max(wanted.counts[place[1]] - len(held.queries[place]), 0)
        for place in sorted(places, key=lambda place: held.tried[place])
    }
    done = held.done
    done.before = len(by_hash) * sum(wanted.counts.values()) - sum(lacking.values())
    with Progress(sum(lacking.values()), "questions", "question", quiet) as bar:
        for batch in _batches(lacking, wanted.batch_size):
            jobs = [
                _Job(by_hash[i], i, kind, question_prompt(by_hash[i].text, kind, held.queries[i, kind], wanted.template))
                for i, kind in batch
            ]
            begin, left = max(held.tried[place] for place in batch), jobs
            if wanted.is_greedy:  # an earlier turn may have asked the same, and would hear the same
                left = [job for job in jobs if job.prompt not in held.rejected]
            for attempt in range(begin, begin + wanted.attempts):
                if not left:
                    break
                left = held.ask(left, _seed(wanted.seed, batch[0], attempt), write)
            held.done.failed += sum(job.place not in held.found for job in jobs)
            held.found.clear()
            bar.update(len(jobs))
    return done


class _Held:
    """The files of a call: every reply goes through here, and onto disk."""

    def __init__(self, path: str | Path, header: dict[str, Any], states: States) -> None:
        self.file, self.failures = Path(path), failures_path(path)
        self.states = states
        files = open_files(path, header)
        self.tried = files.tried
        self.queries: dict[Place, list[str]] = defaultdict(list)
        for question in files.questions:
            self.queries[question.document_sha256, question.kind].append(question.query)
        self.done = Written(paid_usd=files.paid_usd)
        self.found: set[Place] = set()
        """Of the batch under way: who got a question."""
        self.rejected: set[str] = set()
        """Prompts of this call that a reply which is no question came to."""
        self._in_vain = 0
        """Requests since the last reply."""

    def ask(self, jobs: Sequence[_Job], seed: int, write: Write) -> list[_Job]:
        """Ask once for each job; those whose replies were no questions. Raises RunFailed where asking on is no use."""
        again: list[_Job] = []
        last: list[Unanswered] = []

        def keep(number: int, came: Replied | Unanswered) -> None:
            self.done.paid_usd += 0.0 if came.paid is None else came.paid["usd"]
            if isinstance(came, Unanswered):
                last.append(came)
                self._unanswered(jobs[number], seed, came)
            elif not self._replied(jobs[number], seed, came):
                again.append(jobs[number])

        write([job.prompt for job in jobs], seed, keep)
        if last and (self._in_vain >= UNANSWERED_IN_A_ROW or any(came.cause in ENDS for came in last)):
            worst = next((came for came in last if came.cause in ENDS), last[-1])
            raise RunFailed(
                f"{worst.cause}: {worst.error}; {self.done.stored} questions were written and stay in {self.file}, the same "
                "command goes on from there"
            )
        return again

    def _unanswered(self, job: _Job, seed: int, came: Unanswered) -> None:
        if came.cause == "spending limit" and not (came.paid or {}).get("calls"):
            return  # it was never asked
        self._in_vain += 1
        self._fail(job, seed, came.cause, came.paid, error=came.error)

    def _replied(self, job: _Job, seed: int, came: Replied) -> bool:
        """Whether the reply is a question; on disk either way."""
        self._in_vain = 0
        try:
            if came.finish in CUT:  # half an answer may look like a whole one
                raise RejectedReply(CUT[came.finish])
            query, answer = read_reply(came.text, job.kind, job.document.text, self.states, self.queries[job.place])
        except RejectedReply as error:
            self._fail(job, seed, str(error), came.paid, reply=came.text)
            self.rejected.add(job.prompt)
            return False
        paid = {} if came.paid is None else {"paid": came.paid}
        row = {**job.row, "query": query, "answer": answer, **_evidence(job, answer, self.states), **paid}
        append_jsonl(self.file, [row])
        self.queries[job.place].append(query)
        self.found.add(job.place)
        self.done.stored += 1
        return True

    def _fail(self, job: _Job, seed: int, cause: str, paid: dict[str, Any] | None, **what: str) -> None:
        cost = {} if paid is None else {"paid": paid}
        append_jsonl(self.failures, [{**job.row, "status": "failed", "cause": cause, "seed": seed, **what, **cost}])
        self.tried[job.place] += 1
        self.done.causes[cause] += 1


def _batches(lacking: dict[tuple[str, str], int], size: int) -> Iterator[list[tuple[str, str]]]:
    """Documents and kinds in batches, each once before any a second time: a second question must see the first."""
    for turn in range(max(lacking.values(), default=0)):
        places = [place for place, number in lacking.items() if turn < number]
        for start in range(0, len(places), size):
            yield places[start : start + size]


def _seed(seed: int, place: tuple[str, str], attempt: int) -> int:
    """31 bits, the same for the same place and attempt: equal seeds would draw alike for prompts that are alike."""
    return int.from_bytes(hashlib.sha256(f"{seed} {place} {attempt}".encode()).digest()[:4], "big") >> 1


def _evidence(job: _Job, answer: str, states: States) -> dict[str, str]:
    """The sentence that the answer stands in, where there is only one."""
    if job.kind != "extractive":
        return {}
    found = [sentence for sentence in sentences(job.document.text) if states(sentence, answer)]
    return {"evidence": found[0]} if len(found) == 1 else {}


# ---- who writes ---------------------------------------------------------------------------------------------------


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


def served_writer(endpoint: Endpoint) -> Write:
    """A server, as many requests at a time as its settings say."""

    def write(prompts: Sequence[str], seed: int, keep: Keep) -> None:
        def hand_over(number: int, answer: Reply | Failure) -> None:
            paid = {"usd": answer.usd, **asdict(answer.usage)}
            if isinstance(answer, Failure):
                who = f"{endpoint.settings.model} at {endpoint.settings.url}"
                keep(number, Unanswered(answer.cause, f"{who}: {answer.error}", paid))
            else:
                keep(number, Replied(answer.text, paid, answer.finish))

        endpoint.ask([_chat(prompt) for prompt in prompts], hand_over, seed=seed)

    return write


def local_writer(lm: LoadedModel, max_tokens: int, temperature: float) -> Write:
    """A model that runs here. A reply of more than `max_tokens` is cut off there, and rejected for it."""
    from infoagent.lm.generation import generate

    def write(prompts: Sequence[str], seed: int, keep: Keep) -> None:
        ids = [chat_ids(lm.tokenizer, _chat(prompt)) for prompt in prompts]
        names = [str(number) for number in range(len(ids))]
        for number, reply in enumerate(generate(lm, ids, names, max_tokens, temperature, seed)):
            keep(number, Replied(reply.text, finish=reply.finish))

    return write


def _chat(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]
