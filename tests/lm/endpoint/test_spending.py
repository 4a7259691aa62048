"""The spending limit alone: reservations, in order and from many threads."""

import asyncio
import random
import threading

import pytest

from infoagent.lm.endpoint.spending import SpendingLimit
from infoagent.types import InputError


def test_reservations_of_many_threads_stay_below_the_limit():
    limit = SpendingLimit(10.0, 1.0)
    reserved, lock, over = [0.0], threading.Lock(), []

    def spend(seed):
        draw = random.Random(seed)
        for _ in range(200):
            upper = draw.uniform(0.001, 0.2)
            room = limit.ask(upper)
            if isinstance(room, str):
                continue
            with lock:
                reserved[0] += upper
                over.append(reserved[0] + 1.0 > 10.0 + 1e-9)
            actual = upper * draw.random()
            with lock:
                reserved[0] -= upper - actual
            with room:
                room.paid_usd = actual

    threads = [threading.Thread(target=spend, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(over)
    assert limit.spent_usd == pytest.approx(reserved[0] + 1.0)
    assert limit.reserved_usd == 0
    assert limit.spent_usd > 9.5


def spend(room, usd):
    with room:
        room.paid_usd = usd


def test_a_reservation_waits_for_what_may_turn_out_cheaper():
    limit = SpendingLimit(0.3)
    first, second, third = (limit.ask(0.1) for _ in range(3))
    assert limit.ask(0.1) == "later"
    spend(first, 0.0)
    fourth = limit.reserve(0.1)
    assert limit.reserved_usd == pytest.approx(0.3)
    for room in (second, third, fourth):
        spend(room, 0.1)
    assert limit.ask(0.05) == "never"
    assert limit.reserve(0.05) is None
    other = SpendingLimit(1.0)
    assert other.ask(1.1) == "never"
    assert other.ask(0.1) == "never"
    spend(other.reserve(0.0), 0.0)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="max_usd"):
            SpendingLimit(wrong)


def test_what_is_no_price_is_never_granted():
    for wrong in (float("nan"), float("inf"), -1.0):
        assert SpendingLimit(float("inf")).ask(wrong) == "never"


class Boom(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError, Boom])
def test_whatever_ends_a_request_it_is_booked_and_its_room_given_back(error):
    limit = SpendingLimit(1.0)
    with pytest.raises(error), limit.reserve(0.4):
        raise error
    assert (limit.spent_usd, limit.reserved_usd) == (0.4, 0.0)  # who knows: the worst case
    room = limit.reserve(0.4)
    room.paid_usd = 0.1
    with pytest.raises(error), room:
        raise error
    assert (limit.spent_usd, limit.reserved_usd) == (0.5, 0.0)


def test_a_task_that_is_cancelled_while_it_waits_holds_nothing():
    async def main():
        limit = SpendingLimit(0.3)
        with limit.reserve(0.2):
            waiting = asyncio.create_task(limit.reserve_async(0.2))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        return limit.reserved_usd, limit.spent_usd

    assert asyncio.run(main()) == (0.0, 0.2)
