"""Cells on disk: found by content, whole or not at all, never a NaN."""

import os
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest

from infoagent.lm.scoring.store import ScoreStore
from infoagent.types import InputError, RunFailed

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
    with pytest.raises(InputError, match=r"scores-3\.sqlite: is no score file of this tool"):
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


SCENES = ("locked", "full", "damaged", "foreign", "read-only", "another table")


@pytest.mark.parametrize("scene", SCENES)
def test_what_is_wrong_with_the_file_is_said_in_its_own_words_and_nothing_is_lost(tmp_path, monkeypatch, scene):
    """Locked, full, damaged and foreign are four things; none of them is to be deleted."""
    tmp_path = Path(tempfile.mkdtemp()) if scene == "read-only" else tmp_path  # where another user may look
    store = ScoreStore(tmp_path, SCORER)
    for i in range(40):
        store.put(store.prefix([i]), [(store.continuation([j]), np.full(30, -1.0)) for j in range(30)])
    store.close()
    file = tmp_path / "scores-0.sqlite"
    before = file.read_bytes()
    monkeypatch.setattr("infoagent.lm.scoring.store.PATIENCE_SECONDS", 0.2)
    kind, said, done = RunFailed, "", lambda: None
    if scene == "locked":
        other = sqlite3.connect(file)
        other.execute("BEGIN EXCLUSIVE")
        said, done = "another process writes there", other.close
    elif scene == "full":
        said = "the disk is full"
    elif scene == "damaged":
        file.write_bytes(before[:5000] + b"\xff" * 9000 + before[14000:])
        said = "is damaged"
    elif scene == "foreign":
        file.write_bytes(b"GIF89a" + bytes(5000))
        kind, said = InputError, "is no score file of this tool"
    elif scene == "read-only":
        said = "cannot be written"
    else:
        file.unlink()
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE cells (mine TEXT)")
        other.commit()
        other.close()
        kind, said = InputError, "is no score file of this tool"
    kept = file.read_bytes()

    def use():
        if scene == "full":
            connect = sqlite3.connect

            def small(*arguments, **more):
                made = connect(*arguments, **more)
                made.execute(f"PRAGMA max_page_count = {len(before) // 4096 + 9}")
                return made

            sqlite3.connect = small
        if scene == "read-only":
            file.chmod(0o444)
            tmp_path.chmod(0o555)
            if os.getuid() == 0:
                os.setuid(65534)
        again = ScoreStore(tmp_path, SCORER)
        for i in range(200):
            again.column(again.prefix([i]))
            again.put(again.prefix([1000 + i]), [(b"c" * 16, np.full(2000, -2.0))])

    heard = in_a_fork(use)
    done()
    tmp_path.chmod(0o755)
    assert heard.startswith(kind.__name__), heard
    assert said in heard, heard
    assert "delete" not in heard
    assert heard.count("\n") == 0
    if scene == "full":
        assert ScoreStore(tmp_path, SCORER).count() >= 40 * 30
    elif scene != "locked":
        assert file.read_bytes() == kept


def in_a_fork(work):
    """What `work` raised, as `Kind: line`."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.chdir("/")
            work()
            heard = "nothing"
        except BaseException as error:  # whatever it is, the parent is told
            heard = f"{type(error).__name__}: {error}"
        os.write(write, heard.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        heard = stream.read()
    os.waitpid(pid, 0)
    return heard
