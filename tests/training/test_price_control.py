"""The price against a world whose answer is known, its bounds, and its state."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.recipes.sections import RewardSection
from infoagent.training.price_control import PriceControl
from infoagent.types import InputError


def test_it_finds_the_price_at_which_the_budget_is_met():
    """A policy that writes 40 · (0.1 / (price + 0.05)) tokens meets 20 at a price of 0.15."""
    control = PriceControl(price=0.02, budget=20.0, step=0.01)
    for _ in range(400):
        control.update(4.0 / (control.price + 0.05))
    assert control.price == pytest.approx(0.15, abs=1e-3)


def test_by_hand_and_after_the_warm_up_only():
    control = PriceControl(price=0.02, budget=10.0, step=0.01, warmup_steps=2)
    for rate, expected in ((30, 0.02), (30, 0.02), (30, 0.04), (5, 0.035)):
        control.update(rate)
        assert control.price == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e4), max_size=30), st.floats(0.01, 0.5))
def test_it_stays_within_its_bounds(rates, maximum):
    control = PriceControl(price=0.0, budget=7.0, step=0.1, maximum=maximum)
    for rate in rates:
        control.update(rate)
        assert 0 <= control.price <= maximum


def test_a_fixed_price_never_moves():
    control = PriceControl.of(RewardSection(price=0.03))
    control.update(1000.0)
    assert control.price == 0.03


def test_its_state_goes_through_a_checkpoint(tmp_path):
    control = PriceControl.of(RewardSection(budget=10.0, price_warmup_steps=0))
    control.update(25.0)
    control.save(tmp_path)
    again = PriceControl.of(RewardSection(budget=10.0, price_warmup_steps=0))
    again.restore(tmp_path)
    assert again == control
    assert json.loads((tmp_path / "price.json").read_text())["price"] == control.price


def test_a_lost_price_is_an_error_not_the_first_price(tmp_path):
    with pytest.raises(InputError, match="price of this run is lost"):
        PriceControl.of(RewardSection(budget=10.0)).restore(tmp_path)
    PriceControl.of(RewardSection(price=0.1)).restore(tmp_path)  # stands in the recipe
