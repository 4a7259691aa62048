"""Numbers as text, and verdicts that follow the interval."""

import math

import pytest
from summarised import information, summary_of

from infoagent.reporting.evaluation import data_parts
from infoagent.reporting.plots import moving_mean, styles_of
from infoagent.reporting.tables import as_text, comparison_rows, summary_text, with_interval


def compared(value, low, high):
    return {
        "trained": 1.0,
        "frozen": 1.0 - value,
        "difference": {"value": value, "low": low, "high": high, "n": 9},
        "pairs": 9,
        "unpaired": 0,
    }


@pytest.mark.parametrize(
    ("name", "difference", "verdict"),
    [
        ("mi/hard_nats", (0.5, 0.1, 0.9), "better"),
        ("mi/hard_nats", (-0.5, -0.9, -0.1), "worse"),
        ("rate/tokens", (-5.0, -6.0, -4.0), "better"),
        ("distortion/error", (0.2, 0.1, 0.3), "worse"),
        ("objective/nats", (0.2, -0.1, 0.5), "no difference shown"),
        ("objective/nats", (0.2, math.nan, math.nan), "no difference shown"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(name, difference, verdict):
    [row] = comparison_rows({name: compared(*difference)})
    assert row[-1] == verdict


def test_what_has_no_interval_says_so_and_the_exact_test_may_know():
    row = compared(-1.0, math.nan, math.nan)
    assert comparison_rows({"distortion/error": row})[0][3:] == ["-100.00 no interval", "no difference shown"]
    assert comparison_rows({"distortion/error": {**row, "verdict": {"verdict": "better and shorter"}}})[0][4] == "better"


def test_percent_metrics_are_shown_in_percent():
    [row] = comparison_rows({"distortion/error": compared(-0.25, -0.5, -0.125)})
    assert row[3] == "-25.00 [-50.00, -12.50]"


def test_an_unknown_interval_is_said():
    assert with_interval(1.25, 1.0, 1.5) == "1.25 ± 0.25"
    assert with_interval(100, 84.375, 100, 0) == "100 [84, 100]"  # a share that all agree on has one side
    assert with_interval(1.234, math.nan, math.nan) == "1.23 (interval unknown)"


def test_columns_line_up():
    lines = as_text(("a", "bb"), [["xxx", "y"]]).splitlines()
    assert lines[0].index("bb") == lines[2].index("y")


def test_moving_mean_looks_back_only():
    assert moving_mean([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]


def test_the_exact_test_has_the_last_word():
    row = {"frozen": 0.75, "trained": 0.45, "difference": {"value": -0.3, "low": -0.57, "high": -0.03}}
    assert comparison_rows({"distortion/error": row})[0][-1] == "better"
    judged = {**row, "verdict": {"verdict": "not distinguishable, and shorter"}}
    assert comparison_rows({"distortion/error": judged})[0][-1] == "no difference shown"


def test_a_value_of_too_few_documents_is_said_to_say_nothing():
    """2 documents gave −1.42 ± 26.85 of 0.69; ± 0.35 of 0.69 is wider still, ± 0.34 is not, and an unknown one is said elsewhere."""
    ceiling = math.log(2)
    wide, edge, narrow, unknown = (
        information(x, half, ceiling) for x, half in ((-1.42, 26.85), (0.3, 0.35), (0.3, 0.34), (0.3, math.nan))
    )
    rows = [
        summary_of("a", estimates={"easy": narrow, "hard": wide}),
        summary_of("b", estimates={"easy": edge, "hard": edge, "all": edge}),
        summary_of("c", estimates={"easy": narrow, "hard": unknown}),
    ]
    *_, said = summary_text(rows).splitlines()
    assert said.startswith("warning: too few documents, ")
    assert said.endswith(": a (hard MI), b (easy MI, hard MI); take more")
    assert "warning" not in summary_text(rows[2:])
    assert wide.cautions == [
        "its interval is 53.70 nats wide, more than the ceiling of 0.69: 4 documents are too few to say anything; take more"
    ]
    assert (narrow.cautions, unknown.cautions) == ([], [])
    assert information(0.3, 0.35, ceiling, warnings=["saturated"]).cautions[0] == "saturated"
    padded = information(0.3, 0.1, ceiling, warnings=["saturated"], n_compressions=8, left_out_as_padded=4)
    assert padded.cautions == [
        "saturated",
        "over 8 of 12 compressions: the others have fewer negatives of these kinds, and other numbers beside it are over all",
    ]
    [part] = data_parts({"directory": "d", "summaries": rows, "analysis": {}}, {}, styles_of(rows))
    assert f"a, changed facts: {wide.cautions[0]}" in part["warnings"]
    assert sum("too few to say anything" in line for line in part["warnings"]) == 4
