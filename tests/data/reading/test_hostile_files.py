"""Damaged and hostile files of every format that is read: mutants of good ones, of their bytes and of what they hold.

A reader takes a mutant or refuses it with its own error, in lines that a terminal shows. It stays within a limit on memory and
time: all mutants of a format are read in a process of their own, which a reader that does not fails clearly.
"""

import gzip
import io
import json
import os
import pickle
import random
import resource
import sys
import time
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest

from infoagent.applications.research.rubric import NoScore, parse_race
from infoagent.applications.research.search.corpus import corpus_of_file
from infoagent.config import load_recipe, recipe_keys
from infoagent.data.questions import read_questions
from infoagent.data.reading import apart as process_apart
from infoagent.data.reading.documents import read_document
from infoagent.data.reading.tables import BadFile, file_rows
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.data.sets.own import load_jsonl, read_texts
from infoagent.grading.answers import grade, judge_grade
from infoagent.information.analysis import analyse
from infoagent.information.scores import ScoreMatrix
from infoagent.lm.adapters import read_settings, tensors_of
from infoagent.parsing import LIMIT_VARIABLE, json_loads
from infoagent.recipes import GRPORecipe
from infoagent.structured.form import load_form
from infoagent.types import InputError

FEW, MANY = range(150), range(150, 650)
"""Numbers of the mutants: of each run of the suite, and of those that take their time."""
SECONDS = 4
"""Of the processor, for one mutant: an honest one takes milliseconds."""
EXTRA_BYTES = 1 << 30
"""What reading may take beside what the process holds already."""

# ---- good files ------------------------------------------------------------------------------------------------

TEXT = (
    "The mill at Lund was built in 1873 by Anna Berg. It ground 12 tonnes of rye a day, and 3.5 % went to the parish. "
    "In 1901 the river rose; the wheel broke on 3 May 1902. The new owner, Carl Holm, paid $1,250.50 for it.\n\n"
    "Today the house holds a library of 4,000 books, and a school for 60 children between six and ten years.\n"
)
ROWS = [
    {
        "id": f"q{n}",
        "document": f"{TEXT}Number {n}.",
        "query": "When?",
        "answer": "1873",
        "choices": ["1873", "1901"],
        "references": [],
        "group": "g",
        "negatives": [TEXT.replace("1873", "1874")],
        "evidence": ["in 1873"],
    }
    for n in range(3)
]
CHATS = [
    {"id": "c1", "turns": [{"role": "user", "content": f"Say {n}."} if n % 2 == 0 else
                           {"role": "assistant", "content": [{"type": "text", "text": f"Mill {n} was built in {1870 + n}."}],
                            "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]} for n in range(8)],
     "probes": [{"turn": t, "question": "When?", "answer": f"{1871 + 2 * t}", "choices": [f"{1871 + 2 * t}", "1901", "1902"]}
                for t in range(2)]},
]  # fmt: skip
SQUAD = {"version": "1.1", "data": [{"title": "Mill", "paragraphs": [{"context": TEXT, "qas": [
    {"id": "a1", "question": "When was it built?", "answers": [{"text": "1873", "answer_start": 32}]}]}]}]}  # fmt: skip
MEETING = [{"meeting_transcripts": [{"speaker": "Anna", "content": TEXT}, {"speaker": "Bo", "content": "Yes."}],
            "general_query_list": [{"query": "What?", "answer": "A mill."}], "specific_query_list": []}]  # fmt: skip
QUESTIONS = [
    {
        "questions_version": 1,
        "model": "m",
        "model_revision": "1",
        "template": "v1",
        "temperature": 0.7,
        "seed": 0,
        "created": "2026-01-01T00:00:00Z",
        "commit": "c",
        "data": {"name": "text", "revision": "r"},
    },
    {"document_sha256": "a" * 64, "document_id": "d", "kind": "extractive", "query": "When?", "answer": "1873"},
]
SCHEMA = {"type": "object", "properties": {"year": {"type": "integer", "minimum": 0}, "name": {"$ref": "#/$defs/n"}},
          "required": ["year"], "additionalProperties": False, "$defs": {"n": {"type": "string", "pattern": "^[A-Z]"}}}  # fmt: skip
RECIPE = {"output_dir": "out", "model": {"name": "m"}, "data": {"name": "records"}, "reward": {"price": 0.05}, "seed": 1}
ADAPTER = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "base_model_name_or_path": "m"}
MARKDOWN = (
    f"---\ntitle: x\n---\n# Mill\n\n{TEXT}\n\n- a [link](http://x.y 'z')\n  1. b **bold** _c_\n\n> quote\n> > more\n\n| a | b |\n"
    "|---|---|\n| 1 | `2` |\n\n```py\nx = 1\n```\n\n![picture](a.png)\n\n[ref]: http://x\n\n<!-- no --> &amp; ~~gone~~\n"
)
HTML = f"<div class='a'><h1>Mill</h1><p>{TEXT}</p><table><tr><td>1<td>2</table><script>var a = '<b>';</script><img alt=x></div>\n"
REPLIES = [
    'Let me think. <think>No</think> ```json\n{"answer": "1873", "why": ["a", 1, null,]}\n```', "Answer: (B) 12.5 % of $1,250",
    "The answer is \\boxed{\\frac{1}{2}} or 3 May 2021, 12 mg/dl.", '{"correct": true, "A": {"d": 7}, "B": {"d": 3}}',
]  # fmt: skip


def lines_of(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table_of(rows, delimiter):
    cells = [list(rows[0])] + [[v if isinstance(v, str) else json.dumps(v) for v in row.values()] for row in rows]
    return "\n".join(delimiter.join('"' + c.replace('"', '""') + '"' for c in row) for row in cells).encode(
        "utf-8", "surrogatepass"
    )


def parquet_of(rows, **options):
    import pyarrow as arrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), stream, **options)
    return stream.getvalue()


def matrix_arrays():
    rng = np.random.default_rng(0)
    return {
        "log_probs": -rng.random((6, 3)),
        "source": np.arange(6) % 3,
        "document": np.array(list("aabbcc")),
        "columns": np.array(list("xyz")),
        "counterfactual": -rng.random((6, 2)),
        "about": np.array('{"estimand": "I"}'),
        "tokens": np.full(6, 2),
        "token": np.array(list("abcdefabcdef")),
        "token_log_probs": -rng.random((12, 5)),
    }


def npz_of(arrays, save=np.savez):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def pdf_of(streams):
    """A PDF with one page a stream, written by hand: its numbers can be changed to anything."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for content in streams:
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (len(objects) + 2)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(out),
    )


def page_of(text):
    lines = b"".join(b"(%s) Tj 0 -14 Td\n" % line.encode("latin-1", "replace") for line in text.split(". "))
    return b"BT /F1 12 Tf 50 750 Td\n%sET" % lines


def safetensors_of(header, content=b"\0" * 64):
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + content


# ---- mutants ---------------------------------------------------------------------------------------------------

PIECES = [
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n", b"\r", b'"', b"'", b"{", b"[", b"]", b"}", b":", b",", b"-", b"&a ",
    b"*a", b"<<: ", b"!!int ", b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 3000, b'{"a":' * 1500, b"(" * 3000,
    b" " * 5000, b"\t" * 3000, b"<!--" * 500, b"<a b='" * 500, b"[a](" * 1000, b"> " * 1000, b"- " * 1000, b"`" * 3000, b"|" * 2000,
    b"\x1b[2J", b"\\boxed{" * 300, b"1," * 4000, b"1 " * 4000, b"<think>", b"2**9**9**9", b"\x1f\x8b\x08", b"PK\x03\x04", b"\xff" * 50,
]  # fmt: skip


def byte_mutant(rng, seeds):
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(content) + 1)
        length = rng.choice((1, 1, 2, 8, 64, 512))
        match rng.randrange(8):
            case 0 if at < len(content):
                content[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(content):
                content[at] = rng.choice((0, 255, 127, 128, 10, 34, rng.randrange(256)))
            case 2:
                del content[at : at + length]
            case 3:
                content[at:at] = content[at : at + length] * rng.choice((1, 2, 30))
            case 4:
                content[at:at] = rng.choice(PIECES)
            case 5:
                content[at : at + length] = rng.choice(PIECES)
            case 6:
                del content[at:]
            case 7:
                other = rng.choice(seeds)
                content[at:] = other[rng.randrange(len(other)) :]
    return bytes(content)


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value] if levels % 2 else {"a": value}
    return value


def odd_value(rng):
    return rng.choice(
        (
            None,
            True,
            False,
            0,
            -1,
            10**12,
            10**250,
            10**400,
            0.5,
            float("nan"),
            float("inf"),
            "",
            " ",
            "\0",
            "\ud800",
            "x" * 50000,
            "\u202e",
            "1" * 6000,
            [],
            {},
            [[]],
            [None],
            {"": 1},
            {"a" * 3000: 0},
            deep(90),
            deep(200),
            ["x"] * 300,
            "\x1b[31m",
            "2026-13-45",
            "/dev/zero",
            "../../etc",
            "é" * 99,
            [1, "1", 1.0],
            "null",
            {"$ref": "#"},
        )
    )


def changed(rng, value):
    """A copy of plain data in which one place is another value, stands twice, or is gone."""
    value = json.loads(json.dumps(value))
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    if not isinstance(value, dict | list) or not value:
        return odd_value(rng)
    walk(value)
    for _ in range(rng.choice((1, 1, 2, 5))):
        node, key = rng.choice(places)
        match rng.randrange(6):
            case 0 if isinstance(node, dict):
                node.pop(key, None)
            case 1 if isinstance(node, dict):
                node[rng.choice((f"{key}s", key.upper(), "", "\0"))] = odd_value(rng)
            case 2 if isinstance(node, list):
                node.extend(node[:3] * 2)
            case _:
                if isinstance(node, dict) or key < len(node):
                    node[key] = odd_value(rng)
    return value


def dumped(value):
    """10 ** 400 and NaN as a foreign program would write them."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def structures(data, write):
    return lambda rng: write(changed(rng, data))


def rows_mutant(data):
    return lambda rng: b"\n".join(dumped(row) for row in as_list(changed(rng, data))) + b"\n"


def as_list(value):
    return value if isinstance(value, list) else [value]


def table_mutant(delimiter):
    def write(rng):
        rows = [row for row in as_list(changed(rng, ROWS)) if isinstance(row, dict) and row] or ROWS
        return table_of(rows, delimiter).replace(b"\x00", b"")

    return write


def parquet_mutant(rng):
    import pyarrow as arrow

    while True:
        rows = [row for row in as_list(changed(rng, ROWS)) if isinstance(row, dict)]
        try:
            return parquet_of(rows, compression=rng.choice(("snappy", "gzip", "none")), version=rng.choice(("1.0", "2.6")))
        except (arrow.ArrowException, OverflowError, UnicodeEncodeError):
            continue  # no table can hold such rows


def npz_mutant(rng):
    arrays = matrix_arrays()
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(list(arrays))
        array = np.atleast_1d(arrays[name])
        arrays[name] = (
            rng.choice(
                (
                    lambda a: a.astype(complex) if a.dtype.kind in "fi" else a,
                    lambda a: a[..., None],
                    lambda a: a.ravel(),
                    lambda a: a[:0],
                    lambda a: np.array(["x"] * a.size).reshape(a.shape),
                    lambda a: a.astype("U50"),
                    lambda a: np.array(5),
                    lambda a: np.full(a.shape, np.nan),
                    lambda a: np.full(a.shape, np.inf),
                    lambda a: np.full(a.shape, -7),
                    lambda a: np.full(a.shape, 2**62),
                    lambda a: np.full(a.shape, 1e308),
                    lambda a: a.astype("S5"),
                    lambda a: a > a,
                    lambda a: np.array(dumped(odd_value(rng)).decode()[:5000]),
                    lambda a: a[:1],
                    lambda a: np.zeros((0, 4)),
                    lambda a: np.array(["2026-01-01"], "datetime64[D]"),
                    lambda a: np.zeros(3, [("a", "f8")]),
                )
            )(array)
            if array.dtype.kind != "U" or rng.random() < 0.8
            else array.astype("S", casting="unsafe")
        )
        if rng.random() < 0.1:
            del arrays[name]
    return npz_of(arrays, rng.choice((np.savez, np.savez_compressed)))


def lying_npz(rng):
    """An array whose header claims another shape or type than it has."""
    stream = io.BytesIO()
    shape = rng.choice(
        ("(99999999999, 99999999999)", "(-3, 4)", "()", "(1000000000,)", "(3,) * 9", "(2,3,4,5,6,7,8)", "None", "(" * 300)
    )
    kind = rng.choice(("<f8", "|O", "<U999999999", "<c16", "<M8[s]", "|V8", "<f2", ">f8", "|b1", "x" * 40, "|S0", "<U0"))
    head = f"{{'descr': '{kind}', 'fortran_order': {rng.choice(('True', 'False', '3'))}, 'shape': {shape}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    body = b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head.encode() + rng.choice((b"", b"\0" * 64, pickle.dumps([1])))
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        archive.writestr(rng.choice(("log_probs.npy", "source.npy", "x")), body)
    return stream.getvalue()


def pdf_mutant(rng):
    pages = [page_of(TEXT), page_of(MARKDOWN)]
    pages[rng.randrange(2)] = rng.choice(
        (
            b"BT /F1 12 Tf " + b"1 " * 5000 + b"Td (x) Tj ET",
            page_of("7 " * 5000),
            page_of(" ".join(map(str, range(3000)))),
            b"q " * 5000,
            b"[" * 2000,
            b"<" * 5000,
            b"(" * 5000,
            b"BT [" + b"(a) -9999999 " * 500 + b"] TJ ET",
            b"/X Do " * 500,
            b"BI ID " * 300,
            b"\0" * 500,
            b"BT /F1 1e309 Tf 1 0 0 1 1e300 -1e300 Tm (x) Tj ET",
            b"9" * 5000 + b" Tf",
            page_of("a-\nb " * 2000),
        )
    )
    content = pdf_of(pages)
    for _ in range(rng.randrange(3)):
        old, new = rng.choice(
            (
                (b"/Parent 2 0 R", b"/Parent 4 0 R"),
                (b"/Kids [", b"/Kids [2 0 R "),
                (b"/Root 1 0 R", b"/Root 2 0 R"),
                (b"/Count 2", b"/Count 99999999"),
                (b"/Length ", b"/Length 9"),
                (b"startxref\n", b"startxref\n9"),
                (b"/Contents 5", b"/Contents 4"),
                (b"/Size ", b"/Prev 0 /Size "),
                (b"endstream", b""),
                (b"/Type /Pages", b"/Type /Pages /Resources 2 0 R"),
                (b"/Length ", b"/Filter [/FlateDecode /ASCII85Decode] /Length "),
                (b"/Filter", b"/DecodeParms << /Predictor 15 >> /Filter"),
                (b"/BaseFont", b"/Encoding << /Differences [0 /a 999999999 /b] >> /BaseFont"),
                (b"/Helvetica", b"/Helvetica /ToUnicode 5 0 R"),
                (b"trailer\n<<", b"trailer\n<< /Encrypt 3 0 R"),
            )
        )
        content = content.replace(old, new, 1)
    return content


def encoded(rng):
    text = changed_text(rng, TEXT)
    return text.encode(rng.choice(("utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig", "shift_jis", "utf-7")), "replace")


def changed_text(rng, text):
    """A text with a run of some of its own signs, or of others, in it."""
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(
            (
                text[at : at + rng.randrange(1, 6)] * 600,
                rng.choice("[]()<>*_`|#>-+&!\"'\\ \t\n.,:;~^$%={}9aé中\u200d\u0301\x00") * 2500,
                rng.choice(PIECES).decode("latin-1"),
                " ".join(map(str, range(2000))),
            )
        )
        text = text[:at] + piece[:3000] + text[at:]
    return text


def packed(rng):
    inner = byte_mutant(rng, [lines_of(ROWS)]) if rng.random() < 0.7 else b"x " * 5000
    content = gzip.compress(inner)
    return byte_mutant(rng, [content]) if rng.random() < 0.5 else content


# ---- readers ---------------------------------------------------------------------------------------------------


def rows(file):
    load_jsonl(str(file), "all")


def texts(file):
    read_texts(str(file), 5, 60)


def recipe(file):
    recipe_keys(file)
    load_recipe(GRPORecipe, file)


def override(file):
    load_recipe(GRPORecipe, None, ["output_dir=out", file.read_bytes().decode("latin-1")])


def histories(file):
    load_histories("conversations", Wanted(4, 2, 2), path=str(file))


def scores(file):
    analyse(ScoreMatrix.load(file), drop_failed=True)


def adapter(file):
    read_settings(file.parent)


def weights(file):
    tensors_of(file.parent)


def reply(file):
    text = file.read_bytes().decode("utf-8", "replace")
    for method, answer, choices in (
        ("choice", "1873", ("1873", "1901", "A")),
        ("numeric", "12.5 %", ()),
        ("exact", "3 May 2021", ()),
    ):
        grade(text, answer, choices=choices, method=method)
    judge_grade(text)
    parse_race(text, ["d"])


JSONL, CHAT = lines_of(ROWS), lines_of(CHATS)
TENSORS = safetensors_of({"a.lora_A.weight": {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]}})
FORMATS = {
    # name: (file name, good files, mutant of the structure, reader, errors that are its own)
    "recipe": ("r.yaml", [dumped(RECIPE), b"output_dir: &a out\nmodel: {name: *a}\ndata:\n  name: records\nseed: 0x1F\n"],
               structures(RECIPE, dumped), recipe, InputError),
    "override": ("o.txt", [b"reward.price=0.05", b"data={name: records, limit: 3}", b"negatives.topic=3"],
                 lambda rng: rng.choice((b"seed=", b"data.", b"model.name=", b"x=")) + dumped(odd_value(rng)), override, InputError),
    "json": ("d.json", [dumped(ROWS), dumped(SQUAD)], structures(ROWS, dumped), rows, InputError),
    "squad": ("s.json", [dumped(SQUAD)], structures(SQUAD, dumped), rows, InputError),
    "meetings": ("m.jsonl", [lines_of(MEETING)], rows_mutant(MEETING), rows, InputError),
    "jsonl": ("d.jsonl", [JSONL], rows_mutant(ROWS), rows, InputError),
    "csv": ("d.csv", [table_of(ROWS, ",")], table_mutant(","), rows, InputError),
    "tsv": ("d.tsv", [table_of(ROWS, "\t")], table_mutant("\t"), rows, InputError),
    "parquet": ("d.parquet", [parquet_of(ROWS), parquet_of(ROWS, compression="gzip")], parquet_mutant, rows, InputError),
    "gz rows": ("d.jsonl.gz", [gzip.compress(JSONL)], packed, rows, InputError),
    "gz text": ("d.txt.gz", [gzip.compress(TEXT.encode())], packed, texts, InputError),
    "chat logs": ("c.jsonl", [CHAT], rows_mutant(CHATS), histories, InputError),
    "questions": ("q.jsonl", [lines_of(QUESTIONS)], rows_mutant(QUESTIONS), lambda f: read_questions(str(f)), InputError),
    "corpus": ("k.jsonl", [lines_of([{"id": 1, "text": TEXT, "title": "t"}])], rows_mutant([{"id": 1, "text": TEXT, "title": "t"}]),
               lambda f: corpus_of_file(str(f)), InputError),
    "schema": ("f.json", [dumped(SCHEMA)], structures(SCHEMA, dumped), lambda f: load_form(str(f)), InputError),
    "text": ("t.txt", [TEXT.encode(), TEXT.encode("utf-16")], encoded, texts, InputError),
    "markdown": ("t.md", [MARKDOWN.encode()], lambda rng: changed_text(rng, MARKDOWN).encode("utf-8", "replace"), texts, InputError),
    "html": ("h.md", [HTML.encode()], lambda rng: changed_text(rng, HTML).encode("utf-8", "replace"), texts, InputError),
    "pdf": ("t.pdf", [pdf_of([page_of(TEXT), page_of(MARKDOWN)])], pdf_mutant, texts, InputError),
    "score matrix": ("s.npz", [npz_of(matrix_arrays()), npz_of(matrix_arrays(), np.savez_compressed)],
                     lambda rng: (npz_mutant if rng.random() < 0.7 else lying_npz)(rng), scores, ValueError),
    "adapter settings": ("adapter_config.json", [dumped(ADAPTER)], structures(ADAPTER, dumped), adapter, InputError),
    "adapter weights": ("adapter_model.safetensors", [TENSORS],
                        structures({"a": {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]}}, safetensors_of), weights, InputError),
    "replies": ("r.txt", [r.encode() for r in REPLIES], lambda rng: changed_text(rng, rng.choice(REPLIES)).encode("utf-8", "replace"),
                reply, NoScore),
}  # fmt: skip


def one_line_each(error):
    said = error.problems if isinstance(error, InputError) else [str(error)]
    assert all(line and "\n" not in line and len(line) < 2000 for line in said), said
    assert len(said) <= 60


def read_mutants(name, folder, numbers):
    """In a process of its own: the first mutant that its reader did not stand, as text; empty where there is none."""
    file_name, seeds, structure, reader, own = FORMATS[name]
    file = folder / file_name
    refused = 0
    for number in numbers:
        rng = random.Random(f"{name} {number}")
        content = byte_mutant(rng, seeds) if number % 2 else structure(rng)
        file.write_bytes(content)
        start = time.process_time()
        try:
            reader(file)
        except own as error:
            refused += 1
            try:
                one_line_each(error)
            except AssertionError as wrong:
                return f"mutant {number}: no one-line error: {str(wrong)[:500]}"
        except BaseException:
            return f"mutant {number} ({content[:60]!r}…):\n{traceback.format_exc()[-2500:]}"
        if time.process_time() - start > SECONDS:
            return f"mutant {number} ({content[:60]!r}…) took {time.process_time() - start:.1f} s"
    told = f"{refused} of {len(numbers)} were refused: are these mutants?"
    return "" if len(numbers) // 20 < refused < len(numbers) else told


def held_bytes():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def apart(work):
    """`work()` in a forked process under limits; its text, or what ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            soft = held_bytes() + EXTRA_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
            sys.setrecursionlimit(1000)
            with os.fdopen(writing, "wb") as stream:
                stream.write(b"." + work().encode("utf-8", "replace"))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    return said[1:].decode() if said else f"the process fell: status {os.waitstatus_to_exitcode(status)}"


@pytest.mark.parametrize("numbers", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["few", "many"])
@pytest.mark.parametrize("name", FORMATS)
def test_mutants_of_every_format_are_read_or_refused(name, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(process_apart, "SECONDS", 2)  # of the process that reads PDF; a minute each would be long here
    found = apart(lambda: read_mutants(name, tmp_path, numbers))
    assert not found, f"{name}: {found}"


@pytest.mark.parametrize("name", FORMATS)
def test_the_good_files_are_good(name, tmp_path):
    """Mutants of what no reader takes would show nothing."""
    file_name, seeds, _, reader, own = FORMATS[name]
    if name in ("text", "replies"):
        seeds = seeds[:1]
    for seed in seeds:
        (tmp_path / file_name).write_bytes(seed)
        if name == "replies":
            with pytest.raises(own):
                reader(tmp_path / file_name)
        else:
            reader(tmp_path / file_name)


# ---- one at a time ---------------------------------------------------------------------------------------------


def test_a_few_hundred_bytes_of_aliases_are_refused(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    start = time.process_time()
    with pytest.raises(InputError, match="once its aliases are written out"):
        load_recipe(GRPORecipe, tmp_path / "bomb.yaml")
    (tmp_path / "self.yaml").write_text("a: &a {b: [*a]}")
    with pytest.raises(InputError, match="names what it stands in"):
        load_recipe(GRPORecipe, tmp_path / "self.yaml")
    assert time.process_time() - start < 2


def test_a_bad_pdf_is_one_failure_and_the_next_is_read(tmp_path, monkeypatch):
    """A line of 20,000 numbers at the edge of a page, a stream that unpacks to a gigabyte, and pages without an end."""
    import zlib

    monkeypatch.setattr(process_apart, "SECONDS", 5)
    monkeypatch.setattr(process_apart, "SECONDS_A_MIB", 0)
    numbers = pdf_of([page_of(TEXT), b"BT /F1 1 Tf 1 700 Td (%s) Tj ET" % b" ".join(b"%d" % n for n in range(20000))])
    paragraphs = read_document(tmp_path / "numbers.pdf", numbers).paragraphs
    assert any("19999" in p for p in paragraphs)
    assert any("mill at Lund" in p for p in paragraphs)
    bomb = zlib.compress(b"BT (x) Tj ET " * 10_000_000, 9)
    bomb = pdf_of([b"q"]).replace(
        b"<< /Length 1 >>\nstream\nq", b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s" % (len(bomb), bomb)
    )
    slow = pdf_of([b"BT /F1 9 Tf " + b"(a) Tj 1 0 Td " * 1_500_000 + b"ET"])
    for name, content in (("bomb", bomb), ("slow", slow)):
        (tmp_path / f"{name}.pdf").write_bytes(content)
    (tmp_path / "good.pdf").write_bytes(pdf_of([page_of(TEXT)]))
    monkeypatch.setattr(process_apart, "SECONDS", 2)  # a fast machine comes to pypdf's own limit in five
    with pytest.raises(InputError) as caught:
        read_texts(str(tmp_path), 5, 60)
    assert any("slow.pdf: takes more than 2 s" in line for line in caught.value.problems)
    found = read_texts(str(tmp_path), 5, 60, skip_bad_files=True)
    assert {p.group for p in found.passages} == {"good.pdf"}
    assert found.left_out["file that takes too long"] >= 1, found.left_out


def test_a_process_that_was_ended_from_outside_is_started_again(tmp_path):
    good = pdf_of([page_of(TEXT)])
    first = read_document(tmp_path / "a.pdf", good)
    process_apart._process.popen.kill()
    process_apart._process.popen.wait()
    assert read_document(tmp_path / "a.pdf", good) == first


def test_what_unpacks_to_too_much_is_refused_while_it_unpacks(tmp_path, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "2")
    row = json.dumps({"text": "x" * 1000}).encode() + b"\n"
    for name, content in (("a.txt.gz", b"a b. " * 10**6), ("a.jsonl.gz", row * 5000), ("a.csv.gz", b"a,b\n" * 10**6),
                          ("a.json.gz", b"[" + b"1," * 2_000_000 + b"1]"), ("a.txt", b"a b. " * 10**6)):  # fmt: skip
        file = tmp_path / name
        file.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        with pytest.raises(BadFile, match="holds more than 2 MiB, unpacked") as caught:
            read_document(file) if ".txt" in name else list(file_rows(file))
        assert caught.value.cause == "file beyond the limit of size"
    monkeypatch.setenv(LIMIT_VARIABLE, "-1")
    with pytest.raises(InputError, match="must be a whole number of MiB above 0"):
        read_document(tmp_path / "a.txt")


def test_long_markdown_costs_no_more_than_its_limit(tmp_path, monkeypatch):
    assert read_document(tmp_path / "a.md", b"[a](" + b" " * 15_000 + b"b) and more").paragraphs  # read in this process
    monkeypatch.setattr(process_apart, "SECONDS", 2)
    monkeypatch.setattr(process_apart, "SECONDS_A_MIB", 0)
    assert len(read_document(tmp_path / "b.md", (MARKDOWN * 100).encode()).paragraphs) > 500
    with pytest.raises(BadFile, match="takes more than 2 s"):
        read_document(tmp_path / "c.md", b"<!--" * 60_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[" * 101 + "]" * 101, "nested too deep"), ("[" * 10**5, "nested too deep"), ("9" * 5000, "5000 digits"), ("{", "Expecting")],
)  # fmt: skip
def test_json_has_limits(text, said):
    with pytest.raises(ValueError, match=said):
        json_loads(text)
    assert json_loads("[" * 90 + "1" + "]" * 90)


@pytest.mark.parametrize("held", ["{{" * 5000, '{"a":' * 5000, '{"answer": 1}' * 3000, "{ " * 9000, '{"answer": 1,}' * 500])
def test_a_reply_of_thousands_of_branches_is_graded_at_once(held):
    start = time.process_time()
    found = grade(held, "1873")
    assert not found.correct
    assert len(found.detail) < 1000
    assert time.process_time() - start < SECONDS
