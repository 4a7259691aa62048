"""The middleware in LangChain's own agent, with LangChain's fake model."""

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from infoagent.integrations.langchain import CompactionMiddleware
from infoagent.lm.compacting import HEADING

LONG = "Please look at the order ORD-17. " * 10
HISTORY = [
    HumanMessage(LONG),
    AIMessage("", tool_calls=[{"id": "c1", "name": "get", "args": {"id": "ORD-17"}}]),
    ToolMessage('{"total": 40}', tool_call_id="c1", name="get"),
    AIMessage("It costs 40 dollars."),
    HumanMessage("And shipping?"),
]


def agent(compactor, keep=1):
    model = GenericFakeChatModel(messages=iter([AIMessage("Five dollars.")] * 3))
    middleware = CompactionMiddleware(model, compactor, trigger=("messages", 5), keep=("messages", keep))
    return create_agent(model, [], middleware=[middleware], system_prompt="Be brief.")


def test_an_agent_goes_on_from_the_memory(compactor):
    found = agent(compactor).invoke({"messages": list(HISTORY)})["messages"]
    assert [type(m) for m in found] == [HumanMessage, HumanMessage, AIMessage]
    assert "The order costs 40 dollars.\nTo the letter: ORD-17" in found[0].content
    assert [m.content for m in found[1:]] == ["And shipping?", "Five dollars."]
    [read] = compactor.read
    assert 'get({"id": "ORD-17"})' in read
    assert "Tool get: " in read
    assert "And shipping?" not in read


def test_an_earlier_memory_is_read_as_a_memory(compactor):
    found = agent(compactor).invoke({"messages": list(HISTORY)})["messages"]
    compactor.writes = "It is five dollars in all."
    more = [HumanMessage("To Lund? " * 100), AIMessage("Yes."), HumanMessage("And when?")]
    found = agent(compactor).invoke({"messages": [*found, *more]})["messages"]
    assert "It is five dollars in all." in found[0].content
    assert compactor.read[1].startswith(f"{HEADING}The order costs 40 dollars.\nTo the letter: ORD-17\n\nUser: And shipping?\n")
    assert "Here is a summary" not in compactor.read[1]


@pytest.mark.parametrize("keep", [2, 3, 4])
def test_a_call_stays_with_its_result(compactor, keep):
    found = agent(compactor, keep).invoke({"messages": list(HISTORY)})["messages"]
    calls = {call["id"] for m in found if isinstance(m, AIMessage) for call in m.tool_calls}
    assert calls == {m.tool_call_id for m in found if isinstance(m, ToolMessage)}


@pytest.mark.parametrize("fault", [RuntimeError("out of memory"), "", "no no no no no no no no no no no no"])
def test_a_failure_leaves_the_history_and_the_agent_at_work(compactor, caplog, fault):
    compactor.writes = fault
    found = agent(compactor).invoke({"messages": list(HISTORY)})["messages"]
    assert [m.content for m in found] == [*[m.content for m in HISTORY], "Five dollars."]
    assert "the history was not compacted, and is unchanged" in caplog.text


@pytest.mark.anyio
async def test_it_works_inside_an_event_loop(compactor):
    found = (await agent(compactor).ainvoke({"messages": list(HISTORY)}))["messages"]
    assert "The order costs 40 dollars." in found[0].content
    compactor.writes = RuntimeError("gone")
    found = (await agent(compactor).ainvoke({"messages": list(HISTORY)}))["messages"]
    assert len(found) == len(HISTORY) + 1


def test_what_is_short_is_left(compactor):
    short = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage("e")]
    found = agent(compactor).invoke({"messages": short})["messages"]
    assert len(found) == 6
    assert compactor.read == []


def test_a_system_message_among_them_is_not_lost_to_the_model(compactor):
    """LangChain hands it over with the rest and takes all of it away; it is no part of what a memory stands for."""
    middleware = CompactionMiddleware(
        GenericFakeChatModel(messages=iter([])), compactor, trigger=("messages", 2), keep=("messages", 1)
    )
    state = {"messages": [SystemMessage("Never touch prod."), HumanMessage("And shipping?")]}
    assert middleware.before_model(state, None) is None
    rules = [SystemMessage("Never touch prod."), SystemMessage("Nor the tests.")]
    found = agent(compactor).invoke({"messages": [rules[0], *HISTORY[:2], rules[1], *HISTORY[2:]]})["messages"]
    assert [m.content for m in found[:2]] == [m.content for m in rules]
    assert [type(m) for m in found[2:]] == [HumanMessage, HumanMessage, AIMessage]
    assert "The order costs 40 dollars." in found[2].content
    assert "prod" not in compactor.read[0]


def test_what_stands_behind_a_call_that_waits_is_not_lost(compactor, caplog):
    waiting = AIMessage("", tool_calls=[{"id": "c2", "name": "pay", "args": {}}])
    said = [*HISTORY[:4], waiting, HumanMessage("Do ORD-99 instead."), HumanMessage("And shipping?")]
    found = agent(compactor).invoke({"messages": said})["messages"]
    assert [m.content for m in found] == [*[m.content for m in said], "Five dollars."]
    assert "2 of the messages that would go stand in no memory" in caplog.text


@pytest.mark.parametrize("block", [{"type": "media", "mime_type": "application/pdf", "data": "AA"}, {"cachePoint": {"type": "x"}}])
def test_what_langchain_cannot_convert_counts_as_unread_and_ends_nothing(compactor, caplog, block):
    asked = HumanMessage([{"type": "text", "text": LONG}, block])
    found = agent(compactor).invoke({"messages": [asked, *HISTORY[1:]]})["messages"]
    assert "The order costs 40 dollars." in found[0].content
    assert LONG.strip() in compactor.read[0]
    said = block.get("type", "cachePoint")
    assert f"the memory knows nothing of: 1 part of a message that is no text ({said})" in caplog.text


def test_text_of_a_message_that_cannot_be_converted_is_not_dropped(compactor, caplog, monkeypatch):
    def refuse(messages):
        raise KeyError("of another version")

    monkeypatch.setattr("infoagent.integrations.langchain.convert_to_openai_messages", refuse)
    found = agent(compactor).invoke({"messages": list(HISTORY)})["messages"]
    assert [m.content for m in found] == [*[m.content for m in HISTORY], "Five dollars."]
    assert "the history was not compacted, and is unchanged: LangChain cannot convert a message" in caplog.text
    assert not compactor.read


def test_an_image_that_no_memory_knows_of_is_said(compactor, caplog):
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    said = [HumanMessage([{"type": "text", "text": LONG}, picture]), *HISTORY[1:]]
    agent(compactor).invoke({"messages": said})
    assert "the memory knows nothing of: 1 part of a message that is no text (image_url)" in caplog.text
