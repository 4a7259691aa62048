import json

import pytest
from conftest import run_script

SCRIPT = "eval/bench/counterfactual_quality.py"


def paragraph(text, *asked):
    questions = [{"id": f"{text[:9]}-{a}", "question": q, "answers": [{"text": a}]} for q, a in asked]
    return {"context": text, "qas": questions}


@pytest.fixture
def squad(tmp_path):
    """Two own articles in SQuAD's form; with `odd` only the second one counts."""
    articles = [
        ("Mills", [paragraph("The mill of Aldby was built in 1841 by Anna Holm.", ("When?", "1841"))]),
        (
            "Ships",
            [
                paragraph(
                    "The ship Dorado left Oslo on 3 May 1921 with 40 sailors.", ("When?", "3 May 1921"), ("Who?", "40 sailors")
                ),
                paragraph("The ship Kestrel left Turin in 1930 under Carl Berg.", ("When?", "1930"), ("Who led it?", "Carl Berg")),
            ],
        ),
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"title": t, "paragraphs": p} for t, p in articles]}))
    return path


@pytest.mark.slow
def test_shares_are_measured_and_no_directory_is_kept(tiny_dir, squad, tmp_path):
    out = tmp_path / "quality.json"
    result = run_script(
        SCRIPT,
        "--records",
        "12",
        "--squad",
        str(squad),
        "--questions",
        "4",
        "--read",
        "4",
        "--model",
        str(tiny_dir),
        "--out",
        str(out),
        "--quiet",
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found["records"]["equals_exact_truth"]["value"] == 1.0
    assert found["records"]["equals_exact_truth"]["low"] < 0.9  # 12 of 12 is not certainty
    places = [found["records"][f"random_edit_in_{p}"]["value"] for p in ("fact", "heading", "elsewhere")]
    assert sum(places) == pytest.approx(1.0)
    assert found["squad"]["edited"]["value"] == found["squad"]["every_gold_answer_gone"]["value"] == 1.0
    assert found["squad"]["edited"]["n"] == 2  # two paragraphs in the odd article
    assert set(found["squad"]["kinds"]) <= {"date", "number", "year", "person"}
    assert found["reader"]["typed"]["original_more_likely"]["n"] == 2
    assert found["settings"]["articles"] == "odd"
    assert found["settings"]["squad"]["file"] == "squad.json"
    assert "squad.json" in found["command"]
    assert str(tmp_path) not in out.read_text()
    assert str(tiny_dir) not in out.read_text()


def test_wrong_arguments_are_said_at_once(tmp_path):
    result = run_script(SCRIPT, "--records", "0", "--questions", "-1", "--squad", str(tmp_path / "none.json"))
    assert result.returncode == 2
    assert result.stderr.count("error: ") == 3


def test_a_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"data": [1]}')
    result = run_script(SCRIPT, "--records", "2", "--squad", str(tmp_path / "x.json"), "--articles", "all")
    assert result.returncode == 2
    assert "x.json: data[0]: a row: must be an object, got int 1" in result.stderr
