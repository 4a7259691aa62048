"""What a report is worth: the rubric against the reference report, whether sources say what they are cited for, and the
facts that it had to find."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from infoagent.applications.research.asking import Asking
from infoagent.applications.research.citations import CitedSentence, cited_sentences, cited_text, supported
from infoagent.applications.research.prompts import SCORES, YES_OR_NO, race_messages, score_messages, support_messages
from infoagent.applications.research.recipe import JudgeSection
from infoagent.applications.research.rubric import NoScore, Scores, expected_score, parse_race, parse_yes, race, weighted
from infoagent.data.sets.research_tasks import ResearchTask
from infoagent.evaluation.records import Row
from infoagent.grading import states_fact


def stated(facts: Sequence[str], texts: Sequence[str]) -> list[bool]:
    """For each fact whether it stands in one of the texts."""
    return [any(states_fact(text, fact) for text in texts) for fact in facts]


class Unjudged(Exception):
    """The judge gave no reply; `cause` as in its record."""

    def __init__(self, row: Row) -> None:
        self.cause = str(row["cause"])
        super().__init__(row["error"])


class Judge:
    """Judges reports; `used` collects the records of what it asked."""

    def __init__(self, section: JudgeSection, asking: Asking) -> None:
        self.section = section
        self.weights: dict[str, float] = {str(name): weight for name, weight in section.weights.items()}
        self.asking = asking
        self.used: list[Row] = []

    def rubric(self, task: ResearchTask, run: int, report: str) -> Row:
        """`status` ok with the scores of the report, and with the reference's and `final` where there is a reference; or
        failed, with cause and error. Never a value for a reply that could not be read."""
        try:
            if self.section.model.how == "likelihood":
                return self._alone(task, report)
            if task.reference is None:
                return _failed("no reference", f"task {task.id!r} has no reference report to compare with")
            return self._together(task, task.reference, run, report)
        except NoScore as error:
            return _failed("unparseable", str(error))
        except Unjudged as error:
            return _failed(error.cause, str(error))

    def _alone(self, task: ResearchTask, report: str) -> Row:
        scores = self._expected(task, report)
        if task.reference is None:
            return {"status": "ok", "scores": scores, "report": weighted(scores, self.weights)}
        return {"status": "ok", **asdict(race(scores, self._expected(task, task.reference), self.weights))}

    def _expected(self, task: ResearchTask, text: str) -> Scores:
        chats = [score_messages(task.task, text, dimension) for dimension in self.weights]
        rows = self.asking.likelihoods(self.section.model, chats, SCORES)
        self.used += rows
        return {
            dimension: expected_score(_good(row)["log_probs"], [float(s) for s in SCORES])
            for dimension, row in zip(self.weights, rows, strict=True)
        }

    def _together(self, task: ResearchTask, reference: str, run: int, report: str) -> Row:
        # which stands first is drawn by task and run, so that it is the same for all systems
        swapped = bool(hashlib.sha256(f"{task.id} {run}".encode()).digest()[0] % 2)
        first, second = (reference, report) if swapped else (report, reference)
        [row] = self.asking.ask(self.section.model, [race_messages(task.task, first, second)], ())
        self.used.append(row)
        one, other = parse_race(_good(row)["text"], list(self.weights))
        found = race(other, one, self.weights) if swapped else race(one, other, self.weights)
        return {"status": "ok", **asdict(found)}

    def says(self, source: str, sentence: str) -> bool:
        """Whether the judge finds `sentence` in `source`. Raises NoScore or Unjudged."""
        chats = [support_messages(source, sentence)]
        if self.section.model.how == "likelihood":
            rows = self.asking.likelihoods(self.section.model, chats, YES_OR_NO)
            self.used += rows
            yes, no = _good(rows[0])["log_probs"]
            return bool(yes > no)
        rows = self.asking.ask(self.section.model, chats, ())
        self.used += rows
        return parse_yes(_good(rows[0])["text"])


def citations(report: str, texts: Mapping[int, str], judge: Judge | None) -> Row:
    """Counts over the sentences of a report: `sentences`, `cited` ones, of these `supported` and those that the judge
    left `unjudged`, and `invalid` numbers, which name no source. `texts` are the sources by number; without a judge the
    check is lexical."""
    found = cited_sentences(report, texts.keys())
    cited = [sentence for sentence in found if sentence.numbers]
    verdicts = [_verdict(sentence, texts, judge) for sentence in cited]
    return {
        "sentences": len(found),
        "cited": len(cited),
        "supported": verdicts.count(True),
        "unjudged": verdicts.count(None),
        "invalid": sum(sentence.invalid for sentence in found),
        "marks": sum(len(sentence.numbers) for sentence in found),
    }


def _verdict(sentence: CitedSentence, texts: Mapping[int, str], judge: Judge | None) -> bool | None:
    if judge is None or not sentence.valid:
        return supported(sentence, texts)
    try:
        return judge.says(cited_text(sentence, texts), sentence.text)
    except (NoScore, Unjudged):
        return None


def _good(row: Row) -> Row:
    if row["status"] != "ok":
        raise Unjudged(row)
    return row


def _failed(cause: str, error: str) -> Row:
    return {"status": "failed", "cause": cause, "error": error}
