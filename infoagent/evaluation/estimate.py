"""What an evaluation will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from infoagent.baselines import PICKERS, cannot_work, unusable
from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, candidate_prompts
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.forms import forms_of
from infoagent.lm.adapters import check_adapter
from infoagent.lm.dry_run import PlannedWork, mean_tokens, not_here, read_tokens
from infoagent.lm.prompts import WITHOUT_THOUGHT, check_predictor_template, check_prompt
from infoagent.progress import duration
from infoagent.recipes import CompressorSection, EvaluationRecipe
from infoagent.recipes.compressors import WRITERS
from infoagent.types import ANCHORS, Mistakes, ProblemSet

WORDS_OF_A_SENTENCE = 30
CHARACTERS_OF_A_TOKEN = 3
"""Of a JSON schema, rather too few."""


def describe_evaluation(recipe: EvaluationRecipe) -> str:
    """Records, tokens, GFLOP, seconds and money of the whole grid, nothing of it done yet. Upper estimates: every text
    at its longest. Compressors that are scored under the same prompt share the reading of the documents."""
    _check_names(recipe)
    sets, left_out = usable_sets(recipe)
    lines = _evaluation(recipe, sets, frozenset())[0]
    return "\n".join([lines[0], *left_out, *lines[1:]])


def _check_names(recipe: EvaluationRecipe) -> None:
    """Raise InputError for a template or an adapter that a run would refuse, all of them at once."""
    mistakes = Mistakes()
    checks: list[Callable[[], None]] = [partial(check_prompt, c.prompt) for c in recipe.grid]
    checks += [partial(check_predictor_template, p.template, "predictors") for p in recipe.predictors]
    models = [c.model for c in recipe.grid if c.kind == "lm"] + [p for p in recipe.predictors if p.kind != "endpoint"]
    checks += [partial(check_adapter, m.adapter, m.name) for m in models if m.adapter is not None]
    for check in checks:
        with mistakes.of():
            check()
    mistakes.end()


def describe_rest(recipe: EvaluationRecipe, sets: Sequence[ProblemSet], held: Collection[str]) -> str:
    """A line: the time on this machine of what is left to do where the compressors with the labels `held` are done.
    Endpoints, which are not this machine, are not counted."""
    lines, seconds = _evaluation(recipe, sets, held)
    return f"about {duration(seconds)} here, {lines[-1]}"


def _evaluation(recipe: EvaluationRecipe, sets: Sequence[ProblemSet], held: Collection[str]) -> tuple[list[str], float]:
    """(the lines of the plan, seconds of the work that is left)."""
    grid, draws = recipe.grid, len(recipe.seeds) * recipe.samples
    lines = [f"plan: {len(grid)} compressors × {len(sets)} data sets × {len(recipe.predictors)} predictors × {draws} draws"]
    work = PlannedWork(recipe.cost, recipe.compressors[0].model.dtype)
    forms = forms_of(grid)  # a schema that is none is found here already
    fresh = [compressor for compressor in grid if compressor.label not in held]
    for data in sets:
        document = mean_tokens(p.document for p in data.problems)
        compressions = len(data) * draws
        read: set[str] = set()
        for compressor in fresh:
            form = forms[compressor.label]
            prompt = read_tokens(document, compressor.prompt) + PROMPT_OVERHEAD_TOKENS
            prompt += 0 if form is None else len(form.request) / CHARACTERS_OF_A_TOKEN
            line = f"  {compressor.label} on {data.name}: {compressions} compressions"
            if compressor.kind in ANCHORS:
                lines.append(line)
                continue
            longest = compressor.max_tokens + compressor.longest_thought
            if compressor.server is not None:
                line += f", at most {work.pay(compressor.server, compressions, prompt, longest):.4g} $"
            template = WITHOUT_THOUGHT.get(compressor.prompt.template, compressor.prompt.template)
            alike = f"{compressor.model.name} {compressor.prompt.model_copy(update={'template': template})} {form}"
            changed = recipe.negatives.hard
            prompts = compressions * candidate_prompts(changed, recipe.negatives.total - changed)
            scored = 0 if alike in read else prompts * prompt
            scored += compressions * (1 + recipe.negatives.total) * longest_tokens(compressor, document)
            if not work.forward(compressor.model, prompt, scored):
                lines.append(f"{line}; {not_here(compressor.model)}, not counted below")
                continue
            read.add(alike)
            if compressor.kind == "lm":
                work.generate(compressor.model, compressions, prompt, longest)
                line += f", at most {compressions * (prompt + longest):,.0f} tokens to write"
            lines.append(f"{line}, {scored:,.0f} to score")
        asked = len([p for p in data.problems if p.answer is not None]) * draws * len(fresh)
        notes = sum(longest_tokens(c, document) for c in fresh) / max(1, len(fresh))
        for predictor in recipe.predictors:
            tokens = asked * (notes + PROMPT_OVERHEAD_TOKENS)
            line = f"  {predictor.title} on {data.name}: {asked} answers, {tokens:,.0f} tokens to read"
            if predictor.kind == "endpoint":
                paid = work.pay(predictor, asked, notes + PROMPT_OVERHEAD_TOKENS, predictor.max_tokens)
                line += f", at most {paid:.4g} $"
            else:
                work.forward(predictor, notes, tokens, asked * predictor.max_tokens if predictor.how == "generation" else 0)
            lines.append(line)
    return [*lines, work.line(recipe.spending_limit_usd)], work.seconds


def usable_sets(recipe: EvaluationRecipe) -> tuple[list[ProblemSet], list[str]]:
    """The data sets of a grid with the problems that have their negatives, and what is left out or short, a line each."""
    counts = recipe.negatives.counts
    sets: list[ProblemSet] = []
    lines: list[str] = []
    for section in recipe.data:
        data = _compressible(load_data(**section.asked), recipe)
        drawn = take_negatives(data.problems, counts, recipe.negatives.seed)
        sets.append(drawn.of(data))
        told = [f"left out, {cause}: {number}" for cause, number in data.left_out.items()]
        lines += [f"  {data.name} ({data.split}): {line}" for line in (*told, *drawn.lines)]
    return sets, lines


def _compressible(data: ProblemSet, recipe: EvaluationRecipe) -> ProblemSet:
    """The problems that every picker of the grid can compress; the others are counted."""
    kinds = {c.kind for c in recipe.grid if c.kind in PICKERS}
    causes = {place: cannot_work(kind) for kind in sorted(kinds) for place in unusable(kind, data.problems)}
    problems = tuple(p for place, p in enumerate(data.problems) if place not in causes)
    return replace(data, problems=problems, left_out={**data.left_out, **Counter(causes.values())})


def longest_tokens(compressor: CompressorSection, document_tokens: float) -> float:
    """Tokens of a compressor's text at the most."""
    if compressor.kind in ANCHORS:
        return document_tokens if compressor.kind == "full-document" else 0.0
    if compressor.kind in WRITERS:
        return compressor.max_tokens
    return min(document_tokens, compressor.tokens or WORDS_OF_A_SENTENCE * TOKENS_PER_WORD * (compressor.sentences or 1))
