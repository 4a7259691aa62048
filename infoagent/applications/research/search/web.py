"""The web: a search API that answers as Brave's does, and a reader API that answers as Jina's does.

    GET {search_url}?q=…&count=…      X-Subscription-Token: KEY    {"web": {"results": [{"title", "url", "description"}]}}
    GET {reader_url}/{address}        Authorization: Bearer KEY    {"data": {"title", "url", "content"}}

Anything that answers in these forms will do; keys are read from the environment and stand in no setting, record or log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infoagent.applications.research.search.sources import SearchFailed, Source
from infoagent.applications.research.search.wire import Wire
from infoagent.data.characters import storable
from infoagent.lm.endpoint.settings import key_from
from infoagent.lm.foreign_http import one_line, read_json
from infoagent.types import Mistakes

MOST_RESULTS = 20
"""That the search API gives for one request."""


@dataclass(frozen=True)
class WebSettings:
    """Addresses, the environment variables that hold the keys (None: no key is sent), and prices of a request."""

    search_url: str
    reader_url: str
    search_key_env: str | None
    reader_key_env: str | None
    usd_per_search: float = 0.0
    usd_per_fetch: float = 0.0
    replayed: bool = False
    """From a record: no key is needed and nothing is paid."""


class Web:
    """The provider; `wire` is the network or a record of it."""

    def __init__(self, settings: WebSettings, wire: Wire) -> None:
        self.settings = settings
        self.wire = wire

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "web", "search_url": self.settings.search_url, "reader_url": self.settings.reader_url}

    @property
    def usd_per_search(self) -> float:
        return 0.0 if self.settings.replayed else self.settings.usd_per_search

    @property
    def usd_per_fetch(self) -> float:
        return 0.0 if self.settings.replayed else self.settings.usd_per_fetch

    def check(self) -> None:
        """The keys are there. Raises InputError, a line for each that is not."""
        mistakes = Mistakes()
        for name, url in (
            (self.settings.search_key_env, self.settings.search_url),
            (self.settings.reader_key_env, self.settings.reader_url),
        ):
            with mistakes.of():
                self._key(name, url)
        mistakes.end()

    def search(self, query: str, count: int) -> list[Source]:
        url, key = self.settings.search_url, self._key(self.settings.search_key_env, self.settings.search_url)
        headers = {"Accept": "application/json"} | ({} if key is None else {"X-Subscription-Token": key})
        usd = self.usd_per_search
        asked: dict[str, str | int] = {"q": query, "count": min(count, MOST_RESULTS)}
        body = _json(self.wire.get(url, asked, headers, key, usd), usd)
        web = body.get("web") if isinstance(body, dict) else None
        results = web.get("results") if isinstance(web, dict) else None
        if web is None and isinstance(body, dict):  # how the API says that there is nothing
            return []
        if not isinstance(results, list):
            raise SearchFailed("not a search", f"{url}: the response holds no web.results", usd)
        found: dict[str, Source] = {}
        for result in results:
            if isinstance(result, dict) and isinstance(result.get("url"), str) and result["url"].startswith("http"):
                address = storable(result["url"])  # half a surrogate pair is valid JSON, and no file takes it
                found.setdefault(address, Source(address, _title(result, address), address))
        return list(found.values())[:count]

    def fetch(self, source: Source) -> Source:
        base, key = (self.settings.reader_url.rstrip("/"), self._key(self.settings.reader_key_env, self.settings.reader_url))
        headers = {"Accept": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        usd = self.usd_per_fetch
        body = _json(self.wire.get(f"{base}/{source.address}", {}, headers, key, usd), usd)
        data = body.get("data") if isinstance(body, dict) else None
        content = data.get("content") if isinstance(data, dict) else None
        if not isinstance(content, str) or not content.strip():
            raise SearchFailed("no text", f"{source.address}: the reader found no text on the page", usd)
        assert isinstance(data, dict)
        return Source(source.id, _title(data, source.title), source.address, storable(content))

    def _key(self, name: str | None, url: str) -> str | None:
        return None if self.settings.replayed else key_from(name, url)


def _title(found: dict[str, Any], otherwise: str) -> str:
    title = found.get("title")
    return storable(title) if isinstance(title, str) and title else otherwise


def _json(text: str, usd: float) -> Any:
    try:
        return read_json(text)
    except ValueError:
        shown = one_line(text[:100], None) or "an empty body"
        raise SearchFailed("not JSON", f"the response is no JSON: {shown}", usd) from None
