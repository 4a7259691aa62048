"""What predictors make of the compressions: the second half of a grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from infoagent.evaluation.cells import Cell
from infoagent.evaluation.compressing import compression_key
from infoagent.evaluation.costing import flops_fields
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Row, Shard, batches, content_key
from infoagent.evaluation.replies import Question, Replies, predictor_identity
from infoagent.grading import Limits, Method, SandboxFailed, code_grade, grade, judge_grade
from infoagent.lm.answering import PREDICTOR_TEMPLATE, answer_log_probs
from infoagent.lm.prompts import chat_ids, judge_messages, predictor_messages, text_ids
from infoagent.recipes import EvaluationRecipe
from infoagent.recipes.evaluation import PredictorSection
from infoagent.types import Problem

CHOICE_TEMPLATE = "choice-v1"
TEMPLATES = {"math": "math-v1", "code": "code-v1"}
"""How a predictor that writes is asked, by the way of grading; else by whether there are choices."""


def prediction_key(
    recipe: EvaluationRecipe, cell: Cell, predictor: PredictorSection, index: int, sample: int, seed: int
) -> str:
    problem = cell.problems[index]
    execution = set() if recipe.grading.execute else {"execute", "trial_seconds", "trial_memory_mib"}
    grading = (
        recipe.grading.model_dump(exclude={"judge", "unprotected", *execution})
        if predictor.how == "generation"
        else None
    )
    judge = predictor_identity(recipe.grading.judge) if grading and recipe.grading.judge else None
    return content_key(
        kind="prediction", compression=compression_key(cell, index, sample, seed), answer=problem.answer,
        predictor=predictor_identity(predictor), choices=problem.choices, references=problem.references,
        grading=grading, judge=judge,
    )  # fmt: skip


def predict_cell(
    recipe: EvaluationRecipe, cell: Cell, predictor: PredictorSection, sample: int, seed: int, records: RecordFile,
    replies: Replies, pool: ModelPool, shard: Shard, bar: Any,
) -> None:  # fmt: skip
    """Ask a predictor that sees the compression and the question alone. What is there already is left alone."""
    for number, batch in batches(len(cell.problems), recipe.batch_size):
        if not shard.has(number):
            continue
        bar.update(len(batch))
        asked = [i for i in batch if _can_be_asked(cell, i, sample, seed, records)]
        keys = {i: prediction_key(recipe, cell, predictor, i, sample, seed) for i in asked}
        if all(records.done(key) for key in keys.values()):
            continue
        heads = {i: _head(cell, predictor, i, sample, seed, records) for i in asked}
        texts = [records.rows[heads[i]["compression_key"]]["text"] for i in asked]
        problems = [cell.problems[i] for i in asked]
        if predictor.how == "likelihood":
            for i, text, problem in zip(asked, texts, problems, strict=True):
                if not records.done(keys[i]):
                    records.append({"key": keys[i], **heads[i], **_likelihood(pool, predictor, text, problem)})
            continue
        parts = _generation(recipe, predictor, texts, problems, replies, (seed, sample))
        records.append(
            *(
                {"key": keys[i], **heads[i], **part}
                for i, part in zip(asked, parts, strict=True)
                if not records.done(keys[i])
            )
        )


def _can_be_asked(cell: Cell, index: int, sample: int, seed: int, records: RecordFile) -> bool:
    key = compression_key(cell, index, sample, seed)
    return cell.problems[index].answer is not None and records.done(key)


def _head(cell: Cell, predictor: PredictorSection, index: int, sample: int, seed: int, records: RecordFile) -> Row:
    source = records.rows[compression_key(cell, index, sample, seed)]
    return {
        "kind": "prediction", "status": "ok", "compression_key": source["key"], "compressor": source["compressor"],
        "predictor": {"label": predictor.title, **predictor_identity(predictor)}, "data": source["data"],
        "problem_id": source["problem_id"], "document_id": source["document_id"], "sample": sample, "seed": seed,
    }  # fmt: skip


def _likelihood(pool: ModelPool, predictor: PredictorSection, text: str, problem: Problem) -> Row:
    """log p(choice as the complete reply) for every choice; without choices only the answer's NLL."""
    judge = pool.judge(predictor.model, predictor.engine)
    options = problem.choices or (str(problem.answer),)
    template = predictor.template or PREDICTOR_TEMPLATE
    start = time.perf_counter()
    try:
        [log_probs] = answer_log_probs(judge.scorer, judge.tokenizer, [text], problem.query, options, template)
        if not np.isfinite(log_probs).all():
            raise FloatingPointError("an option has no finite log-probability; try dtype float32")
    except FloatingPointError as error:
        return {"status": "failed", "cause": "prediction", "error": f"prediction: {error}"}
    right = options.index(str(problem.answer))
    prompt = len(chat_ids(judge.tokenizer, predictor_messages(text, problem.query, template)))
    lengths = [len(text_ids(judge.tokenizer, option)) + 1 for option in options]  # each with its end of turn
    row: Row = {
        "answer_nll_nats": float(-log_probs[right]),
        "answer_tokens": lengths[right],
        "choice_log_probs": log_probs.tolist(),
        "seconds": time.perf_counter() - start,
        "usage": {"prompt_tokens": prompt, "cached_tokens": 0, "completion_tokens": sum(lengths), "calls": 1, "retries": 0},
        **flops_fields(pool.architecture(predictor.model), prompt, sum(lengths)),
    }  # fmt: skip
    if problem.choices:
        row["correct"] = int(np.argmax(log_probs)) == right
    return row


def _generation(
    recipe: EvaluationRecipe, predictor: PredictorSection, texts: Sequence[str], problems: Sequence[Problem],
    replies: Replies, draw: tuple[int, int],
) -> list[Row]:  # fmt: skip
    drawn = draw if predictor.temperature > 0 else ()
    questions = []
    for text, problem in zip(texts, problems, strict=True):
        usual = CHOICE_TEMPLATE if problem.choices else PREDICTOR_TEMPLATE
        template = predictor.template or TEMPLATES.get(recipe.grading.method, usual)
        questions.append(Question(predictor_messages(text, problem.query, template, problem.choices), drawn))
    parts = []
    for problem, answer in zip(problems, replies.ask(predictor, questions), strict=True):
        part: Row = {"reply_key": answer["key"]}
        part |= {k: answer[k] for k in ("usage", "usd", "seconds", *FLOPS) if k in answer}
        if answer["status"] != "ok":
            parts.append({**part, "status": "failed", "cause": answer["cause"], "error": answer["error"]})
            continue
        parts.append({**part, "reply": answer["text"], **_graded(recipe, answer["text"], problem)})
    if recipe.grading.judge is not None:
        _let_judge(recipe, recipe.grading.judge, problems, parts, replies)
    return parts


FLOPS = ("parameters", "gflops_prefill", "gflops_decode", "gflops_paper")


def _graded(recipe: EvaluationRecipe, reply: str, problem: Problem) -> Row:
    section = recipe.grading
    if section.method == "code":
        assert problem.trial is not None
        try:
            limits = Limits(section.trial_seconds, section.trial_memory_mib)
            found = code_grade(reply, problem.trial, limits, section.unprotected)
        except SandboxFailed as error:  # it says nothing about the reply
            return {"status": "failed", "cause": "sandbox", "error": str(error)}
    else:
        method: Method = "auto" if section.method == "judge" else section.method
        found = grade(
            reply, str(problem.answer), choices=problem.choices, references=problem.references, method=method,
            relative_tolerance=section.relative_tolerance,
        )  # fmt: skip
    row: Row = {"correct": found.correct, "grade": asdict(found)}
    if found.f1 is not None:
        row["f1"] = found.f1
    return row


def _let_judge(
    recipe: EvaluationRecipe, judge: PredictorSection, problems: Sequence[Problem], parts: list[Row], replies: Replies
) -> None:
    """A judge decides; the exact grade stays beside it. An unparseable verdict is a failure, not a wrong answer."""
    asked = [n for n, part in enumerate(parts) if "reply" in part]
    questions = [Question(judge_messages(problems[n].query, str(problems[n].answer), parts[n]["reply"])) for n in asked]
    for n, answer in zip(asked, replies.ask(judge, questions), strict=True):
        parts[n]["judge_reply_key"] = answer["key"]
        if "usd" in answer:
            parts[n]["judge_usd"] = answer["usd"]
        if answer["status"] != "ok":
            parts[n] |= {"status": "failed", "cause": f"judge: {answer['cause']}", "error": answer["error"]}
            continue
        verdict = judge_grade(answer["text"])
        parts[n] |= {"exact_grade": parts[n].pop("grade"), "grade": asdict(verdict), "correct": verdict.correct}
        if verdict.unparseable:
            parts[n] |= {
                "status": "failed",
                "cause": "judge: unparseable",
                "error": f"judge replied {answer['text'][:200]!r}",
            }


def answer_texts(
    recipe: EvaluationRecipe, predictor: PredictorSection, texts: Sequence[str], problems: Sequence[Problem],
    replies: Replies, pool: ModelPool, draw: tuple[int, int],
) -> list[Row]:  # fmt: skip
    """What the predictor makes of each text and the question of its problem, as the fields of a record: those of an answer,
    or status failed with cause and error."""
    if predictor.how == "likelihood":
        return [_likelihood(pool, predictor, text, p) for text, p in zip(texts, problems, strict=True)]
    return _generation(recipe, predictor, texts, problems, replies, draw)
