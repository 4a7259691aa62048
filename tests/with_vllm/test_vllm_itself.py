"""One engine of a tiny model with adapters: texts and scores against transformers, swaps, death and restart."""

import os
import signal
import threading

import pytest
from tiny import save_adapter, tiny_model, tiny_tokenizer

from infoagent.lm.generation import generate
from infoagent.lm.models import load, resolve
from infoagent.lm.prompts import compressor_ids
from infoagent.lm.reference import load_tokenizer
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.vllm.check import DOCUMENTS, QUESTION, check_engine_values, expected_values
from infoagent.lm.vllm.engine import VllmEngine
from infoagent.lm.vllm.generation import ServedModel, generate_served
from infoagent.lm.vllm.scoring import VllmScorer
from infoagent.structured import Unfit, signature_form
from infoagent.types import RunFailed

pytestmark = pytest.mark.vllm
MEMORY = 0.2


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Heads of 32 dimensions, the smallest that vLLM's CPU kernels take."""
    directory = tmp_path_factory.mktemp("base")
    tokenizer = tiny_tokenizer()
    model = tiny_model(len(tokenizer), hidden=128, scale=0.15)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return [str(save_adapter(base, folder / name, seed=seed)) for name, seed in (("a", 1), ("b", 2))]


@pytest.fixture(scope="module")
def tokenizer(base):
    return load_tokenizer(resolve(str(base)))


@pytest.fixture(scope="module")
def engine(base, adapters):
    made = VllmEngine(resolve(str(base)), "float32", adapters, max_model_length=1024, gpu_memory_utilization=MEMORY)
    yield made
    made.close()


@pytest.fixture(scope="module")
def prompts(tokenizer):
    return [compressor_ids(tokenizer, document, QUESTION) for document in DOCUMENTS]


def greedy(engine, tokenizer, adapter, prompts):
    return [z.token_ids for z in generate_served(ServedModel(engine, tokenizer, adapter), prompts, "ab", 24, 0.0, 0)]


def test_texts_and_scores_of_base_and_adapters_are_those_of_transformers(engine, base, adapters, tokenizer, prompts):
    seen = []
    for adapter in (None, *adapters, None):
        lm = load(str(base), dtype="float32", adapter=adapter, device="cpu")
        found = greedy(engine, tokenizer, adapter, prompts)
        assert found == [z.token_ids for z in generate(lm, prompts, "ab", 24, 0.0, 0)]
        seen.append(tuple(found))
        z = [[9, 40, 7], [11], *map(list, found)]
        assert VllmScorer(engine, adapter).score(prompts, z) == pytest.approx(Scorer(lm.model).score(prompts, z), abs=5e-3)
    assert len(set(seen)) == 3


def test_a_form_holds_the_draws_and_a_cut_is_a_cut(engine, tokenizer, prompts):
    form = signature_form("def f(unit: Literal['kg', 'm'], size: Literal[1, 2, 3])")
    lm = ServedModel(engine, tokenizer)
    drawn = [z for seed in range(4) for z in generate_served(lm, prompts, "ab", 60, 1.0, seed, schema=form.schema)]
    texts = {form.read(z.text) for z in drawn}
    assert not any(character.isspace() for z in drawn for character in z.text)
    assert {z.finish for z in drawn} == {"stop"}
    assert len(texts) > 2  # drawn, not forced
    [cut, _] = generate_served(lm, prompts, "ab", 5, 1.0, 0, schema=form.schema)
    assert cut.finish == "length"
    [free, _] = generate_served(lm, prompts, "ab", 60, 1.0, 0)
    with pytest.raises(Unfit):
        form.read(free.text)


def test_an_adapter_that_changes_in_place_is_served_anew(engine, base, adapters, tokenizer, prompts, tmp_path_factory):
    before = greedy(engine, tokenizer, adapters[0], prompts)
    save_adapter(base, tmp_path_factory.getbasetemp() / os.path.relpath(adapters[0], tmp_path_factory.getbasetemp()), seed=7)
    lm = load(str(base), dtype="float32", adapter=adapters[0], device="cpu")
    after = greedy(engine, tokenizer, adapters[0], prompts)
    assert after == [z.token_ids for z in generate(lm, prompts, "ab", 24, 0.0, 0)]
    assert after != before


def test_draws_repeat_by_their_seed_and_differ_by_their_place(engine, tokenizer, prompts):
    served = ServedModel(engine, tokenizer)
    first, again, other = (
        [z.token_ids for z in generate_served(served, [prompts[0]] * 4, "abcd", 16, 1.0, seed)] for seed in (3, 3, 4)
    )
    assert first == again
    assert len({*first, *other}) == 8


def test_the_check_refuses_another_model(engine, base, tokenizer, tmp_path):
    expected = expected_values(resolve(str(base)), "float32", tokenizer)
    check_engine_values(engine, tokenizer, expected, "float32")
    tiny_model(len(tokenizer), seed=1, hidden=128, scale=0.15).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    wrong = expected_values(resolve(str(tmp_path)), "float32", tokenizer)
    with pytest.raises(RunFailed, match=r"disagree on \S+: [0-9.]+ nats a token on average in float32, at most 0.001"):
        check_engine_values(engine, tokenizer, wrong, "float32")


def test_an_engine_killed_at_work_is_started_again_and_nothing_is_lost(engine, adapters, tokenizer, prompts):
    served = ServedModel(engine, tokenizer, adapters[1])
    many, names = prompts * 60, [str(i) for i in range(120)]
    expected = generate_served(served, many, names, 100, 1.0, 5)
    before = engine.processes()[0]
    threading.Timer(0.3, os.kill, (before.pid, signal.SIGKILL)).start()
    found = generate_served(served, many, names, 100, 1.0, 5)
    assert not before.is_alive()
    assert engine.processes()[0].pid != before.pid
    assert [z.problem_id for z in found] == names
    same = sum(a.token_ids == b.token_ids for a, b in zip(found, expected, strict=True))
    assert same >= 0.9 * len(names)  # seeds are kept; sums of other batches round otherwise, which may turn a draw
