"""Single compressions for the page's viewer: the document, what was written, what a reader made of it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.data.negative_kinds import easy_kinds, hard_kinds
from infoagent.files import read_jsonl
from infoagent.records.files import grid_of, last_of_each_key
from infoagent.records.grid import CompressionRecord, PredictionRecord, compressions_of, predictions_of
from infoagent.records.json_form import Json
from infoagent.store import read_if_run

LONGEST_DOCUMENT = 20_000
"""Characters of a document in the page."""


def samples_of(directories: Sequence[str], most: int) -> Json:
    """{samples, documents, left_out}: at most `most` compressions, whole problems at a time so that all compressors of a
    problem stand beside one another."""
    samples: list[Json] = []
    documents: dict[str, str] = {}
    left_out = 0
    for directory in directories:
        problems, texts = _texts(Path(directory))
        groups = _by_problem(Path(directory))
        room = most // len(directories)
        for rows in groups.values():
            # a problem with more compressors than there is room for is cut rather than nothing shown at all
            taken = rows[:room] if len(rows) <= room or room == most // len(directories) else []
            left_out += len(rows) - len(taken)
            room = room - len(taken) if taken else 0
            for record, answers in taken:
                key = record.document_key or ""
                problem = problems.get((record.data.name, record.problem_id, key), {})
                samples.append({"id": len(samples), **_sample(record, answers, problem)})
                if key in texts:
                    text = texts[key]
                    cut = f" … (cut after {LONGEST_DOCUMENT} characters)" if len(text) > LONGEST_DOCUMENT else ""
                    documents[key] = text[:LONGEST_DOCUMENT] + cut
    return {"samples": samples, "documents": documents, "left_out": left_out}


def as_script_json(content: Any) -> str:
    """JSON for a <script> block: no character of a text can end the block or begin a comment."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _texts(directory: Path) -> tuple[dict[tuple[str, str, str], Json], dict[str, str]]:
    problems, documents = directory / "problems.jsonl", directory / "documents.jsonl"
    return (
        {(r["data"], r["problem_id"], r["document_key"]): r for r in (read_jsonl(problems) if problems.is_file() else [])},
        {r["document_key"]: r["text"] for r in (read_jsonl(documents) if documents.is_file() else [])},
    )


def _by_problem(directory: Path) -> dict[tuple[str, str], list[tuple[CompressionRecord, list[PredictionRecord]]]]:
    """(data, problem) → compressions of the last evaluation, each with its predictions; the first draw of each."""
    keys = set(read_if_run(directory).get("record_keys", []))
    records = [r for r in grid_of(last_of_each_key(directory)) if not keys or r.key in keys]
    answers: dict[str, list[PredictionRecord]] = defaultdict(list)
    for prediction in predictions_of(records):
        answers[prediction.compression_key].append(prediction)
    found: dict[tuple[str, str], list[tuple[CompressionRecord, list[PredictionRecord]]]] = defaultdict(list)
    seen = set()
    for record in compressions_of(records):
        problem = record.data.name, record.problem_id
        if (*problem, record.compressor.label) not in seen:
            seen.add((*problem, record.compressor.label))
            found[problem].append((record, answers[record.key]))
    return found


def _pieces(evidence: str | Sequence[str] | None) -> list[str]:
    """The pieces of the evidence; older runs kept them as one text."""
    return [evidence] if isinstance(evidence, str) else list(evidence or ())


def _sample(record: CompressionRecord, answers: Sequence[PredictionRecord], problem: Mapping[str, Any]) -> Json:
    tokens = record.tokens
    return {
        "data": record.data.name,
        "compressor": record.compressor.label,
        "problem": record.problem_id,
        "document": record.document_key or "",
        "query": record.query,
        "answer": record.answer,
        "choices": problem.get("choices", []),
        "evidence": _pieces(problem.get("evidence")),
        "status": record.status,
        "error": record.error or record.cause,
        "text": record.text if record.compressor.kind != "full-document" else "(the whole document)",
        "tokens": record.rate_tokens,
        "pieces": tokens and tokens.pieces,
        "pool": tokens and tokens.pool_nats,
        "counterfactual": tokens and tokens.counterfactual_nats,
        "mi_easy": _mi(record, easy_kinds()),
        "mi_hard": _mi(record, hard_kinds()),
        "fact": record.fact_kept,
        "unsupported": record.unsupported or [],
        "answers": [_answer(a, problem) for a in answers],
    }


def _mi(record: CompressionRecord, kinds: Sequence[str]) -> float | None:
    value = record.mi_nats(kinds) if record.has_negatives(kinds) else math.nan
    return value if math.isfinite(value) else None


def _answer(record: PredictionRecord, problem: Mapping[str, Any]) -> Json:
    who = record.predictor.title
    if not record.is_ok:
        return {"who": who, "reply": None, "outcome": "failed", "why": record.cause or record.error, "nll": None}
    outcome = "correct" if record.correct else "wrong" if record.correct is not None else "likelihood"
    if record.grade and record.grade.unparseable:
        outcome = "unparseable"
    reply, why = record.reply, record.grade and record.grade.method
    options, log_probs, nll = problem.get("choices") or [], record.choice_log_probs or [], record.answer_nll_nats
    if reply is None and len(options) == len(log_probs) > 1:
        reply, why = options[int(np.argmax(log_probs))], "most likely option"
    if nll is not None:
        why = f"{why + ', ' if why else ''}{nll:.1f} nats for the reference"
    return {"who": who, "reply": reply, "outcome": outcome, "why": why, "nll": nll}
