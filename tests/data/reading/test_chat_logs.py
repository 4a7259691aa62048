"""Chat logs in the forms that APIs and published sets have: the same talk gives the same turns."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.cli import main
from infoagent.data.reading.chat_logs import read_messages, turns_of
from infoagent.data.sets.histories import read_talks
from infoagent.types import InputError

CALL = {"id": "c1", "type": "function", "function": {"name": "get_user", "arguments": '{"id": "mia"}'}}
OPENAI = [
    {"role": "system", "content": "Be polite."},
    {"role": "user", "content": " Who am I? "},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "name": "get_user", "content": '{"name": "Mia"}'},
    {"role": "assistant", "content": "Mia."},
    {"role": "user", "content": [{"type": "text", "text": "And this?"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": "A picture.", "refusal": None},
]  # fmt: skip
TURNS = (
    "System: Be polite.",
    'User: Who am I?\nAssistant: get_user({"id": "mia"})\nTool get_user: {"name": "Mia"}\nAssistant: Mia.',
    "User: And this?\nAssistant: A picture.",
)
SHAREGPT = [
    {"from": "system", "value": "Be polite."},
    {"from": "human", "value": " Who am I? "},
    {"from": "gpt", "value": None, "tool_calls": [{"name": "get_user", "arguments": {"id": "mia"}}]},
    {"from": "tool", "name": "get_user", "value": '{"name": "Mia"}'},
    {"from": "gpt", "value": "Mia."},
    {"from": "human", "value": "And this?"},
    {"from": "gpt", "value": "A picture."},
]
BLOCKS = [
    {"role": "system", "content": "Be polite."},
    {"role": "user", "content": "Who am I?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "get_user", "input": {"id": "mia"}}]},
    {"role": "tool", "name": "get_user", "content": [{"type": "tool_result", "content": '{"name": "Mia"}'}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Mia."}]},
    {"role": "user", "content": ["And this?"]},
    {"role": "assistant", "content": "A picture."},
]
ROWS = {
    "openai": ({"id": "t", "messages": OPENAI}, "t", {"part of a message that is no text (image_url)": 1}),
    "tau-bench": ({"task_id": 4, "trial": 1, "reward": 0.0, "info": {}, "traj": OPENAI}, "4-1",
                  {"part of a message that is no text (image_url)": 1}),
    "sharegpt": ({"id": 7, "conversations": SHAREGPT}, "7", {}),
    "blocks": ({"conversation": BLOCKS}, "conversation-00001", {}),
}  # fmt: skip


@pytest.mark.parametrize("form", ROWS)
def test_every_form_gives_the_same_turns(tmp_path, form):
    row, identity, left_out = ROWS[form]
    (tmp_path / "c.jsonl").write_text(json.dumps(row) + "\n")
    counted = Counter()
    _, talks = read_talks("conversations", str(tmp_path / "c.jsonl"), None, counted)
    assert talks == [(identity, TURNS, None)]
    assert counted == left_out


def test_a_transcript_without_a_user_has_a_turn_a_speech(tmp_path):
    rows = [{"meeting_transcripts": [{"speaker": "Anna", "content": "One."}, {"speaker": "Bo", "content": "Two."}]}]
    (tmp_path / "m.jsonl").write_text(json.dumps(rows[0]))
    _, [(identity, turns, probes)] = read_talks("conversations", str(tmp_path / "m.jsonl"), None, Counter())
    assert (identity, turns, probes) == ("conversation-00001", ("Anna: One.", "Bo: Two."), None)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system", "tool"]), st.text("ab \n", max_size=6)), min_size=1))
def test_nothing_that_was_said_is_lost(said):
    messages, mistakes = read_messages("turns", [{"role": role, "content": text} for role, text in said], Counter())
    turns = turns_of(messages)
    assert mistakes == []
    assert "\n".join(turns) == "\n".join(f"{role.capitalize()}: {text.strip()}" for role, text in said)
    assert sum(turn.startswith("User: ") for turn in turns) == sum(role == "user" for role, _ in said)


def test_what_is_no_message_is_named_with_its_value(tmp_path):
    path = tmp_path / "c.jsonl"
    bad = [
        [{"role": "robot", "content": "x"}, {"role": "user"}, 5, {"content": "x"}],
        [{"role": "user", "content": 7}, {"role": "assistant", "content": None, "tool_calls": ["call"]}],
        [{"role": "user", "content": [3]}, {"from": "human", "value": "a\ud800"}, {"speaker": " ", "content": ""}],
        "hello",
    ]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in bad))
    with pytest.raises(InputError) as error:
        read_talks("conversations", str(path), None, Counter())
    expected = [
        "row 1: field 'messages[0].role': must be one of user, human,", "row 1: field 'messages[1].content': missing",
        "row 1: field 'messages[2]': must be an object, got int 5", "row 1: field 'messages[3].role': missing",
        "row 2: field 'messages[0].content': must be a string, null or a list of parts, got int 7",
        "row 2: field 'messages[1].tool_calls[0]': needs the name of a function, got str 'call'",
        "row 3: field 'messages[0].content[0]': must be a text, or an object with a type, got int 3",
        "row 3: field 'messages[1]': holds half a surrogate pair", "row 3: field 'messages[2].speaker': must be a name, got str ' '",
        "row 4: field 'messages': must be a list of messages, got str 'hello'",
    ]  # fmt: skip
    assert len(error.value.problems) == len(expected)
    for line, part in zip(error.value.problems, expected, strict=True):
        assert line.startswith(f"{path}: {part}")
    assert error.value.problems[0].endswith("got str 'robot'")


@pytest.mark.parametrize("turn", [5, -1])
def test_a_question_on_a_turn_that_is_not_there_is_a_line(tmp_path, capsys, turn):
    row = {"messages": [{"role": "user", "content": "Bob is here."}], "probes": [{"turn": turn, "question": "q?", "answer": "Bob"}]}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    assert main(["data", "show", "conversations", f"data.path={tmp_path}/c.jsonl"]) == 2
    assert f"field 'probes[0].turn': there is no turn {turn}, there are 1" in capsys.readouterr().err


def test_data_show_counts_conversations_turns_and_questions(tmp_path, capsys):
    rows = [
        {
            "id": f"t{n}",
            "messages": [
                {"role": "user", "content": f"Please note that Anna Lind has bought lot number {1000 + 37 * n} at noon today."},
                {"role": "assistant", "content": "Noted."},
                {"role": "user", "content": "Thanks."},
            ],
        }
        for n in range(4)
    ]
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["data", "show", "conversations", f"data.path={path}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {"name", "revision", "problems", "documents", "groups", "first", "left_out"} <= shown.keys()
    assert (shown["documents"], shown["turns"]) == (4, {"least": 2, "median": 2, "most": 2})
    assert len(shown["first"]) == 3
    assert shown["problems"] >= 4
    assert main(["data", "show", "conversations", f"data.path={path}"]) == 0
    assert "4 documents" in capsys.readouterr().out
    assert main(["data", "show", "conversations"]) == 2
    assert main(["data", "show", "conversations", f"data.path={path}", "data.limit=3"]) == 2
