"""The end of a turn and the prompt, for every chat template that TRL ships."""

import time

import pytest
from families import ENDS, every_template, family, family_of
from tiny import tiny_tokenizer

from infoagent.lm.prompts import chat_ids, compressor_ids, end_of_turn_id
from infoagent.store import template_date
from infoagent.types import InputError

CHAT = [{"role": "user", "content": "Which river?"}]


@pytest.mark.parametrize("template", every_template())
def test_the_end_of_a_turn_is_the_token_that_closes_it(template):
    made = family(template)
    assert made.convert_ids_to_tokens(end_of_turn_id(made)) == ENDS[family_of(template)]


@pytest.mark.parametrize("template", every_template())
def test_a_prompt_holds_the_document_and_the_question_whole(template):
    made = family(template)
    ids = compressor_ids(made, "The Elbe is 1094 km long.", "How long is it?")
    text = made.decode(ids)
    assert text.count("The Elbe is 1094 km long.") == text.count("How long is it?") == 1
    assert made.encode(text, add_special_tokens=False) == ids


def test_a_template_that_is_not_understood_is_refused_in_one_line():
    cases = {
        "{{ 'User: ' }}": "leaves out what the user says",
        "{{ raise_exception('only tools may speak') }}": "only tools may speak",
    }
    for template, cause in cases.items():
        made = tiny_tokenizer()
        made.chat_template = template
        with pytest.raises(InputError, match=cause) as error:
            chat_ids(made, CHAT)
        assert len(error.value.problems) == 1
        assert "\n" not in error.value.problems[0]


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        ("{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}", "0 times"),
        ("{{ m['content'] + m['content'] }}", "2 times"),
        ("{% if m['role'] == 'assistant' %}{{ raise_exception('no replies') }}{% endif %}{{ m['content'] }}", "no replies"),
    ],
)
def test_a_template_that_does_not_say_where_a_turn_ends_is_refused(says, cause):
    made = tiny_tokenizer()
    made.chat_template = "{% for m in messages %}" + says + "<|end|>{% endfor %}"
    with pytest.raises(InputError, match=cause) as error:
        end_of_turn_id(made)
    assert len(error.value.problems) == 1


def test_without_a_closing_token_the_tokenizer_s_eos_ends_a_turn_and_without_that_nothing_does():
    made = tiny_tokenizer()
    made.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    assert end_of_turn_id(made) == made.eos_token_id
    made.chat_template += " "
    made.eos_token = None
    with pytest.raises(InputError, match="end of turn"):
        end_of_turn_id(made)


def test_another_template_on_the_same_tokenizer_is_read_anew():
    made = tiny_tokenizer()
    assert made.convert_ids_to_tokens(end_of_turn_id(made)) == "<|end|>"
    made.add_tokens(["<|stop|>"])
    made.chat_template = "{% for m in messages %}{{ m['content'] + '<|stop|>' }}{% endfor %}"
    assert made.convert_ids_to_tokens(end_of_turn_id(made)) == "<|stop|>"


DATED = [t for t in every_template() if family_of(t) in ("llama3_2", "gptoss", "muse_glimmer")]


@pytest.mark.parametrize("template", DATED)
def test_the_date_in_a_prompt_is_that_of_the_run_and_not_of_the_clock(template, monkeypatch):
    made = family(template)
    text = made.decode(chat_ids(made, CHAT))
    assert "2024" in text
    assert not any(time.strftime(form) in text for form in ("%Y-%m-%d", "%d %b %Y"))
    monkeypatch.setenv("INFOAGENT_TEMPLATE_DATE", "2031-03-04")
    later = made.decode(chat_ids(made, CHAT))
    assert "2031-03-04" in later or "04 Mar 2031" in later


def test_no_template_reads_the_clock(monkeypatch):
    """Whatever asks the time, in any family, would print it."""
    import transformers.utils.chat_template_utils as rendering

    class Clock:
        def now(self):
            raise AssertionError("a prompt asked for the time")

    monkeypatch.setattr(rendering, "datetime", Clock())
    with pytest.raises(AssertionError, match="asked for the time"):  # who renders such a template the library's way does
        family(DATED[0]).apply_chat_template(CHAT)
    assert all(chat_ids(family(template), CHAT) for template in every_template())


def test_a_date_that_is_none_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("INFOAGENT_TEMPLATE_DATE", "yesterday")
    with pytest.raises(InputError, match="must be a date"):
        template_date()
