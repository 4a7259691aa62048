"""What is read out of a server's response, and out of settings, without a server."""

import json
from datetime import UTC, datetime

import pytest

from infoagent.lm.endpoint.reply import Answer, Refusal, read_response, retry_after_seconds
from infoagent.lm.endpoint.settings import EndpointSettings
from infoagent.lm.endpoint.spending import Usage
from infoagent.types import InputError

UPPER = Usage(100, 0, 50, 0, 0, estimated=True)


def read(data, code=200, **more):
    text = data if isinstance(data, str) else json.dumps(data)
    return read_response(code, {}, text, UPPER, None, "asked", **more)


def choice(**message):
    return {"choices": [{"message": message}]}


def test_a_reply_is_read_as_servers_write_it():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert read(choice(content=parts))[1] == Answer("one two", "unknown", "asked")
    [answer] = [read('{"choices": [{"message": {"content": "half \\ud800 pair"}}]}')[1]]
    assert answer.text == "half ? pair"
    cut = {"choices": [{"message": {"content": "It is \ufffd"}, "finish_reason": "length"}]}
    assert read(cut)[1] == Answer("It is ", "length", "asked")  # the server cut in the middle of a character
    assert read(choice(content="It is \ufffd"))[1] == Answer("It is \ufffd", "unknown", "asked")
    counts = {"prompt_tokens": 10, "completion_tokens": 4, "cache_read_input_tokens": 90}
    assert read(choice(content="x") | {"usage": counts})[0] == Usage(100, 90, 4, 0, 0)  # counted apart from the prompt
    assert read(choice(content=None, refusal="I\nwill not"))[1] == Refusal(
        "empty completion", "the model wrote nothing (finish_reason unknown): I will not", again=True
    )
    for odd in (None, [], {"prompt_tokens": "10", "completion_tokens": 4}, {"prompt_tokens": True, "completion_tokens": -1}):
        assert read(choice(content="four words of text") | {"usage": odd})[0] == Usage(100, 0, 18, 0, 0, estimated=True)
    assert read(choice(content="x" * 999))[0] == UPPER  # no more than was allowed
    assert read(choice(content=" "))[0] == UPPER  # who knows what it thought
    for body in ("", "[1", "[]", "{}", '{"choices": []}', '{"choices": [1]}', '{"choices": [{"message": null}]}', "[" * 10**5):
        paid, refusal = read(body)
        assert paid == UPPER
        assert refusal.again
        assert refusal.cause == ("no choices" if body.startswith(("[]", "{")) else "not JSON")


def test_the_arguments_win_over_words_beside_them_where_a_call_was_asked_for():
    call = {"type": "function", "function": {"name": "note", "arguments": '{"a": 1}'}}
    both, empty = choice(content="I will note it.", tool_calls=[call]), choice(content="Words.", tool_calls=[])
    assert read(both, tools=True)[1].text == '{"a": 1}'
    assert read(both)[1].text == "I will note it."
    assert read(choice(content=None, tool_calls=[call]))[1].text == '{"a": 1}'
    assert read(empty, tools=True)[1].text == "Words."


def test_retry_after_is_seconds_or_a_date():
    now = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
    assert retry_after_seconds("7", now) == 7
    assert retry_after_seconds("Mon, 23 Nov 2026 02:01:30 GMT", now) == 90
    assert retry_after_seconds("Mon, 23 Nov 2026 03:00:30 +0100", now) == 30
    assert retry_after_seconds("Mon, 23 Nov 2026 01:00:00 GMT", now) == 0
    assert retry_after_seconds("Mon, 23 Nov 2026 02:01:30 -0000", now) == 90
    for nothing in (None, "soon", "-3", "nan", ""):
        assert retry_after_seconds(nothing, now) is None


def test_settings_name_every_mistake():
    with pytest.raises(InputError) as caught:
        EndpointSettings(
            "ftp://me:secret@host/v1",
            "m",
            concurrency=0,
            timeout_seconds=float("nan"),
            retries=-1,
            extra={"n": 2, "max_tokens": None},
        )
    starts = ["base_url", "base_url", "concurrency", "retries", "timeout_seconds", "extra.n", "extra"]
    assert [line.split(":")[0].split(" = ")[0] for line in caught.value.problems] == starts
    assert "secret" not in str(caught.value)
