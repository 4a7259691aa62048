"""Many cells, on one process or on several under `accelerate launch`: split, stored as they come, put together.

The prefixes are visited in lexicographic order, so neighbours share their beginnings; each process takes a stretch
of about the same number of tokens. What a cell is worth does not depend on who computed it, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs
from infoagent.lm.scoring.exact import lexicographic
from infoagent.lm.scoring.store import ScoreStore
from infoagent.progress import Progress
from infoagent.types import AUTO


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    index: int = 0
    number: int = 1

    def wait(self) -> None:
        """Until all processes are here."""
        if self.number > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def current_processes(on_cpu: bool) -> Processes:
    """As `accelerate launch` set them up; one process without it."""
    from accelerate import PartialState

    # a process may wait for the others as long as the whole work takes
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=7))
    return Processes(state.process_index, state.num_processes)


def score_cells(
    scorer: ColumnScorer,
    prefixes: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    wanted: Sequence[Sequence[int]],
    store: ScoreStore,
    processes: Processes = Processes(),
    quiet: bool = False,
    totals: bool = False,
) -> list[dict[int, TokenLogProbs]]:
    """{c: (L,) nats} for each prefix k and the continuations `wanted[k]`; with `totals` their sums alone, (1,).

    Cells that the store has are read from it, the others computed and stored column by column.
    """
    prefix_keys = [store.prefix(p) for p in prefixes]
    continuation_keys = [store.continuation(c) for c in continuations]
    missing: list[list[int]] = []
    planned: set[tuple[bytes, bytes]] = set()  # equal prefixes and equal texts share a cell
    for k, key in enumerate(prefix_keys):
        held = store.column(key)
        cells = [(c, (key, continuation_keys[c])) for c in sorted(wanted[k]) if continuation_keys[c] not in held]
        missing.append([])
        for c, cell in cells:
            if cell not in planned:
                planned.add(cell)
                missing[-1].append(c)
    processes.wait()  # nobody writes before everybody has read what is missing
    mine = _share(prefixes, continuations, missing, processes)
    todo = sum(cost for _, cost in mine)
    title = "score" if processes.number == 1 else f"score, process {processes.index} of {processes.number}"
    with Progress(todo, title, "token", quiet) as bar:
        costs = dict(mine)
        only = [cells if k in costs else [] for k, cells in enumerate(missing)]
        for k, column in scorer.score_tokens(prefixes, continuations, only) if costs else ():
            store.put(prefix_keys[k], [(continuation_keys[c], z) for c, z in zip(only[k], column, strict=True)])
            bar.update(costs[k])
    processes.wait()
    result = []
    for k, key in enumerate(prefix_keys):
        held = store.column(key)
        found = {c: held[continuation_keys[c]] for c in wanted[k]}
        result.append({c: z.sum(dtype=np.float64, keepdims=True) for c, z in found.items()} if totals else found)
    return result


def _share(
    prefixes: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    missing: Sequence[Sequence[int]],
    processes: Processes,
) -> list[tuple[int, int]]:
    """(prefix, tokens) of this process: a stretch of the visited order with its part of all tokens."""
    order = lexicographic(prefixes, [k for k in range(len(prefixes)) if missing[k]])
    costs = [len(prefixes[k]) + sum(len(continuations[c]) for c in missing[k]) for k in order]
    total, done, mine = sum(costs), 0, []
    for k, cost in zip(order, costs, strict=True):
        owner = min(processes.number - 1, int((done + cost / 2) * processes.number / total))
        done += cost
        if owner == processes.index:
            mine.append((k, cost))
    return mine


def scorer_identity(name: str, revision: str, dtype: str, adapter_revision: str | None = None) -> dict[str, Any]:
    """Who scores, as cells are addressed by it."""
    assert dtype != AUTO, "settle() comes before any identity"
    return {"model": name, "revision": revision, "dtype": dtype, "adapter_revision": adapter_revision}
