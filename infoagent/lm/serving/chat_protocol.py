"""What the chat server takes and gives: the part of OpenAI's chat completions that a compressor or a reader needs.

    GET  /v1/models            the one model that is served
    POST /v1/chat/completions  {"model", "messages", "max_tokens", "temperature", "seed", "stream", "stream_options"}
    GET  /health               counts since the start

A field that would change the reply and is not known here is refused (400), never left aside in silence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infoagent.lm.serving.json_server import shown

DEFAULT_MAX_TOKENS = 256
LARGEST_BODY_BYTES = 8 * 2**20
NEUTRAL: dict[str, Any] = {"n": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
"""Known with this value only, under which they change nothing."""
ASIDE = {"user", "metadata", "store"}
"""Change nothing in the reply."""
KNOWN = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "stream", "stream_options"}


@dataclass(frozen=True)
class ChatRequest:
    """What is asked of the model."""

    model: str
    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float
    seed: int | None
    stream: bool
    include_usage: bool


def read_chat(body: bytes) -> ChatRequest:
    """Raises ValueError with one line for the first mistake."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: not JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict):
        raise ValueError(f"body: must be an object, got {type(data).__name__}")
    data = {name: value for name, value in data.items() if value is not None}  # clients send null for what they leave open
    for name, value in data.items():
        if name in KNOWN or name in ASIDE or (name in NEUTRAL and value == NEUTRAL[name]):
            continue
        only = f" other than {NEUTRAL[name]}" if name in NEUTRAL else ""
        raise ValueError(f"{name[:60]}: is not supported by this server{only}; leave it out")
    given = [data[name] for name in ("max_tokens", "max_completion_tokens") if name in data]
    limit, stream = (given or [DEFAULT_MAX_TOKENS])[0], data.get("stream") or False
    if not isinstance(stream, bool):
        raise ValueError(f"stream = {shown(stream)}: must be true or false")
    temperature, seed = data.get("temperature", 1.0), data.get("seed")
    if not _is_whole(limit) or limit < 1:
        raise ValueError(f"max_tokens = {shown(limit)}: must be a whole number of at least 1")
    if not isinstance(temperature, int | float) or isinstance(temperature, bool) or not 0 <= temperature <= 10:
        raise ValueError(f"temperature = {shown(temperature)}: must be a number from 0 to 10")
    if seed is not None and not (_is_whole(seed) and -(2**63) <= seed < 2**63):
        raise ValueError(f"seed = {shown(seed)}: must be a whole number of 64 bits")
    options = data.get("stream_options") or {}
    if not isinstance(options, dict):
        raise ValueError("stream_options: must be an object")
    return ChatRequest(
        _text(data.get("model", "")),
        _messages(data.get("messages")),
        limit,
        float(temperature),
        seed,
        stream,
        bool(options.get("include_usage")),
    )


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise ValueError("messages: must be a list of at least one message")
    for number, message in enumerate(value):
        if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError(f"messages[{number}]: must hold role and content, both strings")
        for part in ("role", "content"):
            try:
                message[part].encode()
            except UnicodeEncodeError:
                raise ValueError(f"messages[{number}]: holds half a surrogate pair, which is no text") from None
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"model = {shown(value)}: must be a string")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def usage(prompt: int, cached: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def whole_reply(identity: str, model: str, text: str, finish: str, used: Mapping[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {**_head(identity, model, "chat.completion"), "choices": [choice], "usage": dict(used)}


def event(
    identity: str, model: str, text: str | None = None, finish: str | None = None, used: Mapping[str, Any] | None = None
) -> bytes:
    """A server-sent event: a piece of text, the end with its reason, or the usage."""
    delta = {} if text is None else {"content": text}
    choices = [] if used is not None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = {**_head(identity, model, "chat.completion.chunk"), "choices": choices}
    if used is not None:
        data["usage"] = dict(used)
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _head(identity: str, model: str, kind: str) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": int(time.time()), "model": model}
