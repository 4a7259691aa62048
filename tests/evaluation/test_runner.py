"""The evaluator on a tiny model: records that go on, and numbers that equal a direct computation."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from infoagent.analysis.session import run_evaluation
from infoagent.audit import measure
from infoagent.evaluation.records import RecordFile
from infoagent.evaluation.runner import collect, evaluate, plan_cells
from infoagent.evaluation.summary import summarise
from infoagent.files import read_jsonl
from infoagent.lm import prompts
from infoagent.lm.models import load
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import grid_of, read_records
from infoagent.records.json_form import as_json
from infoagent.types import Compression, InputError


def recipe(tiny_dir, out, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": 5, "min_words": 40, "max_words": 60}],
            "compressors": [
                {"label": "lm", "model": model, "max_tokens": 12},
                {"label": "all", "kind": "full-document", "model": model},
                {"label": "none", "kind": "closed-book", "model": model},
            ],
            "predictors": [model],
            "negatives": {"random": 2, "counterfactual": 2},
            "batch_size": 2,
            **more,
        }
    )


def run(made):
    return as_json(evaluate(made, plan_cells(made), quiet=True))


def test_records_hold_what_a_direct_computation_gives(tiny_dir, tmp_path):
    held = recipe(tiny_dir, tmp_path).model_dump()["compressors"]
    made = recipe(
        tiny_dir, tmp_path, compressors=[*held, {"label": "lead", "kind": "lead", "model": held[0]["model"], "sentences": 1}]
    )
    run(made)
    rows = read_records(tmp_path)
    assert len(rows) == 4 * 5 * 2
    assert all(r["status"] == "ok" for r in rows)
    cells = {c.compressor.label: c for c in plan_cells(made)}
    cell = cells["lm"]
    lm = load(str(tiny_dir), dtype="float32", device="cpu")
    end = prompts.end_of_turn_id(lm.tokenizer)
    compared = 0
    for label, (problem, negatives) in (
        (n, pair) for n in ("lm", "lead") for pair in zip(cells[n].problems, cells[n].negatives, strict=True)
    ):
        [z] = [
            r for r in rows if r["kind"] == "compression" and r["compressor"]["label"] == label and r["problem_id"] == problem.id
        ]
        assert z["audit"] == measure(z["text"], problem)
        ids = tuple(prompts.text_ids(lm.tokenizer, z["text"]))
        if len(ids) == z["rate_tokens"]:  # random bytes need not survive decoding; a sentence of the document does
            compared += 1
            compression = Compression(problem.id, z["text"], ids, z["finish"])
            prefixes = [
                prompts.compressor_ids(lm.tokenizer, d, problem.query) for d in (problem.document, *(n.document for n in negatives))
            ]
            expected = Scorer(lm.model).score_one_by_one(prefixes, [continuation_ids(compression, end)])[0]
            assert z["log_probs"] == pytest.approx(expected, abs=1e-3)
        [p] = [r for r in rows if r["kind"] == "prediction" and r["compression_key"] == z["key"]]
        assert p["answer_nll_nats"] == -p["choice_log_probs"][problem.choices.index(problem.answer)]
        assert p["correct"] == (problem.choices[int(np.argmax(p["choice_log_probs"]))] == problem.answer)
    assert compared >= 5
    anchors = {
        r["compressor"]["label"]: r["text"] for r in rows if r["kind"] == "compression" and r["problem_id"] == cell.problems[0].id
    }
    assert anchors["all"] == cell.problems[0].document
    assert anchors["none"] == ""


def test_a_killed_evaluation_goes_on_and_ends_at_the_same_records(tiny_dir, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(recipe(tiny_dir, whole))
    broken.mkdir()
    lines = (whole / "records.jsonl").read_text().splitlines(keepends=True)
    (broken / "records.jsonl").write_text("".join(lines[:7]) + lines[7][:40])
    run(recipe(tiny_dir, broken))
    assert (broken / "records.jsonl").read_text().splitlines(keepends=True)[:7] == lines[:7]

    def content(directory):
        return {r["key"]: (r.get("text"), r.get("log_probs"), r.get("choice_log_probs")) for r in read_records(directory)}

    first, second = content(whole), content(broken)
    assert first.keys() == second.keys()
    for key, (text, log_probs, choices) in first.items():
        assert second[key][0] == text
        assert second[key][1] == (pytest.approx(log_probs, abs=1e-4) if log_probs else log_probs)
        assert second[key][2] == (pytest.approx(choices, abs=1e-4) if choices else choices)


def test_nothing_is_computed_twice_and_an_extended_recipe_adds(tiny_dir, tmp_path):
    run(recipe(tiny_dir, tmp_path))
    before = (tmp_path / "records.jsonl").read_text()
    run(recipe(tiny_dir, tmp_path))
    assert (tmp_path / "records.jsonl").read_text() == before
    run(recipe(tiny_dir, tmp_path, samples=2))
    after = (tmp_path / "records.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 2 * len(before.splitlines())


def test_records_of_another_grid_in_the_same_directory_stay_out_of_the_results(tiny_dir, tmp_path):
    first = run(recipe(tiny_dir, tmp_path))
    other = run(recipe(tiny_dir, tmp_path, seeds=[1], negatives={"random": 3, "counterfactual": 1}))
    assert len(read_records(tmp_path)) == len(first) + len(other) - 2 * 5 * 2 + 2 * 5 * 2
    assert {r["key"] for r in first}.isdisjoint(r["key"] for r in other)
    assert [s.n_compressions for s in summarise(grid_of(other), 0.02)] == [5, 5, 5]


def test_an_adapter_counts_by_its_weights_not_by_its_path(tiny_dir, tmp_path):
    from peft import LoraConfig, get_peft_model

    adapter = tmp_path / "adapter"

    def train(seed):
        torch.manual_seed(seed)
        policy = get_peft_model(
            load(str(tiny_dir), dtype="float32", device="cpu").model,
            LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
        )
        policy.save_pretrained(adapter)
        (adapter / "infoagent.json").write_text(json.dumps({"base_model": str(tiny_dir)}))

    def keys():
        made = recipe(tiny_dir, tmp_path / "out")
        made.compressors[0].model.adapter = str(adapter)
        return {r["key"] for r in run(made) if r["compressor"]["label"] == "lm"}

    train(0)
    before = keys()
    assert keys() == before
    train(1)
    assert keys().isdisjoint(before)


def test_a_failure_is_a_record_and_is_tried_again(tiny_dir, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise FloatingPointError("the model returned NaN")

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "score_tokens", fail)
        run(recipe(tiny_dir, tmp_path))
    failed = [r for r in read_records(tmp_path) if r["status"] == "failed"]
    assert failed
    assert all("NaN" in r["error"] and "log_probs" not in r for r in failed)
    run(recipe(tiny_dir, tmp_path))
    assert all(r["status"] == "ok" for r in read_records(tmp_path))


def test_a_label_that_goes_to_another_compressor_goes_there_in_the_file_too(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}

    def measured(**longest):
        compressors = [{"label": label, "model": model, "max_tokens": tokens} for label, tokens in longest.items()]
        made = recipe(tiny_dir, tmp_path, compressors=compressors)
        run_evaluation(made, plan_cells(made), quiet=True)
        last = {row["key"]: row for row in read_jsonl(tmp_path / "records.jsonl")}
        return {(row["kind"], row["compressor"]["label"], row["compressor"]["max_tokens"]) for row in last.values()}

    kinds = ("compression", "prediction")
    assert measured(short=12) == {(kind, "short", 12) for kind in kinds}
    assert measured(terse=12, short=6) == {(kind, *row) for kind in kinds for row in (("terse", 12), ("short", 6))}
    lines = (tmp_path / "records.jsonl").read_text()
    measured(terse=12, short=6)
    assert (tmp_path / "records.jsonl").read_text() == lines  # said once


def test_what_the_data_say_otherwise_of_the_same_texts_is_taken_over_and_nothing_is_written_again(tiny_dir, tmp_path, monkeypatch):
    """An answer that is added or corrected, another group: of a compression only its judgement changes."""
    file, model = tmp_path / "own.jsonl", {"name": str(tiny_dir), "dtype": "float32"}
    names = ("Anna Berg", "Otto Lind", "Mary Holt")

    def measured(groups, answers):
        rows = [
            {"id": name, "document": f"{name} found the old clock in the tower.", "query": "Who found the clock?", "group": group}
            | ({} if answer is None else {"answer": answer})
            for name, group, answer in zip(names, groups, answers, strict=True)
        ]
        file.write_text("\n".join(json.dumps(row) for row in rows))
        made = recipe(
            tiny_dir, tmp_path / "out", data=[{"name": "jsonl", "path": str(file), "split": "all"}], predictors=[],
            negatives={"random": 1, "counterfactual": 0}, compressors=[{"label": "lead", "kind": "lead", "sentences": 1, "model": model}],
        )  # fmt: skip
        records, summaries = run_evaluation(made, plan_cells(made), quiet=True)
        last = {row["key"]: row for row in read_jsonl(tmp_path / "out" / "records.jsonl")}
        assert as_json(records) == [last[record.key] for record in records]  # the file says what the tables say
        return records, summaries

    before, _ = measured("abc", (None, None, None))
    assert [(r.answer, r.fact_kept) for r in before] == [(None, None)] * 3
    monkeypatch.setattr(Scorer, "score_tokens", lambda *_, **__: pytest.fail("it is scored again"))
    after, _ = measured("aab", ("Anna Berg", "Anna Berg", "Mary Holt"))
    assert [r.key for r in after] == [r.key for r in before]
    assert [(r.answer, r.fact_kept) for r in after] == [("Anna Berg", True), ("Anna Berg", False), ("Mary Holt", True)]
    assert [r.group for r in after] == ["a", "a", "b"]
    assert {r.data.revision for r in after}.isdisjoint(r.data.revision for r in before)
    lines = (tmp_path / "out" / "records.jsonl").read_text()
    measured("aab", ("Anna Berg", "Anna Berg", "Mary Holt"))
    assert (tmp_path / "out" / "records.jsonl").read_text() == lines  # said once


def test_the_clusters_are_those_of_the_data_of_today(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path)
    cells = plan_cells(made)
    evaluate(made, cells, quiet=True)
    together = [replace(cell, problems=[replace(p, document_id="one") for p in cell.problems]) for cell in cells]
    found = collect(made, together, RecordFile(tmp_path))
    assert {r.kind for r in found} == {"compression", "prediction"}
    assert {r.document_id for r in found} == {"one"}


def test_the_grid_is_checked_before_a_model_loads(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path)
    wrong = json.loads(made.model_dump_json())
    wrong["compressors"][0]["model"]["adapter"] = str(tmp_path / "missing")
    wrong["compressors"][1]["prompt"]["template"] = "query-v9"
    wrong["predictors"][0]["name"] = "smolm2"
    with pytest.raises(InputError) as error:
        plan_cells(EvaluationRecipe.model_validate(wrong))
    assert len(error.value.problems) == 3
    twice = {**json.loads(made.model_dump_json()), "data": [{"name": "records", "limit": 9}] * 2}
    with pytest.raises(InputError, match="two sections are named 'records'"):
        plan_cells(EvaluationRecipe.model_validate(twice))
    same = json.loads(made.model_dump_json())
    same["predictors"] = [{**same["predictors"][0], "label": label} for label in ("one", "other")]
    with pytest.raises(InputError, match="predictors: 'one' and 'other' have the same settings; drop one"):
        plan_cells(EvaluationRecipe.model_validate(same))  # else the rows of one would stand under the other's name
    same["predictors"][1] |= {"template": "choice-v1", "mode": "likelihood"}
    assert plan_cells(EvaluationRecipe.model_validate(same))
