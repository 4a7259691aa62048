"""Every number of every recipe: whatever a section's own limits, none is NaN, infinite or beyond arithmetic."""

import importlib
import pkgutil
import typing

import pytest
from pydantic import ValidationError

import infoagent.applications
import infoagent.recipes
from infoagent.config import LARGEST, Section

# the core's recipes, and those that applications bring
for _package in (infoagent.recipes, infoagent.applications):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        if _package is infoagent.recipes or _module.name.endswith(".recipe"):
            importlib.import_module(_module.name)


def sections(kind=Section):
    for child in kind.__subclasses__():
        yield child
        yield from sections(child)


def holds_numbers(annotation):
    return annotation in (int, float) or any(holds_numbers(part) for part in typing.get_args(annotation))


FIELDS = [
    (section, name)
    for section in sorted(set(sections()), key=lambda s: f"{s.__module__}.{s.__name__}")
    if section.__module__.startswith("infoagent.")
    for name, field in section.model_fields.items()
    if holds_numbers(field.annotation)
]
WRONG = [float("nan"), float("inf"), float("-inf"), 1e22, -1e22, 10**22, -(10**22), 10**5000, 1.01 * LARGEST]


def test_there_are_as_many_as_one_thinks():
    assert len(FIELDS) > 240


@pytest.mark.parametrize(("section", "name"), FIELDS, ids=lambda v: getattr(v, "__name__", v))
def test_no_number_beyond_arithmetic_is_taken(section, name):
    for value in WRONG:
        for given in (value, [value], [1, value]):
            with pytest.raises(ValidationError) as caught:
                section.model_validate({name: given})
            told = [error for error in caught.value.errors() if error["loc"][:1] == (name,)]
            assert told, (name, given)
