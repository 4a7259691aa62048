"""Greedy rows beside those at temperature 1: what is drawn, and what of its information still holds."""

import json
import math

import pytest
from tiny import save_adapter

from infoagent.analysis.session import run_evaluation
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.trained import trained_label, with_checkpoint
from infoagent.recipes import EvaluationRecipe


def recipe(tiny_dir, tmp_path, compressors, **more):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    sections = [{"model": model, "max_tokens": 6, **c} for c in compressors]
    data = [{"name": "records", "limit": 4, "min_words": 30, "max_words": 60}]
    fixed = {"negatives": {"random": 2, "counterfactual": 0}, "predictors": [], "seeds": [0, 1]}
    return EvaluationRecipe(output_dir=str(tmp_path / "out"), compressors=sections, data=data, **fixed, **more)


def test_greedy_is_the_same_for_every_seed_and_its_information_is_a_lower_bound(tiny_dir, tmp_path):
    made = recipe(tiny_dir, tmp_path, [{"label": "greedy", "temperature": 0}, {"label": "sampled"}])
    records, (greedy, sampled) = run_evaluation(made, plan_cells(made), quiet=True)
    texts = {label: {} for label in ("greedy", "sampled")}
    for record in records:
        texts[record.compressor.label].setdefault(record.problem_id, set()).add(record.text)
    assert all(len(drawn) == 1 for drawn in texts["greedy"].values())
    assert any(len(drawn) == 2 for drawn in texts["sampled"].values())
    assert math.isnan(greedy.estimates["all"].leave_one_out_nats)
    assert any("would bound nothing" in warning for warning in greedy.estimates["all"].warnings)
    assert math.isfinite(sampled.estimates["all"].leave_one_out_nats)


def test_a_checkpoint_joins_at_every_temperature_of_the_compressor_whose_place_it_takes(tiny_dir, tmp_path):
    adapter = tmp_path / "run" / "checkpoint-1"
    save_adapter(tiny_dir, adapter)
    (adapter / "infoagent.json").write_text(json.dumps({"base_model": str(tiny_dir)}))
    rows = [
        {"label": "greedy", "temperature": 0},
        {"label": "sampled"},
        {"label": "short", "prompt": {"budget_words": 5}},
        {"label": "lead", "kind": "lead", "sentences": 1},
    ]
    pairs, found = with_checkpoint(recipe(tiny_dir, tmp_path, rows, checkpoint=str(adapter)))
    label = trained_label(str(adapter))
    assert pairs == [("greedy", label), ("sampled", f"{label}, temperature 1")]
    assert [c.temperature for c in found.compressors[-2:]] == [0, 1]
    drawn = {cell.compressor.label: cell.is_drawn_as_scored for cell in plan_cells(found)}
    assert [name for name, is_it in drawn.items() if is_it] == ["sampled", "short"]  # the scorer of all is the frozen model
    pairs, found = with_checkpoint(recipe(tiny_dir, tmp_path, rows[1:], checkpoint=str(adapter)))
    assert pairs == [("sampled", label)]


@pytest.mark.parametrize(
    ("recorded", "ends"),
    [
        ({"budget_range": [8, 64], "prompt": {"budget_tokens": 16}}, (" at 16, as long", " at 16, as short", " at 32")),
        ({"prompt": {"budget_tokens": 16}}, (", as long", ", as short")),
    ],
)
def test_two_trained_compressors_never_share_a_label(tiny_dir, tmp_path, recorded, ends):
    """Under one label they would be summarised as one compressor, and the last of them compared with both."""
    adapter = tmp_path / "run" / "checkpoint-1"
    save_adapter(tiny_dir, adapter)
    (adapter / "infoagent.json").write_text(json.dumps({"base_model": str(tiny_dir), **recorded}))
    longest = {"long": 24 if "budget_range" in recorded else 6, "short": 6}  # alike but for their labels, or not
    rows = [{"label": name, "max_tokens": tokens, "prompt": {"budget_tokens": 16}} for name, tokens in longest.items()]
    rows.append({"label": "wide", "prompt": {"budget_tokens": 32}})
    pairs, found = with_checkpoint(recipe(tiny_dir, tmp_path, rows, checkpoint=str(adapter)))
    labels = [trained_label(str(adapter)) + end for end in ends]
    assert pairs == list(zip(("long", "short", "wide"), labels, strict=False))
    assert [c.label for c in found.compressors] == ["long", "short", "wide", *labels]
