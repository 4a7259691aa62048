"""A built-in set is known by what comes out of it: not by its source, and by all of its text."""

import dataclasses
import json
import subprocess
import sys

import pytest
from conftest import ROOT

from infoagent.data.registry import DATA_SETS, load_data
from infoagent.data.revisions import FORMERLY, digest, same_data
from infoagent.data.sets import (
    compactions,
    continuations,
    hard_records,
    histories,
    python_functions,
    python_reference,
    record_templates,
    records,
    shannon,
    statements,
    word_problems,
)
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.lm.models import resolve
from infoagent.recipes import GRPORecipe
from infoagent.recipes.dpo import DPORecipe
from infoagent.training.run_directory import RECORD_FILE, check_same_sources, checkpoint_facts
from infoagent.types import InputError, Negative, Problem

PINNED = {
    "records-unanswerable": (lambda: hard_records.revision("records-unanswerable"), "sha256:f799f3492ea13480"),
    "records-contradictory": (lambda: hard_records.revision("records-contradictory"), "sha256:c5be20981fbd8c57"),
    "records-two-facts": (lambda: hard_records.revision("records-two-facts"), "sha256:88d90e34e9467f63"),
    "records": (records.revision, "sha256:475cd76176a99249"),
    "shannon": (shannon.revision, "sha256:e2ff44537afe3c5f"),
    "shannon-turns": (shannon.turns_revision, "sha256:fd80d2f220b6c848"),
    "record-histories": (compactions.seeded_revision, "sha256:55d498746823556f"),
    "word-problems": (word_problems.revision, "sha256:c024919acb58438c"),
    "python-functions": (python_functions.revision, "sha256:e3481721431137c7"),
    "histories": (histories.records_revision, "sha256:d74c9e4ceaa46c01"),
}
OF_PYTHON_3_11 = {
    "python-reference": (python_reference.revision, "sha256:7632fd03fc294686"),
    "continuations": (continuations.revision, "sha256:addb48b769142d2f"),
}
PROBLEM = Problem(
    "a", "It is 4 degrees – cold.", "How cold?", "a", answer="4 degrees", negatives=(Negative("counterfactual", "b"),)
)


@pytest.mark.parametrize("name", PINNED)
def test_the_text_of_a_built_in_set_is_the_one_that_results_were_made_on(name):
    """Where this fails the text changed: give the new identity, and let FORMERLY forget the old one."""
    revision, pinned = PINNED[name]
    assert revision() == pinned


def test_former_identities_are_of_texts_as_they_are_today():
    before = ("records", "shannon", "word-problems", "python-functions", "histories")
    assert {PINNED[name][1] for name in before} == set(FORMERLY)


def test_every_built_in_set_is_pinned():
    built_in = {d.name for d in DATA_SETS.values() if not d.needs_path}
    missing = built_in - {*PINNED, *OF_PYTHON_3_11}
    assert not missing, f"add a row to PINNED for {', '.join(sorted(missing))}: its revision() and what that gives today"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the text comes with Python, another with each version")
@pytest.mark.parametrize("name", OF_PYTHON_3_11)
def test_the_python_reference_of_3_11_is_the_one_that_results_were_made_on(name):
    revision, pinned = OF_PYTHON_3_11[name]
    assert revision() == pinned


def test_sets_carry_their_identity():
    for name in ("records", "shannon", "word-problems", "python-functions"):
        assert load_data(name, limit=1).revision == PINNED[name][0]()
    for name in ("python-reference", "continuations"):
        assert load_data(name).revision == OF_PYTHON_3_11[name][0]()
    assert load_histories("records", Wanted(3, 1, 3), limit=1).revision == histories.records_revision()


def test_every_wording_of_the_records_counts(monkeypatch):
    before = records.revision()
    for place, kind in enumerate(record_templates.KINDS):
        for number, fact in enumerate(kind.facts):
            other = dataclasses.replace(fact, questions=(*fact.questions[:-1], fact.questions[-1] + " "))
            facts = (*kind.facts[:number], other, *kind.facts[number + 1 :])
            kinds = list(record_templates.KINDS)
            kinds[place] = dataclasses.replace(kind, facts=facts)
            monkeypatch.setattr(records, "KINDS", tuple(kinds))
            # what is drawn stays as it was, and only the wording is another
            monkeypatch.setattr(records, "make_problem", lambda *wanted: PROBLEM)
            changed = records.revision.__wrapped__()
            monkeypatch.setattr(records, "KINDS", record_templates.KINDS)
            assert changed != records.revision.__wrapped__(), fact.key
            monkeypatch.undo()
    assert records.revision.__wrapped__() == before


def test_a_change_in_any_module_that_writes_the_text_is_a_change_of_identity(monkeypatch):
    before = {name: revision() for name, (revision, _) in (PINNED | OF_PYTHON_3_11).items()}
    text = statements.Layout.text
    monkeypatch.setattr(statements.Layout, "text", lambda self, parts: text(self, parts).replace(".", ";", 1))
    for name in ("word-problems", "python-functions"):
        assert PINNED[name][0].__wrapped__() != before[name], name
    monkeypatch.setattr(records, "_CLOSINGS", records._CLOSINGS | {"letter": "\n\nYours,\nthe records office"})
    assert records.revision.__wrapped__() != before["records"]
    monkeypatch.setattr(shannon, "MARK", "#")
    assert shannon.revision.__wrapped__() != before["shannon"]
    monkeypatch.setattr(histories.records, "other_values", lambda fact, value, n, rng: [f"{value} {i}" for i in range(n)])
    assert histories.records_revision.__wrapped__() != before["histories"]
    cut = python_reference.cut_prose

    def without_the_first(*args, **more):
        passages, left_out = cut(*args, **more)
        return passages[1:], left_out

    monkeypatch.setattr(python_reference, "cut_prose", without_the_first)
    assert python_reference.revision.__wrapped__() != before["python-reference"]
    assert continuations.revision.__wrapped__() != before["continuations"]


def test_the_identity_does_not_know_the_source(tmp_path):
    """The same modules, laid elsewhere and with another layout of their lines, give the same."""
    import shutil

    shutil.copytree(ROOT / "infoagent", tmp_path / "infoagent", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("records", "record_templates", "statements", "shannon"):
        path = tmp_path / "infoagent" / "data" / "sets" / f"{name}.py"
        path.write_text(path.read_text().replace("\n\n\n", "\n\n\n\n# moved\n\n"))
    code = "from infoagent.data.sets import records, shannon; print(records.__file__, records.revision(), shannon.revision())"
    path, *found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    ).stdout.split()
    assert path.startswith(str(tmp_path))
    assert found == [records.revision(), shannon.revision()]


def test_the_digest_reads_every_field_that_is_not_at_its_default():
    assert digest([PROBLEM]) == digest([dataclasses.replace(PROBLEM)])
    for change in (
        {"document": "It is 4 degrees - cold."},
        {"query": "How cold"},
        {"answer": None},
        {"choices": ("a", "b")},
        {"negatives": ()},
        {"negatives": (Negative("counterfactual", "c"),)},
        {"group": ""},
        {"needs": ()},
    ):
        assert digest([dataclasses.replace(PROBLEM, **change)]) != digest([PROBLEM]), change
    assert digest([PROBLEM, PROBLEM]) != digest([PROBLEM])

    @dataclasses.dataclass(frozen=True)
    class Longer(Problem):
        added: tuple[str, ...] = ()

    longer = Longer(**{f.name: getattr(PROBLEM, f.name) for f in dataclasses.fields(PROBLEM)})
    assert digest([longer]) == digest([PROBLEM])


def test_identities_of_before_are_of_the_same_text(tmp_path):
    new, old = PINNED["records"][1], "sha256:9decff2a2d28089b"
    assert same_data(old, new)
    assert same_data(new, old)
    assert same_data(old, "sha256:d8d064308ba4cc4e")  # two sources of before, one text
    assert not same_data(old, "sha256:412923300c33b47a")  # whose text was another
    python, words = "sha256:37b51a0283fe8609", PINNED["word-problems"][1]
    assert same_data(f"{old} + {python}", f"{new} + {python}")
    assert same_data(f"{old} + sha256:55403e4563bd29b9", f"{new} + {words}")
    assert not same_data(f"{old} + {python}", new)
    assert not same_data(f"{old} + {python}", f"{python} + {new}")

    (tmp_path / RECORD_FILE).write_text(json.dumps({"data_revision": old, "base_revision": "b"}))
    check_same_sources(tmp_path, {"data_revision": new, "base_revision": "b"})
    with pytest.raises(InputError, match="data_revision was"):
        check_same_sources(tmp_path, {"data_revision": python, "base_revision": "b"})
    with pytest.raises(InputError, match="base_revision was b"):
        check_same_sources(tmp_path, {"data_revision": new, "base_revision": "c"})


def test_samples_of_another_run_that_went_on_are_told_before_a_resume(tmp_path, tiny_dir):
    """They would be other pairs, and another number of steps."""
    (tmp_path / "sft").mkdir()
    samples = tmp_path / "sft" / "candidates.jsonl"
    samples.write_text("{}\n")
    for recipe in (
        DPORecipe(output_dir="x", candidates=[str(samples.parent)]),
        GRPORecipe(output_dir="x", grpo={"proposals": [str(samples.parent)], "beta": 0}),
    ):
        facts = checkpoint_facts(recipe, resolve(str(tiny_dir)), "sha256:1")
        (tmp_path / RECORD_FILE).write_text(json.dumps(facts))
        check_same_sources(tmp_path, facts)
        samples.write_text(samples.read_text() + "{}\n")
        with pytest.raises(InputError, match="samples_read was sha256"):
            check_same_sources(tmp_path, checkpoint_facts(recipe, resolve(str(tiny_dir)), "sha256:1"))
    assert "samples_read" not in checkpoint_facts(GRPORecipe(output_dir="x"), resolve(str(tiny_dir)), "sha256:1")


def test_the_baseline_on_records_compares_with_the_set_of_today():
    held = json.loads((ROOT / "eval" / "baselines" / "smollm2-135m.json").read_text())
    revisions = {s["data"]["name"]: s["data"]["revision"] for s in held["summaries"]}
    assert set(revisions) == {"records", "python-reference"}
    assert same_data(revisions["records"], PINNED["records"][1])
    # whose passages were cut otherwise then
    assert not same_data(revisions["python-reference"], OF_PYTHON_3_11["python-reference"][1])
