"""Proposals: pieces that language allows, facts whole or not at all, and a critic that is the mathematics it says."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.data.negative_kinds import Counts
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.grading import states_fact
from infoagent.proposals import sources
from infoagent.proposals.critic import LEAST_NATS, UnigramCritic, best_by_length, most_telling
from infoagent.proposals.pieces import changed_places, closes_brackets, fact_places, gathered, telling_sentences, trimmed
from infoagent.proposals.shortening import shortenings
from infoagent.proposals.sources import SOURCES, Source, propose
from infoagent.types import Change, Negative, Problem

DOCUMENT = (
    "The lighthouse (built of granite) was finished in 1874, after nine years of work. Its keeper, Anna Berg, lived there with "
    "two dogs. Visitors come by boat."
)
PROBLEM = Problem("p", DOCUMENT, "When was the lighthouse finished?", "d", answer="1874")


def version(new, old="1874"):
    return Negative("counterfactual", DOCUMENT.replace(old, new), (Change("year", old, new, 1),))


NEGATIVES = [version("1902"), version("1851"), version("1799")]
texts = st.text(st.sampled_from("ab c1,.;()[]\"'—“” 東京でした。قال हिन्दी\n"), max_size=60)


def test_the_versions_say_where_the_asked_fact_stands():
    assert [DOCUMENT[a:b] for a, b in changed_places(PROBLEM, NEGATIVES)] == ["1874"]
    assert changed_places(PROBLEM, [Negative("random", "Something else.")]) == []
    assert DOCUMENT[slice(*telling_sentences(PROBLEM, NEGATIVES)[0])].startswith("The lighthouse")


def test_no_answer_is_looked_at():
    blind = replace(PROBLEM, answer=None)
    assert propose(PROBLEM, NEGATIVES, list(SOURCES)) == propose(blind, NEGATIVES, list(SOURCES))


def test_windows_end_behind_facts_and_clauses():
    found = {p.text for p in propose(PROBLEM, NEGATIVES, ["windows"])}
    assert {"finished in 1874", "1874", "The lighthouse (built of granite) was finished in 1874"} <= found
    assert not any(text.endswith(("finished", " in", "was")) for text in found)
    assert "(built" not in " ".join(t for t in found if "granite)" not in t), "an open bracket"


@given(texts, texts, st.lists(texts, max_size=3))
def test_every_proposal_is_a_piece_of_the_document(document, query, versions):
    problem = Problem("p", document, query, "d")
    negatives = [Negative("counterfactual", v) for v in versions]
    facts = fact_places(problem, negatives)
    for proposal in propose(problem, negatives, [name for name in SOURCES if name != "gathered"]):
        assert proposal.text in document
        assert proposal.text.strip() == proposal.text != ""
        if proposal.origin in ("clauses", "windows"):
            assert closes_brackets(proposal.text)
            places = [i for i in range(len(document)) if document.startswith(proposal.text, i)]
            assert any(not any(a < s < b or a < s + len(proposal.text) < b for a, b in facts) for s in places)


@given(texts, texts, st.lists(texts, max_size=3), st.sampled_from([None, 2, 4]))
def test_what_is_gathered_holds_every_changed_fact_in_order(document, query, versions, words_before):
    problem = Problem("p", document, query, "d")
    negatives = [Negative("counterfactual", v) for v in versions]
    places = gathered(problem, negatives, words_before)
    assert places == sorted(places)
    assert all(before <= start for (_, before), (start, _) in itertools.pairwise(places)), "two places overlap"
    for start, end in changed_places(problem, negatives):
        start, end = trimmed(document, (start, end))
        assert start >= end or any(a <= start and end <= b for a, b in places)
    facts = [place for place in fact_places(problem, negatives) if trimmed(document, place) == place]
    assert not any(a < s < b or a < e < b for a, b in facts for s, e in places), "a fact is cut"


def test_facts_are_gathered_with_the_words_before_them():
    document = "User: The ship (grain) left on 3 May. It has 22 plants.\nAssistant: Noted.\n\nUser: Anna Berg paid 40 euros to him."
    versions = [("3 May", "9 June"), ("22", "31"), ("40 euros", "70 euros"), ("grain", "salt")]
    negatives = [Negative("counterfactual", document.replace(*change), ()) for change in versions]
    whole, four, two = (p.text for p in propose(Problem("p", document, "?", "d"), negatives, ["gathered"]))
    assert whole == "User: The ship (grain) left on 3 May. It has 22 plants. User: Anna Berg paid 40 euros to him."
    assert four == "User: The ship (grain) left on 3 May; It has 22 plants; User: Anna Berg paid 40 euros"
    assert two == "User: The ship (grain) left on 3 May; It has 22 plants; Anna Berg paid 40 euros"
    assert propose(Problem("p", document, "?", "d"), negatives[:1], ["gathered"]) == []


@given(texts)
def test_shortenings_are_shorter_subsequences(text):
    found = shortenings(text)
    assert len(found) == len(set(found))
    for shorter in found:
        assert len(shorter) < len(text)
        rest = iter(text)
        assert all(sign in rest for sign in shorter), "no subsequence"


def test_shortenings_drop_brackets_appositions_and_words():
    found = shortenings("The keeper, Anna Berg, lived there (in 1874) alone")
    assert "The keeper, Anna Berg, lived there alone" in found
    assert "The keeper, lived there (in 1874) alone" in found
    assert "The keeper, Anna Berg, lived there (in 1874)" in found
    assert "The Anna Berg, lived there (in 1874) alone" in found


def test_the_critic_is_its_formula():
    documents, text = ["a b b c", "a b d c", "e e"], "b B x"
    different, alpha = 5, 0.5
    log_probs = []
    for document in documents:
        words = document.split()
        log_probs.append(sum(math.log((words.count(w) + alpha) / (len(words) + alpha * different)) for w in ("b", "b", "x")))
    expected = math.log(3) + log_probs[0] - np.logaddexp.reduce(log_probs)
    critic = UnigramCritic(documents, "b y?")
    assert critic.mi_nats(text) == pytest.approx(expected)
    assert critic.worth_nats(text, 0.1) == pytest.approx(expected + 0.5 * 0.5 - 0.3)


def test_the_critic_keeps_what_holds_the_changed_word():
    critic = UnigramCritic([DOCUMENT, *(n.document for n in NEGATIVES)], PROBLEM.query)
    candidates = ["Visitors come by boat", "finished in 1874", "Anna Berg", "The lighthouse was finished in 1874"]
    assert sorted(most_telling(candidates, critic, 0.02, 4)) == [1, 3]
    assert critic.mi_nats("Visitors come by boat") < LEAST_NATS
    assert sorted(most_telling(candidates[::2], critic, 0.02, 1)) != [], "where none tells anything, some are read all the same"


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(-5, 5)), max_size=30), st.integers(1, 12))
def test_the_best_of_each_length_are_kept(drawn, keep):
    candidates = [" ".join(["w"] * words) + f" x{i}" for i, (words, _) in enumerate(drawn)]
    worth = [value for _, value in drawn]
    kept = best_by_length(candidates, worth, keep)
    assert len(kept) == len(set(kept)) == min(keep, len(drawn))
    if kept:
        assert max(worth) in [worth[i] for i in kept] or keep < len({math.ceil(math.log2(2 + words)) for words, _ in drawn})


def test_the_fact_is_nearly_always_among_them():
    data = load_data(name="records", split="validation", limit=60, min_words=80, max_words=100)
    drawn = take_negatives(data.problems, Counts(counterfactual=3, missing="leave_out"), 0, quiet=True)
    stated = 0
    for problem, negatives in zip(drawn.problems, drawn.negatives, strict=True):
        found = [p.text for p in propose(problem, negatives, ["windows", "clauses"])]
        critic = UnigramCritic([problem.document, *(n.document for n in negatives)], problem.query)
        kept = [found[i] for i in most_telling(found, critic, 0.02, 6)]
        stated += any(all(states_fact(text, fact) for fact in problem.facts) for text in kept)
    assert stated >= 0.95 * len(drawn.problems)


def test_a_row_is_all_that_a_new_source_needs(monkeypatch):
    from infoagent.recipes import SFTRecipe

    row = Source("first-word", lambda problem, negatives: iter([problem.document.split()[0]]), "the first word")
    monkeypatch.setitem(sources.SOURCES, row.name, row)
    assert [p.text for p in propose(PROBLEM, NEGATIVES, [row.name])] == ["The"]
    recipe = SFTRecipe.model_validate({"output_dir": "x", "sampling": {"samples": 0, "proposals": {"sources": [row.name]}}})
    assert recipe.sampling.proposals.sources == [row.name]


QUOTED = ["“{}”", "„{}“", "„{}”", "«{}»", "« {} »", "»{}«", "”{}”", "({})", "[{}]"]


@given(st.lists(st.sampled_from(QUOTED), min_size=1, max_size=3), st.sampled_from(["er sagte", "a, b", "x (y) z"]))
def test_quotation_marks_of_any_language_close(forms, words):
    text = words
    for form in forms:
        text = f"so {form.format(text)} da"
    assert closes_brackets(text)


@given(st.sampled_from(QUOTED), st.sampled_from(["er sagte", "a, b"]))
def test_half_a_quotation_stays_open(form, words):
    before, after = form.split("{}")
    assert not closes_brackets(f"so {before}{words}")
    assert not closes_brackets(f"{words}{after} so")
    assert not closes_brackets(f"{words}{after} so {before}{words}")
