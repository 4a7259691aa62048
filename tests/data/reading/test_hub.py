"""Where published sets come from: the pinned revision on the hub, or a file; what is refused in one line."""

import hashlib
import json
from pathlib import Path

import pytest

from infoagent.cli import main
from infoagent.config import load_recipe
from infoagent.data.registry import DATA_SETS, load_data
from infoagent.recipes import DataSection
from infoagent.types import InputError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FUNCTION = {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "    pass\n", "entry_point": "f",
            "test": "def check(candidate):\n    candidate()\n"}  # fmt: skip
SOLVED = {"problem": "?", "level": "Level 1", "type": "Algebra", "solution": r"\boxed{2}"}


@pytest.fixture
def hub(monkeypatch):
    """datasets.load_dataset as a table of rows by hub id; what it was asked for is kept."""
    import datasets

    asked, rows = [], {"openai/openai_humaneval": [FUNCTION], "EleutherAI/hendrycks_math": [SOLVED]}

    def load_dataset(name, *configs, **settings):
        asked.append((name, *configs, settings))
        return datasets.Dataset.from_list(rows[name])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked, rows


def test_the_pinned_revision_is_asked_for_and_recorded(hub):
    asked, _ = hub
    pinned = DATA_SETS["humaneval"].hub.revision
    assert load_data("humaneval").revision == pinned
    assert load_data("humaneval", revision=COMMIT).revision == COMMIT
    caches = [settings.pop("cache_dir") for _, settings in asked]
    assert [cache.rsplit("/", 1)[1] for cache in caches] == [pinned, COMMIT]
    wanted = {"split": "test", "streaming": False}
    assert asked == [
        ("openai/openai_humaneval", {"revision": pinned, **wanted}),
        ("openai/openai_humaneval", {"revision": COMMIT, **wanted}),
    ]


def test_what_chooses_and_what_reports_come_from_different_splits_of_the_hub(hub):
    asked, _ = hub
    load_data("math", split="validation")
    assert {settings["split"] for _, _, settings in asked} == {"train"}
    assert [config for _, config, _ in asked] == [
        "algebra",
        "counting_and_probability",
        "geometry",
        "intermediate_algebra",
        "number_theory",
        "prealgebra",
        "precalculus",
    ]
    asked.clear()
    data = load_data("math", split="test")
    assert {settings["split"] for _, _, settings in asked} == {"test"}
    assert len({p.id for p in data.problems}) == 7
    for name in ("qasper", "math"):
        splits = DATA_SETS[name].hub.splits
        assert not set(splits["validation"]) & set(splits["test"])


def test_a_row_of_the_hub_is_named_with_its_split(hub):
    _, rows = hub
    rows["openai/openai_humaneval"] = [FUNCTION, {**FUNCTION, "task_id": "b", "prompt": ""}]
    with pytest.raises(InputError) as error:
        load_data("humaneval", revision=COMMIT)
    assert error.value.problems == [
        "openai/openai_humaneval@0123456789ab test: row 2: field 'prompt': must be a string that is not empty, this one is empty"
    ]


def test_only_a_commit_is_a_revision(hub):
    asked, _ = hub
    for branch in ("main", "refs/convert/parquet"):
        with pytest.raises(InputError, match="is a branch, which moves"):
            load_data("qasper", revision=branch)
    with pytest.raises(InputError) as error:
        load_data("financebench")
    [line] = error.value.problems
    assert "git ls-remote https://huggingface.co/datasets/PatronusAI/financebench main" in line
    assert asked == []
    for data in DATA_SETS.values():
        if data.hub is not None and data.hub.revision is not None:
            assert len(data.hub.revision) == 40
            assert set(data.hub.revision) <= set("0123456789abcdef")


@pytest.mark.parametrize("name", [d.name for d in DATA_SETS.values() if d.hub is not None])
def test_without_a_network_a_line_says_what_to_do(capsys, name):
    code = main(["data", "show", name, f"data.revision={COMMIT}"])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith(f"error: data.name={name}: {DATA_SETS[name].hub.id} at revision {COMMIT} cannot be read")
    assert "data.path=…" in captured.err
    assert captured.err.count("\n") == 1


def test_no_other_revision_stands_in_for_the_one_asked_for(tmp_path, monkeypatch):
    """Without a network `datasets` takes whatever it has in its cache; that must be of the same revision."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def store(cache, task):
        (tmp_path / "h.jsonl").write_text(json.dumps({**FUNCTION, "task_id": task}))
        loaded = datasets.load_dataset("json", data_files={"test": str(tmp_path / "h.jsonl")}, cache_dir=str(tmp_path / task))
        made = Path(loaded["test"].cache_files[0]["filename"]).parent
        home = cache / "openai___openai_humaneval" / "default" / "0.0.0" / "abc"
        home.mkdir(parents=True)
        for file in made.iterdir():
            (home / file.name.replace("json-", "openai_humaneval-")).write_bytes(file.read_bytes())
        info = json.loads((home / "dataset_info.json").read_text())
        (home / "dataset_info.json").write_text(json.dumps({**info, "config_name": "default"}))

    store(tmp_path / "cache", "other")
    trap = datasets.load_dataset("openai/openai_humaneval", revision=COMMIT, split="test")
    assert trap["task_id"] == ["other"]
    with pytest.raises(InputError, match="cannot be read from the hub"):
        load_data("humaneval", revision=COMMIT)
    store(tmp_path / "cache" / "pinned" / COMMIT, "same")
    assert [p.id for p in load_data("humaneval", revision=COMMIT).problems] == ["same"]


def test_a_full_disk_is_no_mistake_of_the_user(monkeypatch):
    import datasets

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(OSError, match="No space left"):
        load_data("humaneval")


def test_a_file_is_identified_by_its_bytes_and_a_folder_by_those_of_its_files(tmp_path):
    one, two = (json.dumps({**FUNCTION, "task_id": name}).encode() + b"\n" for name in "ab")
    (tmp_path / "1.jsonl").write_bytes(one)
    (tmp_path / "2.jsonl").write_bytes(b"\n" + two)
    (tmp_path / "README.md").write_text("not data")
    data = load_data("humaneval", str(tmp_path))
    assert [p.id for p in data.problems] == ["a", "b"]
    assert data.revision == "sha256:" + hashlib.sha256(one + b"\n" + two).hexdigest()[:16]
    single = load_data("humaneval", str(tmp_path / "1.jsonl"))
    assert single.revision == "sha256:" + hashlib.sha256(one).hexdigest()[:16]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("x.jsonl", b'\n{"a":\n', "x.jsonl: row 2: not valid JSON"),
        ("x.jsonl", b"\xff\xfe\n", "x.jsonl: row 1: not valid JSON"),
        ("x.json", b"[1", "x.json: not valid JSON"),
        ("x.jsonl.gz", b"not gzip", "x.jsonl.gz: not a whole gzip file"),
        ("x.parquet", b"not parquet", "x.parquet: not a parquet file"),
        ("x.jsonl", b"", "x.jsonl: holds no row"),
        ("x.json", b"[]", "x.json: holds no row"),
        ("x.csv", b"a,b", "does not end in .json, .jsonl"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, file, content, message, capfd):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError) as error:
        load_data("humaneval", str(tmp_path / file))
    [line] = error.value.problems
    assert message in line
    assert "\n" not in line
    assert capfd.readouterr().err == ""


def test_every_bad_file_of_a_folder_is_named_with_every_bad_row(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(FUNCTION))
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.JSON.GZ").write_bytes(b"no gzip")
    (tmp_path / "d.jsonl").write_text('{"a":\n[1]\n')
    with pytest.raises(InputError) as error:
        load_data("humaneval", str(tmp_path))
    expected = [
        "b.parquet: not a parquet file",
        "c.JSON.GZ: not valid JSON",
        "d.jsonl: row 1: not valid JSON: ",
        "d.jsonl: row 2: a row: must be an object, got list [1]",
    ]
    assert len(error.value.problems) == len(expected)
    for line, part in zip(error.value.problems, expected, strict=True):
        assert line.startswith(str(tmp_path / part))


def test_a_function_that_nobody_could_write_is_a_mistake_of_its_row(tmp_path):
    changes = ({"test": "def check(c)\n    c()"}, {"test": "assert f"}, {"entry_point": "g"}, {"canonical_solution": "  )"})
    rows = [{**FUNCTION, **change, "task_id": str(i)} for i, change in enumerate(changes)]
    (tmp_path / "h.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(InputError) as error:
        load_data("humaneval", str(tmp_path / "h.jsonl"))
    assert [line.partition("jsonl: ")[2] for line in error.value.problems] == [
        "row 1: field 'test': it is no Python: expected ':' (test, line 1)",
        "row 2: field 'test': it defines no function 'check', which is called",
        "row 3: field 'canonical_solution': with the prompt it defines no function 'g', which is called",
        "row 4: field 'canonical_solution': with the prompt it is no Python: unmatched ')' (canonical_solution, line 2)",
    ]


def test_json_keeps_what_is_written(tmp_path):
    """A date stays a string, and a wrong type of one row is no mistake of another."""
    (tmp_path / "h.jsonl").write_text("\n".join(json.dumps({**FUNCTION, "task_id": day}) for day in ("2021-05-08", "2021-05-09")))
    assert [p.id for p in load_data("humaneval", str(tmp_path / "h.jsonl")).problems] == ["2021-05-08", "2021-05-09"]
    (tmp_path / "h.jsonl").write_text("\n".join(json.dumps({**FUNCTION, "task_id": name}) for name in (3, "4")))
    with pytest.raises(InputError) as error:
        load_data("humaneval", str(tmp_path / "h.jsonl"))
    assert [line.partition("jsonl: ")[2] for line in error.value.problems] == [
        "row 1: field 'task_id': must be a string that is not empty, got int 3"
    ]


def test_settings_of_no_use_are_refused_together(tmp_path):
    settings = {"revision": COMMIT, "questions": "q.jsonl", "evidence_tokens": 5}
    with pytest.raises(InputError) as error:
        load_data("records", "x", **settings)
    assert [line.split(" ")[0].rstrip(":") for line in error.value.problems] == [
        "data.path",
        "data.revision",
        "data.questions",
        "data.evidence_tokens",
    ]
    (tmp_path / "h.json").write_text(json.dumps([FUNCTION]))
    with pytest.raises(InputError, match="identified by its content"):
        load_data("humaneval", str(tmp_path / "h.json"), revision=COMMIT)
    for name in ("longhealth", "financebench", "qasper", "math", "humaneval"):
        with pytest.raises(InputError, match="is for evaluation only"):
            load_data(name, str(tmp_path / "h.json"), "train")
    assert {d.name for d in DATA_SETS.values() if d.evaluation_only} == {
        "longhealth",
        "financebench",
        "qasper",
        "squad",
        "math",
        "humaneval",
    }


def test_the_section_of_a_recipe_is_what_load_data_takes(tmp_path):
    (tmp_path / "h.json").write_text(json.dumps([FUNCTION]))
    section = load_recipe(DataSection, None, ["name=humaneval", f"path={tmp_path / 'h.json'}"])
    assert len(load_data(**section.asked)) == 1
    section = load_recipe(DataSection, None, ["name=financebench", f"revision={COMMIT}", "evidence_tokens=500"])
    assert (section.revision, section.evidence_tokens, section.questions) == (COMMIT, 500, None)


def test_each_set_is_a_line_with_its_source(capsys):
    assert main(["data", "ls"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines) == list(DATA_SETS)
    assert "built in" in lines["records"]
    assert "data.path=… " in lines["longhealth"]
    assert "the hub" not in lines["longhealth"]
    for name, data in DATA_SETS.items():
        assert ("evaluation only" in lines[name]) == data.evaluation_only
        if data.hub is not None:
            assert data.hub.id in lines[name]
            assert (data.hub.revision or "data.revision=COMMIT")[:12] in lines[name]
