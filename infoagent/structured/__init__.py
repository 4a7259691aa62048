"""Structured compression: a JSON schema, or the signature of a function, as the form of z."""

from infoagent.structured.canonical import NotJson, canonical, parse
from infoagent.structured.form import Form, Unfit, load_form, schema_form
from infoagent.structured.signature import signature_form

__all__ = ["Form", "NotJson", "Unfit", "canonical", "load_form", "parse", "schema_form", "signature_form"]
