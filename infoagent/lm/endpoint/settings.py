"""How an endpoint is asked, and where its key comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from infoagent.address import address_mistakes
from infoagent.types import InputError

Chat = list[dict[str, str]]

LENGTH_LIMITS = ("max_tokens", "max_completion_tokens")
RESERVED = ("model", "messages", "stream", "n")
SEVERAL = ("best_of", "num_return_sequences")
"""Fields by which servers write several replies, and want money for each."""


@dataclass(frozen=True)
class EndpointSettings:
    """Who is asked, and how. Raises InputError, a line for each mistake.

    `base_url` ends before /chat/completions. `timeout_seconds` is the deadline of one request, from its first byte to
    its last. `extra` are more fields of the body; they win over the others, and None takes a field out, as in
    {"max_tokens": None, "max_completion_tokens": 900} for models that think.
    """

    base_url: str
    model: str
    api_key_env: str | None = "OPENAI_API_KEY"
    concurrency: int = 4
    timeout_seconds: float = 60
    retries: int = 5
    max_tokens: int = 256
    temperature: float = 0.6
    json_mode: bool = False
    seed: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mistakes = []
        mistakes += [f"base_url: {mistake}" for mistake in address_mistakes(self.base_url)]
        for name, least in (("concurrency", 1), ("retries", 0), ("max_tokens", 1), ("temperature", 0)):
            if not getattr(self, name) >= least:
                mistakes.append(f"{name} = {getattr(self, name)}: must be at least {least}")
        if not self.timeout_seconds > 0:
            mistakes.append(f"timeout_seconds = {self.timeout_seconds}: must be above 0")
        mistakes += [f"extra.{name}: is set by this client; leave it out" for name in RESERVED if name in self.extra]
        mistakes += [
            f"extra.{name}: has several replies written and paid for; leave it out" for name in SEVERAL if name in self.extra
        ]
        body = self.body([], None)
        limits = [body[k] for k in LENGTH_LIMITS if k in body]
        if not limits or not all(isinstance(limit, int) and limit >= 1 for limit in limits):
            mistakes.append("extra: must leave max_tokens or max_completion_tokens, a whole number of at least 1")
        if mistakes:
            raise InputError(mistakes)

    @property
    def url(self) -> str:
        return self.base_url.rstrip("/")

    def body(self, chat: Chat, seed: int | None) -> dict[str, Any]:
        """The request's body; `seed` None takes the settings'."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": chat,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed if seed is None else seed,
            "response_format": {"type": "json_object"} if self.json_mode else None,
        }
        return {name: value for name, value in (body | self.extra).items() if value is not None}


def read_key(settings: EndpointSettings) -> str | None:
    """The key of an endpoint, None for a server without. Raises InputError as `key_from` does."""
    return key_from(settings.api_key_env, settings.url)


def key_from(name: str | None, url: str) -> str | None:
    """The key of `url` from the environment variable `name`, None for a server without. Raises InputError where there is
    none, or none that a header can hold; never shows it."""
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(
            f"{name}: is not set; the key of {url} is read from this environment variable: export it, or set "
            "the setting that names it to null for a server without keys"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{name}: holds blanks or signs that no key has; export the key alone")
    return key
