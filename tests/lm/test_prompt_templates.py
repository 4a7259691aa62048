"""What models are told: old templates to the byte, new ones by what they must say, and values that look like templates."""

import json

import pytest
from pydantic import ValidationError
from test_models import make_adapter
from tiny import tiny_tokenizer

from infoagent.lm import prompts
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import adapter_prompt
from infoagent.lm.prompts import Prompt
from infoagent.lm.questions.prompts import QUESTION_TEMPLATES, question_prompt
from infoagent.recipes.sections import PromptSection
from infoagent.types import InputError, Problem


def said(messages):
    [message] = messages
    assert message["role"] == "user"
    return message["content"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("DOC", "Q?"), "DOC\n\nSummarise in one short sentence the part of the text above that is needed to answer: Q?"),
        (
            ("DOC", "Q?", Prompt("query-v1", 12)),
            "DOC\n\nSummarise in one short sentence of at most 12 words the part of the text above that is needed to answer: Q?",
        ),
        (
            ("DOC", "Q?", Prompt("agnostic-v1", None, 9)),
            "DOC\n\nWrite a short summary of at most 9 tokens of the text above that keeps its facts: numbers, names, dates.",
        ),
        (("DOC", "Q?", Prompt("plain-v1")), "DOC Q?"),
    ],
)
def test_what_adapters_were_trained_on_has_not_changed_by_a_byte(arguments, expected):
    assert said(prompts.compressor_messages(*arguments)) == expected


def test_what_predictors_read_has_not_changed_by_a_byte():
    expected = "Notes: Z\n\nQuestion: Q?\n\nAnswer from the notes with a short phrase and nothing else."
    assert said(prompts.predictor_messages(" Z ", "Q?")) == expected
    assert said(prompts.predictor_messages("  ", "Q?")) == expected.replace("Notes: Z", "Notes: (none)")
    assert said(prompts.predictor_messages("Z", "Q?", choices=("a", "b"))) == expected  # this template shows none


NAMES = ("document", "query", "budget", "sentences", "compression", "options", "reference", "reply", "earlier")
HOSTILE = " ".join("{" + name + "}" for name in NAMES) + " {0} {} { {{document}} \\1 \\g<0> %s }"


@pytest.mark.parametrize("template", prompts.COMPRESSOR_TEMPLATES)
def test_braces_in_documents_and_questions_stay_as_they_are(template):
    asked = {"sentences": 3} if template.startswith("sentences-") else {"form": "FFF"} if "form-" in template else {}
    plain = said(prompts.compressor_messages("DDD", "QQQ", Prompt(template, **asked)))
    hostile_form = {"form": f"third {HOSTILE}"} if "form" in asked else {}
    texts = f"first {HOSTILE}", f"second {HOSTILE}"
    hostile = said(prompts.compressor_messages(*texts, Prompt(template, **{**asked, **hostile_form})))
    expected = plain.replace("DDD", texts[0]).replace("QQQ", texts[1])
    assert hostile == expected.replace("FFF", hostile_form.get("form", "FFF"))
    assert plain.startswith("DDD")  # documents share their first tokens only if nothing stands before them
    assert "{" not in plain


@pytest.mark.parametrize("template", prompts.PREDICTOR_TEMPLATES)
def test_braces_in_compressions_and_choices_stay_as_they_are(template):
    plain = said(prompts.predictor_messages("ZZZ", "QQQ", template, ("OOO", "b")))
    hostile = said(prompts.predictor_messages(f"1{HOSTILE}", f"2{HOSTILE}", template, (f"3{HOSTILE}", "b")))
    assert hostile == plain.replace("ZZZ", f"1{HOSTILE}").replace("QQQ", f"2{HOSTILE}").replace("OOO", f"3{HOSTILE}")


def test_braces_in_replies_and_in_documents_that_get_questions_stay_as_they_are():
    plain = said(prompts.judge_messages("QQQ", "RRR", "PPP"))
    hostile = said(prompts.judge_messages(f"1{HOSTILE}", f"2{HOSTILE}", f"3{HOSTILE}"))
    assert hostile == plain.replace("QQQ", f"1{HOSTILE}").replace("RRR", f"2{HOSTILE}").replace("PPP", f"3{HOSTILE}")
    for kind in QUESTION_TEMPLATES["questions-v1"]:
        asked = question_prompt("DDD", kind, ["EEE"])
        assert question_prompt(f"1{HOSTILE}", kind, [f"2{HOSTILE}"]) == asked.replace("DDD", f"1{HOSTILE}").replace(
            "EEE", f"2{HOSTILE}"
        )
        assert "{" not in asked


@pytest.mark.parametrize(("number", "words"), [(1, "exactly 1 sentence the"), (3, "exactly 3 sentences the"), (9, "9")])
def test_a_number_of_sentences_reaches_the_prompt(number, words):
    text = said(prompts.compressor_messages("DOC", "Q?", Prompt("sentences-v1", sentences=number)))
    assert words in text
    assert "Q?" in text
    tokenizer = tiny_tokenizer()
    assert text in tokenizer.decode(prompts.compressor_ids(tokenizer, "DOC", "Q?", Prompt("sentences-v1", sentences=number)))


def test_the_context_is_filled_with_the_sentences_in_the_prompt():
    tokenizer = tiny_tokenizer()
    problem = Problem("p", "x" * 2000, "why?", "d")
    prompt = Prompt.of(PromptSection(template="sentences-v1", sentences=6))
    [fitted] = fit_to_context([problem], tokenizer, 500, 20, "head", prompt)
    room = 500 - 20 - len(prompts.compressor_ids(tokenizer, fitted.document, "why?", prompt))
    assert 0 <= room <= 16


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"template": "sentences-v1"}, "set sentences, e.g. to 3"),
        ({"template": "query-v1", "sentences": 3}, "set template to sentences-v1"),
        ({"template": "sentences-v1", "sentences": 3, "budget_words": 9}, "drop the budget"),
        ({"template": "sentences-v1", "sentences": 0}, "greater than or equal to 1"),
    ],
)
def test_a_prompt_with_the_wrong_length_is_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        PromptSection(**keys)


@pytest.mark.parametrize(
    "keys", [{"template": "sentences-v1"}, {"sentences": 3}, {"template": "sentences-v1", "sentences": 3, "budget_tokens": 9}]
)
def test_a_length_that_a_template_does_not_name_is_refused_where_no_recipe_was_read(keys):
    with pytest.raises(InputError, match=r"prompt\."):
        prompts.compressor_messages("DOC", "Q?", Prompt(**keys))


def test_every_template_agrees_with_the_recipes_rules_about_sentences_forms_and_thoughts():
    for name, text in prompts.COMPRESSOR_TEMPLATES.items():
        assert name.startswith("sentences-") == ("{sentences}" in text)
        assert ("form-" in name) == ("{form}" in text)
        assert name.startswith("think-") == ("<think>" in text) == (name in prompts.WITHOUT_THOUGHT)


def test_an_adapter_from_before_sentences_keeps_its_prompt(tmp_path):
    adapter = make_adapter(tmp_path / "a", "base")
    old = {"template": "query-v1", "budget_words": 5, "budget_tokens": None}
    (tmp_path / "a" / "infoagent.json").write_text(json.dumps({"base_model": "base", "prompt": old}))
    assert PromptSection(**adapter_prompt(adapter)).model_dump() == {**old, "sentences": None, "pick_tokens": None}
    assert "at most 5 words" in said(prompts.compressor_messages("DOC", "Q?", Prompt(**adapter_prompt(adapter))))


def test_choices_are_lettered_in_their_order():
    text = said(prompts.predictor_messages("Z", "Q?", "choice-v1", ("red", "green", "blue", "white", "black")))
    assert "Question: Q?\nA) red\nB) green\nC) blue\nD) white\nE) black\n\n" in text
    assert "\nA) red\nB) green\n" in said(prompts.predictor_messages("Z", "Q?", "json-v1", ("red", "green")))
    with pytest.raises(InputError, match="has no choices"):
        prompts.predictor_messages("Z", "Q?", "choice-v1")
    with pytest.raises(InputError, match="at most 26"):
        prompts.predictor_messages("Z", "Q?", "choice-v1", [str(n) for n in range(27)])


def test_replies_in_json_are_asked_for_by_an_example_of_the_very_keys():
    text = said(prompts.predictor_messages("Z", "Q?", "json-v1"))
    assert set(json.loads(text.splitlines()[-1])) == {"explanation", "answer"}
    verdict = said(prompts.judge_messages("Q?", "ref", ""))
    assert "Reply to be judged: (nothing)" in verdict
    assert json.loads(verdict.splitlines()[-1].replace("true or false", "true"))["correct"] is True


@pytest.mark.parametrize(
    ("template", "asks"), [("query-v1", True), ("agnostic-v1", False), ("compact-v1", False), ("gone-v0", True)]
)
def test_whether_a_compression_depends_on_the_question_is_read_from_its_template(template, asks):
    assert prompts.names_question(template) is asks
