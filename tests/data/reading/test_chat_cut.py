"""Cuts of a history against looking at every pair, on generated histories and on chat logs in three forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.reading.chat_cut import cut_before_newest, legal_cuts, pairs_of

USER, REPLY = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}


def call(*names):
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(name, content="r"):
    return {"role": "tool", "tool_call_id": name, "content": content}


@st.composite
def histories(draw):
    """(messages, pairs of call and result, calls that wait), made together."""
    messages, spans, waiting, calls = [], [], [], 0
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["user", "reply", "call", "call", "result", "result"]))
        if kind == "call":
            names = [f"c{calls + i}" for i in range(draw(st.integers(1, 3)))]
            calls += len(names)
            waiting += [(name, len(messages)) for name in names]
            messages.append(call(*names))
        elif kind == "result" and waiting:
            name, place = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            spans.append((place, len(messages)))
            messages.append(result(name))
        else:
            messages.append(USER if kind == "user" else REPLY)
    return messages, spans, sorted(place for _, place in waiting)


@given(histories())
@settings(max_examples=300, deadline=None)
def test_a_cut_parts_no_pair_and_takes_no_call_away_that_waits(drawn):
    messages, spans, waiting = drawn
    pairs = pairs_of(messages)
    assert pairs.mistakes == []
    assert sorted(pairs.spans) == sorted(spans)
    assert pairs.waiting == waiting
    whole = []
    for cut in range(len(messages) + 1):
        gone, stays = range(cut), range(cut, len(messages))
        parted = any((a in gone) != (b in gone) for a, b in spans) or any(place in gone for place in waiting)
        whole += [] if parted else [cut]
        assert len(gone) + len(stays) == len(messages)
    assert legal_cuts(messages, pairs) == whole
    for newest in range(len(messages) + 3):
        cut = cut_before_newest(messages, pairs, newest)
        assert cut == max(c for c in whole if len(messages) - c >= newest or c == 0)


def test_parts_of_one_message_are_calls_and_results_too():
    messages = [
        USER,
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "x"}, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}]},
        REPLY,
    ]
    pairs = pairs_of(messages)
    assert (pairs.spans, pairs.waiting, pairs.mistakes) == ([(1, 2)], [], [])
    assert legal_cuts(messages, pairs) == [0, 1, 3, 4]


def test_calls_without_ids_belong_to_the_next_results():
    messages = [
        {"from": "human", "value": "u"},
        {"from": "function_call", "value": "f()"},
        {"from": "observation", "value": "r"},
        {"from": "gpt", "value": "a"},
    ]
    assert legal_cuts(messages, pairs_of(messages)) == [0, 1, 3, 4]


def test_an_id_may_come_again_once_it_was_answered():
    """As the logs of tau-bench have it."""
    messages = [call("x"), result("x", "1"), USER, call("x"), result("x", "2")]
    pairs = pairs_of(messages)
    assert (pairs.spans, pairs.mistakes) == ([(0, 1), (3, 4)], [])


OTHER = {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": {"name": "g", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([USER, result("x")], "messages[1]: a tool's result for the call 'x', which does not come before it"),
        ([USER, {"role": "tool", "content": "r"}], "messages[1]: a tool's result, and no call before it that waits for one"),
        ([call("x"), OTHER], "messages[1]: another call under the id 'x', whose first one has no result yet"),
        ([call("x"), result("x", "1"), result("x", "2")], "messages[2]: another result than before for the call 'x'"),
        ([{**USER, "id": "m"}, {**REPLY, "id": "m"}], "messages[1]: another content than before under the message id 'm'"),
    ],
)
def test_what_does_not_belong_together_is_a_line(messages, said):
    assert pairs_of(messages).mistakes == [said]


def test_the_same_result_or_message_twice_is_no_mistake():
    assert pairs_of([call("x"), result("x"), result("x"), {**USER, "id": "m"}, {**USER, "id": "m"}]).mistakes == []
