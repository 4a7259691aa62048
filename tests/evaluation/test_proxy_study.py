"""Floors in closed form, and the study on compressions whose scorers are known."""

import json
import math
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from infoagent.evaluation.critics import SMOOTHING_WORDS, UnigramCritic, ZlibCritic, load_critic
from infoagent.evaluation.proxies import check_scorers
from infoagent.evaluation.proxy_study import SELF, fit_scales, study
from infoagent.lm import models
from infoagent.lm.prompts import compressor_ids, text_ids
from infoagent.lm.scorer_protocol import identity_of, vocabulary_hash
from infoagent.lm.scorer_server import ScorerServer
from infoagent.lm.scoring import Scorer
from infoagent.recipes import CompressorSection
from infoagent.recipes.proxies import ProxyRecipe, ProxySection
from infoagent.reporting.proxies import COLUMNS, rows, save_study, smallest_line, title
from infoagent.types import InputError, Negative, Problem

SOURCE, OTHER = "The red house is small.", "The blue house is large and old."


def cell():
    problem = Problem("p", SOURCE, "What colour?", "d")
    return SimpleNamespace(problems=[problem], negatives=[(Negative("random", OTHER),)])


def test_unigram_is_the_smoothed_query_likelihood():
    [[own, other]] = UnigramCritic([SOURCE, OTHER]).log_probs(cell(), 0, [{"text": "red house, then"}])
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
    mass = sum(math.exp(critic.log_probs(cell(), 0, [{"text": w}])[0][0]) for w in every)
    assert mass == pytest.approx(1)


def test_zlib_counts_added_bytes():
    [[own, other]] = ZlibCritic().log_probs(cell(), 0, [{"text": SOURCE}])
    added = len(zlib.compress(f"{OTHER}\n{SOURCE}".encode(), 9)) - len(zlib.compress(OTHER.encode(), 9))
    assert other == pytest.approx(-8 * math.log(2) * added)
    assert 0 >= own > other


def test_a_served_scorer_is_the_model_that_is_served(tiny_dir):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    lm = models.load(**model)
    vocabulary = vocabulary_hash(lm.tokenizer)
    about = {
        "model": "tiny", "revision": lm.reference.revision, "dtype": "float32", "vocabulary": vocabulary,
        "identity": identity_of(lm.reference.revision, "float32", vocabulary), "context_tokens": 4096,
    }  # fmt: skip
    server = ScorerServer("127.0.0.1", 0, None)
    server.open(Scorer(lm.model), about, len(lm.tokenizer), 4096)
    compressor = CompressorSection.model_validate({"label": "c", "model": model})
    where = SimpleNamespace(**vars(cell()), compressor=compressor)
    served = ProxySection.model_validate({"label": "served", "model": model, "url": server.url})
    texts = [
        {"text": "The house is red.", "problem_id": "p", "finish": "stop"},
        {"text": "blue", "problem_id": "p", "finish": "length"},
    ]
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


# ---- the study --------------------------------------------------------------------------------------------------

COMPRESSORS, DOCUMENTS = ("a", "b", "c", "d", "e"), 24


def compressions(noise, data="set", seed=0, shift=0.0, turn=False, scale=1.0, split="test"):
    """Among two random and one counterfactual negative; later compressors tell more. `turn` reverses their order."""
    made = []
    for p, label in enumerate(COMPRESSORS):
        for d in range(DOCUMENTS):
            own = np.random.default_rng([seed, p, d])
            other = np.random.default_rng([seed, p, d, 7])
            level = (len(COMPRESSORS) - 1 - p) if turn else p
            lead = scale * (0.5 * level + own.normal(size=3) + noise * other.normal(size=3)) + shift
            made.append(
                {
                    "key": f"{data} {split} {label} {d}", "kind": "compression", "status": "ok", "data": {"name": data},
                    "compressor": {"label": label}, "document_id": f"{split} {d}", "problem_id": f"{split} {d}", "seed": 0,
                    "sample": 0, "candidates": ["source", "random", "random", "counterfactual"], "scoring_seconds": 0.5,
                    "log_probs": [-60.0, *(-60.0 - lead)], "gflop": 1.0 + noise, "weight_mib": 100.0 * (1 + noise),
                }
            )  # fmt: skip
    return made


def answers(scored):
    """Right where the lead over the counterfactual is above its median, which the self-score knows exactly."""
    leads = np.array([r["log_probs"][0] - r["log_probs"][3] for r in scored])
    head = {"kind": "prediction", "status": "ok", "predictor": {"name": "reader"}}
    above = leads > np.median(leads)
    return [{**head, "compression_key": r["key"], "correct": bool(x)} for r, x in zip(scored, above, strict=True)]


@pytest.fixture(scope="module")
def found():
    own = compressions(0.0)
    scored = {
        SELF: own, "twin": compressions(0.02), "small": compressions(0.1, scale=0.2), "noisy": compressions(3.0),
        "turned": compressions(0.0, turn=True),
    }  # fmt: skip
    for row in scored["small"]:
        row["weight_mib"] = 5.0
    other = {s: [{**r, "status": "ok"} for r in rows] for s, rows in {
        SELF: compressions(0.0, seed=5, split="fit"), "twin": compressions(0.02, seed=5, split="fit"),
        "small": compressions(0.1, seed=5, scale=0.2, split="fit"), "noisy": compressions(3.0, seed=5, split="fit"),
        "turned": compressions(0.0, seed=5, turn=True, split="fit"),
    }.items()}  # fmt: skip
    scales = {"set": fit_scales(other, "set")}
    return study(scored, answers(own), scales, 0.8, 0, 200), scales


def part_of(found, among):
    [part] = [p for p in found["parts"] if p["among"] == among]
    return part, {row["scorer"]: row for row in part["scorers"]}


@pytest.mark.parametrize("among", ["hard", "all"])
def test_who_is_trusted(found, among):
    part, by_name = part_of(found[0], among)
    assert part["ceiling_nats"] == pytest.approx(math.log({"hard": 2, "all": 4}[among]))
    assert (part["compressions"], part["documents"], part["compressors"], part["left_out"]) == (120, 24, 5, 0)
    assert {s: r["plain"]["trusted"] for s, r in by_name.items() if s != SELF} == {
        "twin": True, "small": True, "noisy": False, "turned": False,
    }  # fmt: skip
    assert by_name["twin"]["plain"]["verdicts"]["turned"] == []
    assert by_name["turned"]["plain"]["self"]["points_spearman"]["value"] == pytest.approx(-1)
    assert len(by_name["turned"]["plain"]["verdicts"]["turned"]) == part["verdicts"] > 2
    assert part["smallest_trusted"]["plain"]["scorer"] == "small"


def test_a_scale_gives_back_what_flat_scores_lost(found):
    study_, scales = found
    assert scales["set"]["small"].beta == pytest.approx(5 * scales["set"][SELF].beta, rel=0.3)
    _, by_name = part_of(study_, "hard")
    flat, scaled = (by_name["small"][side]["mi_nats"]["value"] for side in ("plain", "calibrated"))
    own = by_name[SELF]["plain"]["mi_nats"]["value"]
    assert flat < 0.6 * own
    assert scaled == pytest.approx(by_name[SELF]["calibrated"]["mi_nats"]["value"], abs=0.05)
    assert by_name["small"]["plain"]["shift_nats"]["value"] == pytest.approx(flat - own)


def test_agreement_with_answers_is_highest_where_the_answers_come_from(found):
    _, by_name = part_of(found[0], "hard")
    accuracy = {s: r["plain"]["accuracy"]["reader"] for s, r in by_name.items()}
    assert accuracy[SELF]["spearman"]["value"] > 0.85  # a median split of the same order: √3/2
    assert accuracy[SELF]["spearman"]["value"] == pytest.approx(math.sqrt(3) / 2, abs=0.01)
    assert accuracy["noisy"]["over_self"]["high"] < 0
    assert abs(accuracy["twin"]["over_self"]["value"]) < 0.03


def test_a_row_that_one_scorer_failed_on_is_left_out_for_all_and_counted():
    own, other = compressions(0.0), compressions(0.1)
    other[3] = {**{k: v for k, v in other[3].items() if k != "log_probs"}, "status": "failed", "cause": "scoring"}
    found = study({SELF: own, "x": other}, [], {}, 0.8, 0, 60)
    assert [(p["compressions"], p["left_out"]) for p in found["parts"]] == [(119, 1), (119, 1)]
    assert found["parts"][0]["scorers"][1]["plain"]["accuracy"] == {}
    assert "calibrated" not in found["parts"][0]["scorers"][1]


def test_table_and_picture_tell_the_same(found, tmp_path):
    part, by_name = part_of(found[0], "hard")
    table = {line[0]: dict(zip(COLUMNS, line, strict=True)) for line in rows(part)}
    assert table["noisy"]["trusted"] == "no"
    rank = by_name["twin"]["plain"]["self"]["spearman"]
    assert table["twin"]["ρ with self"] == f"{rank['value']:.2f} [{rank['low']:.2f}, {rank['high']:.2f}]"
    assert table[SELF]["ρ with self"] == "–"
    assert "5 compressors" in title(part)
    assert "small (5 MiB" in smallest_line(part)
    for file in save_study(json.loads(json.dumps(found[0])), tmp_path):
        assert file.stat().st_size > 5000


# ---- recipes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"kind": "zlib", "layers": 3}, "layers belongs to kind lm"),
        ({"kind": "unigram", "model": {"name": "x"}}, "model belongs to kind lm"),
        ({"layers": 3, "url": "http://127.0.0.1:8400"}, "does not go with url"),
        ({"weight_bits": 4, "model": {"adapter": "runs/x"}}, "infoagent merge"),
        ({"url": "http://127.0.0.1:8400", "model": {"adapter": "runs/x"}}, "takes no adapter"),
        ({"url": "http://me:pw@127.0.0.1"}, "plain http"),
        ({"weight_bits": 9}, "less than or equal to 8"),
    ],
)
def test_scorers_that_cannot_be(section, why):
    with pytest.raises(ValueError, match=why):
        ProxySection.model_validate({"label": "s", **section})


def test_recipes_that_cannot_be():
    base = {"output_dir": "x", "compressors": [{"label": "c"}], "scorers": [{"label": "a", "kind": "zlib"}]}
    ProxyRecipe.model_validate(base)
    for change, why in (
        ({"scorers": [{"label": "a"}, {"label": "a"}]}, "stands twice"),
        ({"scorers": [{"label": "self"}]}, "'self' is the compressor's own"),
        ({"scorers": []}, "at least 1 item"),
        ({"data": [{"split": "validation"}]}, "validation split"),
        ({"engine": "vllm"}, "need transformers"),
    ):
        with pytest.raises(ValueError, match=why):
            ProxyRecipe.model_validate({**base, **change})
