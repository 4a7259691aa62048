"""What rounds and compactions share: a batch of texts is written, scored under candidates, and read by a predictor.

Every text, score and answer is a record under the hash of what decides it, so a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from infoagent.applications.rounds.recipe import StepsRecipe
from infoagent.evaluation.compressing import failed_score, flops_fields
from infoagent.evaluation.identity import predictor_identity
from infoagent.evaluation.models import ModelPool, ModelScorer
from infoagent.evaluation.predicting import answer_texts
from infoagent.evaluation.records import RecordFile, Row, batches, content_key
from infoagent.evaluation.replies import Replies
from infoagent.lm.answering import PREDICTOR_TEMPLATE
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.generation import batch_seed
from infoagent.lm.models import FoundModel, find_model
from infoagent.lm.prompts import can_think, chat_ids, check_predictor_template, check_prompt, end_of_turn_id, predictor_messages
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.lm.scoring.pairs import Ids, Pair, each_alone, pair_log_probs, total
from infoagent.lm.thinking import behind_any_thought
from infoagent.recipes import ModelSection, PromptSection
from infoagent.recipes.evaluation import PredictorSection
from infoagent.records.json_form import object_of
from infoagent.types import Compression, InputError, Problem


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
    return {
        "model": section.model.model_dump(),
        "prompt": section.prompt.model_dump(),
        "max_tokens": section.max_tokens,
        "temperature": section.temperature,
        **find_model(section.model).identity,
    }


def critic_identity(section: ModelSection) -> dict[str, Any]:
    """What decides a score beside the texts: a critic whose weights or template were changed in place scores anew."""
    return {**section.model_dump(), **find_model(section).identity}


def check_writer(section: Writer) -> FoundModel:
    """Raises InputError where its template or its model is not there."""
    check_prompt(section.prompt, may_pick=False)  # the text is read once, and then other questions come
    return find_model(section.model)


def check_predictor(section: PredictorSection, longest: tuple[str, str]) -> None:
    """Raises InputError unless the predictor is there and can read the `longest` (context, question)."""
    check_predictor_template(section.template, "predictor")
    if section.kind == "endpoint":
        return
    model = find_model(section)
    context, prompt = model.context_tokens, chat_ids(model.tokenizer, predictor_messages(*longest, PREDICTOR_TEMPLATE))
    if len(prompt) + section.max_tokens > context:
        raise InputError(
            f"predictor {section.name!r}: its context holds {context} tokens, the longest text to answer from takes "
            f"{len(prompt)} with its question; shorten the texts, or take another predictor"
        )


# ---- writing, scoring, answering ---------------------------------------------------------------------------------


def write_missing(
    place: Workplace, section: Writer, heads: Sequence[Row], prompts: Sequence[Sequence[int]], ids: Sequence[str], stamp: str
) -> list[Row]:
    """The records of a batch of texts, one for each prompt; `heads` are their beginnings. Where one is missing the
    whole batch is drawn again, since the draw depends on it and on `stamp`."""
    if not all(place.records.settled(head["key"]) for head in heads):
        texts = place.pool.writer(section.model)(prompts, ids, section.max_tokens, section.temperature, seed=batch_seed(stamp))
        about = {"writer": writer_identity(section), "seed": place.recipe.seed}
        place.records.append(
            *(
                {**head, **about, **text_fields(place, section, len(prompt), text)}
                for head, prompt, text in zip(heads, prompts, texts, strict=True)
                if not place.records.settled(head["key"])
            )
        )
    return [place.records.rows[head["key"]] for head in heads]


def text_fields(place: Workplace, section: Writer, prompt_tokens: int, text: Compression) -> Row:
    """A text in its record: its status, itself, its length and what it took. The prompt is counted as read anew each time.

    A thought is no text, and what stands behind one is not what would be scored: both are failures.
    """
    cost = {
        "prompt_tokens": prompt_tokens,
        "seconds": text.seconds,
        **flops_fields(place.pool.architecture(section.model), prompt_tokens, text.rate_tokens),
    }
    # with special tokens, which may be the marks
    said = decode_whole(place.pool.tokenizer(section.model), text.token_ids)
    if behind_any_thought(said) != said:
        error = f"a thought, though it was told to write none: {said[:60]!r}"
        return {"status": "failed", "cause": "thinking", "error": error, "final": True, "reply": said, **cost}
    return {
        "status": "ok",
        "text": text.text,
        "token_ids": list(text.token_ids),
        "finish": text.finish,
        "stop_id": text.stop_id,
        "rate_tokens": text.rate_tokens,
        "rate_bytes": text.rate_bytes,
        **cost,
    }


def scored_ids(row: Mapping[str, Any], tokenizer: Any) -> Ids:
    """The tokens of a record's text as they are scored, with the end of turn where one was written."""
    z = Compression("", row["text"], tuple(row["token_ids"]), row["finish"], stop_id=row["stop_id"])
    return tuple(continuation_ids(z, end_of_turn_id(tokenizer)))


def scored_mode(place: Workplace, section: Writer) -> Row:
    """Of the key of a score: the thinking mode of a critic that has one."""
    return {"thinking": False} if can_think(place.pool.tokenizer(section.model)) else {}


@dataclass(frozen=True)
class Scoring:
    """Texts that are scored under their candidates as one record."""

    key: str
    critic: ModelSection
    pairs: Callable[[Any], list[Pair]]
    """Of (prefix, text), in the tokens of the critic's tokenizer."""
    head: Row
    """The beginning of the record."""
    width: int | None = None
    """Candidates of a row of log_probs; None: one row, as it is."""

    def row(self, values: list[float] | Exception) -> Row:
        if isinstance(values, Exception):
            return {"key": self.key, **self.head, **failed_score(values)}
        width = self.width
        rows = values if width is None else [values[i : i + width] for i in range(0, len(values), width)]
        return {"key": self.key, **self.head, "status": "ok", "log_probs": rows}


def score_missing(place: Workplace, scorings: Sequence[Scoring]) -> None:
    """log p(text | prefix) in nats of what has no record yet, all of one critic together: it then reads a document once.
    What cannot be scored fails alone."""
    by_critic: dict[str, dict[str, Scoring]] = {}
    for scoring in scorings:
        if not place.records.done(scoring.key):
            by_critic.setdefault(content_key(base=scoring.critic.model_dump()), {})[scoring.key] = scoring
    for missing in by_critic.values():
        group = list(missing.values())
        critic = place.pool.scorer(group[0].critic)

        def score(units: Sequence[list[Pair]], critic: ModelScorer = critic) -> list[list[float] | Exception]:
            found = pair_log_probs(critic.scorer, [pair for unit in units for pair in unit])
            return [[total(found[pair]) for pair in unit] for unit in units]

        values = each_alone(score, [scoring.pairs(critic.tokenizer) for scoring in group], lambda error: error)
        place.records.append(*(scoring.row(v) for scoring, v in zip(group, values, strict=True)))


def answer_key(recipe: StepsRecipe, problem: Problem, notes: str) -> str:
    judge = recipe.grading.judge
    return content_key(
        kind="answer",
        predictor=predictor_identity(recipe.predictor),
        notes=notes,
        seed=recipe.seed,
        problem=[problem.query, problem.answer, problem.choices, problem.references],
        grading=recipe.grading.model_dump(exclude={"judge"}) if recipe.predictor.how == "generation" else None,
        judge=predictor_identity(judge) if judge is not None else None,
    )


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
            recipe.answering,
            recipe.predictor,
            [notes for _, notes in pairs],
            [p for p, _ in pairs],
            place.replies,
            place.pool,
            (recipe.seed, 0),
        )
        place.records.append(
            *(
                {"key": key, "kind": "answer", "status": "ok", "problem_id": problem.id, "notes": notes, **object_of(part)}
                for key, (problem, notes), part in zip(names, pairs, answers, strict=True)
                if not place.records.done(key)
            )
        )
