"""Samples on disk: the same ones however often the run is killed, worth what a fresh scoring would say."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.files import read_jsonl
from infoagent.lm.models import load
from infoagent.lm.scoring.exact import Scorer
from infoagent.recipes import SFTRecipe
from infoagent.recipes.dpo import PairsSection
from infoagent.recipes.sft import SelectionSection
from infoagent.training.candidates import (
    CandidateFile,
    load_candidates,
    round_problems,
    row_of,
    sample_candidates,
    scored_of,
    settings_of,
)
from infoagent.training.choice import choice_metrics, keep_best, make_pairs
from infoagent.training.launch import check_one_process
from infoagent.training.preparation import prepare
from infoagent.training.recipe_reward import build_reward
from infoagent.types import InputError, RunFailed

PROBLEMS, SAMPLES = 5, 3


def recipe(tiny_dir, **more):
    content = {
        "output_dir": "unused",
        "model": {"name": str(tiny_dir), "dtype": "float32"},
        "data": {"split": "train", "limit": PROBLEMS, "min_words": 25, "max_words": 30},
        "negatives": {"random": 1, "counterfactual": 1},
        "sampling": {"samples": SAMPLES, "max_completion_tokens": 6, "batch_problems": 2},
    }
    return SFTRecipe.model_validate({**content, **more})


@pytest.fixture(scope="module")
def made(tiny_dir):
    return recipe(tiny_dir)


@pytest.fixture(scope="module")
def prepared(made):
    return prepare(made, made.sampling.max_completion_tokens)


@pytest.fixture(scope="module")
def lm(tiny_dir):
    return load(str(tiny_dir), dtype="float32", device="cpu")


def draw(directory, made, prepared, lm, scorer=None, number=1, indices=range(PROBLEMS)):
    file = CandidateFile(directory, settings_of(made, made.sampling, prepared))
    reward = build_reward(made, prepared, scorer or Scorer(lm.model))
    return sample_candidates(file, number, "base", lm, reward, list(indices), made, quiet=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, made, prepared, lm):
    directory = tmp_path_factory.mktemp("whole")
    return directory, draw(directory, made, prepared, lm)


def test_a_line_says_everything_and_nothing_that_is_not_known(whole, prepared):
    directory, drawn = whole
    text = (directory / "candidates.jsonl").read_text()
    assert "NaN" not in text
    assert "null" not in text
    rows = read_jsonl(directory / "candidates.jsonl")
    assert len(rows) == len(drawn) == PROBLEMS * SAMPLES
    for row in rows:
        assert {"problem_id", "document", "query", "round", "sample", "token_ids", "text", "finish"} <= set(row)
        assert {"rate_tokens", "rate_bytes", "reward", "gated", "parts"} <= set(row)
        assert row["rate_tokens"] == len(row["token_ids"])
        assert ("mi_nats" in row) is not row["gated"]
        assert row["reward"] == pytest.approx(math.fsum(row["parts"].values()), abs=1e-12)
    manifest = json.loads((directory / "candidates.json").read_text())
    assert manifest["policies"] == {"1": "base"}
    assert manifest["settings"]["data_revision"] == prepared.data_revision
    assert "commit" in manifest


def test_what_is_read_back_is_what_was_scored(whole, prepared, made, lm):
    _, drawn = whole
    reward = build_reward(made, prepared, Scorer(lm.model))
    for start in range(0, len(drawn), SAMPLES):
        group = drawn[start : start + SAMPLES]
        fresh = reward.score(start // SAMPLES, [c.scored.compression for c in group])
        for stored, scored in zip(group, fresh, strict=True):
            assert stored.scored.compression.token_ids == scored.compression.token_ids
            assert stored.scored.problem is scored.problem
            for name in ("mi_nats", "easy_nats", "hard_nats", "reward", "rate"):
                assert getattr(stored.scored, name) == pytest.approx(getattr(scored, name), abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.34, 0.5, 0.77, 0.99])
def test_killed_at_any_byte_it_draws_the_same_samples(share, whole, tmp_path, made, prepared, lm):
    directory, _ = whole
    lines = (directory / "candidates.jsonl").read_bytes()
    (tmp_path / "candidates.jsonl").write_bytes(lines[: int(share * len(lines))])
    (tmp_path / "candidates.json").write_bytes((directory / "candidates.json").read_bytes())
    draw(tmp_path, made, prepared, lm)
    got, expected = (sorted(read_jsonl(d / "candidates.jsonl"), key=str) for d in (tmp_path, directory))
    for a, b in zip(got, expected, strict=True):
        assert a["token_ids"] == b["token_ids"]
        assert a.get("mi_nats") == pytest.approx(b.get("mi_nats"), abs=1e-5)


def test_nothing_is_computed_twice(whole, made, prepared, lm):
    class Forbidden:
        def score(self, *_):
            raise AssertionError("scored again")

    directory, drawn = whole
    again = draw(directory, made, prepared, lm, Forbidden())
    assert [c.scored.compression.token_ids for c in again] == [c.scored.compression.token_ids for c in drawn]


def test_rounds_and_seeds_draw_other_samples(whole, tmp_path, made, prepared, lm, tiny_dir):
    ids = [c.scored.compression.token_ids for c in whole[1]]
    second = draw(tmp_path, made, prepared, lm, number=2)
    assert [c.scored.compression.token_ids for c in second] != ids
    other = recipe(tiny_dir, seed=7)
    assert [c.scored.compression.token_ids for c in draw(tmp_path / "o", other, prepared, lm)] != ids


def test_another_price_gives_what_a_new_scoring_gives(whole, made, prepared, lm, tiny_dir):
    directory, drawn = whole
    for section in ({"price": 0.3}, {"price": 0.0}):
        dear = recipe(tiny_dir, reward=section)
        reward = build_reward(dear, prepared, Scorer(lm.model))
        settings = settings_of(dear, dear.sampling, prepared)
        loaded = load_candidates([directory], settings, prepared.problems, reward.price)
        assert len(loaded) == len(drawn)
        for candidate in loaded:
            index = prepared.problems.index(candidate.scored.problem)
            [fresh] = reward.score(index, [candidate.scored.compression])
            assert candidate.scored.reward == pytest.approx(fresh.reward, abs=1e-5)
            assert set(candidate.scored.parts) == set(fresh.parts)


class FailsOn:
    """A scorer that cannot score continuations whose first token leaves one of the `rests` when divided by 3."""

    def __init__(self, scorer, rests):
        self.scorer, self.rests = scorer, rests

    def score(self, prefixes, continuations):
        if any(c[0] % 3 in self.rests for c in continuations):
            raise FloatingPointError("not finite")
        return self.scorer.score(prefixes, continuations)


def test_failed_samples_keep_their_cause_and_have_no_reward(tmp_path, tiny_dir, prepared, lm):
    made = recipe(tiny_dir, reward={"max_failed_share": 1.0})
    drawn = draw(tmp_path, made, prepared, lm, FailsOn(Scorer(lm.model), {0}))
    failed = [c for c in drawn if c.scored.failed]
    assert 0 < len(failed) < len(drawn)
    for candidate in failed:
        assert candidate.scored.reward is None
        assert "not finite" in candidate.scored.failed
    for row in read_jsonl(tmp_path / "candidates.jsonl"):
        assert ("failed" in row) is ("reward" not in row)


def test_too_many_failures_end_the_run_and_a_new_start_tries_again(tmp_path, made, prepared, lm, whole):
    with pytest.raises(RunFailed, match=r"round 1: the scorer failed on \d+ samples.*max_failed_share = 0.1.*not finite"):
        draw(tmp_path, made, prepared, lm, FailsOn(Scorer(lm.model), {0, 1, 2}))
    assert len(read_jsonl(tmp_path / "candidates.jsonl")) < PROBLEMS * SAMPLES  # it stopped early
    again = draw(tmp_path, made, prepared, lm)
    assert all(c.scored.failed is None for c in again)
    assert [c.scored.compression.token_ids for c in again] == [c.scored.compression.token_ids for c in whole[1]]


def test_an_outage_at_the_end_of_a_round_is_over_when_the_scorer_is_back(tmp_path, made, prepared, lm, whole):
    """All problems have their rows, and too many of them failed: nothing can have been fitted to them."""

    class Down(FailsOn):
        left = PROBLEMS - 1

        def score(self, prefixes, continuations):
            self.left -= 1
            self.rests = set() if self.left >= 0 else {0, 1, 2}
            return super().score(prefixes, continuations)

    with pytest.raises(RunFailed, match="the scorer failed on 3 samples"):
        draw(tmp_path, made, prepared, lm, Down(Scorer(lm.model), ()))
    assert len(read_jsonl(tmp_path / "candidates.jsonl")) == PROBLEMS * SAMPLES
    again = draw(tmp_path, made, prepared, lm)
    assert [c.scored.reward for c in again] == pytest.approx([c.scored.reward for c in whole[1]])


def test_a_round_that_ended_stays_what_it_is_though_a_problem_has_no_text(tmp_path, tiny_dir, prepared, lm):
    made = recipe(tiny_dir, reward={"max_failed_share": 1.0})
    draw(tmp_path, made, prepared, lm, FailsOn(Scorer(lm.model), {0}))
    rows = read_jsonl(tmp_path / "candidates.jsonl")
    kept = [row for row in rows if row["problem_id"] != rows[0]["problem_id"]]  # as if none of its proposals was short enough
    assert any("failed" in row for row in kept)
    (tmp_path / "candidates.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    draw(tmp_path, made, prepared, lm)
    after = read_jsonl(tmp_path / "candidates.jsonl")
    assert after[: len(kept)] == kept


def test_documents_must_fit_into_what_the_scorer_reads_too(tiny_dir, tmp_path):
    small = shutil.copytree(tiny_dir, tmp_path / "small")
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    with pytest.raises(InputError, match="the model's context holds 64"):
        prepare(recipe(tiny_dir, scorer={"model": {"name": str(small), "dtype": "float32"}}), 6)


def test_a_row_of_a_gated_sample_survives(prepared, made, lm):
    reward = build_reward(made, prepared, Scorer(lm.model))
    from infoagent.types import Compression

    [scored] = reward.score(0, [Compression(prepared.problems[0].id, "", (), "stop", 0, stop_id=3)])
    back = scored_of(json.loads(json.dumps(row_of(1, scored))), scored.problem, replace(reward.price, price=9.0))
    assert (back.gated, back.reward, back.parts) == (True, reward.price.gate_nats, scored.parts)
    assert math.isnan(back.mi_nats)
    assert back.compression.stop_id == 3


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 1}, "seed"),
        ({"negatives": {"random": 2, "counterfactual": 1}}, "negatives.random"),
        ({"prompt": {"budget_words": 9}}, "prompt.budget_words"),
        ({"sampling": {"samples": SAMPLES, "max_completion_tokens": 7, "batch_problems": 2}}, "sampling.max_completion"),
        ({"reward": {"objective": "tv"}}, "reward.objective"),
    ],
)
def test_samples_of_other_settings_are_refused(change, key, whole, prepared, tiny_dir):
    other = recipe(tiny_dir, **change)
    with pytest.raises(InputError, match=f"drawn with other settings, .*{key}"):
        CandidateFile(whole[0], settings_of(other, other.sampling, prepared))
    if key not in ("seed", "sampling.max_completion"):  # what decides the worth; the rest may be another run's own
        reward = build_reward(other, prepared)
        with pytest.raises(InputError, match=f"scored with other settings, .*{key}"):
            load_candidates([whole[0]], settings_of(other, other.sampling, prepared), prepared.problems, reward.price)


def test_samples_are_not_overwritten_and_wrong_places_are_named(whole, made, prepared, tmp_path):
    settings = settings_of(made, made.sampling, prepared)
    with pytest.raises(InputError, match=r"already holds candidates\.jsonl"):
        CandidateFile(whole[0], settings, resume=False)
    price = build_reward(made, prepared).price
    with pytest.raises(InputError) as error:
        load_candidates([whole[0], whole[0], tmp_path], settings, prepared.problems, price)
    assert len(error.value.problems) == 2
    assert "stands twice" in error.value.problems[0]
    assert "holds no candidates.jsonl" in error.value.problems[1]
    other = [replace(p, query=p.query + "!") for p in prepared.problems]
    with pytest.raises(InputError, match="no sample for a problem"):
        load_candidates([whole[0]], settings, other, price)


def test_a_round_belongs_to_one_policy(tmp_path, made, prepared):
    file = CandidateFile(tmp_path, settings_of(made, made.sampling, prepared))
    file.begin_round(2, "sha256:a")
    again = CandidateFile(tmp_path, settings_of(made, made.sampling, prepared))
    again.begin_round(2, "sha256:a")
    with pytest.raises(InputError, match="was drawn from adapter sha256:a, not from sha256:b"):
        again.begin_round(2, "sha256:b")


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5))
def test_slices_take_every_problem_once_before_any_comes_again(total, per_round, seed):
    rounds = [round_problems(n, per_round, total, seed) for n in range(1, 2 * total + 1)]
    taken = np.bincount([i for r in rounds for i in r], minlength=total)
    assert taken.max() - taken.min() <= (0 if per_round >= total else 1)
    for r in rounds:
        assert len(set(r)) == len(r) == min(per_round, total)
    assert rounds == [round_problems(n, per_round, total, seed) for n in range(1, 2 * total + 1)]


def test_a_choice_of_nothing_ends_the_run_and_says_what_to_change(whole):
    with pytest.raises(RunFailed, match=r"none of 15 samples is 99 nats above its group's mean; lower selection"):
        keep_best(whole[1], SelectionSection(min_gain_nats=99.0))
    with pytest.raises(RunFailed, match=r"differ by 99 nats of reward; lower pairs\.margin_nats"):
        make_pairs(whole[1], PairsSection(margin_nats=99.0))


def test_the_kept_and_the_paired_are_told_in_numbers(whole, made, prepared):
    drawn, price = whole[1], build_reward(made, prepared).price
    kept = keep_best(drawn, SelectionSection(min_gain_nats=1e-6))
    best = {}
    for c in drawn:
        best.setdefault(c.scored.problem.id, []).append(c.scored.reward)
    assert len(kept) == PROBLEMS
    metrics = choice_metrics(drawn, {"selected": kept}, price, candidates=3)
    assert metrics["selected/number"] == PROBLEMS
    assert metrics["selected/reward/total"] == pytest.approx(np.mean([max(r) for r in best.values()]))
    assert metrics["reward/total"] == pytest.approx(np.mean([c.scored.reward for c in drawn]))
    pairs = make_pairs(drawn, PairsSection(margin_nats=1e-6, per_problem=1))
    for better, worse in pairs:
        rewards = best[better.scored.problem.id]
        assert (better.scored.reward, worse.scored.reward) == (max(rewards), min(rewards))


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"train/sft\.py: runs in one process, 2 were started"):
        check_one_process("train/sft.py")
