"""What is printed is on its way before a program ends: unwritable output has a documented exit code, a result no lesser encoding."""

import io
import json
import os
import sys
from types import SimpleNamespace

import pytest

from infoagent.cli import compress as compressing
from infoagent.cli import main
from infoagent.config import exit_code
from infoagent.lm import compacting

RESULT = "a “quoted” → result"


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize(("end", "code"), [(lambda: 0, 1), (sys.exit, 1), (lambda: 1 / 0, None)])
@pytest.mark.parametrize("place", [closed_pipe, full_disk])
def test_output_that_cannot_be_written_is_met_before_the_interpreter_goes(place, end, code, monkeypatch):
    def work():
        print("a result that stays in the buffer")
        return end()

    with open(place(), "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        try:
            assert exit_code(work) == code
        except ZeroDivisionError:
            assert code is None
        stream.flush()  # as the interpreter does at its end; there a failure would make the exit code 120


def narrow_stdout(monkeypatch):
    """stdout as a pipe under a locale that lacks characters of RESULT."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    return raw


def test_a_compression_is_printed_whatever_the_locale(monkeypatch, tmp_path):
    narrow = narrow_stdout(monkeypatch)
    record = {"text": RESULT, "source_tokens": 9, "tokens": 3, "finish": "stop", "ratio": 3.0, "bytes": 9, "seconds": 1.0,
              "model": "m", "adapter": None, "dtype": "float32", "parts": 1, "rounds": 1, "truncated": False}  # fmt: skip
    session = SimpleNamespace(fitted=lambda text: text, run=lambda *_: [record])
    monkeypatch.setattr(compressing, "_Session", lambda _: session)
    (tmp_path / "a.txt").write_text("a text")
    assert main(["compress", str(tmp_path / "a.txt")]) == 0
    assert narrow.getvalue().decode() == RESULT + "\n"


def test_a_history_is_written_when_it_is_done(monkeypatch, tmp_path):
    """And not lost where a later one is killed."""
    narrow = narrow_stdout(monkeypatch)
    rows = [{"messages": [{"role": "user", "content": RESULT}]}] * 2
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = []

    def one_by_one(messages):
        written.append(narrow.getvalue().decode())
        raise compacting.NoneCanGo("nothing can go") if len(written) == 1 else KeyboardInterrupt

    compactor = SimpleNamespace(plan=lambda _: None, compact=one_by_one)
    monkeypatch.setattr(compacting, "Compactor", lambda *_: compactor)
    assert main(["compact", str(tmp_path / "h.jsonl"), "--model", "m", "--quiet"]) == 130
    assert written == ["", json.dumps(rows[0], ensure_ascii=False) + "\n"]
