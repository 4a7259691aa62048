"""The grid: shards, kills, packs, seeds, variants, and a checkpoint that changes nothing."""

import errno
import json
import os
import random

import pytest
from conftest import run_killed_at, run_script
from tiny import save_adapter

from infoagent.analysis.comparison import compare
from infoagent.analysis.session import run_evaluation
from infoagent.evaluation.cells import packs, plan_cells
from infoagent.evaluation.records import RecordFile, Shard
from infoagent.evaluation.runner import evaluate
from infoagent.files import json_text, only_writer
from infoagent.recipes import EvaluationRecipe
from infoagent.records.files import grid_of, read_records
from infoagent.records.grid import compressions_of
from infoagent.records.json_form import as_json
from infoagent.records.summaries import read_summaries
from infoagent.types import InputError

DECIDED = ("text", "rate_tokens", "finish", "log_probs", "fact_kept", "correct", "choice_log_probs", "reply", "grade")


def recipe(tiny_dir, out, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    return EvaluationRecipe.model_validate(
        {
            "output_dir": str(out),
            "data": [{"name": "records", "limit": 5, "min_words": 40, "max_words": 60}],
            "compressors": [
                {"label": "lm", "model": model, "max_tokens": 8},
                {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
                {"label": "oracle", "kind": "oracle", "tokens": 60, "model": model},
            ],
            "predictors": [{**model, "label": "reads"}, {**model, "label": "writes", "mode": "generation", "max_tokens": 6}],
            "negatives": {"random": 1, "counterfactual": 1},
            "batch_size": 2,
            "resamples": 50,
            **more,
        }
    )


def run(made, shard=Shard()):  # noqa: B008
    return as_json(evaluate(made, plan_cells(made), quiet=True, shard=shard))


def content(rows):
    """What is decided, numbers to rounding: a text that is scored in other company rounds otherwise."""
    found = {r["key"]: {name: r[name] for name in DECIDED if name in r} for r in rows}
    for row in found.values():
        for name in ("log_probs", "choice_log_probs"):
            if name in row:
                row[name] = pytest.approx(row[name], abs=1e-3)
    return found


def decided(rows):
    return {r["key"]: {name: r[name] for name in DECIDED if name in r} for r in rows}


@pytest.fixture(scope="module")
def whole(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, run(recipe(tiny_dir, out))


def test_killed_at_five_points_it_ends_at_the_same_records(tiny_dir, whole, tmp_path):
    out, rows = whole
    written = (out / "records.jsonl").read_bytes()
    for point in random.Random(0).sample(range(len(written)), 5):
        broken = tmp_path / str(point)
        broken.mkdir()
        (broken / "records.jsonl").write_bytes(written[:point])
        assert decided(run(recipe(tiny_dir, broken))) == content(rows)
        keys = [json.loads(line)["key"] for line in (broken / "records.jsonl").read_text().splitlines()]
        assert len(keys) == len(set(keys))


@pytest.mark.slow
def test_killed_for_real_ten_times_it_ends_at_the_same_records(tiny_dir, whole, tmp_path):
    import yaml

    made = recipe(tiny_dir, tmp_path / "out")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
    command = ["eval/frozen.py", str(tmp_path / "recipe.yaml"), "--quiet"]
    for part in range(10):
        run_killed_at(f"out/records.jsonl#{random.Random(part).choice((1, 2, 3))}", *command)
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    assert decided(r for r in read_records(tmp_path / "out") if r["kind"] != "reply") == content(whole[1])


def test_shards_share_the_work_and_give_the_same_records(tiny_dir, whole, tmp_path):
    made = recipe(tiny_dir, tmp_path)
    parts = [run(made, Shard(i, 2)) for i in range(2)]
    assert {p.name for p in tmp_path.glob("records*.jsonl")} == {"records-1of2.jsonl", "records-2of2.jsonl"}
    assert len(parts[0]) < len(parts[1]) == len(whole[1])  # the second reads what the first left
    before = sum(f.stat().st_size for f in tmp_path.glob("records*.jsonl"))
    assert decided(run(made)) == content(whole[1])
    assert sum(f.stat().st_size for f in tmp_path.glob("records*.jsonl")) == before


def test_a_checkpoint_that_is_the_untouched_base_gives_identical_records(tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "adapter", untouched=True)
    model = {"name": str(tiny_dir), "dtype": "float32"}
    made = recipe(
        tiny_dir,
        tmp_path / "out",
        compressors=[
            {"label": "frozen", "model": model, "max_tokens": 8},
            {"label": "trained", "model": {**model, "adapter": str(adapter)}, "max_tokens": 8},
        ],
    )
    rows = run(made)
    sides = {
        label: [
            {k: r[k] for k in (*DECIDED, "tokens", "answer_nll_nats") if k in r} for r in rows if r["compressor"]["label"] == label
        ]
        for label in ("frozen", "trained")
    }
    assert len(sides["frozen"]) == 3 * 5
    assert sides["frozen"] == sides["trained"]
    both = [[r for r in rows if r["compressor"]["label"] == label] for label in ("trained", "frozen")]
    for row in compare(*map(grid_of, both), price=0.02).values():
        assert row["difference"]["value"] == 0


def test_texts_that_are_scored_together_get_what_they_get_alone(tiny_dir, whole, tmp_path):
    alone = {}
    for part in recipe(tiny_dir, tmp_path).compressors:
        made = recipe(tiny_dir, tmp_path / part.label, compressors=[part.model_dump()], predictors=[])
        alone |= {r["key"]: r for r in run(made)}
    together = {r["key"]: r for r in whole[1] if r["kind"] == "compression"}
    assert alone.keys() == together.keys()
    for key, row in together.items():
        assert row["log_probs"] == pytest.approx(alone[key]["log_probs"], abs=2e-3)
        assert row["text"] == alone[key]["text"]
    assert [len(p) for p in packs(plan_cells(recipe(tiny_dir, tmp_path)))] == [3]


def test_token_nats_add_up_to_the_compressions_own_terms(whole):
    from infoagent.evaluation.summary import EASY, HARD

    for record in compressions_of(grid_of(whole[1])):
        for name, kinds in (("pool_nats", EASY), ("counterfactual_nats", HARD)):
            assert sum(getattr(record.tokens, name)) == pytest.approx(record.mi_nats(kinds), abs=0.01)


def test_variants_and_seeds_multiply_the_grid(tiny_dir, tmp_path):
    variants = [{"label": "5 words", "prompt": {"budget_words": 5}}, {"label": "own", "prompt": {}}]
    made = recipe(tiny_dir, tmp_path, variants=variants, seeds=[0, 3], predictors=[])
    rows = run(made)
    assert len(rows) == (2 + 2) * 5 * 2
    assert {r["compressor"]["label"] for r in rows} == {"lm, 5 words", "lm, own", "lead", "oracle"}
    assert {r["compressor"]["curve"] for r in rows if r["compressor"]["kind"] == "lm"} == {"lm"}
    texts = {(r["seed"], r["problem_id"]): r["text"] for r in rows if r["compressor"]["label"] == "lm, own"}
    assert {p for s, p in texts if texts[0, p] != texts[3, p]}
    lead = {(r["seed"], r["problem_id"]): r["text"] for r in rows if r["compressor"]["label"] == "lead"}
    assert all(lead[0, p] == lead[3, p] for _, p in lead)


def test_one_process_writes_a_directory(tiny_dir, tmp_path):
    with (
        only_writer(tmp_path),
        pytest.raises(InputError, match=f"is being written by process {os.getpid()}"),
        only_writer(tmp_path),
    ):
        pass
    with only_writer(tmp_path, Shard(0, 2).suffix), only_writer(tmp_path, Shard(1, 2).suffix):
        pass


def test_a_full_disk_loses_nothing_that_was_there(tiny_dir, whole, tmp_path, monkeypatch):
    real, calls = os.pwrite, []

    def full(descriptor, data, offset):
        calls.append(len(data))
        if len(calls) == 3:
            return real(descriptor, data[: len(data) // 2], offset)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    made = recipe(tiny_dir, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            run(made)
    assert RecordFile(tmp_path).rows
    assert decided(run(made)) == content(whole[1])


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "1/²", "²/2", f"1/{'9' * 5000}"])
def test_a_shard_that_is_none(text):
    with pytest.raises(InputError, match="must be I/N"):
        Shard.parse(text)


def test_the_results_say_what_they_are(tiny_dir, whole, tmp_path):
    made = recipe(tiny_dir, whole[0])
    _, summaries = run_evaluation(made, plan_cells(made), quiet=True)
    assert json_text(as_json(read_summaries(whole[0]))) == json_text(as_json(summaries))  # NaN is not NaN
    kept = json.loads((whole[0] / "summary.json").read_text())
    assert {"schema_version", "commit", "versions", "data_revisions", "tokenizers", "price_snapshot", "seeds", "recipe"} <= set(
        kept
    )
    by_label = {s.label: s for s in summaries}
    lm, lead = by_label["lm"], by_label["lead"]
    rows = [r for r in whole[1] if r["kind"] == "compression" and r["compressor"]["label"] == "lm"]
    total = sum(r["gflops_prefill"] + r["gflops_decode"] for r in rows) / len(rows)
    assert lm.cost.compressor_gflops_total == pytest.approx(total)
    assert lead.cost.compressor_gflops_total == 0
    answers = [
        r
        for r in whole[1]
        if r["kind"] == "prediction" and r["compressor"]["label"] == "lm" and r["predictor"]["label"] == "writes"
    ]
    both = sum(r["gflops_prefill"] + r["gflops_decode"] for r in answers) / len(answers) + total
    assert lm.predictors["writes"].cost.gflops_total == pytest.approx(both)
    assert lm.predictors["writes"].cost.usd_total is None
    documents = {json.loads(line)["document_key"] for line in (whole[0] / "documents.jsonl").read_text().splitlines()}
    assert {r["document_key"] for r in rows} <= documents
