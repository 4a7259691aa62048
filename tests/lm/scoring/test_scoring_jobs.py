"""Cells split over processes and killed in between: the same matrix, nothing computed twice."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model

from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.scoring.jobs import Processes, _share, score_cells
from infoagent.lm.scoring.store import ScoreStore

MODEL = tiny_model(16)
SCORER = {"model": "tiny", "revision": "0", "dtype": "float32"}
RNG = np.random.default_rng(0)
PREFIXES = [[1, 2, 3, *RNG.integers(1, 16, size=n).tolist()] for n in (4, 9, 4, 30, 7, 12)]
CONTINUATIONS = [RNG.integers(1, 16, size=n).tolist() for n in (3, 1, 8, 5)]
WANTED = [[0, 1, 2, 3], [1], [0, 2], [], [3, 0], [2, 1, 0]]


def totals(cells):
    return {(k, c): float(z.sum(dtype=np.float64)) for k, row in enumerate(cells) for c, z in row.items()}


def expected():
    matrix = Scorer(MODEL).score_one_by_one(PREFIXES, CONTINUATIONS)
    return {(k, c): matrix[c, k] for k, cells in enumerate(WANTED) for c in cells}


def run(directory, scorer=None):
    store = ScoreStore(directory, SCORER)
    return score_cells(scorer or Scorer(MODEL), PREFIXES, CONTINUATIONS, WANTED, store, quiet=True)


def test_the_wanted_cells_and_no_others(tmp_path):
    assert totals(run(tmp_path)) == pytest.approx(expected(), abs=1e-4)
    assert ScoreStore(tmp_path, SCORER).count() == sum(map(len, WANTED))


def test_a_second_run_computes_nothing(tmp_path):
    first = totals(run(tmp_path))
    scorer = Scorer(MODEL)
    assert totals(run(tmp_path, scorer=scorer)) == first
    assert scorer.prefix_tokens == scorer.continuation_tokens == 0


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    put, calls = ScoreStore.put, []

    def dies(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        put(self, *arguments)

    monkeypatch.setattr(ScoreStore, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.setattr(ScoreStore, "put", put)
    done = ScoreStore(tmp_path, SCORER).count()
    assert 0 < done < sum(map(len, WANTED))
    inserted = []
    monkeypatch.setattr(ScoreStore, "put", lambda self, prefix, cells: (inserted.append(len(cells)), put(self, prefix, cells)))
    assert totals(run(tmp_path)) == pytest.approx(expected(), abs=1e-4)
    assert sum(inserted) == sum(map(len, WANTED)) - done


def test_equal_prompts_and_equal_texts_are_one_cell(tmp_path):
    store = ScoreStore(tmp_path, SCORER)
    scorer = Scorer(MODEL)
    cells = score_cells(scorer, [[1, 2], [1, 2]], [[3, 4], [3, 4]], [[0, 1], [1]], store, quiet=True)
    assert store.count() == 1
    assert cells[0][0].tolist() == cells[0][1].tolist() == cells[1][1].tolist()


@pytest.mark.parametrize("number", [2, 3, 9])
def test_the_matrix_does_not_depend_on_the_number_of_processes(tmp_path, number):
    """Threads that meet at a barrier stand for the processes; real ones run in tests/scripts/test_information.py."""
    barrier = threading.Barrier(number)

    class Together(Processes):
        def wait(self):
            barrier.wait(timeout=500)

    scorers = [Scorer(tiny_model(16)) for _ in range(number)]

    def work(process):
        store = ScoreStore(tmp_path, SCORER, process)
        together = Together(process, number)
        return totals(score_cells(scorers[process], PREFIXES, CONTINUATIONS, WANTED, store, together, quiet=True))

    with ThreadPoolExecutor(number) as pool:
        found = list(pool.map(work, range(number)))
    assert all(f == found[0] for f in found)
    assert found[0] == pytest.approx(expected(), abs=1e-4)
    assert ScoreStore(tmp_path, SCORER).count() == sum(map(len, WANTED))
    assert sum(s.prefix_tokens > 0 for s in scorers) == min(number, sum(map(bool, WANTED)))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.integers(1, 7))
@settings(deadline=None)
def test_every_cell_has_one_process_and_the_work_is_even(lengths, number):
    prefixes = [[i % 16] * n for i, n in enumerate(lengths)]
    missing = [[0]] * len(prefixes)
    shares = [_share(prefixes, [[1]], missing, Processes(i, number)) for i in range(number)]
    assert sorted(k for share in shares for k, _ in share) == list(range(len(prefixes)))
    total = sum(lengths) + len(lengths)
    for share in shares:
        assert sum(cost for _, cost in share) <= total / number + max(lengths) + 1
