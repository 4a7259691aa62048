"""Compaction with a model whose texts the test writes: what stays, what must stand, and what a failure leaves."""

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.registry import load_data
from infoagent.lm import compacting
from infoagent.lm.compacting import HEADING, CompactionSettings, Compactor, context_text, must_stand, with_letters
from infoagent.lm.long_text import LongCompression
from infoagent.lm.models import FoundModel
from infoagent.lm.prompts import text_ids
from infoagent.types import InputError

SYSTEM = {"role": "system", "content": "Never book without a yes."}
HISTORY = [
    SYSTEM,
    {"role": "user", "content": "Change order ORD-17 in /srv/data/a b.csv, and never touch prod. " + "Thank you so much. " * 20},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "function": {"name": "get", "arguments": '{"id": "ORD-17"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "get", "content": '{"total": "$1,305.50", "id": "ORD-17"}'},
    {"role": "assistant", "content": "It costs $1,305.50. Shall I?"},
    {"role": "user", "content": "Yes."},
    {"role": "assistant", "content": "Done."},
]


@pytest.fixture
def writes(monkeypatch):
    """What the model says next; an exception is raised."""
    said, asked = {"text": "The order costs $1,305.50."}, []

    def compress_texts(lm, texts, task):
        asked.append((texts[0], task))
        if isinstance(said["text"], BaseException):
            raise said["text"]
        ids = text_ids(lm.tokenizer, said["text"])
        return [
            LongCompression(said["text"], len(ids), len(text_ids(lm.tokenizer, texts[0])), 0.1, "stop", said.get("parts", 1), 1)
        ]

    monkeypatch.setattr(compacting, "compress_texts", compress_texts)
    return said, asked


def compactor(tiny_dir, budget=200, newest=2, **more):
    return Compactor(str(tiny_dir), CompactionSettings(budget, newest, **more), dtype="float32")


def test_older_messages_become_a_memory_and_the_newest_stay(tiny_dir, writes):
    before = [dict(m) for m in HISTORY]
    result = compactor(tiny_dir).compact(HISTORY)
    assert result.status == "compacted"
    assert result.messages == [SYSTEM, {"role": "user", "content": HEADING + "The order costs $1,305.50."}, *HISTORY[5:]]
    assert result.gone == 4
    assert result.tokens == len("The order costs $1,305.50.") < result.tokens_before
    assert before == HISTORY
    read, task = writes[1][0]
    assert "Never book" not in read
    assert "Yes." not in read
    assert all(part in read for part in ('Assistant: get({"id": "ORD-17"})', "Tool get: ", "never touch prod"))
    assert (task.prompt.template, task.budget) == ("compact-v1", 200)


@pytest.mark.parametrize("newest", [0, 1, 2, 3, 4, 5])
def test_calls_stay_with_their_results(tiny_dir, writes, newest):
    result = compactor(tiny_dir, newest=newest).compact(HISTORY)
    stay = result.messages[2:]
    assert stay == HISTORY[len(HISTORY) - len(stay) :]
    assert len(stay) >= newest
    assert ("tool_calls" in str(stay)) == ("tool_call_id" in str(stay))


def test_a_memory_is_compacted_again_like_any_message(tiny_dir, writes):
    first = compactor(tiny_dir).compact(HISTORY).messages
    again = [*first, {"role": "user", "content": "And another? " * 30}, {"role": "assistant", "content": "No."}, HISTORY[5]]
    writes[0]["text"] = "All is done."
    second = compactor(tiny_dir).compact(again)
    assert "Summary of the conversation so far: The order costs $1,305.50." in writes[1][-1][0]
    assert second.messages == [SYSTEM, {"role": "user", "content": HEADING + "All is done."}, *again[-2:]]


def test_it_reads_what_compactors_are_trained_to_read(tiny_dir, writes, tmp_path):
    """The document of a history's first compaction, and in the second its own memory in front of the new turns."""
    turns = [
        [{"role": "user", "content": f"Order ORD-{n}17 weighs {n} kg. " * 20}, {"role": "assistant", "content": "Noted."}]
        for n in range(1, 5)
    ]
    (tmp_path / "talk.jsonl").write_text(json.dumps({"id": "t", "messages": [m for turn in turns for m in turn]}) + "\n")
    first, second = load_data("histories", str(tmp_path / "talk.jsonl"), "all", every=2, compactions=2).problems
    made = compactor(tiny_dir, newest=0)
    kept = made.compact([*turns[0], *turns[1]]).messages
    made.compact([*kept, *turns[2], *turns[3]])
    assert [text for text, _ in writes[1]] == [first.news, context_text("The order costs $1,305.50.", [second.news])]


def test_what_must_stand_stands_to_the_letter(tiny_dir, writes):
    keep = ("never touch prod", "/srv/data/a b.csv", r"re:ORD-\d+", r"re:\$[\d,.]+\d", "not in there")
    result = compactor(tiny_dir, keep=keep).compact(HISTORY)
    assert result.kept == ("ORD-17", "/srv/data/a b.csv", "never touch prod", "$1,305.50")
    assert result.added == ("ORD-17", "/srv/data/a b.csv", "never touch prod")
    assert result.memory.startswith("The order costs $1,305.50.\nTo the letter: ORD-17; ")
    assert all(entry in result.messages[1]["content"] for entry in result.kept)
    _, task = writes[1][0]
    assert task.prompt.template == "compact-keep-v1"
    assert all(entry in task.query for entry in result.kept)
    assert result.tokens <= 200


LETTERS = st.text("ab.1 \n$(é", min_size=1, max_size=6)


@given(st.lists(LETTERS, max_size=5), st.text("ab.1 \n$(é", max_size=40), st.text("ab.1 \n$(é", max_size=30))
@settings(max_examples=200, deadline=None)
def test_compacting_and_asking_for_every_literal_returns_it(keep, said, written):
    history = compacting.cut_history([{"role": "user", "content": said + "x"}, *HISTORY[5:]], 2)
    kept = must_stand(history, keep)
    memory, added = with_letters(written, kept)
    for entry in keep:
        if entry in history.text:
            assert entry in memory or any(entry in other for other in kept)
    assert all(entry in memory for entry in kept)
    assert set(added) <= set(kept) <= set(keep)


def test_patterns_are_found_as_re_finds_them(tiny_dir):
    history = compacting.cut_history(HISTORY, 2)
    pattern = r"\b[A-Z]{2,}-\d+\b|\$[\d,]+(?:\.\d+)?"
    assert set(must_stand(history, [f"re:{pattern}"])) == set(re.findall(pattern, history.text))


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("", "the model wrote nothing"),
        ("no no no no no no no no no no no no", "runs in a loop"),
        (" ".join(map(str, range(99))), "the memory takes .* tokens, the budget is 200"),
        (RuntimeError("out of memory:\n tried to allocate"), "RuntimeError: out of memory: tried to allocate"),
        (FloatingPointError("the model returned NaN"), "FloatingPointError: the model returned NaN"),
        (MemoryError(), "MemoryError"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_a_failure_leaves_the_history_as_it_was(tiny_dir, writes, said, cause):
    writes[0]["text"] = said
    result = compactor(tiny_dir).compact(HISTORY)
    assert (result.status, result.messages, result.memory) == ("failed", HISTORY, None)
    assert re.search(cause, result.cause)


def test_threads_take_turns_and_read_the_weights_once(tiny_dir, monkeypatch):
    """Drawn at temperature 1: what one thread alone gets, each of many gets."""
    loads, load = [], compacting.load

    def slowly(*given, **more):
        loads.append(given)
        time.sleep(0.05)
        return load(*given, **more)

    monkeypatch.setattr(compacting, "load", slowly)
    monkeypatch.setattr(Compactor, "_fault", lambda *_: None)  # a random model's bytes are longer when read again
    talks = [[{"role": "user", "content": f"talk {i}, message {k} about things " * 3} for k in range(4)] for i in range(3)]
    made = [compactor(tiny_dir, 24, 1, temperature=1.0) for _ in range(3)]
    expected = [made[0].compact(talk) for talk in talks]
    loads.clear()
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda n: made[1 + n % 2].compact(talks[n % 3]), range(12)))
    assert len(loads) == 2
    assert len({result.memory for result in expected}) == 3
    assert [result.memory for result in found] == [expected[n % 3].memory for n in range(12)]


def test_what_is_short_already_is_left(tiny_dir, writes):
    result = compactor(tiny_dir, budget=5000).compact(HISTORY)
    assert (result.status, result.messages) == ("short", HISTORY)
    assert "no more than the budget of 5000" in result.cause
    assert not writes[1]


@pytest.mark.parametrize(
    ("history", "settings", "said"),
    [
        (HISTORY[4:], {"newest": 3}, "none of the 3 can go while the newest 3 stay (they are all new)"),
        (HISTORY[1:4], {"newest": 1}, None),
        (HISTORY[2:4] + HISTORY[5:], {"newest": 3}, "(the newest are tied together by their tool calls)"),
        ([HISTORY[3], *HISTORY[5:]], {}, "a tool's result for the call 'c1', which does not come before it"),
        ([{"role": "wizard", "content": "x"}, *HISTORY], {}, "must be one of user, human"),
        (HISTORY, {"budget": 40, "keep": ("never touch prod", "ORD-17")}, "takes 41 tokens alone; raise it to"),
        (HISTORY, {"keep": ("re:(",)}, "is no regular expression"),
        ([{**HISTORY[1], "content": "x " * 3000}, *HISTORY[5:]], {"budget": 3500}, "leaves .* for the text"),
        ([], {}, "must be a list of at least 1"),
    ],
)
def test_wrong_input_is_a_line_before_the_model_loads(tiny_dir, monkeypatch, history, settings, said):
    monkeypatch.setattr(compacting, "load", lambda *a, **k: pytest.fail("the weights were read"))
    made = compactor(tiny_dir, **{"newest": 2, **settings})
    if said is None:
        assert made.plan(history)[0].old == history[:1]
        return
    with pytest.raises(InputError) as caught:
        made.plan(history)
    assert re.search(said if ".*" in said else re.escape(said), str(caught.value))


def test_a_pattern_that_explodes_is_stopped(monkeypatch):
    monkeypatch.setattr(compacting, "REGEX_SECONDS", 0.2)
    history = compacting.cut_history([{"role": "user", "content": "a" * 4000 + "!"}, *HISTORY[5:]], 2)
    with pytest.raises(InputError, match=r"takes more than 0.2 s"):
        must_stand(history, [r"re:(a|aa)+(b|c)"])


def test_what_is_no_text_is_counted(tiny_dir, writes):
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Look at this. " * 40}]}
    result = compactor(tiny_dir).compact([picture, *HISTORY[5:]])
    assert result.left_out == {"part of a message that is no text (image_url)": 1}


def test_other_forms_get_their_memory_in_their_form(tiny_dir, writes):
    shared = [
        {"from": "human", "value": "A question of some length. " * 20},
        {"from": "gpt", "value": "No."},
        {"from": "human", "value": "?"},
    ]
    result = compactor(tiny_dir, newest=1).compact(shared)
    assert result.messages == [{"from": "human", "value": HEADING + "The order costs $1,305.50."}, shared[2]]
    spoken = [{"speaker": "Anna", "content": "A long remark. " * 40}, {"speaker": "Ben", "content": "Right."}]
    assert compactor(tiny_dir, newest=1).compact(spoken).messages[0]["speaker"] == "Memory"


def merged_into(tiny_dir, directory, template):
    """A model as `infoagent merge` leaves it; its weights are those of the base."""
    shutil.copytree(tiny_dir, directory)
    (directory / "infoagent_source.json").write_text(
        json.dumps({"revision": "merged:1", "prompt": {"template": template}, "budget_range": [4, 60]})
    )
    return directory


def test_a_merged_model_reads_the_prompt_that_it_was_trained_with(tiny_dir, writes, tmp_path):
    agnostic, asking = (merged_into(tiny_dir, tmp_path / name, name) for name in ("agnostic-v1", "query-v1"))
    compactor(agnostic).compact(HISTORY)
    compactor(agnostic, keep=("ORD-17",)).compact(HISTORY)
    compactor(asking, query="What does it cost?").compact(HISTORY)
    compactor(asking, keep=("ORD-17",)).compact(HISTORY)
    assert [(t.prompt.template, t.budget_range) for _, t in writes[1]] == [
        *[("agnostic-v1", (4, 60))] * 2,
        *[("query-v1", (4, 60))] * 2,
    ]
    with pytest.raises(InputError, match="was trained to write for a question; say which"):
        compactor(asking)
    with pytest.raises(InputError, match="'agnostic-v1', which takes no question; drop query"):
        compactor(agnostic, query="What does it cost?")


def test_a_long_history_is_read_in_parts(smollm, monkeypatch):
    """With the embedded model's own texts, and a context that the history does not fit into."""
    monkeypatch.setattr(FoundModel, "context_tokens", 700)
    monkeypatch.setattr(compacting, "load", lambda *a, **k: replace(smollm, context_limit=700))
    long = [{"role": "user", "content": f"Item {i} costs {i * 7} dollars."} for i in range(45)]
    made = Compactor("smollm2-135m", CompactionSettings(64, 3))
    result = made.compact(long)
    assert result.status == "compacted", result.cause
    assert result.parts > 1
    assert result.messages[1:] == long[-3:]
