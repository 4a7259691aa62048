"""When two texts are one document, and that no document stands in two splits or under two ids."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.identity import text_identity, with_shared_ids
from infoagent.data.registry import load_data
from infoagent.data.splits import splits_of, splits_of_parts
from infoagent.types import Problem

SPACES = st.text(" \t\n\r\u00a0\u2003\u3000", min_size=1, max_size=3)
WORDS = st.lists(st.text(st.characters(categories=("L", "N", "M")), min_size=1, max_size=6), min_size=1, max_size=8)


@given(WORDS, st.lists(SPACES, min_size=9, max_size=9), st.sampled_from(["NFC", "NFD"]))
@settings(max_examples=200, deadline=None)
def test_white_space_and_unicode_form_make_no_other_document(words, spaces, form):
    plain = " ".join(words)
    other = spaces[8] + "".join(word + spaces[i] for i, word in enumerate(words))
    assert text_identity(unicodedata.normalize(form, other)) == text_identity(plain)


@given(WORDS, st.integers(0, 7), st.sampled_from("abcxyz0123456789"))
def test_another_letter_or_digit_makes_another_document(words, place, more):
    changed = list(words)
    changed[place % len(words)] += more
    assert text_identity(" ".join(changed)) != text_identity(" ".join(words))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("caf\u00e9", "cafe\u0301", True),
        ("東京は\n首都", "東京は首都", True),
        ("two words", "twowords", False),
        ("\ufeffa text", "a text", True),
        ("THE END", "the end", True),
        ("10\u00b2 m", "102 m", False),  # NFKC would make them equal
        ("\u00bd cup", "1/2 cup", False),
        ("\u2163", "IV", False),
    ],
)
def test_what_is_one_document(one, other, same):
    assert (text_identity(one) == text_identity(other)) is same


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=60))
@settings(deadline=None)
def test_no_document_stands_in_two_splits(pairs):
    texts = [f"text {text}" + " \n" * (group % 2) for text, group in pairs]
    groups = [f"group {group}" for _, group in pairs]
    splits = splits_of(texts, groups)
    home: dict[int, str] = {}
    for (text, _), split in zip(pairs, splits, strict=True):
        assert home.setdefault(text, split) == split
    alone = {g for g in groups if all(len({h for u, h in pairs if u == t}) == 1 for t, o in pairs if f"group {o}" == g)}
    for group in alone:  # a group that shares no text stays together
        assert len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1


def test_a_part_of_several_splits_stays_in_the_first():
    assert splits_of_parts(["a", "b", "a ", "c"], ["test", "test", "train", "validation"]) == [
        "train",
        "test",
        "train",
        "validation",
    ]


def test_texts_with_two_groups_stand_in_one_split_of_a_users_file(tmp_path):
    """Every text is asked two kinds of question, and the group is the kind: by group alone a split would hold all texts."""
    rows = [
        {"id": f"{i}-{kind}", "document": f"The pump {i} weighs {i} kg.{end}", "query": "?", "group": kind}
        for i in range(40)
        for kind, end in (("weights", ""), ("names", " \n"))
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = {split: load_data("jsonl", str(path), split).problems for split in ("train", "validation", "test")}
    documents = {split: {p.document.strip() for p in problems} for split, problems in sets.items()}
    assert not documents["train"] & documents["test"]
    assert not documents["train"] & documents["validation"]
    assert sum(map(len, sets.values())) == 80
    assert len(documents["train"]) > len(documents["test"]) > 0


def test_twins_share_an_id_so_that_intervals_count_them_once(tmp_path):
    texts = ["The same text.", "The  same text.\n", "Another text."]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "document": t, "query": "?"}) + "\n" for i, t in enumerate(texts)))
    data = load_data("jsonl", str(path), "all")
    assert len(data.documents) == 2
    assert data.problems[0].document_id == data.problems[1].document_id
    assert [p.document for p in data.problems] == texts


def test_an_id_of_several_texts_takes_them_along():
    ids = ["b", "b", "a", "c"]
    problems = [Problem(str(i), text, "?", ids[i]) for i, text in enumerate(["one", "two", "two ", "three"])]
    assert [p.document_id for p in with_shared_ids(problems)] == ["a", "a", "a", "c"]
