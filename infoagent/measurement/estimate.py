"""What a measurement will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.costs import PROMPT_OVERHEAD_TOKENS
from infoagent.data.registry import load_data
from infoagent.lm.adapters import check_adapter
from infoagent.lm.dry_run import PlannedWork, mean_tokens, not_here, read_tokens
from infoagent.lm.prompts import check_prompt
from infoagent.measurement.pool_draw import choose_pool, left_out_lines
from infoagent.recipes import InformationRecipe


def describe_measurement(recipe: InformationRecipe) -> str:
    """Cells, tokens, GFLOP, seconds and money of eval/information.py. Prompts of one document under many questions
    share its tokens, so each document counts once and each question's end once a pair; what is picked of it is another text for
    each question. Raises InputError for a template or an adapter that a run would refuse."""
    check_prompt(recipe.compressor.prompt)
    for named in (recipe.compressor.model, recipe.scorer):
        if named is not None and named.adapter is not None:
            check_adapter(named.adapter, named.name)
    data = load_data(**recipe.data.asked)
    pool = choose_pool(recipe, data.problems)
    compressions = recipe.documents * recipe.samples
    columns = recipe.documents if recipe.far is None else 1 + recipe.near + recipe.far
    prompt = recipe.compressor.prompt
    document = read_tokens(mean_tokens(p.document for p in data.problems), prompt) + PROMPT_OVERHEAD_TOKENS
    written = compressions * (document + recipe.compressor.max_tokens)
    same_question = prompt.template.startswith("agnostic")
    pairs = recipe.documents * (columns + recipe.counterfactuals)
    questions = 0 if same_question or recipe.query == "own_document" else pairs * PROMPT_OVERHEAD_TOKENS
    read = recipe.documents * (1 + recipe.counterfactuals) * document + questions
    if questions and prompt.pick_tokens is not None:
        read = pairs * document
    scored = read + compressions * (columns + recipe.counterfactuals) * recipe.compressor.max_tokens
    lines = [
        f"plan: {recipe.documents} documents × {recipe.samples} compressions, {columns} pool columns and "
        f"{recipe.counterfactuals} counterfactuals each: {compressions * (columns + recipe.counterfactuals):,} cells",
        *(f"  {line}" for line in left_out_lines(data, pool)),
        f"tokens: at most {written:,.0f} to write and {scored:,.0f} to score",
    ]
    model = recipe.scorer or recipe.compressor.model
    work, prompts = PlannedWork(recipe.cost, model.dtype), compressions * document
    is_known = work.forward(model, document, scored + prompts, written - prompts)
    return "\n".join([*lines, work.line() if is_known else f"compute: {not_here(model)}"])
