"""What a server's response says: a text, what was paid, or why there is none. Nothing here sends anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from infoagent.data.characters import storable
from infoagent.lm.detokenization import UNREADABLE
from infoagent.lm.endpoint.settings import LENGTH_LIMITS
from infoagent.lm.endpoint.spending import NOTHING, Usage
from infoagent.lm.foreign_http import masked, one_line, read_json
from infoagent.lm.prompts import UNFINISHED

MOST_TOKENS = 10**7
"""Of a prompt or a reply. No model reads or writes as many at a time: a server that counts more has counted nothing."""
AGAIN = {408, 429, 500, 502, 503, 504}
"""Statuses that may be gone the next time."""
MAYBE_CHARGED = {504}
"""A gateway gave up waiting; the model behind it may have written, and want money."""


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
    """The bytes of a text: no tokenizer makes more tokens of it, of digits, base64 or rare scripts neither."""
    return len(text.encode(errors="surrogatepass"))


def worst_case(body: Mapping[str, Any]) -> Usage:
    """The most that a request can use: all of its body as JSON (messages, tools, response format and whatever else is
    sent; the names of the fields leave room for the chat template), nothing of it cached, and the longest reply."""
    longest = max(body[k] for k in LENGTH_LIMITS if k in body)
    return Usage(text_tokens(json.dumps(body, ensure_ascii=False)), 0, longest, calls=0, retries=0, estimated=True)


def read_response(
    status: int, headers: Mapping[str, str], text: str, upper: Usage, key: str | None, asked_model: str, *, tools: bool = False
) -> tuple[Usage, Answer | Refusal]:
    """(what is to be paid, the answer or why there is none). `tools`: the request named functions to call.

    An error is free, but for a gateway's timeout. A reply is paid for, useful or not: by the server's count where it
    can be read, else by the size of what it holds, which is the worst case (`upper`) where nothing can be read.
    """
    if status != 200:
        paid = upper if status in MAYBE_CHARGED else NOTHING
        return paid, _http_error(status, headers, text, key)
    try:
        data = read_json(text)
    except ValueError:
        return upper, Refusal("not JSON", f"the reply is no JSON: {one_line(text, key) or 'an empty body'}", again=True)
    choice = _first_choice(data)
    if choice is None:
        paid = counted(data) or upper
        return paid, Refusal("no choices", f"the reply holds no choices: {one_line(text, key)}", again=True)
    message = choice["message"]
    written, finish = _text_of(message, tools), _word(choice.get("finish_reason"), "unknown", key)
    if finish == "length":  # some servers cut in the middle of a character
        written = written.rstrip(UNREADABLE)
    paid = _counted_of(data, message) or _estimate(message, upper)
    if written.strip():
        model = _word(data.get("model"), asked_model, key)
        thought = _thought_of(message)
        told = None if thought is None else masked(thought, key), _thinking_tokens(data)
        return paid, Answer(masked(written, key), finish, model, *told)
    error = f"the model wrote nothing (finish_reason {one_line(finish, key)})"
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        error += f": {one_line(refusal, key)}"
    if finish == "length":  # it would think as long again, and want money again
        return paid, Refusal(UNFINISHED, f"{error}: all of max_tokens went into thinking; raise it", again=False)
    return paid, Refusal("empty completion", error, again=True)


def _word(value: Any, otherwise: str, key: str | None) -> str:
    """A name that a server gives: a short string on one line. Anything else is as if it had given none."""
    return (one_line(storable(value), key) or otherwise) if isinstance(value, str) else otherwise


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
        arguments = [f["arguments"] for f in functions if isinstance(f, dict) and f.get("arguments")]
        # some servers give the arguments as an object, and not as its text
        text = "\n".join(a if isinstance(a, str) else json.dumps(a, ensure_ascii=False) for a in arguments) or text
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
    """The server's own count; None where it gives none that can be read and be true."""
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
    if not prompt:  # a prompt holds a token at least
        return None
    return Usage(prompt, cached, completion, calls=0, retries=0)


def _counted_of(data: Any, message: Mapping[str, Any]) -> Usage | None:
    """As `counted`; None too where nothing is counted and something is written."""
    found = counted(data)
    return None if found is None or (not found.completion_tokens and _written_bytes(message)) else found


def _count(value: Any) -> int | None:
    """A number of tokens that can be one."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 0 <= value <= MOST_TOKENS else None


def _estimate(message: Mapping[str, Any], upper: Usage) -> Usage:
    """Without a count: all texts of the message by their bytes, its thought too; all that was allowed where it holds
    none."""
    written = _written_bytes(message)
    completion = min(written, upper.completion_tokens) if written else upper.completion_tokens
    return Usage(upper.prompt_tokens, 0, completion, calls=0, retries=0, estimated=True)


def _written_bytes(message: Mapping[str, Any]) -> int:
    """Bytes of all that a model wrote into a message, and of its form where that is not plain text; 0 without text."""
    texts = {name: value for name, value in message.items() if name != "role" and value not in (None, "", [], {})}
    plain = [value for value in texts.values() if isinstance(value, str)]
    if not "".join(plain).strip() and len(plain) == len(texts):
        return 0
    rest = {name: value for name, value in texts.items() if not isinstance(value, str)}
    return text_tokens("".join(plain)) + (text_tokens(json.dumps(rest, ensure_ascii=False)) if rest else 0)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None where it holds neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,12})?\s*", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
