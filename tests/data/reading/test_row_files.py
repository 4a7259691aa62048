"""Files of rows: the same rows are the same problems, whatever the file is called and however it is packed."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.reading.tables import file_rows
from infoagent.data.registry import load_data
from infoagent.types import InputError

LISTS = ("choices", "negatives", "references")
LEGIBLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30).filter(str.strip)


@st.composite
def own_rows(draw):
    """Rows as a user has them, with documents that questions share, ids that are numbers, and odd line ends in strings."""
    documents = draw(st.lists(LEGIBLE, min_size=1, max_size=3))
    rows = []
    for number in range(draw(st.integers(1, 5))):
        row = {
            "id": draw(st.sampled_from([number, f"q{number}"])),
            "document": draw(st.sampled_from(documents)),
            "query": draw(LEGIBLE),
        }
        if draw(st.booleans()):
            row["answer"] = draw(LEGIBLE)
            row["references"] = draw(st.lists(LEGIBLE, min_size=1, max_size=2))
        if draw(st.booleans()):
            row["group"] = draw(LEGIBLE)
        rows.append(row)
    return rows


def as_json_lines(rows, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def as_csv(rows, delimiter=","):
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names, delimiter=delimiter)
    table.writeheader()
    for row in rows:
        table.writerow({name: json.dumps(value) if name in LISTS else value for name, value in row.items()})
    return text.getvalue().encode()


def as_parquet(rows):
    import pyarrow as arrow
    from pyarrow import parquet

    stream = io.BytesIO()
    names = dict.fromkeys(name for row in rows for name in row)  # a table of pyarrow has the columns of its first row
    whole = [{name: row.get(name) for name in names} | {"id": str(row["id"])} for row in rows]
    parquet.write_table(arrow.Table.from_pylist(whole), stream)
    return stream.getvalue()


MARK = b"\xef\xbb\xbf"
FORMS = {
    "d.jsonl": as_json_lines,
    "mark.jsonl": lambda rows: MARK + as_json_lines(rows),
    "crlf.jsonl": lambda rows: as_json_lines(rows, "\r\n"),
    "D.JSONL": as_json_lines,
    "d.ndjson": as_json_lines,
    "list.json": lambda rows: MARK + json.dumps(rows).encode(),
    "lines.json": lambda rows: as_json_lines([*rows]),
    "d.csv": as_csv,
    "mark.csv": lambda rows: MARK + as_csv(rows),
    "semicolons.csv": lambda rows: as_csv(rows, ";"),
    "d.tsv": lambda rows: as_csv(rows, "\t"),
    "d.parquet": as_parquet,
}


@given(own_rows())
@settings(max_examples=25, deadline=None)
def test_the_same_rows_are_the_same_problems_in_every_file(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("forms")
    expected = [
        (
            str(r["id"]),
            r["document"],
            r["query"],
            r.get("answer"),
            r.get("group"),
            tuple(dict.fromkeys(a for a in r.get("references", ()) if a != r.get("answer"))),
        )
        for r in rows
    ]
    for name, written in FORMS.items():
        content = written(rows)
        for file, packed in ((folder / name, content), (folder / f"{name}.gz", gzip.compress(content, 1))):
            file.write_bytes(packed)
            data = load_data("jsonl", str(file), "all")
            found = [(p.id, p.document, p.query, p.answer, p.group, p.references) for p in data.problems]
            assert found == expected, file.name
            assert len({id(p.document) for p in data.problems}) == len({r["document"] for r in rows}), "held once"
    assert load_data("jsonl", str(folder / "d.jsonl"), "all").name == "d"


def test_a_pressed_file_under_a_plain_name_is_read(tmp_path):
    (tmp_path / "d.jsonl").write_bytes(gzip.compress(as_json_lines([{"id": 1, "document": "x", "query": "?"}])))
    assert [p.id for p in load_data("jsonl", str(tmp_path / "d.jsonl"), "all").problems] == ["1"]


GOOD = {"id": "a", "document": "Ada was born in 1815.", "query": "When?"}


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("d.csv", b"id,document,query\na,x,?\nb,y,?,z\n", [":3: has 4 cells, the first line names 3 columns"]),
        ("d.csv", b'id,document,query,choices\na,"two\nlines",?,\nb,y,?,red\n',
         [":4: field 'choices': must be a list of non-empty strings, got str 'red'"]),
        ("d.csv", b"id,document,query,id\na,x,?,b\n", [": column 'id' stands twice in the first line"]),
        ("d.csv", b'id,document,query\na,"x,?\n', [": not valid CSV near line"]),
        ("d.csv", b"id,document,query\n", [": holds no problem; write one JSON object a line"]),
        ("d.csv", "id,document,query\na,é,?\n".encode("latin-1"), [": not UTF-8 at byte 20"]),
        ("d.csv", b"id,document\na,x\n", [":2: field 'query': missing; required are id, document, query"]),
        ("d.jsonl", as_json_lines([{**GOOD, "references": ["1815"]}]), [":1: field 'references': are other right answers"]),
        ("d.jsonl", as_json_lines([{**GOOD, "answer": ["a very long value " * 9]}]),
         [":1: field 'answer': must be a non-empty string or absent, got list ['a very long"]),
        ("d.jsonl", as_json_lines([{**GOOD, "id": 7}, {**GOOD, "id": "7"}]), [":2: field 'id': '7' stands already at"]),
        ("d.jsonl", b'{"id"\n[1]\n"x"\n', [":1: not valid JSON", ":2: a line must be a JSON object, got list [1]",
                                           ":3: a line must be a JSON object, got str 'x'"]),
        ("d.jsonl", as_json_lines([GOOD]) + b'{"id": 2, "document": "x", "query": "?", "negatives": ["a\\ud800"]}\n',
         [":2: field 'negatives': holds half a surrogate pair"]),
        ("d.parquet", b"no parquet", [": not a parquet file"]),
        ("d.parquet.gz", b"no gzip", [": not a whole gzip file"]),
        ("d.jsonl.gz", gzip.compress(as_json_lines([GOOD]), mtime=0)[:20], [": not a whole gzip file"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_its_value(tmp_path, name, content, lines):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_data("jsonl", str(file), "all")
    assert len(error.value.problems) == len(lines)
    for line, part in zip(error.value.problems, lines, strict=True):
        assert line.startswith(f"{file}{part}")
        assert len(line) < len(str(file)) + 160
        assert "\n" not in line


def test_a_book_fits_into_a_cell_and_the_limit_of_others_stays(tmp_path):
    before = csv.field_size_limit()
    rows = [{**GOOD, "document": "word " * 60_000}]
    (tmp_path / "d.csv").write_bytes(as_csv(rows))
    assert len(load_data("jsonl", str(tmp_path / "d.csv"), "all").problems[0].document) == 300_000
    assert csv.field_size_limit() == before


def test_pandas_own_columns_are_no_fields(tmp_path):
    (tmp_path / "d.csv").write_text(",id,document,query\n0,a,x,?\n")
    [row] = file_rows(tmp_path / "d.csv")
    assert row.content == {"id": "a", "document": "x", "query": "?"}


def test_word_limits_count_what_they_rule_out(tmp_path):
    rows = [{**GOOD, "id": n, "document": "word " * n} for n in range(1, 6)]
    (tmp_path / "d.jsonl").write_bytes(as_json_lines(rows))
    data = load_data("jsonl", str(tmp_path / "d.jsonl"), "all", min_words=3)
    assert [p.id for p in data.problems] == ["3", "4", "5"]
    assert data.left_out == {"question on a document that min_words and max_words rule out": 2}
