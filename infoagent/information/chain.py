"""The chain of difficulty: how much of the information is the topic, how much the document, how much its facts.

Shape legend: C compressions, K candidate documents, N counterfactuals, D documents that have a compression.

With p_k = p(z|x_k), s the source, g the columns of its topic and n_g their number, for each compression:

    random   log p_s − log mean_k p_k                      I(X;Z), whole pool, ceiling log K
    topic    log mean_{k∈g} p_k − log mean_k p_k           I(C;Z), ceiling mean of log(K / n_g)
    within   log p_s − log mean_{k∈g} p_k                  I(X;Z|C), ceiling mean of log n_g
    fact     log p_s − log mean of p over {x_s, its counterfactuals}, ceiling mean of log(1 + N)

random = topic + within, exactly, for every compression. The first three are InfoNCE bounds over the pool and inherit
its bias in K and in n_g. The fact term is not part of that sum: it scores how surely z tells its document from versions
with other facts, and bounds an information only if all versions were equally likely beforehand.
Source: the chain rule of mutual information (Cover & Thomas 2006, 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.intervals import t_interval
from infoagent.information.matrix import (
    SATURATED,
    Documents,
    check_length,
    check_matrix,
    check_not_positive,
    group_by_document,
    logsumexp,
    name_first,
    own_scores,
    plain_values,
)


@dataclass(frozen=True)
class Term:
    """One step of the chain, in nats."""

    name: str
    value_nats: float
    stderr_nats: float
    ci_nats: tuple[float, float]
    """95 % t interval on document means; NaN with one document."""
    ceiling_nats: float
    """The largest value that this set of candidates allows."""
    saturation: float
    """Share of compressions whose right answer (document, topic or version) takes more than 99 %; NaN where there is
    nothing to choose between."""
    n_documents: int
    n_compressions: int
    per_compression_nats: NDArray[np.float64]
    per_document_nats: NDArray[np.float64]
    """Document means, in the order of the sorted document labels."""

    @property
    def headroom_nats(self) -> float:
        return self.ceiling_nats - self.value_nats

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {**plain_values(self), "headroom_nats": self.headroom_nats}


@dataclass(frozen=True)
class Chain:
    """The terms from easy to hard. A term that was not measured (no topics, no counterfactuals given) is None."""

    random: Term
    topic: Term | None
    within_topic: Term | None
    fact: Term | None
    alone_in_topic: int = 0
    """Documents with a compression that are the only one of their topic: their within term is 0, with ceiling 0."""
    without_counterfactual: int = 0
    """Compressions left out of the fact term because they have no counterfactual."""
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; terms that were not measured are None."""
        terms = {"random": self.random, "topic": self.topic, "within_topic": self.within_topic, "fact": self.fact}
        return {
            **{name: None if term is None else term.to_dict() for name, term in terms.items()},
            "alone_in_topic": self.alone_in_topic,
            "without_counterfactual": self.without_counterfactual,
            "warnings": list(self.warnings),
        }


def estimate_chain(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    topic: ArrayLike | None = None,
    counterfactual: ArrayLike | None = None,
    document: ArrayLike | None = None,
) -> Chain:
    """Estimate every step of the chain from one matrix.

    Args:
        log_probs: (C, K) log p(z_c | x_k, q_c), nats: the whole pool.
        source: (C,) column of each compression's own document.
        topic: (K,) topic label of each column.
        counterfactual: (C, N) log p(z_c | n-th counterfactual of z_c's own document, q_c), nats. A row with fewer
            counterfactuals ends in NaN; a row of NaN has none. A failed score must not come in as NaN: it would be
            read as a counterfactual that does not exist.
        document: (C,) label of each compression's document. Default: `source`.

    Raises ValueError for what `estimate_mi` refuses, NaN cells, shapes that do not fit, positive log-probabilities, NaN
    before a number among the counterfactuals, and counterfactuals of which none is a number.
    """
    log_probs_CK, source_C = check_matrix(log_probs, source)
    candidates = log_probs_CK.shape[1]
    document_C = source_C if document is None else np.asarray(document)
    check_length(len(source_C), document=document_C)
    documents = group_by_document(document_C)
    own_C, pool_C = own_scores(log_probs_CK, source_C), logsumexp(log_probs_CK)
    notes: list[str] = []
    random = _term("random", np.log(candidates) + own_C - pool_C, np.full(len(own_C), np.log(candidates)), documents)
    topic_term = within_term = fact_term = None
    alone = without = 0

    if topic is not None:
        label_K = np.asarray(topic)
        if label_K.shape != (candidates,):
            raise ValueError(f"topic has shape {label_K.shape}; needed is one label for each of {candidates} columns")
        labels, group_K = np.unique(label_K, return_inverse=True)
        group_C = group_K[source_C]
        size_C = np.bincount(group_K)[group_C]
        same_C = logsumexp(np.where(group_K[None, :] == group_C[:, None], log_probs_CK, -np.inf))
        topic_term = _term("topic", np.log(candidates) - np.log(size_C) + same_C - pool_C, np.log(candidates / size_C), documents)
        within_term = _term("within_topic", np.log(size_C) + own_C - same_C, np.log(size_C), documents)
        first_D = np.unique(documents.member_C, return_index=True)[1]
        alone_D = first_D[size_C[first_D] == 1]
        alone = len(alone_D)
        if alone:
            notes.append(
                f"{alone} of {len(documents)} documents are alone in their topic ({name_first(document_C[alone_D])}): "
                "their within-topic term is 0 with a ceiling of 0 and pulls its mean down"
            )
        if len(labels) == 1:
            notes.append(f"one topic only ({labels[0]}): the topic term is 0 with a ceiling of 0")

    if counterfactual is not None:
        fact_term, without = _fact_term(np.asarray(counterfactual, dtype=np.float64), own_C, document_C)
        if without:
            notes.append(f"{without} of {len(own_C)} compressions have no counterfactual: left out of the fact term")
    return Chain(random, topic_term, within_term, fact_term, alone, without, notes)


def _fact_term(other_CN: NDArray[np.float64], own_C: NDArray[np.float64], document_C: NDArray[np.generic]) -> tuple[Term, int]:
    if other_CN.ndim != 2 or len(other_CN) != len(own_C):
        raise ValueError(f"counterfactual has shape {other_CN.shape}; needed is one row for each of {len(own_C)}")
    check_not_positive(other_CN, "counterfactual")
    missing_CN = np.isnan(other_CN)
    misplaced = np.argwhere(missing_CN[:, :-1] & ~missing_CN[:, 1:])
    if misplaced.size:
        c, n = (int(i) for i in misplaced[0])
        raise ValueError(f"counterfactual[{c}, {n}] is NaN before a number: padding comes last, and a failed score is no padding")
    number_C = (~missing_CN).sum(axis=1)
    kept_C = number_C > 0
    if not kept_C.any():
        raise ValueError("counterfactual holds no number: give None where no counterfactual was scored")
    versions = np.column_stack([own_C, np.where(missing_CN, -np.inf, other_CN)])[kept_C]
    ceiling_C = np.log1p(number_C[kept_C])
    terms_C = ceiling_C + own_C[kept_C] - logsumexp(versions)
    return _term("fact", terms_C, ceiling_C, group_by_document(document_C[kept_C])), int((~kept_C).sum())


def _term(name: str, terms_C: NDArray[np.float64], ceiling_C: NDArray[np.float64], documents: Documents) -> Term:
    per_document_D = documents.means(terms_C)
    choice_C = ceiling_C > 0
    saturation = float("nan")
    if choice_C.any():
        right_C = np.exp(terms_C - ceiling_C)[choice_C] > SATURATED
        saturation = float(group_by_document(documents.member_C[choice_C]).means(right_C.astype(float)).mean())
    spread = float(np.std(per_document_D, ddof=1)) if len(documents) > 1 else float("nan")
    return Term(
        name=name,
        value_nats=float(per_document_D.mean()),
        stderr_nats=spread / float(np.sqrt(len(documents))),
        ci_nats=t_interval(per_document_D),
        ceiling_nats=float(documents.means(ceiling_C).mean()),
        saturation=saturation,
        n_documents=len(documents),
        n_compressions=len(terms_C),
        per_compression_nats=terms_C,
        per_document_nats=per_document_D,
    )
