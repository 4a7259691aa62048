"""The form that a recipe names, checked. Imports no model, for --dry-run."""

from __future__ import annotations

from collections.abc import Sequence

from infoagent.recipes import CompressorSection
from infoagent.structured import Form, load_form, signature_form
from infoagent.types import Mistakes


def forms_of(compressors: Sequence[CompressorSection]) -> dict[str, Form | None]:
    """The forms of a grid by label. Raises InputError with the mistakes of all."""
    found: dict[str, Form | None] = {}
    mistakes = Mistakes()
    for compressor in compressors:
        with mistakes.of():
            found[compressor.label] = form_of(compressor)
    mistakes.end()
    return found


def form_of(compressor: CompressorSection) -> Form | None:
    """The form of a compressor. Raises InputError, a line for each mistake in its schema or signature."""
    section, setting = compressor.form, f"compressor {compressor.label!r}: form"
    if section is None:
        return None
    if section.signature is not None:
        return signature_form(section.signature, f"{setting}.signature")
    assert section.json_schema is not None
    return load_form(section.json_schema, setting=f"{setting}.json_schema")
