"""`longhealth`: 20 fictional patients, 20 five-way questions on each one's letters. For evaluation only.

Read from the authors' `benchmark_v5.json`: an object patient → {texts {text_0: …}, questions [{No, question, answer_a …
answer_e, correct, answer_location {text: {start [], end []}}}]}. The document is all of a patient's texts in their order,
each under its id. The options are `choices` and never a part of the query: a compressor must not see them.
Group = patient. Source: Adams et al. 2024, arXiv 2401.14490.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infoagent.data.reading.hub import missing_path
from infoagent.data.reading.schema import NUMBER, TEXT, ListOf, MapOf, Maybe, Mistakes, Schema, shown
from infoagent.data.reading.tables import read_json, table_files
from infoagent.types import InputError, Problem, ProblemSet

OPTIONS = ("answer_a", "answer_b", "answer_c", "answer_d", "answer_e")
_PLACES: dict[str, Schema] = {"start": ListOf(NUMBER), "end": ListOf(NUMBER)}
_QUESTION: dict[str, Schema] = {
    "question": TEXT, **dict.fromkeys(OPTIONS, TEXT), "correct": TEXT, "answer_location": Maybe(MapOf(_PLACES)),
}  # fmt: skip
_PATIENT: dict[str, Schema] = {"texts": MapOf(TEXT), "questions": ListOf(_QUESTION)}


def load(path: str | None, split: str) -> ProblemSet:
    """Every question. Raises InputError with patient and field for each place that is not of the schema."""
    if path is None:
        raise missing_path("longhealth", "benchmark_v5.json")
    files = table_files("longhealth", path)
    if len(files) > 1:
        raise InputError(f"data.path = {path!r}: holds {len(files)} files; name the one, benchmark_v5.json")
    patients, revision = read_json(files[0])
    if not isinstance(patients, dict):
        raise InputError(f"{files[0]}: must be an object patient_01, patient_02 …, got {shown(patients)}")
    mistakes = Mistakes(str(files[0]))
    problems: list[Problem] = []
    for number, (name, patient) in enumerate(patients.items(), start=1):
        if isinstance(patient, str):  # a canary, by which training sets can be searched for this benchmark
            continue
        where = f"{files[0]}: row {number} ({name})"
        if mistakes.fit(where, patient, _PATIENT):
            found = list(_contradictions(patient))
            mistakes.add(where, found)
            problems += [] if found else _problems(name, patient)
    mistakes.settle()
    return ProblemSet("longhealth", revision, split, tuple(problems))


def _contradictions(patient: Mapping[str, Any]) -> Iterator[str]:
    """Fields of the right types that do not fit each other."""
    for number, question in enumerate(patient["questions"]):
        field = f"questions[{number}]"
        options = [question[option].strip() for option in OPTIONS]
        if question["correct"].strip() not in options:
            yield f"field '{field}.correct': {question['correct']!r} is none of answer_a to answer_e"
        if len(set(options)) < len(options):
            yield f"field '{field}': an option stands twice"
        for text, places in (question.get("answer_location") or {}).items():
            if text not in patient["texts"]:
                yield f"field '{field}.answer_location': {text!r} is none of the patient's texts"
            elif len(places["start"]) != len(places["end"]):
                yield f"field '{field}.answer_location.{text}': as many starts as ends are needed"


def _problems(name: str, patient: Mapping[str, Any]) -> Iterator[Problem]:
    texts = {key: patient["texts"][key] for key in sorted(patient["texts"], key=_number)}
    document = "\n\n".join(f"{key}\n{text}" for key, text in texts.items())
    for number, question in enumerate(patient["questions"]):
        yield Problem(
            id=f"{name}-{number:02d}",
            document=document,
            query=question["question"].strip(),
            document_id=name,
            answer=question["correct"].strip(),
            choices=tuple(question[option].strip() for option in OPTIONS),
            group=name,
            evidence=_evidence(texts, question.get("answer_location") or {}),
        )


def _number(key: str) -> tuple[int, str]:
    """text_10 stands after text_9."""
    digits = re.search(r"(?<!\d)\d{1,18}$", key)
    return (int(digits.group()) if digits else -1, key)


def _evidence(texts: Mapping[str, str], location: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[str, ...]:
    """The places that the annotators marked, in the order of the texts.

    A place is given in shares of its text's length; above 1 in characters. A text that is named without a place of any
    length is evidence as a whole.
    """
    pieces: list[str] = []
    for key, text in texts.items():
        if key not in location:
            continue
        starts, ends = location[key]["start"], location[key]["end"]
        scale = len(text) if all(0 <= bound <= 1 for bound in (*starts, *ends)) else 1
        spans = [text[int(start * scale) : int(end * scale)].strip() for start, end in zip(starts, ends, strict=True)]
        pieces += [span for span in spans if span] or [text]
    return tuple(pieces)
