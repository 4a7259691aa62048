"""eval/paper/figures.py: the claim of the fact-deletion figure, on the real model at its smallest size."""

import json
import math

import pytest
from conftest import run_script


@pytest.fixture(scope="module")
def figure(tmp_path_factory):
    out = tmp_path_factory.mktemp("figure")
    result = run_script(
        "eval/paper/figures.py",
        "fact-deletion",
        "--out",
        out,
        "--documents",
        "2",
        "--facts",
        "2",
        "--versions",
        "2",
        "--quiet",
        "--dtype",
        "float32",
    )
    assert result.returncode == 0, result.stderr
    return out, json.loads((out / "fact-deletion.json").read_text())


@pytest.mark.slow
def test_random_stays_at_its_ceiling_and_counterfactual_falls_with_every_fact(figure):
    _, found = figure
    assert [p["facts_left"] for p in found["points"]] == [2, 1, 0]
    assert all(p["random_nats"] == pytest.approx(math.log(2), abs=0.01) for p in found["points"])
    facts = [p["fact_nats"] for p in found["points"]]
    assert facts[0] > 0.8 * math.log(3)
    assert facts[0] > facts[1] + 0.2
    assert facts[1] > facts[2] + 0.2
    assert abs(facts[2]) < 0.2
    lengths = [p["rate_tokens"] for p in found["points"]]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.slow
def test_it_is_drawn_and_can_be_repeated(figure):
    out, found = figure
    assert (out / "fact-deletion.png").stat().st_size > 10_000
    assert "nats (dotted: ceiling)" in (out / "fact-deletion.svg").read_text()
    assert {"commit", "versions", "seed", "scorer", "data"} <= set(found)


def test_wrong_sizes_are_a_line_each():
    result = run_script("eval/paper/figures.py", "fact-deletion", "--out", "x", "--documents", "1", "--facts", "0")
    assert result.returncode == 2
    assert result.stderr.count("error: ") == 2
