"""What a research system and its judges are asked, and how a list of queries is read from a reply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from infoagent.lm.prompts import fill

Chat = list[dict[str, str]]

DIMENSIONS: Mapping[str, str] = {
    "comprehensiveness": "how completely it covers what the task asks for",
    "depth": "how far it goes beyond listing: reasons, relations, comparisons",
    "instruction following": "how exactly it does what the task says, in form and in content",
    "readability": "how clear, well-ordered and fluent its language is",
}
"""The dimensions of RACE (Du et al., arXiv 2506.11763), each with what is judged."""
SCORES = tuple(str(score) for score in range(1, 11))
YES_OR_NO = ("yes", "no")

TEMPLATES = {
    "plan-v1": (
        "{task}\n\nWrite {queries} search queries that find what this report needs. One query on each line, each with the "
        "name of whom or what it is about, and nothing else."
    ),
    "report-v1": (
        "Sources:\n\n{sources}\n\n{task}\n\nWrite the report from the sources alone. After each sentence, cite the source "
        "that says it by its number in brackets, such as [1]."
    ),
    "no-sources-v1": "{task}\n\nWrite the report.",
    # the text first: what is asked of it shares its prefix
    "score-v1": (
        "Task: {task}\n\nReport:\n{report}\n\nScore the {dimension} of the report, {meaning}, from 1 (worst) to 10 (best). "
        "Reply with the number and nothing else."
    ),
    "race-v1": (
        "Task: {task}\n\nReport A:\n{first}\n\nReport B:\n{second}\n\nScore both reports from 0 (worst) to 10 (best) on each "
        "of:\n{dimensions}\nReply with one JSON object and nothing else, in this form:\n{form}"
    ),
    "support-v1": (
        "Source:\n{source}\n\nSentence: {sentence}\n\nDoes the source say what the sentence says, with the same names and "
        "numbers? Reply with yes or no and nothing else."
    ),
}

_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\(?\d{1,2}[.):](?!\d)\s*|[qQ]uery\s*\d*\s*:\s*)+")
_FRAME = " \t\"'“”‘’`*"


def plan_messages(task: str, queries: int) -> Chat:
    return _chat("plan-v1", {"task": task, "queries": str(queries)})


def report_messages(task: str, notes: Sequence[tuple[int, str]]) -> Chat:
    """`notes` are (number of the source, what the predictor may know of it)."""
    if not notes:
        return _chat("no-sources-v1", {"task": task})
    return _chat("report-v1", {"task": task, "sources": "\n\n".join(f"[{n}] {text}" for n, text in notes)})


def score_messages(task: str, report: str, dimension: str) -> Chat:
    values = {"task": task, "report": report, "dimension": dimension, "meaning": DIMENSIONS[dimension]}
    return _chat("score-v1", values)


def race_messages(task: str, first: str, second: str) -> Chat:
    scored = ", ".join(f'"{dimension}": <0-10>' for dimension in DIMENSIONS)
    values = {
        "task": task,
        "first": first,
        "second": second,
        "dimensions": "\n".join(f"- {name}: {meaning}" for name, meaning in DIMENSIONS.items()),
        "form": f'{{"A": {{{scored}}}, "B": {{{scored}}}}}',
    }
    return _chat("race-v1", values)


def support_messages(source: str, sentence: str) -> Chat:
    return _chat("support-v1", {"source": source, "sentence": sentence})


def queries_of(reply: str, most: int) -> list[str]:
    """The queries of a plan: its lines without list marks and quotes, each once, at most `most`."""
    found: dict[str, str] = {}
    for line in reply.splitlines():
        query = " ".join(_LIST_MARK.sub("", line).strip(_FRAME).split())
        if any(c.isalnum() for c in query):
            found.setdefault(query.casefold(), query)
    return list(found.values())[:most]


def _chat(template: str, values: Mapping[str, str]) -> Chat:
    return [{"role": "user", "content": fill(TEMPLATES[template], values)}]
