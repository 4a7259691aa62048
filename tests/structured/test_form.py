"""Forms: schemas and signatures that are none, and what replies say under those that are."""

import inspect
import json
from datetime import date
from typing import Literal

import pytest
from pydantic import create_model

from infoagent.structured import Unfit, load_form, schema_form, signature_form
from infoagent.types import InputError

FACT = {
    "type": "object", "additionalProperties": False, "required": ["value", "about"],
    "properties": {"value": {"type": "string"}, "about": {"type": "string"}, "year": {"type": "integer"}},
}  # fmt: skip


@pytest.fixture
def form():
    return schema_form(FACT, "fact")


@pytest.mark.parametrize(
    "reply",
    [
        '{"value": "12 kg", "about": "MS Sirius", "year": 2025}',
        '{"year": 2025.0, "about": "MS Sirius",\n  "value": "12 kg"}',
        'Here it is:\n```json\n{"about": "MS Sirius", "value": "12 kg", "year": 2.025e3}\n```\nI hope this helps.',
        'As in [1] and [the rest: {"about": "MS Sirius", "value": "12 kg", "year": 2025}',
    ],
)
def test_one_z_whatever_the_order_the_spelling_and_the_words_around(form, reply):
    assert form.read(reply) == '{"about":"MS Sirius","value":"12 kg","year":2025}'


@pytest.mark.parametrize(
    ("reply", "cause", "words"),
    [
        ("", "no JSON", "empty reply"),
        ("It weighs 12 kg.", "no JSON", "It weighs"),
        ('{"about": "MS Sir', "broken JSON", "Unterminated"),
        ("{'about': 'x', 'value': 'y'}", "broken JSON", "double quotes"),
        ('{"about": "x", "about": "y", "value": "z"}', "broken JSON", "stands twice"),
        ('{"about": "x", "value": "y"} or {"about": "z", "value": "y"}', "two objects", "more than one"),
        ('{"about": "x"}', "off the schema", "'value' is a required property"),
        ('{"about": "x", "value": 3, "year": "2025", "more": 1}', "off the schema", "year: '2025' is not of type 'integer'"),
        ("{}", "off the schema", "required"),
        ('[{"about": "x", "value": "y"}]', "no object", "a list"),
        ('As in [1], all of it:\n```json\n[[2], {"about": "x", "value": "y"}]\n```', "no object", "a list"),
    ],
)
def test_what_does_not_fit_has_a_reason_and_no_z(form, reply, cause, words):
    with pytest.raises(Unfit) as caught:
        form.read(reply)
    assert caught.value.cause == cause
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_order_of_a_schemas_keys_changes_nothing_of_the_form(form):
    turned = {k: FACT[k] for k in reversed(FACT)} | {"properties": dict(reversed(FACT["properties"].items()))}
    assert list(turned["properties"]) != list(FACT["properties"])
    other = schema_form(turned, "fact")
    assert other.request == form.request
    assert json.dumps(other.identity) == json.dumps(form.identity)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"name": "string", "age": "integer"}, ["type = None: must be object"]),
        ({"type": "objct"}, ["type: 'objct'", "allowed: array, boolean"]),
        ({"type": "array", "items": {}}, ["must be object"]),
        ({"type": "object"}, ["properties: must name at least one"]),
        ({**FACT, "required": ["weight"]}, ["'weight' is no property"]),
        ({**FACT, "properties": {"a": {"$ref": "https://example.org/a.json"}}, "required": []}, ["leads nowhere"]),
        ({**FACT, "properties": {"a": {"$ref": "#/$defs/b"}}, "required": []}, ["leads nowhere"]),
        ({"type": "object", "properties": {"a": {"type": "strng"}, "b": {"pattern": "("}}}, ["'strng'", "'regex'"]),
        ([1, 2], ["this is a list"]),
    ],
)  # fmt: skip
def test_a_schema_that_is_none_is_refused_with_all_its_mistakes(schema, words):
    with pytest.raises(InputError) as caught:
        schema_form(schema, "x")
    text = "\n".join(caught.value.problems)
    assert all(word in text for word in words)
    assert all(line.startswith("form.json_schema: ") for line in caught.value.problems)


def of_a(**schema):
    return {"type": "object", "required": ["a"], "properties": {"a": schema}}


CIRCLE = {"b": {"$ref": "#/$defs/c"}, "c": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (of_a(**{"$ref": "#/properties/a"}), ["back to itself"]),
        ({**of_a(**{"$ref": "#/$defs/b"}), "$defs": CIRCLE}, ["'#/$defs/b'", "'#/$defs/c'", "back to itself"]),
        ({**of_a(type="string"), "allOf": [{"$ref": "#"}]}, ["$ref '#': leads back to itself"]),
        (of_a(minimum=3, items={"$ref": "#/properties/a/minimum"}), ["leads to 3, which is no schema"]),
        (of_a(**{"$ref": "#/required"}), ["leads to ['a'], which is no schema"]),
        (of_a(**{"$ref": "#/type/0"}), ["leads to 'o', which is no schema"]),
        (of_a(**{"$ref": "#/type/x"}), ["leads nowhere"]),
        (of_a(minimum=3, items={"$ref": "#/properties/a/minimum/b"}), ["leads nowhere"]),
        ({**of_a(**{"$ref": "#/mine/b"}), "mine": {"b": {"type": "strng"}}}, ["'#/mine/b': no JSON schema: type: 'strng'"]),
        (of_a(**{"$dynamicRef": "#nope"}), ["$dynamicRef '#nope': leads nowhere"]),
        (of_a(enum=[date(2020, 1, 1)]), ["properties.a.enum.0: datetime.date(2020, 1, 1): date is no JSON"]),
        (of_a(maximum=float("inf")), ["properties.a.maximum: inf: a number out of range"]),
        ({**FACT, "properties": {False: {}, "b": {True: 1}}}, ["properties: the key False", "properties.b: the key True"]),
        ({**of_a(), "$schema": "http://json-schema.org/draft-03/schema#", "required": True}, ["draft-03", "draft-07"]),
        ({**of_a(), "$schema": 5}, ["$schema = 5: no draft"]),
        (of_a(**{"$schema": "http://["}), ["another draft"]),
        ({**of_a(items={"$id": "http://["}), "$id": "https://example.org/x"}, ["$id: no address"]),
    ],
)
def test_a_schema_by_which_no_reply_could_be_checked_is_refused(schema, words):
    with pytest.raises(InputError) as caught:
        schema_form(schema, "x")
    assert all(word in "\n".join(caught.value.problems) for word in words)


def test_a_schema_nested_without_end_is_refused():
    schema = of_a()
    schema["properties"]["a"] = schema  # as a YAML alias can
    with pytest.raises(InputError, match="nested too deep"):
        schema_form(schema, "x")


@pytest.mark.parametrize(
    "node",
    [
        {"$ref": "#"},
        {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}, {"$ref": "#"}]},
        {"$dynamicRef": "#tree"},
        {"$ref": "https://example.org/tree"},
    ],
)
def test_a_tree_of_nodes_is_no_circle(node):
    tree = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/tree",
        "$dynamicAnchor": "tree",
        "type": "object",
        "required": ["size"],
        "properties": {"size": {"type": "number", "multipleOf": 0.01}, "inner": node, "$ref": {"const": {"$ref": "#/nowhere"}}},
    }
    form = schema_form(tree, "tree")
    assert form.read('{"size": 1, "inner": {"inner": {"size": 2}, "size": 19.99}}').startswith('{"inner":{"inner"')
    with pytest.raises(Unfit, match=r"^inner.*size"):
        form.read('{"size": 1, "inner": {"inner": {}, "size": 3}}')


@pytest.mark.parametrize(
    ("schema", "fit", "unfit"),
    [
        ({"multipleOf": 0.01}, ["19.99", "4.35", "1.15", "1e350", "-0.01", "3"], ["19.995", "1e-9"]),
        ({"type": "number", "multipleOf": 0.5}, ["1e350", "1.5"], ["0.25", '"1"']),
        ({"exclusiveMaximum": 1}, ["0.99999999999999999999999"], ["1", "1.0"]),
        ({"maximum": 0.1}, ["0.1", "0.10"], ["0.10000000000000000000001"]),
        ({"enum": [0.1, 2.0]}, ["0.1", "2", "2.0"], ["0.10000000000000000000001", "0.2"]),
        ({"type": "integer"}, ["1.0", "1e2", "12345678901234567890123"], ["1.5", "true"]),
        ({"uniqueItems": True}, ["[0.1, 0.10000000000000000000001]"], ["[0.1, 0.10]"]),
    ],
)
def test_numbers_are_checked_as_they_are_written(schema, fit, unfit):
    form = schema_form(of_a(**schema), "x")
    for text in fit:
        form.read(f'{{"a": {text}}}')
    for text in unfit:
        with pytest.raises(Unfit) as caught:
            form.read(f'{{"a": {text}}}')
        assert caught.value.cause == "off the schema"
        assert "Decimal" not in str(caught.value)


@pytest.mark.parametrize("levels", [900, 5000, 200_000])
def test_a_reply_nested_too_deep_is_one_that_does_not_fit(levels):
    tree = schema_form(of_a(anyOf=[{"type": "null"}, {"$ref": "#"}]), "x")
    assert tree.read('{"a":' * 20 + "null" + "}" * 20)
    for form, opening, closing in ((tree, '{"a":', "}"), (schema_form(of_a(), "x"), "[", "]")):
        with pytest.raises(Unfit, match="nested too deep"):
            form.read('{"a":' + opening * levels + "null" + closing * levels + "}")


def test_schema_files(tmp_path):
    good, bad = tmp_path / "fact.json", tmp_path / "bad.json"
    good.write_text(
        json.dumps({**FACT, "$defs": {"b": {"type": "null"}}, "properties": {**FACT["properties"], "c": {"$ref": "#/$defs/b"}}})
    )
    form = load_form(str(good))
    assert form.name == "fact"
    assert form.read('{"value":"a","about":"b","c":null}') == '{"about":"b","c":null,"value":"a"}'
    bad.write_text("type: object")
    for path, words in ((bad, "not JSON"), (tmp_path / "none.json", "no such file")):
        with pytest.raises(InputError, match=words):
            load_form(str(path))


def test_a_signature_means_what_pydantic_reads_in_the_same_function():
    text = (
        "def note(about: str, size: int | None, kind: Literal['a', 'b'] = 'a', tags: list[str] = [], *, share: float, "
        "counts: dict[str, int] = {}, open: bool = False) -> None: 'One fact.'"
    )
    scope = {"Literal": Literal}
    exec(text, scope)  # this test's own text
    parameters = inspect.signature(scope["note"]).parameters.values()
    fields = {p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in parameters}
    expected = create_model("note", **fields).model_json_schema()
    form = signature_form(text)
    assert set(form.schema["required"]) == set(expected["required"])
    for name, found in form.schema["properties"].items():
        theirs = {k: v for k, v in expected["properties"][name].items() if k not in ("title", "default")}
        assert {**found, "type": theirs.get("type")} == {**theirs, "type": theirs.get("type")}
    assert "note(about: str, size: int | None" in form.request
    assert "One fact." in form.request


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("record(name)", ["no signature"]),
        ("def f(a: int", ["no signature"]),
        ("import os; os.system('true')", ["no signature"]),
        ("def f(): ...", ["takes nothing"]),
        ("def f(a, b: set[int], c: 'list[')", ["a has no type", "b is of type set", "c "]),
        ("def f(*a: int, **b: str)", ["no names"]),
        ("def f(a: int, a: str)", ["a stands twice"]),
    ],
)
def test_a_signature_that_is_none_is_refused_and_never_run(text, words):
    with pytest.raises(InputError) as caught:
        signature_form(text)
    assert all(word in "\n".join(caught.value.problems) for word in words)


def test_strict_where_every_key_is_listed_and_needed(form):
    assert not form.is_closed  # year may be left out
    assert schema_form({**FACT, "required": ["value", "about", "year"]}, "x").is_closed
    assert not schema_form({**FACT, "additionalProperties": True, "required": ["value", "about", "year"]}, "x").is_closed
