"""Does vLLM compute the model that transformers does? A few rows by both, before anything is reported.

Other kernels round differently; another rotary scaling, a tokenizer's template or a lost adapter is another model. The
largest of the rows' mean differences must stay below TOLERANCE_NATS.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoagent.lm.adapter_fit import attach
from infoagent.lm.machine.allocator import free_memory
from infoagent.lm.models import load_weights
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.reference import ModelReference
from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.vllm.engine import VllmEngine
from infoagent.lm.vllm.scoring import VllmScorer
from infoagent.types import RunFailed

logger = logging.getLogger(__name__)

TOLERANCE_NATS = {"float32": 1e-3, "bfloat16": 0.1}
"""Mean absolute difference a token, of each row."""
DOCUMENTS = (
    "The survey of 14 March counted 212 nesting pairs on the north shore and 87 on the island. A storm had taken the "
    "landing stage in January, so the count began three days late and was made from two boats.",
    "Minutes of the water board, 3 May. The pump at Harrow Lane failed at 04:20 and was replaced by 11:45; about 1,300 "
    "households had no pressure for seven hours. The board will pay 18 pounds to each of them.",
)
QUESTION = "What happened, when, and how many were concerned?"
Values = dict[str | None, list[TokenLogProbs]]


def check_engine_values(engine: VllmEngine, tokenizer: Any, expected: Mapping[str | None, Any], dtype: str) -> None:
    """Raise RunFailed unless the engine agrees with `expected` (of `expected_values`), for its base and each adapter."""
    for adapter, values in expected.items():
        found = _values(VllmScorer(engine, adapter), tokenizer)
        difference = max(float(abs(a - b).mean()) for a, b in zip(values, found, strict=True))
        who = engine.name if adapter is None else f"{engine.name} with {adapter}"
        if not difference <= TOLERANCE_NATS[dtype]:
            raise RunFailed(
                f"vLLM and transformers disagree on {who}: {difference:.3g} nats a token on average in {dtype}, at most "
                f"{TOLERANCE_NATS[dtype]:g} are let pass; set engine to hf, or dtype to float32 to see whether it is rounding"
            )
        logger.info("vLLM agrees with transformers on %s: %.2g nats a token", who, difference)


def expected_values(reference: ModelReference, dtype: str, tokenizer: Any, adapters: Sequence[str] = ()) -> Values:
    """The rows by transformers, for the base (None) and with each adapter. The model is gone from memory afterwards."""
    model = load_weights(reference, dtype)
    found: Values = {None: _values(Scorer(model), tokenizer)}
    if adapters:
        for number, adapter in enumerate(dict.fromkeys(adapters)):
            model = attach(model, adapter, reference, name=str(number))
            model.set_adapter(str(number))
            found[adapter] = _values(Scorer(model), tokenizer)
    del model
    free_memory()
    return found


def _values(scorer: ColumnScorer, tokenizer: Any) -> list[TokenLogProbs]:
    """Each document as a reply to the request to compress either of them, in the order of the documents."""
    prefixes = [compressor_ids(tokenizer, document, QUESTION) for document in DOCUMENTS]
    replies = [[*text_ids(tokenizer, document), end_of_turn_id(tokenizer)] for document in DOCUMENTS]
    columns = dict(scorer.score_tokens(prefixes, replies))
    return [np.asarray(row) for k in range(len(prefixes)) for row in columns[k]]
