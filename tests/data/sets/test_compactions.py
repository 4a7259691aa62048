"""What a compaction must keep: documents that grow, counterfactual histories by hand, weights by type, whole histories only."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.data.counterfactual.documents import Lexicon, span_pattern
from infoagent.data.fact_types import FACT_TYPES, WEIGHTS, type_of, weighted_facts
from infoagent.data.passages import split_of
from infoagent.data.registry import load_data
from infoagent.data.sets.compactions import VERSIONS
from infoagent.data.sets.compactions import versions as counterfactuals
from infoagent.recipes import GRPORecipe
from infoagent.types import InputError

SHAPE = {"every": 2, "compactions": 3}


def seeded(**more):
    return load_data("record-histories", split="train", **{**SHAPE, "limit": 9, **more})


def by_history(data):
    found = {}
    for problem in data.problems:
        found.setdefault(problem.part_of, []).append(problem)
    return found


def write(path, talks):
    rows = []
    for name, turns in talks.items():
        messages = [{"role": role, "content": text} for turn in turns for role, text in (("user", turn), ("assistant", "Noted."))]
        rows.append(json.dumps({"id": name, "messages": messages}) + "\n")
    path.write_text("".join(rows))
    return str(path)


@pytest.fixture
def talks(tmp_path):
    told = {f"t{n}": [f"Order ORD-{n}{t}17 weighs {3 * n + t + 2} kg and goes to Lund." for t in range(6)] for n in range(30)}
    return write(tmp_path / "talks.jsonl", told | {"short": ["Order ORD-1 is lost."]})


def test_a_document_is_all_that_was_said_and_ends_with_what_is_new():
    data = seeded()
    assert len(data.problems) == 9
    for rounds in by_history(data).values():
        assert len(rounds) == 3
        before = ""
        for problem in rounds:
            assert problem.document == (f"{before}\n\n{problem.news}" if before else problem.news)
            assert problem.news.count("Assistant: Noted.") == 2
            before = problem.document


def test_a_counterfactual_history_differs_in_one_fact_wherever_it_stands_and_each_in_another():
    for problem in seeded().problems:
        assert len(problem.negatives) == VERSIONS
        olds = []
        for negative in problem.negatives:
            [change] = negative.changes
            olds.append(change.old)
            assert span_pattern(change.old).search(problem.document)
            assert not span_pattern(change.old).search(negative.document)
            assert negative.document.count(change.new) >= change.mentions >= 1
        assert len(set(olds)) == VERSIONS
        assert len({n.document for n in problem.negatives} | {problem.document}) == VERSIONS + 1


def test_a_fact_that_returns_changes_in_every_turn():
    document = "User: Lot 4711 is here.\n\nUser: Is lot 4711 paid? It weighs 12 kg."
    lexicon = Lexicon.from_problems(seeded().problems)
    made = {
        n.changes[0].old: n.document
        for n in counterfactuals(document, lexicon, dict.fromkeys(FACT_TYPES, 1.0), np.random.default_rng(0))
    }
    assert made["4711"].count("4711") == 0
    assert "12 kg" in made["4711"]
    assert made["12 kg"].count("4711") == 2


def test_facts_of_all_turns_are_drawn_alike():
    """Of the last document every turn's facts are drawn as often as they are there: three turns of six hold half of them."""
    drawn, there = Counter(), Counter()
    for problem in seeded(limit=3 * 60).problems:
        turns = problem.document.split("\n\nUser: ")
        if len(turns) != 6:
            continue
        first = {text for text in problem.document.split("\n\nUser: ")[:3]}
        for negative in problem.negatives:
            old = negative.changes[0].old
            drawn[any(span_pattern(old).search(text) for text in first)] += 1
        for span, _ in weighted_facts(problem.document, WEIGHTS):
            there[any(span_pattern(span.text).search(text) for text in first)] += 1
    share, expected = drawn[True] / drawn.total(), there[True] / there.total()
    assert abs(share - expected) < 0.1


@pytest.mark.parametrize("group", ["numbers", "dates", "names"])
def test_weights_say_which_types_are_asked_for(group):
    weights = dict.fromkeys(FACT_TYPES, 0.0) | {group: 2.0}
    kinds = {change.kind for problem in seeded(facts=weights).problems for n in problem.negatives for change in n.changes}
    assert kinds
    assert kinds <= set(FACT_TYPES[group])


def test_rules_and_identifiers_are_facts_where_they_have_a_weight():
    text = "User: You must not deploy build ORD-417 before noon.\nAssistant: I never will."
    found = {span.text for span, _ in weighted_facts(text, dict.fromkeys(FACT_TYPES, 1.0))}
    assert {"must not", "ORD-417", "noon", "never"} <= found
    rules = dict.fromkeys(FACT_TYPES, 0.0) | {"rules": 1.0}
    assert {span.text for span, _ in weighted_facts(text, rules)} == {"must not", "never", "before"}


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        ("40 mg", "numbers"), ("$6,550 thousand", "numbers"), ("4 December 2026", "dates"), ("1959", "dates"), ("Karsten Sons", "names"),
        ("ORD-417", "identifiers"), ("must not", "rules"), ("tea", "other"), ("", "other"),
    ],
)  # fmt: skip
def test_a_fact_has_the_type_of_its_longest_span(fact, wanted):
    assert type_of(fact) == wanted


@given(st.text(max_size=300))
def test_any_text_has_facts_that_stand_in_it(text):
    for span, weight in weighted_facts(text, dict.fromkeys(FACT_TYPES, 1.0)):
        assert text[span.start : span.end] == span.text
        assert weight == 1.0


def test_the_same_seed_draws_the_same_and_a_smaller_limit_a_part():
    whole = seeded()
    assert seeded().problems == whole.problems
    assert seeded(limit=7).problems == whole.problems[:6], "whole histories only"
    assert seeded(limit=1).problems == whole.problems[:3], "one history at least"
    assert seeded(seed=1).problems[0].document != whole.problems[0].document
    assert not {p.document for p in load_data("record-histories", split="test", **SHAPE, limit=9).problems} & {
        p.document for p in whole.problems
    }


def test_own_conversations_are_split_whole_and_what_is_short_is_counted(talks):
    parts = {split: load_data("histories", talks, split, **SHAPE) for split in ("train", "validation", "test", "all")}
    names = {split: set(by_history(data)) for split, data in parts.items()}
    assert names["train"] | names["validation"] | names["test"] == names["all"] == {f"t{n}" for n in range(30)}
    assert not names["train"] & names["test"]
    assert parts["all"].left_out == {"conversation of fewer than 6 turns": 1}
    kinds = Counter(n.changes[0].kind for problem in parts["all"].problems for n in problem.negatives)
    assert min(kinds["code"], kinds["quantity"]) > 0, kinds


def test_one_conversation_under_two_ids_or_at_two_lengths_is_of_one_split(talks, tmp_path):
    told = {f"t{n}": [f"Order ORD-{n}{t}17 weighs {3 * n + t + 2} kg and goes to Lund." for t in range(6)] for n in range(30)}
    alike = {f"copy{n}": [turn.upper() for turn in turns] for n, turns in enumerate(told.values())}
    longer = {f"longer{n}": [*turns, "That was all."] for n, turns in enumerate(told.values())}
    path = write(tmp_path / "alike.jsonl", told | alike | longer)
    parts = {split: load_data("histories", path, split, **SHAPE) for split in ("train", "validation", "test")}
    texts = {split: {p.document.casefold() for p in data.problems} for split, data in parts.items()}
    assert all(texts.values())
    assert len(set.union(*texts.values())) == sum(map(len, texts.values()))
    assert sum(len(by_history(data)) for data in parts.values()) == 90
    # where none is alike, the splits are those of the ids
    by_id = split_of({name: 1 for name in [*told, "short"]})
    for split in parts:
        found = set(by_history(load_data("histories", talks, split, **SHAPE)))
        assert found == {name for name in told if by_id[name] == split}


def test_one_conversation_under_several_ids_is_one_document(tmp_path):
    told = {f"t{n}": [f"Order ORD-{n}{t}17 weighs {3 * n + t + 2} kg and goes to Lund." for t in range(6)] for n in range(3)}
    again = {f"u{n}": [f" {turn} " for turn in turns] for n, turns in enumerate(told.values())}
    problems = load_data("histories", write(tmp_path / "twice.jsonl", told | again), "all", **SHAPE).problems
    assert {p.document_id for p in problems} == set(told)
    assert {p.part_of for p in problems} == {*told, *again}


def test_mistakes_are_a_line_each(talks, tmp_path):
    with pytest.raises(InputError, match="none of the 31 conversations of split 'all' has the 40 turns"):
        load_data("histories", talks, "all", every=8)
    with pytest.raises(InputError, match=r"data\.every: is for data\.name=record-histories, histories; drop it"):
        load_data("records", every=3)
    plain = write(tmp_path / "plain.jsonl", {f"p{n}": ["so it goes"] * 6 for n in range(3)})
    with pytest.raises(InputError, match="no history of 3 states a fact of the types numbers, dates, names, identifiers"):
        load_data("histories", plain, "all", **SHAPE)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("{amounts: 1}", "amounts: no type of fact; allowed: numbers"),
        ("{numbers: 0, dates: 0, names: 0, identifiers: 0}", "every type has the weight 0"),
    ],
)
def test_weights_that_ask_for_nothing_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        load_recipe(GRPORecipe, "configs/train/compaction.yaml", [f"data.facts={weights}"])
