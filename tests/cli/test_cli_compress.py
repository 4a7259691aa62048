"""infoagent compress: texts of any length, folders, JSON."""

import io
import json
import re
import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_adapter, tiny_tokenizer

from infoagent.cli import main
from infoagent.lm import long_text
from infoagent.lm.long_text import LEAST_SHARE, CompressionTask, compress_texts, share_of, split_text
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.types import Compression

TOKENIZER = tiny_tokenizer()
PARAGRAPHS = "\n\n".join(f"Paragraph {k} is here. It says {k * 7} things, and a few more." for k in range(150))


def call(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ---- cutting --------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="abc.é漢 \n", min_size=1, max_size=120), min_size=1, max_size=12).map("\n\n".join),
    st.integers(12, 200),
)
def test_parts_lose_nothing_and_fit(text, room):
    if not text.strip():
        return
    parts = split_text(text, room, TOKENIZER)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)
    assert all(len(text_ids(TOKENIZER, part)) <= room for part in parts)


def test_parts_are_cut_between_paragraphs_and_are_about_equal():
    parts = split_text(PARAGRAPHS, 1500, TOKENIZER)
    assert "\n\n".join(parts) == PARAGRAPHS
    sizes = [len(text_ids(TOKENIZER, part)) for part in parts]
    assert len(parts) <= -(-len(PARAGRAPHS) // (1500 - 70))  # one token a byte; a paragraph has less than 70
    assert min(sizes) > 0.8 * max(sizes)


def test_a_long_paragraph_is_cut_between_sentences():
    text = " ".join(f"Sentence number {k} ends here." for k in range(40))
    parts = split_text(text, 200, TOKENIZER)
    assert " ".join(parts) == text
    assert all(part.endswith("here.") for part in parts)


@given(st.lists(st.sampled_from(["a;1;2 x", "    return x", "User: Hi. Who?", "It rained. All left."]), min_size=1, max_size=40))
@settings(deadline=None, max_examples=30)
def test_a_paragraph_that_is_too_long_keeps_its_lines(lines):
    text = "\n".join(lines).strip()
    parts = split_text(text, 40, TOKENIZER)
    at = 0
    for part in parts:  # each stands in the text as it is, and nothing but white space between them
        start = text.index(part, at)
        assert not text[at:start].strip()
        at = start + len(part)
    assert at == len(text)


@given(st.integers(1, 4000), st.integers(1, 50))
def test_shares_fill_the_budget_or_are_the_least(budget, parts):
    share = share_of(budget, parts)
    assert 1 <= share <= budget
    assert parts == 1 or parts * share + parts - 1 <= budget or share == min(budget, LEAST_SHARE)


# ---- parts and rounds, with a compressor that can be counted ------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """A compressor that repeats the first words of its text, and a list of what it was asked."""
    asked = []

    def generate(lm, prompts, ids, max_tokens, temperature, seed):
        texts = [TOKENIZER.decode(p).split("user\n")[1].split("\n\nWrite a short")[0] for p in prompts]
        asked.extend((text, max_tokens) for text in texts)
        made = [text_ids(TOKENIZER, text)[:max_tokens] for text in texts]
        return [Compression(i, TOKENIZER.decode(z), tuple(z), "length", seconds=1.0) for i, z in zip(ids, made, strict=True)]

    monkeypatch.setattr(long_text, "generate", generate)
    return asked


def tiny_lm(context):
    return SimpleNamespace(tokenizer=TOKENIZER, context_tokens=context)


def task(budget, **more):
    return CompressionTask(query="", prompt=Prompt("agnostic-v1"), budget=budget, **more)


@pytest.mark.parametrize("budget", [10, 40, 100, 400])
def test_a_long_text_is_compressed_in_parts_within_the_budget(counted, budget):
    short = "A short one."
    long, other = compress_texts(tiny_lm(1200), [PARAGRAPHS, short], task(budget))
    assert (other.text, other.parts, other.rounds) == (short[:budget], 1, 1)
    first = [text for text, _ in counted if text.startswith("Paragraph") or text == short][: long.parts + 1]
    assert "\n\n".join(text for text in first if text != short) == PARAGRAPHS  # every part was read, once
    assert long.parts > 5
    assert long.tokens <= budget
    assert long.tokens == len(text_ids(TOKENIZER, long.text))
    assert long.source_tokens == len(text_ids(TOKENIZER, PARAGRAPHS))
    assert long.seconds + other.seconds == len(counted)
    assert all(
        len(compressor_ids(TOKENIZER, text, "", Prompt("agnostic-v1"))) + tokens <= 1200 for text, tokens in counted
    )  # no prompt was above the context
    assert (long.rounds == 1) == (long.parts * share_of(budget, long.parts) + long.parts - 1 <= budget)


def test_rounds_end_though_the_joined_parts_do_not_fit_either(counted):
    [made] = compress_texts(tiny_lm(600), [PARAGRAPHS * 4], task(32))
    assert made.tokens <= 32
    assert 3 <= made.rounds <= 8


def test_an_any_rate_adapter_is_told_the_share_of_each_part():
    any_rate = task(64, budget_range=(8, 48))
    assert [any_rate.prompt_for(b).budget_tokens for b in (4, 20, 64)] == [8, 20, 48]
    assert task(64).prompt_for(20) == Prompt("agnostic-v1", thinking=False)


# ---- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def long_file(tmp_path):
    (tmp_path / "long.txt").write_text(PARAGRAPHS)
    return tmp_path / "long.txt"


def test_json_holds_the_text_and_its_figures(capsys, tiny_dir, tmp_path):
    (tmp_path / "x.txt").write_text("a document of some words")
    options = ["--model", tiny_dir, "--budget", "7", "--query", "why?", "--seed", "5"]
    code, out, err = call(capsys, "compress", tmp_path / "x.txt", *options, "--json")
    assert code == 0
    found = json.loads(out)
    plain = call(capsys, "compress", tmp_path / "x.txt", *options)
    assert plain[1] == found["text"] + "\n"
    assert found["source_tokens"] == 24  # one token a byte
    assert found["bytes"] == len(found["text"].encode())
    assert found["ratio"] == 24 / found["tokens"]
    assert (found["parts"], found["truncated"], found["adapter"], found["seed"]) == (1, False, None, 5)
    assert found["model"] == str(tiny_dir)
    assert found["finish"] in ("stop", "length")
    assert found["seconds"] > 0
    assert "24 tokens → " in err


def test_a_text_longer_than_the_context_is_compressed_part_by_part_and_says_so(capsys, tiny_dir, long_file):
    code, out, err = call(capsys, "compress", long_file, "--model", tiny_dir, "--budget", "12", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["source_tokens"] == len(PARAGRAPHS)
    assert found["parts"] == 3
    assert found["rounds"] == 2
    assert found["tokens"] <= 12
    assert "compressed in 3 parts, joined and compressed again 1 ×" in err


def test_truncate_cuts_as_before(capsys, tiny_dir, long_file):
    code, out, err = call(capsys, "compress", long_file, "--model", tiny_dir, "--budget", "12", "--truncate", "tail", "--json")
    assert code == 0
    assert (json.loads(out)["parts"], json.loads(out)["truncated"]) == (1, True)
    assert "tail was kept" in err


def test_standard_input(capsys, tiny_dir, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\xef\xbb\xbfsome words")))
    code, out, _ = call(capsys, "compress", "-", "--model", tiny_dir, "--budget", "3", "--json")
    assert (code, json.loads(out)["source_tokens"]) == (0, 10)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"caf\xe9")))
    code, out, err = call(capsys, "compress", "-", "--model", tiny_dir)
    assert (code, out, err) == (2, "", "error: standard input: not UTF-8 at byte 3; save it as UTF-8\n")


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_trained_model_goes_under_its_own_prompt_or_not_at_all(capsys, tiny_dir, tmp_path, is_merged):
    (tmp_path / "x.txt").write_text("a document of some words")
    place = tmp_path / "trained"
    if is_merged:
        shutil.copytree(tiny_dir, place)
    else:
        save_adapter(tiny_dir, place)

    def compress(template, *options):
        facts = {"revision": "merged:1", "base_model": str(tiny_dir), "prompt": {"template": template}, "budget_range": [4, 9]}
        (place / ("infoagent_source.json" if is_merged else "infoagent.json")).write_text(json.dumps(facts))
        named = ["--model", place] if is_merged else ["--model", tiny_dir, "--adapter", place]
        return call(capsys, "compress", tmp_path / "x.txt", *named, "--budget", "5", "--json", *options)

    code, out, _ = compress("compact-v1")
    assert (code, json.loads(out)["prompt"]) == (0, {"template": "compact-v1"})
    code, out, _ = compress("query-v1", "--query", "why?")
    assert (code, json.loads(out)["prompt"]) == (0, {"template": "query-v1"})
    for code, _, err in (compress("query-v1"), compress("agnostic-v1", "--query", "why?")):
        assert code == 2
        assert re.fullmatch(r"error: (model|adapter) '.*': was trained .*--query.*\n", err)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.md", "deep/c.txt"):
        (source / name).write_text(f"the document {name}")
    (source / "left.out").write_text("no text file by its name")
    return source


def test_a_folder_goes_on_where_it_was_left_and_counts_what_failed(capsys, tiny_dir, folder, tmp_path):
    out = tmp_path / "out"
    (folder / "broken.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "empty.md").write_text(" ")
    options = ["compress", folder, "--out", out, "--model", tiny_dir, "--budget", "5", "--quiet"]
    code, printed, err = call(capsys, *options, "--json", "--batch-size", "2")
    assert code == 1
    assert "3 compressed to" in err
    assert "2 failed" in err
    rows = [json.loads(line) for line in printed.splitlines()]
    assert {r["file"] for r in rows if "error" in r} == {"broken.txt", "empty.md"}
    made = {r["file"]: r["text"] for r in rows if "text" in r}
    assert set(made) == {"a.txt", "b.md", "deep/c.txt"}
    assert all((out / name).read_text() == text + "\n" for name, text in made.items())

    for name in ("broken.txt", "empty.md"):
        (folder / name).unlink()
    (out / "deep" / "c.txt.json").unlink()  # killed between the text and its record
    (folder / "b.md").write_text("another document now")
    before = (out / "a.txt.json").read_bytes()
    code, _, err = call(capsys, *options)
    assert code == 0
    assert "2 compressed to" in err
    assert "1 were done before, 0 failed" in err
    assert (out / "a.txt.json").read_bytes() == before
    assert json.loads((out / "b.md.json").read_text())["source_tokens"] == len("another document now")
    assert (out / "deep" / "c.txt").read_text() == made["deep/c.txt"] + "\n"

    code, _, err = call(capsys, *options[:-2], "6", "--quiet")
    assert code == 2
    assert "budget differ" in err


def test_a_folder_is_of_one_type_on_any_machine(capsys, tiny_dir, folder, tmp_path, monkeypatch):
    from infoagent.lm import models
    from infoagent.lm.machine import dtype

    out, used = tmp_path / "out", []
    load = models.load
    monkeypatch.setattr(dtype, "choose", lambda device, measure=None: dtype.Choice("float32", "so it is", True))
    monkeypatch.setattr(models, "load", lambda name, **how: used.append(how["dtype"]) or load(name, **how))
    options = ["compress", folder, "--out", out, "--model", tiny_dir, "--budget", "3", "--quiet"]
    code, _, _ = call(capsys, *options)
    assert (code, used) == (0, ["float32"])
    assert json.loads((out / "a.txt.json").read_text())["dtype"] == "float32"

    settings = json.loads((out / "compress.json").read_text())
    del settings["dtype"]  # begun before the settings named it, when bfloat16 was the default
    (out / "compress.json").write_text(json.dumps(settings))
    (folder / "b.md").write_text("another document now")
    code, _, err = call(capsys, *options)
    assert (code, used) == (0, ["float32", "bfloat16"])
    assert "1 compressed to" in err
    code, _, err = call(capsys, *options, "--dtype", "float32")
    assert code == 2
    assert "other settings, dtype differ" in err


def pdf(path, *paragraphs):
    """A PDF of one page with a paragraph a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 8))
    for number, paragraph in enumerate(paragraphs):
        figure.text(0.1, 0.9 - 0.1 * number, paragraph)
    figure.savefig(path, format="pdf")


def test_pdf_files_are_read_as_the_data_set_of_own_files_reads_them(capsys, tiny_dir, folder, tmp_path):
    from infoagent.data.reading.pdf import pdf_paragraphs

    pdf(folder / "Report.PDF", "The pump failed at noon.", "Nobody was hurt.")
    text = "\n\n".join(pdf_paragraphs((folder / "Report.PDF").read_bytes(), "x"))
    assert "The pump failed at noon." in text
    options = ["--model", tiny_dir, "--budget", "5", "--json"]
    code, printed, _ = call(capsys, "compress", folder / "Report.PDF", *options)
    assert (code, json.loads(printed)["source_tokens"]) == (0, len(text))  # a token a byte
    (folder / "scan.pdf").write_bytes(b"%PDF-1.4 no more than that")
    (folder / "deep" / "MARK.TXT").write_bytes(b"\xef\xbb\xbfmarked")
    out = tmp_path / "out"
    code, printed, err = call(capsys, "compress", folder, "--out", out, *options, "--quiet")
    assert code == 1
    assert "5 compressed to" in err
    rows = {row["file"]: row for row in map(json.loads, printed.splitlines())}
    assert "cannot be read as a PDF" in rows["scan.pdf"]["error"]
    assert (out / "Report.PDF.txt").read_text() == rows["Report.PDF"]["text"] + "\n"
    assert (out / "Report.PDF.txt.json").is_file()
    assert rows["deep/MARK.TXT"]["source_tokens"] == len("marked")
    code, _, err = call(capsys, "compress", folder, "--out", out, *options, "--quiet")
    assert "5 were done before" in err
    (folder / "Report.PDF.txt").write_text("of the same name")
    code, _, err = call(capsys, "compress", folder, "--out", out, *options, "--quiet")
    assert code == 2
    assert "would stand in the place of Report.PDF's" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "say where its compressions go with --out"),
        (["{folder}", "--out", "{file}"], "is a file; name a directory"),
        (["{folder}", "--out", "{folder}"], "name a directory of its own"),
        (["{folder}", "--out", "{filled}"], "is not empty and not of this command"),
        (["{file}", "--out", "x"], "is for a folder"),
        (["{file}", "--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["{file}", "--temperature", "-1"], "--temperature -1: must be at least 0"),
        (["{empty}", "--out", "x"], "holds no .txt or .text or .md or .markdown or .pdf file"),
        (["{long}", "--budget", "3000"], "--budget 3000: with a question of"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tiny_dir, folder, long_file, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "mine.txt").write_text("mine")
    places = {
        "folder": folder,
        "file": tmp_path / "file",
        "empty": tmp_path / "empty",
        "long": long_file,
        "filled": tmp_path / "filled",
    }
    code, out, err = call(capsys, "compress", *(a.format(**places) for a in arguments), "--model", tiny_dir)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("error: ") == 1
