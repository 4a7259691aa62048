"""A history compacted again and again on a tiny model: what each step reads, scores and hands over, written by hand."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from infoagent.applications.rounds.compaction import context_of, is_stated, plan_compaction, run_compaction
from infoagent.applications.rounds.compaction_summary import against_last, summarise_compaction
from infoagent.applications.rounds.recipe import CompactionRecipe
from infoagent.applications.rounds.run import measure_compaction
from infoagent.applications.rounds.steps import Workplace, writer_identity
from infoagent.data.fact_types import FACT_TYPES, OTHER, WEIGHTS, type_of, weighted_facts
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.evaluation.records import content_key
from infoagent.grading import states_fact, unsupported_spans
from infoagent.information import infonce_terms
from infoagent.lm.models import load
from infoagent.types import InputError

TOLD = (
    "The text above is a conversation, or a summary of its earlier part and what was said since. Write a summary that takes "
    "its place: every fact of the earlier summary and every new one, each with its name, number or date."
)
SO_FAR = "Summary of the conversation so far: "


def recipe(tiny_dir, out, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return CompactionRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": {"name": "records", "limit": 3, "min_words": 14, "max_words": 20},
            "every": 3,
            "compactions": 3,
            "keep": 1,
            "asked": 2,
            "versions": 2,
            "batch_size": 3,
            "compactors": [
                {"label": "writes", "model": model, "max_tokens": 10},
                {"label": "told", "model": model, "max_tokens": 10, "prompt": {"template": "query-v1"}, "temperature": 0.5},
                {"label": "newest", "kind": "tail", "model": model, "max_tokens": 100},
                {"label": "first", "kind": "lead", "model": model, "max_tokens": 250},
                {"label": "all", "kind": "full-document", "model": model},
                {"label": "nothing", "kind": "closed-book", "model": model},
            ],
            "predictor": model,
            **more,
        }
    )


@pytest.fixture(scope="module")
def ran(tiny_dir, tmp_path_factory):
    made = recipe(tiny_dir, tmp_path_factory.mktemp("compaction"))
    plan, place = plan_compaction(made), Workplace.open(made)
    return made, place, run_compaction(plan, place, quiet=True)


@pytest.fixture(scope="module")
def lm(tiny_dir):
    return load(str(tiny_dir), dtype="float32")


def chat_ids(lm, text):
    return lm.tokenizer(f"<|start|>user\n{text}<|end|>\n<|start|>assistant\n", add_special_tokens=False)["input_ids"]


def test_a_step_reads_the_summary_before_and_the_turns_since_the_newest_left_out(ran, lm):
    made, _, found = ran
    for course in found["writes"]:
        turns, identity = course.history.turns, writer_identity(made.compactors[0])
        inputs = ["\n\n".join(turns[0:2])]  # keep = 1: the third turn stays as it is
        for r, new in ((1, turns[2:5]), (2, turns[5:8])):
            before = course.summaries[r - 1]["text"].strip()
            inputs.append("\n\n".join([*([SO_FAR + before] if before else []), *new]))
        for text, row in zip(inputs, course.summaries, strict=True):
            prompt = chat_ids(lm, f"{text}\n\n{TOLD}")
            assert row["key"] == content_key(kind="summary", writer=identity, prompt=prompt, seed=0)
            assert row["prompt_tokens"] == len(prompt)
            assert row["rate_tokens"] == len(row["token_ids"]) <= 10


def test_a_summary_is_scored_under_the_whole_history_and_its_versions(ran, lm):
    _, _, found = ran
    end = f"\n\n{TOLD}"
    for label in ("writes", "newest"):
        course = found[label][3]
        for r in (1, 3):
            row = course.summaries[r - 1]
            text = [*row["token_ids"], lm.tokenizer.eos_token_id] if row["finish"] == "stop" else row["token_ids"]
            for v in range(3):
                ids = chat_ids(lm, "\n\n".join(course.history.version(course.probe, v)[: 3 * r - 1]) + end)
                with torch.inference_mode():
                    logits = lm.model(torch.tensor([[*ids, *text]])).logits[0].double().log_softmax(-1)
                value = sum(float(logits[len(ids) + i - 1, t]) for i, t in enumerate(text))
                assert course.scores[r - 1]["log_probs"][v] == pytest.approx(value, abs=5e-3)


def test_a_critic_that_was_changed_in_place_scores_anew(tiny_dir, tmp_path):
    """A picker's text is the same, but its score is not."""
    model = shutil.copytree(tiny_dir, tmp_path / "model")
    section = {"label": "first", "kind": "lead", "model": {"name": str(model), "dtype": "float32"}, "max_tokens": 100}

    def scores():
        made = recipe(model, tmp_path / "out", compactors=[section], asked=1, compactions=1)
        [course, *_] = run_compaction(plan_compaction(made), Workplace.open(made), quiet=True)["first"]
        return course.scores[0]

    before = scores()
    assert scores() == before
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|start|>", "<|start|>!"))
    assert scores()["key"] != before["key"]
    assert scores()["log_probs"] != before["log_probs"]


def test_probes_share_summaries_unless_the_question_is_told(ran):
    _, _, found = ran
    for label, shared in (("writes", True), ("told", False)):
        first, second = found[label][:2]
        assert first.history.id == second.history.id
        assert ([s["key"] for s in first.summaries] == [s["key"] for s in second.summaries]) is shared
    assert found["writes"][0].scores[0]["key"] != found["writes"][1].scores[0]["key"]


def test_contexts_hold_the_summary_and_the_newest_turns(ran):
    made, _, found = ran
    course = found["newest"][0]
    turns, newest = course.history.turns, made.compactors[2]
    assert context_of(made, newest, course, 0) == "\n\n".join(turns[:3])
    assert context_of(made, newest, course, 2) == SO_FAR + course.summaries[1]["text"] + "\n\n" + turns[5]
    assert context_of(made, made.compactors[4], found["all"][0], 2) == "\n\n".join(turns[:6])
    assert context_of(made, made.compactors[5], found["nothing"][0], 2) == ""
    assert course.summaries[1]["text"].endswith(turns[4].split(". ")[-1].replace("\n", " ")), "the newest sentences"
    assert found["first"][0].summaries[2]["text"].startswith(turns[0].split(". ")[0])


def test_pickers_lose_or_keep_a_fact_exactly(ran):
    made, place, found = ran
    summaries = {s["label"]: s for s in summarise_compaction(made, place, found)}
    for label in ("newest", "first"):
        for r in (1, 2, 3):
            # a text that states the fact differs from those of all versions; one that does not is the same in all
            stated = [course.probe.answer in course.summaries[r - 1]["text"] for course in found[label]]
            alike = [1 if s else 3 for s in stated]
            assert [course.alike[r - 1] for course in found[label]] == alike
            after = summaries[label]["after"][r]
            assert after["exact_nats"]["value"] == pytest.approx(np.mean(np.log(3) - np.log(alike)))
            assert after["fact/stated"]["value"] == pytest.approx(np.mean(stated))
    assert summaries["newest"]["after"][1]["exact_nats"]["value"] < np.log(3)
    assert summaries["newest"]["after"][3]["exact_nats"]["value"] == 0
    assert summaries["first"]["after"][3]["exact_nats"]["value"] == summaries["first"]["after"][1]["exact_nats"]["value"] > 0
    assert "exact_nats" not in summaries["writes"]["after"][1]


def test_the_summary_is_what_the_records_say(ran):
    made, place, found = ran
    summary = summarise_compaction(made, place, found)[0]
    assert (summary["histories"], summary["questions"], summary["told_the_question"]) == (3, 6, False)
    log_probs = np.array([c.scores[1]["log_probs"] for c in found["writes"]])
    plain = infonce_terms(log_probs, np.zeros(6, dtype=int)).reshape(3, 2).mean(axis=1).mean()
    after = summary["after"]
    assert after[2]["mi"]["plain_nats"] == pytest.approx(plain, abs=1e-9)
    assert len(after[2]["mi"]["betas"]) == 3, "as many folds as histories"
    assert "mi" not in after[0]
    read = [sum(s["prompt_tokens"] for s in c.summaries[:2]) for c in found["writes"]]
    assert after[2]["cost/tokens_read"]["value"] == pytest.approx(np.mean(read))
    rows = [r for r in place.records.rows.values() if r["kind"] == "answer"]
    correct = []
    for course in found["writes"]:
        notes = SO_FAR + course.summaries[2]["text"].strip() + "\n\n" + course.history.turns[8]
        [row] = [r for r in rows if r["problem_id"] == course.id and r["notes"] == notes]
        correct.append(row["correct"])
    assert after[3]["accuracy"]["value"] == pytest.approx(np.mean(correct))
    assert {(c["from"], c["to"]) for c in summary["changes"]} == {(1, 2), (2, 3), (1, 3)}
    for row in summary["after"]:  # every asked fact has one type
        types = row["stated_by_type"]
        assert set(types) <= {*FACT_TYPES, OTHER}
        for name, share in types.items():
            asked = [c for c in found["writes"] if type_of(c.probe.answer) == name]
            told = [is_stated(made, made.compactors[0], c, row["compactions"]) for c in asked]
            by_history = [[t for t, a in zip(told, asked, strict=True) if a.history.id == h] for h in {a.history.id for a in asked}]
            assert share["value"] == pytest.approx(np.mean([np.mean(t) for t in by_history]))
    whole = next(c for c in summary["changes"] if (c["from"], c["to"]) == (1, 3))
    assert whole["value"] == pytest.approx(after[3]["mi"]["value"]["value"] - after[1]["mi"]["value"]["value"], abs=1e-9)


def test_a_history_with_a_failed_score_is_in_no_difference(ran):
    """Its other question asks for another fact: between two compactions that would be a change that nobody made."""
    made, place, found = ran
    writes = found["writes"]
    hurt = replace(writes[0], scores=[writes[0].scores[0], {"status": "failed", "cause": "not finite"}, writes[0].scores[2]])
    summary = summarise_compaction(made, place, {**found, "writes": [hurt, *writes[1:]]})[0]
    changes = {(c["from"], c["to"]): c["n"] for c in summary["changes"]}
    assert changes == {(1, 2): 2, (2, 3): 2, (1, 3): 3}
    assert summary["after"][2]["mi"]["value"]["n"] == 3  # the estimate itself still has what could be measured of it


def test_summaries_are_judged_against_what_was_said(ran):
    made, place, found = ran
    after = summarise_compaction(made, place, found)[0]["after"]
    cut = [c.summaries[1]["finish"] == "length" for c in found["writes"]]
    assert after[2]["rate/cut_off"]["value"] == pytest.approx(np.mean(cut))
    assert "rate/cut_off" not in after[0]
    invented = [bool(unsupported_spans(c.summaries[1]["text"], "\n\n".join(c.history.turns[:6]))) for c in found["writes"]]
    assert after[2]["faithfulness/unsupported"]["value"] == pytest.approx(np.mean(invented))
    pickers = summarise_compaction(made, place, found)[3]["after"]
    assert pickers[3]["faithfulness/unsupported"]["value"] == 0, "it picks what was said"


def test_survival_is_told_by_age(ran):
    """Against a count by hand: the facts of each three turns, each where it was said first."""
    made, place, found = ran
    rows = {c["label"]: c["after"] for c in summarise_compaction(made, place, found)}
    assert "stated_by_age" not in rows["first"][0]
    assert {age: s["value"] for age, s in rows["all"][3]["stated_by_age"].items()} == {"0": 1, "1": 1, "2": 1}
    assert {s["value"] for s in rows["nothing"][3]["stated_by_age"].values()} == {0}
    assert [rows[label][3]["facts/kept"]["value"] for label in ("all", "nothing")] == [1, 0]
    section = next(c for c in made.compactors if c.label == "newest")
    by_history: dict[str, list[float]] = {}
    for course in found["newest"]:
        before = {s.text for s, _ in weighted_facts("\n\n".join(course.history.turns[:3]), WEIGHTS)}
        facts = [s.text for s, _ in weighted_facts("\n\n".join(course.history.turns[3:6]), WEIGHTS) if s.text not in before]
        told = [states_fact(context_of(made, section, course, 3), fact) for fact in facts]
        by_history.setdefault(course.history.id, []).append(np.mean(told))
    assert rows["newest"][3]["stated_by_age"]["1"]["value"] == pytest.approx(np.mean([np.mean(v) for v in by_history.values()]))


def test_the_last_compactor_is_compared_with_each_other_question_by_question(tiny_dir, ran, tmp_path):
    made, place, found = ran
    first, newest = (next(c for c in made.compactors if c.label == label) for label in ("first", "newest"))
    of_two = made.model_copy(update={"compactors": [newest, first]})
    [row] = against_last(of_two, place, found)
    assert (row["label"], row["minus"], [a["compactions"] for a in row["after"]]) == ("first", "newest", [1, 2, 3])
    differences = [
        is_stated(made, first, a, 3) - is_stated(made, newest, b, 3) for a, b in zip(found["first"], found["newest"], strict=True)
    ]
    assert row["after"][2]["fact/stated"]["value"] == pytest.approx(np.mean(differences))
    assert row["after"][2]["fact/stated"]["n"] == 3


def test_what_is_there_is_not_done_again(tiny_dir, ran, tmp_path):
    _, place, _ = ran
    lines = place.records.path.read_text().splitlines(keepends=True)
    assert len({json.loads(line)["key"] for line in lines}) == len(lines)
    again = recipe(tiny_dir, tmp_path)
    kept = 3 * len(lines) // 4
    (tmp_path / "records.jsonl").write_text("".join(lines[:kept]) + lines[kept][:50])
    measure_compaction(plan_compaction(again), quiet=True)
    added = [json.loads(line)["key"] for line in (tmp_path / "records.jsonl").read_text().splitlines()[kept:]]
    assert sorted(added) == sorted(json.loads(line)["key"] for line in lines[kept:])


def test_mistakes_are_found_before_a_model_loads(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("infoagent.lm.models.load_weights", lambda *_, **__: pytest.fail("a model was loaded"))
    model = {"name": str(tiny_dir), "dtype": "float32"}
    compactors = [
        {"label": "a", "model": model, "prompt": {"template": "compact-v7"}},
        {"label": "b", "model": {**model, "adapter": "runs/none"}},
        {"label": "c", "model": model, "max_tokens": 3000},
        {"label": "d", "kind": "full-document", "model": model},
    ]
    with pytest.raises(InputError) as error:
        plan_compaction(recipe(tiny_dir, tmp_path, compactors=compactors, compactions=12))
    first, second, third, last = error.value.problems
    assert first.startswith("prompt.template: 'compact-v7' is unknown")
    assert second.startswith("adapter 'runs/none': no such directory")
    assert "as a critic it reads the longest history at once" in third
    assert last.startswith("predictor ")
    for changed, message in (
        ({"asked": 3}, "the first compaction summarises every − keep = 2 turns"),
        ({"predictor": {"name": "x", "kind": "vllm"}}, "predictor.kind vllm: not offered here"),
        ({"data": {"limit": 1}}, "data.limit 1"),
        ({"data": {"min_words": 9, "max_words": 3}}, "min_words 9 is above max_words 3"),
    ):
        with pytest.raises(ValueError, match=message):
            recipe(tiny_dir, tmp_path, **changed)


def test_versions_are_of_the_fact_that_is_asked(ran):
    _, _, found = ran
    [history, *_] = load_histories("records", Wanted(9, 2, 2), limit=3, min_words=14, max_words=20).histories
    assert found["writes"][0].history == history
    assert [c.probe.turn for c in found["writes"][:2]] == [0, 1]
