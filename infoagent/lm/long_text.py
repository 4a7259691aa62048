"""Compressing texts of any length: in one prompt where they fit, else part by part and then the joined result.

A text of T tokens that does not fit is cut at paragraph, sentence or word borders into n parts of about T / n tokens.
Each part may take its share of the budget, the n parts together the whole of it; but no share falls below
LEAST_SHARE, since a few tokens say nothing of a part. If the joined compressions are then above the budget, they are
compressed again as a text of their own. Every such round at least halves the text, so there are at most log2(T).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infoagent.data.characters import border_before
from infoagent.data.segmentation import sentence_pieces
from infoagent.lm.context import Truncation, fit_to_context
from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.types import FinishReason, InputError, Problem

LEAST_SHARE = 32
"""Tokens that a part may take at least, if the budget is that high."""
LONGEST_JOIN = 64
"""Characters of white space between two pieces of a paragraph that are kept: a longer run could be larger than any part."""
MARGIN = 16
"""Tokens kept free: parts are measured piece by piece, and joined they may take a few more."""


@dataclass(frozen=True)
class CompressionTask:
    """How texts are compressed. `truncate` None: part by part."""

    query: str
    prompt: Prompt
    budget: int
    temperature: float = 0.0
    seed: int = 0
    truncate: Truncation | None = None
    batch_size: int = 8
    budget_range: tuple[int, int] | None = None
    """Of an any-rate adapter: its prompt names the budget, within this range of tokens."""

    def prompt_for(self, budget: int) -> Prompt:
        """Of a text that may take `budget` tokens, which are those of z alone: it is told not to think."""
        told = replace(self.prompt, thinking=False)
        if self.budget_range is None:
            return told
        low, high = self.budget_range
        return replace(told, budget_words=None, budget_tokens=min(max(budget, low), high))


@dataclass(frozen=True)
class LongCompression:
    """The compression of a text, and how it was made. `tokens` without the end of turn; `seconds` of generation.

    `parts` prompts were made from the text itself (1: it fitted), in `rounds` (1: the parts' compressions, joined, were
    within the budget). `finish` is "length" where a text that went into the result was cut at its limit.
    """

    text: str
    tokens: int
    source_tokens: int
    seconds: float
    finish: FinishReason
    parts: int
    rounds: int


def room_of(tokenizer: Any, context_tokens: int, task: CompressionTask) -> int:
    """Tokens of text that fit into one prompt. Raises InputError where question and budget leave too little."""
    empty = len(compressor_ids(tokenizer, "", task.query, task.prompt_for(task.budget)))
    room = context_tokens - empty - task.budget - MARGIN
    if room < max(task.budget, 4 * min(task.budget, LEAST_SHARE)):
        raise InputError(
            f"--budget {task.budget}: with a question of {empty} tokens it leaves {max(0, room)} of the model's context of "
            f"{context_tokens} for the text; lower it, shorten the question, or use a model with a longer context"
        )
    return room


def fitted(text: str, tokenizer: Any, context_tokens: int, task: CompressionTask) -> str:
    """The text as the task wants it: cut to the context under `truncate`, else whole. Raises InputError."""
    if task.truncate is None:
        if not _fits(text, tokenizer, context_tokens, task):
            room_of(tokenizer, context_tokens, task)
        return text
    problem = Problem("input", text, task.query, document_id="input")
    [problem] = fit_to_context(
        [problem], tokenizer, context_tokens, task.budget, task.truncate, task.prompt_for(task.budget), setting="--truncate"
    )
    return problem.document


def compress_texts(lm: LoadedModel, texts: Sequence[str], task: CompressionTask) -> list[LongCompression]:
    """Compressions of `texts` (each through `fitted`), their prompts generated together in batches."""
    tokenizer = lm.tokenizer
    current = list(texts)
    done: dict[int, LongCompression] = {}
    seconds = [0.0] * len(texts)
    parts_of: dict[int, int] = {}
    rounds = 0
    while len(done) < len(texts):
        rounds += 1
        open_texts = [i for i in range(len(texts)) if i not in done]
        parts = {i: split_to_fit(current[i], lm, task) for i in open_texts}
        flat = [(i, part, share_of(task.budget, len(parts[i]))) for i in open_texts for part in parts[i]]
        made: dict[int, list[Any]] = {i: [] for i in open_texts}
        for batch, compressions in _generate(lm, flat, task, rounds):
            for (i, _, _), z in zip(batch, compressions, strict=True):
                made[i].append(z)
                seconds[i] += z.seconds
        for i in open_texts:
            parts_of.setdefault(i, len(parts[i]))
            joined = "\n".join(z.text.strip() for z in made[i] if z.text.strip())
            tokens = made[i][0].rate_tokens if len(parts[i]) == 1 else len(text_ids(tokenizer, joined))
            if len(parts[i]) > 1 and tokens > task.budget:
                current[i] = joined
                continue
            done[i] = LongCompression(
                text=made[i][0].text if len(parts[i]) == 1 else joined,
                tokens=tokens,
                source_tokens=len(text_ids(tokenizer, texts[i])),
                seconds=seconds[i],
                finish="length" if any(z.finish == "length" for z in made[i]) else "stop",
                parts=parts_of[i],
                rounds=rounds,
            )
    return [done[i] for i in range(len(texts))]


def _fits(text: str, tokenizer: Any, context_tokens: int, task: CompressionTask) -> bool:
    if task.prompt.pick_tokens is None and _count(text, tokenizer) > context_tokens:
        return False
    return len(compressor_ids(tokenizer, text, task.query, task.prompt_for(task.budget))) + task.budget <= context_tokens


def share_of(budget: int, parts: int) -> int:
    """Tokens that each of `parts` may take; their line breaks are part of the budget."""
    if parts == 1:
        return budget
    return max(min(budget, LEAST_SHARE), (budget - (parts - 1)) // parts)


def _generate(
    lm: LoadedModel, flat: Sequence[tuple[int, str, int]], task: CompressionTask, round_number: int
) -> Iterator[tuple[list[tuple[int, str, int]], list[Any]]]:
    """Batches of the same share, in the order of `flat`."""
    for share in sorted({share for _, _, share in flat}):
        same = [entry for entry in flat if entry[2] == share]
        for start in range(0, len(same), task.batch_size):
            batch = same[start : start + task.batch_size]
            prompts = [compressor_ids(lm.tokenizer, part, task.query, task.prompt_for(share)) for _, part, _ in batch]
            # a seed of its own for each batch: equal seeds would draw alike for parts that are alike
            seed = task.seed + 1000 * (round_number - 1) + start
            yield batch, generate(lm, prompts, [str(i) for i, _, _ in batch], share, task.temperature, seed)


def split_to_fit(text: str, lm: LoadedModel, task: CompressionTask) -> list[str]:
    """[text] where its prompt and the budget fit the context, else its parts."""
    if _fits(text, lm.tokenizer, lm.context_tokens, task):
        return [text]
    return split_text(text, room_of(lm.tokenizer, lm.context_tokens, task), lm.tokenizer)


def split_text(text: str, room: int, tokenizer: Any) -> list[str]:
    """Parts of `text` of at most `room` tokens and of about equal size, cut at the best borders there are.

    No text but white space at the cuts is lost, and blank lines between paragraphs are one: rows and lines stay.
    (`infoagent.data.passages.cut` makes passages for questions: it drops short rests and tables.)
    """
    pieces = list(_pieces(text, room, tokenizer))
    fewest = len(_pack(pieces, room))
    low, high = 1, room  # the lowest limit that needs no more parts makes them most alike
    while low < high:
        middle = (low + high) // 2
        if len(_pack(pieces, middle)) > fewest:
            low = middle + 1
        else:
            high = middle
    return _pack(pieces, high)


def _pack(pieces: Sequence[tuple[str, str, int]], limit: int) -> list[str]:
    parts: list[str] = []
    filled = 0
    for separator, piece, tokens in pieces:
        if not parts or filled + tokens > limit:
            parts.append(piece)
            filled = tokens
        else:
            parts[-1] += separator + piece
            filled += tokens
    return parts


def _pieces(text: str, room: int, tokenizer: Any) -> Iterator[tuple[str, str, int]]:
    """(what joins it to the piece before, piece, tokens with that join): paragraphs, else sentences, else words."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        tokens = _count("\n\n" + paragraph, tokenizer)
        if tokens <= room:
            yield "\n\n", paragraph, tokens
            continue
        join = "\n\n"
        for sentence in sentence_pieces(paragraph):
            kept = sentence.rstrip()
            for separator, piece in _halved(join, kept, room, tokenizer) if kept else ():
                yield separator, piece, _count(separator + piece, tokenizer)
            join = sentence[len(kept) :][:LONGEST_JOIN]


def _halved(separator: str, text: str, room: int, tokenizer: Any) -> Iterator[tuple[str, str]]:
    """`text`, or its halves until each takes at most `room` tokens; cut at the white space next to the middle, and in
    a text without any (Chinese, base64) next to the middle, between two characters."""
    if _count(separator + text, tokenizer) <= room or len(text) < 2:
        yield separator, text
        return
    middle = len(text) // 2
    borders = [m.span() for m in re.finditer(r"\s+", text) if m.start() > 0 and m.end() < len(text)]
    without = border_before(text, middle)
    start, end = min(borders, key=lambda b: abs(b[0] - middle), default=(without, without))
    yield from _halved(separator, text[:start], room, tokenizer)
    yield from _halved(text[start:end][:LONGEST_JOIN], text[end:], room, tokenizer)


def _count(text: str, tokenizer: Any) -> int:
    return len(text_ids(tokenizer, text))
