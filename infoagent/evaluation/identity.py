"""Which predictor: all that decides an answer beside the question, whatever the predictor is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infoagent.evaluation.records import content_key
from infoagent.lm.models import find_model
from infoagent.recipes.evaluation import PredictorSection


def predictor_identity(section: PredictorSection) -> dict[str, Any]:
    """What decides an answer beside the question; no key, no address of a log-in."""
    if section.kind == "endpoint":
        assert section.endpoint is not None
        server = section.endpoint.model_dump(include={"base_url", "json_mode", "extra"})
        who: dict[str, Any] = {"name": section.name, **server}
    else:
        who = {"name": section.name, "dtype": section.dtype, "adapter": section.adapter, **find_model(section).identity}
    how = {"max_tokens": section.max_tokens, "temperature": section.temperature} if section.how == "generation" else {}
    return {"kind": section.kind, **who, "mode": section.how, "template": section.template, **how}


def named_twice(predictors: Sequence[PredictorSection]) -> list[str]:
    """A line for each predictor that differs from another in its label alone: their answers have one key, and those of the
    first would stand under the name of the last. Raises InputError as `find_model` does."""
    mistakes = []
    titles: dict[str, str] = {}
    for predictor in predictors:
        first = titles.setdefault(content_key(**predictor_identity(predictor)), predictor.title)
        if first != predictor.title:
            mistakes.append(f"predictors: {first!r} and {predictor.title!r} have the same settings; drop one")
    return mistakes
