"""Critic scales on disk: which scorer they belong to, and that they were fitted on other documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.files import read_json
from infoagent.information.calibration import Calibration, require_held_out
from infoagent.types import InputError


def scorer_name(identity: Mapping[str, Any]) -> str:
    """One string for who scores: `model@revision+adapter dtype`."""
    adapter = f"+{identity['adapter_revision']}" if identity.get("adapter_revision") else ""
    return f"{identity.get('model', 'unknown')}@{identity.get('revision', '?')}{adapter} {identity.get('dtype', '')}".strip()


def read_calibration(file: str, scorer: str, document_ids: Sequence[str]) -> Calibration:
    """The critic scale of `file`, if it belongs to `scorer` and took part of none of `document_ids`.

    Raises InputError otherwise.
    """
    content = read_json(file, "`infoagent calibrate` writes one")
    try:
        found = Calibration.from_dict(content)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"calibration {file}: {error}") from error
    if scorer != found.scorer:
        raise InputError(f"calibration {file}: belongs to the scorer {found.scorer!r}, not to {scorer!r}; fit one for this scorer")
    try:
        require_held_out(found, document_ids)
    except ValueError as error:
        raise InputError(f"calibration {file}: {error}") from error
    return found
