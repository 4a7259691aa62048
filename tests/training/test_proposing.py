"""Best-of-n over proposals: the best of an exhaustive search, a search that never falls, the same after a kill."""

import json

import numpy as np
import pytest

from infoagent.files import read_jsonl
from infoagent.lm.models import load
from infoagent.lm.prompts import end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.proposals.sources import POLICY, SHORTENED, YARDSTICK, propose
from infoagent.recipes import SFTRecipe
from infoagent.recipes.dpo import PairsSection
from infoagent.training.candidates import CandidateFile, candidate_of, load_candidates, sample_candidates, settings_of
from infoagent.training.choice import keep_best, make_pairs
from infoagent.training.preparation import prepare
from infoagent.training.proposing import proposer_of
from infoagent.training.recipe_reward import build_reward
from infoagent.types import Compression, InputError

PROBLEMS = 3
LONGEST = 60
"""Tokens of the tiny model, which has few words."""


def recipe(tiny_dir, samples=0, **proposals):
    return SFTRecipe.model_validate(
        {
            "output_dir": "unused",
            "model": {"name": str(tiny_dir), "dtype": "float32"},
            "data": {"split": "train", "limit": PROBLEMS, "min_words": 25, "max_words": 30},
            "negatives": {"random": 0, "counterfactual": 2},
            "reward": {"price": 0.01, "parts": {"fluency": 0.1}},
            "sampling": {"samples": samples, "max_completion_tokens": LONGEST, "batch_problems": 2, "proposals": proposals},
        }
    )


@pytest.fixture(scope="module")
def lm(tiny_dir):
    return load(str(tiny_dir), dtype="float32", device="cpu")


def draw(directory, made, lm, prepared=None):
    prepared = prepared or prepare(made, LONGEST)
    file = CandidateFile(directory, settings_of(made, made.sampling, prepared))
    reward = build_reward(made, prepared, Scorer(lm.model))
    return sample_candidates(file, 1, "base", lm, reward, range(PROBLEMS), made, proposer_of(made.sampling, prepared), quiet=True)


def test_without_a_critic_it_is_the_best_of_all_pieces(tiny_dir, lm, tmp_path):
    """Against the proposals scored by themselves, one after the other (of each problem every fifth)."""
    made = recipe(tiny_dir, sources=["clauses", "windows"], keep=None, shorten_rounds=0)
    prepared = prepare(made, LONGEST)
    drawn = draw(tmp_path, made, lm, prepared)
    reward, end = build_reward(made, prepared, Scorer(lm.model)), end_of_turn_id(lm.tokenizer)
    for index, problem in enumerate(prepared.problems):
        rewards = {}
        everything = propose(problem, prepared.negatives[index], ["clauses", "windows"])
        for proposal in everything[::5]:
            ids = tuple(text_ids(lm.tokenizer, proposal.text))
            if len(ids) <= LONGEST:
                [scored] = reward.score(index, [Compression(problem.id, proposal.text, ids, "stop", stop_id=end)])
                rewards[proposal.text] = scored.reward
        group = {c.scored.compression.text: c.scored.reward for c in drawn if c.scored.problem == problem}
        assert {p.text for p in everything} >= set(group) >= set(rewards)
        assert {text: group[text] for text in rewards} == pytest.approx(rewards, abs=1e-4)


def test_the_search_never_falls_and_stays_within_the_text(tiny_dir, lm, tmp_path):
    drawn = draw(tmp_path, recipe(tiny_dir, sources=["sentences", "clauses"], keep=3, shorten_rounds=4, shorten_keep=5), lm)
    assert any(c.origin == SHORTENED for c in drawn)
    for candidate in (c for c in drawn if c.origin == SHORTENED):
        rest = iter(candidate.scored.problem.document)
        assert all(sign in rest for sign in candidate.scored.compression.text)
    more = draw(tmp_path / "more", recipe(tiny_dir, sources=["sentences", "clauses"], keep=3, shorten_rounds=0), lm)

    def best(candidates, number):
        key = candidates[0].scored.problem.id.rsplit("-", 1)[0]
        return max(c.scored.reward for c in candidates if c.scored.problem.id == f"{key}-{number:05d}")

    for number in range(PROBLEMS):
        assert best(drawn, number) >= best(more, number) - 1e-6


def test_a_problem_without_a_text_is_counted(tiny_dir, lm, tmp_path, caplog):
    made = recipe(tiny_dir, sources=["sentences"], keep=3, shorten_rounds=4)
    made.sampling.max_completion_tokens = 20
    drawn = draw(tmp_path, made, lm)
    empty = PROBLEMS - len({c.scored.problem.id for c in drawn})
    assert empty > 0
    assert "proposals are longer than sampling.max_completion_tokens = 20 and were left out" in caplog.text
    assert f"{empty} of {PROBLEMS} problems have no proposal within sampling.max_completion_tokens = 20" in caplog.text


def test_samples_stand_first_and_the_yardstick_is_never_chosen(tiny_dir, lm, tmp_path):
    made = recipe(tiny_dir, samples=2, greedy=True, yardstick=True, keep=3)
    drawn = draw(tmp_path, made, lm)
    for number in range(PROBLEMS):
        group = [c for c in drawn if c.scored.problem.id.endswith(f"-{number:05d}")]
        assert [c.origin for c in group[:3]] == [POLICY, POLICY, "greedy"]
        assert [c.scored.compression.sample for c in group] == list(range(len(group)))
        fitting = [c for c in group if c.scored.compression.rate_tokens <= LONGEST]
        best = max((c for c in fitting if c.origin != YARDSTICK and not c.scored.gated), key=lambda c: c.scored.reward)
        [yardstick] = [c for c in group if c.origin == YARDSTICK]
        assert yardstick.scored.compression.rate_tokens <= best.scored.compression.rate_tokens
    chosen = keep_best(drawn, made.selection)
    assert YARDSTICK not in {c.origin for c in chosen}
    pairs = make_pairs(drawn, PairsSection(margin_nats=0.01))
    assert YARDSTICK not in {c.origin for pair in pairs for c in pair}


class PrefersLong:
    """A scorer for which the longest text tells the source best from its versions."""

    def score(self, prefixes, continuations):
        return np.array([[0.1 * len(c), *[0.0] * (len(prefixes) - 1)] for c in continuations])


def test_a_text_above_the_limit_is_scored_and_never_chosen(tiny_dir, lm, tmp_path):
    """BM25's sentence is the best of all, and longer than a text may be."""
    limit = 40
    made = recipe(tiny_dir, sources=["bm25", "clauses", "windows"], keep=None, shorten_rounds=1, yardstick=True)
    made.sampling.max_completion_tokens, made.reward.price = limit, 0.0
    prepared = prepare(made, limit)
    settings, reward = settings_of(made, made.sampling, prepared), build_reward(made, prepared, PrefersLong())
    file, proposer = CandidateFile(tmp_path, settings), proposer_of(made.sampling, prepared)
    drawn = sample_candidates(file, 1, "base", lm, reward, range(PROBLEMS), made, proposer, quiet=True)
    groups = [[c for c in drawn if c.scored.problem == problem] for problem in prepared.problems]
    for group in groups:
        best, second = sorted(group, key=lambda c: -c.scored.reward)[:2]
        assert (best.origin, best.too_long) == ("bm25", True)
        assert second.scored.compression.rate_tokens <= limit
        [yardstick] = [c for c in group if c.origin == YARDSTICK]
        assert yardstick.scored.compression.rate_tokens <= second.scored.compression.rate_tokens
        assert any(c.origin == SHORTENED for c in group), "the search is for the best that may be chosen"
    of_another_run = load_candidates([tmp_path], settings, prepared.problems, reward.price)
    for candidates in (drawn, of_another_run):
        assert {c.origin for c in candidates if c.scored.compression.rate_tokens > limit} == {"bm25"}
        chosen = [*keep_best(candidates, made.selection), *sum(make_pairs(candidates, PairsSection(margin_nats=0.01)), ())]
        assert len(chosen) > PROBLEMS
        assert max(c.scored.compression.rate_tokens for c in chosen) <= limit


def test_a_problem_whose_only_text_is_above_the_limit_has_none(tiny_dir, lm, tmp_path, caplog):
    made = recipe(tiny_dir, sources=["bm25"], shorten_rounds=0)
    made.sampling.max_completion_tokens = 20
    assert all(c.too_long for c in draw(tmp_path, made, lm))
    assert "3 of 3 problems have no proposal within sampling.max_completion_tokens = 20" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.9])
def test_killed_at_any_byte_it_has_the_same_groups(share, tiny_dir, lm, tmp_path):
    made = recipe(tiny_dir, samples=2, keep=2, shorten_rounds=1)
    draw(tmp_path / "whole", made, lm)
    killed = tmp_path / "killed"
    killed.mkdir()
    lines = (tmp_path / "whole" / "candidates.jsonl").read_bytes()
    (killed / "candidates.jsonl").write_bytes(lines[: int(share * len(lines))])
    (killed / "candidates.json").write_bytes((tmp_path / "whole" / "candidates.json").read_bytes())
    draw(killed, made, lm)
    got, expected = (sorted(read_jsonl(d / "candidates.jsonl"), key=str) for d in (killed, tmp_path / "whole"))
    assert [(row["text"], row.get("origin")) for row in got] == [(row["text"], row.get("origin")) for row in expected]


def test_a_row_keeps_its_origin(tiny_dir, lm, tmp_path):
    made = recipe(tiny_dir, keep=2)
    prepared = prepare(made, LONGEST)
    drawn = draw(tmp_path, made, lm, prepared)
    price = build_reward(made, prepared).price
    problems = {p.id: p for p in prepared.problems}
    rows = read_jsonl(tmp_path / "candidates.jsonl")
    back = [candidate_of(row, problems[row["problem_id"]], price) for row in rows]
    assert sorted(c.origin for c in back) == sorted(c.origin for c in drawn)
    assert sum(c.scored.reward for c in back) == pytest.approx(sum(c.scored.reward for c in drawn), abs=1e-6)


def test_what_other_runs_wrote_is_scored_as_well(tiny_dir, lm, tmp_path):
    plain = recipe(tiny_dir, keep=2)
    prepared = prepare(plain, LONGEST)
    first = prepared.problems[0]
    record = {
        "key": "k", "kind": "compression", "status": "ok", "compressor": {"label": "big"}, "data": {"name": "records"},
        "problem_id": first.id, "document_id": first.document_id, "query": first.query, "text": "what another model said",
    }  # fmt: skip
    other = tmp_path / "other"
    other.mkdir()
    (other / "records.jsonl").write_text(json.dumps(record) + "\n")
    drawn = draw(tmp_path / "run", recipe(tiny_dir, keep=2, given=[str(other)]), lm)
    assert [c.scored.compression.text for c in drawn if c.origin == "given"] == ["what another model said"]

    anew = [record, {**record, "text": "what it said when it was asked anew"}]  # of one key the last line counts
    (other / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in anew))
    proposer = proposer_of(recipe(tiny_dir, keep=2, given=[str(other)]).sampling, prepared)
    assert proposer.given == {(first.id, first.query): ["what it said when it was asked anew"]}

    (other / "records.jsonl").write_text(json.dumps({**record, "problem_id": "nobody"}) + "\n")
    with pytest.raises(InputError) as raised:
        proposer_of(recipe(tiny_dir, given=[str(other), str(tmp_path / "nothing")]).sampling, prepared)
    [nothing_on_them, no_records] = raised.value.problems
    assert "no text on any of the 3 problems" in nothing_on_them
    assert "holds no records.jsonl" in no_records


def test_a_text_of_several_origins_is_scored_once_under_the_first(tiny_dir, lm):
    """Of the policy, of BM25, given twice and a piece of the document: each text once, in that order of origins."""
    made = recipe(tiny_dir, sources=["bm25", "windows"], keep=None, shorten_rounds=0)
    prepared = prepare(made, LONGEST)
    reward, end = build_reward(made, prepared, Scorer(lm.model)), end_of_turn_id(lm.tokenizer)
    problem = prepared.problems[0]
    [bm25, *windows] = [p.text for p in propose(problem, prepared.negatives[0], ["bm25", "windows"])]
    own, piece = [text for text in windows if len(text_ids(lm.tokenizer, text)) <= LONGEST][:2]
    sample = Compression(problem.id, own, tuple(text_ids(lm.tokenizer, own)), "stop", stop_id=end)
    proposer = proposer_of(made.sampling, prepared)
    proposer.given = {(problem.id, problem.query): ["said elsewhere", own, bm25, piece, "said elsewhere", piece]}
    scored = [(origin, s.compression.text) for origin, s in proposer.score(reward, 0, [(POLICY, sample)])]
    assert [entry for entry in scored if entry[1] in ("said elsewhere", own, bm25, piece)] == [
        (POLICY, own), ("bm25", bm25), ("given", "said elsewhere"), ("given", piece),
    ]  # fmt: skip
    assert len({text for _, text in scored}) == len(scored)


def test_a_source_that_yields_nothing_is_refused(tiny_dir, monkeypatch):
    from infoagent.proposals import sources

    monkeypatch.setitem(sources.SOURCES, "silent", sources.Source("silent", lambda *_: iter(()), "nothing"))
    made = recipe(tiny_dir, sources=["windows", "silent"])
    with pytest.raises(InputError, match="'silent' yields no text for any of the first 3 problems; leave it out"):
        proposer_of(made.sampling, prepare(made, LONGEST))


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({"samples": 1}, "without proposals at least 2"),
        ({"samples": 0, "proposals": {"sources": ["clouds"]}}, "'clouds': no source; allowed: bm25, sentences, clauses, windows"),
        ({"samples": 0, "proposals": {"sources": []}}, "empty, and nothing is given"),
    ],
)
def test_recipes_that_ask_for_nothing_are_refused(sampling, said):
    with pytest.raises(ValueError, match=said):
        SFTRecipe.model_validate({"output_dir": "x", "sampling": sampling})
