"""What a run of rounds or compactions will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.applications.rounds.recipe import CompactionRecipe, RoundsRecipe
from infoagent.baselines import PICKERS
from infoagent.costs import PROMPT_OVERHEAD_TOKENS
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.lm.dry_run import PlannedWork, mean_tokens
from infoagent.types import ANCHORS


def describe_rounds(recipe: RoundsRecipe) -> str:
    """Texts, tokens, GFLOP, seconds and money of eval/applications/rounds.py; every text at its longest."""
    data = load_data(**recipe.data.asked)
    drawn = take_negatives(data.problems, recipe.negatives.counts, recipe.negatives.seed)
    data = drawn.of(data)
    number = len(data)
    document = mean_tokens(p.document for p in data.problems) + PROMPT_OVERHEAD_TOKENS
    columns = 1 + recipe.negatives.total
    lines = [f"plan: {len(recipe.systems)} systems × {number} problems, {columns} candidates each"]
    lines += [f"  {line}" for line in drawn.lines]
    work, read = PlannedWork(recipe.cost), set[str]()
    for s in recipe.systems:
        scored = 0.0 if s.model.name in read else columns * document  # systems of one base share the documents
        read.add(s.model.name)
        for t in range(s.rounds):
            past = t * (s.max_tokens + recipe.question_tokens + PROMPT_OVERHEAD_TOKENS) if s.remembers else 0.0
            work.generate(s.model, number, document + past, s.max_tokens)
            scored += columns * (PROMPT_OVERHEAD_TOKENS + recipe.question_tokens + 2 * s.max_tokens)
            if t and s.questions == "rewritten":
                work.ask(recipe.predictor, number, t * s.max_tokens, recipe.question_tokens)
            work.ask(recipe.predictor, number, (t + 1) * s.max_tokens, recipe.predictor.max_tokens)
        work.forward(s.model, document, number * scored)
        questions = "rewritten questions" if s.questions == "rewritten" else "the same question"
        lines.append(
            f"  {s.label}: {number * s.rounds} texts in {s.rounds} rounds with {questions}, "
            f"{number * s.rounds * columns:,} cells to score"
        )
    return "\n".join([*lines, work.line(recipe.spending_limit_usd)])


def describe_compaction(recipe: CompactionRecipe) -> str:
    """Texts, tokens, GFLOP, seconds and money of eval/applications/compaction.py; every text at its longest."""
    data = load_histories(wanted=Wanted(recipe.turns, recipe.asked, recipe.versions), **recipe.data.model_dump())
    turn, number = mean_tokens(t for h in data.histories for t in h.turns), len(data.histories)
    probes = sum(len(h.probes) for h in data.histories)
    lines = [
        f"plan: {len(recipe.compactors)} compactors × {number} histories of {recipe.turns} turns, {recipe.compactions} "
        f"compactions, {probes} questions on the first {recipe.asked} turns, {recipe.versions} versions of each fact"
    ]
    lines += [f"  left out, {reason}: {count}" for reason, count in data.left_out.items()]
    work, read = PlannedWork(recipe.cost), set[str]()
    for c in recipe.compactors:
        context = recipe.turns * turn if c.kind == "full-document" else c.max_tokens + recipe.keep * turn
        work.ask(recipe.predictor, probes * (recipe.compactions + 1), context, recipe.predictor.max_tokens)
        if c.kind in ANCHORS:
            continue
        texts = (probes if c.asks or c.kind in PICKERS else number) * recipe.compactions
        if c.kind == "lm":
            work.generate(c.model, texts, c.max_tokens + recipe.every * turn + PROMPT_OVERHEAD_TOKENS, c.max_tokens)
        cells = probes * recipe.compactions * (1 + recipe.versions)
        alike = f"{c.model.name} {c.prompt}"
        history = 0.0 if alike in read else recipe.turns * turn + recipe.compactions * PROMPT_OVERHEAD_TOKENS
        read.add(alike)  # compactors of one base and prompt share the reading of the histories
        work.forward(c.model, recipe.turns * turn, probes * (1 + recipe.versions) * history + cells * c.max_tokens)
        lines.append(f"  {c.label}: {texts} texts of at most {c.max_tokens} tokens, {cells:,} cells to score")
    return "\n".join([*lines, work.line(recipe.spending_limit_usd)])
