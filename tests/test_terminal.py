"""What documents say reaches a terminal as text and never as a command; what a terminal's encoding lacks ends nothing."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest
from conftest import ROOT, run_script
from hypothesis import given
from hypothesis import strategies as st

from infoagent.logs import PlainStream, plain, plain_streams, result_stream, unfiltered

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\x08\u202egnihtemos\x7f A lot of 37 “quoted” dashes — was sold. "


@given(st.text())
def test_only_white_space_is_left_of_control_characters(text):
    shown = plain(text)
    assert len(shown) == len(text)
    assert not re.search("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()
    assert all(a == b for a, b in zip(text, shown, strict=True) if b != "\ufffd")


def test_streams_are_plain_for_the_program_and_as_they_were_after_it():
    before = sys.stdout
    with plain_streams():
        assert isinstance(sys.stdout, PlainStream)
        assert unfiltered(sys.stdout) is before
        with plain_streams():
            assert unfiltered(sys.stdout) is before
    assert sys.stdout is before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_encoding_that_lacks_a_character_ends_nothing(encoding):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print(HOSTILE + "\u4e2d\ud800", file=PlainStream(stream))
    stream.flush()
    assert b"\x1b" not in raw.getvalue()
    assert b"was sold" in raw.getvalue()


@given(st.text(st.characters(exclude_characters="\r\n")), st.sampled_from(["ascii", "latin-1", "utf-8", "utf-16"]))
def test_a_result_in_a_file_is_the_text_itself_in_utf_8(text, encoding):
    raw = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        with plain_streams():
            print(text, file=result_stream(), flush=True)
        assert raw.getvalue() == text.encode(errors="backslashreplace") + b"\n"
        sys.stdout.detach()


def test_a_result_follows_what_was_printed_before_it_into_a_pipe_that_took_the_place_of_a_file(monkeypatch):
    """A stream that took its descriptor for a file that can be sought in, before that became a pipe."""
    reader, writer = os.pipe()
    with open(os.open(os.devnull, os.O_WRONLY), "w", encoding="latin-1") as stream:
        os.dup2(writer, stream.fileno())
        os.close(writer)
        monkeypatch.setattr(sys, "stdout", stream)
        with plain_streams():
            print("before")
            print("→", file=result_stream())
            print("after", flush=True)
    with open(reader, encoding="utf-8") as said:
        assert said.read() == "before\n→\nafter\n"


class NarrowTerminal(io.TextIOWrapper):
    def isatty(self):
        return True


def test_a_result_on_a_narrow_terminal_is_filtered_and_its_colours_are_not(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", NarrowTerminal(raw, encoding="latin-1"))
    with plain_streams():
        print("\x1b[2J→", file=result_stream(), flush=True)
        print("\x1b[1m→", file=result_stream(coloured=True), flush=True)
    assert raw.getvalue() == b"\\ufffd[2J\\u2192\n\x1b[1m\\u2192\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_takes_what_is_said(monkeypatch, name):
    monkeypatch.setattr(sys, name, None)
    with plain_streams():
        print("said", file=getattr(sys, name), flush=True)
    assert getattr(sys, name) is None


@pytest.fixture
def documents(tmp_path):
    rows = [{"id": f"{HOSTILE}{i}", "document": HOSTILE * 9 + str(i), "query": f"{HOSTILE}?", "answer": "37"} for i in range(3)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "d.jsonl")


COMMANDS = (["data", "show", "jsonl", "data.path={}", "data.split=all"], ["data", "show", "jsonl", "data.path={}\x1b[2J"],
            ["compress", "{}\x1b[2J"], ["config", "check", "{}"], ["report", "{}\x1b]0;x\x07", "--out", "r.html"],
            ["mi", "{}\x9b2J"], ["data", "show", "\x1b[2J"], ["plan", "\x1b[2J\x07"])  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_no_command_passes_escapes_on(documents, command):
    given = [part.format(documents) for part in command]
    done = run_script("-m", "infoagent.cli", *given, PYTHONIOENCODING="latin-1")
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stdout + done.stderr)


def test_on_a_real_terminal_with_a_narrow_encoding(documents):
    master, slave = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    process = subprocess.Popen(
        [sys.executable, "-m", "infoagent.cli", "data", "show", "jsonl", f"data.path={documents}", "data.split=all"],
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other side is gone
            break
        if not part:
            break
        seen += part
    os.close(master)
    assert process.wait() == 0, seen
    assert b"\x1b" not in seen
    assert b"was sold" in seen
