"""Judging texts: facts in a compression without a model, answers of a predictor against the right one."""

from infoagent.grading.answers import Grade, Method, agreement, grade, judge_grade, perplexity
from infoagent.grading.facts import is_looping, normalise, states_fact, unsupported_spans
from infoagent.grading.replies import denies, gives_up

__all__ = [
    "Grade",
    "Method",
    "agreement",
    "denies",
    "gives_up",
    "grade",
    "is_looping",
    "judge_grade",
    "normalise",
    "perplexity",
    "states_fact",
    "unsupported_spans",
]
