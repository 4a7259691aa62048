"""The user's own folders: PDF and Markdown become the paragraphs that a reader sees; bad files are one line each."""

import io
import json

import pytest

from infoagent.data.markdown import markdown_paragraphs, without_links
from infoagent.data.own import load_text, read_texts
from infoagent.data.pdf import pdf_paragraphs, rebuilt, without_running_lines
from infoagent.data.questions import document_hash
from infoagent.data.registry import load_data
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
    bodies = [
        [*(f"{word} of page {p}" for word in "abcd"), "Yes", *(f"{word} of page {p}" for word in "efgh")]
        for p in "uvwxyz"
    ]
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
    assert rebuilt([["The years 1990-", "1995 and the Baden-", "Baden line"]]) == [
        "The years 1990- 1995 and the Baden- Baden line"
    ]


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


def test_every_bad_file_of_a_folder_is_one_line(tmp_path):
    (tmp_path / "a_locked.pdf").write_bytes(encrypted())
    (tmp_path / "b_scan.pdf").write_bytes(scanned())
    (tmp_path / "c_broken.pdf").write_bytes(pdf(PAGES)[:300])
    (tmp_path / "d_other.pdf").write_bytes(b"no PDF at all")
    (tmp_path / "e_empty.md").write_text("---\ntitle: nothing\n---\n\n")
    (tmp_path / "f_latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_texts(str(tmp_path), None, None)
    expected = [
        "is encrypted",
        "OCR",
        "cannot be read as a PDF",
        "cannot be read as a PDF",
        "is empty",
        "not UTF-8 at byte 3",
    ]
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[`f()`](u) and [x]", "`f()` and [x]"),
        (r"no \[link](u)", r"no \[link](u)"),
        ("[a [b] c](u) [](u)", "a [b] c "),
        ("text[^1] (see) [a] (b)", "text[^1] (see) [a] (b)"),
    ],
)
def test_links_become_their_text(text, expected):
    assert without_links(text) == expected


def test_an_open_code_block_ends_with_the_file():
    assert markdown_paragraphs("~~~~\na\n~~~\nb") == ["~~~~\na\n~~~\nb"]
    assert markdown_paragraphs("---\nno front matter, a rule") == ["--- no front matter, a rule"]


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


@pytest.mark.parametrize(
    ("given", "kept"), [("A ran.", ("A ran.",)), (["A ran.", "B sat."], ("A ran.", "B sat.")), (None, ())]
)
def test_evidence_is_one_text_or_several(tmp_path, given, kept):
    row = {"id": "1", "document": "A ran. B sat.", "query": "Who?", "evidence": given}
    (tmp_path / "d.jsonl").write_text(json.dumps(row))
    [problem] = load_data("jsonl", str(tmp_path / "d.jsonl"), "all").problems
    assert problem.evidence == kept
    (tmp_path / "d.jsonl").write_text(json.dumps({**row, "evidence": ["A ran.", " "]}))
    with pytest.raises(InputError, match="field 'evidence': must be a list of non-empty strings"):
        load_data("jsonl", str(tmp_path / "d.jsonl"), "all")
