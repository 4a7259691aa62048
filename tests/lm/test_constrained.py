"""Constrained drawing from a random model, which by itself never writes JSON."""

import json

import pytest
from tiny import tiny_model, tiny_tokenizer

from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import chat_ids
from infoagent.lm.reference import ModelReference
from infoagent.structured import Unfit, schema_form
from infoagent.types import InputError

pytest.importorskip("llguidance")
from infoagent.lm.constrained import check_constrained

FORM = schema_form(
    {
        "type": "object", "additionalProperties": False, "required": ["unit", "value", "tags"],
        "properties": {
            "value": {"type": "integer", "minimum": 0, "maximum": 99}, "unit": {"enum": ["kg", "m"]},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        },
    },
    "amount",
)  # fmt: skip


@pytest.fixture(scope="module")
def lm():
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    return LoadedModel(ModelReference("tiny", "tiny", "r"), tiny_model(len(tokenizer)), tokenizer, "float32")


def draw(lm, seed, max_tokens=60, **more):
    prompts = [chat_ids(lm.tokenizer, [{"role": "user", "content": text}]) for text in ("a", "longer than a", "bc")]
    return generate(lm, prompts, ["1", "2", "3"], max_tokens, 1.0, seed, **more)


def test_every_draw_fits_the_schema_and_ends_by_itself(lm):
    drawn = [z for seed in range(5) for z in draw(lm, seed, schema=FORM.schema)]
    values = [json.loads(FORM.read(z.text)) for z in drawn]
    assert {z.finish for z in drawn} == {"stop"}
    assert {v["unit"] for v in values} == {"kg", "m"}
    assert len({v["value"] for v in values}) > 5  # drawn, not forced
    # without white space and with sorted keys it is canonical as it is written, but for escapes
    assert sum(FORM.read(z.text) == z.text for z in drawn) >= len(drawn) - 2


def test_without_the_constraint_it_writes_none_and_with_it_a_cut_is_a_cut(lm):
    for z in draw(lm, 0):
        with pytest.raises(Unfit):
            FORM.read(z.text)
    [first, *_] = draw(lm, 0, max_tokens=12, schema=FORM.schema)
    assert first.finish == "length"
    with pytest.raises(Unfit):
        FORM.read(first.text)


def test_the_same_seed_draws_the_same(lm):
    assert [z.text for z in draw(lm, 3, schema=FORM.schema)] == [z.text for z in draw(lm, 3, schema=FORM.schema)]


def test_a_schema_without_a_grammar_is_refused():
    impossible = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y\\1"}}}
    with pytest.raises(InputError, match="no grammar for this schema"):
        check_constrained(impossible)
    check_constrained(FORM.schema)


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'infoagent\[structured\]'"):
        check_constrained(FORM.schema)
