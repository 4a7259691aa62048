"""Goals against counts by hand on records that were written for it."""

import json
import math
import re
import statistics
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run_script
from hypothesis import given
from hypothesis import strategies as st

from infoagent.analysis.goals import OF_COMPRESSIONS, OF_PREDICTIONS, find_goals, read_evaluations, unclean
from infoagent.config import load_recipe
from infoagent.recipes import GoalsRecipe
from infoagent.recipes.goals import MEASURES, BoundSection
from infoagent.reporting.goals import goal_rows
from infoagent.reporting.json_tables import markdown_table
from infoagent.types import InputError

SPEC = ROOT / "eval/results/compressor/goals.yaml"
ENGLISH = "The committee has decided on the budget of the school and it will be published by the end of the month."
SPANISH = "El comité ha decidido sobre el presupuesto de la escuela y se publica antes del final del mes."


def compression(label, problem, tokens=10, kept=True, hard=0.3, data="records", document=None, **fields):
    """Two candidates: the InfoNCE term is log 2 − log(1 + e^−lead), so a lead gives the wished `hard`."""
    return {
        "key": f"{data}-{label}-{problem}", "kind": "compression", "status": "ok", "data": {"name": data, "split": "test"},
        "compressor": {"label": label, "kind": "lm", "prompt": {"budget_tokens": fields.pop("budget", None)}},
        "problem_id": problem, "document_id": document or problem, "document_key": document or problem, "sample": 0, "seed": 0,
        "rate_tokens": tokens, "candidates": ["source", "counterfactual"], "fact_kept": kept, "unsupported": [],
        "log_probs": [-math.log(2 / math.exp(hard) - 1), 0.0], "text": ENGLISH, **fields,
    }  # fmt: skip


def prediction(of, correct, predictor="small"):
    same = {key: of[key] for key in ("compressor", "data", "problem_id", "document_id", "sample", "seed")}
    answer = {"correct": correct, "answer_nll_nats": 2.0 if correct else 4.0, "predictor": {"label": predictor}}
    return {"key": f"{of['key']}-{predictor}", "kind": "prediction", "status": "ok", "compression_key": of["key"], **same, **answer}


def directory(path, rows, texts=None, **run):
    path.mkdir(parents=True, exist_ok=True)
    (path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    documents = [{"document_key": key, "text": text} for key, text in (texts or {}).items()]
    (path / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (path / "run.json").write_text(json.dumps({"kind": "evaluate", "recipe": {}, "commit": "c" * 40, **run}))
    return str(path)


def goal(*bounds, data="records", compressor="new", name="g"):
    return {"id": name, "goal": "in words", "data": data, "compressor": compressor, "bounds": list(bounds)}


def decide(tmp_path, evaluations, *goals, **spec):
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump({"goals": list(goals), **spec}))
    return find_goals(load_recipe(GoalsRecipe, file), read_evaluations(evaluations), tmp_path)


def one(tmp_path, rows, bound, texts=None, **spec):
    """The only bound of the only goal."""
    decided, undecided = decide(tmp_path, [directory(tmp_path / "e", rows, texts)], goal(bound), **spec)
    assert not undecided, undecided
    return decided["g"]["bounds"][0]


# p1 and p2 are questions on one document d, which counts once
ROWS = [
    compression("new", "p1", 10, True, 0.5, document="d"), compression("old", "p1", 30, True, 0.2, document="d"),
    compression("new", "p2", 20, False, 0.1, document="d"), compression("old", "p2", 20, True, 0.1, document="d"),
    compression("new", "p3", 9, True, 0.6, document="e"), compression("old", "p3", 45, False, 0.3, document="e"),
    compression("old", "p4", 99, True, 0.6, document="f"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ({"measure": "fact_kept", "at_least": 0.75}, (0.5 + 1) / 2),
        ({"measure": "tokens", "at_most": 12}, (15 + 9) / 2),
        ({"measure": "hard_nats", "at_least": 0.45}, (0.3 + 0.6) / 2),
        ({"measure": "hard_nats", "against": "old", "at_least": 0.22}, ((0.3 + 0.0) / 2 + 0.3) / 2),
        ({"measure": "fact_kept", "against": "old", "at_least": 0}, ((0 - 1) / 2 + 1) / 2),
        ({"measure": "tokens_ratio", "against": "old", "at_most": 0.5}, 12 / 35),
        ({"measure": "unsupported", "at_most": 0}, 0.0),
    ],
)
def test_numbers_by_hand(tmp_path, bound, value):
    row = one(tmp_path, ROWS, bound)
    assert row["value"] == pytest.approx(value)
    assert row["met"]
    assert (row["n"], row["documents"], row["failed"], row["left_out"]) == (3, 2, 0, 0)
    if "against" in bound:
        assert (row["unpaired"], row["against"]) == (1, ["old"])


def test_the_interval_is_t_over_documents(tmp_path):
    row = one(tmp_path, ROWS, {"measure": "tokens", "at_most": 12})
    assert row["high"] - row["value"] == pytest.approx(12.706 * statistics.stdev([15, 9]) / math.sqrt(2), rel=1e-4)


def test_the_error_of_a_ratio_is_the_delta_method(tmp_path):
    rows = [compression(*row) for i in range(6) for row in (("new", f"p{i}", 10 + i), ("old", f"p{i}", 30 + 4 * (i % 3)))]
    row = one(tmp_path, rows, {"measure": "tokens_ratio", "against": "old", "at_most": 1})
    new, old = [10 + i for i in range(6)], [30 + 4 * (i % 3) for i in range(6)]
    ratio = sum(new) / sum(old)
    spread = statistics.stdev(n - ratio * o for n, o in zip(new, old, strict=True)) / statistics.mean(old)
    assert row["value"] == pytest.approx(ratio)
    assert row["high"] - ratio == pytest.approx(2.5706 * spread / math.sqrt(6), rel=1e-4)


def test_above_zero_is_decided_on_the_interval(tmp_path):
    bound = {"measure": "hard_nats", "against": "old", "interval_above": 0}
    row = one(tmp_path, ROWS, bound)
    assert row["value"] > 0 > row["low"]
    assert not row["met"]
    alone = directory(tmp_path / "one", ROWS[:2])
    decided, undecided = decide(tmp_path, [alone], goal(bound))
    assert not decided
    assert undecided == {"g": ["hard_nats: its interval is unknown (1 documents)"]}
    alike = [compression(label, f"p{i}", hard=hard) for i in range(2) for label, hard in (("new", 0.5), ("old", 0.3))]
    _, undecided = decide(tmp_path, [directory(tmp_path / "alike", alike)], goal(bound))
    assert undecided == {"g": ["hard_nats: its interval is unknown (2 documents, which all differ by the same)"]}


def test_a_goal_is_met_where_all_its_bounds_are(tmp_path):
    evaluation = directory(tmp_path / "e", ROWS)
    facts, short = {"measure": "fact_kept", "at_least": 0.75}, {"measure": "tokens", "at_most": 11}
    decided, _ = decide(tmp_path, [evaluation], goal(facts, name="a"), goal(facts, short, name="b"))
    assert decided["a"]["met"]
    assert not decided["b"]["met"]
    assert [bound["met"] for bound in decided["b"]["bounds"]] == [True, False]
    assert {key: decided["b"][key] for key in ("value", "n", "goal")} == {"value": 0.75, "n": 3, "goal": "in words"}


def test_lengths_that_were_asked_for(tmp_path):
    rows = [compression("new", f"p{i}", tokens, budget=10) for i, tokens in enumerate([8, 9, 10, 11, 15])]
    row = one(tmp_path, rows, {"measure": "adherence", "at_most": 0.1})
    assert row["value"] == pytest.approx(0.1)
    _, undecided = decide(tmp_path, [directory(tmp_path / "e", ROWS)], goal({"measure": "adherence", "at_most": 0.1}))
    assert undecided == {"g": ["adherence is known of no record of 'new' on 'records'"]}


def test_the_language_is_that_of_the_document(tmp_path):
    rows = [compression("new", "p1"), compression("new", "p2", text=SPANISH), compression("new", "p3", text="308")]
    texts = {"p1": ENGLISH * 2, "p2": ENGLISH * 2, "p3": ENGLISH * 2}
    row = one(tmp_path, rows, {"measure": "language_kept", "at_least": 0.95}, texts)
    assert (row["value"], row["n"], row["left_out"], row["met"]) == (0.5, 2, 1, False)


def test_accuracy_is_of_a_predictor(tmp_path):
    answers = [prediction(row, row["problem_id"] != "p2") for row in ROWS[::2]]
    row = one(tmp_path, ROWS + answers, {"measure": "accuracy", "at_least": 0.75})
    assert (row["value"], row["met"]) == (0.75, True)
    row = one(tmp_path, ROWS + answers, {"measure": "answer_nll_nats", "at_most": 2.5})
    assert row["value"] == pytest.approx((3 + 2) / 2)
    more = [prediction(row, False, "large") for row in ROWS[::2]]
    two = directory(tmp_path / "e", ROWS + answers + more)
    decided, undecided = decide(
        tmp_path,
        [two],
        goal({"measure": "accuracy", "at_least": 0.5}),
        goal({"measure": "accuracy", "predictor": "large", "at_least": 0.5}, name="large"),
    )
    assert "set predictor to one of small, large" in undecided["g"][0]
    assert decided["large"]["value"] == 0


def test_seeds_are_pooled_and_clustered_by_document(tmp_path):
    rows = [compression(label, f"p{i}", 10 + i + 2 * s) for i in range(3) for s, label in enumerate(("s0", "s1"))]
    row = one(tmp_path, rows, {"measure": "tokens", "at_most": 12}, labels={"new": ["s0", "s1"]})
    assert (row["value"], row["n"], row["documents"]) == (12, 3, 3)


def test_failures_are_counted_and_no_value(tmp_path):
    failed = compression("new", "p9", status="failed", cause="scoring", rate_tokens=None, log_probs=None)
    row = one(tmp_path, [*ROWS, failed], {"measure": "tokens", "at_most": 12})
    assert (row["value"], row["failed"]) == (12, 1)


def test_compressions_that_failed_are_missing_from_what_a_predictor_made_of_them(tmp_path):
    failed = [compression("new", f"q{i}", status="failed", cause="form", rate_tokens=None, log_probs=None) for i in range(6)]
    answers = [prediction(row, True) for row in ROWS[::2]]
    row = one(tmp_path, [*ROWS, *failed, *answers], {"measure": "accuracy", "at_least": 0.9})
    assert (row["value"], row["n"], row["failed"]) == (1.0, 3, 6)


def test_sets_of_one_name_are_told_apart_by_their_directories(tmp_path):
    evaluations = [
        f"{name}={directory(tmp_path / name, [compression('new', f'p{i}', tokens, data='jsonl') for i in range(2)])}"
        for name, tokens in (("qed", 10), ("tatqa", 20))
    ]
    tokens = {"measure": "tokens", "at_most": 15}
    goals = [goal(tokens, data=data, name=str(data)) for data in ("qed", "tatqa", ["qed", "tatqa"])]
    decided, _ = decide(tmp_path, evaluations, *goals)
    assert [decided[str(d)]["value"] for d in ("qed", "tatqa", ["qed", "tatqa"])] == [10, 20, 15]
    assert decided["['qed', 'tatqa']"]["n"] == 4, "problems of one name in two sets are two"
    both = directory(tmp_path / "both", [*ROWS, compression("new", "p1", data="jsonl")])
    with pytest.raises(InputError, match="holds several data sets"):
        read_evaluations([f"qed={both}"])


def test_of_a_compressor_measured_anew_the_last_counts(tmp_path):
    other = {"label": "new", "kind": "lm", "adapter_revision": "second"}
    again = [{**row, "key": row["key"] + "2", "compressor": other, "rate_tokens": 40} for row in ROWS[::2]]
    assert one(tmp_path, ROWS + again, {"measure": "tokens", "at_most": 12})["value"] == 40


def test_what_was_chosen_on_is_not_reported_on(tmp_path):
    rows = [compression("new", f"p{i}", data="records") | {"data": {"name": "records", "split": "validation"}} for i in range(3)]
    _, undecided = decide(tmp_path, [directory(tmp_path / "e", rows)], goal({"measure": "tokens", "at_most": 12}))
    assert "split 'validation'" in undecided["g"][0]


def test_pairs_among_other_negatives_are_refused(tmp_path):
    more = {"candidates": ["source", "counterfactual", "counterfactual"], "log_probs": [1.0, 0.0, 0.0]}
    rows = [compression("new", "p1"), compression("old", "p1", **more)]
    bound = {"measure": "hard_nats", "against": "old", "at_least": 0}
    _, undecided = decide(tmp_path, [directory(tmp_path / "e", rows)], goal(bound))
    assert "different numbers of counterfactuals" in undecided["g"][0]


def test_what_is_missing_is_named_once(tmp_path):
    two = [{"measure": "tokens", "at_most": 12}, {"measure": "fact_kept", "at_least": 0.9}]
    decided, undecided = decide(
        tmp_path,
        [directory(tmp_path / "e", ROWS)],
        goal(*two, compressor="best", name="a"),
        goal(*two, data="squad", name="b"),
        goal(*two, name="c"),
        fewest_questions=3,
    )
    assert list(decided) == ["c"]
    assert undecided == {
        "a": ["no records of compressor 'best' on 'records'; there are new, old"],
        "b": ["no records of data 'squad', give squad=DIR; there are records"],
    }
    _, undecided = decide(tmp_path, [str(tmp_path / "e")], goal(two[0]), fewest_questions=150)
    assert undecided == {"g": ["tokens is known of 3 questions on 'records', at least 150 are wanted"]}


def test_a_number_may_stand_in_a_file(tmp_path):
    (tmp_path / "bench.json").write_text(
        json.dumps({"minutes": 9.5, "share": {"value": 0.2, "low": 0.1, "high": None}, "on": True})
    )
    places = [{"json_place": "bench.json > minutes", "at_most": 10}, {"json_place": "bench.json > share", "at_most": 0.15}]
    goals = [{"id": str(i), "goal": "fast", "bounds": [place]} for i, place in enumerate(places)]
    wrong = ["bench.json > hours", "bench.json > on", "nothing.json > minutes", "bench.json > minutes > deeper"]
    goals += [{"id": place, "goal": "fast", "bounds": [{"json_place": place, "at_most": 1}]} for place in wrong]
    decided, undecided = decide(tmp_path, [directory(tmp_path / "e", ROWS)], *goals)
    assert [(decided[i]["value"], decided[i]["met"], decided[i]["n"]) for i in "01"] == [(9.5, True, None), (0.2, False, None)]
    assert list(undecided) == wrong
    assert all(len(causes) == 1 for causes in undecided.values())


NUMBERS = st.floats(-100, 100)


@given(NUMBERS, st.floats(0, 10) | st.just(math.nan), NUMBERS, st.sampled_from(["at_least", "at_most", "interval_above"]))
def test_met_is_what_the_bound_says(value, half, limit, kind):
    kept = BoundSection(measure="tokens", **{kind: limit}).is_kept_by(value, value - half)
    naive = {"at_least": not value < limit, "at_most": not value > limit, "interval_above": (value - half) > limit}
    assert kept == naive[kind]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(1, 60))
def test_a_goal_on_any_lengths_is_met_where_their_mean_is_short(tmp_path_factory, lengths, limit):
    rows = [compression("new", f"p{i}", tokens) for i, tokens in enumerate(lengths)]
    row = one(tmp_path_factory.mktemp("any"), rows, {"measure": "tokens", "at_most": limit})
    assert row["value"] == pytest.approx(sum(lengths) / len(lengths))
    assert row["met"] == (row["value"] <= limit)


# ---- the specification ---------------------------------------------------------------------------------------------


def test_every_measure_is_computed():
    assert sorted(MEASURES) == sorted([*OF_COMPRESSIONS, *OF_PREDICTIONS])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at_most": 3}, "needs one of at_least, at_most, interval_above"),
        ({"json_place": "a.json > b"}, "needs measure or json_place"),
        ({"measure": "tokens_ratio"}, "is of two compressors; set against"),
        ({"measure": "adherence", "against": "old"}, "is of one compressor; drop against"),
        ({"predictor": "small"}, "asks no predictor"),
        ({"measure": "acuracy"}, "'accuracy'"),
    ],
)
def test_a_wrong_bound_is_one_line(tmp_path, changes, said):
    bound = {"measure": "tokens", "at_least": 1, **changes}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"goals": [goal(bound)]}))
    with pytest.raises(InputError) as raised:
        load_recipe(GoalsRecipe, tmp_path / "s.yaml")
    assert len(raised.value.problems) == 1
    assert said in raised.value.problems[0]


def test_whose_number_and_ids(tmp_path):
    for content, said in (
        ({"goals": [{"id": "a", "goal": "b", "bounds": [{"measure": "tokens", "at_most": 1}]}]}, "set data and compressor"),
        ({"goals": [goal({"json_place": "a > b", "at_most": 1})]}, "drop data and compressor"),
        ({"goals": [goal({"measure": "tokens", "at_most": 1})] * 2}, "'g' stands twice"),
    ):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(InputError, match=said):
            load_recipe(GoalsRecipe, tmp_path / "s.yaml")


def test_records_and_checkout_must_be_of_a_commit(tmp_path):
    clean = read_evaluations([directory(tmp_path / "clean", ROWS)])
    changed = read_evaluations([directory(tmp_path / "changed", ROWS, commit="d" * 40 + "+changes")])
    assert unclean("a" * 40, clean) == []
    assert len(unclean("a" * 40 + "+changes", changed)) == 2
    (tmp_path / "clean" / "run.json").unlink()
    assert unclean("a" * 40, read_evaluations([str(tmp_path / "clean")])) == [f"{tmp_path / 'clean'}: commit unknown"]


# ---- the command ---------------------------------------------------------------------------------------------------


def spec_of(tmp_path):
    tokens, above = {"measure": "tokens", "at_most": 12}, {"measure": "hard_nats", "against": "old", "interval_above": 0}
    content = {"labels": {"new": "later"}, "goals": [goal(tokens, name="short"), goal(above, data="qed", name="above")]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content))
    return str(tmp_path / "spec.yaml")


def test_the_command_writes_what_it_found(tmp_path):
    spec, out = spec_of(tmp_path), tmp_path / "out"
    records = directory(tmp_path / "records", ROWS)
    qed = directory(tmp_path / "other", [{**row, "data": {"name": "jsonl"}} for row in ROWS])
    call = ["eval/goals.py", spec, records, f"qed={qed}", "--set", "labels.new=new", "--out", str(out), "--dirty"]
    done = run_script(*call)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 goals met, 0 undecided" in done.stdout
    written = json.loads((out / "goals.json").read_text())
    assert {"commit", "command", "goals"} <= set(written)
    assert all({"value", "low", "high", "n", "goal", "met"} <= set(found) for found in written["goals"].values())
    assert {name: found["met"] for name, found in written["goals"].items()} == {"short": True, "above": False}
    assert [made["data"] for made in written["evaluations"]] == [["records"], ["qed"]]
    assert "| hard_nats − old | interval above 0 |" in (out / "goals.md").read_text()
    assert run_script(*call).returncode == 0, "its own output is replaced"


def test_what_cannot_be_decided_is_an_error_or_told(tmp_path):
    spec, out = spec_of(tmp_path), tmp_path / "out"
    records = directory(tmp_path / "records", ROWS, commit="unknown")
    call = ["eval/goals.py", spec, records, "--out", str(out), "--set", "labels.new=new"]
    failed = run_script(*call, "--dirty")
    assert failed.returncode == 2
    assert failed.stderr == "error: goal 'above': no records of data 'qed', give qed=DIR; there are records\n"
    changed = run_script(*call, "--partial")
    assert changed.returncode == 2
    assert f"{records}: commit unknown; commit and evaluate again" in changed.stderr
    assert not out.exists()
    part = run_script(*call, "--partial", "--dirty")
    assert part.returncode == 0, part.stderr
    written = json.loads((out / "goals.json").read_text())
    assert list(written["goals"]) == ["short"]
    assert written["undecided"] == {"above": ["no records of data 'qed', give qed=DIR; there are records"]}
    assert any("commit unknown" in line for line in written["dirty"])


def test_what_was_decided_before_stands_where_records_decide_nothing(tmp_path):
    spec, out = spec_of(tmp_path), tmp_path / "out"
    records = directory(tmp_path / "records", ROWS, commit="unknown")
    qed = directory(tmp_path / "other", [{**row, "data": {"name": "jsonl"}} for row in ROWS])
    rest = ["--set", "labels.new=new", "--out", str(out), "--partial", "--dirty"]
    assert run_script("eval/goals.py", spec, records, *rest).returncode == 0
    first = json.loads((out / "goals.json").read_text())
    done = run_script("eval/goals.py", spec, f"qed={qed}", *rest, "--goals", str(out / "goals.json"))
    assert done.returncode == 0, done.stderr
    both = json.loads((out / "goals.json").read_text())
    assert list(both["goals"]) == ["short", "above"]
    assert "undecided" not in both
    assert both["goals"]["short"] == {**first["goals"]["short"], "commit": first["commit"]}
    assert "commit" not in both["goals"]["above"], "decided now, at the file's own commit"
    assert [made["data"] for made in both["evaluations"]] == [["records"], ["qed"]]
    assert f"{out / 'goals.json'}: {records}: commit unknown" in both["dirty"]
    clean = [word for word in rest if word != "--dirty"]
    refused = run_script("eval/goals.py", spec, f"qed={qed}", *clean, "--goals", str(out / "goals.json"))
    assert refused.returncode == 2
    assert f"{records}: commit unknown; commit and evaluate again" in refused.stderr
    other = run_script("eval/goals.py", spec, f"qed={qed}", *rest, "--goals", str(out / "goals.json"), "--set", "labels.new=old")
    assert other.returncode == 0, other.stderr
    assert "short" in json.loads((out / "goals.json").read_text())["undecided"], "another compressor's tokens"
    (out / "goals.json").write_text(json.dumps(both))
    asked = yaml.safe_load(Path(spec).read_text())
    asked["goals"][0]["bounds"][0]["at_most"] = 11
    Path(spec).write_text(yaml.safe_dump(asked))
    other = run_script("eval/goals.py", spec, f"qed={qed}", *rest, "--goals", str(out / "goals.json"))
    assert other.returncode == 0, other.stderr
    assert list(json.loads((out / "goals.json").read_text())["undecided"]) == ["short"], "another bound was decided then"


def test_an_interval_that_is_not_known_is_said_of_a_file_too():
    bound = {"measure": "tokens", "bound": "at most 12", "n": None, "met": True, "value": 9.75}
    for unknown in (None, math.nan):
        [row] = goal_rows({"g": {"goal": "in words", "bounds": [{**bound, "low": unknown, "high": unknown}]}}, {})
        assert "9.75 (interval unknown)" in row


def test_the_page_has_a_recipe_for_every_goal(tmp_path):
    recipe = load_recipe(GoalsRecipe, SPEC)
    tables = re.findall(r"<!-- table\n(.*?)-->", (SPEC.parent / "README.md").read_text(), re.DOTALL)
    [table] = [table for table in tables if "goals.json" in table]
    ids = [row["id"] for row in yaml.safe_load(table)["rows"]]
    assert ids == [asked.id for asked in recipe.goals]
    found = {name: {"value": 0.5, "low": None, "high": None, "n": 3, "met": False, "goal": "in words"} for name in ids}
    (tmp_path / "goals.json").write_text(json.dumps({"goals": found}))
    assert len(markdown_table(table, tmp_path).splitlines()) == len(ids) + 2
