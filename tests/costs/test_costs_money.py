"""Money by hand: prices per million tokens, break-even points, and sums with unknown parts."""

import importlib.metadata
import math
import socket
from datetime import UTC, datetime

import pytest

from infoagent.config import load_recipe
from infoagent.costs import Cost, break_even_questions, price_of, price_snapshot
from infoagent.recipes.cost_sections import CostSection, PriceSection
from infoagent.types import InputError

PAPER = {  # USD per million tokens in and out, August 2025
    "gpt-4o": (2.50, 10.0), "gpt-4o-mini": (0.15, 0.60), "gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a price was looked up over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("model", PAPER)
@pytest.mark.parametrize("provider", ["openai", None])
def test_the_papers_prices_stand_in_the_table(model, provider):
    price = price_of(model, provider)
    assert (price.input_usd, price.output_usd) == PAPER[model]
    # 120,000 tokens in and 3,000 out: 0.12 and 0.003 millions
    assert price.usd(120_000, 0, 3_000) == pytest.approx(0.12 * PAPER[model][0] + 0.003 * PAPER[model][1])
    assert price.source == f"genai-prices {importlib.metadata.version('genai-prices')}: openai/{model}"


def test_cached_tokens_are_a_cheaper_part_of_the_prompt():
    """GPT-4o: 10,000 tokens in, of which 8,000 cached at half the price, 500 out."""
    price = price_of("gpt-4o", "openai")
    assert price.usd(10_000, 8_000, 500) == pytest.approx((2_000 * 2.50 + 8_000 * 1.25 + 500 * 10) / 1e6)
    # the first GPT-4o has no price for what is cached: all of it at the full price of 5
    assert price_of("gpt-4o-2024-05-13", "openai").usd(1000, 800, 0) == pytest.approx(0.005)
    assert price.usd(0, 0, 0) == 0.0


@pytest.mark.parametrize("counts", [(-1, 0, 0), (10, 11, 0), (10, 0, -1), (10, -1, 0)])
def test_impossible_counts_are_refused(counts):
    for price in (price_of("gpt-4o", None), price_of("m", None, {"m": PriceSection(input=1, output=1)})):
        with pytest.raises(ValueError, match="what is cached is a part of the prompt"):
            price.usd(*counts)


def test_a_long_prompt_pays_its_tier_on_all_tokens():
    """Gemini 2.5 Pro: 1.25 and 10 up to 200,000 tokens in, 2.50 and 15 above; what is cached a tenth of it."""
    price = price_of("gemini-2.5-pro", "google")
    assert (price.input_usd, price.output_usd) == (1.25, 10.0)
    assert price.usd(200_000, 0, 1_000) == pytest.approx(0.2 * 1.25 + 0.001 * 10)
    assert price.usd(200_001, 0, 1_000) == pytest.approx(0.200001 * 2.50 + 0.001 * 15)
    assert price.usd(300_000, 100_000, 0) == pytest.approx(0.2 * 2.50 + 0.1 * 0.25)


def test_prices_that_changed_are_those_of_the_moment():
    """o3 became cheaper on 10 June 2025."""
    before, after = (price_of("o3", "openai", at=datetime(2025, 6, day, tzinfo=UTC)) for day in (9, 10))
    assert (before.usd(1_000_000, 0, 1_000_000), after.usd(1_000_000, 0, 1_000_000)) == (50.0, 10.0)


def test_the_users_prices_win_and_nothing_is_a_price_for_an_own_server():
    overrides = {
        "my-model": PriceSection(input=0.2, output=0.8, cached=0.05),
        "gpt-4o": PriceSection(input=1.0, output=3.0),
        "local": PriceSection(input=0, output=0),
    }
    # 1,000 in, of which 400 cached, 50 out: 600 · 0.2 + 400 · 0.05 + 50 · 0.8 = 180 millionths
    assert price_of("my-model", None, overrides).usd(1_000, 400, 50) == pytest.approx(180e-6)
    assert price_of("gpt-4o", "openai", overrides).usd(1_000, 400, 50) == pytest.approx(1_150e-6)
    assert price_of("local", "no such provider", overrides).usd(1_000, 400, 50) == 0.0
    assert price_of("gpt-4o-mini", "openai", overrides).input_usd == 0.15
    assert price_of("local", None, overrides).source == "cost.prices"


@pytest.mark.parametrize(
    ("model", "provider", "wanted"),
    [
        ("gpt-4o-xyz", None, ["'gpt-4o-xyz'", "gpt-4o (openai)", "cost.prices: {gpt-4o-xyz: {input: …, output: …}}"]),
        ("gtp-4.1", "openai", ["'gtp-4.1'", "at openai", "gpt-4.1 (openai)"]),
        ("qqqqqqqq", None, ["'qqqqqqqq'", "nothing there is near"]),
        ("gpt-4o", "opnai", ["provider 'opnai'", "openai", "name one of these"]),
        ("gpt-4o", "github-copilot", ["no price per token", "github-copilot"]),  # paid for by subscription
        ("text-embedding-3-large", "openai", ["no price per token", "text-embedding-3-large"]),
    ],
)
def test_an_unknown_price_is_an_error_that_helps_and_never_nothing(model, provider, wanted):
    with pytest.raises(InputError) as error:
        price_of(model, provider, {"another": PriceSection(input=0, output=0)})
    (line,) = error.value.problems
    assert all(part in line for part in wanted), line
    assert "\n" not in line


def test_the_table_stays_the_installed_one_whatever_was_fetched():
    from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    try:
        assert price_of("gpt-4o", "openai").usd(1_000_000, 0, 0) == 2.5
    finally:
        set_custom_snapshot(None)
    assert price_snapshot() == {"source": "genai-prices", "version": importlib.metadata.version("genai-prices")}


def test_prices_are_read_from_a_recipe_and_wrong_ones_are_named(tmp_path):
    path = tmp_path / "cost.yaml"
    path.write_text("prices:\n  my-model: {input: 0.2, output: 0.8, cached: 0.05}\n  own: {input: 0, output: 0}\n")
    prices = load_recipe(CostSection, path).prices
    assert price_of("my-model", None, prices).usd(1_000_000, 1_000_000, 1_000_000) == pytest.approx(0.85)
    assert price_of("own", None, prices).usd(1_000_000, 0, 1_000_000) == 0.0
    path.write_text("prices:\n  a: {input: -1, output: 0.8}\n  b: {input: 1, outputs: 2}\n")
    with pytest.raises(InputError) as error:
        load_recipe(CostSection, path)
    problems = "\n".join(error.value.problems)
    assert "prices.a.input = -1" in problems
    assert "prices.b.output: must be given" in problems
    assert "prices.b.outputs: unknown key; did you mean 'output'?" in problems


# ---- break-even -------------------------------------------------------------------------------------------------


def test_the_number_of_questions_from_which_compressing_pays():
    """GPT-4o over a document of 20,000 tokens, 0.05 $ an answer, or over 500 tokens, 0.00125 $; 0.12 $ to compress."""
    found = break_even_questions(0.12, 0.00125, 0.05)
    assert (found.verdict, found.questions) == ("from", pytest.approx(0.12 / 0.04875))  # 2.46
    n = found.questions
    assert 0.12 + n * 0.00125 == pytest.approx(n * 0.05)
    assert 0.12 + 2 * 0.00125 > 2 * 0.05
    assert 0.12 + 3 * 0.00125 < 3 * 0.05


@pytest.mark.parametrize(
    ("costs", "verdict"),
    [
        ((1.0, 2.0, 2.0), "never"),  # nothing is saved that could pay for the compression
        ((1.0, 3.0, 2.0), "never"),
        ((0.0, 3.0, 2.0), "never"),
        ((0.0, 1.0, 2.0), "always"),
        ((0.0, 2.0, 2.0), "always"),
    ],
)
def test_where_there_is_no_number_the_verdict_says_why(costs, verdict):
    found = break_even_questions(*costs)
    assert (found.verdict, found.questions) == (verdict, None)


def test_a_compression_for_each_question_is_compared_directly():
    assert break_even_questions(0.04, 0.01, 0.05, per_question=True).verdict == "always"
    assert break_even_questions(0.05, 0.01, 0.05, per_question=True).verdict == "never"


@pytest.mark.parametrize("costs", [(-1.0, 0.0, 1.0), (1.0, math.nan, 1.0), (1.0, 0.0, math.inf)])
def test_costs_that_are_none_have_no_break_even(costs):
    with pytest.raises(ValueError, match="finite number of at least 0"):
        break_even_questions(*costs)


# ---- the parts of a cost -----------------------------------------------------------------------------------------


def test_a_sum_with_an_unknown_part_is_unknown_and_absent():
    assert Cost(seconds=5.0).known() == {"seconds": 5.0}
    assert Cost(gflops_prefill=1.0).gflops is None
    assert Cost(gflops_prefill=1.0, gflops_decode=2.0, usd=0.0).known() == {
        "gflops_prefill": 1.0,
        "gflops_decode": 2.0,
        "usd": 0.0,
        "gflops": 3.0,
    }


def test_impossible_costs_are_refused():
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="usd"):
            Cost(usd=wrong)
