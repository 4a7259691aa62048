"""One job under load: compress a document for a question, answer from the compression; or one of the two."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infoagent.applications.stress.load import JobTimes, Lost, StreamClient, Timed
from infoagent.lm.endpoint.settings import Chat
from infoagent.lm.endpoint.spending import NOTHING, Usage
from infoagent.lm.prompts import Prompt, compressor_messages, predictor_messages
from infoagent.recipes import PromptSection
from infoagent.types import Problem


@dataclass(frozen=True)
class Job:
    """A document and a question about it, with a mark of its own: before the document nothing is shared with other
    jobs, after the question the whole document is."""

    document: str
    query: str

    @classmethod
    def of(cls, problem: Problem, mark: str, prefixes: str) -> Job:
        if prefixes == "own":
            return cls(f"[{mark}] {problem.document}", problem.query)
        return cls(problem.document, f"{problem.query} [{mark}]")


@dataclass(frozen=True)
class Outcome:
    """What came of a job. `first_token_seconds` from the job's start to the first token of its last reply."""

    cause: str | None
    error: str | None
    first_token_seconds: float | None
    usage: Usage


def draw_jobs(problems: Sequence[Problem], number: int, seed: int, prefixes: str) -> list[Job]:
    """Jobs on problems drawn with replacement; seed by seed the same problems and marks under every condition."""
    rng = np.random.default_rng([seed, 1])
    chosen = rng.integers(len(problems), size=number)
    marks = [f"{int(mark):08x}" for mark in rng.integers(2**32, size=number)]
    return [Job.of(problems[int(i)], mark, prefixes) for i, mark in zip(chosen, marks, strict=True)]


def chat_of(stage: str, job: Job, notes: str, prompt: PromptSection) -> Chat:
    if stage == "compress":
        return compressor_messages(job.document, job.query, Prompt.of(prompt))
    return predictor_messages(notes, job.query)


async def do_job(job: Job, clients: Mapping[str, StreamClient], prompt: PromptSection) -> Outcome:
    """The stages of `clients`, in order, each on what the one before wrote. A stage that fails ends the job."""
    clock = asyncio.get_running_loop().time
    begin, notes, used, first = clock(), job.document, NOTHING, None
    for stage, client in clients.items():
        sent = clock() - begin
        reply = await client.ask(chat_of(stage, job, notes, prompt))
        used += reply.usage
        if isinstance(reply, Lost):
            return Outcome(reply.cause, f"{stage}: {reply.error}", None, used)
        notes = reply.text
        first = None if reply.first_token_seconds is None else sent + reply.first_token_seconds
    return Outcome(None, None, first, used)


def times_of(done: Timed[Outcome]) -> JobTimes:
    outcome = done.result
    first = None if outcome.first_token_seconds is None else done.started + outcome.first_token_seconds
    used = outcome.usage
    return JobTimes(
        done.planned, done.started, done.ended, first, outcome.cause, used.prompt_tokens, used.cached_tokens, used.completion_tokens
    )
