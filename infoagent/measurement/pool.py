"""Compressions × documents → score matrix. What `infoagent score` and eval/information.py share.

Shape legend: C compressions, K documents of the pool (or M scored ones of each row), N counterfactuals.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infoagent.information.scores import ScoreMatrix
from infoagent.information.stratified import Strata
from infoagent.lm.detokenization import token_pieces
from infoagent.lm.models import LoadedModel, adapter_revision
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.lm.scoring.jobs import Processes, score_cells, scorer_identity
from infoagent.lm.scoring.store import ScoreStore
from infoagent.store import text_id
from infoagent.types import Compression, InputError, Negative, Problem

ESTIMANDS = {
    "shared": "I(X;Z|Q): every candidate document under the question of the compression",
    "own_document": "I(X,Q;Z): every candidate document under its own question (the paper's code)",
}


@dataclass(frozen=True)
class Pool:
    """Which prompts each compression is scored under."""

    documents: Sequence[Problem]
    """The columns: one problem for each different document."""
    problems: Sequence[Problem]
    """The rows: the problem of each compression."""
    versions: Mapping[str, Sequence[Negative]]
    """Counterfactual documents by problem id; where one has fewer than another, its columns end in NaN."""
    query: Literal["shared", "own_document"] = "shared"
    strata: Strata | None = None
    """Which documents are scored for each row; None: all."""

    def prompts(self) -> tuple[list[tuple[str, str]], list[list[int]]]:
        """Distinct (document, question), and for each row the numbers of its columns, counterfactual ones last."""
        index: dict[tuple[str, str], int] = {}
        rows = []
        for c, problem in enumerate(self.problems):
            chosen = self.documents if self.strata is None else [self.documents[k] for k in self.strata.columns_CM[c]]
            # several questions may share a document: its own column stands under the row's question in any case
            pairs = [
                (d.document, problem.query if self.query == "shared" or d.document == problem.document else d.query) for d in chosen
            ]
            pairs += [(n.document, problem.query) for n in self.versions.get(problem.id, ())]
            rows.append([index.setdefault(pair, len(index)) for pair in pairs])
        return list(index), rows

    def sources(self) -> list[int]:
        """The column of each row's own document."""
        if self.strata is not None:
            return [0] * len(self.problems)
        column = {d.document: k for k, d in enumerate(self.documents)}
        return [column[p.document] for p in self.problems]


def score_pool(
    scorer_model: LoadedModel,
    adapter: str | None,
    pool: Pool,
    continuations: Sequence[Sequence[int]],
    ids: Sequence[str],
    prompt: Prompt,
    store: str | Path,
    memory_mib: int,
    tokens: bool,
    processes: Processes,
    quiet: bool,
    base_only: bool = False,
) -> ScoreMatrix:
    """Score what `store` does not hold yet and put the matrix together, the same on every process.

    base_only: `scorer_model` carries an adapter that does not take part in scoring; then `adapter` is None.
    """
    pairs, rows = pool.prompts()
    # four bytes a token: there is a prompt for every document and question
    prefixes = [array("I", compressor_ids(scorer_model.tokenizer, document, query, prompt)) for document, query in pairs]
    wanted: list[list[int]] = [[] for _ in prefixes]
    for c, columns in enumerate(rows):
        for k in dict.fromkeys(columns):
            wanted[k].append(c)
    revision = None if adapter is None else adapter_revision(adapter)
    identity = scorer_identity(scorer_model.reference.name, scorer_model.reference.revision, scorer_model.dtype, revision)
    scorer = Scorer(scorer_model.model, memory_mib, base_only)
    held = ScoreStore(store, identity, processes.index)
    cells = score_cells(scorer, prefixes, continuations, wanted, held, processes, quiet, totals=not tokens)
    held.close()

    scored = [[cells[k][c] for k in columns] for c, columns in enumerate(rows)]
    totals = _padded([np.array([[z.sum(dtype=np.float64) for z in row]]) for row in scored])
    width = len(pool.documents) if pool.strata is None else pool.strata.columns_CM.shape[1]
    topics = [d.group for d in pool.documents]
    whole = pool.strata is None
    return ScoreMatrix(
        log_probs_CK=totals[:, :width],
        source_C=np.array(pool.sources()),
        document_C=np.array([p.document_id for p in pool.problems]),
        compression_id_C=np.array(ids),
        column_K=np.array([d.document_id for d in pool.documents]) if whole else None,
        text_K=np.array([text_id(d.document) for d in pool.documents]),
        topic_K=np.array([str(t) for t in topics]) if whole and None not in topics else None,
        counterfactual_CN=totals[:, width:] if totals.shape[1] > width else None,
        strata=pool.strata,
        token_log_probs_TK=_padded([np.stack(row, axis=1) for row in scored]) if tokens else None,
        token_T=np.array([p for z in continuations for p in token_pieces(scorer_model.tokenizer, z)]) if tokens else None,
        tokens_C=np.array([len(z) for z in continuations]) if tokens else None,
        about={
            "estimand": ESTIMANDS[pool.query],
            "scorer": identity,
            "prompt": {k: v for k, v in asdict(prompt).items() if k not in ("form", "thinking")},
            "route": scorer.route,
        },
    )


def _padded(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The parts one below the other, narrow ones with NaN at their end."""
    width = max(part.shape[1] for part in parts)
    wide = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in parts]
    return np.concatenate(wide)


def express(tokenizer: Any, compressions: Sequence[Compression], own_ids: bool, scorer: str) -> list[tuple[int, ...]]:
    """The ids to score: those that were sampled, or the text in another scorer's tokens.

    Raises InputError, one line each, where the scorer's tokenizer cannot express a text.
    """
    end = end_of_turn_id(tokenizer)
    if own_ids:
        return [continuation_ids(z, end) for z in compressions]
    result: list[tuple[int, ...]] = []
    mistakes = []
    for z in compressions:
        ids = tuple(text_ids(tokenizer, z.text))
        back = tokenizer.decode(list(ids))
        if back.strip() != z.text.strip():
            mistakes.append(
                f"compression {z.problem_id}#{z.sample}: the tokenizer of {scorer!r} cannot express it "
                f"({z.text[:40]!r} comes back as {back[:40]!r}); name another scorer"
            )
        # a text that was cut off before it ended is scored without the end of turn; one cut to nothing has no token
        result.append((*ids, end) if z.finish == "stop" or not ids else ids)
    if mistakes:
        raise InputError(mistakes[:20])
    return result
