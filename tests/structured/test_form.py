"""Forms: schemas and signatures that are none, and what replies say under those that are."""

import inspect
import json
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
        (
            '{"about": "x", "value": 3, "year": "2025", "more": 1}',
            "off the schema",
            "year: '2025' is not of type 'integer'",
        ),
        ("{}", "off the schema", "required"),
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


def test_schema_files(tmp_path):
    good, bad = tmp_path / "fact.json", tmp_path / "bad.json"
    good.write_text(
        json.dumps(
            {**FACT, "$defs": {"b": {"type": "null"}}, "properties": {**FACT["properties"], "c": {"$ref": "#/$defs/b"}}}
        )
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
    assert not schema_form(
        {**FACT, "additionalProperties": True, "required": ["value", "about", "year"]}, "x"
    ).is_closed
