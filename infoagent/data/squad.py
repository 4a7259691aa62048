"""`squad`: questions on Wikipedia paragraphs, group = article. For evaluation only: a benchmark is not trained on.

Read from a file in SQuAD's own nested JSON (`data[].paragraphs[].qas[]`), plain or gzipped. A question whose first
answer is empty (SQuAD 2 has unanswerable ones) is left out. There is one split: the file.
Source: Rajpurkar et al. 2016, https://rajpurkar.github.io/SQuAD-explorer.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infoagent.types import InputError, Problem, ProblemSet


def load(path: str | None, split: str, min_words: int | None, max_words: int | None) -> ProblemSet:
    """Every answerable question whose paragraph has min_words to max_words words. Raises InputError for a file that
    is missing, is no JSON, or has another structure (where it differs)."""
    if path is None:
        raise InputError(
            "data.path: data.name=squad needs the file, e.g. data.path=dev-v1.1.json (.gz is read as well)"
        )
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"data.path = {path!r}: no such file")
    if split == "train":
        raise InputError("data.split = 'train': squad is for evaluation only; use test or all")
    content = file.read_bytes()
    try:
        articles = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)["data"]
        problems = tuple(_problems(articles, min_words or 1, max_words or 10**9))
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{file}: not valid JSON: {error}") from error
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{file}: not in SQuAD's structure data[].paragraphs[].{{context, qas[].{{id, question, answers[].text}}}}: "
            f"{type(error).__name__} at {error}"
        ) from error
    return ProblemSet("squad", "sha256:" + hashlib.sha256(content).hexdigest()[:16], split, problems)


def _problems(articles: list[dict[str, Any]], low: int, high: int) -> Iterator[Problem]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            if not low <= len(context.split()) <= high:
                continue
            identity = "sha256:" + hashlib.sha256(context.encode()).hexdigest()[:16]
            for question in paragraph["qas"]:
                answers = [a["text"] for a in question["answers"]]
                if answers and answers[0].strip():
                    yield Problem(
                        question["id"], context, question["question"].strip(), identity, answer=answers[0],
                        group=article["title"], part_of=article["title"],
                    )  # fmt: skip
