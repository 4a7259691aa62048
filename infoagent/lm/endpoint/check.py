"""Whether an endpoint can be asked at all, found out before anything is computed or paid for."""

from __future__ import annotations

import asyncio
import difflib
import json
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from infoagent.lm.endpoint.settings import LENGTH_LIMITS, EndpointSettings
from infoagent.lm.foreign_http import mishap, one_line, read_body_async, read_json, text_of
from infoagent.types import InputError

SHOWN_MODELS = 5


@dataclass(frozen=True)
class _Looked:
    """A response that was read."""

    status_code: int
    text: str


async def check_server(client: httpx.AsyncClient, settings: EndpointSettings, key: str | None) -> None:
    """The server answers, takes the key, and knows the model. Raises InputError.

    The list of models is read, where the server has one. Where it has none, and where a key must be right though the
    list is public, a chat without messages is sent as well: it is refused before anything is written, by a wrong key,
    an unknown model or path first of all.
    """
    listed = await _look(client, settings, key, "GET", "/models")
    if listed.status_code >= 500 and listed.status_code != 501:
        raise InputError(f"{settings.url}: is not in order (http {_with_text(listed, key)}); try again later")
    models = _models(listed)
    if models and settings.model not in models:
        # an alias may be known and not listed
        one = await _look(client, settings, key, "GET", f"/models/{quote(settings.model)}")
        if one.status_code != 200:
            near = difflib.get_close_matches(settings.model, models, n=SHOWN_MODELS, cutoff=0.4) or models[:SHOWN_MODELS]
            raise InputError(
                f"{settings.url}: does not know the model {settings.model!r} (http {one.status_code}); of its "
                f"{len(models)} models the nearest: {one_line(', '.join(near), key)}"
            )
    if not models or key is not None:
        body = settings.body([], None)
        body |= {name: 1 for name in LENGTH_LIMITS if name in body}
        asked = await _look(client, settings, key, "POST", "/chat/completions", json.dumps(body).encode())
        if asked.status_code == 404:
            raise InputError(
                f"{settings.url}: knows no /chat/completions, or no model {settings.model!r} (http "
                f"{_with_text(asked, key)}); base_url mostly ends in /v1"
            )
        if 300 <= asked.status_code < 400 or asked.status_code == 402:
            raise InputError(f"{settings.url}: takes no requests (http {_with_text(asked, key)})")


async def _look(
    client: httpx.AsyncClient, settings: EndpointSettings, key: str | None, method: str, path: str, content: bytes | None = None
) -> _Looked:
    """A response of a server that is there and takes the key. Raises InputError."""
    try:
        async with asyncio.timeout(settings.timeout_seconds):
            async with client.stream(method, settings.url + path, content=content) as answered:
                response = _Looked(answered.status_code, text_of(await read_body_async(answered)))
    except Exception as error:  # whatever makes a reply unreadable, the server cannot be asked
        raise InputError(
            f"{settings.url}: does not answer ({mishap(error, key).error}); start the server, or correct base_url"
        ) from None
    if response.status_code in (401, 403):
        name = settings.api_key_env
        whose = "without a key; name its variable in api_key_env" if name is None else f"with the key in {name}; export another"
        raise InputError(f"{settings.url}: refuses requests {whose} (http {_with_text(response, key)})")
    return response


def _with_text(response: _Looked, key: str | None) -> str:
    return f"{response.status_code}: {one_line(response.text, key) or 'no message'}"


def _models(response: _Looked) -> list[str]:
    """The ids of a list of models; empty where the response is none."""
    try:
        data = read_json(response.text) if response.status_code == 200 else None
    except ValueError:
        return []
    entries = data.get("data") if isinstance(data, dict) else None
    named = [e.get("id") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    return [name for name in named if isinstance(name, str)]
