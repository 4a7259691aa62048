"""The tiny model: what it is taught, and that its directory is an ordinary one that is kept."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from infoagent.applications.shannon.tiny_lm import (
    TEMPLATE,
    TinySettings,
    draw_description,
    draw_junk,
    tiny_tokenizer,
    train_tiny_lm,
)
from infoagent.data.sets.shannon import FACTS, all_states, text_of
from infoagent.lm.models import load, resolve
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id
from infoagent.lm.reference import load_tokenizer
from infoagent.types import InputError

STATE = ("red", "small", "intact", "home")


def test_one_token_a_word_and_the_number_is_not_read():
    tokenizer = tiny_tokenizer()
    prompts = {n: compressor_ids(tokenizer, text_of(STATE, n), "describe", Prompt(TEMPLATE)) for n in (1, 17, 9999)}
    assert prompts[1] == prompts[17] == prompts[9999]
    assert tokenizer.convert_ids_to_tokens(prompts[1]) == [*STATE, "describe", "<tell>"]
    assert tokenizer.decode(tokenizer.convert_tokens_to_ids(["red", "home"])) == "red home"
    assert end_of_turn_id(tokenizer) == tokenizer.eos_token_id
    assert len({tuple(compressor_ids(tokenizer, text_of(s, 1), "describe", Prompt(TEMPLATE))) for s in all_states()}) == 72


def test_descriptions_name_every_subset_alike_in_order_and_truly():
    rng = np.random.default_rng(0)
    drawn = Counter(tuple(draw_description(STATE, TinySettings(), rng)) for _ in range(15_000))
    subsets = [s for size in range(1, 5) for s in itertools.combinations(STATE, size)]
    assert set(drawn) == set(subsets)
    for subset in subsets:
        assert drawn[subset] == pytest.approx(1000, abs=160)


def test_junk_is_uniform_over_all_tokens_but_the_end():
    rng = np.random.default_rng(0)
    strings = [draw_junk(16, 3, TinySettings(), 6, rng) for _ in range(8_000)]
    assert {len(s) for s in strings} == {1, 2, 3, 4, 5, 6}
    counts = Counter(t for s in strings for t in s)
    assert set(counts) == set(range(16)) - {3}
    assert all(c == pytest.approx(sum(counts.values()) / 15, rel=0.15) for c in counts.values())


def test_it_learns_is_kept_and_other_settings_are_refused(tmp_path):
    directory = tmp_path / "lm"
    settings = TinySettings(steps=150, batch=96, hidden=48, layers=2, learning_rate=8e-3)
    assert train_tiny_lm(directory, settings, quiet=True) > 0
    written = (directory / "model.safetensors").stat().st_mtime_ns
    assert train_tiny_lm(directory, settings, quiet=True) is None
    assert (directory / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(InputError, match="another steps"):
        train_tiny_lm(directory, replace(settings, steps=151), quiet=True)
    assert load_tokenizer(resolve(str(directory))).get_vocab() == tiny_tokenizer().get_vocab()

    import torch

    lm = load(str(directory), dtype="float32", device="cpu")
    colours = lm.tokenizer.convert_tokens_to_ids(FACTS[0].values)
    right = []
    for state in all_states()[::5]:
        prompt = compressor_ids(lm.tokenizer, text_of(state, 5), "describe", Prompt(TEMPLATE))
        with torch.no_grad():
            first = lm.model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
        right.append(float(first[lm.tokenizer.convert_tokens_to_ids(state[0])] / first[colours].sum()))
    assert np.mean(right) > 0.6  # a quarter by chance: it looks at the document


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no tiny model"):
        train_tiny_lm(tmp_path, TinySettings(steps=1), quiet=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
