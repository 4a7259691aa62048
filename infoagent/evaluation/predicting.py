"""What predictors make of the compressions: the second half of a grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infoagent.evaluation.cells import Cell
from infoagent.evaluation.compressing import compression_key
from infoagent.evaluation.costing import flops_fields
from infoagent.evaluation.identity import predictor_identity
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Shard, batches, content_key
from infoagent.evaluation.replies import Question, Replies
from infoagent.grading import Limits, Method, SandboxFailed, code_grade, grade, judge_grade
from infoagent.lm.answering import PREDICTOR_TEMPLATE, answer_log_probs
from infoagent.lm.prompts import chat_ids, judge_messages, predictor_messages, text_ids
from infoagent.recipes import EvaluationRecipe
from infoagent.recipes.evaluation import PredictorSection
from infoagent.records.grid import Answer, GradeRecord, PredictionRecord, PredictorIdentity, known
from infoagent.records.json_form import from_json
from infoagent.types import Problem

CHOICE_TEMPLATE = "choice-v1"
TEMPLATES = {"math": "math-v1", "code": "code-v1"}
"""How a predictor that writes is asked, by the way of grading; else by whether there are choices."""


def prediction_key(recipe: EvaluationRecipe, cell: Cell, predictor: PredictorSection, index: int, sample: int, seed: int) -> str:
    problem = cell.problems[index]
    execution = set() if recipe.grading.execute else {"execute", "trial_seconds", "trial_memory_mib"}
    grading = recipe.grading.model_dump(exclude={"judge", "unprotected", *execution}) if predictor.how == "generation" else None
    judge = predictor_identity(recipe.grading.judge) if grading and recipe.grading.judge else None
    return content_key(
        kind="prediction",
        compression=compression_key(cell, index, sample, seed),
        answer=problem.answer,
        predictor=predictor_identity(predictor),
        choices=problem.choices,
        references=problem.references,
        grading=grading,
        judge=judge,
    )


def predict_cell(
    recipe: EvaluationRecipe,
    cell: Cell,
    predictor: PredictorSection,
    sample: int,
    seed: int,
    records: RecordFile,
    replies: Replies,
    pool: ModelPool,
    shard: Shard,
    bar: Any,
) -> None:
    """Ask a predictor that sees the compression and the question alone. What is there already is left alone."""
    for number, batch in batches(len(cell.problems), recipe.batch_size):
        if not shard.has(number):
            continue
        bar.update(len(batch))
        asked = [i for i in batch if _can_be_asked(cell, i, sample, seed, records)]
        keys = {i: prediction_key(recipe, cell, predictor, i, sample, seed) for i in asked}
        if all(records.done(key) for key in keys.values()):
            continue
        heads = {i: _head(keys[i], cell, predictor, i, sample, seed, records) for i in asked}
        texts = [known(records.compression(head.compression_key).text) for head in heads.values()]
        problems = [cell.problems[i] for i in asked]
        if predictor.how == "likelihood":
            for i, text, problem in zip(asked, texts, problems, strict=True):
                if not records.done(keys[i]):
                    records.append(replace(heads[i], **vars(_likelihood(pool, predictor, text, problem))))
            continue
        answers = _generation(recipe, predictor, texts, problems, replies, (seed, sample))
        records.append(
            *(replace(heads[i], **vars(answer)) for i, answer in zip(asked, answers, strict=True) if not records.done(keys[i]))
        )


def _can_be_asked(cell: Cell, index: int, sample: int, seed: int, records: RecordFile) -> bool:
    key = compression_key(cell, index, sample, seed)
    return cell.problems[index].answer is not None and records.done(key)


def _head(
    key: str, cell: Cell, predictor: PredictorSection, index: int, sample: int, seed: int, records: RecordFile
) -> PredictionRecord:
    source = records.compression(compression_key(cell, index, sample, seed))
    who = from_json(PredictorIdentity, {"label": predictor.title, **predictor_identity(predictor)})
    return PredictionRecord(
        key=key,
        compression_key=source.key,
        compressor=source.compressor,
        predictor=who,
        data=source.data,
        problem_id=source.problem_id,
        document_id=source.document_id,
        sample=sample,
        seed=seed,
    )


def _likelihood(pool: ModelPool, predictor: PredictorSection, text: str, problem: Problem) -> Answer:
    """log p(choice as the complete reply) for every choice; without choices only the answer's NLL."""
    reader = pool.scorer(predictor.model, predictor.engine)
    options = problem.choices or (str(problem.answer),)
    template = predictor.template or PREDICTOR_TEMPLATE
    start = time.perf_counter()
    try:
        [log_probs] = answer_log_probs(reader.scorer, reader.tokenizer, [text], problem.query, options, template)
        if not np.isfinite(log_probs).all():
            raise FloatingPointError("an option has no finite log-probability; try dtype float32")
    except FloatingPointError as error:
        return Answer(status="failed", cause="prediction", error=f"prediction: {error}")
    right = options.index(str(problem.answer))
    prompt = len(chat_ids(reader.tokenizer, predictor_messages(text, problem.query, template)))
    lengths = [len(text_ids(reader.tokenizer, option)) + 1 for option in options]  # each with its end of turn
    return Answer(
        answer_nll_nats=float(-log_probs[right]),
        answer_tokens=lengths[right],
        choice_log_probs=log_probs.tolist(),
        seconds=time.perf_counter() - start,
        usage={"prompt_tokens": prompt, "cached_tokens": 0, "completion_tokens": sum(lengths), "calls": 1, "retries": 0},
        correct=int(np.argmax(log_probs)) == right if problem.choices else None,
        **flops_fields(pool.architecture(predictor.model), prompt, sum(lengths)),
    )


def _generation(
    recipe: EvaluationRecipe,
    predictor: PredictorSection,
    texts: Sequence[str],
    problems: Sequence[Problem],
    replies: Replies,
    draw: tuple[int, int],
) -> list[Answer]:
    drawn = draw if predictor.temperature > 0 else ()
    questions = []
    for text, problem in zip(texts, problems, strict=True):
        usual = CHOICE_TEMPLATE if problem.choices else PREDICTOR_TEMPLATE
        template = predictor.template or TEMPLATES.get(recipe.grading.method, usual)
        questions.append(Question(predictor_messages(text, problem.query, template, problem.choices), drawn))
    answers = []
    for problem, said in zip(problems, replies.ask(predictor, questions), strict=True):
        spent = {name: said[name] for name in ("usage", "usd", "seconds", *FLOPS) if name in said}
        answer = Answer(reply_key=said["key"], **spent)
        if said["status"] == "ok":
            answers.append(_graded(recipe, replace(answer, reply=said["text"]), problem))
        else:
            answers.append(replace(answer, status="failed", cause=said["cause"], error=said["error"]))
    if recipe.grading.judge is not None:
        return _let_judge(recipe.grading.judge, problems, answers, replies)
    return answers


FLOPS = ("parameters", "gflops_prefill", "gflops_decode", "gflops_paper")


def _graded(recipe: EvaluationRecipe, answer: Answer, problem: Problem) -> Answer:
    section, reply = recipe.grading, known(answer.reply)
    if section.method == "code":
        assert problem.trial is not None
        try:
            limits = Limits(section.trial_seconds, section.trial_memory_mib)
            verdict = code_grade(reply, problem.trial, limits, section.unprotected)
        except SandboxFailed as error:  # it says nothing about the reply
            return replace(answer, status="failed", cause="sandbox", error=str(error))
    else:
        method: Method = "auto" if section.method == "judge" else section.method
        verdict = grade(
            reply,
            str(problem.answer),
            choices=problem.choices,
            references=problem.references,
            method=method,
            relative_tolerance=section.relative_tolerance,
        )
    return replace(answer, correct=verdict.correct, grade=GradeRecord.of(verdict), f1=verdict.f1)


def _let_judge(judge: PredictorSection, problems: Sequence[Problem], answers: Sequence[Answer], replies: Replies) -> list[Answer]:
    """A judge decides; the exact grade stays beside it. An unparseable verdict is a failure, not a wrong answer."""
    judged = list(answers)
    asked = [n for n, answer in enumerate(answers) if answer.reply is not None]
    questions = [Question(judge_messages(problems[n].query, str(problems[n].answer), known(answers[n].reply))) for n in asked]
    for n, said in zip(asked, replies.ask(judge, questions), strict=True):
        answer = replace(answers[n], judge_reply_key=said["key"], judge_usd=said.get("usd"))
        if said["status"] != "ok":
            judged[n] = replace(answer, status="failed", cause=f"judge: {said['cause']}", error=said["error"])
            continue
        verdict = judge_grade(said["text"])
        answer = replace(answer, exact_grade=answer.grade, grade=GradeRecord.of(verdict), correct=verdict.correct)
        if verdict.unparseable:
            error = f"judge replied {said['text'][:200]!r}"
            answer = replace(answer, status="failed", cause="judge: unparseable", error=error)
        judged[n] = answer
    return judged


def answer_texts(
    recipe: EvaluationRecipe,
    predictor: PredictorSection,
    texts: Sequence[str],
    problems: Sequence[Problem],
    replies: Replies,
    pool: ModelPool,
    draw: tuple[int, int],
) -> list[Answer]:
    """What the predictor makes of each text and the question of its problem."""
    if predictor.how == "likelihood":
        return [_likelihood(pool, predictor, text, p) for text, p in zip(texts, problems, strict=True)]
    return _generation(recipe, predictor, texts, problems, replies, draw)
