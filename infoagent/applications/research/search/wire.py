"""Requests to web APIs, recorded as they come, and repeated from the record without network or key.

A record is a line of JSON: the address and parameters of a request, and the body of its response or why there is none.
Headers are never written, and a key that a server echoes is taken out.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

from infoagent.applications.research.search.sources import SearchFailed
from infoagent.data.characters import storable
from infoagent.files import append_jsonl, read_jsonl
from infoagent.lm.endpoint.reply import AGAIN, MAYBE_CHARGED, retry_after_seconds
from infoagent.lm.foreign_http import masked, mishap, one_line, open_client, read_body, text_of
from infoagent.types import InputError

LONGEST_BACKOFF_SECONDS = 30.0
Parameters = Mapping[str, str | int]


class Wire(Protocol):
    """Whoever answers a GET."""

    def get(self, url: str, parameters: Parameters, headers: Mapping[str, str], key: str | None, usd: float) -> str:
        """The body of a response with status 200. `key` is what must stand nowhere, `usd` what a request costs.

        Raises SearchFailed.
        """


class LiveWire:
    """The network. Every response and every failure is appended to `record`."""

    def __init__(self, record: str | Path, timeout_seconds: float = 30.0, retries: int = 3, backoff_seconds: float = 1.0) -> None:
        self.record = Path(record)
        self.timeout_seconds = timeout_seconds
        self.retries = retries
        self.backoff_seconds = backoff_seconds
        self._lock = threading.Lock()

    def get(self, url: str, parameters: Parameters, headers: Mapping[str, str], key: str | None, usd: float) -> str:
        """What did not reach the server, 429 and 5xx are tried again. What may have to be paid is not: a time-out, a
        response that broke off or cannot be read, a gateway's 504. Whatever comes, it is a text or a SearchFailed."""
        # halves of surrogate pairs come from search results and models, and go through no URL
        url, parameters = storable(url), {k: storable(v) if isinstance(v, str) else v for k, v in parameters.items()}
        row: dict[str, Any] = {"key": request_key(url, parameters), "url": url, "parameters": parameters}
        try:
            text = self._tried(url, parameters, headers, key, usd)
        except SearchFailed as failure:
            self._append({**row, "status": "failed", "cause": failure.cause, "error": str(failure)})
            raise
        text = masked(text, key)
        self._append({**row, "status": "ok", "body": text, "at": datetime.now(UTC).isoformat(timespec="seconds")})
        return text

    def _tried(self, url: str, parameters: Parameters, headers: Mapping[str, str], key: str | None, usd: float) -> str:
        for attempt in range(self.retries + 1):
            pause = 0.0
            try:
                status, answered, text = self._send(url, parameters, headers)
            except InputError:  # no client can be made: nothing was sent, here and later
                raise
            except Exception as error:  # whatever a response makes a library raise is this request's failure alone
                what = mishap(error, key)
                late = f"no complete response within {self.timeout_seconds:g} s"
                words = late if what.cause == "timeout" else what.error
                failure = SearchFailed(what.cause, words, usd if what.sent else 0.0)
                if what.sent or what.cause == "invalid address":
                    raise failure from None
            else:
                if status == 200:
                    return text
                paid = usd if status in MAYBE_CHARGED else 0.0
                failure = SearchFailed(f"http {status}", f"http {status}: {one_line(text, key) or 'no message'}", paid)
                if status not in AGAIN or paid:
                    raise failure
                pause = retry_after_seconds(answered.get("retry-after"), datetime.now(UTC)) or 0.0
            if attempt == self.retries or pause > LONGEST_BACKOFF_SECONDS:
                raise failure
            # full jitter, on top of what the server asks for
            time.sleep(pause + random.uniform(0, min(LONGEST_BACKOFF_SECONDS, self.backoff_seconds * 2.0**attempt)))
        raise AssertionError("a loop of at least one attempt ends within")

    def _send(self, url: str, parameters: Parameters, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], str]:
        """(status, headers, text). The deadline holds for the whole response: one that drips is cut off."""
        deadline = time.monotonic() + self.timeout_seconds
        client = open_client(httpx.Client, url, timeout=self.timeout_seconds)
        # no parameters at all: an empty set would take the query out of an address that has one
        asked = dict(parameters) or None
        with client, client.stream("GET", url, params=asked, headers=dict(headers)) as response:
            return response.status_code, response.headers, text_of(read_body(response, until=deadline))

    def _append(self, row: dict[str, Any]) -> None:
        with self._lock:
            append_jsonl(self.record, [row])


class ReplayWire:
    """A record of LiveWire. What is not in it fails as "not recorded"; a recorded failure fails again."""

    def __init__(self, record: str | Path) -> None:
        self.record = Path(record)
        if not self.record.is_file():
            raise InputError(f"search.web.responses = {str(record)!r}: no such file; record a run first (replay: false)")
        self._rows: dict[str, dict[str, Any]] = {}
        for row in read_jsonl(self.record):
            if row["status"] == "ok" or self._rows.get(row["key"], row)["status"] != "ok":
                self._rows[row["key"]] = row

    def get(self, url: str, parameters: Parameters, headers: Mapping[str, str], key: str | None, usd: float) -> str:
        row = self._rows.get(request_key(url, parameters))
        if row is None:
            raise SearchFailed("not recorded", f"{self.record.name} holds no response to {url} {dict(parameters)}")
        if row["status"] != "ok":
            raise SearchFailed(row["cause"], row["error"])
        return str(row["body"])


def request_key(url: str, parameters: Parameters) -> str:
    """What a request is found by: its address and parameters."""
    text = json.dumps([url, sorted((k, str(v)) for k, v in parameters.items())], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
