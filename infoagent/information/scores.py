"""The score matrix as it travels: what `infoagent score` and eval/information.py write and `infoagent mi` reads.

Shape legend: C compressions, K documents of the pool, N counterfactuals of a compression's own document (padded with
NaN), T tokens of all compressions joined, D documents that exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.files import WRITTEN_BY, json_text, replacing
from infoagent.information.array_files import Arrays, read_arrays
from infoagent.information.stratified import Strata
from infoagent.parsing import json_loads

Floats = NDArray[np.float64]
Strings = NDArray[np.str_]


@dataclass(frozen=True)
class ScoreMatrix:
    """Log-probabilities in nats, with what they are log-probabilities of."""

    log_probs_CK: Floats
    source_C: NDArray[np.intp]
    document_C: Strings | None = None
    """The document of each compression: the unit of intervals. None: its column."""
    compression_id_C: Strings | None = None
    column_K: Strings | None = None
    """Ids of the documents of the pool."""
    text_K: Strings | None = None
    """Hashes of the texts of the pool, all of it where only a part was scored."""
    topic_K: Strings | None = None
    counterfactual_CN: Floats | None = None
    strata: Strata | None = None
    """Of a pool that was scored in part: which documents each row's columns are, so they differ from row to row."""
    token_log_probs_TK: NDArray[np.float32] | None = None
    """K pool columns, then N counterfactual ones."""
    token_T: Strings | None = None
    tokens_C: NDArray[np.intp] | None = None
    """How many of T belong to each compression."""
    about: dict[str, Any] = field(default_factory=dict)
    """Estimand, scorer, whether the scorer is the sampler, and what else the number needs to be repeated."""

    @property
    def estimand(self) -> str:
        return str(self.about.get("estimand", "not named in the file"))

    def token_matrices(self) -> list[NDArray[np.float32]]:
        """Per compression (K + N, L): what `token_information` takes. Raises ValueError where no tokens were kept."""
        if self.token_log_probs_TK is None or self.tokens_C is None:
            raise ValueError("holds no token log-probabilities; score with --tokens")
        return [part.T for part in np.split(self.token_log_probs_TK, np.cumsum(self.tokens_C)[:-1])]

    def token_texts(self) -> list[list[str]]:
        if self.token_T is None or self.tokens_C is None:
            raise ValueError("holds no tokens; score with --tokens")
        return [part.tolist() for part in np.split(self.token_T, np.cumsum(self.tokens_C)[:-1])]

    def save(self, path: str | Path) -> None:
        """Write beside and rename: a killed process leaves no half file."""
        arrays = {name: getattr(self, attribute) for name, attribute in ARRAYS.items()}
        held = {name: array for name, array in arrays.items() if array is not None}
        if self.strata is not None:
            held |= {f"strata_{name}": np.asarray(value) for name, value in vars(self.strata).items()}
        about = {WRITTEN_BY: "infoagent score", **self.about}
        with replacing(path) as work:
            np.savez(work, about=np.array(json_text(about)), **held)

    @classmethod
    def load(cls, path: str | Path) -> ScoreMatrix:
        """Raises ValueError where the file is not an .npz of arrays or lacks log_probs or source."""
        held = read_arrays(path)
        for name in ("log_probs", "source"):
            if name not in held:
                raise ValueError(f"has no array {name!r}; it holds {', '.join(held) or 'nothing'}")
        _check_arrays(held)
        about = json_loads(str(held["about"])) if "about" in held else {}
        if not isinstance(about, dict):
            raise ValueError(f"its array 'about' holds a JSON {type(about).__name__}; needed is an object")
        if "estimand" in held:  # files that were written by other means may name theirs alone
            about = {"estimand": str(held["estimand"]), **about}
        fields = {attribute: held[name] for name, attribute in ARRAYS.items() if name in held}
        strata = None
        if "strata_pool_size" in held:
            parts = {name.removeprefix("strata_"): array for name, array in held.items() if name.startswith("strata_")}
            try:
                strata = Strata(**{**parts, "pool_size": int(parts["pool_size"])})  # type: ignore[arg-type]
            except (TypeError, IndexError, OverflowError) as error:
                raise ValueError(f"its strata are incomplete: {error}") from error
        _check_tokens(held)
        return cls(**fields, strata=strata, about=about)

    def without_failed(self) -> tuple[ScoreMatrix, int]:
        """Without the compressions of which a cell failed (NaN), and how many those were.

        Raises ValueError where none is left.
        """
        failed_C = np.asarray(np.isnan(self.log_probs_CK).any(axis=1))
        if failed_C.all():
            raise ValueError(f"all {len(failed_C)} compressions have a failed cell: nothing is left to estimate from")
        keep_C = ~failed_C
        changes: dict[str, Any] = {"log_probs_CK": self.log_probs_CK[keep_C], "source_C": self.source_C[keep_C]}
        for name in ("document_C", "compression_id_C", "counterfactual_CN"):
            if (array := getattr(self, name)) is not None:
                changes[name] = array[keep_C]
        if self.tokens_C is not None and self.token_log_probs_TK is not None and self.token_T is not None:
            keep_T = np.repeat(keep_C, self.tokens_C)
            changes |= {"tokens_C": self.tokens_C[keep_C], "token_T": self.token_T[keep_T]}
            changes["token_log_probs_TK"] = self.token_log_probs_TK[keep_T]
        if self.strata is not None:
            held = self.strata
            changes["strata"] = Strata(held.columns_CM[keep_C], held.stratum_CM[keep_C], held.sizes_CH[keep_C], held.pool_size)
        return replace(self, **changes), int(failed_C.sum())


def _check_arrays(held: Arrays) -> None:
    """Numbers are real and have the shape that belongs to them, so that nothing later stumbles."""
    for name, array in held.items():
        kinds, dimensions = ("iu", None) if name.startswith("strata_") else _FORMS.get(name, ("biufUS", None))
        if array.dtype.kind not in kinds or (dimensions is not None and array.ndim != dimensions):
            needed = "text" if kinds == "US" else "whole numbers" if kinds == "iu" else "real numbers"
            told = needed if dimensions is None else f"{needed} in {dimensions} dimensions"
            raise ValueError(f"its array {name!r} is of type {array.dtype} and shape {array.shape}; needed are {told}")


def _check_tokens(held: Arrays) -> None:
    """The arrays of tokens belong together: all or none of them, and as many rows as tokens are counted."""
    names = ("tokens", "token", "token_log_probs")
    there = [name for name in names if name in held]
    if there and len(there) < len(names):
        raise ValueError(f"of the arrays {', '.join(names)} it holds {', '.join(there)} only")
    if there:
        counts = (int(held["tokens"].sum()), len(held["token"]), len(held["token_log_probs"]))
        if len(set(counts)) > 1:
            raise ValueError(f"{counts[0]} tokens are counted, {counts[1]} named and {counts[2]} scored: they must agree")
        if len(held["tokens"]) != len(held["source"]) or (held["tokens"] < 0).any():
            raise ValueError(f"its array 'tokens' must count those of {len(held['source'])} compressions")


OF_A_MATRIX = ("about.npy",)
"""How the files of `save` begin, those of earlier versions too."""
ARRAYS = {
    "log_probs": "log_probs_CK",
    "source": "source_C",
    "document": "document_C",
    "compression_ids": "compression_id_C",
    "columns": "column_K",
    "texts": "text_K",
    "topic": "topic_K",
    "counterfactual": "counterfactual_CN",
    "token_log_probs": "token_log_probs_TK",
    "token": "token_T",
    "tokens": "tokens_C",
}
_TEXT, _WHOLE, _REAL = "US", "iu", "biuf"
_FORMS: dict[str, tuple[str, int | None]] = {
    "log_probs": (_REAL, 2), "source": (_WHOLE, 1), "counterfactual": (_REAL, 2), "topic": ("biufUS", 1),
    "document": ("biufUS", 1), "compression_ids": ("biufUS", 1), "columns": ("biufUS", 1), "texts": (_TEXT, 1),
    "token_log_probs": (_REAL, 2), "token": (_TEXT, 1), "tokens": (_WHOLE, 1), "about": (_TEXT, 0), "estimand": (_TEXT, 0),
}  # fmt: skip
"""Kinds of numpy, and dimensions."""
