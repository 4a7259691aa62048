"""A file that a later version wrote is refused in one line, wherever it is read; older ones are read."""

import pytest
from summarised import summary_of

from infoagent.analysis.frontier import find_frontier
from infoagent.cli import main
from infoagent.files import write_json, write_jsonl
from infoagent.records.files import read_records
from infoagent.records.json_form import as_json
from infoagent.records.summaries import read_analysis, read_summaries
from infoagent.store import SCHEMA_VERSION, check_output_dir, read_if_run, read_run
from infoagent.types import InputError

LATER = SCHEMA_VERSION + 1
TOLD = rf"\.json: schema_version {LATER}; this version reads up to {SCHEMA_VERSION}: "


def written(directory, version):
    of = {} if version is None else {"schema_version": version}
    write_json(directory / "run.json", {"kind": "evaluate", "recipe": {"output_dir": "x"}, **of})
    write_json(directory / "summary.json", {"summaries": as_json([summary_of("lm")]), **of})
    write_json(directory / "analysis.json", {"sets": [], "mi": [], **of})
    write_jsonl(directory / "records.jsonl", [{"key": "a", "kind": "reply", "status": "ok"}])
    return directory


READERS = {
    "run": read_run,
    "run, where there is one": read_if_run,
    "summaries": read_summaries,
    "analysis": read_analysis,
    "records": read_records,
    "frontier": lambda directory: find_frontier(directory, "hard"),
    "output_dir": lambda directory: check_output_dir(str(directory), "evaluate"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_later_version_is_refused_in_one_line(name, tmp_path):
    with pytest.raises(InputError, match=TOLD) as error:
        READERS[name](written(tmp_path, LATER))
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("name", [name for name in READERS if name != "frontier"])
def test_this_version_is_read(name, tmp_path):
    held = READERS[name](written(tmp_path, SCHEMA_VERSION))
    assert held or name == "output_dir", "a check gives nothing back"


def test_what_is_no_version_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run\.json: schema_version two; "):
        read_run(written(tmp_path, "two"))


def test_a_run_without_a_version_is_read(tmp_path):
    """Trainers write none."""
    assert read_run(written(tmp_path, None))["kind"] == "evaluate"
    assert read_if_run(tmp_path / "nowhere") == {}


def test_the_report_refuses_it_with_exit_code_2(tmp_path, capsys):
    assert main(["report", str(written(tmp_path, LATER)), "--out", str(tmp_path / "page.html")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"schema_version {LATER}" in line
