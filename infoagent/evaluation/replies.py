"""Replies of predictors and judges, asked once: a local model, vLLM, or an endpoint that wants money.

A reply is a record of its own, addressed by who was asked, what, and which draw. Grading comes after it, so that
another way of grading asks nobody again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from infoagent.costs import price_of
from infoagent.evaluation.costing import flops_fields
from infoagent.evaluation.identity import predictor_identity
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.grading.sandbox import SandboxFailed, execute
from infoagent.lm.endpoint.client import Endpoint, EndpointSettings, Failure, Reply
from infoagent.lm.endpoint.spending import SpendingLimit, Usage
from infoagent.lm.generation import batch_seed
from infoagent.lm.prompts import UNFINISHED, can_think, chat_ids
from infoagent.recipes import EvaluationRecipe
from infoagent.recipes.compressors import CompressorSection, EndpointSection
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.evaluation import PredictorSection
from infoagent.structured import Form
from infoagent.types import Mistakes, RunFailed

Chat = list[dict[str, str]]


class Paying(Protocol):
    """A recipe with endpoints: what they cost, and how much may be spent."""

    @property
    def cost(self) -> CostSection: ...

    @property
    def spending_limit_usd(self) -> float: ...


@dataclass(frozen=True)
class Question:
    """What is asked: a chat, and which draw of the reply is wanted (nothing where the reply is not drawn)."""

    chat: Chat
    draw: tuple[int, ...] = field(default=())
    thinking: bool | None = None
    """Whether a local model is told to think, as in `chat_ids`; a server is told by the `extra` of its section."""


THINKING_FIELDS = ("chat_template_kwargs", "reasoning_effort", "reasoning", "thinking", "enable_thinking")
"""Fields by which servers are told to think; where `extra` names one, it is left as it is."""


def writer_section(section: CompressorSection, form: Form | None = None) -> PredictorSection:
    """A compressor of kind endpoint as someone who is asked, with room for its thought; a constrained form and the
    thinking mode stand in the request."""
    assert section.server is not None
    extra = dict(section.server.extra)
    if section.thinking is not None and not any(name in extra for name in THINKING_FIELDS):
        extra["chat_template_kwargs"] = {"enable_thinking": section.thinks}
    if form is not None and section.form is not None and section.form.constrained:
        extra |= constraint_of(form)
    endpoint = EndpointSection(**{**section.server.model_dump(exclude={"name", "provider", "extra"}), "extra": extra})
    return PredictorSection(
        name=section.server.name,
        provider=section.server.provider,
        kind="endpoint",
        endpoint=endpoint,
        max_tokens=section.max_tokens + section.longest_thought,
        temperature=section.temperature,
    )


def constraint_of(form: Form) -> dict[str, Any]:
    """The fields of an OpenAI-compatible request that hold a reply to a form: a function to call, or a response format."""
    if form.signature is not None:
        function = {"name": form.name, "description": form.description, "parameters": form.schema}
        return {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": form.name}},
        }
    schema = {"name": form.name, "schema": form.schema, "strict": form.is_closed}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def endpoint_of(section: PredictorSection, recipe: Paying, budget: SpendingLimit | None) -> Endpoint:
    """The client of a predictor. Raises InputError for a model without a price."""
    assert section.endpoint is not None
    price = price_of(section.name, section.provider, recipe.cost.prices)

    def usd(usage: Usage) -> float:
        return float(price.usd(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))

    settings = EndpointSettings(
        model=section.name,
        max_tokens=section.max_tokens,
        temperature=section.temperature,
        **section.endpoint.model_dump(exclude={"backoff_seconds"}),
    )
    return Endpoint(settings, usd, budget, backoff_seconds=section.endpoint.backoff_seconds)


def check_endpoints(recipe: EvaluationRecipe) -> None:
    """As `check_asked`, for the compressors, the predictors and the judge of a grid."""
    writers = [writer_section(c) for c in recipe.grid if c.kind == "endpoint"]
    check_asked([*writers, *recipe.predictors, *([recipe.grading.judge] if recipe.grading.judge else [])], recipe)


def check_asked(sections: Sequence[PredictorSection], recipe: Paying) -> None:
    """Before anything is computed: key, address, model and price of every endpoint. Raises InputError, a line each."""
    mistakes = Mistakes()
    for section in sections:
        if section.kind == "endpoint":
            with mistakes.of():
                endpoint_of(section, recipe, None).check()
    mistakes.end()


def check_sandbox(recipe: EvaluationRecipe) -> None:
    """Can a reply's code be run here at all? Raises RunFailed, before a model loads."""
    if recipe.grading.execute:
        try:
            execute("pass", unprotected=recipe.grading.unprotected)
        except SandboxFailed as error:
            raise RunFailed(f"grading.execute: no code can be run here: {error}") from error


class Replies:
    """Asks what was not asked before, and keeps every reply as it comes."""

    def __init__(self, recipe: Paying, records: RecordFile, pool: ModelPool, processes: int = 1) -> None:
        self.recipe = recipe
        self.records = records
        self.pool = pool
        left = max(0.0, recipe.spending_limit_usd - records.paid_usd)
        # processes do not see each other's bills while they run: each gets its part of what is left
        self.budget = SpendingLimit(records.paid_usd + left / processes, records.paid_usd)
        self._endpoints: dict[str, Endpoint] = {}

    def ask(self, section: PredictorSection, questions: Sequence[Question]) -> list[Row]:
        """The records of the replies, in order, failed ones among them."""
        identity = predictor_identity(section)
        keys = [
            content_key(kind="reply", predictor=identity, chat=q.chat, draw=q.draw, **self._mode(section, q)) for q in questions
        ]
        missing = {k: q for k, q in zip(keys, questions, strict=True) if not self.records.settled(k)}
        if missing:
            if section.kind == "endpoint":
                self._over_http(section, identity, missing)
            else:  # a batch is drawn again as a whole: the draw depends on the batch
                self._here(section, identity, dict(zip(keys, questions, strict=True)))
        return [self.records.rows[k] for k in keys]

    def _mode(self, section: PredictorSection, question: Question) -> Row:
        """The thinking mode where it decides anything, so that other records keep their keys."""
        if section.kind == "endpoint" or question.thinking is None:
            return {}
        return {"thinking": question.thinking} if can_think(self.pool.tokenizer(section.model)) else {}

    def _over_http(self, section: PredictorSection, identity: dict[str, Any], missing: dict[str, Question]) -> None:
        keys = list(missing)
        name = content_key(predictor=identity)
        if name not in self._endpoints:
            self._endpoints[name] = endpoint_of(section, self.recipe, self.budget)

        def keep(index: int, answer: Reply | Failure) -> None:
            row: Row = {
                "key": keys[index],
                "kind": "reply",
                "predictor": identity,
                "usage": asdict(answer.usage),
                "usd": answer.usd,
                "seconds": answer.seconds,
            }
            if isinstance(answer, Failure):
                # a thought that took all the room would take it, and the money, again
                row |= {"status": "failed", "cause": answer.cause, "error": answer.error, "final": answer.cause == UNFINISHED}
            else:
                row |= {"status": "ok", "text": answer.text, "finish": answer.finish, "answered_by": answer.model}
                told = {"thinking": answer.thinking, "thinking_tokens": answer.thinking_tokens}
                row |= {name: value for name, value in told.items() if value is not None}
            self.records.append(row)

        self._endpoints[name].ask([missing[k].chat for k in keys], keep)

    def _here(self, section: PredictorSection, identity: dict[str, Any], questions: dict[str, Question]) -> None:
        tokenizer = self.pool.tokenizer(section.model)
        keys = list(questions)
        prompts = [chat_ids(tokenizer, questions[k].chat, questions[k].thinking) for k in keys]
        seed = batch_seed(keys[0])
        write = self.pool.writer(section.model, section.engine)
        written = write(prompts, keys, section.max_tokens, section.temperature, seed)
        rows: list[Row] = []
        for key, prompt, z in zip(keys, prompts, written, strict=True):
            if self.records.done(key):
                continue
            usage = Usage(prompt_tokens=len(prompt), cached_tokens=0, completion_tokens=z.rate_tokens, calls=1, retries=0)
            rows.append(
                {
                    "key": key,
                    "kind": "reply",
                    "status": "ok",
                    "predictor": identity,
                    "text": z.text,
                    "finish": z.finish,
                    "usage": asdict(usage),
                    "seconds": z.seconds,
                    **flops_fields(self.pool.architecture(section.model), len(prompt), z.rate_tokens),
                }
            )
        self.records.append(*rows)
