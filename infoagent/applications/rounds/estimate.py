"""What a run of rounds or compactions will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from dataclasses import dataclass, field

from infoagent.applications.rounds.recipe import PICKERS, CompactionRecipe, RoundsRecipe, StepsRecipe
from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, Work, generation_flops, price_of
from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import load_data
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.grading.words import count_words
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import ModelSection
from infoagent.types import ANCHORS


@dataclass
class _Bill:
    """Work and money, and what could not be counted."""

    recipe: StepsRecipe
    work: Work = field(default_factory=Work)
    usd: float = 0.0
    unknown: str = ""

    def write(self, model: ModelSection, times: float, read: float, written: float) -> None:
        architecture = architecture_of(model.name, model.revision)
        if architecture is None:
            self.unknown = f"; the configuration of {model.name} is not on this machine, not counted"
            return
        self.work.generate(times, generation_flops(architecture, int(read), int(written)))

    def score(self, model: ModelSection, tokens: float, past: float) -> None:
        architecture = architecture_of(model.name, model.revision)
        if architecture is not None:
            self.work.reading += architecture.flops(tokens, past) / 1e9

    def ask(self, times: float, read: float, written: float) -> None:
        """The predictor, here or over HTTP."""
        section, read = self.recipe.predictor, read + PROMPT_OVERHEAD_TOKENS
        if section.kind == "endpoint":
            price = price_of(section.name, section.provider, self.recipe.cost.prices)
            self.usd += times * price.usd(int(read), 0, int(written))
        else:
            self.write(section.model, times, read, written)

    def line(self) -> str:
        cost = self.recipe.cost
        rates = machine_rates(cost.gflops_per_second)
        seconds = self.work.seconds(rates)
        money = (
            f", and {self.usd:.4g} $ for endpoints, limit {self.recipe.spending_limit_usd:.2f} $" if self.usd else ""
        )
        return (
            f"compute: {self.work.gflop:,.0f} GFLOP; {rates.line} {duration(seconds)}; "
            f"money: {seconds / 3600 * cost.usd_per_hour:.2f} $ at {cost.usd_per_hour:.2f} $ an hour{money}{self.unknown}"
        )


def describe_rounds(recipe: RoundsRecipe) -> str:
    """Texts, tokens, GFLOP, seconds and money of eval/applications/rounds.py; every text at its longest."""
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
    drawn = take_negatives(data.problems, Counts.asked_for(recipe.negatives), recipe.negatives.seed)
    data = drawn.of(data)
    number = len(data)
    document = sum(count_words(p.document) for p in data.problems) / number * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    columns = 1 + recipe.negatives.total
    work, lines = _Bill(recipe), [f"plan: {len(recipe.systems)} systems × {number} problems, {columns} candidates each"]
    lines += [f"  {line}" for line in drawn.lines]
    read: set[str] = set()
    for s in recipe.systems:
        scored = 0.0 if s.model.name in read else columns * document  # systems of one base share the documents
        read.add(s.model.name)
        for t in range(s.rounds):
            past = t * (s.max_tokens + recipe.question_tokens + PROMPT_OVERHEAD_TOKENS) if s.remembers else 0.0
            work.write(s.model, number, document + past, s.max_tokens)
            scored += columns * (PROMPT_OVERHEAD_TOKENS + recipe.question_tokens + 2 * s.max_tokens)
            if t and s.questions == "rewritten":
                work.ask(number, t * s.max_tokens, recipe.question_tokens)
            work.ask(number, (t + 1) * s.max_tokens, recipe.predictor.max_tokens)
        work.score(s.model, number * scored, document)
        questions = "rewritten questions" if s.questions == "rewritten" else "the same question"
        lines.append(f"  {s.label}: {number * s.rounds} texts in {s.rounds} rounds with {questions}, "
                     f"{number * s.rounds * columns:,} cells to score")  # fmt: skip
    return "\n".join([*lines, work.line()])


def describe_compaction(recipe: CompactionRecipe) -> str:
    """Texts, tokens, GFLOP, seconds and money of eval/applications/compaction.py; every text at its longest."""
    data = load_histories(wanted=Wanted(recipe.turns, recipe.asked, recipe.versions), **recipe.data.model_dump())
    words = sum(count_words(t) for h in data.histories for t in h.turns) / sum(len(h.turns) for h in data.histories)
    turn, number = words * TOKENS_PER_WORD, len(data.histories)
    probes = sum(len(h.probes) for h in data.histories)
    lines = [
        f"plan: {len(recipe.compactors)} compactors × {number} histories of {recipe.turns} turns, {recipe.compactions} "
        f"compactions, {probes} questions on the first {recipe.asked} turns, {recipe.versions} versions of each fact"
    ]
    lines += [f"  left out, {reason}: {count}" for reason, count in data.left_out.items()]
    work = _Bill(recipe)
    read: set[str] = set()
    for c in recipe.compactors:
        context = recipe.turns * turn if c.kind == "full-document" else c.max_tokens + recipe.keep * turn
        work.ask(probes * (recipe.compactions + 1), context, recipe.predictor.max_tokens)
        if c.kind in ANCHORS:
            continue
        texts = (probes if c.asks or c.kind in PICKERS else number) * recipe.compactions
        if c.kind == "lm":
            work.write(c.model, texts, c.max_tokens + recipe.every * turn + PROMPT_OVERHEAD_TOKENS, c.max_tokens)
        cells = probes * recipe.compactions * (1 + recipe.versions)
        alike = f"{c.model.name} {c.prompt}"
        history = 0.0 if alike in read else recipe.turns * turn + recipe.compactions * PROMPT_OVERHEAD_TOKENS
        read.add(alike)  # compactors of one base and prompt share the reading of the histories
        work.score(c.model, probes * (1 + recipe.versions) * history + cells * c.max_tokens, recipe.turns * turn)
        lines.append(f"  {c.label}: {texts} texts of at most {c.max_tokens} tokens, {cells:,} cells to score")
    return "\n".join([*lines, work.line()])
