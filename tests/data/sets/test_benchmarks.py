"""Published question sets: small files in their true schemas, and the documents and answers written out by hand."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.data.registry import load_data
from infoagent.data.sets.financebench import chosen_pages
from infoagent.grading import code_grade
from infoagent.grading.mathematics import boxed
from infoagent.lm.prompts import COMPRESSOR_TEMPLATES, Prompt, compressor_messages
from infoagent.types import InputError


def write(path, rows):
    """Rows as .parquet, .jsonl or .json (a list, or an object as it is), .gz on top."""
    if path.suffix == ".parquet":
        import pyarrow as arrow
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(rows), path)
        return str(path)
    lines = ".jsonl" in path.suffixes
    content = ("".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def refused(name, path, **settings):
    with pytest.raises(InputError) as error:
        load_data(name, path, "all", **settings)
    return error.value.problems


# ---- LongHealth -------------------------------------------------------------------------------------------------

LETTERS = {"text_0": "Anna Lind, 61.", "text_10": "Pulse 72 in May.", "text_2": "Allergic to nickel, not to gold."}


def question(number, correct="nickel", **more):
    options = dict(zip("abcde", ("gold", "zinc", "nickel", "tin", "lead"), strict=True))
    return {
        "No": number,
        "question": " Which metal is avoided? ",
        **{f"answer_{k}": v for k, v in options.items()},
        "correct": correct,
        "answer_location": {},
        **more,
    }


def patients(*questions):
    one = {"name": "Anna Lind", "birthday": "1960-01-01", "diagnosis": "Asthma", "texts": LETTERS}
    return {"patient_01": {**one, "questions": list(questions)}}


def test_longhealth_joins_a_patients_letters_and_keeps_the_marked_places(tmp_path):
    marked = {"text_10": {"start": [0.0], "end": [0.5]}, "text_2": {"start": [12 / 32, 0.9], "end": [18 / 32, 0.9]}}
    in_characters = {"text_2": {"start": [12], "end": [18]}}
    empty = {"text_0": {"start": [0.3], "end": [0.3]}}
    content = patients(
        question(0, answer_location=marked),
        question(1, answer_location=in_characters),
        question(2, answer_location=empty),
        question(3, "gold", answer_location=None),
    )
    content["patient_02"] = {**patients(question(0))["patient_01"], "texts": {"text_0": "Bo Ek, 40."}}
    content["canary"] = "some mark"
    data = load_data("longhealth", write(tmp_path / "benchmark_v5.json", content))
    document = "text_0\nAnna Lind, 61.\n\ntext_2\nAllergic to nickel, not to gold.\n\ntext_10\nPulse 72 in May."
    assert [p.document for p in data.problems] == [document] * 4 + ["text_0\nBo Ek, 40."]
    assert [p.evidence for p in data.problems] == [("nickel", "Pulse 72"), ("nickel",), ("Anna Lind, 61.",), (), ()]
    assert [p.answer for p in data.problems] == ["nickel", "nickel", "nickel", "gold", "nickel"]
    assert {p.choices for p in data.problems} == {("gold", "zinc", "nickel", "tin", "lead")}
    assert [(p.id, p.document_id, p.group) for p in data.problems][3:] == [
        ("patient_01-03", "patient_01", "patient_01"),
        ("patient_02-00", "patient_02", "patient_02"),
    ]


def test_no_compressor_sees_the_options(tmp_path):
    [problem] = load_data("longhealth", write(tmp_path / "b.json", patients(question(0)))).problems
    assert problem.query == "Which metal is avoided?"
    unseen = [choice for choice in problem.choices if choice not in problem.document]
    assert unseen == ["zinc", "tin", "lead"]
    for template, text in COMPRESSOR_TEMPLATES.items():
        asked = {"sentences": 3} if "{sentences}" in text else {"form": "a form"} if "{form}" in text else {}
        [message] = compressor_messages(problem.document, problem.query, Prompt(template, **asked))
        assert problem.document in message["content"]
        without = message["content"].replace(problem.document, "")
        assert not any(f" {choice} " in f" {without} " for choice in problem.choices)


def test_longhealth_names_patient_and_field(tmp_path):
    path = tmp_path / "b.json"
    bad = question(0, "silver", answer_location={"text_7": {"start": [0], "end": [1]}, "text_0": {"start": [0], "end": []}})
    content = patients(bad)
    content["patient_02"] = {"texts": {"text_0": 3}, "questions": [{**question(1), "answer_c": ""}]}
    del content["patient_02"]["questions"][0]["question"]
    content["patient_03"] = {"texts": {}}
    first, second, third = (f"{path}: row {n} (patient_0{n}): field " for n in (1, 2, 3))
    assert refused("longhealth", write(path, content)) == [
        first + "'questions[0].correct': 'silver' is none of answer_a to answer_e",
        first + "'questions[0].answer_location': 'text_7' is none of the patient's texts",
        first + "'questions[0].answer_location.text_0': as many starts as ends are needed",
        second + "'texts.text_0': must be a string that is not empty, got int 3",
        second + "'questions[0].question': missing; needed are question, answer_a, answer_b, answer_c, answer_d, answer_e, "
        "correct, answer_location",
        second + "'questions[0].answer_c': must be a string that is not empty, this one is empty",
        third + "'questions': missing; needed are texts, questions",
    ]
    assert refused("longhealth", write(path, [1])) == [f"{path}: must be an object patient_01, patient_02 …, got list [1]"]
    assert "needs the file" in refused("longhealth", None)[0]


# ---- FinanceBench -----------------------------------------------------------------------------------------------


def evidence(page, words, **more):
    """A page of so many words that no other page has."""
    text = " ".join(f"p{page}w{n}" for n in range(words))
    return {
        "evidence_text": text[:8],
        "doc_name": "ACME_2020_10K",
        "evidence_page_num": page,
        "evidence_text_full_page": text,
        **more,
    }


def filing_row(number, pages, name="ACME_2020_10K", company="Acme", **more):
    return {
        "financebench_id": f"id_{number}",
        "company": company,
        "doc_name": name,
        "question_type": "metrics-generated",
        "question_reasoning": None,
        "domain_question_num": None,
        "question": f"Question {number}?",
        "answer": f"${number}.00",
        "justification": None,
        "dataset_subset_label": "OPEN_SOURCE",
        "evidence": [evidence(page, 20, doc_name=name) for page in pages],
        **more,
    }


FILINGS = [filing_row(1, [50]), filing_row(2, [47, 53]), filing_row(3, [51]), filing_row(4, [9], "BORE_2021_10Q", "Bore")]


def pages_of(problem):
    return [int(page.split("w")[0][1:]) for page in problem.document.split("\n\n")]


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.jsonl.gz", "f.parquet"])
def test_financebench_fills_up_with_the_nearest_pages(tmp_path, name):
    path = write(tmp_path / name, FILINGS)
    data = load_data("financebench", path, evidence_tokens=90)  # a page is 20 words, 30 tokens: three pages
    assert [pages_of(p) for p in data.problems] == [[47, 50, 51], [47, 51, 53], [50, 51, 53], [9]]
    assert [p.document_id for p in data.problems] == [
        "ACME_2020_10K#47,50,51",
        "ACME_2020_10K#47,51,53",
        "ACME_2020_10K#50,51,53",
        "BORE_2021_10Q#9",
    ]
    assert [(p.id, p.query, p.answer, p.group) for p in data.problems][3] == ("id_4", "Question 4?", "$4.00", "Bore")
    assert data.problems[1].evidence == ("p47w0 p4", "p53w0 p5")
    everything = load_data("financebench", path).problems
    assert [pages_of(p) for p in everything] == [[47, 50, 51, 53]] * 3 + [[9]]
    assert {p.document_id for p in everything} == {"ACME_2020_10K#47,50,51,53", "BORE_2021_10Q#9"}
    assert [pages_of(p) for p in load_data("financebench", path, evidence_tokens=1).problems] == [[50], [47, 53], [51], [9]]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_the_answering_pages_stay_and_no_nearer_page_is_passed_over(sizes, data):
    pages = {"f": {3 * n: "w " * size for n, size in enumerate(sizes)}}
    gold = data.draw(st.lists(st.sampled_from(sorted(pages["f"])), min_size=1, max_size=3, unique=True))
    budget = data.draw(st.integers(1, 400))
    chosen = [number for _, number in chosen_pages([("f", number) for number in gold], pages, budget)]
    assert chosen == sorted(set(chosen))
    assert set(gold) <= set(chosen)
    tokens = sum(1.5 * sizes[number // 3] for number in chosen)
    assert tokens <= budget or set(chosen) == set(gold)

    def distance(number):
        return min(abs(number - g) for g in gold)

    left = [n for n in pages["f"] if n not in chosen]
    if left:
        nearest = min(left, key=lambda n: (distance(n), n))
        assert tokens + 1.5 * sizes[nearest // 3] > budget
        added = set(chosen) - set(gold)
        assert all((distance(n), n) < (distance(nearest), nearest) for n in added)


def test_financebench_names_row_and_field(tmp_path):
    rows = [
        FILINGS[0],
        {**FILINGS[1], "evidence": [{"evidence_text": "x", "evidence_page_num": "7"}]},
        {**FILINGS[2], "evidence": [], "answer": None},
        FILINGS[0],
        "no row",
    ]
    path = write(tmp_path / "f.jsonl", rows)
    needed = "evidence_text, doc_name, evidence_page_num, evidence_text_full_page"
    assert refused("financebench", path) == [
        f"{path}: row 2: field 'evidence[0].evidence_page_num': must be a whole number, got str '7'",
        f"{path}: row 2: field 'evidence[0].evidence_text_full_page': missing; needed are {needed}",
        f"{path}: row 3: field 'answer': must be a string that is not empty, it is null",
        f"{path}: row 3: field 'evidence': must be a list of at least 1, this one has 0",
        f"{path}: row 4: field 'financebench_id': 'id_1' stands already at {path}: row 1; ids must differ",
        f"{path}: row 5: a row: must be an object, got str 'no row'",
    ]


def test_twenty_mistakes_are_told_and_the_others_counted(tmp_path):
    path = write(tmp_path / "f.jsonl", [{**filing_row(n, [1]), "company": 7} for n in range(33)])
    lines = refused("financebench", path)
    assert len(lines) == 21
    assert lines[19] == f"{path}: row 20: field 'company': must be a string that is not empty, got int 7"
    assert lines[20] == f"{path}: and 13 more mistakes"


# ---- QASPER -----------------------------------------------------------------------------------------------------


def annotation(spans=(), evidence=(), **more):
    return {
        "unanswerable": False,
        "extractive_spans": list(spans),
        "yes_no": None,
        "free_form_answer": "",
        "evidence": list(evidence),
        "highlighted_evidence": [],
        **more,
    }


PAPER = {
    "id": "1909.00001", "title": "Short codes", "abstract": "We shorten texts.",
    "full_text": {
        "section_name": ["Data", "Results ::: Speed", None],
        "paragraphs": [["We use 40 books.", "", "And 3 films."], ["It runs at 9 Hz."], ["Thanks."]],
    },
    "figures_and_tables": {"caption": ["Figure 1: speed"], "file": ["1.png"]},
    "qas": {
        "question": ["What data? ", "Is it fast?", "How fast?", "Who?"],
        "question_id": ["q1", "q2", "q3", "q4"],
        "answers": [
            {"answer": [
                annotation(free_form_answer="Books and films"),
                annotation(["40 books", "3 films"], ["We use 40 books.", "And 3 films.", "FLOAT SELECTED: Figure 1"]),
                annotation(["40 books"], ["We use 40 books."]), annotation(["40 books", "3 films"]),
            ]},
            {"answer": [annotation(yes_no=True)]},
            {"answer": [annotation(["9 Hz"], ["FLOAT SELECTED: Figure 1"])]},
            {"answer": [annotation(unanswerable=True)]},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["q.jsonl", "q.parquet"])
def test_qasper_keeps_whole_papers_and_extractive_answers(tmp_path, name):
    data = load_data("qasper", write(tmp_path / name, [PAPER]))
    document = (
        "Short codes\n\nAbstract\nWe shorten texts.\n\nData\nWe use 40 books.\nAnd 3 films.\n\n"
        "Results ::: Speed\nIt runs at 9 Hz.\n\nThanks."
    )
    first, second = data.problems
    assert first.document == second.document == document
    assert (first.id, first.query, first.answer, first.references, first.evidence) == (
        "q1",
        "What data?",
        "40 books, 3 films",
        ("40 books",),
        ("We use 40 books.", "And 3 films."),
    )
    assert (second.id, second.answer, second.references, second.evidence) == ("q3", "9 Hz", (), ())
    assert {(p.group, p.document_id) for p in data.problems} == {("1909.00001", "1909.00001")}


def test_qasper_names_row_and_field(tmp_path):
    short = {**PAPER, "qas": {**PAPER["qas"], "question_id": ["q1"]}}
    broken = {**PAPER, "full_text": {"section_name": ["A"], "paragraphs": ["A text"]}}
    path = write(tmp_path / "q.json", [PAPER, short, broken])
    assert refused("qasper", path) == [
        f"{path}: row 2: field 'qas.question_id': must be as long as 'qas.question'",
        f"{path}: row 3: field 'full_text.paragraphs[0]': must be a list, got str 'A text'",
    ]


# ---- SQuAD ------------------------------------------------------------------------------------------------------

RHINE = "The Rhine rises in the Alps and flows to the North Sea."
FLAT = [
    {"id": "a", "title": "Rivers", "context": RHINE, "question": " Where does it rise? ",
     "answers": {"text": ["the Alps", "Alps", "the Alps", ""], "answer_start": [19, 23, 19, 0]}},
    {"id": "b", "title": "Rivers", "context": RHINE, "question": "Who owns it?", "answers": {"text": [], "answer_start": []}},
    {"id": "c", "title": "Rivers", "context": "Short.", "question": "What?", "answers": {"text": ["Short"], "answer_start": [0]}},
]  # fmt: skip


def nested(rows):
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answers": [
                        {"text": text, "answer_start": start} for text, start in zip(*row["answers"].values(), strict=True)
                    ],
                }
            ],
        }
        for row in rows
    ]
    return {"version": "1.1", "data": [{"title": "Rivers", "paragraphs": paragraphs}]}


@pytest.mark.parametrize("name", ["s.json", "s.json.gz", "s.jsonl", "s.parquet"])
def test_squad_is_the_same_in_both_structures(tmp_path, name):
    flat = load_data("squad", write(tmp_path / name, FLAT), "all").problems
    assert flat == load_data("squad", write(tmp_path / "dev-v1.1.json", nested(FLAT)), "all").problems
    assert [(p.id, p.query, p.answer, p.references) for p in flat] == [
        ("a", "Where does it rise?", "the Alps", ("Alps",)),
        ("c", "What?", "Short", ()),
    ]
    assert [p.id for p in load_data("squad", str(tmp_path / name), min_words=5).problems] == ["a"]


def test_squad_names_row_and_field(tmp_path):
    path = write(tmp_path / "s.jsonl", [FLAT[0], {**FLAT[1], "answers": {"text": [None]}}, {**FLAT[2], "context": "a\ud800"}])
    assert refused("squad", path) == [
        f"{path}: row 2: field 'answers.text[0]': must be a string, it is null",
        f"{path}: row 3: field 'context': holds half a surrogate pair, which is no text",
    ]


# ---- MATH and HumanEval -----------------------------------------------------------------------------------------


def balanced():
    plain = st.text("ab \\frac12$^", max_size=6).filter(lambda t: not t.endswith("\\"))
    signs = st.sampled_from([r"\{", r"\}", r"\left\{ x \right."])
    return st.recursive(
        plain | signs, lambda inner: st.lists(inner | inner.map("{{{}}}".format), max_size=4).map("".join), max_leaves=12
    )


@given(balanced(), balanced(), st.text("ab}$. ", max_size=8))
def test_what_is_boxed_last_is_found_whole(first, last, rest):
    expected = last.strip() or None
    assert boxed(f"so \\boxed{{{first}}} and \\boxed{{{last}}}{rest}") == expected


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"Thus $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"first $\boxed{1}$, then $\boxed{\{2, 3\}}$", r"\{2, 3\}"),
        (r"$\boxed 7$ or so", "7"),
        (r"\fbox{12}", "12"),
        (r"$\boxed{\boxed{5}}$", "5"),
        (r"\boxed{\frac{1}{2}", None),
        (r"\boxedness{3}", None),
        ("no box", None),
        (r"\boxed{ }", None),
    ],
)
def test_boxed_answers(solution, answer):
    assert boxed(solution) == answer


def test_math_compresses_the_reasoning(tmp_path):
    row = {"problem": " What is $1+1$? ", "level": "Level 1", "type": "Algebra", "solution": r"We add: $\boxed{2}$."}
    path = write(tmp_path / "m.parquet", [row, {**row, "type": "Geometry", "solution": r"A way, $\boxed{\sqrt{3}}$."}])
    data = load_data("math", path)
    assert [(p.document, p.query, p.answer, p.group, p.evidence) for p in data.problems] == [
        (r"We add: $\boxed{2}$.", "What is $1+1$?", "2", "Algebra", ()),
        (r"A way, $\boxed{\sqrt{3}}$.", "What is $1+1$?", r"\sqrt{3}", "Geometry", ()),
    ]
    assert len(data.documents) == 2
    path = write(tmp_path / "m.jsonl", [row, {**row, "solution": "It is 2."}, {**row, "type": None}])
    assert refused("math", path) == [
        f"{path}: row 2: field 'solution': has no answer in \\boxed{{…}}",
        f"{path}: row 3: field 'type': must be a string that is not empty, it is null",
    ]


def test_humaneval_compresses_the_function(tmp_path):
    row = {
        "task_id": "HumanEval/0",
        "prompt": 'def double(x):\n    """Twice x."""\n',
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
        "entry_point": "double",
    }
    [problem] = load_data("humaneval", write(tmp_path / "h.jsonl.gz", [row])).problems
    assert problem.document == 'def double(x):\n    """Twice x."""\n    return 2 * x\n'
    assert (problem.answer, problem.group, problem.document_id) == ("    return 2 * x\n", None, "HumanEval/0")
    assert "double" in problem.query
    assert "assert" not in problem.document + problem.query
    assert code_grade(problem.answer, problem.trial).detail == "passed"
    assert code_grade("```python\ndef double(x):\n    return x + x\n```", problem.trial).correct
    assert code_grade("    return x + 1\n", problem.trial).detail == "wrong"
    path = write(tmp_path / "h.json", [{**row, "entry_point": 3}, row, row])
    assert refused("humaneval", path) == [
        f"{path}: row 1: field 'entry_point': must be a string that is not empty, got int 3",
        f"{path}: row 3: field 'task_id': 'HumanEval/0' stands already at {path}: row 2; ids must differ",
    ]


def test_a_benchmarks_documents_are_chosen_by_length_and_not_cut(tmp_path):
    row = {"problem": "?", "level": "Level 1", "type": "Algebra"}
    rows = [{**row, "solution": "word " * n + r"\boxed{2}"} for n in (3, 10, 30)]
    path = write(tmp_path / "m.json", rows)
    assert [len(p.document.split()) for p in load_data("math", path, min_words=5, max_words=20).problems] == [11]
    assert refused("math", path, min_words=99, max_words=120) == [
        "data: split 'all' of math holds no problem with these word limits (min_words 99, max_words 120; left out, question on a "
        "document that min_words and max_words rule out: 3); widen them, or set them to null"
    ]
