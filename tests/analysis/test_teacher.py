"""The teacher's table against sums by hand."""

import json
import math

import pytest

from infoagent.analysis.teacher import find_teacher
from infoagent.reporting.teacher import COLUMNS, difference_lines, save_teacher, teacher_rows
from infoagent.types import InputError


def write(directory, texts, rounds=1, unit="tokens", failed=False):
    """`texts`: (problem, origin, tokens, nats, fact kept). A text of many tokens has few bytes, so that the unit decides."""
    directory.mkdir(exist_ok=True)
    rows = [
        {
            "problem_id": problem, "document": f"text of {problem}", "query": "q", "round": number, "sample": i, "text": f"{i}",
            "rate_tokens": tokens, "rate_bytes": 100 - tokens, "mi_nats": nats, "hard_nats": nats,
            "parts": {"information": nats, "rate": -0.1 * tokens},
            "reward": nats - 0.1 * tokens, "gated": False, "fact_kept": kept, **({"origin": origin} if origin else {}),
            **({"failed": "NaN"} if failed else {}),
        }
        for number in range(1, rounds + 1)
        for i, (problem, origin, tokens, nats, kept) in enumerate(texts)
    ]  # fmt: skip
    (directory / "candidates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"seed": 0, "reward": {"rate": unit}, "sampling": {"max_completion_tokens": 40}}
    (directory / "candidates.json").write_text(json.dumps({"settings": settings}))
    return directory


TEXTS = [
    ("a", None, 10, 0.2, False), ("a", "windows", 5, 1.5, True), ("a", "bm25", 30, 1.5, True), ("a", "bm25 cut", 5, 0.1, False),
    ("b", None, 4, 1.4, True), ("b", "windows", 5, 1.1, False), ("b", "bm25", 12, 1.0, False), ("b", "bm25 cut", 4, 1.9, True),
]  # fmt: skip


def test_best_of_all_and_of_each_source(tmp_path):
    table = find_teacher([write(tmp_path / "run", TEXTS)])
    rows = {row["source"]: row for row in table["rows"]}
    assert table["problems"] == 2
    assert rows["teacher"]["reward_nats"]["value"] == pytest.approx((1.0 + 1.0) / 2)
    assert rows["teacher"]["rate_tokens"]["value"] == 4.5, "the yardstick of b is better and never the teacher"
    assert (rows["windows"]["wins"], rows["policy"]["wins"], rows["bm25"]["wins"]) == (1, 1, 0)
    assert rows["bm25"]["reward_nats"]["value"] == pytest.approx((-1.5 - 0.2) / 2)
    assert table["teacher_minus"]["bm25 cut"]["hard_nats"]["value"] == pytest.approx(((1.5 - 0.1) + (1.4 - 1.9)) / 2)
    assert table["teacher_minus"]["bm25"]["fact_kept"]["value"] == pytest.approx((0 + 1) / 2)


def test_a_text_above_the_limit_is_compared_with_and_no_teacher(tmp_path):
    long = ("a", "bm25", 41, 9.0, True)
    rows = {row["source"]: row for row in find_teacher([write(tmp_path / "run", [long, *TEXTS])])["rows"]}
    assert rows["bm25"]["reward_nats"]["value"] == pytest.approx((9.0 - 4.1 - 0.2) / 2)
    assert rows["teacher"]["reward_nats"]["value"] == pytest.approx((1.0 + 1.0) / 2)
    assert rows["bm25"]["wins"] == 0


def test_another_price_chooses_other_texts(tmp_path):
    table = find_teacher([write(tmp_path / "run", TEXTS)], price=0.0)
    teacher = table["rows"][0]
    assert teacher["reward_nats"]["value"] == pytest.approx((1.5 + 1.4) / 2)
    assert math.isclose(table["rows"][1]["reward_nats"]["value"], (1.5 + 1.0) / 2), "bm25, by the alphabet"


def test_another_price_is_of_the_unit_that_the_run_paid_for(tmp_path):
    texts = [(p, o, t, 1.0, True) for p, o, t, _, _ in TEXTS]
    wins = {
        unit: [row["source"] for row in find_teacher([write(tmp_path / unit, texts, unit=unit)], 0.01)["rows"] if row["wins"]]
        for unit in ("tokens", "bytes")
    }
    assert wins == {"tokens": ["policy", "windows"], "bytes": ["bm25"]}


def test_a_problem_of_two_rounds_is_one_problem(tmp_path):
    table = find_teacher([write(tmp_path / "run", TEXTS, rounds=2)])
    assert (table["problems"], table["groups"]) == (2, 4)
    assert {row["problems"] for row in table["rows"]} == {2}
    won = next(row for row in teacher_rows(table) if row[0] == "windows")
    assert (won[1], won[2]) == ("2", "50%")


def test_a_share_that_all_documents_agree_on_has_an_interval(tmp_path):
    table = find_teacher([write(tmp_path / "run", [(p, o, t, m, True) for p, o, t, m, _ in TEXTS])])
    kept = table["rows"][0]["fact_kept"]
    assert (kept["value"], kept["high"]) == (1.0, 1.0)
    assert kept["low"] < 0.5  # of two documents


def test_the_table_is_drawn(tmp_path):
    table = find_teacher([write(tmp_path / "run", TEXTS)])
    assert all(len(row) == len(COLUMNS) for row in teacher_rows(table))
    assert any(line.startswith("teacher − bm25 cut") for line in difference_lines(table))
    save_teacher(table, tmp_path / "teacher.png")
    assert (tmp_path / "teacher.png").stat().st_size > 1000


def test_what_is_no_run_with_proposals_is_told(tmp_path):
    plain = write(tmp_path / "plain", [(p, None, t, m, k) for p, _, t, m, k in TEXTS])
    with pytest.raises(InputError) as raised:
        find_teacher([tmp_path / "nothing", plain])
    assert len(raised.value.problems) == 2
    with pytest.raises(InputError, match="no text could be scored and chosen"):
        find_teacher([write(tmp_path / "failed", TEXTS, failed=True)])
