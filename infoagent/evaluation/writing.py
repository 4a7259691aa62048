"""What a compressor writes, and the z that is taken from it.

A text is its own z. Of a form, z is the canonical text of the JSON that was written, in the tokens of the scorer's
tokenizer; of a thinking compressor, what stands behind the thought. What was written beside z is no part of z, and is
paid for. A reply without a z is a failure with its reason: never an empty z, and never drawn again until one fits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infoagent.baselines import PICKERS, compress_extractive
from infoagent.evaluation.cells import Cell
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import Row
from infoagent.evaluation.replies import Question, Replies, writer_section
from infoagent.files import clean_text
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.generation import batch_seed
from infoagent.lm.models import frozen
from infoagent.lm.prompts import UNFINISHED, WITHOUT_THOUGHT, compressor_ids, compressor_messages, text_ids
from infoagent.lm.thinking import Thinking, behind_any_thought, generate_thinking, marks_of
from infoagent.structured import Unfit
from infoagent.types import Compression, Problem


@dataclass(frozen=True)
class Written:
    """A compression, or why there is none: `cause` in words that can be counted, and `error` in one line."""

    z: Compression | None
    reply: str | None = None
    """All that was written, where that is not z."""
    cost: Row = field(default_factory=dict)
    """Fields of its record: tokens, seconds, money, as far as they are known."""
    cause: str = ""
    error: str = ""
    is_final: bool = True
    """Of a failure: whether it is what the compressor wrote, and not a server that can be asked again."""


def write(cell: Cell, batch: Sequence[int], sample: int, seed: int, pool: ModelPool, replies: Replies) -> list[Written]:
    """What the compressor of a cell makes of a batch of its problems; a draw depends on the batch."""
    problems = [cell.problems[i] for i in batch]
    with pool.times("generate"):
        if cell.compressor.kind == "lm":
            drawn = _by_model(cell, problems, sample, seed, pool)
        elif cell.compressor.kind == "endpoint":
            drawn = _by_server(cell, problems, sample, seed, pool, replies)
        else:
            return [Written(z, cost={"generation_seconds": z.seconds}) for z in _picked(cell, problems, sample, seed, pool)]
    return drawn if cell.form is None else [_in_form(cell, found, pool) for found in drawn]


def _by_model(cell: Cell, problems: Sequence[Problem], sample: int, seed: int, pool: ModelPool) -> list[Written]:
    section, tokenizer = cell.compressor, pool.tokenizer(cell.compressor.model)
    prompts = [compressor_ids(tokenizer, p.document, p.query, cell.asked) for p in problems]
    ids = [p.id for p in problems]
    number = batch_seed(seed, sample, problems[0].id)
    draw = pool.writer(section.model, cell.engine)
    if section.thinks:
        marks = marks_of(tokenizer, section.prompt.template in WITHOUT_THOUGHT, section.model.name)
        length = Thinking(section.longest_thought, forced=section.thinking is not True)
        thoughts = generate_thinking(
            draw, tokenizer, marks, prompts, ids, section.max_tokens, section.temperature, number, sample, length
        )
        found = []
        for thought in thoughts:
            cost = {
                "generation_seconds": thought.seconds,
                "written_tokens": thought.tokens,
                "thinking_tokens": thought.thinking_tokens,
            }
            if thought.z is None:
                error = f"no {marks[1]} within {length.most_tokens} tokens: {_tail(thought.text)}"
                found.append(Written(None, thought.text, cost, UNFINISHED, error))
            else:
                found.append(Written(thought.z, thought.text, cost))
        return found
    constrained = section.form is not None and section.form.constrained
    schema = {"schema": cell.form.schema} if constrained and cell.form is not None else {}
    texts = draw(prompts, ids, section.max_tokens, section.temperature, seed=number, sample=sample, **schema)
    return [Written(z, cost={"generation_seconds": z.seconds, "written_tokens": z.rate_tokens}) for z in texts]


def _by_server(cell: Cell, problems: Sequence[Problem], sample: int, seed: int, pool: ModelPool, replies: Replies) -> list[Written]:
    tokenizer = pool.tokenizer(frozen(cell.compressor.model))
    questions = [Question(compressor_messages(p.document, p.query, cell.asked, tokenizer), (seed, sample)) for p in problems]
    rows = replies.ask(writer_section(cell.compressor, cell.form), questions)
    return [_of_reply(cell, p, row, sample, tokenizer) for p, row in zip(problems, rows, strict=True)]


def _of_reply(cell: Cell, problem: Problem, row: Row, sample: int, tokenizer: Any) -> Written:
    cost: Row = {"reply_key": row["key"], "usage": row["usage"], "usd": row["usd"], "generation_seconds": row["seconds"]}
    written = None if row["usage"]["estimated"] else row["usage"]["completion_tokens"]
    if row["status"] != "ok":
        is_final = row.get("final", False)
        if is_final and written is not None:  # a thought took all of it
            cost |= {"written_tokens": written, "thinking_tokens": written}
        return Written(None, None, cost, row["cause"], row["error"], is_final=is_final)
    if written is not None:
        cost["written_tokens"] = written
    text, thought, spent = row["text"], row.get("thinking"), row.get("thinking_tokens")
    if cell.asked.thinking is not None and thought is None:  # the server leaves the thought in the text, or tells none of it
        behind = behind_any_thought(text)
        if behind == text and cell.asked.thinking and row["finish"] == "length" and not spent:
            behind = None  # some servers open the thought in the prompt: what is cut before a closing mark is all thought
        if behind is None:
            cost |= _thought_cost(text, written, tokenizer)
            return Written(None, text, cost, UNFINISHED, f"no end of the thought in the reply: {_tail(text)}")
        thought, text = text[: len(text) - len(behind)], behind
        if not thought and spent is None:
            spent = 0
    if thought and not spent:
        cost |= _thought_cost(thought, None, tokenizer)
    elif spent is not None:
        cost["thinking_tokens"] = spent
    z = Compression(
        problem.id,
        text,
        tuple(text_ids(tokenizer, text)),
        "length" if row["finish"] == "length" else "stop",
        sample,
        row["seconds"],
    )
    if cell.compressor.thinks and len(z.token_ids) > cell.compressor.max_tokens:  # the server had room for a thought too
        ids = z.token_ids[: cell.compressor.max_tokens]
        z = replace(z, text=clean_text(decode_whole(tokenizer, ids, skip_special_tokens=True)), token_ids=ids, finish="length")
    reply = f"{thought or ''}{text}"
    return Written(z, None if reply == z.text else reply, cost)


def _thought_cost(thought: str, counted: int | None, tokenizer: Any) -> Row:
    """The tokens of a thought; where nobody has counted them, the scorer's tokenizer does."""
    if counted is not None:
        return {"thinking_tokens": counted}
    return {"thinking_tokens": len(text_ids(tokenizer, thought)), "thinking_estimated": True}


def _picked(cell: Cell, problems: Sequence[Problem], sample: int, seed: int, pool: ModelPool) -> list[Compression]:
    section, tokenizer = cell.compressor, pool.tokenizer(frozen(cell.compressor.model))
    found = []
    for problem in problems:
        start = time.perf_counter()
        if section.kind in PICKERS:
            text = compress_extractive(
                section.kind,
                problem,
                sentences=section.sentences,
                tokens=section.tokens,
                count_tokens=lambda t: len(text_ids(tokenizer, t)),
                seed=seed * 1000 + sample,
            )
        else:
            text = problem.document if section.kind == "full-document" else ""
        text = clean_text(text)
        ids = tuple(text_ids(tokenizer, text))
        found.append(Compression(problem.id, text, ids, "stop", sample, time.perf_counter() - start))
    return found


def _in_form(cell: Cell, written: Written, pool: ModelPool) -> Written:
    """z in its canonical spelling. What was cut off may still be whole; otherwise the cut is the reason."""
    if written.z is None or cell.form is None:
        return written
    said = written.z.text
    reply = written.reply or said
    try:
        text = cell.form.read(said)
    except Unfit as error:
        cut = written.z.finish == "length" and error.cause == "broken JSON"
        cause = "form: cut off" if cut else f"form: {error.cause}"
        return replace(written, z=None, reply=reply, cause=cause, error=str(error))
    ids = tuple(text_ids(pool.tokenizer(frozen(cell.compressor.model)), text))
    z = Compression(written.z.problem_id, text, ids, "stop", written.z.sample, written.z.seconds)
    return replace(written, z=z, reply=reply)


def _tail(text: str) -> str:
    return repr(text[-60:])
