"""A data set is a loader and a row: one that is added from outside is known everywhere."""

import json

import pytest

from infoagent.cli import main
from infoagent.data.reading.hub import Hub
from infoagent.data.registry import DATA_SETS, Asked, DataSet, load_data
from infoagent.data.revisions import digest
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.recipes import DataSection, EvaluationRecipe
from infoagent.training.trainable import check_trainable, load_trainable
from infoagent.types import InputError, Problem, ProblemSet

ASKED = []


def tides(asked: Asked) -> ProblemSet:
    """A document for each harbour, of 9 to 14 words; twelve to train on and six for each other split."""
    ASKED.append(asked)
    numbers = range(12) if asked.split == "train" else range(12, 18)
    texts = [f"At harbour {i} high water stands at {3 + i} metres{' by day' * (i % 4)}." for i in numbers]
    problems = tuple(
        Problem(f"tide-{i}", text, f"How high at harbour {i}?", f"harbour-{i}", answer=f"{3 + i} metres")
        for i, text in zip(numbers, texts, strict=True)
    )
    return ProblemSet("tides", digest(problems), asked.split, problems)


ROW = DataSet("tides", "high water of harbours", tides)


@pytest.fixture
def added(monkeypatch):
    def add(row=ROW):
        monkeypatch.setitem(DATA_SETS, row.name, row)
        ASKED.clear()

    add()
    return add


def mistakes(call, *arguments, **settings):
    with pytest.raises(InputError) as error:
        call(*arguments, **settings)
    return "\n".join(error.value.problems)


@pytest.mark.usefixtures("added")
def test_it_is_listed_shown_and_loaded_by_its_name(capsys):
    assert main(["data", "ls"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tides ")]
    assert line.split(maxsplit=3)[1:] == ["built", "in", "high water of harbours"]
    assert main(["data", "show", "tides", "data.split=test", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["problems"], shown["documents"]) == ("tides", 6, 6)
    assert shown["revision"] == load_data("tides").revision
    assert len(load_data("tides", limit=4)) == 4
    assert "tides" in mistakes(load_data, "elevations")
    assert "did you mean 'tides'?" in mistakes(load_data, "tide")


@pytest.mark.usefixtures("added")
def test_recipes_evaluate_and_train_on_it():
    section = DataSection(name="tides", split="train", limit=5, seed=3)
    [loaded] = load_trainable([section])
    assert len(loaded) == 5
    assert (ASKED[-1].split, ASKED[-1].seed, ASKED[-1].limit) == ("train", 3, 5)
    recipe = EvaluationRecipe.model_validate(
        {
            "output_dir": "x",
            "data": [{"name": "tides"}],
            "compressors": [{"label": "lead", "kind": "lead", "sentences": 1}],
            "negatives": {"random": 2, "counterfactual": 0},
            "cost": {"gflops_per_second": 100.0},
        }
    )
    assert "tides" in describe_evaluation(recipe)


def test_a_row_decides_what_its_set_takes(added, tmp_path):
    hub = Hub("harbours/tides", {"test": ("test",)}, "0" * 40)
    commit = {"revision": "1" * 40}
    assert "built in and takes no path" in mistakes(load_data, "tides", "file.json")
    assert "on it are" in mistakes(load_data, "tides", **commit)
    told = mistakes(load_data, "tides", questions="q", evidence_tokens=5, skip_bad_files=True)
    assert told.count("data.name=tides has its own questions; without any are text, wildchat, fineweb") == 1
    assert "is for data.name=financebench; drop it" in told
    assert "is for the files of data.name=text; drop it" in told
    added(DataSet("tides", "high water", tides, needs_path=True, hub=hub, evaluation_only=True, takes=("questions",)))
    asked = {"path": "file.json", "questions": "q", **commit}
    loaded = load_data("tides", min_words=10, **asked)
    assert ASKED[-1].hub == ("file.json", "test", "1" * 40)
    assert 0 < len(loaded) < 6
    assert sum(loaded.left_out.values()) == 6 - len(loaded)
    assert "on it are financebench, qasper" in mistakes(load_data, "records", **commit)
    assert "tides" in mistakes(load_data, "records", **commit)
    assert "without any are text, wildchat, fineweb, tides" in mistakes(load_data, "records", questions="q")
    assert "tides is for evaluation only" in mistakes(load_data, "tides", split="train")
    assert "'tides': is for evaluation only" in mistakes(check_trainable, [DataSection(name="tides", split="all")])
    assert "data.revision=COMMIT" not in DATA_SETS["tides"].line
    assert "harbours/tides at 000000000000" in DATA_SETS["tides"].line


def test_what_a_row_must_say():
    with pytest.raises(TypeError, match="load"):
        DataSet("tides", "high water of harbours")
    with pytest.raises(TypeError, match="limt"):
        load_data("records", limt=3)
