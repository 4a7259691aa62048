"""What a model behind an API asks for its tokens: a pinned table, and the user's own prices before it.

The table is the one inside the installed genai-prices package. It is never fetched anew, so a version of the package
is a state of the prices, and a run that names it can be priced again.
"""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Protocol

from infoagent.types import InputError

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelPrice

MILLION = 1_000_000
PACKAGE = "genai-prices"


class PriceOverride(Protocol):
    """A price that the user names, in USD per million tokens; `cached` None: as `input`."""

    @property
    def input(self) -> float: ...

    @property
    def output(self) -> float: ...

    @property
    def cached(self) -> float | None: ...


@dataclass(frozen=True)
class Price:
    """Of one model: USD per million tokens of prompt, of cached prompt, of completion.

    Where a long prompt costs more a token, these are the prices of a short one, and `usd` knows the tiers.
    """

    model: str
    input_usd: float
    cached_usd: float
    output_usd: float
    source: str
    """Where it stands: `cost.prices`, or package, version, provider and the name in its table."""
    table: ModelPrice | None = field(default=None, repr=False, compare=False)
    """The row of the table; None for a price of the user's."""

    def usd(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """USD of one call. `prompt_tokens` is the whole prompt, `cached_tokens` the part of it that was cached.

        A tier applies to all tokens of a call whose prompt is above its start. Raises ValueError for impossible counts.
        """
        if min(prompt_tokens, cached_tokens, completion_tokens) < 0 or cached_tokens > prompt_tokens:
            raise ValueError(
                f"{prompt_tokens} prompt tokens, {cached_tokens} of them cached, and {completion_tokens} of completion: "
                "counts are at least 0, and what is cached is a part of the prompt"
            )
        if self.table is None:
            fresh = (prompt_tokens - cached_tokens) * self.input_usd
            return (fresh + cached_tokens * self.cached_usd + completion_tokens * self.output_usd) / MILLION
        from genai_prices import Usage

        usage = Usage(input_tokens=prompt_tokens, cache_read_tokens=cached_tokens, output_tokens=completion_tokens)
        return float(self.table.calc_price(usage)["total_price"])


def price_snapshot() -> dict[str, str]:
    """Which table prices come from: {"source": "genai-prices", "version": …}."""
    return {"source": PACKAGE, "version": importlib.metadata.version(PACKAGE)}


def price_of(
    model: str, provider: str | None, overrides: Mapping[str, PriceOverride] | None = None, at: datetime | None = None
) -> Price:
    """The price of `model` at `provider` (None: found by the model's name).

    `overrides` (recipe: cost.prices, by the model's name) come first; there 0 is a price, as of one's own server. A few
    prices of the table begin at a date or hold at an hour: `at` names the moment, now where it is None. Raises
    InputError, with the nearest names, for a model or a provider that is not in the table and for one that it gives no
    price per token: an unknown price is never 0.
    """
    if overrides is not None and model in overrides:
        own = overrides[model]
        return Price(model, own.input, own.input if own.cached is None else own.cached, own.output, "cost.prices")
    table = _table()
    known = f"{PACKAGE} {price_snapshot()['version']}"
    advice = f"or set cost.prices: {{{model}: {{input: …, output: …}}}} in USD per million tokens, 0 for your own server"
    _check_provider(provider, known, advice)
    try:
        found, row = table.find_provider_model(model, None, provider, None)
    except LookupError:
        near = _near(model, provider)
        raise InputError(
            f"model {model!r}: {known} has no price for it{'' if provider is None else f' at {provider}'}; "
            f"{'nearest: ' + near + '; name one of these, ' if near else 'nothing there is near; name another, '}{advice}"
        ) from None
    price = row.get_prices(at or datetime.now(UTC))
    if price.input_mtok is None or price.output_mtok is None:  # per page, per hour, by subscription
        raise InputError(f"model {model!r}: {known} has no price per token for {row.id} at {found.id}; name another, {advice}")
    source = f"{known}: {found.id}/{row.id}"
    cached = price.input_mtok if price.cache_read_mtok is None else price.cache_read_mtok
    return Price(model, _base(price.input_mtok), _base(cached), _base(price.output_mtok), source, price)


def _base(value: object) -> float:
    """Of a price with tiers, that of a short prompt."""
    return float(getattr(value, "base", value))  # type: ignore[arg-type]


@cache
def _table() -> DataSnapshot:
    """The package's own table, whatever other code in this process has fetched."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


def _check_provider(provider: str | None, known: str, advice: str) -> None:
    if provider is None:
        return
    try:
        _table().find_provider(None, provider, None)
    except LookupError:
        names = [p.id for p in _table().providers]
        near = difflib.get_close_matches(provider.lower(), names, n=3, cutoff=0.5) or names
        raise InputError(
            f"provider {provider!r}: not in {known}; nearest: {', '.join(near)}; name one of these, {advice}"
        ) from None


def _near(model: str, provider: str | None) -> str:
    """The nearest names with a price per token, each with a provider: `gpt-4o (openai), …`. Empty: nothing is near."""
    only = None if provider is None else _table().find_provider(None, provider, None).id
    now = datetime.now(UTC)
    places: dict[str, str] = {}
    for listed in _table().providers:
        for row in listed.models if only in (None, listed.id) else ():
            if row.get_prices(now).output_mtok is not None:
                places.setdefault(row.id.lower(), f"{row.id} ({listed.id})")
    return ", ".join(places[name] for name in difflib.get_close_matches(model.lower(), places, n=3, cutoff=0.6))
