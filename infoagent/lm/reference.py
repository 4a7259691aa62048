"""A model's identity (name, path, revision), and what is read of it without its weights: tokenizer and configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from infoagent.lm.pretrained import read_config, read_tokenizer
from infoagent.store import TEMPLATE_DATE, template_date
from infoagent.types import InputError


@dataclass(frozen=True)
class ModelReference:
    """A model that was found. `path` goes to from_pretrained; `revision` identifies the weights in records."""

    name: str
    path: str
    revision: str


def load_tokenizer(reference: ModelReference) -> Any:
    """The model's own tokenizer, padded on the left (for generation), with its own chat template."""
    tokenizer = read_tokenizer(reference.name, reference.path, hub_revision(reference))
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"model {reference.name!r}: its tokenizer names no token that ends a text; set eos_token in its tokenizer_config.json"
        )
    return tokenizer


def load_config(reference: ModelReference) -> Any:
    """The model's configuration (its context length, its layers) without its weights."""
    return read_config(reference.name, reference.path, hub_revision(reference))


def hub_revision(reference: ModelReference) -> str | None:
    """The branch or commit that a hub model is read at; None for a directory."""
    return None if Path(reference.path).is_dir() else reference.revision


def pinned(reference: ModelReference) -> ModelReference:
    """A hub model by the commit that its branch points to now, so that records and scores name one set of weights."""
    if Path(reference.path).is_dir():
        return reference
    commit = _commit(reference)
    return reference if commit is None else replace(reference, revision=commit)


@lru_cache(maxsize=64)
def _commit(reference: ModelReference) -> str | None:
    """Asked once a run, so that a branch that moves on does not move the run."""
    commit = getattr(load_config(reference), "_commit_hash", None)
    return None if commit is None else str(commit)


def record_identity(reference: ModelReference) -> str:
    """What the key of a record says of its model: weights, tokenizer and chat template (of a hub model: the commit that
    holds them all), and the day that templates print where that is not TEMPLATE_DATE."""
    day = template_date()
    return pinned(reference).revision + ("" if day == TEMPLATE_DATE else f"+date:{day.isoformat()}")
