"""Research tasks: built ones can be answered from the corpus and from nowhere else; bad rows of a file are named."""

import json

import pytest

from infoagent.data.registry import load_data
from infoagent.data.sets.research_tasks import ResearchTask, load_tasks, tasks_of_records
from infoagent.grading import states_fact
from infoagent.types import InputError

LIMITS = {"min_words": 60, "max_words": 90}


@pytest.mark.parametrize(("records", "facts"), [(2, 2), (3, 1), (1, 3)])
def test_every_asked_fact_stands_in_one_document_of_the_corpus(records, facts):
    tasks = tasks_of_records(5, records, facts, 60, "test", 3, **LIMITS)
    documents = [p.document for p in load_data("records", split="test", limit=60, seed=3, **LIMITS).problems]
    assert len({t.id for t in tasks}) == 5
    homes = []
    for task in tasks:
        assert len(task.facts) == records * facts == len(task.task.splitlines()) - 1
        places = [[i for i, d in enumerate(documents) if fact in d] for fact in task.facts]
        assert all(len(found) == 1 for found in places)  # a twin of the generator: the documents that load_data gives
        home = [found[0] for found in places]
        assert len(set(home)) == records
        homes += sorted(set(home))
        for line, place in zip(task.task.splitlines()[1:], home, strict=True):
            assert line.split(":")[0] in documents[place]
        assert all(states_fact(task.reference, fact) for fact in task.facts)
        assert not any(states_fact(task.task, fact) for fact in task.facts)
    assert len(set(homes)) == len(homes)  # no record is in two tasks
    assert tasks == tasks_of_records(5, records, facts, 60, "test", 3, **LIMITS)


def test_a_corpus_that_is_too_small_is_said():
    with pytest.raises(InputError, match=r"raise search\.corpus\.data\.limit"):
        tasks_of_records(20, 2, 2, 20, "test", 0, **LIMITS)


def test_a_file_of_tasks(tmp_path):
    file = tmp_path / "t.jsonl"
    rows = [{"id": "a", "task": "Write."}, {"id": "b", "task": "Write\u2028more.", "reference": "R", "facts": ["7 kg"]}]
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n")
    assert load_tasks(str(file)) == [ResearchTask("a", "Write."), ResearchTask("b", "Write\u2028more.", "R", ("7 kg",))]


def test_each_bad_row_is_named_in_one_line(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(
        '{"id": "a", "task": "x"}\n{"id": "a", "task": "y"}\n{"id": "b"}\n{"id": "c", "task": "x", "facts": []}\n'
        '{"id": "d", "task": "x", "facts": [" "]}\nnot json\n{"id": "e", "task": "x", "answer": "y"}\n[]\n'
    )
    with pytest.raises(InputError) as error:
        load_tasks(str(file))
    lines = error.value.problems
    assert [int(line.split(":")[1]) for line in lines] == [2, 3, 4, 5, 6, 7, 8]
    assert "field 'answer': unknown; allowed are id, task, reference, facts" in lines[5]
    with pytest.raises(InputError, match="no such file"):
        load_tasks(str(tmp_path / "nowhere.jsonl"))
    file.write_text("")
    with pytest.raises(InputError, match="holds no row"):
        load_tasks(str(file))
