"""What an evaluation will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD
from infoagent.data.registry import load_data
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import EvaluationRecipe, InformationRecipe


def describe_evaluation(recipe: EvaluationRecipe) -> str:
    """Records, tokens, GFLOP, seconds and money of compressing and scoring; prefixes counted in full, answers (short
    prompts) not counted."""
    sets = [load_data(**section.model_dump(exclude={"truncate"})) for section in recipe.data]
    lines = [
        f"plan: {len(recipe.compressors)} compressors × {len(sets)} data sets × {len(recipe.predictors)} predictors"
    ]
    gflop = 0.0
    for data in sets:
        words = sum(len(p.document.split()) for p in data.problems) / len(data)
        prompt = words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
        for compressor in recipe.compressors:
            compressions = len(data) * recipe.samples
            line = f"  {compressor.label} on {data.name}: {compressions} compressions"
            architecture = architecture_of(compressor.model.name, compressor.model.revision)
            if compressor.kind == "lm" and architecture is not None:
                written = compressions * (prompt + compressor.max_tokens)
                scored = compressions * (1 + recipe.negatives.total) * (prompt + compressor.max_tokens)
                gflop += architecture.flops(written + scored, prompt) / 1e9
                line += f", at most {written:,.0f} tokens to write and {scored:,.0f} to score"
            elif compressor.kind == "lm":
                line += f"; the configuration of {compressor.model.name} is not on this machine, not counted below"
            lines.append(line)
    seconds = gflop / recipe.cost.gflops_per_second
    lines.append(
        f"compute: {gflop:,.0f} GFLOP; at {recipe.cost.gflops_per_second:,.0f} GFLOP/s {seconds:,.0f} s; "
        f"money: {seconds / 3600 * recipe.cost.usd_per_hour:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour"
    )
    return "\n".join(lines)


def describe_measurement(recipe: InformationRecipe) -> str:
    """Cells, tokens, GFLOP, seconds and money of eval/information.py. Prompts of one document under many questions
    share its tokens, so each document counts once and each question's end once a pair."""
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
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
