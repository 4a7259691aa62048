"""Questions to language models, of this machine or over HTTP: asked once, kept as they come, never beyond a context."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from infoagent.applications.research.prompts import Chat
from infoagent.evaluation.compressing import flops_fields
from infoagent.evaluation.identity import predictor_identity
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.evaluation.replies import Question, Replies
from infoagent.lm.endpoint.spending import Usage
from infoagent.lm.models import find_model
from infoagent.lm.prompts import chat_ids, end_of_turn_id, text_ids
from infoagent.recipes.evaluation import PredictorSection
from infoagent.types import RunFailed

LIMIT = "spending limit"


class LimitReached(RunFailed):
    """The next request might cost more than is left."""


class Asking:
    """Who asks, for all stages of a run."""

    def __init__(self, records: RecordFile, pool: ModelPool, replies: Replies, batch_size: int) -> None:
        self.records = records
        self.pool = pool
        self.replies = replies
        self.batch_size = batch_size
        self._contexts: dict[tuple[str, str | None], int] = {}

    def ask(self, section: PredictorSection, chats: Sequence[Chat], draw: tuple[int, ...]) -> list[Row]:
        """A record of the reply to each chat, in order, failed ones among them. `draw` counts where replies are drawn.

        Raises LimitReached where a request was not sent for its price.
        """
        questions = [Question(chat, draw if section.temperature > 0 else ()) for chat in chats]
        if section.kind == "endpoint":
            rows = self.replies.ask(section, questions)
            stopped = next((row for row in rows if row.get("cause") == LIMIT), None)
            if stopped is not None:
                raise LimitReached(stopped["error"])
            return rows
        lengths = [len(chat_ids(self.pool.tokenizer(section.model), chat)) for chat in chats]
        found: dict[int, Row] = {}
        for place, length in enumerate(lengths):
            if (failure := self._too_long(section, length, section.max_tokens)) is not None:
                found[place] = failure
        # prompts of one length together: a batch is as wide as its longest
        fitting = sorted((i for i in range(len(chats)) if i not in found), key=lambda i: lengths[i])
        for batch in _parts(fitting, self.batch_size):
            found |= zip(batch, self.replies.ask(section, [questions[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(chats))]

    def likelihoods(self, section: PredictorSection, chats: Sequence[Chat], options: Sequence[str]) -> list[Row]:
        """A record for each chat with `log_probs` of the options as its complete reply (nats), by a model of this
        machine; chats that begin alike are read together."""
        identity = predictor_identity(section)
        keys = [content_key(kind="score", judge=identity, chat=chat, options=list(options)) for chat in chats]
        missing = {k: chat for k, chat in zip(keys, chats, strict=True) if not self.records.done(k)}
        failures: dict[str, Row] = {}
        if missing:
            tokenizer = self.pool.tokenizer(section.model)
            replies = [[*text_ids(tokenizer, option), end_of_turn_id(tokenizer)] for option in options]
            written = sum(map(len, replies))
            prefixes = {k: chat_ids(tokenizer, chat) for k, chat in missing.items()}
            for key, prefix in prefixes.items():
                if (failure := self._too_long(section, len(prefix), max(map(len, replies)))) is not None:
                    failures[key] = failure
            asked = [k for k in missing if k not in failures]
            start = time.perf_counter()
            try:
                log_probs = self._score(section, [prefixes[k] for k in asked], replies)
            except FloatingPointError as error:
                failures |= {k: {"status": "failed", "cause": "scoring", "error": str(error)} for k in asked}
                asked = []
            seconds = (time.perf_counter() - start) / max(1, len(asked))
            architecture = self.pool.architecture(section.model)
            for place, key in enumerate(asked):
                length = len(prefixes[key])
                self.records.append(
                    {
                        "key": key,
                        "kind": "score",
                        "status": "ok",
                        "judge": identity,
                        "options": list(options),
                        "log_probs": log_probs[place],
                        "seconds": seconds,
                        "usage": asdict(Usage(length, 0, written, calls=1, retries=0)),
                        **flops_fields(architecture, length, written),
                    }
                )
        return [failures[k] if k in failures else self.records.rows[k] for k in keys]

    def _score(self, section: PredictorSection, prefixes: Sequence[Sequence[int]], replies: Sequence[Sequence[int]]) -> Any:
        if not prefixes:
            return []
        reader = self.pool.scorer(section.model, section.engine)
        return reader.scorer.score(prefixes, replies).T.tolist()

    def _too_long(self, section: PredictorSection, prompt_tokens: int, reply_tokens: int) -> Row | None:
        name = (section.name, section.revision)
        if name not in self._contexts:
            self._contexts[name] = find_model(section).context_tokens
        holds = self._contexts[name]
        if prompt_tokens + reply_tokens <= holds:
            return None
        error = f"{section.name} holds {holds} tokens; the prompt takes {prompt_tokens} and its reply up to {reply_tokens}"
        return {"status": "failed", "cause": "context", "error": error}


def _parts(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
