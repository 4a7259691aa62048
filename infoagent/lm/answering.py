"""What a reader makes of a compression: log p(answer | z, q), for the reward, the audit and the evaluation alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.lm.prompts import PREDICTOR_TEMPLATES, chat_ids, end_of_turn_id, predictor_messages, text_ids
from infoagent.lm.scoring.columns import ColumnScorer

PREDICTOR_TEMPLATE = next(iter(PREDICTOR_TEMPLATES))


def answer_log_probs(
    scorer: ColumnScorer,
    tokenizer: Any,
    notes: Sequence[str],
    query: str,
    options: Sequence[str],
    template: str = PREDICTOR_TEMPLATE,
) -> NDArray[np.float64]:
    """(notes, options) nats: log p(option as the complete reply | note, query). An empty note reads "(none)".

    Raises FloatingPointError where a value is not finite.
    """
    end = end_of_turn_id(tokenizer)
    prefixes = [chat_ids(tokenizer, predictor_messages(note, query, template)) for note in notes]
    replies = [[*text_ids(tokenizer, option), end] for option in options]
    return np.asarray(scorer.score(prefixes, replies).T)
