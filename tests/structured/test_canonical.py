"""One spelling for each JSON value: what is the same stays the same, what differs stays apart."""

import json
import random
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.structured import NotJson, canonical, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), st.decimals(-1000, 1000, places=6)
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


def spelled(value, rng):
    """The same value in another spelling: keys shuffled, white space strewn, escapes and numbers written otherwise."""
    gap = rng.choice(["", " ", "\n\t", "  "])
    if isinstance(value, dict):
        keys = rng.sample(list(value), len(value))
        inner = f"{gap},{gap}".join(f"{spelled(k, rng)}{gap}:{gap}{spelled(value[k], rng)}" for k in keys)
        return f"{gap}{{{gap}{inner}{gap}}}{gap}"
    if isinstance(value, list):
        return f"[{gap}" + f",{gap}".join(spelled(item, rng) for item in value) + f"{gap}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        shift = rng.randrange(-3, 4)
        moved = Context(prec=400).scaleb(Decimal(value), shift)  # exact: the exponent alone moves
        return rng.choice([f"{format(moved, 'f')}{rng.choice('eE')}{-shift}", format(Decimal(value), "f")])
    return json.dumps(value)


@given(VALUES)
def test_parsing_what_was_written_gives_the_value_back_and_the_text_again(value):
    text = canonical(value)
    assert canonical(parse(text)) == text
    assert parse(text) == exact(value)
    as_doubles = {"parse_int": float, "parse_float": float}  # another reader, and what it makes of Python's own writer
    assert json.loads(text, **as_doubles) == json.loads(json.dumps(value, default=float), **as_doubles)


def exact(value):
    if isinstance(value, dict):
        return {k: exact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [exact(v) for v in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


@given(VALUES, st.integers(0, 2**32))
def test_neither_key_order_nor_white_space_nor_the_spelling_of_numbers_changes_it(value, seed):
    value = parse(canonical(value))
    assert canonical(parse(spelled(value, random.Random(seed)))) == canonical(value)


@given(VALUES, VALUES)
def test_different_values_have_different_texts(first, second):
    # bool is a number in Python and none in JSON: types are compared as JSON has them
    first, second = parse(canonical(first)), parse(canonical(second))
    typed = json.dumps(first, default=str, sort_keys=True) == json.dumps(second, default=str, sort_keys=True)
    assert (canonical(first) == canonical(second)) == (first == second and typed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1.50, "a": [1e2, -0.0, 0.10]}', '{"a":[100,0,0.1],"b":1.5}'),
        ('{"é": "\\u00e9\\/"}', '{"é":"é/"}'),
        (' {"a" : {"z":null,"y":true} } ', '{"a":{"y":true,"z":null}}'),
        ("12345678901234567890123", "12345678901234567890123"),  # a double would lose its end
        ("1e-7", "0.0000001"),
    ],
)
def test_by_hand(text, expected):
    assert canonical(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": 1,}', "{'a': 1}", '{"a": 1, "a": 1}', "NaN", '{"a": 1e999999999999999999999}', "9" * 5000, "1e-99999",
     '"\\ud800"', '"a\nb"', "[" * 100_000, "{} {}"],
)  # fmt: skip
def test_what_is_no_json_or_means_two_things_is_refused(text):
    with pytest.raises(NotJson):
        parse(text)
