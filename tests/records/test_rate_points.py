"""Rate-distortion points as they stand in frontier-*.json and analysis.json: kept files are read and written the same."""

import json
import math

import pytest
from conftest import ROOT

from infoagent.files import json_text
from infoagent.records.json_form import as_json
from infoagent.records.rate_points import RatePoint, has_interval, rate_points
from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.types import Finding, InputError

RESULTS = ROOT / "eval" / "results"
FRONTIERS, ANALYSES = sorted(RESULTS.rglob("frontier-*.json")), sorted(RESULTS.rglob("analysis*.json"))


def curves_of(content):
    return [c for part in (*content["sets"], *content["mi"]) for c in part["curves"] if "points" in c]


def test_kept_files_are_there():
    assert len(FRONTIERS) >= 3
    assert len(ANALYSES) >= 4


@pytest.mark.parametrize("path", FRONTIERS, ids=lambda path: str(path.relative_to(RESULTS)))
def test_points_of_a_kept_frontier_are_written_as_they_were_read(path):
    for part in json.loads(path.read_text())["sets"]:
        assert json_text(as_json(rate_points(part["points"], part["data"]))) == json_text(part["points"])


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_points_of_a_kept_analysis_are_written_as_they_were_read(path):
    curves = curves_of(json.loads(path.read_text()))
    assert curves
    for curve in curves:
        written = [p.with_reasons() for p in rate_points(curve["points"], curve["curve"])]
        assert json_text(written) == json_text(curve["points"])


def test_an_unknown_interval_is_null_or_a_reason_and_nan_when_read():
    whole, alone, wide = Finding(1.0, 0.5, 1.5, 4), Finding(2.0, math.nan, math.nan, 1), Finding(0.25, math.nan, math.nan, 3)
    point = RatePoint(label="a", tokens=whole, value=alone, distortion=wide, extra={"of another version": 1})
    row = point.with_reasons()
    assert row["tokens"] == {"value": 1.0, "low": 0.5, "high": 1.5, "n": 4}
    assert row["value"] == {"value": 2.0, "n": 1, "refused": "one document has no interval"}
    assert row["distortion"] == {"value": 0.25, "n": 3, "refused": "the spread is unknown"}
    assert "trained" not in row
    for form in (row, json.loads(json_text(as_json(point)))):
        [again] = rate_points([form], "here")
        assert (again.tokens, again.extra) == (whole, {"of another version": 1})
        for found, first in ((again.value, alone), (again.distortion, wide)):
            assert (found.value, found.n) == (first.value, first.n)
            assert not has_interval(found)


@pytest.mark.parametrize(
    ("row", "lacks"),
    [
        ({"tokens": {"value": 1.0}}, "tokens.low"),
        ({"label": "a", "tokens": 3, "value": {"value": 1.0, "refused": "why"}}, "tokens"),
        ({"label": "a", "tokens": {"value": 1.0, "refused": "why"}}, "value"),
        ({"tokens": {"value": 1.0, "refused": "why"}, "value": {"value": 1.0, "refused": "why"}}, "label"),
    ],
)
def test_what_a_point_lacks_is_named_with_its_place(row, lacks):
    with pytest.raises(InputError, match=f"^records, curve a: a point lacks {lacks}; "):
        rate_points([{"label": "a", **row} if lacks == "tokens.low" else row], "records, curve a")


def test_error_bars_by_hand():
    found = [(1.0, 0.5, 1.75), interval_of({"value": 3.0, "n": 4}), interval_of(Finding(2.0, math.nan, 2.5))]
    low, high = error_bars(found)
    assert low[0] == 0.5
    assert high == pytest.approx([0.75, math.nan, 0.5], nan_ok=True)
    assert [math.isnan(x) for x in low] == [False, True, True]  # no bar, not one of length 0
