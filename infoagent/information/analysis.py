"""Everything that one score matrix tells, in one call: what `infoagent mi` and eval/information.py report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.information.chain import Chain, estimate_chain
from infoagent.information.estimators import MIEstimate, estimate_mi
from infoagent.information.intervals import detectable_difference, paired_difference
from infoagent.information.jackknife import jackknife_interval
from infoagent.information.matrix import scale
from infoagent.information.scores import ScoreMatrix
from infoagent.information.stratified import NEAR, StratifiedEstimate, estimate_stratified
from infoagent.information.tokens import TokenInformation, TokenSummary, summarize_tokens, token_information
from infoagent.types import Finding


@dataclass(frozen=True)
class Analysis:
    """The estimates of one matrix, named by what they estimate."""

    estimand: str
    estimate: MIEstimate
    """Among the columns of the matrix."""
    jackknife: Finding
    """The same value with the conservative interval."""
    chain: Chain
    pool: StratifiedEstimate | None
    """Against the whole pool, where only a part of it was scored."""
    tokens: TokenSummary | None
    """None where the matrix holds no token log-probabilities."""
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the fields of the estimate at the top, the rest under their names."""
        return {
            "estimand": self.estimand,
            **self.estimate.to_dict(),
            "jackknife_ci_nats": [self.jackknife.low, self.jackknife.high],
            "chain": self.chain.to_dict(),
            "pool": None if self.pool is None else self.pool.to_dict(),
            "tokens": None if self.tokens is None else self.tokens.to_dict(),
            "warnings": self.warnings,
        }


def analyse(matrix: ScoreMatrix, *, beta: float | None = None, sampler: bool = True, drop_failed: bool = False) -> Analysis:
    """Estimate everything that `matrix` allows.

    beta: critic scale of a proxy. sampler: whether the scorer is the model that wrote the compressions.
    Raises ValueError as `estimate_mi` does, NaN cells included unless `drop_failed`.
    """
    dropped = 0
    if drop_failed and np.isnan(matrix.log_probs_CK).any():
        matrix, dropped = matrix.without_failed()
    log_probs_CK, source_C, document_C = matrix.log_probs_CK, matrix.source_C, matrix.document_C
    # near documents are more among the candidates than in the pool: then leave-one-out is no upper bound
    with_near = matrix.strata is not None and bool((matrix.strata.stratum_CM == NEAR).any())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimate = estimate_mi(log_probs_CK, source_C, document=document_C, beta=beta, sampler=sampler, even=not with_near)
        estimate = replace(estimate, dropped=dropped)
        jackknife = jackknife_interval(log_probs_CK, source_C, document=document_C, beta=beta)
        factor = 1.0 if beta is None else beta
        other_CN = matrix.counterfactual_CN
        chain = estimate_chain(
            scale(log_probs_CK, factor),
            source_C,
            topic=matrix.topic_K,
            document=document_C,
            counterfactual=None if other_CN is None else scale(other_CN, factor),
        )
        pool = None
        if matrix.strata is not None:
            pool = estimate_stratified(log_probs_CK, matrix.strata, document=document_C, beta=factor)
        tokens = None
        if matrix.token_log_probs_TK is not None:
            labels = (source_C if document_C is None else document_C).tolist()
            tokens = summarize_tokens(tokens_among_pool(matrix, factor), labels)
    notes = [f"{dropped} compressions dropped: a cell had failed"] if dropped else []
    notes += [*estimate.warnings, *chain.warnings, *(pool.warnings if pool is not None else [])]
    notes += [str(w.message) for w in caught]
    if with_near:
        notes.append(
            "InfoNCE and the chain among the scored columns, near documents and far ones mixed, bound the information only "
            "if near documents are near each other; the value against the whole pool and the uniform part do without that"
        )
    return Analysis(matrix.estimand, estimate, jackknife, chain, pool, tokens, list(dict.fromkeys(notes)))


def tokens_among_pool(matrix: ScoreMatrix, beta: float = 1.0) -> list[TokenInformation]:
    """What each token tells about which document of the pool it came from."""
    columns = matrix.log_probs_CK.shape[1]
    return [
        token_information(part[:columns] * beta, int(source))
        for part, source in zip(matrix.token_matrices(), matrix.source_C, strict=True)
    ]


def tokens_among_counterfactuals(matrix: ScoreMatrix, beta: float = 1.0) -> list[TokenInformation | None]:
    """What each token tells the own document from its versions with other facts; None where there is no such version.
    Raises ValueError where there is none of any document."""
    if matrix.counterfactual_CN is None:
        raise ValueError("holds no counterfactual columns; score with --counterfactuals")
    columns = matrix.log_probs_CK.shape[1]
    result: list[TokenInformation | None] = []
    for part, source in zip(matrix.token_matrices(), matrix.source_C, strict=True):
        versions = part[columns:]
        kept = versions[~np.isnan(versions).any(axis=1)]  # a document may have fewer counterfactuals than others, or none
        result.append(token_information(np.vstack([part[int(source)], kept]) * beta, 0) if len(kept) else None)
    return result


def token_examples(matrix: ScoreMatrix, limit: int, beta: float | None = None) -> list[dict[str, Any]]:
    """Plain values of the first `limit` compressions of different documents: tokens, and what each tells."""
    if matrix.token_log_probs_TK is None:
        return []
    factor = 1.0 if beta is None else beta
    among: dict[str, Sequence[TokenInformation | None]] = {"pool": tokens_among_pool(matrix, factor)}
    if matrix.counterfactual_CN is not None:
        among["counterfactuals"] = tokens_among_counterfactuals(matrix, factor)
    labels = matrix.source_C if matrix.document_C is None else matrix.document_C
    chosen = list({str(label): c for c, label in reversed(list(enumerate(labels.tolist())))}.values())
    ids = matrix.compression_id_C
    texts = matrix.token_texts()
    return [
        {"id": str(c) if ids is None else str(ids[c]), "tokens": texts[c]}
        | {name: told.to_dict() for name, found in among.items() if (told := found[c]) is not None}
        for c in sorted(chosen)[:limit]
    ]


def compare(
    first: ScoreMatrix, second: ScoreMatrix, beta: float | None = None, drop_failed: bool = False
) -> dict[str, dict[str, float]]:
    """First − second on the documents that both have a compression of, paired, for every term both matrices allow.

    For each term: both means, the difference with its 95 % t interval, on how many documents, and the difference that
    so many documents show 4 times in 5. Raises ValueError for different estimands, scorers, pools or numbers of
    counterfactuals, because then the difference is not the compressors', and for fewer than two shared documents.
    """
    for name in ("estimand", "scorer"):
        held, other_held = first.about.get(name), second.about.get(name)
        if held is None or held != other_held:
            raise ValueError(f"different or unknown {name}: {held} and {other_held}; score both alike")
    texts = [None if m.text_K is None or m.strata is not None else set(m.text_K.tolist()) for m in (first, second)]
    if texts[0] is None or texts[0] != texts[1]:
        raise ValueError("different pools of documents, or pools scored in part: score both under the same documents")
    if drop_failed:
        first, second = (m.without_failed()[0] for m in (first, second))
    widths = [0 if m.counterfactual_CN is None else m.counterfactual_CN.shape[1] for m in (first, second)]
    if widths[0] != widths[1]:
        raise ValueError(f"{widths[0]} and {widths[1]} counterfactuals of each document: score both with as many")
    found = {}
    chains = [analyse(m, beta=beta, sampler=False).chain for m in (first, second)]
    if any(chain.without_counterfactual for chain in chains):
        raise ValueError("some compressions have no counterfactual: score both anew, for all documents")
    for name in ("random", "topic", "within_topic", "fact"):
        terms = [getattr(chain, name) for chain in chains]
        if any(term is None for term in terms):
            continue
        means = [_document_means(m, t.per_compression_nats) for m, t in zip((first, second), terms, strict=True)]
        shared = sorted(set(means[0]) & set(means[1]))
        if len(shared) < 2:
            raise ValueError(f"{len(shared)} documents have a compression in both: at least two are needed")
        one, other = (np.array([mean[d] for d in shared]) for mean in means)
        difference, spread = paired_difference(one, other), float(np.std(one - other, ddof=1))
        found[name] = {
            "first_nats": float(one.mean()),
            "second_nats": float(other.mean()),
            "difference_nats": difference.value,
            "low_nats": difference.low,
            "high_nats": difference.high,
            "n_documents": float(len(shared)),
            "detectable_nats": detectable_difference(spread if np.isfinite(difference.low) else np.nan, len(shared)),
        }
    return found


def _document_means(matrix: ScoreMatrix, values_C: NDArray[np.float64]) -> dict[str, float]:
    labels_C = matrix.source_C if matrix.document_C is None else matrix.document_C
    sums: dict[str, list[float]] = {}
    for label, value in zip(labels_C.tolist(), values_C.tolist(), strict=True):
        sums.setdefault(str(label), []).append(value)
    return {label: float(np.mean(found)) for label, found in sums.items()}
