"""`infoagent compact` as a user calls it."""

import json

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
    done = compact(str(file), "--budget", "60", "--newest", "1", "--json")
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
