"""Picking what a compressor reads: of a document, the sentences that match the question best.

A small model told to find one fact in a long text often writes of the wrong sentence, where BM25 finds the right one among its
first few nearly always. So BM25 may choose what the model reads, and the model what of it to keep:

    z ~ π(z | pick(x, q), q)

This is still a compressor of x: its probability under another document x_k is that under pick(x_k, q), which is what the scorer
computes, since both come from `compressor_ids`. What pick leaves out of x cannot be told, and earns nothing.

The best match stands last, next to the question. A version of the document with the asked fact changed then differs near the end of
the prompt alone, and the scorer reads what stands before only once.
"""

from __future__ import annotations

from typing import Any

from infoagent.data.ranking import bm25_order
from infoagent.data.segmentation import sentences
from infoagent.lm.control_tokens import text_ids
from infoagent.lm.detokenization import cut_to_room


def pick(tokenizer: Any, document: str, query: str, tokens: int) -> str:
    """Sentences of `document`, one a line, the best match for `query` last: from the best on each that still fits into `tokens`.

    Order and score are those of `bm25_order`: without a word in common with the question, the document's first sentences. A best
    sentence that alone is longer is cut. Lines are measured one by one; joined they may take a few tokens more.
    """
    found = [s.strip() for s in sentences(document)]
    chosen: list[str] = []
    room = tokens
    for index in bm25_order(found, query):
        length = len(text_ids(tokenizer, found[index] + "\n"))
        if not chosen and length > room:
            return cut_to_room(tokenizer, found[index], room)
        if 0 < length <= room and found[index]:
            chosen.append(found[index])
            room -= length
    return "\n".join(reversed(chosen))
