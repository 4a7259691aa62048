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
from infoagent.files import read_json, read_jsonl
from infoagent.information import infonce_terms

Row = dict[str, Any]
LONGEST_DOCUMENT = 20_000
"""Characters of a document in the page."""


def samples_of(directories: Sequence[str], most: int) -> Row:
    """{samples, documents, left_out}: at most `most` compressions, whole problems at a time so that all compressors of a
    problem stand beside one another."""
    samples: list[Row] = []
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
            for row, answers in taken:
                key = row.get("document_key", "")
                problem = problems.get((row["data"]["name"], row["problem_id"], key), {})
                samples.append({"id": len(samples), **_sample(row, answers, problem)})
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


def _texts(directory: Path) -> tuple[dict[tuple[str, str, str], Row], dict[str, str]]:
    problems, documents = directory / "problems.jsonl", directory / "documents.jsonl"
    return (
        {
            (r["data"], r["problem_id"], r["document_key"]): r
            for r in (read_jsonl(problems) if problems.is_file() else [])
        },
        {r["document_key"]: r["text"] for r in (read_jsonl(documents) if documents.is_file() else [])},
    )


def _by_problem(directory: Path) -> dict[tuple[str, str], list[tuple[Row, list[Row]]]]:
    """(data, problem) → compressions of the last evaluation, each with its predictions; the first draw of each."""
    keys = set(read_json(directory / "run.json").get("record_keys", []))
    rows = {r["key"]: r for path in sorted(directory.glob("records*.jsonl")) for r in read_jsonl(path)}
    current = [r for key, r in rows.items() if not keys or key in keys]
    answers: dict[str, list[Row]] = defaultdict(list)
    for row in current:
        if row["kind"] == "prediction":
            answers[row["compression_key"]].append(row)
    found: dict[tuple[str, str], list[tuple[Row, list[Row]]]] = defaultdict(list)
    seen = set()
    for row in current:
        who = (
            (row["data"]["name"], row["problem_id"], row["compressor"]["label"])
            if row["kind"] == "compression"
            else None
        )
        if who is not None and who not in seen:
            seen.add(who)
            found[who[:2]].append((row, answers[row["key"]]))
    return found


def _pieces(evidence: str | Sequence[str] | None) -> list[str]:
    """The pieces of the evidence; older runs kept them as one text."""
    return [evidence] if isinstance(evidence, str) else list(evidence or ())


def _sample(row: Row, answers: Sequence[Row], problem: Mapping[str, Any]) -> Row:
    tokens = row.get("tokens", {})
    return {
        "data": row["data"]["name"],
        "compressor": row["compressor"]["label"],
        "problem": row["problem_id"],
        "document": row.get("document_key", ""),
        "query": row.get("query"),
        "answer": row.get("answer"),
        "choices": problem.get("choices", []),
        "evidence": _pieces(problem.get("evidence")),
        "status": row["status"],
        "error": row.get("error") or row.get("cause"),
        "text": row.get("text") if row["compressor"]["kind"] != "full-document" else "(the whole document)",
        "tokens": row.get("rate_tokens"),
        "pieces": tokens.get("pieces"),
        "pool": tokens.get("pool_nats"),
        "counterfactual": tokens.get("counterfactual_nats"),
        "mi_easy": _mi(row, easy_kinds()),
        "mi_hard": _mi(row, hard_kinds()),
        "fact": row.get("fact_kept"),
        "unsupported": row.get("unsupported", []),
        "answers": [_answer(a, problem) for a in answers],
    }


def _mi(row: Row, kinds: Sequence[str]) -> float | None:
    if "log_probs" not in row:
        return None
    chosen = [
        v for v, kind in zip(row["log_probs"], row["candidates"], strict=True) if kind == "source" or kind in kinds
    ]
    if len(chosen) < 2:
        return None
    value = float(infonce_terms(np.array([chosen]), np.zeros(1, dtype=np.intp))[0])
    return value if math.isfinite(value) else None


def _answer(row: Row, problem: Mapping[str, Any]) -> Row:
    who = row["predictor"].get("label") or row["predictor"]["name"]
    if row["status"] != "ok":
        return {
            "who": who,
            "reply": None,
            "outcome": "failed",
            "why": row.get("cause") or row.get("error"),
            "nll": None,
        }
    grade = row.get("grade", {})
    outcome = "correct" if row.get("correct") else "wrong" if "correct" in row else "likelihood"
    if grade.get("unparseable"):
        outcome = "unparseable"
    reply, why = row.get("reply"), grade.get("method")
    options = problem.get("choices") or []
    if reply is None and len(options) == len(row.get("choice_log_probs", [])) > 1:
        reply, why = options[int(np.argmax(row["choice_log_probs"]))], "most likely option"
    if "answer_nll_nats" in row:
        why = f"{why + ', ' if why else ''}{row['answer_nll_nats']:.1f} nats for the reference"
    return {"who": who, "reply": reply, "outcome": outcome, "why": why, "nll": row.get("answer_nll_nats")}
