"""Everything that can be wrong with a research run, found before a model loads or a request is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infoagent.applications.research.recipe import ResearchRecipe, SearchSection, SystemSection
from infoagent.applications.research.search import (
    LiveWire,
    Provider,
    ReplayWire,
    Web,
    WebSettings,
    corpus_of_data,
    corpus_of_file,
    corpus_of_folder,
)
from infoagent.baselines import PICKERS
from infoagent.data.sets.research_tasks import ResearchTask, load_tasks, tasks_of_records
from infoagent.evaluation.trained import trained_beside
from infoagent.lm.models import find_model
from infoagent.lm.prompts import chat_ids, check_prompt
from infoagent.lm.vllm.engine import check_served
from infoagent.recipes.evaluation import PredictorSection
from infoagent.types import InputError, Mistakes

RESPONSES_FILE = "responses.jsonl"


@dataclass(frozen=True)
class Prepared:
    """What a run works on."""

    tasks: list[ResearchTask]
    provider: Provider
    systems: list[SystemSection]


def prepare(recipe: ResearchRecipe) -> Prepared:
    """Raises InputError with all mistakes of tasks, search, systems and models."""
    mistakes = Mistakes()
    with mistakes.of():
        tasks = tasks_of(recipe)
    with mistakes.of():
        provider = open_search(recipe.search, recipe.output_dir)
        provider.check()
    with mistakes.of():
        systems = systems_of(recipe)
    for section in recipe.asked:
        with mistakes.of():
            _check_model(section)
    mistakes.end()
    return Prepared(tasks, provider, systems)


def tasks_of(recipe: ResearchRecipe) -> list[ResearchTask]:
    section = recipe.tasks
    if section.path is not None:
        return load_tasks(section.path)[: section.limit]
    assert recipe.search.corpus is not None
    data = recipe.search.corpus.data
    assert data is not None
    assert data.limit is not None
    return tasks_of_records(
        section.limit, section.records, section.facts, data.limit, data.split, data.seed, data.min_words, data.max_words
    )


def open_search(section: SearchSection, output_dir: str) -> Provider:
    """The provider of a recipe. Raises InputError."""
    if section.corpus is not None:
        corpus = section.corpus
        if corpus.data is not None:
            return corpus_of_data(corpus.data.asked)
        if corpus.folder is not None:
            return corpus_of_folder(corpus.folder, corpus.max_words, corpus.skip_bad_files)
        assert corpus.file is not None
        return corpus_of_file(corpus.file)
    web = section.web
    assert web is not None
    settings = WebSettings(
        web.search_url,
        web.reader_url,
        web.search_key_env,
        web.reader_key_env,
        web.usd_per_search,
        web.usd_per_fetch,
        replayed=web.replay,
    )
    record = web.responses or str(Path(output_dir) / RESPONSES_FILE)
    if web.replay:
        return Web(settings, ReplayWire(record))
    return Web(settings, LiveWire(record, web.timeout_seconds, web.retries, web.backoff_seconds))


def systems_of(recipe: ResearchRecipe) -> list[SystemSection]:
    """The recipe's systems, with the trained one of `checkpoint` behind them. Raises InputError."""
    mistakes = Mistakes()
    for system in recipe.systems:
        with mistakes.of():
            check_prompt(system.prompt)
        if system.kind in PICKERS:
            find_model(system.model)
    mistakes.end()
    if recipe.checkpoint is None:
        return recipe.systems
    frozen = next((s for s in recipe.systems if s.kind == "lm" and s.endpoint is None), None)
    if frozen is None:
        raise InputError("systems: none of them is an lm of this machine; the checkpoint needs one to be compared with")
    labels = [s.label for s in recipe.systems]
    return [*recipe.systems, trained_beside(frozen, recipe.checkpoint, labels, "systems", "template")]


def pairs_of(systems: list[SystemSection], checkpoint: str | None) -> list[tuple[str, str]]:
    """Which systems are compared: each with the first, and the trained one with its frozen self."""
    labels = [s.label for s in systems]
    pairs = [(label, labels[0]) for label in labels[1:]]
    if checkpoint is not None:
        frozen = next(s.label for s in systems if s.kind == "lm" and s.endpoint is None)
        pairs += [(labels[-1], frozen)] if (labels[-1], frozen) not in pairs else []
    return pairs


def _check_model(section: PredictorSection) -> None:
    if section.kind == "endpoint":
        return
    model = find_model(section)
    if section.kind == "vllm":
        check_served(section.adapter)
    # a tokenizer without a chat template cannot be asked
    chat_ids(model.tokenizer, [{"role": "user", "content": "a"}])
