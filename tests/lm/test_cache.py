"""The user's cache is a help and no condition: what it lost, or may not be looked into, is made again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.files import write_json
from infoagent.lm.cache import PARTS, converted_once, holds_model, kept

UNREADABLE = "x" * 300
"""A name that the system refuses to look at, as it does for a folder of another user."""


def convert(directory):
    for name in (*PARTS, "model.safetensors"):
        write_json(directory / name, {})


def listed(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("lost", [*PARTS, "model.safetensors"])
def test_a_model_that_lost_a_part_is_converted_again(tmp_path, lost):
    place = tmp_path / "models" / "m"
    assert not holds_model(place)
    assert converted_once(place, convert) == place
    (place / lost).unlink()
    (place / "more").touch()
    assert not holds_model(place)
    converted_once(place, convert)
    assert listed(place) == sorted([*PARTS, "model.safetensors"])
    assert listed(tmp_path / "models") == ["m"]


def test_every_file_of_weights_is_needed(tmp_path):
    convert(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}})
    (tmp_path / shards[0]).touch()
    assert not holds_model(tmp_path)
    (tmp_path / shards[1]).touch()
    assert holds_model(tmp_path)


def test_whoever_was_first_is_not_disturbed(tmp_path):
    place = tmp_path / "m"

    def beaten(directory):
        convert(directory)
        place.mkdir()
        convert(place)
        (place / "first").touch()

    converted_once(place, beaten)
    assert (place / "first").exists()
    assert listed(tmp_path) == ["m"]


def test_a_conversion_that_fails_leaves_what_is_there(tmp_path):
    place = tmp_path / "m"
    convert(place)
    (place / "config.json").unlink()
    with pytest.raises(OSError, match="no room"):
        converted_once(place, lambda _: (_ for _ in ()).throw(OSError("no room")))
    assert listed(tmp_path) == ["m"]
    assert "model.safetensors" in listed(place)


@given(st.binary(max_size=40))
def test_whatever_a_kept_file_holds_it_is_an_object_or_nothing(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "kept.json"
    file.write_bytes(content)
    assert kept(file) is None or isinstance(kept(file), dict)


def test_what_may_not_be_looked_into_is_not_there(tmp_path):
    assert kept(tmp_path / UNREADABLE / "a.json") is None
    assert not holds_model(tmp_path / UNREADABLE)
