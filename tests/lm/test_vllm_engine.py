"""vLLM's engine room on a fake engine: adapters by content, death and restart, scores, the check at the start."""

import json
import os
import shutil
import signal
from pathlib import Path

import fake_vllm
import numpy as np
import pytest
from fake_vllm import FakeLLM
from peft import PeftModel
from tiny import save_adapter, tiny_model
from transformers import LlamaForCausalLM

from infoagent.lm.generation import generate
from infoagent.lm.models import load
from infoagent.lm.reference import ModelReference, load_tokenizer
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.vllm import adapters as served_adapters
from infoagent.lm.vllm import engine as vllm_engine
from infoagent.lm.vllm.adapters import Room, ServedAdapters, modules_of
from infoagent.lm.vllm.check import check_engine_values, expected_values
from infoagent.lm.vllm.engine import VllmEngine
from infoagent.lm.vllm.generation import ServedModel, generate_served
from infoagent.lm.vllm.scoring import VllmScorer
from infoagent.types import InputError, RunFailed

RNG = np.random.default_rng(0)
PREFIXES = [RNG.integers(5, 250, size=n).tolist() for n in (16, 9, 16, 33)]
STRINGS = [RNG.integers(5, 250, size=n).tolist() for n in (1, 7, 3)]


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    fake_vllm.install(monkeypatch)


@pytest.fixture
def start(tiny_dir):
    """Makes engines of the tiny model, and ends them."""
    made = []

    def engine(adapters=(), directory=tiny_dir, **more):
        reference = ModelReference("tiny", str(directory), "0")
        made.append(VllmEngine(reference, "float32", adapters, start=lambda **o: FakeLLM(**more, **o)))
        return made[-1]

    yield engine
    for one in made:
        one.close()


@pytest.fixture
def adapters(tiny_dir, tmp_path):
    return [str(save_adapter(tiny_dir, tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 2))]


def test_an_adapter_goes_by_its_content_and_not_by_its_path(adapters, tmp_path, tiny_dir):
    a, b = adapters
    served = ServedAdapters(Room.for_adapters(adapters))
    first, other = served.of(a), served.of(b)
    assert first == served.of(a)
    assert first == served.of(shutil.copytree(a, tmp_path / "copy"))  # the same weights elsewhere
    assert len({first.name, other.name}) == len({first.number, other.number}) == 2
    assert 0 < first.number < 2**31
    save_adapter(tiny_dir, tmp_path / "a", seed=3)
    changed = served.of(a)
    assert changed.name != first.name
    assert changed.number != first.number
    # what was served under the old name is still what it was: vLLM may read it again at any time
    old, new = (tmp_path / "copy" / "adapter_model.safetensors", tmp_path / "a" / "adapter_model.safetensors")
    for adapter, file in ((first, old), (changed, new)):
        assert (Path(adapter.path) / file.name).read_bytes() == file.read_bytes()
    settings = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": 99}))
    assert served.of(a).name not in (first.name, changed.name)  # the same weights, scaled otherwise


def test_two_contents_never_share_a_number(adapters, monkeypatch):
    monkeypatch.setattr(served_adapters, "NUMBERS", 2)  # every second hash collides
    served = ServedAdapters(Room.for_adapters(adapters))
    assert {served.of(a).number for a in adapters} == {1, 2}


def test_the_engine_has_room_for_what_was_named_and_refuses_more(start, adapters, tiny_dir, tmp_path):
    options = start(adapters)._llm.options
    names = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert (options["enable_lora"], options["max_loras"], options["max_lora_rank"]) == (True, 2, 8)
    assert set(options["lora_target_modules"]) == names
    assert "enable_lora" not in start()._llm.options
    config = tmp_path / "b" / "adapter_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "use_dora": True}))
    with pytest.raises(InputError, match=r"b': vLLM does not support DoRA; merge it \(infoagent merge"):
        start(adapters)
    served = ServedAdapters(Room(8, frozenset(names - {"q_proj"})))
    with pytest.raises(RunFailed, match="it changes q_proj, for which the engine was not started"):
        served.of(adapters[0])
    config.write_text(json.dumps({**settings, "r": 16}))
    with pytest.raises(RunFailed, match="its rank 16 is above 8"):
        ServedAdapters(Room(8, frozenset(names))).of(adapters[1])
    assert modules_of((tmp_path / "a" / "adapter_model.safetensors").read_bytes()) == names


def test_greedy_texts_follow_the_adapter_also_when_it_changes_in_place(start, adapters, tiny_dir, tmp_path):
    tokenizer = load_tokenizer(ModelReference("tiny", str(tiny_dir), "0"))
    engine = start(adapters)
    seen = []
    for adapter, again in ((None, 0), (adapters[0], 0), (adapters[1], 0), (adapters[0], 5)):
        if again:
            save_adapter(tiny_dir, tmp_path / "a", seed=again)
        found = generate_served(ServedModel(engine, tokenizer, adapter), PREFIXES, list("wxyz"), 12, 0.0, 0)
        lm = load(str(tiny_dir), dtype="float32", adapter=adapter, device="cpu")
        expected = generate(lm, PREFIXES, list("wxyz"), 12, 0.0, 0)
        assert [(z.token_ids, z.text, z.finish, z.stop_id) for z in found] == [
            (z.token_ids, z.text, z.finish, z.stop_id) for z in expected
        ]
        seen.append(found[0].token_ids)
    assert len(set(seen)) == 4


def test_each_draw_has_a_seed_of_its_own(start, tiny_dir, monkeypatch):
    tokenizer = load_tokenizer(ModelReference("tiny", str(tiny_dir), "0"))
    engine = start()
    taken = []
    monkeypatch.setattr(engine, "ask", lambda prompts, plans, adapter: taken.append([p.seed for p in plans]) or [])
    for seed, sample in ((0, 0), (0, 1), (1, 0), (0, 0)):
        with pytest.raises(ValueError, match="zip"):  # nothing was written
            generate_served(ServedModel(engine, tokenizer), [[7]] * 4, ["a", "a", "b", "c"], 5, 1.0, seed, sample)
    assert taken[0] == taken[3]
    assert len({s for seeds in taken[:3] for s in seeds}) == 12


@pytest.mark.parametrize("suffixes", [False, True])
def test_scores_equal_those_of_transformers(start, adapters, tiny_dir, suffixes):
    engine = start(adapters, suffixes=suffixes)
    for adapter in (None, adapters[1]):
        model = LlamaForCausalLM.from_pretrained(tiny_dir)
        model = model if adapter is None else PeftModel.from_pretrained(model, adapter)
        scorer = VllmScorer(engine, adapter)
        assert scorer.score(PREFIXES, STRINGS) == pytest.approx(Scorer(model).score(PREFIXES, STRINGS), abs=1e-3)
        wanted = [[2, 0], [], [1], []]
        tokens = dict(scorer.score_tokens(PREFIXES, STRINGS, wanted))
        expected = dict(Scorer(model).score_tokens(PREFIXES, STRINGS, wanted))
        assert tokens.keys() == expected.keys() == {0, 2}
        for k, column in tokens.items():
            for found, value in zip(column, expected[k], strict=True):
                assert found == pytest.approx(value, abs=1e-4)
    plans = [plan for _, plan, _ in engine._llm.calls]
    assert any(isinstance(plan, list) for plan in plans) is suffixes
    # prefixes of 16 tokens end with a block: their rows came back empty and were asked for the ordinary way
    assert any(not isinstance(plan, list) for plan in plans)


def test_a_dead_engine_is_started_again_and_asked_the_same(start):
    deaths = [False, True]
    engine = start(deaths=deaths)
    expected = VllmScorer(engine).score(PREFIXES, STRINGS)
    first = engine._llm
    assert (VllmScorer(engine).score(PREFIXES, STRINGS) == expected).all()
    assert engine._llm is not first
    assert not first.process.is_alive()
    [(lost, _, _)], [(again, _, _)] = first.calls[1:], engine._llm.calls
    assert lost == again
    assert len(again) == len(PREFIXES) * len(STRINGS)  # nothing lost, nothing twice


def test_an_engine_killed_while_idle_is_started_again(start):
    engine = start()
    expected = VllmScorer(engine).score(PREFIXES[:1], STRINGS)
    first = engine._llm
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.join(20)
    assert (VllmScorer(engine).score(PREFIXES[:1], STRINGS) == expected).all()
    assert engine._llm is not first


def test_an_engine_that_dies_twice_of_one_call_fails_the_run(start):
    engine = start(deaths=[True, True])
    with pytest.raises(RunFailed, match=r"for tiny died twice on the same 12 prompts \(its process ended\)"):
        VllmScorer(engine).score(PREFIXES, STRINGS)


def test_another_error_is_not_taken_for_death(start, monkeypatch):
    engine = start()
    first = engine._llm

    def refuse(*_, **__):
        raise ValueError("the prompt is too long")

    monkeypatch.setattr(first, "generate", refuse)
    with pytest.raises(ValueError, match="too long"):
        VllmScorer(engine).score(PREFIXES, STRINGS)
    assert engine._llm is first


def test_the_check_passes_the_same_model_and_refuses_another(start, adapters, tiny_dir, tmp_path):
    reference = ModelReference("tiny", str(tiny_dir), "0")
    tokenizer = load_tokenizer(reference)
    expected = expected_values(reference, "float32", tokenizer, adapters)
    check_engine_values(start(adapters), tokenizer, expected, "float32")
    tiny_model(len(tokenizer), seed=1).save_pretrained(tmp_path / "other")
    with pytest.raises(RunFailed, match=r"disagree on tiny: [1-9]\S* nats a token on average in float32, at most 0.001"):
        check_engine_values(start(adapters, tmp_path / "other"), tokenizer, expected, "float32")
    save_adapter(tiny_dir, tmp_path / "b", seed=9)  # the base is right, an adapter is not
    with pytest.raises(RunFailed, match=r"disagree on tiny with .*b: "):
        check_engine_values(start(adapters), tokenizer, expected, "float32")


def test_without_vllm_or_under_a_launcher_one_line_says_so(monkeypatch):
    vllm_engine.check_served(None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="vLLM under a launcher"):
        vllm_engine.check_served(None)
    monkeypatch.setattr(vllm_engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="vLLM is not installed; run: pip install"):
        vllm_engine.check_served(None)
