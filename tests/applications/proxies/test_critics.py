"""Scorers of compressions: floors in closed form, and a served model beside the same model here."""

import math
import zlib

import numpy as np
import pytest

from infoagent.applications.proxies.critics import SMOOTHING_WORDS, UnigramCritic, ZlibCritic, load_critic
from infoagent.applications.proxies.recipe import ProxySection
from infoagent.applications.proxies.run import _score, check_scorers
from infoagent.evaluation.cells import Cell
from infoagent.lm import models
from infoagent.lm.prompts import compressor_ids, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.protocol import identity_of, vocabulary_hash
from infoagent.lm.scoring.server import ScorerServer
from infoagent.recipes import CompressorSection
from infoagent.records.grid import CompressionRecord, CompressorIdentity, DataIdentity
from infoagent.types import InputError, Negative, Problem

SOURCE, OTHER = "The red house is small.", "The blue house is large and old."


def written(text, finish="stop"):
    return CompressionRecord(
        key=text,
        compressor=CompressorIdentity(label="c"),
        data=DataIdentity(name="d"),
        problem_id="p",
        document_id="p",
        text=text,
        finish=finish,
    )


def cell(compressor=None):
    problem = Problem("p", SOURCE, "What colour?", "d")
    return Cell(compressor or CompressorSection(label="c"), "r", None, None, [problem], [(Negative("random", OTHER),)])


def test_unigram_is_the_smoothed_query_likelihood():
    [[own, other]] = UnigramCritic([SOURCE, OTHER]).log_probs(cell(), 0, [written("red house, then")])
    collection = {"the": 2, "red": 1, "house": 2, "is": 2, "small": 1, "blue": 1, "large": 1, "and": 1, "old": 1}
    total = sum(collection.values()) + len(collection) + 1

    def expected(words, document):
        found = 0.0
        for w in words:
            background = (collection.get(w, 0) + 1) / total
            found += math.log((document.count(w) + SMOOTHING_WORDS * background) / (len(document) + SMOOTHING_WORDS))
        return found

    text = ["red", "house", "then"]
    assert own == pytest.approx(expected(text, ["the", "red", "house", "is", "small"]))
    assert other == pytest.approx(expected(text, ["the", "blue", "house", "is", "large", "and", "old"]))
    assert own > other
    # over all words that there are, and one that nobody has: a distribution
    every = [*collection, "unseen"]
    critic = UnigramCritic([SOURCE, OTHER])
    mass = sum(math.exp(critic.log_probs(cell(), 0, [written(w)])[0][0]) for w in every)
    assert mass == pytest.approx(1)


def test_zlib_counts_added_bytes():
    [[own, other]] = ZlibCritic().log_probs(cell(), 0, [written(SOURCE)])
    added = len(zlib.compress(f"{OTHER}\n{SOURCE}".encode(), 9)) - len(zlib.compress(OTHER.encode(), 9))
    assert other == pytest.approx(-8 * math.log(2) * added)
    assert 0 >= own > other


def test_a_served_scorer_is_the_model_that_is_served(tiny_dir):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    lm = models.load(**model)
    vocabulary = vocabulary_hash(lm.tokenizer)
    about = {
        "model": "tiny",
        "revision": lm.reference.revision,
        "dtype": "float32",
        "vocabulary": vocabulary,
        "identity": identity_of(lm.reference.revision, "float32", vocabulary),
        "context_tokens": 4096,
    }
    server = ScorerServer("127.0.0.1", 0, None)
    server.open(Scorer(lm.model), about, len(lm.tokenizer), 4096)
    compressor = CompressorSection.model_validate({"label": "c", "model": model})
    where = cell(compressor)
    served = ProxySection.model_validate({"label": "served", "model": model, "url": server.url})
    texts = [written("The house is red."), written("blue", "length")]
    try:
        check_scorers([served], [where])
        over_http = load_critic(served, 256, [])
        found = over_http.log_probs(where, 0, texts)
        other = {"label": "s", "model": {**model, "dtype": "bfloat16"}, "url": server.url}
        with pytest.raises(InputError, match="computes in float32, wanted is bfloat16"):
            check_scorers([ProxySection.model_validate(other)], [where])
    finally:
        server.close()
    here = load_critic(served.model_copy(update={"url": None}), 256, [])
    assert found == here.log_probs(where, 0, texts)
    assert over_http.gflop == here.gflop > 0
    # and by hand: each text under each prompt in one plain pass
    prompts = [compressor_ids(lm.tokenizer, d, "What colour?") for d in (SOURCE, OTHER)]
    end = lm.tokenizer.eos_token_id
    strings = [[*text_ids(lm.tokenizer, "The house is red."), end], text_ids(lm.tokenizer, "blue")]
    assert np.allclose(found, Scorer(lm.model).score_one_by_one(prompts, strings), atol=1e-3)


def test_what_an_unknown_model_costs_is_not_nothing(tiny_dir, monkeypatch):
    monkeypatch.setattr("infoagent.applications.proxies.critics.architecture_of", lambda *_: None)
    monkeypatch.setattr("infoagent.applications.proxies.critics.HttpScorer", lambda url: url)  # nobody needs to answer
    model = {"name": str(tiny_dir), "dtype": "float32"}
    served = load_critic(ProxySection.model_validate({"label": "s", "model": model, "url": "http://127.0.0.1:9"}), 256, [])
    assert (served.weight_mib, served.gflop) == (None, None)
    here = load_critic(ProxySection.model_validate({"label": "h", "model": model}), 256, [])
    compressor = CompressorSection.model_validate({"label": "c", "model": model})
    where = cell(compressor)
    texts = [written("blue", "length")] * 2
    for row in _score(here, where, 0, texts):
        assert (row["status"], row["gflop"], row["weight_mib"] > 0) == ("ok", None, True)
