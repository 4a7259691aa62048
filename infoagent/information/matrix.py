"""The matrix of log-probabilities that every estimator reads: what is refused, and the sums over it.

Shape legend: C compressions, K candidate documents, D documents that have a compression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

SATURATED = 0.99
"""A compression is saturated when the source takes more than this share among the candidates."""
TOO_SATURATED = 0.5
"""Share of saturated compressions from which on an estimate is of its ceiling and not of the compressor."""
POSITIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Documents:
    """Which compression belongs to which document, and how much it weighs there."""

    labels_D: NDArray[np.generic]
    member_C: NDArray[np.intp]
    weights_C: NDArray[np.float64]

    def means(self, values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,) weighted means of (C,) values, in the order of the sorted labels."""
        counted_C = np.where(self.weights_C > 0, values_C, 0.0)  # 0 · inf is no contribution
        total_D = np.bincount(self.member_C, self.weights_C)
        return np.asarray(np.bincount(self.member_C, self.weights_C * counted_C) / total_D)

    def __len__(self) -> int:
        return len(self.labels_D)


def group_by_document(document: ArrayLike, weights: ArrayLike | None = None) -> Documents:
    """Group compressions by (C,) document labels. Raises ValueError for bad weights or a document that weighs 0."""
    document_C = np.asarray(document)
    weights_C = np.ones(len(document_C)) if weights is None else np.asarray(weights, dtype=np.float64)
    check_length(len(document_C), weights=weights_C)
    if not (np.isfinite(weights_C).all() and (weights_C >= 0).all()):
        raise ValueError("weights must be finite and at least 0")
    labels_D, member_C = np.unique(document_C, return_inverse=True)
    total_D = np.bincount(member_C, weights_C)
    if (total_D == 0).any():
        raise ValueError(f"the weights of document {labels_D[int(np.argmin(total_D))]!r} sum to 0")
    return Documents(labels_D, member_C, weights_C)


def check_length(compressions: int, **arrays: NDArray[np.generic]) -> None:
    """Raise ValueError where an array does not hold one entry for each compression."""
    for name, array in arrays.items():
        if array.shape != (compressions,):
            raise ValueError(f"{name} has shape {array.shape}; needed is one entry for each of {compressions} compressions")


def check_source(log_probs_CK: NDArray[np.float64], source: ArrayLike) -> NDArray[np.intp]:
    """(C,) source columns as integers. Raises ValueError for shapes that do not fit and columns not in the pool."""
    if log_probs_CK.ndim != 2:
        raise ValueError(f"log_probs has shape {log_probs_CK.shape}; needed is (compressions, documents)")
    compressions, candidates = log_probs_CK.shape
    if compressions == 0:
        raise ValueError("log_probs holds no compression")
    if candidates < 2:
        raise ValueError("one document only: information about which document needs at least two candidates")
    raw = np.asarray(source)
    if raw.shape != (compressions,):
        raise ValueError(f"source has shape {raw.shape}; needed is one column for each of {compressions} compressions")
    if not np.issubdtype(raw.dtype, np.integer):
        raise ValueError(f"source has type {raw.dtype}; needed are integers, the columns of log_probs")
    outside = np.flatnonzero((raw < 0) | (raw >= candidates))
    if outside.size:
        raise ValueError(
            f"source[{outside[0]}] = {raw[outside[0]]}: not in the pool; allowed are 0 to {candidates - 1} "
            f"({outside.size} such entries)"
        )
    return raw.astype(np.intp)


def check_values(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> None:
    """Raise ValueError for positive values, and for a compression that is impossible under its own document."""
    check_not_positive(log_probs_CK, "log_probs")
    impossible = np.flatnonzero(np.isneginf(own_scores(log_probs_CK, source_C)))
    if impossible.size:
        raise ValueError(
            f"log_probs[{impossible[0]}, source] = -inf: a compression cannot be impossible under its own document "
            f"({impossible.size} such rows)"
        )


def check_not_positive(log_probs: NDArray[np.float64], name: str) -> None:
    """Raise ValueError that names the first positive cell; NaN cells pass."""
    positive = np.argwhere(log_probs > POSITIVE_TOLERANCE)  # +inf is among them
    if positive.size:
        place = ", ".join(str(int(i)) for i in positive[0])
        value = log_probs[tuple(positive[0])]
        raise ValueError(f"{name}[{place}] = {value:g}: a log-probability is at most 0 ({len(positive)} such cells)")


def check_matrix(log_probs: ArrayLike, source: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(log_probs_CK, source_C) with nothing failed in it. Raises ValueError as `estimate_mi` does."""
    log_probs_CK = np.asarray(log_probs, dtype=np.float64)
    source_C = check_source(log_probs_CK, source)
    failed = int(np.isnan(log_probs_CK).sum())
    if failed:
        raise ValueError(f"{failed} of {log_probs_CK.size} cells are NaN: a failed score is not a value; drop its row")
    check_values(log_probs_CK, source_C)
    return log_probs_CK, source_C


def own_scores(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """(C,) log p(z_c | own document)."""
    return np.asarray(log_probs_CK[np.arange(len(source_C)), source_C])


def negatives(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """(C, K − 1): every row without its source."""
    compressions, candidates = log_probs_CK.shape
    other_CK = np.arange(candidates)[None, :] != source_C[:, None]
    return log_probs_CK[other_CK].reshape(compressions, candidates - 1)


def logsumexp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """log Σ exp over the last axis; -inf where every entry is."""
    top = values.max(axis=-1, keepdims=True)
    finite_top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - finite_top).sum(axis=-1)) + finite_top[..., 0])


def scale(log_probs_CK: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """log_probs · β, where -inf stays -inf for β = 0 too. Raises ValueError for a β that is negative or not finite."""
    if not (np.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta = {beta}: a critic scale is a finite number of at least 0")
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(np.isneginf(log_probs_CK), -np.inf, log_probs_CK * beta))


def identical_columns(log_probs_CK: NDArray[np.float64]) -> list[list[int]]:
    """Groups of columns with the same values in every row. Columns that are impossible everywhere are left out."""
    groups: dict[bytes, list[int]] = {}
    for k, column_C in enumerate(np.ascontiguousarray(log_probs_CK.T)):
        if np.isfinite(column_C).any():
            groups.setdefault(column_C.tobytes(), []).append(k)
    return [columns for columns in groups.values() if len(columns) > 1]


def plain_values(estimate: Any) -> dict[str, Any]:
    """A dataclass of estimates as plain Python values, ready for JSON: arrays and tuples as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(v) for key, v in value.items()}
        if isinstance(value, np.ndarray):
            return value.tolist()
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return {key: plain(value) for key, value in asdict(estimate).items()}


def name_first(items: Sequence[object], limit: int = 5) -> str:
    """The first few of a list in words: `2, 5, 7 and 12 more`."""
    rest = len(items) - limit
    return ", ".join(str(i) for i in items[:limit]) + (f" and {rest} more" if rest > 0 else "")
