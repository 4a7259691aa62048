"""Thoughts: told apart from z, ended by budget, switched by the chat template. Texts are scripted, the code is real."""

import pytest
from tiny import tiny_tokenizer

from infoagent.lm.control_tokens import meant_ids
from infoagent.lm.prompts import MARKS, Prompt, chat_ids, compressor_ids, template_marks, thinking_switch
from infoagent.lm.thinking import Thinking, behind_any_thought, behind_thought, generate_thinking, marks_of, split_ids
from infoagent.types import Compression, InputError

THINK = MARKS[0]
SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
CHAT = [{"role": "user", "content": "q"}]


def tokenizer(after_header="", special=False):
    """`after_header` stands behind the assistant's header; `special`: the marks are one token each."""
    made = tiny_tokenizer()
    made.chat_template += after_header
    if special:
        made.add_tokens(list(THINK))
    return made


ALWAYS = "{{ '<think>\n' }}{# a thought ends with </think> #}"


def text_of(made, ids):
    return made.decode(ids)


def test_a_switch_of_the_template_is_turned_and_without_one_an_empty_thought_stands_in():
    plain, switched, always = tokenizer(), tokenizer(SWITCH), tokenizer(ALWAYS)
    assert (thinking_switch(plain), thinking_switch(switched), thinking_switch(always)) == (None, "enable_thinking", None)
    assert template_marks(plain) is None
    assert chat_ids(plain, CHAT) == chat_ids(plain, CHAT, True) == chat_ids(plain, CHAT, False)
    assert chat_ids(switched, CHAT) == chat_ids(switched, CHAT, True)
    assert text_of(switched, chat_ids(switched, CHAT, False)).endswith("assistant\n<think>\n\n</think>\n\n")
    assert text_of(always, chat_ids(always, CHAT, True)).endswith("assistant\n<think>\n")
    assert text_of(always, chat_ids(always, CHAT, False)).endswith("assistant\n<think>\n\n</think>\n\n")
    mentions = tokenizer("{% if false %}</think>{% endif %}")  # opens its thought by itself
    assert text_of(mentions, chat_ids(mentions, CHAT, False)).endswith("assistant\n<think>\n</think>\n\n")
    other = tokenizer("{% if thinking %}{{ 'T' }}{% endif %}{{ messages[0].thinking }} a thinking model")
    assert text_of(other, chat_ids(other, CHAT, True)).endswith("T a thinking model")
    assert not text_of(other, chat_ids(other, CHAT, False)).endswith("T a thinking model")
    in_prose = tokenizer("{{ 'no thinking here' }} thinking, thinking")
    assert thinking_switch(in_prose) is None


def test_only_a_model_that_is_asked_in_words_may_lack_a_thinking_mode():
    with pytest.raises(InputError, match="no thinking mode"):
        marks_of(tokenizer(), False, "tiny")
    assert marks_of(tokenizer(), True, "tiny") == marks_of(tokenizer(ALWAYS), False, "tiny") == THINK


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("<think>\nhm\n</think>\n\nShe weighs 91 kg.", "She weighs 91 kg."),
        ("<think>a</think>b<think>c</think> d", "d"),
        ("<think></think>", ""),
        ("<think>\nhm, no end", None),
        ("<think>a</think>z <think>and again", None),
        ("  \n<think>x", None),
        ("<think>a</think>Sure. <think>and again", None),
    ],
)
def test_z_is_what_stands_behind_the_last_closed_thought(special, opened, reply, expected):
    made = tokenizer(special=special)
    reply = reply.replace("<think>", "", 1) if opened else reply
    assert behind_thought(reply, THINK, opened) == expected
    ids = meant_ids(made, reply)
    found = split_ids(made, THINK, ids, opened)
    assert (None if found is None else text_of(made, found)) == expected
    if found:
        assert tuple(ids[-len(found) :]) == found  # the very ids that were drawn


def test_a_reply_that_does_not_think_is_z_as_it_is():
    made = tokenizer()
    assert text_of(made, split_ids(made, THINK, meant_ids(made, " She weighs."), False)) == " She weighs."
    assert split_ids(made, THINK, meant_ids(made, "She weighs."), True) is None  # it was inside a thought
    assert split_ids(made, THINK, meant_ids(made, "Sure. <think>She"), False) is None  # words before it change nothing


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("She weighs.", "She weighs."),
        ("[THINK]a[/THINK] She", "She"),
        ("a</thinking>She", "She"),
        ("[THINK]or <think>?[/THINK]She", "She"),
        ("<think>a</think>[THINK]She", None),
        ("Sure. <thought>She", None),
    ],
)
def test_marks_of_a_writer_that_nobody_knows_are_all_looked_for(reply, expected):
    assert behind_any_thought(reply) == expected


class Script:
    """A writer that says given texts, as far as the tokens reach, and remembers what it was asked."""

    def __init__(self, made, *rounds):
        self.made, self.rounds, self.asked = made, list(rounds), []

    def __call__(self, prompts, problem_ids, max_tokens, temperature, seed, sample=0):
        self.asked.append((prompts, max_tokens, seed))
        found = []
        for problem_id, text in zip(problem_ids, self.rounds.pop(0), strict=True):
            ids = tuple(meant_ids(self.made, text))
            cut = len(ids) >= max_tokens  # as in generate: no room for the end of the turn
            ids = ids[:max_tokens]
            end = {} if cut else {"stop_id": self.made.eos_token_id}
            found.append(Compression(problem_id, self.made.decode(ids), ids, "length" if cut else "stop", sample, 1.0, **end))
        return found


def ask(made, script, thinking, max_tokens=10, prompts=((1, 2),)):
    ids = [str(n) for n in range(len(prompts))]
    return generate_thinking(script, made, THINK, prompts, ids, max_tokens, 1.0, 5, 0, thinking)


def test_thinking_is_cost_and_z_has_its_own_limit():
    made = tokenizer(special=True)
    script = Script(made, ["<think>hm</think>\n\nshort", "<think>hm</think>much too long for z", "none"])
    first, second, third = ask(made, script, Thinking(20, forced=False), prompts=((1,), (1,), (1,)))
    assert [len(script.asked), script.asked[0][1]] == [1, 30]
    assert (first.z.text, first.z.finish, first.z.stop_id) == ("short", "stop", made.eos_token_id)
    assert (first.thinking_tokens, first.tokens, first.z.rate_tokens) == (6, 11, 5)  # 2 marks, hm, 2 line breaks
    assert (second.z.text, second.z.finish, second.z.stop_id) == ("much too l", "length", None)
    assert (second.thinking_tokens, second.tokens) == (4, 4 + len("much too long for z"))
    assert (third.z.text, third.thinking_tokens, third.tokens) == ("none", 0, 4)


def test_a_thought_without_an_end_is_no_empty_z():
    made = tokenizer(special=True)
    script = Script(made, ["<think>on and on and on and on", "<think>ended too late</think>z"])
    for thought in ask(made, script, Thinking(10, forced=False), prompts=((1,), (1,))):
        assert thought.z is None
        assert thought.thinking_tokens == thought.tokens > 10


def test_a_budget_ends_a_thought_and_goes_on_from_it():
    made = tokenizer(special=True)
    first = ["<think>12345678", "<think>1</think>abcdefgh", "<think>1</think>"]
    script = Script(made, first, ["forced", "ijklmnop"])
    prompts = ([7], [8], [9])
    one, two, three = ask(made, script, Thinking(8, forced=True), prompts=prompts)
    assert script.asked[0][1] == 8
    # only what had not ended is gone on with, behind what it said; the thought that had no end is given one
    assert [made.decode(p[1:]) for p in script.asked[1][0]] == ["<think>1234567\n</think>\n\n", "<think>1</think>abcde"]
    assert [p[0] for p in script.asked[1][0]] == [7, 8]
    assert script.asked[1][2] != script.asked[0][2]  # another draw
    assert (one.z.text, one.thinking_tokens, one.tokens, one.seconds) == ("forced", 12, 18, 2.0)
    assert (two.z.text, two.z.finish, two.thinking_tokens) == ("abcdeijklm", "length", 3)
    assert (three.z.text, three.z.finish, three.seconds) == ("", "stop", 1.0)  # it chose to say nothing


def test_a_thought_that_is_broken_off_is_ended_too_where_there_is_a_budget():
    made = tokenizer(special=True)
    script = Script(made, ["<think>hm"], ["said"])
    [thought] = ask(made, script, Thinking(20, forced=True))
    assert [made.decode(p[2:]) for p in script.asked[1][0]] == ["<think>hm\n</think>\n\n"]
    assert (thought.z.text, thought.thinking_tokens, thought.tokens) == ("said", 7, 11)
    [broken] = ask(made, Script(made, ["<think>hm"]), Thinking(20, forced=False))
    assert broken.z is None


def test_a_mark_that_shares_a_token_with_z_loses_nothing_of_it():
    made = tokenizer()
    made.add_tokens(["ink>She"])
    ids = meant_ids(made, "<think>a</think>She weighs")
    assert text_of(made, split_ids(made, THINK, ids, False)) == "She weighs"


def test_a_thought_that_is_asked_for_in_words_is_opened_for_the_model():
    plain, always = tokenizer(), tokenizer(ALWAYS)
    assert text_of(plain, compressor_ids(plain, "DOC", "Q?", Prompt("think-v1", thinking=True))).endswith("assistant\n<think>\n")
    assert text_of(always, compressor_ids(always, "DOC", "Q?", Prompt("think-v1", thinking=True))).count("<think>\n") == 1
    assert text_of(plain, compressor_ids(plain, "DOC", "Q?", Prompt(thinking=True))).endswith("assistant\n")


def test_z_is_scored_under_the_prompt_without_a_thought():
    made = tokenizer(SWITCH)
    asked = compressor_ids(made, "DOC", "Q?", Prompt(thinking=True))
    scored = compressor_ids(made, "DOC", "Q?", Prompt(thinking=False))
    assert text_of(made, scored) == text_of(made, asked) + "<think>\n\n</think>\n\n"
