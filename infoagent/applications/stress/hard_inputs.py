"""Every compressor on every hard case, each case's reader after it, kept as they come.

A case ends in one of three ways, and is recorded with it: written (a compression), refused (with its cause, before any
model is asked), crashed (with the exception). What counts as a failure is decided afterwards, from the records.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from infoagent.applications.stress.admission import Admitted, Refusal, admit
from infoagent.applications.stress.hard_inputs_checks import InputsPlan, identity_of, problem_of, row_key
from infoagent.applications.stress.recipe import HardInputsRecipe
from infoagent.baselines import PICKERS, compress_extractive
from infoagent.data.sets.hard_cases import HardCase
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Row, batches
from infoagent.evaluation.replies import Question, Replies, check_endpoints
from infoagent.files import only_writer, write_jsonl
from infoagent.grading import is_looping
from infoagent.lm.generation import batch_seed
from infoagent.lm.long_text import CompressionTask, compress_texts, room_of
from infoagent.lm.models import find_model, frozen
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id, predictor_messages, text_ids
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.lm.scoring.pairs import each_alone, pair_log_probs, total
from infoagent.progress import Progress
from infoagent.recipes.compressors import CompressorSection
from infoagent.types import Compression, InputError

CRASHES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a hard input may do to the code: it is what this looks for, so it is recorded. A full disk or a signal is not."""
CASES_FILE = "cases.jsonl"


def run_inputs(plan: InputsPlan, quiet: bool) -> tuple[list[Row], dict[str, Row]]:
    """Compute what output_dir does not hold yet. Returns (the rows of this plan, {row's key: the reader's reply})."""
    recipe = plan.recipe
    _check_room(plan)
    check_endpoints(recipe.as_evaluation())
    with only_writer(recipe.output_dir):
        records = RecordFile(recipe.output_dir)
        write_jsonl(Path(recipe.output_dir) / CASES_FILE, [{"key": case.key, **asdict(case)} for case in plan.cases])
        pool = ModelPool(recipe.memory_mib)
        with Progress(len(plan.cases) * len(plan.compressors), "compress and score", "case", quiet) as bar:
            for _, group in groupby(plan.cases, key=lambda case: case.kind):
                cases = list(group)
                for _, batch in batches(len(cases), recipe.batch_size):
                    _compress(plan, [cases[i] for i in batch], records, pool, bar)
        rows = [records.rows[row_key(plan, s, case)] for s in plan.compressors for case in plan.cases]
        labels = [s.label for s in plan.compressors for _ in plan.cases]  # a label is a name for this plan only
        rows = [{**row, "compressor": {**row["compressor"], "label": label}} for row, label in zip(rows, labels, strict=True)]
        return rows, _read(plan, rows, records, pool, quiet)


def _check_room(plan: InputsPlan) -> None:
    """Raise InputError where a context leaves no room for a part of a document beside the longest question."""
    longest = max((case.query for case in plan.cases), key=len)
    for section in plan.compressors:
        if section.kind == "lm" and plan.recipe.long == "parts":
            tokenizer = find_model(section.model).tokenizer
            room_of(tokenizer, plan.contexts[section.label], _task(plan.recipe, section, longest))


def _compress(plan: InputsPlan, cases: Sequence[HardCase], records: RecordFile, pool: ModelPool, bar: Progress) -> None:
    """One batch of one kind by all compressors, then scored: texts under the same prompt share its reading."""
    new: dict[str, dict[str, Row]] = {}
    for section in plan.compressors:
        keys = [row_key(plan, section, case) for case in cases]
        bar.update(sum(_settled(records, key) for key in keys))
        if all(_settled(records, key) for key in keys):
            continue
        # the whole batch is drawn again even if a part is there: the draw depends on the batch
        rows = _written(plan, section, cases, pool)
        new[section.label] = {
            case.key: {"key": key, **row} for case, key, row in zip(cases, keys, rows, strict=True) if not _settled(records, key)
        }
    for case in cases:
        found = [(s, new[s.label][case.key]) for s in plan.compressors if case.key in new.get(s.label, {})]
        if plan.recipe.counterfactuals and case.counterfactuals:
            by_prompt: dict[str, list[tuple[CompressorSection, Row]]] = {}
            for section, row in found:
                if row["outcome"] == "written" and row["parts"] == 1 and section.kind != "full-document":
                    by_prompt.setdefault(f"{frozen(section.model)} {section.prompt}", []).append((section, row))
            for pack in by_prompt.values():
                _score(case, pack, pool)
        for _, row in found:
            row.pop("compression", None)
        records.append(*(row for _, row in found))
        bar.update(len(found))


def _settled(records: RecordFile, key: str) -> bool:
    """Whether a case is done. A refusal is what the package does with this input, and will do again."""
    return records.done(key) or (key in records.rows and records.rows[key]["outcome"] == "refused")


def _written(plan: InputsPlan, section: CompressorSection, cases: Sequence[HardCase], pool: ModelPool) -> list[Row]:
    """A row for each case. A batch that crashes is taken apart, so that a case crashes alone."""
    about = {"kind": "stress", "compressor": {"label": section.label, **identity_of(plan, section)}}
    rows: list[Row] = []
    for case in cases:
        row: Row = {**about, "case": {"id": case.id, "kind": case.kind, "variant": case.variant}, "case_key": case.key}
        rows.append(row | _entrance(plan, section, case, pool))
    whole = [i for i, row in enumerate(rows) if row.get("prompt") is not None]
    long = [i for i, row in enumerate(rows) if row["outcome"] == "admitted" and row.get("prompt") is None]
    texts = each_alone(
        lambda places: _texts(plan, section, [(cases[i], rows[i]["prompt"]) for i in places], pool), whole, _why_not, CRASHES
    )
    for i, part in zip(whole, texts, strict=True):
        rows[i] |= part
    for i in long:
        rows[i] |= _alone(lambda i=i: _in_parts(plan, section, cases[i], pool))
    for row in rows:
        row.pop("prompt", None)
    return rows


def _entrance(plan: InputsPlan, section: CompressorSection, case: HardCase, pool: ModelPool) -> Row:
    def look() -> Row:
        picks = section.kind in PICKERS  # of a text of any length
        found = admit(
            case.document,
            case.query,
            pool.tokenizer(section.model),
            Prompt.of(section.prompt),
            section.max_tokens,
            plan.contexts[section.label],
            picks or (section.kind == "lm" and plan.recipe.long == "parts"),
        )
        if isinstance(found, Refusal):
            return {"status": "refused", "outcome": "refused", "cause": found.cause, "error": found.error}
        assert isinstance(found, Admitted)
        return {"status": "ok", "outcome": "admitted", "prompt": () if picks else found.prompt}

    return _alone(look)


def _alone(work: Any) -> Row:
    """What `work` gives, or why it did not."""
    try:
        return dict(work())
    except (InputError, *CRASHES) as error:
        return _why_not(error)


def _why_not(error: Exception) -> Row:
    """An input that the package refuses, or a crash."""
    if isinstance(error, InputError):
        return {"status": "refused", "outcome": "refused", "cause": "input error", "error": str(error)}
    said = " ".join(str(error).split())[:300]
    return {"status": "failed", "outcome": "crashed", "cause": type(error).__name__, "error": said}


def _texts(
    plan: InputsPlan, section: CompressorSection, admitted: Sequence[tuple[HardCase, Sequence[int]]], pool: ModelPool
) -> list[Row]:
    """Compressions of documents that fit, as one batch."""
    if not admitted:
        return []
    tokenizer, cases = pool.tokenizer(section.model), [case for case, _ in admitted]
    if section.kind == "lm":
        written = pool.writer(section.model)(
            [list(prompt) for _, prompt in admitted],
            [case.id for case in cases],
            section.max_tokens,
            section.temperature,
            seed=batch_seed(plan.recipe.seed, cases[0].key),
        )
    else:
        written = []
        for case in cases:
            start, text = time.perf_counter(), case.document
            if section.kind in PICKERS:
                text = compress_extractive(
                    section.kind,
                    problem_of(case),
                    sentences=section.sentences,
                    tokens=section.tokens,
                    count_tokens=lambda t: len(text_ids(tokenizer, t)),
                    seed=plan.recipe.seed,
                )
            ids = tuple(text_ids(tokenizer, text))
            written.append(Compression(case.id, text, ids, "stop", seconds=time.perf_counter() - start))
    return [
        _row(z.text, z.token_ids, z.finish, len(prompt), 1, z.seconds, compression=z)
        for z, (_, prompt) in zip(written, admitted, strict=True)
    ]


def _in_parts(plan: InputsPlan, section: CompressorSection, case: HardCase, pool: ModelPool) -> Row:
    lm = replace(pool.get(section.model), context_limit=plan.contexts[section.label])
    [found] = compress_texts(lm, [case.document], _task(plan.recipe, section, case.query))
    ids = text_ids(lm.tokenizer, found.text)
    return _row(found.text, ids, found.finish, found.source_tokens, found.parts, found.seconds)


def _row(
    text: str,
    ids: Sequence[int],
    finish: str,
    prompt_tokens: int,
    parts: int,
    seconds: float,
    compression: Compression | None = None,
) -> Row:
    row: Row = {
        "status": "ok", "outcome": "written", "text": text, "finish": finish, "rate_tokens": len(ids),
        "prompt_tokens": prompt_tokens, "parts": parts, "looping": is_looping(text), "seconds": round(seconds, 3),
    }  # fmt: skip
    return row if compression is None else {**row, "compression": compression}


def _task(recipe: HardInputsRecipe, section: CompressorSection, query: str) -> CompressionTask:
    return CompressionTask(
        query, Prompt.of(section.prompt), section.max_tokens, section.temperature, recipe.seed, batch_size=recipe.batch_size
    )


def _score(case: HardCase, pack: Sequence[tuple[CompressorSection, Row]], pool: ModelPool) -> None:
    """log p of each text under the document and its counterfactuals, by the frozen base. Where there is none, why not."""
    section = pack[0][0]
    base = pool.scorer(frozen(section.model))
    end, prompt = end_of_turn_id(base.tokenizer), Prompt.of(section.prompt)

    def score(together: Sequence[Row]) -> list[Row]:
        documents = [case.document, *case.counterfactuals]
        prefixes = [tuple(compressor_ids(base.tokenizer, d, case.query, prompt)) for d in documents]
        strings = [tuple(continuation_ids(row["compression"], end)) for row in together]
        found = pair_log_probs(base.scorer, [(prefix, string) for string in strings for prefix in prefixes])
        return [{"log_probs": [total(found[prefix, string]) for prefix in prefixes]} for string in strings]

    def failed(error: Exception) -> Row:
        return {"score_error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}

    rows = [row for _, row in pack]
    for row, part in zip(rows, each_alone(score, rows, failed, CRASHES), strict=True):
        row |= part


def _read(plan: InputsPlan, rows: Sequence[Row], records: RecordFile, pool: ModelPool, quiet: bool) -> dict[str, Row]:
    """The reader's reply to each compression, in batches of one kind."""
    recipe = plan.recipe
    if recipe.predictor is None:
        return {}
    cases = {case.key: case for case in plan.cases}
    replies = Replies(recipe.as_evaluation(), records, pool)
    written = [row for row in rows if row["outcome"] == "written"]
    found: dict[str, Row] = {}
    with Progress(len(written), f"{recipe.predictor.title} answers", "text", quiet) as bar:
        for _, batch in batches(len(written), recipe.batch_size):
            part = [written[i] for i in batch]
            questions = []
            for row in part:
                query = cases[row["case_key"]].query
                template = recipe.predictor.template or "answer-v1"
                # replies that are drawn are drawn anew for each row, also where two wrote the same
                drawn = (int(row["key"][:8], 16),) if recipe.predictor.temperature > 0 else ()
                questions.append(Question(predictor_messages(row["text"], query, template), drawn))
            for row, reply in zip(part, replies.ask(recipe.predictor, questions), strict=True):
                found[row["key"]] = reply
            bar.update(len(part))
    return found
