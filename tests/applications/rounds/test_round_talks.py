"""Several rounds on a tiny model: against plain forward passes on hand-written chats, hand counts, and a server that fails."""

import json

import numpy as np
import pytest
import torch
from fake_server import FakeServer, status
from tiny import save_adapter

from infoagent.applications.rounds.drawing import round_notes
from infoagent.applications.rounds.prompts import next_question
from infoagent.applications.rounds.recipe import RoundsRecipe
from infoagent.applications.rounds.run import measure_rounds
from infoagent.applications.rounds.steps import Workplace
from infoagent.applications.rounds.talks import plan_rounds, run_rounds
from infoagent.applications.rounds.talks_summary import _compared, summarise_rounds
from infoagent.applications.rounds.trained import with_checkpoint
from infoagent.lm.models import load
from infoagent.records.files import read_records
from infoagent.types import InputError, RunFailed


def recipe(tiny_dir, out, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return RoundsRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": {"name": "records", "limit": 5, "min_words": 30, "max_words": 45},
            "systems": [
                {"label": "asks", "model": model, "max_tokens": 6, "rounds": 3},
                {"label": "same", "model": model, "max_tokens": 6, "rounds": 3, "questions": "same", "remembers": False},
                {"label": "once", "model": model, "max_tokens": 18, "rounds": 1},
            ],
            "predictor": model,
            "negatives": {"random": 2, "counterfactual": 2},
            "question_tokens": 8,
            "batch_size": 3,
            **more,
        }
    )


@pytest.fixture(scope="module")
def ran(tiny_dir, tmp_path_factory):
    made = recipe(tiny_dir, tmp_path_factory.mktemp("rounds"))
    plan, place = plan_rounds(made), Workplace.open(made)
    return made, plan, place, run_rounds(plan, place, quiet=True)


def asked(query):
    return f"Summarise in one short sentence the part of the text above that is needed to answer: {query}"


def user(text):
    return f"<|start|>user\n{text}<|end|>\n"


def by_hand(lm, chat, row):
    """log p of a round's tokens after a chat written by hand, from one plain forward pass."""
    ids = lm.tokenizer(chat, add_special_tokens=False)["input_ids"]
    text = [*row["token_ids"], *([] if row["stop_id"] is None else [row["stop_id"]])]
    with torch.inference_mode():
        logits = lm.model(torch.tensor([[*ids, *text]])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(ids) + i - 1, token]) for i, token in enumerate(text))


@pytest.mark.parametrize("label", ["asks", "same"])
def test_every_round_is_scored_after_the_questions_and_texts_that_were_there(tiny_dir, ran, label):
    _, plan, _, found = ran
    lm = load(str(tiny_dir), dtype="float32")
    talk, negatives = found[label][1], plan.negatives[1]
    documents = [plan.problems[1].document, *(n.document for n in negatives)]
    assert talk.scores["candidates"] == ["source", "random", "random", "counterfactual", "counterfactual"]
    for k in (0, 2, 4):
        chat = ""
        for t, row in enumerate(talk.rounds):
            if label == "same":
                chat = user(f"{documents[k]}\n\n{asked(talk.problem.query)}")
            elif t == 0:
                chat = user(f"{documents[k]}\n\n{asked(row['question'])}")
            else:
                told = f"{asked(row['question'])}\nAdd what is new and do not repeat what you said."
                chat += f"<|start|>assistant\n{talk.rounds[t - 1]['text']}<|end|>\n" + user(told)
            value = by_hand(lm, chat + "<|start|>assistant\n", row)
            assert talk.scores["log_probs"][t][k] == pytest.approx(value, abs=2e-3)


def test_questions_are_the_predictors_lines_and_the_first_is_the_problems(ran):
    _, _, place, found = ran
    for talk in found["asks"]:
        assert talk.questions[0] == talk.problem.query
        for row in talk.rounds[1:]:
            reply = place.records.rows[row["reply_key"]]
            assert row["question"] == next_question(reply["text"])
            assert reply["predictor"]["max_tokens"] == 8
    assert all(q == talk.problem.query for talk in found["same"] for q in talk.questions)
    assert len({tuple(r["token_ids"]) for talk in found["same"] for r in talk.rounds}) > 5, "rounds are drawn anew"
    for one, other in zip(found["asks"], found["same"], strict=True):
        assert one.rounds[0]["key"] == other.rounds[0]["key"], "what is asked alike is drawn once"


def test_the_summary_adds_up_what_the_records_say(ran):
    made, _, place, found = ran
    summary = summarise_rounds(made, place, found)
    system = summary["systems"][0]
    scores = np.array([talk.scores["log_probs"] for talk in found["asks"]])  # (talks, rounds, candidates)
    told = scores.cumsum(axis=1)
    by_round = np.log(5) + told[:, :, 0] - np.log(np.exp(told).sum(axis=2))
    rounds = system["information"]["all"]
    assert [r["total"]["infonce_nats"] for r in rounds] == pytest.approx(by_round.mean(axis=0).tolist(), abs=1e-9)
    assert sum(r["gain"]["value"] for r in rounds) == pytest.approx(by_round[:, -1].mean(), abs=1e-9)
    after = system["after"][2]
    tokens = [sum(r["rate_tokens"] for r in talk.rounds) for talk in found["asks"]]
    questions = [[place.records.rows[r["reply_key"]] for r in talk.rounds[1:]] for talk in found["asks"]]
    assert after["rate/tokens"]["value"] == pytest.approx(np.mean(tokens))
    written = [n + sum(q["usage"]["completion_tokens"] for q in of) for n, of in zip(tokens, questions, strict=True)]
    assert after["cost/tokens_written"]["value"] == pytest.approx(np.mean(written))
    flops = [
        sum(r["gflops_prefill"] + r["gflops_decode"] for r in [*talk.rounds, *of])
        for talk, of in zip(found["asks"], questions, strict=True)
    ]
    assert after["cost/gflops"]["value"] == pytest.approx(np.mean(flops))
    notes = {talk.problem.id: "\n".join(r["text"].strip() for r in talk.rounds if r["text"].strip()) for talk in found["asks"]}
    answers = {
        r["problem_id"]: r for r in place.records.rows.values() if r["kind"] == "answer" and r["notes"] == notes[r["problem_id"]]
    }
    assert after["accuracy"]["value"] == pytest.approx(np.mean([answers[i]["correct"] for i in notes]))
    [same, once] = summary["against_first"]
    last = {s["label"]: s["information"]["hard"][-1]["total"]["infonce_nats"] for s in summary["systems"]}
    assert same["mi/hard_nats"]["value"] == pytest.approx(last["same"] - last["asks"], abs=1e-9)
    assert once["mi/hard_nats"]["value"] == pytest.approx(last["once"] - last["asks"], abs=1e-9)


def test_what_is_there_is_not_done_again_and_half_a_line_is_cut_off(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path / "whole")
    whole = measure_rounds(plan_rounds(made), quiet=True)
    lines = (tmp_path / "whole/records.jsonl").read_text().splitlines(keepends=True)
    assert len({json.loads(line)["key"] for line in lines}) == len(lines)
    again = recipe(tiny_dir, tmp_path / "killed")
    (tmp_path / "killed").mkdir()
    kept = len(lines) // 2
    (tmp_path / "killed/records.jsonl").write_text("".join(lines[:kept]) + lines[kept][:40])
    second = measure_rounds(plan_rounds(again), quiet=True)
    added = (tmp_path / "killed/records.jsonl").read_text().splitlines()[kept:]
    assert sorted(json.loads(line)["key"] for line in added) == sorted(json.loads(line)["key"] for line in lines[kept:])
    for one, other in zip(whole["systems"], second["systems"], strict=True):
        for kind in ("easy", "hard"):
            expected = [r["total"]["infonce_nats"] for r in one["information"][kind]]
            assert [r["total"]["infonce_nats"] for r in other["information"][kind]] == pytest.approx(expected, abs=1e-4)


def served(tiny_dir, out, server, **more):
    endpoint = {
        "base_url": server.url,
        "api_key_env": None,
        "retries": 0,
        "timeout_seconds": 60.0,
        "backoff_seconds": 0.01,
        "concurrency": 1,
    }
    predictor = {"name": "fake", "kind": "endpoint", "endpoint": endpoint, "max_tokens": 8}
    prices = {"prices": {"fake": {"input": 1.0, "output": 1.0}}}
    model = {"name": str(tiny_dir), "dtype": "float32"}
    systems = [{"label": "asks", "model": model, "max_tokens": 6, "rounds": 2}]
    return recipe(tiny_dir, out, predictor=predictor, cost=prices, systems=systems, spending_limit_usd=100.0, **more)


def test_a_question_that_was_not_written_ends_its_talk_and_is_asked_again_next_time(tiny_dir, tmp_path):
    def reply(chat):
        return "\n 'And what else?' \nThank you." if "Write one new question" in str(chat) else "A"

    with FakeServer(reply, script=[status(500)]) as server:
        made = served(tiny_dir, tmp_path, server)
        plan, place = plan_rounds(made), Workplace.open(made)
        found = run_rounds(plan, place, quiet=True)
        summary = summarise_rounds(made, place, found)["systems"][0]
        assert summary["failed"] == 1
        [cause] = summary["failed_causes"]
        assert cause.startswith("question: ")
        lost = [talk for talk in found["asks"] if talk.failed]
        assert [len(talk.rounds) for talk in lost] == [1], "its first round stays"
        assert summary["information"]["hard"][0]["total"]["n_documents"] == 4
        assert {q for talk in found["asks"] for q in talk.questions[1:]} == {"And what else?"}
        before = len(server.requests)
        again = summarise_rounds(made, place, run_rounds(plan_rounds(made), Workplace.open(made), quiet=True))
        assert again["systems"][0]["failed"] == 0
        assert len(server.requests) == before + 2, "the lost question, and the answer after its round"
        assert again["systems"][0]["after"][1]["cost/usd"]["value"] > 0


def test_a_spending_limit_keeps_what_was_done(tiny_dir, tmp_path):
    with FakeServer(lambda chat: "What else?") as server:
        made = served(tiny_dir, tmp_path, server)
        poor = made.model_copy(update={"spending_limit_usd": 0.0})
        with pytest.raises(RunFailed, match="no talk came to its end \\(question: spending limit\\)"):
            measure_rounds(plan_rounds(poor), quiet=True)
        found = json.loads((tmp_path / "rounds.json").read_text())["systems"][0]
        assert (found["failed"], len(server.requests)) == (5, 0)
        assert [cause for cause in found["failed_causes"]] == ["question: spending limit"]
        assert len([r for r in read_records(tmp_path) if r["kind"] == "round"]) == 5
        assert measure_rounds(plan_rounds(made), quiet=True)["systems"][0]["failed"] == 0


def test_mistakes_are_found_before_a_model_loads(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("infoagent.lm.models.load_weights", lambda *_, **__: pytest.fail("a model was loaded"))
    model = {"name": str(tiny_dir), "dtype": "float32"}
    systems = [
        {"label": "a", "model": {**model, "adapter": "runs/none"}},
        {"label": "b", "model": model, "prompt": {"template": "query-v9"}},
        {"label": "c", "model": model, "rounds": 40, "max_tokens": 90},
    ]
    predictor = {**model, "template": "answer-v9"}
    with pytest.raises(InputError) as error:
        plan_rounds(recipe(tiny_dir, tmp_path, systems=systems, predictor=predictor))
    first, second, *long, last = error.value.problems
    assert first.startswith("adapter 'runs/none': no such directory")
    assert second.startswith("prompt.template: 'query-v9' is unknown")
    assert all("prompt and reply take" in line for line in long)
    assert last.startswith("predictor.template 'answer-v9': is unknown")
    with pytest.raises(ValueError, match="the label 'a' stands twice"):
        recipe(tiny_dir, tmp_path, systems=[{"label": "a"}, {"label": "a"}])


def test_a_checkpoint_stands_beside_the_first_with_its_own_prompt(tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "run/checkpoint-3")
    record = json.loads((adapter / "infoagent.json").read_text())
    (adapter / "infoagent.json").write_text(json.dumps({**record, "prompt": {"template": "query-v1", "budget_words": 9}}))
    made = with_checkpoint(recipe(tiny_dir, tmp_path / "out", checkpoint=str(adapter)))
    trained = made.systems[-1]
    assert (trained.label, trained.prompt.budget_words, trained.rounds) == ("trained run/checkpoint-3", 9, 3)
    assert trained.model.adapter == str(adapter)
    with pytest.raises(InputError, match="no such directory"):
        with_checkpoint(recipe(tiny_dir, tmp_path / "out", checkpoint="runs/none"))


def test_the_notes_say_where_no_gain_is_shown_and_where_the_last_round_gains():
    def total(left):
        return {"total": {"ceiling_nats": 1.5, "headroom_nats": left, "saturation": 0.25}}

    silent = {"failed": 0, "failed_causes": {}, "n": 0}
    ended = {
        "label": "s", "questions": "same", "after": [], "answers": silent, **silent,
        "information": {"hard": [total(1.0), total(0.5), total(0.4)], "easy": [total(0.9)]},
        "saturated_after": {"hard": 2}, "rest": {"hard": {"value": 0.1, "low": -0.2, "high": 0.4}},
    }  # fmt: skip
    hard, easy = round_notes({"systems": [ended]})
    assert "no gain is shown after round 2: what follows adds +0.10 [-0.20, +0.40] of 0.50 nats left" in hard
    assert "easy candidates: the last of 1 rounds still gains; ceiling 1.50 nats, 25% of talks" in easy


def test_a_question_that_failed_in_one_system_is_compared_in_neither():
    """Of a document's two questions one is easier: its other system did not get worse by losing it."""
    first = {"accuracy": {"easy": ("d", 1.0), "hard": ("d", 0.0), "third": ("e", 1.0)}}
    other = {"accuracy": {"hard": ("d", 0.0), "third": ("e", 1.0)}}
    found = _compared(first, other)["accuracy"]
    assert (found["value"], found["n"]) == (0.0, 2)
