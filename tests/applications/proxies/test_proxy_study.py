"""The study on compressions whose scorers are known, and recipes that cannot be."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from infoagent.applications.proxies.drawing import COLUMNS, rows, save_study, smallest_line, title
from infoagent.applications.proxies.recipe import ProxyRecipe, ProxySection
from infoagent.applications.proxies.summary import SELF, ProxyRecord, fit_scales, study
from infoagent.records.grid import CompressorIdentity, DataIdentity, PredictionRecord, PredictorIdentity
from infoagent.types import RunFailed

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
                ProxyRecord(
                    key=f"{data} {split} {label} {d}",
                    data=DataIdentity(name=data),
                    compressor=CompressorIdentity(label=label),
                    document_id=f"{split} {d}",
                    problem_id=f"{split} {d}",
                    seed=0,
                    sample=0,
                    scoring_seconds=0.5,
                    candidates=["source", "random", "random", "counterfactual"],
                    log_probs=[-60.0, *(-60.0 - lead)],
                    gflop=1.0 + noise,
                    weight_mib=100.0 * (1 + noise),
                )
            )
    return made


def answers(scored):
    """Right where the lead over the counterfactual is above its median, which the self-score knows exactly."""
    leads = np.array([r.log_probs[0] - r.log_probs[3] for r in scored])
    above = leads > np.median(leads)
    return [
        PredictionRecord(
            key=f"answer {r.key}",
            compression_key=r.key,
            compressor=r.compressor,
            data=r.data,
            problem_id=r.problem_id,
            document_id=r.document_id,
            predictor=PredictorIdentity(name="reader"),
            correct=bool(right),
        )
        for r, right in zip(scored, above, strict=True)
    ]


@pytest.fixture(scope="module")
def found():
    own = compressions(0.0)
    scored = {
        SELF: own,
        "twin": compressions(0.02),
        "small": compressions(0.1, scale=0.2),
        "noisy": compressions(3.0),
        "turned": compressions(0.0, turn=True),
    }
    scored["small"] = [replace(r, weight_mib=5.0) for r in scored["small"]]
    other = {
        SELF: compressions(0.0, seed=5, split="fit"),
        "twin": compressions(0.02, seed=5, split="fit"),
        "small": compressions(0.1, seed=5, scale=0.2, split="fit"),
        "noisy": compressions(3.0, seed=5, split="fit"),
        "turned": compressions(0.0, seed=5, turn=True, split="fit"),
    }
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
        "twin": True,
        "small": True,
        "noisy": False,
        "turned": False,
    }
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


def failed(row):
    return replace(row, log_probs=None, status="failed", cause="scoring")


def test_what_one_scorer_failed_on_is_left_out_for_it_alone_and_counted():
    own, other = compressions(0.0), compressions(0.1)
    other[3] = failed(other[3])
    alone = study({SELF: own, "y": compressions(0.02)}, [], {}, 0.8, 0, 60)
    found = study({SELF: own, "x": other, "y": compressions(0.02)}, [], {}, 0.8, 0, 60)
    for part, before in zip(found["parts"], alone["parts"], strict=True):
        assert (part["compressions"], part["left_out"]) == (120, 0)
        assert {r["scorer"]: r["left_out"] for r in part["scorers"]} == {SELF: 0, "x": 1, "y": 0}
        same = ("mi_nats", "shift_nats", "self", "verdicts")
        assert [part["scorers"][2]["plain"][k] for k in same] == [before["scorers"][1]["plain"][k] for k in same]
    assert found["parts"][0]["scorers"][1]["plain"]["accuracy"] == {}
    assert "calibrated" not in found["parts"][0]["scorers"][1]


def test_a_scorer_that_failed_takes_no_other_along(tmp_path):
    own, good = compressions(0.0), compressions(0.02)
    dead = [failed(r) for r in good]
    half = [r if int(r.document_id.split()[1]) < 3 else failed(r) for r in good]
    found = study({SELF: own, "good": good, "dead": dead, "half": half}, [], {}, 0.8, 0, 60)
    part, by_name = part_of(found, "hard")
    assert by_name["good"]["plain"]["trusted"]
    assert by_name["dead"] == {"scorer": "dead", "left_out": 120, "refused": "0 of 24 documents scored, 8 are needed"}
    assert (by_name["half"]["left_out"], by_name["half"]["refused"][:16]) == (105, "3 of 24 document")
    table = {line[0]: dict(zip(COLUMNS, line, strict=True)) for line in rows(part)}
    assert (table["good"]["trusted"], table["good"]["left out"]) == ("yes", "0")
    assert (table["half"]["trusted"][:8], table["half"]["left out"]) == ("refused:", "105")
    assert all(file.stat().st_size > 5000 for file in save_study(found, tmp_path))
    with pytest.raises(RunFailed, match="no compression has a self-score"):
        study({SELF: [failed(r) for r in own], "dead": []}, [], {}, 0.8, 0, 60)


def test_a_copy_of_the_self_score_has_no_shift_calibrated_or_not():
    own = compressions(0.0, scale=6.0)
    scale = fit_scales({SELF: compressions(0.0, seed=5, scale=6.0, split="fit")}, "set")[SELF]
    assert scale.beta < 0.5
    found = study({SELF: own, "copy": compressions(0.0, scale=6.0)}, [], {"set": {SELF: scale, "copy": scale}}, 0.8, 0, 60)
    for part in found["parts"]:
        copy = part["scorers"][1]
        for side in ("plain", "calibrated"):
            assert copy[side]["shift_nats"]["value"] == 0
            assert copy[side]["self"]["spearman"]["value"] == 1
            assert copy[side]["verdicts"]["lost"] == copy[side]["verdicts"]["new"] == 0
        assert list(part["smallest_trusted"]) == ["plain", "calibrated"]
    uncalibrated = study({SELF: own, "copy": own}, [], {}, 0.8, 0, 60)["parts"][0]
    assert list(uncalibrated["smallest_trusted"]) == ["plain"]
    assert "calibrated" not in smallest_line(uncalibrated)


def test_the_more_scorers_are_tried_the_lower_an_end_must_hold():
    own, others = compressions(0.0), {f"n{i}": compressions(0.4) for i in range(5)}
    one = study({SELF: own, "n0": others["n0"]}, [], {}, 0.8, 0, 400)["parts"][0]
    five = study({SELF: own, **others}, [], {}, 0.8, 0, 400)["parts"][0]
    assert (one["level"], five["level"]) == (0.95, pytest.approx(0.99))
    alone, among = one["scorers"][1]["plain"], five["scorers"][1]["plain"]
    assert alone["self"] == among["self"]
    assert among["criterion"]["low"] < alone["criterion"]["low"] == alone["self"]["spearman"]["low"]
    between = (among["criterion"]["low"] + alone["criterion"]["low"]) / 2
    assert study({SELF: own, "n0": others["n0"]}, [], {}, between, 0, 400)["parts"][0]["scorers"][1]["plain"]["trusted"]
    assert not study({SELF: own, **others}, [], {}, between, 0, 400)["parts"][0]["scorers"][1]["plain"]["trusted"]
    assert "99 % intervals, for the best of 5" in smallest_line(five)


def test_a_scorer_whose_costs_are_not_known_is_never_the_smallest():
    own, small = compressions(0.0), compressions(0.02)
    remote = [replace(r, weight_mib=None, gflop=None) for r in small]
    part = study({SELF: own, "small": small, "remote": remote}, [], {}, 0.8, 0, 60)["parts"][0]
    assert (part["smallest_trusted"]["plain"]["scorer"], part["smallest_trusted"]["plain"]["costs_unknown"]) == (
        "small",
        ["remote"],
    )
    assert "costs not known: remote" in smallest_line(part)
    alone = study({SELF: own, "remote": remote}, [], {}, 0.8, 0, 60)["parts"][0]
    assert alone["smallest_trusted"]["plain"] == {"refused": "what remote costs is not known"}
    assert "none (what remote costs" in smallest_line(alone)


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
