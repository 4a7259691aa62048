"""`infoagent compact` as a user calls it."""

import io
import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from conftest import run_script

SYSTEM = {"role": "system", "content": "Never book without a yes."}
TALK = [
    SYSTEM,
    {"role": "user", "content": "My order is ORD-17. " + "It holds a lamp and two chairs. " * 12},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "get", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"total": "$1,305.50"}'},
    {"role": "user", "content": "And shipping?"},
]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def compact(*arguments):
    return run_script("-m", "infoagent.cli", "compact", *arguments, "--model", "smollm2-135m", "--quiet")


def test_messages_in_and_messages_out(tmp_path):
    file = tmp_path / "h.jsonl"
    file.write_text(lines(*TALK))
    done = compact(str(file), "--budget", "80", "--newest", "1", "--keep", "ORD-17", r"re:\$[\d,.]+\d")
    assert done.returncode == 0, done.stderr
    system, memory, newest = map(json.loads, done.stdout.splitlines())
    assert (system, newest) == (SYSTEM, TALK[-1])
    assert memory["role"] == "user"
    assert memory["content"].startswith("Summary of the conversation so far: ")
    assert "ORD-17" in memory["content"]
    assert "$1,305.50" in memory["content"]
    assert "3 messages of " in done.stderr
    assert "to the letter: 2" in done.stderr


def test_conversations_stay_rows_with_all_else_that_they_hold(tmp_path):
    file = tmp_path / "talks.jsonl"
    rows = [{"task_id": 1, "messages": TALK}, {"task_id": 2, "messages": TALK[:1] + TALK[4:] * 3, "more": [1]}]
    file.write_text(lines(*rows))
    done = compact(str(file), "--budget", "24", "--newest", "1", "--json")
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["task_id"], first["status"]) == (1, "compacted")
    assert first["messages"][-1] == TALK[-1]
    assert (second["status"], second["messages"], second["more"]) == ("short", rows[1]["messages"], [1])
    assert "nothing to compact" in done.stderr


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (lines(*TALK[3:]), (), "messages[0]: a tool's result for the call 'c1'"),
        (lines(*TALK), ("--newest", "9"), "none of the 5 can go while the newest 9 stay"),
        (lines(*TALK), ("--budget", "20", "--newest", "1", "--keep", "My order is ORD-17"), "raise it to"),
        (lines(*TALK, {"messages": TALK}), (), "a message among conversations"),
        (lines({"messages": TALK[3:]}, {"messages": [{"role": "wizard", "content": "x"}]}), (), "must be one of user, human"),
        ("[1]\n", (), "must be an object"),
        ("{", (), "row 1"),
        (lines(*TALK), ("--adapter", "nowhere"), "adapter 'nowhere'"),
        (lines({"messages": TALK, "note": "\ud800"}), ("--newest", "1"), "row 1: field 'note': holds half a surrogate pair"),
        (lines({"messages": TALK[:1]}), (), "none of the 1 can go"),
    ],
)
def test_wrong_input_is_lines_and_code_2(tmp_path, content, options, said):
    file = tmp_path / "h.jsonl"
    file.write_text(content)
    done = compact(str(file), *options)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert done.stdout == ""


def compact_here(capsys, *arguments):
    from infoagent.cli import main

    code = main(["compact", *map(str, arguments), "--quiet"])
    return code, *capsys.readouterr()


def test_a_parquet_row_that_no_json_can_hold_is_told_before_a_model_loads(tmp_path, capsys):
    import pyarrow
    from pyarrow import parquet

    file = tmp_path / "talks.parquet"
    talk = [{"role": "user", "content": "Hello. " * 90}, {"role": "assistant", "content": "Hello."}]
    day = datetime(2024, 1, 2, tzinfo=UTC)
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": talk, "timestamp": day}] * 30), file)
    code, out, errors = compact_here(capsys, file, "--newest", "1", "--model", "no/model")
    assert (code, out) == (2, "")
    first, *_, last = errors.splitlines()
    assert first.startswith(f"error: {file}: row 1: field 'timestamp': cannot be written as JSON")
    assert last == f"error: {file}: and 10 more mistakes"


def test_a_short_conversation_does_not_stop_the_others(tiny_dir, tmp_path, capsys):
    file = tmp_path / "talks.jsonl"
    rows = [{"id": 1, "messages": TALK[:2]}, {"id": 2, "messages": TALK[1:]}]
    file.write_text(lines(*rows))
    options = ("--newest", "1", "--budget", "5000", "--model", tiny_dir)
    code, out, errors = compact_here(capsys, file, *options, "--json")
    assert code == 0, errors
    first, second = map(json.loads, out.splitlines())
    assert (first["status"], first["messages"], first["id"]) == ("short", TALK[:2], 1)
    assert "none of the 2 can go while the newest 1 stay" in first["cause"]
    assert second["status"] == "short"
    assert "row 1: nothing to compact: messages: none of the 2" in errors
    file.write_text(lines(*rows, {"messages": [{"role": "wizard", "content": "x"}]}))
    code, out, errors = compact_here(capsys, file, *options)
    assert (code, out, len(errors.splitlines())) == (2, "", 1)


def test_standard_input_is_read_as_a_file_is(tiny_dir, monkeypatch, capsys):
    def given(content):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        return compact_here(capsys, "-", "--newest", "1", "--budget", "5000", "--model", tiny_dir)

    code, out, _ = given(b"\xef\xbb\xbf" + lines(*TALK).encode())
    assert (code, out) == (0, lines(*TALK))
    code, out, errors = given("{}\n".encode("latin-1") + b'{"content": "\xe9"}\n{\n' + b"[" * 5000 + b"\n")
    assert (code, out) == (2, "")
    assert re.findall(r"error: standard input: line (\d): not valid JSON", errors) == ["2", "3", "4"]
    assert errors.count("\n") == 3
    assert given(b"")[2] == "error: standard input: holds no message\n"


def test_a_failure_prints_the_history_as_it_was_and_ends_with_1(tmp_path, tiny_dir, monkeypatch, capsys):
    from infoagent.cli import main
    from infoagent.lm import compacting

    def fails(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(compacting, "compress_texts", fails)
    file = tmp_path / "h.jsonl"
    file.write_text(lines(*TALK))
    assert main(["compact", str(file), "--budget", "40", "--newest", "1", "--model", str(tiny_dir)]) == 1
    out, errors = capsys.readouterr()
    assert out == lines(*TALK)
    assert "not compacted, the history is unchanged: RuntimeError: out of memory" in errors
