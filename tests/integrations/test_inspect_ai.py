"""The strategy in inspect_ai's own orchestration, with inspect_ai's mock model."""

import pytest
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    ContentText,
    ContentToolUse,
    compaction,
    get_model,
)
from inspect_ai.tool import ToolCall, ToolCallError

from infoagent.integrations.inspect_ai import MemoryCompaction, as_openai
from infoagent.lm.compacting import HEADING, cut_history

TASK = [ChatMessageSystem(content="Never touch prod."), ChatMessageUser(content="Change the order.", source="input")]
SAID = [
    ChatMessageAssistant(content="", tool_calls=[ToolCall(id="c1", function="get", arguments={"id": "ORD-17"})]),
    ChatMessageTool(content='{"total": 40} ' * 20, tool_call_id="c1", function="get"),
    ChatMessageAssistant(content="It costs 40 dollars."),
    ChatMessageUser(content="And shipping?"),
]
MEMORY = HEADING + "The order costs 40 dollars.\nTo the letter: ORD-17"


@pytest.mark.anyio
async def test_older_messages_become_a_memory(compactor):
    found, memory = await MemoryCompaction(compactor).compact(get_model("mockllm/model"), [*TASK, *SAID], [])
    assert found == [*TASK, memory, *SAID[2:]]
    assert (memory.content, memory.metadata) == (MEMORY, {"summary": True})
    assert 'get({"id": "ORD-17"})' in compactor.read[0]
    assert "Never touch prod" not in compactor.read[0]


@pytest.mark.anyio
async def test_inspect_ai_compacts_with_it(compactor, monkeypatch):
    async def count(self, text):  # inspect_ai's own counts by a vocabulary from the network
        return len(text.split())

    model = get_model("mockllm/model")
    monkeypatch.setattr(type(model.api), "count_text_tokens", count)
    compact = compaction(MemoryCompaction(compactor, threshold=40), prefix=TASK, model=model)
    found, memory = await compact.compact_input([*TASK, *SAID])
    assert [m.text for m in found] == [*[m.text for m in TASK], MEMORY, *[m.text for m in SAID[2:]]]
    assert memory is not None
    again, _ = await compact.compact_input([*TASK, *SAID, memory])
    assert [m.role for m in again][:2] == ["system", "user"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "read"), [(None, 'web_search({"q": 1}): Ada won.'), ("no net", 'web_search({"q": 1}): Error: no net')]
)
async def test_what_a_provider_ran_is_read_with_its_result_and_nothing_waits_for_it(compactor, error, read):
    search = ContentToolUse(
        tool_type="web_search", id="s1", name="web_search", arguments='{"q": 1}', result="Ada won.", error=error
    )
    said = [ChatMessageAssistant(content=[search, ContentText(text="It was Ada.")]), *SAID]
    found, memory = await MemoryCompaction(compactor).compact(get_model("mockllm/model"), [*TASK, *said], [])
    assert found == [*TASK, memory, *SAID[2:]]
    assert read in compactor.read[0]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [RuntimeError("out of memory"), "", "no no no no no no no no no no no no"])
async def test_a_failure_leaves_the_history(compactor, caplog, fault):
    compactor.writes = fault
    found, memory = await MemoryCompaction(compactor).compact(get_model("mockllm/model"), [*TASK, *SAID], [])
    assert (found, memory) == ([*TASK, *SAID], None)
    assert "the history was not compacted, and is unchanged" in caplog.text


@pytest.mark.anyio
async def test_nothing_old_is_nothing_done(compactor, caplog):
    found, memory = await MemoryCompaction(compactor).compact(get_model("mockllm/model"), [*TASK, SAID[3]], [])
    assert (found, memory) == ([*TASK, SAID[3]], None)
    assert "they are all new" in caplog.text


@pytest.mark.anyio
async def test_an_image_that_no_memory_knows_of_is_said(compactor, caplog):
    shown = ChatMessageUser(content=[ContentText(text="See my order."), ContentImage(image="https://example.org/a.png")])
    found, _ = await MemoryCompaction(compactor).compact(get_model("mockllm/model"), [*TASK, shown, *SAID], [])
    assert len(found) == len(TASK) + 3
    assert "See my order." in compactor.read[0]
    assert "the memory knows nothing of: 1 part of a message that is no text (image)" in caplog.text


def test_messages_are_what_chat_logs_have():
    assert as_openai(SAID[0]) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"id": "ORD-17"}'}}],
    }
    assert as_openai(SAID[1])["tool_call_id"] == "c1"
    assert as_openai(ChatMessageAssistant(content=""))["content"] == ""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "Error: Permission denied: /srv/build"),
        ("half of it", "Error: Permission denied: /srv/build\nhalf of it"),
        (
            [ContentText(text="half of it")],
            [{"type": "text", "text": "Error: Permission denied: /srv/build"}, {"type": "text", "text": "half of it"}],
        ),
    ],
)
def test_why_a_call_failed_is_read(content, expected):
    error = ToolCallError("permission", "Permission denied: /srv/build")
    failed = as_openai(ChatMessageTool(content=content, tool_call_id="c1", function="bash", error=error))
    assert failed["content"] == expected
    asked = as_openai(ChatMessageAssistant(content="", tool_calls=[ToolCall(id="c1", function="bash", arguments={})]))
    read = cut_history([asked, failed, {"role": "user", "content": "Go on."}], 1).text
    assert "Tool bash: Error: Permission denied: /srv/build" in read
    assert ("half of it" in read) == bool(content)
