"""The user's own folders: PDF and Markdown become the paragraphs that a reader sees; bad files are one line each."""

import gzip
import io
import json
import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infoagent.data.passages import paragraphs_of
from infoagent.data.questions import document_hash
from infoagent.data.reading.documents import read_document
from infoagent.data.reading.markdown import _inline, _parser, html_text, markdown_paragraphs
from infoagent.data.reading.pdf import pdf_paragraphs, rebuilt, without_running_lines
from infoagent.data.reading.tables import BadFile
from infoagent.data.registry import load_data
from infoagent.data.sets.own import load_text, read_texts
from infoagent.types import InputError


def pdf(pages):
    """A PDF with a text object for each line, written by matplotlib."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with PdfPages(stream) as out:
        for lines in pages:
            figure = Figure(figsize=(8, 11))
            FigureCanvasPdf(figure)
            for number, line in enumerate(lines):
                figure.text(0.05, 0.95 - 0.03 * number, line, fontsize=9)
            out.savefig(figure)
    return stream.getvalue()


HEADER = "Annual report of Linden Works"
PAGES = [
    [
        HEADER,
        "Introduction",
        "The plant in Lund made 1,700 tonnes of paper in 1994, an exam-",
        "ple of what a well-known works can do when its machines run",
        "all year. In the same year a well-",
        "known rival closed.",
        "Its office moved to Malmo in 1995, where the staff of 40 had more",
        "room than before, and where the board met each month to",
        "Page 1 of 2",
    ],
    [HEADER, "speak about prices and about", "• paper", "• wood", "Page 2 of 2"],
]
PARAGRAPHS = [
    "Introduction",
    "The plant in Lund made 1,700 tonnes of paper in 1994, an example of what a well-known works can do when its machines "
    "run all year. In the same year a well-known rival closed.",
    "Its office moved to Malmo in 1995, where the staff of 40 had more room than before, and where the board met each month "
    "to speak about prices and about",
    "• paper",
    "• wood",
]


def test_a_pdf_becomes_its_paragraphs_without_headers_and_page_numbers():
    assert pdf_paragraphs(pdf(PAGES), "x.pdf") == PARAGRAPHS


def test_running_lines_are_those_that_stand_on_most_pages_at_an_edge():
    bodies = [[*(f"{word} of page {p}" for word in "abcd"), "Yes", *(f"{word} of page {p}" for word in "efgh")] for p in "uvwxyz"]
    pages = [["Report", f"{7 + n}", *body, f"{n % 3} apples"] for n, body in enumerate(bodies)]
    # at no edge: kept; a number that does not count the pages: kept
    assert without_running_lines(pages) == [[*body, f"{n % 3} apples"] for n, body in enumerate(bodies)]
    assert without_running_lines([["Report", "1", "text"]]) == [["Report", "1", "text"]]  # one page: nothing to compare
    few = [["Report", "a"], ["Other", "b"], ["Third", "c"], ["Report", "d"]]
    assert [page[0] for page in without_running_lines(few)] == ["Report", "Other", "Third", "Report"]


def test_chapter_titles_beside_the_page_number_go_with_it():
    pages = [[f"Chapter {1 + n // 2} 1{n}", f"words of page {'abcdef'[n]}"] for n in range(6)]
    assert without_running_lines(pages) == [[f"words of page {letter}"] for letter in "abcdef"]


def test_a_hyphen_stays_where_the_word_is_written_with_one_elsewhere():
    assert rebuilt([["It is well-known to be a long-", "term plan; a well-", "known one of long-term kind"]]) == [
        "It is well-known to be a long-term plan; a well-known one of long-term kind"
    ]
    assert rebuilt([["The word exam-", "ple is joined"]]) == ["The word example is joined"]
    assert rebuilt([["The years 1990-", "1995 and the Baden-", "Baden line"]]) == ["The years 1990- 1995 and the Baden- Baden line"]


def encrypted():
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(PAGES))))
    writer.encrypt("secret", algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def scanned():
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def opening_without_a_password():
    """AES-256 with an owner's password alone: what many publishers send."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(PAGES))))
    writer.encrypt("", "owner", algorithm="AES-256")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def pictures():
    """Two pages that are an image each, as a scanner makes them."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with PdfPages(stream) as out:
        for _ in range(2):
            figure = Figure(figsize=(2, 2))
            FigureCanvasPdf(figure)
            figure.figimage([[0.0, 1.0], [1.0, 0.0]])
            out.savefig(figure)
    return stream.getvalue()


def test_a_pdf_that_is_encrypted_but_opens_is_read(tmp_path):
    assert b"/AESV3" in opening_without_a_password()
    assert pdf_paragraphs(opening_without_a_password(), "x.pdf") == PARAGRAPHS
    (tmp_path / "X.PDF").write_bytes(opening_without_a_password())
    document = read_document(tmp_path / "X.PDF")
    assert document.text == "\n\n".join(PARAGRAPHS)
    assert document.paragraphs == tuple(PARAGRAPHS)


def test_a_scan_is_called_one_and_a_page_without_text_is_counted(tmp_path):
    with pytest.raises(BadFile, match=r"x.pdf: is a scan: 2 of its 2 pages are pictures and none holds text; run text") as error:
        pdf_paragraphs(pictures(), "x.pdf")
    assert error.value.cause == "scanned PDF without text"
    (tmp_path / "half.pdf").write_bytes(pdf([*PAGES, []]))
    assert read_document(tmp_path / "half.pdf").left_out == {"PDF page without text": 1}


@pytest.mark.parametrize("name", ["a.txt", "A.TXT", "a.Md", "a.markdown", "a.txt.gz", "A.MD.GZ"])
def test_one_function_reads_every_text_file(tmp_path, name):
    content = b"\xef\xbb\xbfOne line.\r\n\r\nAnother line."
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    document = read_document(tmp_path / name)
    assert document.paragraphs == ("One line.", "Another line.")
    assert document.text == "One line.\r\n\r\nAnother line."
    with pytest.raises(InputError, match=r"does not end in \.txt"):
        read_document(tmp_path / "a.docx")


def test_one_bad_file_does_not_refuse_the_other_hundred_where_that_is_asked_for(tmp_path, caplog):
    for number in range(100):
        (tmp_path / f"{number:03d}.TXT").write_text("\n\n".join(sentence("alpha", 10 * number + n) for n in range(10)))
    (tmp_path / "a.pdf").write_bytes(pictures())
    (tmp_path / "b.md").write_bytes(b"caf\xe9")
    (tmp_path / "c.docx").write_bytes(b"PK")
    with pytest.raises(InputError) as error:
        load_data("text", str(tmp_path), "all", min_words=40)
    assert [line.partition(": ")[0] for line in error.value.problems] == [
        str(tmp_path / "a.pdf"),
        str(tmp_path / "b.md"),
        str(tmp_path),
    ]
    assert "2 of 102 files cannot be read" in error.value.problems[-1]
    assert "skip_bad_files: true" in error.value.problems[-1]
    data = load_data("text", str(tmp_path), "all", min_words=40, skip_bad_files=True)
    assert len(data.groups) == 100
    assert data.left_out["scanned PDF without text"] == 1
    assert data.left_out["file that is not in UTF-8"] == 1
    assert data.left_out["file of another kind (.docx)"] == 1
    assert [line.partition(": ")[0] for line in caplog.messages] == [str(tmp_path / "a.pdf"), str(tmp_path / "b.md")]
    (tmp_path / "b.md").unlink()
    (tmp_path / "a.pdf").unlink()
    assert load_data("text", str(tmp_path), "all", min_words=40).revision == data.revision, "what was read is its identity"


def test_a_folder_of_bad_files_alone_is_refused_whatever_was_asked_for(tmp_path):
    (tmp_path / "b.md").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="not UTF-8 at byte 3"):
        read_texts(str(tmp_path), None, None, skip_bad_files=True)
    with pytest.raises(InputError, match=r"skip_bad_files = true: is for the files of data\.name=text"):
        load_data("records", skip_bad_files=True)


def test_every_bad_file_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "a_locked.pdf").write_bytes(encrypted())
    (tmp_path / "b_scan.pdf").write_bytes(scanned())
    (tmp_path / "c_broken.pdf").write_bytes(pdf(PAGES)[:300])
    (tmp_path / "d_other.pdf").write_bytes(b"no PDF at all")
    (tmp_path / "e_empty.md").write_text("---\ntitle: nothing\n---\n\n")
    (tmp_path / "f_latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_texts(str(tmp_path), None, None)
    expected = ["is encrypted", "OCR", "cannot be read as a PDF", "cannot be read as a PDF", "is empty", "not UTF-8 at byte 3"]
    assert len(error.value.problems) == len(expected)
    for line, name, part in zip(error.value.problems, "abcdef", expected, strict=True):
        assert line.startswith(str(tmp_path / name))
        assert part in line
        assert "\n" not in line


MARKDOWN = """---
title: dropped
---
Handbook
========
See [the *plan*](https://a.b/c_(d) "t"), ![a chart](c.png) and [rules][r], but not `a[0](b)`
or <https://x.y>. [![built](b.svg)](https://ci)

## Machines ##
### Presses
Press 7 weighs
40 tonnes.
```python
x = {"a": [1](2)}

# no heading
```
Last words. #tag

[r]: https://rules
#
"""


def test_markdown_keeps_topics_and_code_and_drops_front_matter_and_addresses():
    assert markdown_paragraphs(MARKDOWN) == [
        "Handbook\nSee the *plan*, a chart and rules, but not `a[0](b)` or https://x.y. built",
        "Machines\nPresses\nPress 7 weighs 40 tonnes.",
        '```python\nx = {"a": [1](2)}\n\n# no heading\n```',
        "Last words. #tag",
    ]


@given(st.sampled_from(["---", "+++"]), st.booleans(), st.lists(st.sampled_from(["", "Two words", "one: two"]), max_size=4))
def test_text_between_two_rules_is_no_front_matter(mark, blank, held):
    """Front matter begins in the line behind its mark; behind a rule there is a blank one."""
    text = "\n".join([mark, *([""] if blank else ["a: b"]), *held, mark, "", "The end."])
    paragraphs = markdown_paragraphs(text)
    assert paragraphs[-1].endswith("The end.")
    words = " ".join(paragraphs).replace(mark, "").split()
    assert words == ([*" ".join(held).split(), "The", "end."] if blank else ["The", "end."])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[`f()`](u) and [x]", "`f()` and [x]"),
        (r"no \[link](u)", "no [link](u)"),  # the escape is markup
        ("a<br>b <b>c</b> <!-- d --> &amp; <img src=x alt=chart>", "a\nb c  & chart"),
        ("[a [b] c](u) [](u)", "a [b] c "),
        ("text[^1] (see) [a] (b)", "text[^1] (see) [a] (b)"),
    ],
)
def test_links_become_their_text(text, expected):
    assert "".join(_inline(token) for token in _parser().parseInline(text)) == expected


def test_an_open_code_block_ends_with_the_file():
    assert markdown_paragraphs("~~~~\na\n~~~\nb") == ["~~~~\na\n~~~\nb"]
    assert markdown_paragraphs("---\nno front matter, a rule") == ["no front matter, a rule"]


HTML = """<!-- a comment

over blank lines -->
<p align="center">
  <img src="logo.svg" alt="Linden Works">
</p>
<h1>Presses &amp; pumps</h1>

<details><summary>More</summary>

Press <b>7</b> weighs<br>40 tonnes.

</details>
<style>p { color: red }</style>
<script>
let x = "no text";
</script>

| Press | Weight |
|-------|-------:|
| [seven](u) | 40 t |

1. Oil it.
2. Run it:
   - slowly
   - often

> Quoted *words*
> go on.
"""


def test_html_in_markdown_becomes_what_it_shows():
    assert markdown_paragraphs(HTML) == [
        "Linden Works\nPresses & pumps",
        "More",
        "Press 7 weighs\n40 tonnes.",
        "| Press | Weight |\n| seven | 40 t |",
        "1. Oil it.\n2. Run it:\n  - slowly\n  - often",
        "Quoted *words* go on.",
    ]
    assert markdown_paragraphs("<div>\n<br/>\n</div>\n<!-- nothing -->") == []


@given(st.text(alphabet="<!-[]/>?az =\"'c", max_size=40))
@example("(?<![a-z])foo")
@example("<![endif]-->x")
def test_html_of_any_kind_is_read(inside):
    assert html_text(f"<p>first</p><p>{inside}</p>").startswith("first")


def test_a_look_behind_in_a_cell_is_text():
    """And no marked section of SGML, for which Python's parser takes it."""
    assert html_text("<td><code>(?<![a-z])foo</code></td>") == "(?<![a-z])foo"
    table = "<table>\n<tr><td>(?<![a-z])foo</td></tr>\n</table>\n\nAfter it."
    assert markdown_paragraphs(table) == ["(?<![a-z])foo", "After it."]


@given(st.text(alphabet="ab# *-_`<>[]()!|&;\n\"'", max_size=80))
@settings(deadline=None, max_examples=200)
def test_any_markdown_is_read_without_blank_paragraphs(text):
    assert all(paragraph.strip() for paragraph in markdown_paragraphs(text))


def sentence(topic, number):
    return f"In the year {1900 + number} the {topic} plant number {number} made {number * 17} tonnes for Carl Linden."


def test_a_folder_of_all_three_kinds_is_cut_into_passages_with_questions(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("\n\n".join(sentence("alpha", n) for n in range(20)))
    (tmp_path / "b.md").write_text("# Beta\n\n" + "\n\n".join(sentence("beta", n) for n in range(20)))
    pages = [[HEADER, *(sentence("gamma", n) for n in part)] for part in (range(10), range(10, 20))]
    (tmp_path / "sub" / "c.PDF").write_bytes(pdf(pages))
    texts = read_texts(str(tmp_path), 40, 80)
    assert {p.group for p in texts.passages} == {"a.txt", "b.md", "sub/c.PDF"}
    for topic, name in (("alpha", "a.txt"), ("beta", "b.md"), ("gamma", "sub/c.PDF")):
        whole = " ".join(" ".join(p.text for p in texts.passages if p.group == name).split())
        assert sum(sentence(topic, n) in whole for n in range(20)) == 20
        assert HEADER not in whole
    data = load_text(str(tmp_path), "all", 0, 40, 80)
    assert data.groups == {"a.txt", "b.md", "sub/c.PDF"}
    assert all(p.answer in p.document for p in data.problems)
    before = {document_hash(p.text) for p in texts.passages}
    assert before == {document_hash(p.text) for p in read_texts(str(tmp_path), 40, 80).passages}


@pytest.mark.parametrize(("given", "kept"), [("A ran.", ("A ran.",)), (["A ran.", "B sat."], ("A ran.", "B sat.")), (None, ())])
def test_evidence_is_one_text_or_several(tmp_path, given, kept):
    row = {"id": "1", "document": "A ran. B sat.", "query": "Who?", "evidence": given}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    [problem] = load_data("jsonl", str(tmp_path / "d.jsonl"), "all").problems
    assert problem.evidence == kept
    (tmp_path / "d.jsonl").write_text(json.dumps({**row, "evidence": ["A ran.", " "]}))
    with pytest.raises(InputError, match="field 'evidence': must be a list of non-empty strings"):
        load_data("jsonl", str(tmp_path / "d.jsonl"), "all")


def test_code_in_a_list_and_in_html_keeps_its_lines():
    text = "- ```py\n  x = 1\n  if x:\n      y = 2\n  ```\n- b\n\n<pre>\nrow 1\n    row  2\n</pre>\n\n<p>one\nline</p>"
    assert markdown_paragraphs(text) == ["- ```py\n  x = 1\n  if x:\n      y = 2\n  ```\n- b", "row 1\n    row  2", "one line"]


LOG = "\n".join(f"2026-01-01 12:00:{i:02d} INFO the worker number {i:02d} has started and is well" for i in range(5))
CODE = "def f(x):\n    if x:\n        return 1\n    return 2"
TALK = "Anna: Hello there, how are you doing today, my friend?\nBob: Fine."
POEM = "Roses are red,\nviolets are blue,\nsugar is sweet."
WORDS = st.lists(st.text("abcdefg", min_size=1, max_size=9), min_size=30, max_size=80)


@given(st.lists(st.sampled_from([LOG, CODE, TALK, POEM]), min_size=1, max_size=4), st.lists(WORDS, max_size=2), st.integers(60, 90))
@settings(deadline=None, max_examples=40)
def test_lines_that_were_not_wrapped_stay(blocks, prose, width):
    wrapped = [textwrap.fill(" ".join(found), width) for found in prose]
    assert paragraphs_of("\n\n".join([*wrapped, *blocks]))[len(prose) :] == blocks
    assert paragraphs_of("\n\n".join(wrapped)) == [" ".join(found) for found in prose]
