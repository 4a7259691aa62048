"""Rounds and compactions of models that can think: they are told not to, and a thought is neither question nor text."""

import json

import pytest
import scripted
from test_compaction import recipe as compaction
from test_round_talks import by_hand
from test_round_talks import recipe as rounds
from tiny import save_adapter, save_tiny
from transformers import AutoTokenizer

from infoagent.applications.rounds.compaction import plan_compaction, run_compaction
from infoagent.applications.rounds.compaction_summary import summarise_compaction
from infoagent.applications.rounds.prompts import next_question
from infoagent.applications.rounds.steps import Workplace
from infoagent.applications.rounds.talks import plan_rounds, run_rounds
from infoagent.applications.rounds.talks_summary import summarise_rounds
from infoagent.applications.rounds.trained import with_checkpoint
from infoagent.lm.models import load
from infoagent.records.files import read_records
from infoagent.types import InputError, RunFailed

SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
OFF = "<|start|>assistant\n<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """The tiny model with a thinking mode in its chat template, which is on unless it is turned off."""
    directory = save_tiny(tmp_path_factory.mktemp("thinker"))
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template += SWITCH
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def says(monkeypatch):
    """`says(f)`: models write f(prompt, name). Returns the prompts as they come."""
    return lambda text_of: scripted.install(monkeypatch, lambda prompt, name, number: text_of(prompt, name), whole=True)


def one_system(directory, out, **more):
    model = {"name": str(directory), "dtype": "float32"}
    return rounds(directory, out, systems=[{"label": "asks", "model": model, "max_tokens": 6, "rounds": 2, **more}])


def run(made):
    plan, place = plan_rounds(made), Workplace.open(made)
    return plan, place, run_rounds(plan, place, quiet=True)


def test_thinking_is_off_where_models_ask_write_and_score(thinker, tmp_path, says):
    prompts = says(lambda prompt, _: "What else?" if "Write one new question" in prompt else "91 kg")
    plan, _, found = run(one_system(thinker, tmp_path))
    assert len(prompts) == 5 * 3
    assert all(prompt.endswith(OFF) for prompt in prompts)
    lm, talk = load(str(thinker), dtype="float32"), found["asks"][0]
    assert talk.questions[1] == "What else?"
    [second] = [p for p in prompts if talk.problem.document in p and "What else?" in p]
    documents = [talk.problem.document, *(n.document for n in plan.negatives[0])]
    for document, value in zip(documents, talk.scores["log_probs"][1], strict=True):
        chat = second.replace(talk.problem.document, document)
        assert value == pytest.approx(by_hand(lm, chat, talk.rounds[1]), abs=2e-3)
    calls = says(lambda *_: pytest.fail("asked again"))
    run(one_system(thinker, tmp_path))
    assert calls == []


def test_a_thought_is_no_question_and_no_text_of_a_round(tiny_dir, tmp_path, says):
    replies = iter(["<think>\nOkay, no end", "<think>hm</think>\nWhat else?", "What else?", "What else?", "What else?"])
    names = {}

    def text(prompt, name):
        if "Write one new question" in prompt:
            return next(replies)
        number = names.setdefault(name, len(names))
        return {2: "<think>91", 3: "<think>hm</think>91 kg"}.get(number, "91 kg") if "What else?" in prompt else "91 kg"

    says(text)
    made = one_system(tiny_dir, tmp_path)
    _, place, found = run(made)
    causes = [talk.failed["cause"] if talk.failed else None for talk in found["asks"]]
    assert causes == ["question: unfinished thinking", None, "text: thinking", "text: thinking", None]
    assert [len(talk.rounds) for talk in found["asks"]] == [1, 2, 1, 1, 2]
    assert found["asks"][1].questions[1] == "What else?"
    lost = [r for r in read_records(tmp_path) if r["kind"] == "round" and r["status"] != "ok"]
    assert [r["reply"] for r in lost] == ["<think>91", "<think>hm</think>91 kg"]
    assert not any({"text", "token_ids", "rate_tokens"} & set(r) for r in lost)
    summary = summarise_rounds(made, place, found)["systems"][0]
    assert summary["failed_causes"] == {"question: unfinished thinking": 1, "text: thinking": 2}
    says(lambda *_: pytest.fail("a thought is not drawn again until it is none"))
    assert [bool(t.failed) for t in run(made)[2]["asks"]] == [c is not None for c in causes]


def test_the_question_of_a_reply_stands_behind_its_thought():
    assert next_question("<think>\nOkay, let me see\n</think>\n\n'And what else?'\nBye") == "And what else?"
    assert next_question("<think>\nOkay, let me see") is None
    assert next_question("<think>a</think>\n") == ""


def compactors(directory, out, *sections):
    model = {"name": str(directory), "dtype": "float32"}
    return compaction(directory, out, compactors=[{"model": model, **s} for s in sections])


def test_thinking_is_off_where_a_history_is_compacted_and_scored(thinker, tmp_path, says):
    prompts = says(lambda *_: "all sold")
    made = compactors(thinker, tmp_path, {"label": "writes", "max_tokens": 10})
    plan, place = plan_compaction(made), Workplace.open(made)
    course = run_compaction(plan, place, quiet=True)["writes"][0]
    assert len(prompts) == 3 * 3
    assert all(prompt.endswith(OFF) for prompt in prompts)
    # the first compaction reads the very turns that its critic reads
    [first] = [p for p in prompts if course.history.turns[0] in p]
    lm = load(str(thinker), dtype="float32")
    assert course.scores[0]["log_probs"][0] == pytest.approx(by_hand(lm, first, course.summaries[0]), abs=2e-3)


def test_a_thought_is_no_summary(tiny_dir, tmp_path, says):
    made = compactors(tiny_dir, tmp_path / "one", {"label": "writes"}, {"label": "newest", "kind": "tail"})
    lost = plan_compaction(made).data.histories[1].id
    says(lambda prompt, name: "<think>hm" if name.startswith(f"{lost}#") and "so far" in prompt else "all sold")
    plan, place = plan_compaction(made), Workplace.open(made)
    found = run_compaction(plan, place, quiet=True)
    assert {c.history.id for c in found["writes"] if c.failed is not None} == {lost}
    assert all(c.failed is None for c in found["newest"])
    [row] = [r for r in place.records.rows.values() if r["status"] != "ok"]
    assert (row["compaction"], row["cause"], row["final"], "text" in row) == (2, "thinking", True, False)
    writes, newest = summarise_compaction(made, place, found)
    assert (writes["histories"], newest["histories"]) == (2, 3)
    assert (writes["questions"], writes["courses"]) == (4, {"failed": 2, "failed_causes": {"thinking": 2}})
    assert newest["courses"]["failed"] == 0
    made = compactors(tiny_dir, tmp_path / "all", {"label": "writes"})
    says(lambda *_: "<think>hm")
    with pytest.raises(RunFailed, match="writes: 6 of 6 questions have no summaries to the end: a thought"):
        run_compaction(plan_compaction(made), Workplace.open(made), quiet=True)


@pytest.mark.parametrize(
    ("template", "words"), [("think-v1", "asks for a thought"), ("form-v1", "names a form"), ("agnostic-form-v1", "names a form")]
)
def test_templates_of_thoughts_and_forms_are_refused(tiny_dir, tmp_path, template, words):
    with pytest.raises(ValueError, match=f"'asks': prompt.template '{template}' {words}"):
        one_system(tiny_dir, tmp_path, prompt={"template": template})
    with pytest.raises(ValueError, match=f"'writes': prompt.template '{template}' {words}"):
        compactors(tiny_dir, tmp_path, {"label": "writes", "prompt": {"template": template}})


@pytest.mark.parametrize("template", ["agnostic-v1", "memory-v1", "compact-v1"])
def test_no_question_is_written_for_a_compressor_that_is_not_told_it(tiny_dir, tmp_path, template):
    with pytest.raises(ValueError, match="would reach nobody"):
        one_system(tiny_dir, tmp_path, prompt={"template": template})
    for more in ({"questions": "same"}, {"rounds": 1}):
        assert one_system(tiny_dir, tmp_path, prompt={"template": template}, **more).systems[0].prompt.template == template


def test_a_checkpoint_with_such_a_prompt_is_one_line(tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "run/checkpoint-3")
    record = json.loads((adapter / "infoagent.json").read_text())
    (adapter / "infoagent.json").write_text(json.dumps({**record, "prompt": {"template": "agnostic-v1"}}))
    made = one_system(tiny_dir, tmp_path / "out").model_copy(update={"checkpoint": str(adapter)})
    with pytest.raises(InputError, match="would reach nobody") as error:
        with_checkpoint(made)
    [line] = error.value.problems
    assert line.startswith(f"checkpoint = {str(adapter)!r}: 'trained run/checkpoint-3'")
