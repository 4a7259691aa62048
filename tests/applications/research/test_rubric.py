"""Scores of reports: the share against the reference by hand, expectations by hand, replies that are no scores."""

import json
import math

import pytest

from infoagent.applications.research.rubric import NoScore, expected_score, parse_race, parse_yes, race, weighted

TWO = {"depth": 3.0, "readability": 1.0}


def test_the_share_by_hand():
    found = race({"depth": 8.0, "readability": 4.0}, {"depth": 2.0, "readability": 6.0}, TWO)
    assert (found.report, found.reference) == (7.0, 3.0)  # (3·8 + 4) / 4, (3·2 + 6) / 4
    assert found.final == pytest.approx(0.7)
    same = race({"depth": 5.0, "readability": 5.0}, {"depth": 5.0, "readability": 5.0}, TWO)
    assert same.final == 0.5
    assert weighted({"depth": 8.0, "readability": 4.0}, {"depth": 0.0, "readability": 2.0}) == 4.0
    with pytest.raises(NoScore, match="both texts are scored 0"):
        race({"depth": 0.0, "readability": 0.0}, {"depth": 0.0, "readability": 0.0}, TWO)


def test_the_expectation_by_hand():
    assert expected_score([math.log(0.2), math.log(0.6)], [1, 5]) == pytest.approx((0.2 * 1 + 0.6 * 5) / 0.8)
    assert expected_score([-1000.0, -1001.0], [1, 2]) == pytest.approx((1 + 2 * math.exp(-1)) / (1 + math.exp(-1)))
    with pytest.raises(NoScore, match="finite"):
        expected_score([float("nan"), 0.0], [1, 2])


def test_a_reply_is_read_or_refused():
    good = {"A": {"depth": 7, "readability": 9.5}, "B": {"depth": 0, "readability": 10}}
    wanted = ({"depth": 7.0, "readability": 9.5}, {"depth": 0.0, "readability": 10.0})
    for text in (json.dumps(good), f"```json\n{json.dumps(good)}\n```", f"  {json.dumps(good | {'why': 'x'})} "):
        assert parse_race(text, list(TWO)) == wanted
    for bad in (
        "I think A is better: 7 to 3",
        '{"A": {"depth": 7, "readability": 9}}',
        '{"A": {"depth": 7}, "B": {"depth": 1, "readability": 1}}',
        '{"A": {"depth": "7", "readability": 9}, "B": {"depth": 1, "readability": 1}}',
        '{"A": {"depth": true, "readability": 9}, "B": {"depth": 1, "readability": 1}}',
        '{"A": {"depth": 11, "readability": 9}, "B": {"depth": 1, "readability": 1}}',
        '{"A": {"depth": NaN, "readability": 9}, "B": {"depth": 1, "readability": 1}}',
        "[1, 2]",
        "",
    ):
        with pytest.raises(NoScore):
            parse_race(bad, list(TWO))


@pytest.mark.parametrize(("reply", "says"), [("yes", True), ("No.", False), ("**Yes**, it does", True)])
def test_yes_and_no(reply, says):
    assert parse_yes(reply) is says


@pytest.mark.parametrize("reply", ["", "maybe", "yesterday", "It says no", "nothing"])
def test_neither_yes_nor_no(reply):
    with pytest.raises(NoScore):
        parse_yes(reply)
