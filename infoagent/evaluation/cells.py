"""The cells of a grid: every compressor on every data set, checked as far as it goes before a model loads."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infoagent.baselines import PICKERS, cannot_work, first_of, unusable
from infoagent.data.negatives import Counts, NegativeDraw, take_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.forms import form_of
from infoagent.evaluation.identity import named_twice
from infoagent.lm.answering import PREDICTOR_TEMPLATE
from infoagent.lm.constrained import check_constrained
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import find_model, frozen, trained_without_thoughts
from infoagent.lm.prompts import (
    WITHOUT_THOUGHT,
    Prompt,
    can_think,
    chat_ids,
    check_predictor_template,
    check_prompt,
    predictor_messages,
)
from infoagent.lm.thinking import marks_of
from infoagent.lm.vllm.engine import check_served
from infoagent.recipes import CompressorSection, EvaluationRecipe
from infoagent.recipes.evaluation import PredictorSection
from infoagent.structured import Form
from infoagent.types import ANCHORS, InputError, Mistakes, Negative, Problem, ProblemSet

LATER = ("server", "form", "thinking", "thinking_tokens")
"""Settings that decide only where they are given, so that records from before them keep their keys."""
TOKENS_OF_A_SENTENCE = 64
"""Room for each sentence of a picking compressor when a scorer's context is checked."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One compressor on one data set, with its problems as the context of its model allows them."""

    compressor: CompressorSection
    revision: str
    adapter_revision: str | None
    data: ProblemSet
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]
    engine: str = "hf"
    """Who writes and scores: hf or vllm."""
    form: Form | None = None
    """What z looks like, where it is no text."""
    short: Mapping[str, int] = field(default_factory=dict)
    """How many problems have too few negatives of a kind, by what was done. `data.left_out` counts those left out."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a compression beside its problem. Labels are names and decide nothing, nor does the key order of
        a schema."""
        section = self.compressor
        decides: dict[str, Any] = section.model_dump(exclude={"label", "curve", *LATER})
        decides |= {"revision": self.revision, "adapter_revision": self.adapter_revision}
        if self.engine != "hf":
            decides["engine"] = self.engine
        if section.server is not None:
            decides["server"] = section.server.model_dump(include={"name", "base_url", "json_mode", "extra"})
        if section.form is not None and self.form is not None:
            decides["form"] = {**self.form.identity, "constrained": section.form.constrained}
        if section.thinking is not None:
            decides["thinking"] = {"on": section.thinks, "tokens": section.longest_thought}
            decides["thinking"]["forced"] = section.thinking is not True
        return decides

    @property
    def asked(self) -> Prompt:
        """What the compressor is asked."""
        thinking = None if self.compressor.thinking is None else self.compressor.thinks
        return Prompt.of(self.compressor.prompt, None if self.form is None else self.form.request, thinking)

    @property
    def scored_as(self) -> Prompt:
        """The prompt that z is scored under: what was asked, without a thought."""
        asked = self.asked
        if asked.thinking is None:
            return asked
        return replace(asked, template=WITHOUT_THOUGHT.get(asked.template, asked.template), thinking=False)

    @property
    def is_drawn_as_scored(self) -> bool:
        """Whether the scored ids are those that the scorer drew, from what is scored. Canonical JSON, what follows a thought,
        what an adapter, a picker or a server wrote and what was drawn at another temperature than 1 are not: their estimates
        have no upper bound."""
        section = self.compressor
        frozen_writer = section.kind == "lm" and section.model.adapter is None
        return frozen_writer and section.temperature == 1 and self.form is None and not section.thinks

    @property
    def scored(self) -> bool:
        """Everything and nothing are no compressions: they have no log-probability."""
        return self.compressor.kind not in ANCHORS

    def candidates(self, index: int) -> list[str]:
        """The document of a problem and its negatives, which a text is scored under."""
        return [self.problems[index].document, *(n.document for n in self.negatives[index])]

    def kinds(self, index: int) -> list[str]:
        """Of the candidates."""
        return ["source", *(n.kind for n in self.negatives[index])]

    def scored_alike(self, other: Cell) -> bool:
        """Whether the texts of both are scored under the same prefixes, which are then read once for all."""
        return (
            self.scored == other.scored
            and self.data.name == other.data.name
            and frozen(self.compressor.model) == frozen(other.compressor.model)
            and self.scored_as == other.scored_as
            and self.problems == other.problems
        )


def packs(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in groups that are scored alike, each in the order of its first."""
    found: list[list[Cell]] = []
    for cell in cells:
        group = next((g for g in found if g[0].scored_alike(cell)), None)
        if group is None:
            found.append([cell])
        else:
            group.append(cell)
    return found


def plan_cells(recipe: EvaluationRecipe, quiet: bool = False) -> list[Cell]:
    """Load data, check names, adapters and context lengths, draw negatives; no model is loaded. A problem that has too few
    negatives for one compressor, or that one cannot compress, is left out for all, so that they are compared on the same.

    Raises InputError with all mistakes of the grid.
    """
    mistakes = Mistakes()
    cells: list[tuple[Cell, NegativeDraw]] = []
    drawing = _Drawing(recipe.negatives.counts, recipe.negatives.seed, quiet)
    sets = [load_data(**section.asked) for section in recipe.data]
    names = [data.name for data in sets]
    if len(set(names)) < len(names):
        raise InputError(f"data: two sections are named {max(names, key=names.count)!r}; evaluate them in two output_dirs")
    for predictor in [*recipe.predictors, *([recipe.grading.judge] if recipe.grading.judge else [])]:
        with mistakes.of():
            mistakes.add(*_predictor_mistakes(predictor, recipe, sets))
    if not mistakes.lines and len(recipe.predictors) > 1:
        mistakes.add(*named_twice(recipe.predictors))
    mistakes.add(*_grading_mistakes(recipe, sets))
    for compressor in recipe.grid:
        with mistakes.of():
            cells += _cells_of(compressor, recipe, sets, drawing)
    mistakes.end()
    return _on_same_problems(cells)


class _Drawing:
    """The negatives of each list of problems, drawn once however many compressors read it."""

    def __init__(self, counts: Counts, seed: int, quiet: bool) -> None:
        self.counts, self.seed, self.quiet = counts, seed, quiet
        self._held: dict[tuple[Problem, ...], NegativeDraw] = {}

    def of(self, problems: Sequence[Problem]) -> NegativeDraw:
        if (key := tuple(problems)) not in self._held:
            self._held[key] = take_negatives(problems, self.counts, self.seed, self.quiet)
        return self._held[key]


def _cells_of(
    compressor: CompressorSection, recipe: EvaluationRecipe, sets: Sequence[ProblemSet], drawing: _Drawing
) -> list[tuple[Cell, NegativeDraw]]:
    check_prompt(compressor.prompt)
    form = form_of(compressor)
    constrained = compressor.form is not None and compressor.form.constrained
    if form is not None and constrained and compressor.kind == "lm" and recipe.engine == "hf":
        check_constrained(form.schema, f"compressor {compressor.label!r}: form.constrained")
    model, adapter = find_model(compressor.model), compressor.model.adapter
    if recipe.engine == "vllm":
        check_served(adapter)
    longest = compressor.max_tokens
    if compressor.kind == "lm":
        longest += compressor.longest_thought
        if compressor.thinks:
            marks_of(model.tokenizer, compressor.prompt.template in WITHOUT_THOUGHT, compressor.model.name)
        elif adapter and compressor.thinking is None and trained_without_thoughts(adapter) and can_think(model.tokenizer):
            raise InputError(
                f"compressor {compressor.label!r}: its adapter was trained without thoughts, which its model has; set "
                "thinking: false"
            )
    if compressor.kind in PICKERS:
        longest = compressor.tokens or TOKENS_OF_A_SENTENCE * (compressor.sentences or 1)
    thinking = None if compressor.thinking is None else compressor.thinks
    asked = Prompt.of(compressor.prompt, None if form is None else form.request, thinking)
    cells = []
    for section, data in zip(recipe.data, sets, strict=True):
        without = unusable(compressor.kind, data.problems) if compressor.kind in PICKERS else {}
        for line in first_of(compressor.kind, without, len(data.problems)):
            logger.warning("left out: %s", line)
        problems = fit_to_context(data.problems, model.tokenizer, model.context_tokens, longest, section.truncate, asked)
        drawn = drawing.of(problems)
        cell = Cell(
            compressor,
            model.revision,
            model.adapter_revision,
            data,
            drawn.problems,
            drawn.negatives,
            recipe.engine,
            form,
            drawn.short,
        )
        causes = {**drawn.causes, **dict.fromkeys(without, cannot_work(compressor.kind))}
        cells.append((cell, replace(drawn, causes=causes)))
    return cells


def _on_same_problems(planned: Sequence[tuple[Cell, NegativeDraw]]) -> list[Cell]:
    """The cells without the problems that another cell of their data left out."""
    causes_of: dict[str, dict[int, str]] = {}
    for cell, drawn in planned:
        causes_of[cell.data.name] = {**causes_of.get(cell.data.name, {}), **drawn.causes}
    cells = []
    for cell, drawn in planned:
        causes = causes_of[cell.data.name]
        kept = [i for i, place in enumerate(drawn.places) if place not in causes]
        if not kept:
            raise InputError(
                f"{cell.data.name}: no problem has its negatives for every compressor, and each can work on; lower negatives"
            )
        data = replace(
            cell.data,
            problems=tuple(p for place, p in enumerate(cell.data.problems) if place not in causes),
            left_out={**cell.data.left_out, **Counter(causes.values())},
        )
        problems, negatives = [cell.problems[i] for i in kept], [cell.negatives[i] for i in kept]
        cells.append(replace(cell, data=data, problems=problems, negatives=negatives))
    return cells


def _grading_mistakes(recipe: EvaluationRecipe, sets: Sequence[ProblemSet]) -> list[str]:
    """Has every problem the tests that grading by code runs?"""
    if recipe.grading.method != "code":
        return []
    without = [(data.name, p.id) for data in sets for p in data.problems[:1] if p.trial is None]
    return [
        f"grading.method = 'code': data {name!r} has no tests (problem {problem!r}); python-functions and humaneval have"
        for name, problem in without
    ]


def _predictor_mistakes(predictor: PredictorSection, recipe: EvaluationRecipe, sets: Sequence[ProblemSet]) -> list[str]:
    """Is the predictor there, and can it read a whole document where the grid hands it one?"""
    check_predictor_template(predictor.template, "predictors")
    if predictor.kind == "endpoint":
        return []
    model = find_model(predictor)
    if predictor.kind == "vllm":
        check_served(predictor.adapter)
    tokenizer, context = model.tokenizer, model.context_tokens  # what is broken in them is said before the work
    if not any(c.kind == "full-document" for c in recipe.compressors):
        return []
    mistakes = []
    for data in sets:
        longest = max(data.problems, key=lambda p: len(p.document))
        prompt = chat_ids(tokenizer, predictor_messages(longest.document, longest.query, PREDICTOR_TEMPLATE))
        if len(prompt) + predictor.max_tokens > context:
            mistakes.append(
                f"predictors: {predictor.name!r} holds {context} tokens, the full document of problem {longest.id!r} "
                f"takes {len(prompt)}; leave the full-document anchor out, or use another predictor"
            )
    return mistakes
