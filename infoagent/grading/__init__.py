"""Judging texts: facts in a compression without a model, answers of a predictor against the right one."""

from infoagent.grading.answers import Grade, Method, agreement, grade, judge_grade, perplexity
from infoagent.grading.facts import is_looping, normalise, states_fact, states_facts, unsupported_spans
from infoagent.grading.programs import code_grade
from infoagent.grading.replies import denies, gives_up
from infoagent.grading.sandbox import Limits, SandboxFailed

__all__ = [
    "Grade",
    "Limits",
    "Method",
    "SandboxFailed",
    "agreement",
    "code_grade",
    "denies",
    "gives_up",
    "grade",
    "is_looping",
    "judge_grade",
    "normalise",
    "perplexity",
    "states_fact",
    "states_facts",
    "unsupported_spans",
]
