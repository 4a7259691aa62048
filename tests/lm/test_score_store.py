"""Cells on disk: found by content, whole or not at all, never a NaN."""

import sqlite3

import numpy as np
import pytest

from infoagent.lm.score_store import ScoreStore
from infoagent.types import InputError

SCORER = {"model": "m", "revision": "1", "dtype": "float32"}


def test_what_was_put_is_found_again_by_another_process(tmp_path):
    first, second = ScoreStore(tmp_path, SCORER, 0), ScoreStore(tmp_path, SCORER, 1)
    prefix, z, other = first.prefix([1, 2]), first.continuation([3]), first.continuation([4, 5])
    first.put(prefix, [(z, np.array([-1.5], dtype=np.float32))])
    second.put(prefix, [(other, np.array([-0.25, -2.0], dtype=np.float32))])
    for store in (first, second, ScoreStore(tmp_path, SCORER, 7)):
        found = store.column(store.prefix([1, 2]))
        assert {key: value.tolist() for key, value in found.items()} == {z: [-1.5], other: [-0.25, -2.0]}
        assert store.count() == 2


@pytest.mark.parametrize("changed", [{"model": "n"}, {"revision": "2"}, {"dtype": "bfloat16"}])
def test_another_scorer_finds_nothing(tmp_path, changed):
    store = ScoreStore(tmp_path, SCORER)
    store.put(store.prefix([1, 2]), [(store.continuation([3]), np.array([-1.0]))])
    other = ScoreStore(tmp_path, {**SCORER, **changed})
    assert other.column(other.prefix([1, 2])) == {}
    assert store.column(store.prefix([1, 2, 3])) == {}


def test_a_failed_score_is_not_stored(tmp_path):
    store = ScoreStore(tmp_path, SCORER)
    with pytest.raises(ValueError, match="NaN"):
        store.put(store.prefix([1]), [(b"z", np.array([-1.0])), (b"y", np.array([np.nan]))])
    assert store.count() == 0


def test_a_column_is_there_whole_or_not_at_all(tmp_path):
    store = ScoreStore(tmp_path, SCORER)

    def cells():
        yield b"z", np.array([-1.0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put(store.prefix([1]), cells())
    assert store.count() == 0


def test_a_file_that_is_none_is_named(tmp_path):
    (tmp_path / "scores-3.sqlite").write_text("not a database, but long enough to be read as a header of one")
    with pytest.raises(InputError, match=r"scores-3\.sqlite: not a score file"):
        ScoreStore(tmp_path, SCORER).column(b"x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        ScoreStore(tmp_path / "file", SCORER)


def test_the_file_is_plain_sqlite(tmp_path):
    store = ScoreStore(tmp_path, SCORER)
    store.put(store.prefix([1]), [(store.continuation([2]), np.array([-1.0, -2.0], dtype=np.float32))])
    store.close()
    rows = sqlite3.connect(tmp_path / "scores-0.sqlite").execute("SELECT log_probs FROM cells").fetchall()
    assert np.frombuffer(rows[0][0], "<f4").tolist() == [-1.0, -2.0]
