"""How good counterfactual edits are: against exact truth, on questions with known answers, and under a language model.

Shares come with 95 % intervals by document. `eval/bench/counterfactual_quality.py` runs all of it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infoagent.data.counterfactual.documents import PHRASE, Lexicon, answer_after, counterfactuals, span_pattern
from infoagent.data.counterfactual.spans import NAME_KINDS
from infoagent.data.reading.tables import Row, read_json
from infoagent.data.sets import records, squad
from infoagent.information import share_interval
from infoagent.progress import each
from infoagent.types import InputError, Negative, Problem

CLEARLY_NOTICED_NATS = -10.0
VALUES_DRAWN = 500


@dataclass(frozen=True)
class Question:
    """A SQuAD question with every answer that its annotators gave."""

    problem: Problem
    golds: tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """The first typed edit of a question, and one of the same document at a random fact; None where there is none."""

    question: Question
    at_answer: Negative | None
    at_random: Negative | None

    @property
    def new_answer(self) -> str:
        assert self.at_answer is not None
        assert self.question.problem.answer is not None
        return answer_after(self.question.problem.answer, self.at_answer.changes)

    @property
    def sort(self) -> str:
        """What was swapped: names, phrases, or amounts (numbers and dates) and the rest."""
        kinds = {c.kind for c in self.at_answer.changes} if self.at_answer else set()
        return "names" if kinds & set(NAME_KINDS) else "phrases" if PHRASE in kinds else "amounts"


def share(values: Sequence[bool], clusters: Sequence[str]) -> dict[str, Any]:
    """A share with its 95 % t interval by document; Wilson's where all agree: their spread is unknown, not zero.

    NaN bounds for a single document, a share of nothing is {"n": 0}.
    """
    if not values:
        return {"n": 0}
    finding = share_interval([float(v) for v in values], clusters)
    low, high = np.clip([finding.low, finding.high], 0.0, 1.0)  # NaN stays NaN
    return asdict(replace(finding, low=float(low), high=float(high)))


def noticed(differences_nats: Sequence[float], clusters: Sequence[str]) -> dict[str, Any]:
    """log p(edited) − log p(original) of whole documents, nats; half of them below 0 means that nobody can tell."""
    if not differences_nats:
        return {"n": 0}
    return {
        "percentiles_nats": {str(q): float(np.percentile(differences_nats, q)) for q in (5, 50, 95)},
        "original_more_likely": share([d < 0 for d in differences_nats], clusters),
        "clearly_noticed": share([d < CLEARLY_NOTICED_NATS for d in differences_nats], clusters),
    }


def on_records(number: int, seed: int) -> dict[str, Any]:
    """Typed edits of records without their own counterfactuals and choices, against the record's exact rendering."""
    known = [records.make_known_problem(seed, "test", index, 80, 400) for index in range(number)]
    problems = [replace(problem, negatives=(), choices=()) for problem, _, _ in known]
    lexicon = Lexicon.from_problems(problems)
    made: list[bool] = []
    exact: list[bool] = []
    fitting: list[bool] = []
    where: list[str] = []
    for (_, record, fact), problem in zip(known, problems, strict=True):
        assert problem.answer is not None
        edit = next(counterfactuals(problem, lexicon, _rng(seed, problem.id)), None)
        made.append(edit is not None)
        if edit is not None:
            new = answer_after(problem.answer, edit.changes)
            exact.append(edit.document == record.text({fact.key: new}))
            drawn = {fact.draw(np.random.default_rng(i)) for i in range(VALUES_DRAWN)}
            fitting.append(new in drawn or _form(new) in {_form(v) for v in drawn if re.search(r"\d", v)})
        plain = replace(problem, answer=None)
        for edit in counterfactuals(plain, lexicon, _rng(seed, problem.id), limit=1):
            old = edit.changes[0].old
            heading = old in record.name or old in (record.code, record.group)
            stated = any(span_pattern(old).search(value) for _, value, _ in record.facts)
            where.append("heading" if heading else "fact" if stated else "elsewhere")
    ids = [p.id for p in problems]
    of_made = [i for i, m in zip(ids, made, strict=True) if m]
    found = {
        "edited": share(made, ids),
        "equals_exact_truth": share(exact, of_made),
        "new_value_has_the_facts_form": share(fitting, of_made),
    }
    return found | {
        f"random_edit_in_{p}": share([w == p for w in where], ids[: len(where)]) for p in ("fact", "heading", "elsewhere")
    }


def _form(value: str) -> str:
    return re.sub(r"\d+", "0", value)


def _rng(seed: int, identity: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "little")])


def read_squad(path: str, articles: str) -> list[Question]:
    """The questions of the articles with "even" or "odd" index, or of "all". InputError for another form of file."""
    content, _ = read_json(Path(path))
    if not squad.is_nested(content):
        raise InputError(f"--squad {path}: not in SQuAD's form {squad.FORM}")
    articles_of = {"all": content["data"], "even": content["data"][::2], "odd": content["data"][1::2]}
    problems = squad.read(path, [Row(path, {"data": articles_of[articles]})]).problems if articles_of[articles] else []
    found = [Question(problem, (problem.answer or "", *problem.references)) for problem in problems]
    if not found:
        raise InputError(f"--squad {path}: no question in its {articles} articles; try --articles all")
    return found


def edit_squad(pool: Sequence[Question], asked: Iterable[Question], seed: int) -> list[Edit]:
    """One typed edit at the answer and one at a random fact for each asked question; values come from the pool.

    An answer that stands in its document only as a part of a word (a 5 in 5km) has no edit at it.
    """
    lexicon = Lexicon.from_problems(q.problem for q in pool)

    def first(problem: Problem) -> Negative | None:
        return next(counterfactuals(problem, lexicon, _rng(seed, problem.id)), None)

    return [
        Edit(
            question,
            first(question.problem) if _stands(question.problem.answer or "", question.problem.document) else None,
            first(replace(question.problem, answer=None)),
        )
        for question in asked
    ]


def on_squad(pool: Sequence[Question], edits: Sequence[Edit]) -> dict[str, Any]:
    """Shares of questions that were edited, and whose answers are gone; of a paragraph's answers that a random edit
    hits; how often each kind was swapped."""
    ids = [e.question.problem.document_id for e in edits]
    made = [(e, e.at_answer, e.question.problem) for e in edits if e.at_answer is not None]
    made_ids = [p.document_id for _, _, p in made]
    answers: dict[str, set[str]] = {}
    for question in pool:
        answers.setdefault(question.problem.document_id, set()).add(question.problem.answer or "")
    hit: list[bool] = []
    hit_ids: list[str] = []
    for edit in edits:
        problem = edit.question.problem
        for answer in sorted(answers[problem.document_id]) if edit.at_random else ():
            if edit.at_random and _stands(answer, problem.document):
                hit.append(not _stands(answer, edit.at_random.document))
                hit_ids.append(problem.document_id)
    return {
        "edited": share([e.at_answer is not None for e in edits], ids),
        "answer_gone": share([not _stands(p.answer or "", n.document) for _, n, p in made], made_ids),
        "every_gold_answer_gone": share([not any(_stands(g, n.document) for g in e.question.golds) for e, n, _ in made], made_ids),
        "random_edit_hits_an_answer": share(hit, hit_ids),
        "kinds": dict(Counter(kind for _, n, _ in made for kind in {c.kind for c in n.changes}).most_common()),
        "random_kinds": dict(Counter(c.kind for e in edits if e.at_random for c in e.at_random.changes).most_common()),
    }


def _stands(answer: str, document: str) -> bool:
    return span_pattern(answer).search(document) is not None


def read_by_model(edits: Sequence[Edit], loaded: Any, seed: int, quiet: bool) -> dict[str, Any]:
    """What a reader makes of the edits: does the answer follow, is the edit noticed, and is a naive one.

    `follows`: log p(new | edited document) > log p(old | edited document); `new_preferred_before` the same on the
    original, which shows what a shorter or likelier answer is worth; `moved`: the difference grew by the edit.
    A naive edit swaps the answer for any other answer of the edits.
    """
    from infoagent.lm.prompts import chat_ids, predictor_messages, text_ids
    from infoagent.lm.scoring.exact import Scorer

    scorer, tokenizer = Scorer(loaded.model), loaded.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    answers = sorted({e.question.problem.answer or "" for e in edits})
    shifts: list[tuple[float, float]] = []
    typed: list[float] = []
    naive: list[float] = []
    made = [e for e in edits if e.at_answer is not None and e.new_answer]
    for edit in each(made, len(made), "read", "edit", quiet):
        problem, negative = edit.question.problem, edit.at_answer
        assert negative is not None
        assert problem.answer is not None
        prompts = [chat_ids(tokenizer, predictor_messages(d, problem.query)) for d in (problem.document, negative.document)]
        new_old = scorer.score(prompts, [text_ids(tokenizer, edit.new_answer), text_ids(tokenizer, problem.answer)])
        shifts.append(tuple(new_old[0] - new_old[1]))
        rng = _rng(seed, problem.id)
        other = next(a for i in rng.permutation(len(answers)) if (a := answers[int(i)]) != problem.answer)
        any_other, _ = span_pattern(problem.answer).replaced(problem.document, other)
        texts = [text_ids(tokenizer, d) for d in (problem.document, negative.document, any_other)]
        original, by_type, by_chance = scorer.score([[start]], texts)[:, 0]
        typed.append(by_type - original)
        naive.append(by_chance - original)
    ids = [e.question.problem.document_id for e in made]
    found = {
        "follows": share([after > 0 for _, after in shifts], ids),
        "new_preferred_before": share([before > 0 for before, _ in shifts], ids),
        "moved": share([after > before for before, after in shifts], ids),
        "typed": noticed(typed, ids),
        "naive": noticed(naive, ids),
    }
    for sort in ("amounts", "names", "phrases"):
        here = [i for i, e in enumerate(made) if e.sort == sort]
        found[f"typed_{sort}"] = noticed([typed[i] for i in here], [ids[i] for i in here])
    return found
