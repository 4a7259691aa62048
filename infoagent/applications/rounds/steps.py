"""What rounds and compactions share: a batch of texts is written, scored under candidates, and read by a predictor.

Every text, score and answer is a record under the hash of what decides it, so a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from infoagent.applications.rounds.recipe import StepsRecipe
from infoagent.evaluation.compressing import flops_fields
from infoagent.evaluation.models import Judge, ModelPool
from infoagent.evaluation.predicting import answer_texts
from infoagent.evaluation.records import RecordFile, Row, batches, content_key
from infoagent.evaluation.replies import Replies, predictor_identity
from infoagent.lm.answering import PREDICTOR_TEMPLATE
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.models import (
    ModelReference,
    adapter_revision,
    check_adapter,
    context_tokens,
    load_config,
    load_tokenizer,
    record_identity,
    resolve,
)
from infoagent.lm.prompts import (
    can_think,
    chat_ids,
    check_predictor_template,
    check_template,
    end_of_turn_id,
    predictor_messages,
)
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.lm.thinking import behind_any_thought
from infoagent.recipes import ModelSection, PromptSection
from infoagent.recipes.evaluation import PredictorSection
from infoagent.records.json_form import object_of
from infoagent.types import Compression, InputError, Problem

Ids = tuple[int, ...]


class Writer(Protocol):
    """The part of a recipe's section that decides what a model writes."""

    @property
    def model(self) -> ModelSection: ...
    @property
    def prompt(self) -> PromptSection: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def temperature(self) -> float: ...


@dataclass(frozen=True)
class Workplace:
    """Models, records and replies of one run."""

    recipe: StepsRecipe
    records: RecordFile
    pool: ModelPool
    replies: Replies

    @classmethod
    def open(cls, recipe: StepsRecipe) -> Workplace:
        records, pool = RecordFile(recipe.output_dir), ModelPool(recipe.memory_mib)
        return cls(recipe, records, pool, Replies(recipe.answering, records, pool))


# ---- before a model loads ----------------------------------------------------------------------------------------


def writer_identity(section: Writer) -> dict[str, Any]:
    """What decides a text beside what is read: model, weights, prompt, length, temperature."""
    adapter = section.model.adapter
    return {
        "model": section.model.model_dump(), "prompt": section.prompt.model_dump(), "max_tokens": section.max_tokens,
        "temperature": section.temperature, "revision": record_identity(resolve(section.model.name, section.model.revision)),
        "adapter_revision": None if adapter is None else adapter_revision(adapter),
    }  # fmt: skip


def check_writer(section: Writer) -> tuple[ModelReference, Any, int]:
    """(reference, tokenizer, tokens of context) of a model that is there. Raises InputError, all mistakes."""
    check_template(section.prompt.template)
    if section.model.adapter is not None:
        check_adapter(section.model.adapter, section.model.name)
    reference = resolve(section.model.name, section.model.revision)
    return reference, load_tokenizer(reference), context_tokens(load_config(reference))


def check_predictor(section: PredictorSection, longest: tuple[str, str]) -> None:
    """Raises InputError unless the predictor is there and can read the `longest` (context, question)."""
    check_predictor_template(section.template, "predictor")
    if section.kind == "endpoint":
        return
    if section.adapter is not None:
        check_adapter(section.adapter, section.name)
    reference = resolve(section.name, section.revision)
    context = context_tokens(load_config(reference))
    prompt = chat_ids(load_tokenizer(reference), predictor_messages(*longest, PREDICTOR_TEMPLATE))
    if len(prompt) + section.max_tokens > context:
        raise InputError(
            f"predictor {section.name!r}: its context holds {context} tokens, the longest text to answer from takes "
            f"{len(prompt)} with its question; shorten the texts, or take another predictor"
        )


# ---- writing, scoring, answering ---------------------------------------------------------------------------------


def draw(
    place: Workplace, section: Writer, prompts: Sequence[Sequence[int]], ids: Sequence[str], stamp: str
) -> list[Compression]:
    """A text for each prompt. The draw depends on `stamp` and on the batch."""
    seed = int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:4], "little")
    write = place.pool.writer(section.model)
    return write(prompts, ids, section.max_tokens, section.temperature, seed=seed)


def text_fields(place: Workplace, section: Writer, prompt_tokens: int, text: Compression) -> Row:
    """A text in its record: its status, itself, its length and what it took. The prompt is counted as read anew each time.

    A thought is no text, and what stands behind one is not what would be scored: both are failures.
    """
    cost = {
        "prompt_tokens": prompt_tokens, "seconds": text.seconds,
        **flops_fields(place.pool.architecture(section.model), prompt_tokens, text.rate_tokens),
    }  # fmt: skip
    # with special tokens, which may be the marks
    said = decode_whole(place.pool.tokenizer(section.model), text.token_ids)
    if behind_any_thought(said) != said:
        error = f"a thought, though it was told to write none: {said[:60]!r}"
        return {"status": "failed", "cause": "thinking", "error": error, "final": True, "reply": said, **cost}
    return {
        "status": "ok", "text": text.text, "token_ids": list(text.token_ids), "finish": text.finish,
        "stop_id": text.stop_id, "rate_tokens": text.rate_tokens, "rate_bytes": text.rate_bytes, **cost,
    }  # fmt: skip


def scored_ids(row: Mapping[str, Any], tokenizer: Any) -> Ids:
    """The tokens of a record's text as they are scored, with the end of turn where one was written."""
    z = Compression("", row["text"], tuple(row["token_ids"]), row["finish"], stop_id=row["stop_id"])
    return tuple(continuation_ids(z, end_of_turn_id(tokenizer)))


def frozen(section: Writer) -> ModelSection:
    """Who scores: the base of the model that writes, without its adapter."""
    return section.model.model_copy(update={"adapter": None})


def scored_mode(place: Workplace, section: Writer) -> Row:
    """Of the key of a score: the thinking mode of a critic that has one."""
    return {"thinking": False} if can_think(place.pool.tokenizer(section.model)) else {}


def score_pairs(judge: Judge, pairs: Sequence[tuple[Ids, Ids]]) -> list[float]:
    """log p(text | prefix) in nats of each pair; prefixes that begin alike are read together, equal pairs once.

    Raises FloatingPointError where a value is not finite.
    """
    prefixes, texts = list(dict.fromkeys(p for p, _ in pairs)), list(dict.fromkeys(t for _, t in pairs))
    place = {text: number for number, text in enumerate(texts)}
    wanted = {prefix: list(dict.fromkeys(place[t] for p, t in pairs if p == prefix)) for prefix in prefixes}
    found: dict[tuple[Ids, Ids], float] = {}
    for k, columns in judge.scorer.score_tokens(prefixes, texts, [wanted[p] for p in prefixes]):
        for number, column in zip(wanted[prefixes[k]], columns, strict=True):
            found[prefixes[k], texts[number]] = float(column.sum(dtype=np.float64))
    if not np.isfinite(list(found.values())).all():
        raise FloatingPointError("a text has no finite log-probability; try dtype float32")
    return [found[pair] for pair in pairs]


def score_units(judge: Judge, units: Sequence[Sequence[tuple[Ids, Ids]]]) -> list[list[float] | str]:
    """The values of each unit's pairs, all units together; for a unit that cannot be scored the reason."""
    try:
        values = iter(score_pairs(judge, [pair for unit in units for pair in unit]))
        return [[next(values) for _ in unit] for unit in units]
    except FloatingPointError as error:
        if len(units) == 1:
            return [str(error)]
        return [found for unit in units for found in score_units(judge, [unit])]


def answer_key(recipe: StepsRecipe, problem: Problem, notes: str) -> str:
    judge = recipe.grading.judge
    return content_key(
        kind="answer", predictor=predictor_identity(recipe.predictor), notes=notes, seed=recipe.seed,
        problem=[problem.query, problem.answer, problem.choices, problem.references],
        grading=recipe.grading.model_dump(exclude={"judge"}) if recipe.predictor.how == "generation" else None,
        judge=predictor_identity(judge) if judge is not None else None,
    )  # fmt: skip


def answer(place: Workplace, asked: Sequence[tuple[Problem, str]], bar: Any) -> None:
    """Let the predictor answer from each text what was not answered yet; a batch of records is kept as it is done."""
    recipe = place.recipe
    keys = {answer_key(recipe, problem, notes): (problem, notes) for problem, notes in asked}
    bar.update(len(asked) - len(keys))
    for _, batch in batches(len(keys), recipe.batch_size):
        names = [list(keys)[i] for i in batch]
        bar.update(len(names))
        if all(place.records.done(key) for key in names):
            continue
        pairs = [keys[key] for key in names]
        answers = answer_texts(
            recipe.answering, recipe.predictor, [notes for _, notes in pairs], [p for p, _ in pairs], place.replies,
            place.pool, (recipe.seed, 0),
        )  # fmt: skip
        place.records.append(
            *(
                {
                    "key": key,
                    "kind": "answer",
                    "status": "ok",
                    "problem_id": problem.id,
                    "notes": notes,
                    **object_of(part),
                }
                for key, (problem, notes), part in zip(names, pairs, answers, strict=True)
                if not place.records.done(key)
            )
        )
