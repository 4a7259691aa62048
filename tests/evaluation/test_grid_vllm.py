"""A grid whose compressors, scores and predictors come from vLLM (a fake one), against the same grid in transformers."""

import json

import fake_vllm
import pytest
from fake_vllm import FakeLLM
from test_grid import DECIDED, content, recipe
from tiny import save_adapter

from infoagent.analysis.session import run_evaluation
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.engines import EnginePool
from infoagent.lm.vllm import engine as vllm_engine
from infoagent.phases import PhaseTimes
from infoagent.recipes import ModelSection
from infoagent.recipes.evaluation import ServedSection
from infoagent.records.json_form import as_json
from infoagent.types import InputError


@pytest.fixture
def started(monkeypatch):
    fake_vllm.install(monkeypatch)
    found = []
    monkeypatch.setattr(vllm_engine, "start_llm", lambda **options: found.append(FakeLLM(**options)) or found[-1])
    return found


def test_a_form_is_handed_to_vllms_structured_outputs_and_a_thought_is_not(tiny_dir, tmp_path, started):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    made = recipe(
        tiny_dir,
        tmp_path,
        engine="vllm",
        predictors=[],
        compressors=[
            {
                "label": "form",
                "model": model,
                "temperature": 0.0001,
                "max_tokens": 6,
                "form": {"signature": "def f(a: int)", "constrained": True},
            },
            {
                "label": "thinks",
                "model": model,
                "temperature": 0.0001,
                "max_tokens": 6,
                "thinking": 4,
                "prompt": {"template": "think-v1"},
            },
        ],
    )
    records, _ = run_evaluation(made, plan_cells(made), quiet=True)
    plans = [plan for _, plans, _ in started[0].calls if isinstance(plans, list) for plan in plans]
    held = [plan.structured_outputs for plan in plans if plan.max_tokens == 6 and plan.structured_outputs]
    assert len(held) == 5
    assert held[0].json["required"] == ["a"]
    by_label = {label: [r for r in as_json(records) if r["compressor"]["label"] == label] for label in ("form", "thinks")}
    assert {r["cause"][:5] for r in by_label["form"]} == {"form:"}  # this engine is deaf to it
    assert {r["status"] for r in by_label["thinks"]} == {"ok"}


def test_the_same_grid_as_in_transformers(tiny_dir, tmp_path, started):
    adapter = str(save_adapter(tiny_dir, tmp_path / "adapter"))
    model = {"name": str(tiny_dir), "dtype": "float32"}
    rows = {}
    for engine in ("hf", "vllm"):
        kind = {"kind": "lm" if engine == "hf" else "vllm"}
        made = recipe(
            tiny_dir,
            tmp_path / engine,
            engine=engine,
            vllm={"max_model_length": 2048},
            compressors=[
                {"label": "frozen", "model": model, "max_tokens": 8, "temperature": 0.0001},
                {"label": "trained", "model": {**model, "adapter": adapter}, "max_tokens": 8, "temperature": 0.0001},
                {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
            ],
            predictors=[
                {**model, **kind, "label": "reads", "mode": "likelihood"},
                {**model, **kind, "label": "writes", "mode": "generation", "max_tokens": 6},
            ],
        )
        records, _ = run_evaluation(made, plan_cells(made), quiet=True)
        records = as_json(records)
        rows[engine] = records
        assert {r["engine"] for r in records if r["kind"] == "compression"} == {engine}
        assert {r["predictor"]["kind"] for r in records if r["kind"] == "prediction"} == set(kind.values())
    expected = [next(iter(content([r]).values())) for r in rows["hf"]]
    assert len(expected) == len(rows["vllm"]) == 5 * 3 * 3
    for row, values in zip(rows["vllm"], expected, strict=True):
        assert {name: row[name] for name in DECIDED if name in row} == values
    assert not {r["key"] for r in rows["hf"]} & {r["key"] for r in rows["vllm"]}  # one is never taken for the other
    [engine] = started  # one for the base, the adapter, the scores and both predictors
    assert engine.options["max_model_len"] == 2048
    assert engine.options["enable_lora"]
    assert not engine.process.is_alive()
    texts = {r["compressor"]["label"]: r["text"] for r in rows["vllm"] if r["kind"] == "compression"}
    assert texts["trained"] != texts["frozen"]
    run_evaluation(made, plan_cells(made), quiet=True)
    assert len(started) == 1  # everything was there


def test_an_adapter_that_vllm_cannot_serve_is_refused_before_a_model_loads(tiny_dir, tmp_path, started):
    adapter = save_adapter(tiny_dir, tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
    model = {"name": str(tiny_dir), "dtype": "float32", "adapter": str(adapter)}
    with pytest.raises(InputError, match="vLLM does not support DoRA; merge it"):
        plan_cells(recipe(tiny_dir, tmp_path / "out", engine="vllm", compressors=[{"label": "lm", "model": model}]))
    with pytest.raises(InputError, match="vLLM does not support DoRA; merge it"):
        plan_cells(recipe(tiny_dir, tmp_path / "out", predictors=[{**model, "kind": "vllm"}]))


def test_an_engine_starts_when_it_is_asked_for_with_all_adapters_of_its_base(tiny_dir, tmp_path, started):
    adapters = [str(save_adapter(tiny_dir, tmp_path / name, seed=i)) for i, name in enumerate("abcde")]
    base = ModelSection(name=str(tiny_dir), dtype="float32")
    sections = [base, *(base.model_copy(update={"adapter": a}) for a in adapters)]
    pool = EnginePool(sections, ServedSection(self_check=False, gpu_memory_utilization=0.2), PhaseTimes())
    assert not started
    assert pool.get(sections[3]) is pool.get(base)
    assert (started[0].options["max_loras"], started[0].options["gpu_memory_utilization"]) == (4, 0.2)
    pool.close()
    assert not started[0].process.is_alive()
