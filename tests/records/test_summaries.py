"""Summaries as they stand in summary.json: kept files are read and written the same."""

import json

import pytest
from conftest import ROOT
from summarised import finding, predictor, summary_of

from infoagent.files import json_text, write_json
from infoagent.records.json_form import as_json
from infoagent.records.summaries import SUMMARY_FILE, read_summaries, read_summary_file
from infoagent.types import InputError

KEPT = [*sorted((ROOT / "eval" / "baselines").glob("*.json")), *sorted((ROOT / "eval" / "results").rglob(SUMMARY_FILE))]
HELD = {path: content for path in KEPT if isinstance(content := json.loads(path.read_text()), dict) and "summaries" in content}


@pytest.mark.parametrize("path", HELD, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_kept_file_is_written_as_it_was_read(path):
    found = read_summary_file(path)
    assert found.commit == HELD[path]["commit"]
    assert json_text(as_json(found.summaries)) == json_text(HELD[path]["summaries"])  # keys, values and order


def test_kept_files_are_there():
    assert len(HELD) >= 8
    assert any(s.without_z is not None for path in HELD for s in read_summary_file(path).summaries)


def test_findings_of_a_predictor_stand_before_its_counts(tmp_path):
    asked = predictor({"distortion/error": finding(0.5)}, right_of_all=finding(0.25))
    summary = summary_of("lm", predictors={"reader": asked}, extra={"of another version": 1})
    row = as_json(summary)
    assert list(row["predictors"]["reader"]) == [
        "distortion/error", "n", "failed", "failed_causes", "unparseable", "cost", "right_of_all",
    ]  # fmt: skip
    assert "adherence" not in row
    write_json(tmp_path / SUMMARY_FILE, {"schema_version": 1, "summaries": [row]})
    assert read_summaries(tmp_path) == [summary]


def test_what_is_missing_is_named_with_its_file(tmp_path):
    row = as_json(summary_of("lm"))
    del row["data"]["name"]
    write_json(tmp_path / SUMMARY_FILE, {"schema_version": 1, "summaries": [row]})
    with pytest.raises(InputError, match=r"summary\.json: summaries\.data\.name is missing; evaluate again"):
        read_summaries(tmp_path)
    for content, told in (({}, "holds no summaries"), ({"schema_version": 0}, "schema_version 0")):
        write_json(tmp_path / SUMMARY_FILE, {"schema_version": 1, **content})
        with pytest.raises(InputError, match=told):
            read_summaries(tmp_path)
