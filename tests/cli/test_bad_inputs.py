"""Wrong command lines and damaged directories: one line for each mistake, exit code 2, no traceback, at once."""

import argparse
import json
import re
import shutil
from pathlib import Path

import pytest
from called import outcome
from tiny import save_adapter

from infoagent import cli
from infoagent.arguments import whole

NUMBERS = ["nan", "inf", "-inf", "-1", "1e22", str(10**22), "9" * 5000, "x", "", "1.5.2", "\ud800", "0x10", "٣x"]


def commands(parser, path=()):
    """(path of a command, its parser) of every command."""
    children = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not children:
        yield path, parser
    for action in children:
        for name, child in action.choices.items():
            yield from commands(child, (*path, name))


def numeric_options():
    for path, parser in commands(cli._parser()):
        for action in parser._actions:
            if action.type not in (None, str) and action.option_strings and "parse" in getattr(action.type, "__name__", ""):
                yield path, parser, action


def required(parser):
    for action in parser._actions:
        if action.option_strings:
            if action.required:
                yield from (action.option_strings[0], "some.file")
        elif action.nargs not in ("*", "?"):
            yield "some.file" if action.choices is None else next(iter(action.choices))


@pytest.mark.parametrize(
    ("path", "parser", "action"), list(numeric_options()),
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else getattr(v, "dest", ""),
)  # fmt: skip
def test_a_number_that_is_not_allowed_is_one_line(capsys, path, parser, action):
    """Every numeric option of every command."""
    option = action.option_strings[0]
    for value in NUMBERS:
        given = [value] * (action.nargs or 1) if isinstance(action.nargs, int) else [value]
        code, lines, seconds = outcome(
            capsys, *path, *required(parser), *([f"{option}={value}"] if len(given) == 1 else [option, *given])
        )
        assert code == 2, (value, lines)
        assert lines, value
        assert all(line.startswith("error: ") for line in lines), lines
        assert any(option in line for line in lines), lines
        assert seconds < 2


def test_every_number_on_the_command_line_has_a_type_that_refuses():
    plain = [(path, a.dest) for path, parser in commands(cli._parser()) for a in parser._actions if a.type in (int, float)]
    assert not plain
    scripts = [*Path("eval").rglob("*.py"), *Path("train").rglob("*.py"), Path("infoagent/config.py")]
    assert not [s for s in scripts if re.search(r"type=(int|float)\b", s.read_text())]


def test_each_of_several_mistakes_has_its_line(capsys):
    code, lines, _ = outcome(capsys, "plan", "some/model", "--gpus", "0", "--group=-3", "--gpu-memory", "nan")
    assert code == 2
    assert [line.split()[1] for line in lines] == ["--gpus", "--gpu-memory", "--group"]


def test_a_large_plan_ends(capsys):
    assert outcome(capsys, "plan", "smollm2-135m", "--group", "1000000007")[0] == 2
    for group in (1_000_000, 999_983, 720_720):  # a prime, and one with many divisors
        code, _, seconds = outcome(capsys, "plan", "smollm2-135m", "--group", group, "--gpus", 8)
        assert (code or 0) in (0, 1, 2)
        assert seconds < 20


def test_whole_numbers_have_both_ends():
    parse = whole(3, 7)
    assert [parse(str(n)) for n in range(3, 8)] == [3, 4, 5, 6, 7]


UNWRITABLE = ("file/x", "dir", "n\0ul", "y" * 300)


@pytest.mark.parametrize("name", UNWRITABLE)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(capsys, tmp_path, name):
    (tmp_path / "file").write_text("")
    for suffix, arguments in (
        (".npz", ["score", "--documents", "d", "--compressions", "c", "--out"]), (".html", ["report", "run", "--out"]),
        (".json", ["calibrate", "s.npz", "--out"]), (".jsonl", ["questions", "--model", "m", "--path", "p", "--out"]),
    ):  # fmt: skip
        (tmp_path / f"dir{suffix}").mkdir(exist_ok=True)
        code, lines, seconds = outcome(capsys, *arguments, f"{tmp_path / name}{suffix}")
        assert code == 2, (arguments, lines)
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: --out"), lines
        assert seconds < 2


# ---- damaged models and adapters --------------------------------------------------------------------------------------

DAMAGES = {
    "empty": lambda b: b"", "half": lambda b: b[: len(b) // 2], "a list": lambda b: b"[]", "a number": lambda b: b"3",
    "null": lambda b: b"null", "an object": lambda b: b"{}", "deep": lambda b: b"[" * 50_000,
    "a large number": lambda b: b'{"vocab_size": ' + b"9" * 5000 + b"}", "bytes": lambda b: bytes(range(256)) * 4,
}  # fmt: skip
HARMLESS = {("generation_config.json", "an object"), ("tokenizer_config.json", "an object")}


def mutants(directory):
    for file in sorted(p.name for p in Path(directory).iterdir() if p.is_file() and p.suffix != ".jinja"):
        for damage in DAMAGES:
            yield file, damage


def damaged(directory, target, file, damage):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(directory, target)
    (target / file).write_bytes(DAMAGES[damage]((target / file).read_bytes()))
    return target


def test_a_damaged_model_is_one_line(capsys, tiny_dir, tmp_path):
    text = tmp_path / "t.txt"
    text.write_text("The lot 37 was sold on Monday. " * 5)
    wrong = []
    for file, damage in mutants(tiny_dir):
        model = damaged(tiny_dir, tmp_path / "model", file, damage)
        code, lines, _ = outcome(capsys, "compress", text, "--model", model, "--budget", 2, "--quiet")
        if code not in (0, None) and (code not in (1, 2) or not lines or "Traceback" in " ".join(lines)):
            wrong.append((file, damage, code, lines))
        if code in (0, None) and (file, damage) not in HARMLESS and file in ("config.json", "model.safetensors"):
            wrong.append((file, damage, "was taken"))
    assert not wrong


def test_a_damaged_adapter_is_one_line(capsys, tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "adapter")
    text = tmp_path / "t.txt"
    text.write_text("The lot 37 was sold on Monday. " * 5)
    wrong = []
    for file, damage in mutants(adapter):
        made = damaged(adapter, tmp_path / "broken", file, damage)
        code, lines, _ = outcome(capsys, "compress", text, "--model", tiny_dir, "--adapter", made, "--budget", 2, "--quiet")
        if code not in (0, None) and (code not in (1, 2) or not lines or "Traceback" in " ".join(lines)):
            wrong.append((file, damage, code, lines))
        if code in (0, None) and file == "adapter_model.safetensors":
            wrong.append((file, damage, "was taken"))
    assert not wrong


QUESTIONS = ("questions", "--model", "no/model", "--out", "q.jsonl")
SCORE = ("--compressions", "z.jsonl", "--model", "TINY", "--out", "s.npz")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (QUESTIONS, "--path: must be given"),
        ((*QUESTIONS, "--path", "nowhere"), "--path 'nowhere': no such file or folder"),
        ((*QUESTIONS, "--path", "empty"), "--path 'empty': holds no file that ends in"),
        ((*QUESTIONS, "--data-name", "jsonl"), "--path: --data-name jsonl is read from a file"),
        ((*QUESTIONS, "--data-name", "jsonl", "--path", "nowhere"), "--path 'nowhere': no such file"),
        ((*QUESTIONS, "--data-name", "sqad"), "--data-name: 'sqad' is unknown; did you mean 'squad'?"),
        ((*QUESTIONS, "--data-name", "records", "--path", "empty"), "is built in and takes no path"),
        (("compact", "nowhere"), "HISTORY 'nowhere': no such file or folder"),
        (("compact", "notes.txt"), "HISTORY 'notes.txt': does not end in"),
        (("score", "--documents", "nowhere", *SCORE), "--documents 'nowhere': no such file"),
        (("score", "--documents", "empty", *SCORE), "--documents 'empty': is a folder; give one file"),
        (("score", "--documents", "long.jsonl", *SCORE), "; shorten it, or use a model with a longer context"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_its_command(capsys, tmp_path, tiny_dir, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.txt").write_text("text")
    rows = [{"id": str(n), "document": f"{n} word " * 900, "query": "?"} for n in range(2)]
    Path("long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("z.jsonl").write_text("".join(json.dumps({"id": row["id"], "compression": "a word"}) + "\n" for row in rows))
    code, lines, _ = outcome(capsys, *(str(tiny_dir) if a == "TINY" else a for a in arguments))
    assert code == 2
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert "data." not in "".join(lines)
