"""Several rounds: the predictor reads a summary and asks again, the compressor answers with the next.

For each problem and system: round by round a question, a text; then the log-probabilities of all its texts under the
source and its negatives, with the questions and texts before them as they were; then what the predictor answers from
the texts so far, after each round. `infoagent.information.round_gains` says what is estimated, and why the questions cancel.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infoagent.applications.rounds.prompts import ask_messages, next_question, round_ids
from infoagent.applications.rounds.recipe import RoundsRecipe, SystemSection
from infoagent.applications.rounds.steps import (
    Scoring,
    Workplace,
    answer,
    answer_key,
    check_predictor,
    check_writer,
    critic_identity,
    score_missing,
    scored_ids,
    scored_mode,
    write_missing,
    writer_identity,
)
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.records import Row, batches, content_key
from infoagent.evaluation.replies import Question
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import frozen
from infoagent.lm.prompts import UNFINISHED, Prompt
from infoagent.lm.scoring.pairs import Pair
from infoagent.progress import Progress
from infoagent.recipes.evaluation import PredictorSection
from infoagent.store import text_id
from infoagent.types import Mistakes, Negative, Problem, ProblemSet

logger = logging.getLogger(__name__)
TURN_TOKENS = 64
"""Room for the template of a later round beside its question and the text before it."""


@dataclass(frozen=True)
class RoundsPlan:
    """Everything that is decided before a model loads."""

    recipe: RoundsRecipe
    data: ProblemSet
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]
    drawn: dict[str, Any]
    """What was left out or has too few negatives, by cause."""


@dataclass
class Talk:
    """What one system and the predictor said about one problem: the records of its rounds as far as they went."""

    problem: Problem
    negatives: tuple[Negative, ...]
    rounds: list[Row] = field(default_factory=list)
    failed: Row | None = None
    """The record of what ended it too soon: a question that was not written, a thought in place of a text."""
    scores: Row | None = None
    """The record of its scores, or of why it has none."""

    @property
    def questions(self) -> list[str]:
        return [row["question"] for row in self.rounds]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rounds]

    def notes(self, rounds: int) -> str:
        """What the predictor has after so many rounds."""
        return "\n".join(text.strip() for text in self.texts[:rounds] if text.strip())


def plan_rounds(recipe: RoundsRecipe) -> RoundsPlan:
    """Load data, check names and lengths, draw negatives. Raises InputError, all mistakes."""
    mistakes = Mistakes()
    data = load_data(**recipe.data.asked)
    problems = list(data.problems)
    longest_notes = 0
    for system in recipe.systems:
        with mistakes.of():
            model = check_writer(system)
            turn = system.max_tokens + recipe.question_tokens + TURN_TOKENS if system.remembers else 0
            problems = fit_to_context(
                problems,
                model.tokenizer,
                model.context_tokens,
                system.rounds * turn + system.max_tokens,
                recipe.data.truncate,
                Prompt.of(system.prompt, thinking=False),
            )
            longest_notes = max(longest_notes, system.rounds * system.max_tokens)
    with mistakes.of():
        query = max((p.query for p in problems), key=len, default="")
        check_predictor(recipe.predictor, ("word " * longest_notes, query))
    mistakes.end()
    drawn = take_negatives(problems, recipe.negatives.counts, recipe.negatives.seed)
    return RoundsPlan(recipe, drawn.of(data), drawn.problems, drawn.negatives, drawn.about(data))


def run_rounds(plan: RoundsPlan, place: Workplace, quiet: bool) -> dict[str, list[Talk]]:
    """Talk, score and answer whatever the records do not hold yet. Returns the talks of each system, by its label."""
    recipe = plan.recipe
    found: dict[str, list[Talk]] = {}
    for system in recipe.systems:
        talks = [Talk(p, n) for p, n in zip(plan.problems, plan.negatives, strict=True)]
        with Progress(len(talks) * system.rounds, f"{system.label}: ask and write", "text", quiet) as bar:
            for _, batch in batches(len(talks), recipe.batch_size):
                _talk(place, recipe, system, [talks[i] for i in batch], bar)
        found[system.label] = talks
    with Progress(len(plan.problems), "score", "problem", quiet) as bar:
        for index in range(len(plan.problems)):
            _score(place, [(system, found[system.label][index]) for system in recipe.systems])
            bar.update()
    asked = [
        (talk.problem, talk.notes(t))
        for talks in found.values()
        for talk in talks
        if talk.problem.answer is not None
        for t in range(1, len(talk.rounds) + 1)
    ]
    with Progress(len(asked), f"{recipe.predictor.title} answers", "text", quiet) as bar:
        answer(place, asked, bar)
    return found


def answer_of(place: Workplace, talk: Talk, rounds: int) -> Row | None:
    """The record of the answer after so many rounds; None where there is nothing to answer."""
    if talk.problem.answer is None:
        return None
    return place.records.rows.get(answer_key(place.recipe, talk.problem, talk.notes(rounds)))


def _talk(place: Workplace, recipe: RoundsRecipe, system: SystemSection, talks: Sequence[Talk], bar: Any) -> None:
    tokenizer, identity, prompt = place.pool.tokenizer(system.model), writer_identity(system), Prompt.of(system.prompt)
    for number in range(1, system.rounds + 1):
        going = [talk for talk in talks if talk.failed is None]
        bar.update(len(talks) - len(going))
        asked = _questions(place, recipe, system, going, number)
        going = [talk for talk in going if talk.failed is None]
        prompts, heads = [], list[Row]()
        for talk in going:
            before = talk.texts if system.remembers else []
            questions = [*talk.questions, asked[talk.problem.id]["question"]]
            prompts.append(round_ids(tokenizer, talk.problem.document, questions, before, prompt))
            # a prompt holds document, questions and texts: systems that differ later share what they began with
            key = content_key(kind="round", writer=identity, prompt=prompts[-1], number=number, seed=recipe.seed)
            heads.append({"key": key, "kind": "round", "round": number, "problem_id": talk.problem.id})
        ids = [talk.problem.id for talk in going]
        rows = write_missing(place, system, heads, prompts, ids, f"{recipe.seed} {number} {ids[0]}") if ids else []
        for talk, row in zip(going, rows, strict=True):
            name = talk.problem.id
            if row["status"] == "ok":
                talk.rounds.append({**row, **asked[name]})
            else:
                talk.failed = {**row, "cause": f"text: {row['cause']}"}
                logger.warning("%s, %s, round %d: %s", system.label, name, number, row["error"])
        bar.update(len(going))


def asker(recipe: RoundsRecipe) -> PredictorSection:
    """The predictor as it writes questions."""
    changes = {"mode": "generation", "max_tokens": recipe.question_tokens, "temperature": recipe.question_temperature}
    return recipe.predictor.model_copy(update=changes)


COSTS = ("usage", "usd", "seconds", "gflops_prefill", "gflops_decode")


def _questions(place: Workplace, recipe: RoundsRecipe, system: SystemSection, talks: Sequence[Talk], number: int) -> dict[str, Row]:
    """By problem: the question of this round, and what it took to write it. A talk without one ends as failed."""
    if number == 1 or not system.asks_on or not talks:
        return {talk.problem.id: {"question": talk.problem.query} for talk in talks}
    chats = [ask_messages(talk.problem.query, talk.notes(number - 1)) for talk in talks]
    drawn = recipe.question_temperature > 0
    draw_of = (recipe.seed, number) if drawn else ()
    rows = place.replies.ask(asker(recipe), [Question(chat, draw_of, thinking=False) for chat in chats])
    found = {}
    for talk, row in zip(talks, rows, strict=True):
        cost = {name: row[name] for name in COSTS if name in row}
        question = next_question(row["text"]) if row["status"] == "ok" else ""
        if question:
            found[talk.problem.id] = {"question": question, "reply_key": row["key"], "asking": cost}
            continue
        why = row
        if row["status"] == "ok":
            shown = repr(row["text"][:60])
            why = {"cause": "empty", "error": f"the predictor's reply holds no text: {shown}"}
            if question is None:
                hint = "turn it off (of a server: predictor.endpoint.extra), or raise question_tokens"
                why = {"cause": UNFINISHED, "error": f"the predictor's thought has no end: {shown}; {hint}"}
        talk.failed = {"status": "failed", "round": number, "cause": f"question: {why['cause']}", "error": why["error"]}
        logger.warning("%s, %s, round %d: %s", system.label, talk.problem.id, number, why["error"])
    return found


def _score(place: Workplace, talks: Sequence[tuple[SystemSection, Talk]]) -> None:
    """All talks about one problem."""
    keys = [_scores_key(place, system, talk) for system, talk in talks]
    score_missing(
        place,
        [
            Scoring(key, frozen(system.model), partial(_pairs, system, talk), *_scores_head(talk))
            for key, (system, talk) in zip(keys, talks, strict=True)
            if talk.rounds
        ],
    )
    for key, (_, talk) in zip(keys, talks, strict=True):
        talk.scores = place.records.rows.get(key)


def _scores_key(place: Workplace, system: SystemSection, talk: Talk) -> str:
    return content_key(
        kind="round scores",
        base=critic_identity(frozen(system.model)),
        prompt=system.prompt.model_dump(),
        remembers=system.remembers,
        questions=talk.questions,
        texts=[row["token_ids"] for row in talk.rounds],
        ends=[row["stop_id"] for row in talk.rounds],
        documents=_documents(talk),
        **scored_mode(place, system),
    )


def _documents(talk: Talk) -> list[str]:
    return [talk.problem.document, *(n.document for n in talk.negatives)]


def _pairs(system: SystemSection, talk: Talk, tokenizer: Any) -> list[Pair]:
    """(prefix, text) of each round under each document, round by round."""
    found = []
    for t, row in enumerate(talk.rounds):
        text = scored_ids(row, tokenizer)
        before = talk.texts[:t] if system.remembers else []
        for document in _documents(talk):
            prefix = round_ids(tokenizer, document, talk.questions[: t + 1], before, Prompt.of(system.prompt))
            found.append((tuple(prefix), text))
    return found


def _scores_head(talk: Talk) -> tuple[Row, int]:
    """(the beginning of the record, candidates of each round)."""
    candidates = ["source", *(n.kind for n in talk.negatives)]
    return {
        "kind": "round scores",
        "problem_id": talk.problem.id,
        "document_id": talk.problem.document_id,
        "document_key": text_id(talk.problem.document),
        "rounds": [row["key"] for row in talk.rounds],
        "questions": talk.questions,
        "candidates": candidates,
    }, len(candidates)
