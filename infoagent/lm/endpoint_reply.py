"""What a server's response says: a text, what was paid, or why there is none. Nothing here sends anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from infoagent.data.characters import storable
from infoagent.lm.detokenization import UNREADABLE
from infoagent.lm.endpoint_settings import LENGTH_LIMITS
from infoagent.lm.prompts import UNFINISHED
from infoagent.lm.spending import NOTHING, Usage

BYTES_PER_TOKEN = 3
"""Below what tokenizers reach on text, so that the estimate is above their count. Rows of digits may pass it."""
AGAIN = {408, 429, 500, 502, 503, 504}
"""Statuses that may be gone the next time."""
MAYBE_CHARGED = {504}
"""A gateway gave up waiting; the model behind it may have written, and want money."""
SHOWN = 300
"""Characters of an error."""


@dataclass(frozen=True)
class Answer:
    """A text, with what the server says about it. `thinking` is the thought that the server gave apart from it, and
    `thinking_tokens` its own count of that; None: it said nothing of the kind."""

    text: str
    finish: str
    model: str
    thinking: str | None = None
    thinking_tokens: int | None = None


@dataclass(frozen=True)
class Refusal:
    """No text: the cause in two words, the error in one line, whether to ask again, and what the server wants to wait."""

    cause: str
    error: str
    again: bool
    wait_seconds: float | None = None


def text_tokens(text: str) -> int:
    """Bytes / 3, rounded up: an upper estimate of a text's tokens."""
    return math.ceil(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN)


def worst_case(body: Mapping[str, Any]) -> Usage:
    """The most that a request can use: its messages as JSON, which leaves room for the chat template, nothing of them
    cached, and the longest reply."""
    messages = json.dumps(body["messages"], ensure_ascii=False)
    longest = max(body[k] for k in LENGTH_LIMITS if k in body)
    return Usage(text_tokens(messages), 0, longest, calls=0, retries=0, estimated=True)


def one_line(text: str, key: str | None) -> str:
    """`text` on one short line, without the key. The key is taken out before the text is cut: half of it is one too."""
    if key:
        for form in {key, quote(key, safe=""), key.replace("/", "\\/")}:
            text = text.replace(form, "[key]")
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def said(error: Exception) -> str:
    """An exception in words, the name too: a time-out has no words of its own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def read_response(
    status: int,
    headers: Mapping[str, str],
    text: str,
    upper: Usage,
    key: str | None,
    asked_model: str,
    *,
    tools: bool = False,
) -> tuple[Usage, Answer | Refusal]:
    """(what is to be paid, the answer or why there is none). `tools`: the request named functions to call.

    An error is free, but for a gateway's timeout. A reply is paid for, useful or not: by the server's count where it
    can be read, else by an estimate, which is the worst case (`upper`) where the text cannot be read either.
    """
    if status != 200:
        paid = upper if status in MAYBE_CHARGED else NOTHING
        return paid, _http_error(status, headers, text, key)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return upper, Refusal("not JSON", f"the reply is no JSON: {one_line(text, key) or 'an empty body'}", again=True)
    choice = _first_choice(data)
    if choice is None:
        paid = counted(data) or upper
        return paid, Refusal("no choices", f"the reply holds no choices: {one_line(text, key)}", again=True)
    message = choice["message"]
    written, finish = _text_of(message, tools), str(choice.get("finish_reason") or "unknown")
    if finish == "length":  # some servers cut in the middle of a character
        written = written.rstrip(UNREADABLE)
    paid = counted(data) or _estimate(written, upper)
    if written.strip():
        model = str(data.get("model") or asked_model)
        return paid, Answer(written, finish, model, _thought_of(message), _thinking_tokens(data))
    error = f"the model wrote nothing (finish_reason {one_line(finish, key)})"
    if message.get("refusal"):
        error += f": {one_line(str(message['refusal']), key)}"
    if finish == "length":  # it would think as long again, and want money again
        return paid, Refusal(UNFINISHED, f"{error}: all of max_tokens went into thinking; raise it", again=False)
    return paid, Refusal("empty completion", error, again=True)


def _http_error(status: int, headers: Mapping[str, str], text: str, key: str | None) -> Refusal:
    again = status in AGAIN and not (status == 429 and "insufficient_quota" in text)
    wait = retry_after_seconds(headers.get("retry-after"), datetime.now(UTC)) if again else None
    return Refusal(f"http {status}", f"http {status}: {one_line(text, key) or 'no message'}", again, wait)


def _first_choice(data: Any) -> dict[str, Any] | None:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    return choices[0] if isinstance(choices[0].get("message"), dict) else None


def _text_of(message: Mapping[str, Any], tools: bool) -> str:
    """The text of a message, or the arguments of the function that it calls where it has no text or `tools` were named:
    some models talk beside a call. Some servers give the text in parts, with parts of thinking between them."""
    content = message.get("content")
    parts: Sequence[Any] = content if isinstance(content, list) else [{"text": content}]
    text = "".join(p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str))
    if (tools or not text.strip()) and isinstance(calls := message.get("tool_calls"), list):
        functions = [call.get("function") for call in calls if isinstance(call, dict)]
        arguments = [str(f["arguments"]) for f in functions if isinstance(f, dict) and f.get("arguments")]
        text = "\n".join(arguments) or text
    return storable(text)  # half a surrogate pair is valid JSON, and no file takes it


def _thought_of(message: Mapping[str, Any]) -> str | None:
    """The thought, where the server parses it out of the text: servers differ in what they call it."""
    found = [message.get(name) for name in ("reasoning_content", "reasoning")]
    return next((storable(text) for text in found if isinstance(text, str) and text), None)


def _thinking_tokens(data: Any) -> int | None:
    usage = data.get("usage") if isinstance(data, dict) else None
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None


def counted(data: Any) -> Usage | None:
    """The server's own count; None where it gives none that can be read."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = usage.get("prompt_tokens_details")
    places = (details if isinstance(details, dict) else {}, "cached_tokens"), (usage, "prompt_cache_hit_tokens")
    found = [_count(holder.get(name)) for holder, name in (*places, (usage, "cache_read_input_tokens"))]
    cached = max((n for n in found if n is not None), default=0)
    if cached > prompt:  # a server that counts cached tokens apart from the prompt's
        prompt += cached
    return Usage(prompt, cached, completion, calls=0, retries=0)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _estimate(written: str, upper: Usage) -> Usage:
    """Without a count: the text's tokens from its bytes, all that were allowed where there is no text."""
    completion = min(text_tokens(written), upper.completion_tokens) if written.strip() else upper.completion_tokens
    return Usage(upper.prompt_tokens, 0, completion, calls=0, retries=0, estimated=True)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None where it holds neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
