"""Cloze questions, passages and splits of real text, and the user's own files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.cli import main
from infoagent.data.blanks import blanks_of
from infoagent.data.cloze import BLANK, Passage, make_questions, sentences
from infoagent.data.counterfactual.documents import counterfactuals, span_pattern
from infoagent.data.passages import LISTING, REST, TOO_SHORT, cut, cut_and_rest, cut_prose, split_of, without_repetition
from infoagent.data.registry import load_data
from infoagent.data.sets import python_reference
from infoagent.types import InputError

EVERYTHING = {name: python_reference.load(name, 0, None, None) for name in ("train", "validation", "test")}


@pytest.mark.parametrize("split", list(EVERYTHING))
def test_python_reference_questions_have_one_answer_in_the_passage(split):
    data = EVERYTHING[split]
    assert len(data) >= 15
    for problem in data.problems:
        assert len(list(span_pattern(problem.answer).places(problem.document))) == 1
        assert BLANK in problem.query
        assert not span_pattern(problem.answer).search(problem.query.split(": ", 1)[1])
        assert problem.answer in problem.choices
        assert len(problem.choices) >= 2
        assert not any(c in problem.document for c in problem.choices if c != problem.answer)
        assert 120 <= len(problem.document.split()) <= 250
        for negative in counterfactuals(problem):
            assert negative.document != problem.document
            assert not span_pattern(problem.answer).search(negative.document)


def test_no_topic_and_no_paragraph_is_in_two_splits():
    groups = [data.groups for data in EVERYTHING.values()]
    assert not any(a & b for i, a in enumerate(groups) for b in groups[i + 1 :])
    lines = [
        {line for p in data.problems for line in p.document.splitlines() if len(line.split()) > 12} for data in EVERYTHING.values()
    ]
    assert not any(a & b for i, a in enumerate(lines) for b in lines[i + 1 :])


def test_the_draw_repeats():
    assert python_reference.load("test", 0, None, None) == EVERYTHING["test"]
    assert python_reference.load("test", 1, None, None).problems != EVERYTHING["test"].problems


def test_spans_of_each_type_are_found():
    spans = {(s.kind, s.text) for s in blanks_of('Call "os.fork()" at 3.5 percent, or ask Ada Lovelace about MAX_SIZE and 1,200.')}
    expected = {
        "os.fork()": "code term",
        "3.5 percent": "number",
        "Ada Lovelace": "name",
        "MAX_SIZE": "code term",
        "1,200": "number",
    }
    assert {(kind, text) for text, kind in expected.items()} <= spans


def test_abbreviations_do_not_end_sentences():
    assert sentences("Use e.g. Python here. Then stop.") == ["Use e.g. Python here.", "Then stop."]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(10, 60), st.integers(0, 80))
@settings(deadline=None, max_examples=60)
def test_passages_keep_to_their_lengths_and_repeat_nothing(sizes, low, extra):
    paragraphs = [" ".join(f"w{i}x{j}" for j in range(size)) + "." for i, size in enumerate(sizes)]
    passages = cut("t", paragraphs, low, low + extra, "g")
    words = [w for p in passages for w in p.text.split()]
    assert all(low <= len(p.text.split()) <= low + extra for p in passages)
    assert len(set(words)) == len(words)
    assert len({p.id for p in passages}) == len(passages)


WORDS = st.lists(st.integers(1, 90), min_size=1, max_size=30)


@given(WORDS, WORDS, st.integers(5, 60), st.integers(0, 80), st.sampled_from([" ", "\n", " | "]))
@settings(deadline=None, max_examples=80)
def test_cutting_keeps_every_word_in_order_or_counts_it(sizes, sentences_of, low, extra, between):
    """Paragraphs of several sentences and tables of any length without an end of sentence."""
    words = iter(range(10**6))
    paragraphs = []
    for i, size in enumerate(sizes):
        tokens = [f"w{next(words)}" for _ in range(size)]
        if i % 2:
            paragraphs.append(between.join(tokens))
        else:
            n = sentences_of[i % len(sentences_of)]
            paragraphs.append(". ".join(" ".join(tokens[k : k + n]).capitalize() for k in range(0, size, n)) + ".")
    passages, left_out = cut_and_rest("t", paragraphs, low, low + extra, "g")
    kept = " ".join(p.text for p in passages).split()
    everything = " ".join(paragraphs).split()
    assert kept == everything[: len(kept)]
    assert len(everything) - len(kept) == sum(left_out.values())
    assert sum(left_out.values()) < low
    assert all(low <= len(p.text.split()) <= low + extra for p in passages)
    assert passages or left_out[TOO_SHORT] == len(everything)


def test_good_text_before_a_table_without_full_stops_is_kept():
    prose = " ".join(f"Plant number {n} made paper in Lund." for n in range(25))  # 175 words
    table = "\n".join(f"| plant {n} | {n * 17} tonnes | Lund |" for n in range(100))
    passages, left_out = cut_and_rest("t", [prose, table], 120, 250, "g")
    assert sum(left_out.values()) == 0
    assert " ".join(" ".join(p.text for p in passages).split()) == " ".join(f"{prose} {table}".split())
    reference, counted = cut_prose("t", [prose, prose, " ".join(table.split())], 170, 250, "g")
    assert [p.text for p in reference] == [prose]
    assert counted == {LISTING: 175 + len(table.split())}


def test_a_rest_shares_the_words_of_the_passage_before_it_or_is_counted():
    def words(*sizes):
        return [" ".join(f"w{n}" for n in range(size)) for size in sizes]

    assert [len(p.text.split()) for p in cut("t", words(100, 85, 50), 120, 250, "g")] == [235]
    assert [len(p.text.split()) for p in cut("t", words(60, 60, 70, 100), 120, 250, "g")] == [120, 170]
    assert cut_and_rest("t", words(190, 5), 120, 190, "g")[1] == {REST: 5}
    assert cut_and_rest("t", words(5), 120, 190, "g")[1] == {TOO_SHORT: 5}


def test_a_paragraph_in_two_texts_stays_in_the_shorter_one():
    shared = "This paragraph stands in both of them."
    kept = without_repetition({"long": f"{shared}\n\nmore\n\neven more of it", "short": shared})
    assert kept == {"long": ["more", "even more of it"], "short": [shared]}


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 30), min_size=1, max_size=40))
@settings(deadline=None, max_examples=60)
def test_splits_depend_on_names_alone_and_give_train_the_most(sizes):
    assigned = split_of(sizes)
    assert assigned == split_of(dict(reversed(sizes.items())))
    assert set(assigned) == set(sizes)


def test_a_span_matches_whole_words_and_numbers_only():
    assert not span_pattern("5").search("3.5 and 15 and 5.2")
    assert span_pattern("5").search("it is 5.")
    assert not span_pattern("art").search("party")


def write_jsonl(path, rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return str(path)


GOOD = {"id": "a", "document": "Ada was born in 1815.", "query": "When?", "answer": "1815", "choices": ["1815", "1900"]}


def test_a_users_jsonl_is_read(tmp_path):
    rows = [
        GOOD,
        {**GOOD, "id": "b", "group": "g", "negatives": ["Ada was born in 1700."]},
        {"id": "c", "document": "x", "query": "?"},
    ]
    data = load_data("jsonl", write_jsonl(tmp_path / "d.jsonl", rows), "all")
    assert [p.id for p in data.problems] == ["a", "b", "c"]
    assert len(data.documents) == 2
    changed = [n.document for n in counterfactuals(data.problems[1])]
    assert changed == ["Ada was born in 1700.", "Ada was born in 1900."]


def test_every_bad_line_is_reported_with_its_number_and_field(tmp_path):
    path = write_jsonl(
        tmp_path / "d.jsonl",
        [
            GOOD,
            "{not json",
            {**GOOD, "id": "b", "document": "  "},
            {"id": "c", "query": "?"},
            GOOD,
            [1],
            {**GOOD, "id": "e", "choices": ["x"]},
            {**GOOD, "id": "f", "documnt": 1},
            {**GOOD, "id": 7.5},
            {**GOOD, "id": "g", "answer": "x", "choices": ["x"]},
        ],
    )
    with pytest.raises(InputError) as error:
        load_data("jsonl", path, "all")
    expected = [
        ":2: not valid JSON", ":3: field 'document': is empty", ":4: field 'document': missing",
        ":5: field 'id': 'a' stands already at ", ":6: a line must be a JSON object",
        ":7: field 'choices': must contain the answer", ":8: field 'documnt': unknown", ":9: field 'id': must be a string, got float 7.5",
        ":10: field 'choices': must be at least two",
    ]  # fmt: skip
    assert len(error.value.problems) == len(expected)
    for line, part in zip(error.value.problems, expected, strict=True):
        assert part in line


def test_a_users_file_may_begin_with_a_byte_order_mark_and_hold_other_line_ends(tmp_path):
    row = {"id": "a", "document": "one\u2028two", "query": "?"}
    (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(row, ensure_ascii=False).encode() + b"\r\n")
    assert load_data("jsonl", str(tmp_path / "d.jsonl"), "all").problems[0].document == "one\u2028two"


def test_a_limit_is_drawn_by_seed_from_the_whole_split():
    few, more = (load_data("python-reference", split="train", limit=n) for n in (10, 30))
    assert set(few.problems) <= set(more.problems)
    assert len(few.groups) > 5
    assert load_data("python-reference", split="train", limit=10, seed=1).problems != few.problems


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("jsonl", None, "needs the path"),
        ("jsonl", "nowhere.jsonl", "no such file"),
        ("recrods", None, "did you mean 'records'"),
        ("records", "x", "takes no path"),
    ],
)
def test_wrong_names_and_paths(name, path, message):
    with pytest.raises(InputError, match=message):
        load_data(name, path)


def test_own_text_files_become_passages_with_questions(tmp_path):
    for topic in ("alpha", "beta", "gamma"):
        lines = [
            f"In the year {1900 + i} the {topic} plant number {i} made {i * 17} tonnes for Carl Linden in a single week."
            for i in range(60)
        ]
        (tmp_path / f"{topic}.md").write_text("\n\n".join(lines))
    data = load_data("text", str(tmp_path), "all")
    assert len(data.groups) == 3
    assert all(p.answer in p.document and p.part_of == p.group for p in data.problems)
    (tmp_path / "empty.txt").write_text(" ")
    with pytest.raises(InputError, match=r"empty.txt: the document is empty"):
        load_data("text", str(tmp_path), "all")


def test_a_folder_says_what_it_left_out(tmp_path, capsys):
    for topic in ("alpha", "beta"):
        lines = [f"In the year {1900 + i} the {topic} plant number {i} made {i * 17} tonnes in one week." for i in range(40)]
        (tmp_path / f"{topic}.md").write_text("\n\n".join(lines))
    (tmp_path / "short.txt").write_text("Eleven words are too few to be a passage by themselves.")
    (tmp_path / "plain.txt").write_text("nothing to ask about here " * 30)
    data = load_data("text", str(tmp_path), "all")
    expected = {TOO_SHORT: 11, "file of fewer than 120 words (data.min_words)": 1, "passage without a span to ask for": 1}
    assert dict(data.left_out) == expected
    assert main(["data", "show", "text", f"data.path={tmp_path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == expected
    assert main(["data", "show", "text", f"data.path={tmp_path}"]) == 0
    assert "left out: words of texts below min_words: 11\n" in capsys.readouterr().out


def test_documents_beyond_the_word_limits_are_counted(tmp_path):
    rows = [
        {
            "financebench_id": str(n),
            "company": "c",
            "doc_name": "d",
            "question": "?",
            "answer": "1",
            "evidence": [
                {"evidence_text": "1", "doc_name": f"d{n}", "evidence_page_num": n, "evidence_text_full_page": "w " * 10 * (n + 1)}
            ],
        }
        for n in range(3)
    ]
    path = write_jsonl(tmp_path / "f.jsonl", rows)
    data = load_data("financebench", path, "test", min_words=20)
    assert len(data) == 2
    assert data.left_out == {"question on a document that min_words and max_words rule out": 1}


def test_questions_are_left_out_where_nothing_can_be_blanked():
    assert make_questions([Passage("p", "nothing to see in here at all today", "g", "t")], 0) == []
