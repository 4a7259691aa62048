"""Who compresses in an evaluation: language models, servers, sentence pickers; as text or in a form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from infoagent.address import address_mistakes
from infoagent.baselines import PICKERS
from infoagent.config import Section
from infoagent.recipes.sections import (
    ModelSection,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PromptSection,
)
from infoagent.types import ANCHORS

WRITERS = ("lm", "endpoint")
"""Kinds whose compression is written by a language model."""


def one_of(allowed: Callable[[], Sequence[str]]) -> AfterValidator:
    """What a Literal says of a value that is none of `allowed`, which may grow by a row."""

    def check(value: str) -> str:
        names = [repr(name) for name in allowed()]
        if repr(value) not in names:
            expected = f"{', '.join(names[:-1])} or {names[-1]}"
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
        return value

    return AfterValidator(check)


Kind = Annotated[str, one_of(lambda: (*WRITERS, *ANCHORS, *PICKERS))]


class EndpointSection(Section):
    """An OpenAI-compatible server."""

    base_url: Name
    """Up to and including /v1. No credentials in it."""
    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; None for a server without one. The key itself stands nowhere."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests at a time."""
    timeout_seconds: PositiveFloat = 60.0
    """Of one request, from its first byte to its last."""
    retries: NonNegativeInt = 5
    """After 429, 5xx, timeouts, and replies that are no JSON or empty."""
    backoff_seconds: PositiveFloat = 1.0
    """Before the first retry; doubled with each, and drawn at random below that."""
    json_mode: bool = False
    """Ask the server for a JSON object (response_format)."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """More fields of the request's body, such as reasoning_effort."""

    @model_validator(mode="after")
    def _no_secrets(self) -> EndpointSection:
        if mistakes := address_mistakes(self.base_url):
            raise ValueError("; ".join(f"base_url: {mistake}" for mistake in mistakes))
        return self


class ServerSection(EndpointSection):
    """The server of a compressor of kind endpoint."""

    name: Name
    """The model, as the server names it."""
    provider: str | None = None
    """Whose price: openai, anthropic, …; None takes the one that the model's name tells."""


class FormSection(Section):
    """z is a JSON object, or the arguments of a function call. What is scored is its canonical text."""

    json_schema: str | dict[str, Any] | None = None
    """A file with a JSON schema of an object, or the schema itself."""
    signature: str | None = None
    """In its place: a function, as in `def record(name: str, age: int | None = None)`. It is read, never run."""
    constrained: bool = False
    """Draw only what can still become such JSON: by llguidance (`pip install 'infoagent[structured]'`), vLLM's structured
    outputs, or a server's response_format and tools."""

    @model_validator(mode="after")
    def _one(self) -> FormSection:
        if (self.json_schema is None) == (self.signature is None):
            raise ValueError("form: needs json_schema or signature, one of the two")
        return self


class CompressorSection(Section):
    """One compressor of the evaluation grid."""

    label: Name
    """Its name in tables."""
    curve: Name | None = None
    """Points of one rate-distortion curve share this name; None: its kind, and for an lm its model."""
    kind: Kind = "lm"
    """`lm` writes a compression, `endpoint` does so behind an address (`server`); `full-document` and `closed-book` hand
    over everything, or nothing; the others pick sentences: the first, the last, random ones, those that BM25 or TextRank
    rank first, those with the evidence (`oracle`); `llmlingua2` drops words (`pip install 'infoagent[llmlingua]'`)."""
    model: ModelSection = ModelSection()
    """Who writes; for the other kinds whose tokens are counted and who scores."""
    server: ServerSection | None = None
    """Of kind endpoint: who writes. Its text is scored by `model`, which did not draw it: a lower bound."""
    prompt: PromptSection = PromptSection()
    form: FormSection | None = None
    """A structured compression, in place of a text; the template is then form-v1 unless another one is named."""
    thinking: bool | PositiveInt | None = None
    """true and false turn the model's thinking on and off; a number ends it after so many tokens, or where the model breaks
    it off (a server is given that room and no more). The thought is no part of z, and its tokens are cost; z is scored as
    if written without one, which is a lower bound. None: the chat template is left alone, and all that is written is z."""
    thinking_tokens: PositiveInt = 2048
    """Longest thought where thinking is true; one without an end by then is a failure, and no empty z."""
    max_tokens: PositiveInt = 40
    """Longest compression of an lm, behind its thought; a text that is cut there counts as truncated. That of a server that
    thinks is cut in the tokens of the scorer."""
    temperature: NonNegativeFloat = 1.0
    """1 where the scorer is the sampler; otherwise the value is read as a bound. 0 is greedy: what people decode with."""
    sentences: PositiveInt | None = None
    """A picking compressor keeps so many sentences …"""
    tokens: PositiveInt | None = None
    """… or as many as fit into so many tokens."""

    @model_validator(mode="before")
    @classmethod
    def _form_template(cls, content: Any) -> Any:
        """A form needs a template with a place for it: form-v1 where none is named."""
        if not isinstance(content, dict) or content.get("form") is None:
            return content
        prompt = content.get("prompt", {})
        return {**content, "prompt": {"template": "form-v1", **prompt}} if isinstance(prompt, dict) else content

    @model_validator(mode="after")
    def _writing(self) -> CompressorSection:
        if (self.kind == "endpoint") != (self.server is not None):
            raise ValueError(f"{self.label!r}: kind endpoint and the section server (base_url, name) belong together")
        if self.kind == "endpoint" and self.model.adapter is not None:
            raise ValueError(f"{self.label!r}: an endpoint takes no adapter; name the served adapter as server.name")
        for name in ("form", "thinking"):
            if getattr(self, name) is not None and self.kind not in WRITERS:
                raise ValueError(f"{self.label!r}: {name} is for kinds lm and endpoint, not for {self.kind}")
        takes_form = "form-" in self.prompt.template
        if takes_form != (self.form is not None):
            hint = "names a form; set form" if takes_form else "has no place for a form; set template to form-v1"
            raise ValueError(f"{self.label!r}: prompt.template {self.prompt.template!r} {hint}")
        if self.form is not None and self.form.constrained and self.thinks and self.kind == "lm":
            raise ValueError(
                f"{self.label!r}: form.constrained would constrain the thought too; set one of it and thinking to false"
            )
        if self.prompt.template.startswith("think-") and not self.thinks:
            raise ValueError(f"{self.label!r}: template {self.prompt.template!r} asks for a thought; set thinking")
        return self

    @model_validator(mode="after")
    def _length(self) -> CompressorSection:
        given = [name for name in ("sentences", "tokens") if getattr(self, name) is not None]
        if self.kind in PICKERS and len(given) != 1:
            raise ValueError(f"{self.label!r}: kind {self.kind} needs sentences or tokens, one of the two")
        if self.kind in PICKERS and PICKERS[self.kind].order is None and self.tokens is None:
            raise ValueError(f"{self.label!r}: kind {self.kind} drops words, not sentences; set tokens")
        if self.kind not in PICKERS and given:
            raise ValueError(f"{self.label!r}: {given[0]} belongs to kinds that pick sentences, not to {self.kind}")
        return self

    @property
    def curve_name(self) -> str:
        if self.server is not None:
            return self.curve or self.server.name
        return self.curve or (self.model.name if self.kind == "lm" else self.kind)

    @property
    def thinks(self) -> bool:
        """Whether a thought comes before z."""
        return self.thinking is not None and self.thinking is not False

    @property
    def longest_thought(self) -> int:
        """In tokens."""
        if not self.thinks:
            return 0
        return self.thinking_tokens if self.thinking is True else int(self.thinking or 0)


class VariantSection(Section):
    """A prompt that every lm compressor is tried with."""

    label: Name
    """Added to the compressor's label."""
    prompt: PromptSection
    max_tokens: PositiveInt | None = None
    """None keeps the compressor's."""
