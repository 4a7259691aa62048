"""SQuAD's file in its own structure, and what is refused."""

import gzip
import json

import pytest

from infoagent.data.registry import load_data
from infoagent.recipes import DataSection
from infoagent.training.trainable import check_trainable
from infoagent.types import InputError

ARTICLES = {
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "context": "The Rhine rises in the Alps and flows to the North Sea.",
                    "qas": [
                        {"id": "a", "question": " Where does it rise? ", "answers": [{"text": "the Alps"}, {"text": "Alps"}]},
                        {"id": "b", "question": "Who owns it?", "answers": []},
                    ],
                },
                {"context": "Short.", "qas": [{"id": "c", "question": "What?", "answers": [{"text": "Short"}]}]},
            ],
        }
    ]
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_answerable_questions_of_long_enough_paragraphs(tmp_path, packed):
    file = tmp_path / ("dev.json.gz" if packed else "dev.json")
    content = json.dumps(ARTICLES).encode()
    file.write_bytes(gzip.compress(content) if packed else content)
    [problem] = load_data("squad", str(file), "test", min_words=5).problems
    assert (problem.id, problem.query, problem.answer, problem.group) == ("a", "Where does it rise?", "the Alps", "Rivers")
    assert len(load_data("squad", str(file), "all")) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\x1f\x8bbroken", "not valid JSON"),
        (b'{"data": [{"title": "x"}]}', r"data\[0\]: field 'paragraphs': missing"),
        (b"[]", "holds no row"),
        (b"{}", "SQuAD's structure"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named(tmp_path, content, message):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_data("squad", str(tmp_path / "bad.json"), "test")


def test_it_is_for_evaluation_only(tmp_path):
    with pytest.raises(InputError, match="evaluation only"):
        load_data("squad", str(tmp_path / "x.json"), "train") if (tmp_path / "x.json").write_text("{}") else None
    with pytest.raises(InputError) as error:
        check_trainable([DataSection(name="squad", path="x", split="all"), DataSection(name="records", split="test")])
    assert [("squad" in line, "kept for evaluation" in line) for line in error.value.problems] == [(True, False), (False, True)]
