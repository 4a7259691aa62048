"""Claims asked of stand-ins, and every claim collected into one table."""

import json

import pytest
from conftest import ROOT

from infoagent.analysis.goals import decided_before
from infoagent.applications.paper.claims import FAILS, HOLDS, UNASKED, UNDECIDED, check_claims
from infoagent.applications.paper.collection import collect_claims, goals_of
from infoagent.applications.paper.figures import EXPERIMENTS
from infoagent.applications.paper.published import AMONG_VERSIONS, PUBLISHED, Ahead, Direction, Near
from infoagent.applications.paper.stand_ins import PAIRS, claims_at_hand
from infoagent.config import load_recipe
from infoagent.recipes import EvaluationRecipe
from infoagent.types import InputError

KEPT = ROOT / "eval" / "results" / "applications"


def point(label, accuracy, data="records", reader="Qwen2.5-Coder 1.5B reads"):
    value = {"value": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01, "n": 36}
    return {
        "data": data,
        "label": label,
        "kind": "lm",
        "documents": 36,
        "measures": {},
        "predictors": {reader: {"accuracy": value}},
    }


def test_every_claim_on_models_is_asked_of_every_pair():
    asked = claims_at_hand()
    of_models = [c for c in PUBLISHED if isinstance(c.question, Direction | Near | Ahead)]
    others = [c for c in PUBLISHED if c not in of_models]
    assert [c for c in asked if c in others] == others
    for claim in of_models:
        made = [c for c in asked if (c.figure, c.says, c.value) == (claim.figure, claim.says, claim.value)]
        ways = 2 if getattr(claim.question, "measure", None) in AMONG_VERSIONS else 1
        assert len(made) == ways * len(PAIRS)
        assert all(pair.large in c.quantity for pair, c in zip([p for p in PAIRS for _ in range(ways)], made, strict=True))
        assert all(c.data is None and "7B" not in c.quantity and "405B" not in c.quantity for c in made)


def test_the_larger_stands_over_the_smaller_and_readers_over_readers():
    [over_small, over_embedded] = [
        c.question.pairs for c in claims_at_hand() if c.figure == "fig4" and c.question.measure == "mi_nats"
    ]
    assert over_small == ((("Qwen2.5-Coder 1.5B", None), ("Qwen2.5-Coder 0.5B", None)),)
    assert over_embedded == ((("Qwen2.5-Coder 0.5B", None), ("SmolLM2 135M", None)),)
    readers = next(c.question.pairs for c in claims_at_hand() if c.value == 1.12)
    assert readers == ((("Qwen2.5-Coder 1.5B", "Qwen2.5-Coder 1.5B reads"), ("Qwen2.5-Coder 1.5B", "Qwen2.5-Coder 0.5B reads")),)


def test_its_labels_are_those_of_the_local_recipes():
    recipe = load_recipe(EvaluationRecipe, ROOT / "configs" / "figures" / "fig3-local.yaml")
    assert {label for pair in PAIRS for label in (pair.large, pair.small)} <= {c.label for c in recipe.grid}
    assert {label for pair in PAIRS for label in (pair.reads_large, pair.reads_small)} == {p.label for p in recipe.predictors}


def test_a_stand_in_decides_a_claim_on_every_set_of_the_run():
    points = [
        point(f"Qwen2.5-Coder {size}", accuracy, data)
        for data in ("records", "squad")
        for size, accuracy in (("1.5B", 0.8), ("0.5B", 0.5))
    ]
    rows = [r for r in check_claims("fig3", points, {}, claims_at_hand()) if r["quantity"].endswith("1.5B over Qwen2.5-Coder 0.5B")]
    assert [(r["data"], r["verdict"]) for r in rows] == [("records", HOLDS), ("squad", HOLDS)]
    assert rows[0]["ours"]["value"] == pytest.approx(1.6)


@pytest.mark.parametrize(("saturation", "verdict"), [((0.9, 1.0), UNASKED), ((0.4, 1.0), HOLDS)])
def test_two_at_the_ceiling_are_not_compared(saturation, verdict):
    """Among few random documents a name identifies the source: both measure log K, and bits per token are 1 / length."""
    points = []
    for label, share, bits in zip(("Qwen2.5-Coder 0.5B", "Qwen2.5-Coder 1.5B"), saturation, (0.1, 0.4), strict=True):
        value = {"value": bits, "low": bits - 0.01, "high": bits + 0.01, "saturation": share}
        points.append({**point(label, 0.5), "measures": {"bits_per_token": value}})
    rows = [
        r
        for r in check_claims("fig2", points, {}, claims_at_hand())
        if r["quantity"].startswith("MI per token, Qwen2.5-Coder 1.5B")
    ]
    assert [r["verdict"] for r in rows] == [verdict]
    assert verdict == HOLDS or "ceiling log K" in rows[0]["why"]


def figure_file(directory, name, **more):
    claims = check_claims(name, [point("Qwen2.5-Coder 1.5B", 0.5), point("Qwen2.5-Coder 0.5B", 0.8)], {}, claims_at_hand())
    path = directory / f"{name}.json"
    path.write_text(json.dumps({"figure": name, "claims": claims, "commit": "c0ffee", "command": "run", **more}))
    return path


def test_every_claim_stands_in_the_table_once_asked_or_not(tmp_path):
    rows, files = collect_claims([figure_file(tmp_path, "fig3")])
    assert files == [{"figure": "fig3", "file": "fig3.json", "command": "run", "commit": "c0ffee"}]
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["figure"] for row in rows} == {c.figure for c in PUBLISHED}
    assert [row["figure"] for row in rows] == sorted((r["figure"] for r in rows), key=lambda f: list(EXPERIMENTS).index(f))
    others = [row for row in rows if row["figure"] != "fig3"]
    assert len(others) == sum(c.figure != "fig3" for c in PUBLISHED)
    assert all(row["verdict"] == UNASKED and row["why"] for row in others)
    assert next(r for r in rows if r["figure"] == "fig3")["verdict"] == FAILS


def test_goals_are_met_where_a_claim_is_decided_either_way(tmp_path):
    rows, _ = collect_claims([figure_file(tmp_path, "fig3")])
    goals, undecided = goals_of(rows)
    assert len(goals) + len(undecided) == len(rows)
    assert goals.keys().isdisjoint(undecided)
    failed = goals["fig3-accuracy-qwen2-5-coder-1-5b-over-qwen2-5-coder-0-5b-records"]
    assert (failed["met"], failed["verdict"], failed["n"]) == (True, FAILS, 36)
    assert failed["value"] == pytest.approx(0.5 / 0.8)
    assert all(causes and all(causes) for causes in undecided.values())


def test_kept_rounds_and_research_answer_their_figures():
    """Against what their pages say: a sixteenth of the facts at 178 % and more of the FLOPs; nothing after two rounds."""
    rows, files = collect_claims([KEPT / "rounds" / "rounds.json", KEPT / "deep_research" / "deep_research.json"])
    assert [f["figure"] for f in files] == ["fig18", "fig7"]
    research = [r for r in rows if r["figure"] == "fig7"]
    assert [r["verdict"] for r in research] == [FAILS, FAILS, UNASKED, UNASKED]
    assert research[0]["ours"]["value"] == pytest.approx(0.0625 / 0.8125)
    assert research[1]["ours"]["value"] > 1
    [rounds] = [r for r in rows if r["figure"] == "fig18"]
    assert rounds["ours"]["low"] < 0 < rounds["ours"]["high"]
    assert rounds["verdict"] == UNDECIDED  # no gain is shown, and one of a tenth of what there is is not ruled out
    assert "with n = 24 more than 0.14" in rounds["why"]


def fig18(directory, **more):
    """Its row, of a system of four rounds of 1 nat after each, with `more` in place of what it holds."""
    step = {"total": {"infonce_nats": 1.0}, "gain": {"value": 0.3, "low": 0.2, "high": 0.4, "n": 24}}
    system = {"questions": "rewritten", "remembers": True, "rounds": 4, "label": "four", "information": {"easy": [step] * 4}}
    (directory / "rounds.json").write_text(json.dumps({"systems": [{**system, **more}]}))
    rows, _ = collect_claims([directory / "rounds.json"])
    [row] = [r for r in rows if r["figure"] == "fig18"]
    return row


@pytest.mark.parametrize(("high", "after", "verdict"), [(0.05, 2, HOLDS), (0.05, 1, HOLDS), (0.5, 2, UNDECIDED), (0.05, 3, FAILS)])
def test_rounds_saturate_where_later_ones_can_add_little(tmp_path, high, after, verdict):
    rest = {"value": 0.0, "low": -0.1, "high": high, "n": 24}
    assert fig18(tmp_path, saturated_after={"easy": after}, rest={"easy": rest})["verdict"] == verdict


def test_rounds_that_never_stop_gaining_do_not_saturate(tmp_path):
    row = fig18(tmp_path, saturated_after={}, rest={})
    assert (row["verdict"], row["ours"]["value"]) == (FAILS, 0.3)
    assert row["why"] == "nats of the last of 4 rounds: even it still adds"


@pytest.mark.parametrize("high", [-0.01, 0.05])
def test_where_nothing_is_told_nothing_saturates(tmp_path, high):
    rest = {"value": -0.05, "low": -0.1, "high": high, "n": 24}
    row = fig18(tmp_path, saturated_after={"easy": 0}, rest={"easy": rest})
    assert (row["verdict"], row["ours"]["high"]) == (UNDECIDED, high)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"rounds": 2}, "of more than 2 rounds"),
        ({"questions": "fixed"}, "its questions rewritten"),
        ({"information": {}}, "among random documents"),
        ({"rest": {"easy": {"value": 0.1, "low": None, "high": None, "n": 1}}}, "an interval is unknown"),
    ],
)
def test_rounds_that_lack_something_are_no_foreign_file(tmp_path, more, why):
    row = fig18(tmp_path, **{"saturated_after": {"easy": 0}, "rest": {}, **more})
    assert row["verdict"] == UNASKED
    assert why in row["why"]


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        '{"figure": 3}',
        '{"figure": "fig99", "claims": []}',
        '{"systems": [1]}',
        '{"systems": [{"saturated_after": 1}]}',
        "{",
    ],
)
def test_other_files_are_a_line_each(tmp_path, content):
    paths = [tmp_path / "one.json", tmp_path / "other.json"]
    for path in paths:
        path.write_text(content)
    with pytest.raises(InputError) as error:
        collect_claims(paths)
    assert len(error.value.problems) == 2
    assert all(str(path) in line for path, line in zip(paths, error.value.problems, strict=True))


def test_two_runs_of_one_figure_are_refused(tmp_path):
    path = figure_file(tmp_path, "fig3")
    with pytest.raises(InputError, match="fig3 is there twice; give one run of each figure"):
        collect_claims([path, path])


@pytest.mark.parametrize("content", ["{}", '{"goals": 3, "commit": "c"}', '{"goals": {"a": 1}, "commit": "c"}', '{"goals": {}}'])
def test_other_goals_are_a_line(tmp_path, content):
    path = tmp_path / "goals.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"is no goals\.json; give one that"):
        decided_before(path)
