"""Published forms load as they are: small invented samples, their problems written out by hand."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.cli import main
from infoagent.data.registry import load_data
from infoagent.data.sets.research_tasks import ResearchTask, load_tasks
from infoagent.recipes import DataSection
from infoagent.training.trainable import load_trainable
from infoagent.types import InputError


def write(path, content):
    """An object, or rows one a line; `.gz` on top."""
    lines = content if isinstance(content, list) and ".json" not in path.suffixes else None
    text = json.dumps(content) if lines is None else "".join(json.dumps(row) + "\n" for row in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


# ---- nested SQuAD -----------------------------------------------------------------------------------------------

RHINE, ODER = "The Rhine rises in the Alps.", "The Oder ends in the Baltic."


def paragraph(context, *questions):
    return {
        "context": context,
        "document_id": 630,
        "qas": [
            {
                "id": identity,
                "question": question,
                "is_impossible": not answers,
                "answers": [{"text": answer, "answer_start": context.find(answer)} for answer in answers],
            }
            for identity, question, *answers in questions
        ],
    }


UNTITLED = {
    "data": [
        {"paragraphs": [paragraph(RHINE, (262, "Where?", "the Alps", "Alps"), (263, "Who?"), (264, "What rises?", "The Rhine"))]},
        {"paragraphs": [paragraph(ODER, (262, "Where?", "the Baltic"), ("b", "Which?", "The Oder")),
                        paragraph(RHINE, (262, "Where?", "the Alps", "Alps"))]},
    ]
}  # fmt: skip


@pytest.mark.parametrize("name", ["squad", "jsonl"])
@pytest.mark.parametrize("file", ["n.json", "n.json.gz", "N.JSON"])
def test_nested_squad_without_titles_with_whole_numbers_and_repeated_ids(tmp_path, name, file, caplog):
    path = write(tmp_path / file, UNTITLED)
    data = load_data(name, path, "all")
    assert [(p.id, p.document, p.query, p.answer, p.references, p.group) for p in data.problems] == [
        ("262", RHINE, "Where?", "the Alps", ("Alps",), "data[0]"),
        ("264", RHINE, "What rises?", "The Rhine", (), "data[0]"),
        ("262#2", ODER, "Where?", "the Baltic", (), "data[1]"),
        ("b", ODER, "Which?", "The Oder", (), "data[1]"),
    ]
    assert len({id(p.document) for p in data.problems}) == len(data.documents) == 2
    assert data.left_out == {"question without an answer": 1, "question that stands there twice": 1}
    first = f"{path}: data[0].paragraphs[0].qas[0]"
    assert caplog.messages == [
        f"{path}: data[1].paragraphs[0].qas[0]: '262' stands already at {first}; this one is called '262#2'",
        f"{path}: data[1].paragraphs[1].qas[0]: '262' stands already, all alike, at {first}; left out",
    ]


NESTED = st.lists(
    st.fixed_dictionaries(
        {"paragraphs": st.lists(st.builds(
            lambda context, questions: {"context": context, "qas": questions},
            st.sampled_from([RHINE, ODER, "Short."]),
            st.lists(st.fixed_dictionaries({
                "id": st.sampled_from([1, 2, "1", "a", "1#2"]), "question": st.sampled_from(["Where?", "Who?", " "]),
                "answers": st.lists(st.sampled_from([{"text": "the Alps"}, {"text": "The Oder"}, {"text": ""}]), max_size=2),
            }), max_size=3),
        ), max_size=3)},
        optional={"title": st.sampled_from(["Rivers", "", None])},
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(NESTED)
@settings(max_examples=60, deadline=None)
def test_every_question_of_a_nested_file_is_a_problem_or_is_counted(tmp_path_factory, articles):
    path = write(tmp_path_factory.mktemp("nested") / "n.json", {"data": articles})
    asked = [(p["context"], q) for a in articles for p in a["paragraphs"] for q in p["qas"]]
    kept = {
        (str(q["id"]), context, q["question"], tuple(a["text"] for a in q["answers"]))
        for context, q in asked
        if q["answers"] and q["answers"][0]["text"] and q["question"].strip()
    }
    data = load_data("squad", path, "all") if kept else None
    if data is None:
        with pytest.raises(InputError, match="holds no problem"):
            load_data("squad", path, "all")
        return
    assert len(data) == len(kept) == len({p.id for p in data.problems})
    assert len(data) + sum(data.left_out.values()) == len(asked)
    assert {(p.document, p.query, p.answer) for p in data.problems} == {(c, q, a[0]) for _, c, q, a in kept}
    wholes = {p.group for p in data.problems}
    assert wholes <= {"Rivers"} | {f"data[{n}]" for n in range(len(articles))}


def test_a_mistake_in_a_nested_file_has_its_place_and_its_value(tmp_path):
    broken = {
        "data": [
            {"title": "A", "paragraphs": [{"context": 5, "qas": [{"id": [1], "question": "?", "answers": []}]}]},
            {"title": "B"},
            "C",
        ]
    }
    path = write(tmp_path / "n.json", broken)
    with pytest.raises(InputError) as error:
        load_data("squad", path, "all")
    assert error.value.problems == [
        f"{path}: data[0]: field 'paragraphs[0].context': must be a string, got int 5",
        f"{path}: data[0]: field 'paragraphs[0].qas[0].id': must be a string that is not empty, or a whole number, got list [1]",
        f"{path}: data[1]: field 'paragraphs': missing; needed are title, paragraphs",
        f"{path}: data[2]: a row: must be an object, got str 'C'",
    ]


def test_a_set_of_squads_form_is_split_by_article_and_trained_on(tmp_path):
    articles = [
        {
            "paragraphs": [
                paragraph(f"The river {n}.{p} is {n}{p} km long.", (f"{n}-{p}", "How long?", f"{n}{p} km")) for p in range(2)
            ]
        }
        for n in range(20)
    ]
    path = write(tmp_path / "rivers.json", {"data": articles})
    parts = {split: load_data("jsonl", path, split) for split in ("train", "validation", "test")}
    assert sum(map(len, parts.values())) == 40
    assert {n for part in parts.values() for n in part.groups} == {f"data[{n}]" for n in range(20)}
    assert sum(len(part.groups) for part in parts.values()) == 20, "no article in two splits"
    assert [data.name for data in load_trainable([DataSection(name="jsonl", path=path, split="train")])] == ["rivers"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({**UNTITLED, "canary": "do not train, GUID 1-2"}, "it bears a canary against training"),
        ({"data": [{"title": "T", "paragraphs": [paragraph(RHINE, ("56be4db0acb8001400a502ec", "Where?", "the Alps"))]}]},
         "its questions bear SQuAD's ids"),
    ],
)  # fmt: skip
def test_squad_and_what_bears_a_canary_is_not_trained_on_under_any_name(tmp_path, content, reason, capsys):
    path = write(tmp_path / "n.json", content)
    with pytest.raises(InputError, match=f"evaluation only, {reason}"):
        load_data("jsonl", path, "train")
    with pytest.raises(InputError, match=f"evaluation only, {reason}"):
        load_trainable([DataSection(name="jsonl", path=path, split="all")])
    assert main(["data", "show", "jsonl", f"data.path={path}"]) == 0
    assert f"for evaluation only: {reason}" in capsys.readouterr().out


# ---- QASPER -----------------------------------------------------------------------------------------------------


def annotation(spans=(), **more):
    answer = {
        "unanswerable": not spans,
        "extractive_spans": list(spans),
        "yes_no": None,
        "free_form_answer": "",
        "evidence": [],
        "highlighted_evidence": [],
        **more,
    }
    return {"answer": answer, "annotation_id": "x", "worker_id": "y"}


def asked(identity, question, *answers):
    return {"question_id": identity, "question": question, "answers": list(answers), "search_query": ""}


AUTHORS = {
    "1909.00001": {
        "title": "Short codes", "abstract": "We shorten texts.",
        "full_text": [{"section_name": "Data", "paragraphs": ["We use 40 books.", ""]},
                      {"section_name": None, "paragraphs": ["Thanks."]}],
        "qas": [asked("q1", "What data?", annotation(["40 books"]), annotation(["books"])), asked("q2", "Who?", annotation())],
    },
    "1909.00002": {
        "title": "Long codes", "abstract": "We lengthen.", "full_text": [],
        "qas": [asked("q1", "How?", annotation(["We lengthen"])), asked("q1", "What?", annotation(["codes"]))],
    },
}  # fmt: skip


def test_qaspers_own_files_hold_the_same_problems_as_the_hubs_rows(tmp_path, caplog):
    data = load_data("qasper", write(tmp_path / "authors.json.gz", AUTHORS), "all")
    assert [(p.id, p.query, p.answer, p.references, p.group) for p in data.problems] == [
        ("q1", "What data?", "40 books", ("books",), "1909.00001"),
        ("q1#2", "How?", "We lengthen", (), "1909.00002"),
        ("q1#3", "What?", "codes", (), "1909.00002"),
    ]
    assert data.problems[0].document == "Short codes\n\nAbstract\nWe shorten texts.\n\nData\nWe use 40 books.\n\nThanks."
    assert data.left_out == {"question without an extractive answer": 1}
    assert ["paper '1909.00002': qas[1]: 'q1' stands already at" in line for line in caplog.messages] == [False, True]
    hub_rows = [
        {
            "id": name,
            "title": p["title"],
            "abstract": p["abstract"],
            "full_text": {
                "section_name": [s["section_name"] for s in p["full_text"]],
                "paragraphs": [s["paragraphs"] for s in p["full_text"]],
            },
            "qas": {
                "question": [q["question"] for q in p["qas"]],
                "question_id": [q["question_id"] for q in p["qas"]],
                "answers": [{"answer": [a["answer"] for a in q["answers"]]} for q in p["qas"]],
            },
        }
        for name, p in AUTHORS.items()
    ]
    assert load_data("qasper", write(tmp_path / "rows.jsonl", hub_rows), "all").problems == data.problems
    lines = [{"id": name, **paper} for name, paper in AUTHORS.items()]
    assert load_data("qasper", write(tmp_path / "lines.jsonl", lines), "all").problems == data.problems


def test_a_mistake_in_qaspers_own_file_has_its_paper(tmp_path):
    path = write(tmp_path / "a.json", {"1": {**AUTHORS["1909.00001"], "full_text": [{"paragraphs": "none"}]}, "2": 7})
    with pytest.raises(InputError) as error:
        load_data("qasper", path, "all")
    assert error.value.problems == [
        f"{path}: paper '1': field 'full_text[0].paragraphs': must be a list, got str 'none'",
        f"{path}: paper '2': a row: must be an object, got int 7",
    ]


# ---- MATH-500, DeepResearch-Bench, QMSum ------------------------------------------------------------------------


def test_math_500_has_subjects_ids_and_answers_of_its_own(tmp_path):
    row = {
        "problem": "What is $1+1$?",
        "solution": r"We add: $\boxed{2}$.",
        "answer": "2",
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/algebra/1.json",
    }
    other = {**row, "unique_id": "test/algebra/2.json", "answer": None, "solution": r"So $\boxed{\frac{1}{2}}$."}
    data = load_data("math", write(tmp_path / "m.jsonl.gz", [row, other]), "all")
    assert [(p.id, p.document, p.answer, p.group) for p in data.problems] == [
        ("test/algebra/1.json", row["solution"], "2", "Algebra"),
        ("test/algebra/2.json", other["solution"], r"\frac{1}{2}", "Algebra"),
    ]
    path = write(tmp_path / "twice.jsonl", [row, row])
    with pytest.raises(InputError, match=r"row 2: field 'unique_id': 'test/algebra/1.json' stands already at"):
        load_data("math", path, "all")


def test_deep_research_benchs_queries_are_tasks(tmp_path, capsys):
    rows = [
        {"id": 1, "topic": "Finance", "language": "zh", "prompt": "写一份报告"},
        {"id": 2, "topic": "Art", "language": "en", "prompt": "Write.", "article": "A report."},
    ]
    path = write(tmp_path / "query.jsonl.gz", rows)
    assert load_tasks(path) == [ResearchTask("1", "写一份报告"), ResearchTask("2", "Write.", "A report.")]
    assert main(["data", "show", "tasks", f"data.path={path}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["problems"], shown["documents"], shown["groups"]) == ("tasks", 2, 0, 0)
    assert [task["task"] for task in shown["first"]] == ["写一份报告", "Write."]
    with pytest.raises(InputError, match=r":1: field 'promt': unknown; allowed are id, prompt, topic"):
        load_tasks(write(tmp_path / "bad.jsonl", [{"id": 1, "prompt": "x", "promt": "y"}]))


def test_a_meeting_is_one_document_with_its_questions(tmp_path):
    meeting = {
        "topic_list": [],
        "meeting_transcripts": [{"speaker": "Anna", "content": "We buy 7 boats ."}, {"speaker": "Bo", "content": ""}],
        "general_query_list": [{"query": "What was said?", "answer": "They buy."}],
        "specific_query_list": [{"query": "How many?", "answer": "Seven.", "relevant_text_span": [["0", "1"]]}],
    }
    data = load_data("jsonl", write(tmp_path / "q.jsonl", [meeting]), "all")
    assert [(p.id, p.query, p.answer, p.group) for p in data.problems] == [
        ("meeting-0000-00", "What was said?", "They buy.", "meeting-0000"),
        ("meeting-0000-01", "How many?", "Seven.", "meeting-0000"),
    ]
    assert data.problems[0].document is data.problems[1].document
    assert data.problems[0].document == "Anna: We buy 7 boats .\nBo: "


def test_data_show_tells_what_was_left_out(tmp_path, capsys):
    path = write(tmp_path / "n.json", UNTITLED)
    assert main(["data", "show", "squad", f"data.path={path}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["problems"], shown["documents"], shown["groups"]) == ("squad", 4, 2, 2)
    assert shown["left_out"] == {"question without an answer": 1, "question that stands there twice": 1}
    assert [problem["id"] for problem in shown["first"]] == ["262", "264", "262#2"]
    assert main(["data", "show", "squad", f"data.path={path}"]) == 0
    assert "left out: question without an answer: 1\n" in capsys.readouterr().out
