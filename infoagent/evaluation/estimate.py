"""What an evaluation will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from infoagent.costs import (
    PROMPT_OVERHEAD_TOKENS,
    TOKENS_PER_WORD,
    Work,
    candidate_prompts,
    generation_flops,
    price_of,
)
from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.forms import forms_of
from infoagent.grading.words import count_words
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.prompts import WITHOUT_THOUGHT
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import CompressorSection, EvaluationRecipe
from infoagent.recipes.compressors import WRITERS
from infoagent.recipes.sections import CostSection
from infoagent.types import ANCHORS, ProblemSet

WORDS_OF_A_SENTENCE = 30
CHARACTERS_OF_A_TOKEN = 3
"""Of a JSON schema, rather too few."""


def describe_evaluation(recipe: EvaluationRecipe) -> str:
    """Records, tokens, GFLOP, seconds and money of the whole grid, nothing of it done yet. Upper estimates: every text
    at its longest. Compressors that are scored under the same prompt share the reading of the documents."""
    sets, left_out = usable_sets(recipe)
    lines = _evaluation(recipe, sets, frozenset())[0]
    return "\n".join([lines[0], *left_out, *lines[1:]])


def describe_rest(recipe: EvaluationRecipe, sets: Sequence[ProblemSet], held: Collection[str]) -> str:
    """A line: the time on this machine of what is left to do where the compressors with the labels `held` are done.
    Endpoints, which are not this machine, are not counted."""
    lines, seconds = _evaluation(recipe, sets, held)
    return f"about {duration(seconds)} here, {lines[-1]}"


def _evaluation(recipe: EvaluationRecipe, sets: Sequence[ProblemSet], held: Collection[str]) -> tuple[list[str], float]:
    """(the lines of the plan, seconds of the work that is left)."""
    grid, draws = recipe.grid, len(recipe.seeds) * recipe.samples
    lines = [
        f"plan: {len(grid)} compressors × {len(sets)} data sets × {len(recipe.predictors)} predictors × {draws} draws"
    ]
    work, usd = Work(), 0.0
    forms = forms_of(grid)  # a schema that is none is found here already
    for data in sets:
        words = sum(count_words(p.document) for p in data.problems) / len(data)
        document = words * TOKENS_PER_WORD
        plain = document + PROMPT_OVERHEAD_TOKENS
        compressions = len(data) * draws
        read: set[str] = set()
        fresh = [compressor for compressor in grid if compressor.label not in held]
        for compressor in fresh:
            form = forms[compressor.label]
            prompt = plain + (0 if form is None else len(form.request) / CHARACTERS_OF_A_TOKEN)
            line = f"  {compressor.label} on {data.name}: {compressions} compressions"
            architecture = architecture_of(compressor.model.name, compressor.model.revision)
            if compressor.kind in ANCHORS:
                lines.append(line)
                continue
            longest = compressor.max_tokens + compressor.longest_thought
            if compressor.server is not None:
                price = price_of(compressor.server.name, compressor.server.provider, recipe.cost.prices)
                paid = compressions * price.usd(int(prompt), 0, longest)
                usd += paid
                line += f", at most {paid:.4g} $"
            if architecture is None:
                lines.append(
                    f"{line}; the configuration of {compressor.model.name} is not on this machine, not counted below"
                )
                continue
            if compressor.kind == "lm":
                written = compressions * (prompt + longest)
                work.generate(compressions, generation_flops(architecture, int(prompt), longest))
                line += f", at most {written:,.0f} tokens to write"
            columns = compressions * (1 + recipe.negatives.total)
            template = WITHOUT_THOUGHT.get(compressor.prompt.template, compressor.prompt.template)
            alike = f"{compressor.model.name} {compressor.prompt.model_copy(update={'template': template})} {form}"
            changed = recipe.negatives.hard
            prompts = compressions * candidate_prompts(changed, recipe.negatives.total - changed)
            scored = (0 if alike in read else prompts * prompt) + columns * longest_tokens(compressor, document)
            read.add(alike)
            work.reading += architecture.flops(scored, prompt) / 1e9
            lines.append(f"{line}, {scored:,.0f} to score")
        asked = len([p for p in data.problems if p.answer is not None]) * draws * len(fresh)
        notes = sum(longest_tokens(c, document) for c in fresh) / max(1, len(fresh))
        for predictor in recipe.predictors:
            tokens = asked * (notes + PROMPT_OVERHEAD_TOKENS)
            line = f"  {predictor.title} on {data.name}: {asked} answers, {tokens:,.0f} tokens to read"
            if predictor.kind == "endpoint":
                price = price_of(predictor.name, predictor.provider, recipe.cost.prices)
                # one call at a time: a price may rise with the length of a prompt
                paid = asked * price.usd(int(notes + PROMPT_OVERHEAD_TOKENS), 0, predictor.max_tokens)
                usd += paid
                line += f", at most {paid:.4g} $"
            elif (architecture := architecture_of(predictor.name, predictor.revision)) is not None:
                written = asked * (predictor.max_tokens if predictor.how == "generation" else 0)
                work.reading += architecture.flops(tokens, notes) / 1e9
                work.writing += architecture.flops(written, notes) / 1e9
            lines.append(line)
    line, seconds = compute_line(work, recipe.cost, recipe.compressors[0].model.dtype)
    paid_line = f", and {usd:.4g} $ for endpoints, limit {recipe.spending_limit_usd:.2f} $" if usd else ""
    return [*lines, line + paid_line], seconds


def compute_line(work: Work, cost: CostSection, dtype: str) -> tuple[str, float]:
    """(GFLOP, rates, time and money of the machine in a line, seconds)."""
    rates = machine_rates(cost.gflops_per_second, dtype)
    seconds = work.seconds(rates)
    return (
        f"compute: {work.gflop:,.0f} GFLOP; {rates.line} {duration(seconds)}; "
        f"money: {seconds / 3600 * cost.usd_per_hour:.2f} $ at {cost.usd_per_hour:.2f} $ an hour",
        seconds,
    )


def usable_sets(recipe: EvaluationRecipe) -> tuple[list[ProblemSet], list[str]]:
    """The data sets of a grid with the problems that have their negatives, and what is left out or short, a line each."""
    counts = Counts(**recipe.negatives.counts)
    sets: list[ProblemSet] = []
    lines: list[str] = []
    for section in recipe.data:
        data = load_data(**section.asked)
        drawn = take_negatives(data.problems, counts, recipe.negatives.seed)
        sets.append(drawn.of(data))
        told = [f"left out, {cause}: {number}" for cause, number in data.left_out.items()]
        lines += [f"  {data.name} ({data.split}): {line}" for line in (*told, *drawn.lines)]
    return sets, lines


def longest_tokens(compressor: CompressorSection, document_tokens: float) -> float:
    """Tokens of a compressor's text at the most."""
    if compressor.kind in ANCHORS:
        return document_tokens if compressor.kind == "full-document" else 0.0
    if compressor.kind in WRITERS:
        return compressor.max_tokens
    return min(
        document_tokens, compressor.tokens or WORDS_OF_A_SENTENCE * TOKENS_PER_WORD * (compressor.sentences or 1)
    )
