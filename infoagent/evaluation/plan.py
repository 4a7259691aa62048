"""What an evaluation will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, generation_flops, price_of
from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import load_data
from infoagent.evaluation.forms import forms_of
from infoagent.evaluation.pool_draw import choose_pool
from infoagent.lm.prompts import WITHOUT_THOUGHT
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import CompressorSection, EvaluationRecipe, InformationRecipe, ProxyRecipe
from infoagent.recipes.compressors import WRITERS
from infoagent.types import ANCHORS, ProblemSet

WORDS_OF_A_SENTENCE = 30
CHARACTERS_OF_A_TOKEN = 3
"""Of a JSON schema, rather too few."""


def describe_evaluation(recipe: EvaluationRecipe) -> str:
    """Records, tokens, GFLOP, seconds and money of the whole grid, nothing of it done yet. Upper estimates: every text
    at its longest. Compressors that are scored under the same prompt share the reading of the documents."""
    sets, left_out = usable_sets(recipe)
    grid, draws = recipe.grid, len(recipe.seeds) * recipe.samples
    lines = [
        f"plan: {len(grid)} compressors × {len(sets)} data sets × {len(recipe.predictors)} predictors × {draws} draws",
        *left_out,
    ]
    gflop = usd = 0.0
    forms = forms_of(grid)  # a schema that is none is found here already
    for data in sets:
        words = sum(len(p.document.split()) for p in data.problems) / len(data)
        document = words * TOKENS_PER_WORD
        plain = document + PROMPT_OVERHEAD_TOKENS
        compressions = len(data) * draws
        read: set[str] = set()
        for compressor in grid:
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
                gflop += compressions * generation_flops(architecture, int(prompt), longest).total / 1e9
                line += f", at most {written:,.0f} tokens to write"
            columns = compressions * (1 + recipe.negatives.total)
            template = WITHOUT_THOUGHT.get(compressor.prompt.template, compressor.prompt.template)
            alike = f"{compressor.model.name} {compressor.prompt.model_copy(update={'template': template})} {form}"
            scored = columns * ((0 if alike in read else prompt) + _longest(compressor, document))
            read.add(alike)
            gflop += architecture.flops(scored, prompt) / 1e9
            lines.append(f"{line}, {scored:,.0f} to score")
        asked = sum(len([p for p in data.problems if p.answer is not None]) * draws for _ in grid)
        notes = sum(_longest(c, document) for c in grid) / len(grid)
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
                gflop += architecture.flops(tokens + asked * predictor.max_tokens, notes) / 1e9
            lines.append(line)
    seconds = gflop / recipe.cost.gflops_per_second
    lines.append(
        f"compute: {gflop:,.0f} GFLOP; at {recipe.cost.gflops_per_second:,.0f} GFLOP/s {seconds:,.0f} s; "
        f"money: {seconds / 3600 * recipe.cost.usd_per_hour:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour"
        + (f", and {usd:.4g} $ for endpoints, limit {recipe.spending_limit_usd:.2f} $" if usd else "")
    )
    return "\n".join(lines)


def usable_sets(recipe: EvaluationRecipe) -> tuple[list[ProblemSet], list[str]]:
    """The data sets of a grid with the problems that have their negatives, and what is left out or short, a line each."""
    counts = Counts(**recipe.negatives.counts)
    sets: list[ProblemSet] = []
    lines: list[str] = []
    for section in recipe.data:
        data = load_data(**section.model_dump(exclude={"truncate"}))
        drawn = take_negatives(data.problems, counts, recipe.negatives.seed)
        sets.append(drawn.of(data))
        told = [f"left out, {cause}: {number}" for cause, number in data.left_out.items()]
        lines += [f"  {data.name} ({data.split}): {line}" for line in (*told, *drawn.lines)]
    return sets, lines


def _longest(compressor: CompressorSection, document_tokens: float) -> float:
    """Tokens of a compressor's text at the most."""
    if compressor.kind in ANCHORS:
        return document_tokens if compressor.kind == "full-document" else 0.0
    if compressor.kind in WRITERS:
        return compressor.max_tokens
    return min(
        document_tokens, compressor.tokens or WORDS_OF_A_SENTENCE * TOKENS_PER_WORD * (compressor.sentences or 1)
    )


def describe_measurement(recipe: InformationRecipe) -> str:
    """Cells, tokens, GFLOP, seconds and money of eval/information.py. Prompts of one document under many questions
    share its tokens, so each document counts once and each question's end once a pair."""
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
    pool = choose_pool(recipe, data.problems)
    compressions = recipe.documents * recipe.samples
    columns = recipe.documents if recipe.far is None else 1 + recipe.near + recipe.far
    words = sum(len(p.document.split()) for p in data.problems) / len(data)
    document = words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    written = compressions * (document + recipe.compressor.max_tokens)
    same_question = recipe.compressor.prompt.template.startswith("agnostic")
    pairs = recipe.documents * (columns + recipe.counterfactuals)
    questions = 0 if same_question or recipe.query == "own_document" else pairs * PROMPT_OVERHEAD_TOKENS
    read = recipe.documents * (1 + recipe.counterfactuals) * document + questions
    scored = read + compressions * (columns + recipe.counterfactuals) * recipe.compressor.max_tokens
    lines = [
        f"plan: {recipe.documents} documents × {recipe.samples} compressions, {columns} pool columns and "
        f"{recipe.counterfactuals} counterfactuals each: {compressions * (columns + recipe.counterfactuals):,} cells",
        *(f"  {line}" for line in pool.lines),
        f"tokens: at most {written:,.0f} to write and {scored:,.0f} to score",
    ]
    model = recipe.scorer or recipe.compressor.model
    architecture = architecture_of(model.name, model.revision)
    if architecture is None:
        lines.append(f"compute: the configuration of {model.name} is not on this machine")
        return "\n".join(lines)
    gflop = architecture.flops(written + scored, document) / 1e9
    seconds = gflop / recipe.cost.gflops_per_second
    lines.append(
        f"compute: {gflop:,.0f} GFLOP; at {recipe.cost.gflops_per_second:,.0f} GFLOP/s {seconds:,.0f} s; "
        f"money: {seconds / 3600 * recipe.cost.usd_per_hour:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour"
    )
    return "\n".join(lines)


def describe_scorers(recipe: ProxyRecipe, grids: Sequence[EvaluationRecipe]) -> str:
    """GFLOP and seconds of each scorer over all grids, every text at its longest; prefixes under one prompt are read once."""
    columns = prompts = texts = 0.0
    for grid in grids:
        for data in usable_sets(grid)[0]:
            draws = len(data) * len(grid.seeds) * grid.samples
            document = sum(len(p.document.split()) for p in data.problems) / len(data) * TOKENS_PER_WORD
            written = [c for c in grid.grid if c.kind not in ANCHORS]
            candidates = 1 + grid.negatives.total
            prompts += (
                len({str(c.prompt) for c in written}) * len(data) * candidates * (document + PROMPT_OVERHEAD_TOKENS)
            )
            columns += draws * candidates * sum(_longest(c, document) for c in written)
            texts += draws * len(written)
    lines = [f"scorers: {len(recipe.studied)} × {texts:,.0f} texts, {prompts + columns:,.0f} tokens each"]
    total = 0.0
    for scorer in recipe.studied:
        architecture = architecture_of(scorer.model.name, scorer.model.revision) if scorer.kind == "lm" else None
        if architecture is None:
            lines.append(
                f"  {scorer.label}: "
                + ("no model" if scorer.kind != "lm" else "its configuration is not on this machine")
            )
            continue
        if scorer.layers is not None:
            architecture = replace(architecture, layers=min(scorer.layers, architecture.layers))
        gflop = architecture.flops(prompts + columns, prompts / max(1.0, texts)) / 1e9
        total += gflop
        lines.append(f"  {scorer.label}: {gflop:,.0f} GFLOP, {gflop / recipe.cost.gflops_per_second:,.0f} s")
    lines.append(f"all scorers: {total:,.0f} GFLOP, {total / recipe.cost.gflops_per_second:,.0f} s")
    return "\n".join(lines)
