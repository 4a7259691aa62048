"""The same compressions under other scorers: what a proxy in the compressor's place changes.

A scorer reads its own prompt of each document, under its own chat template, and tells how likely the text is, split by
its own tokenizer: also where it is the sampler's, whose sampled tokens may have been others for the same text. With a
scorer that is not the sampler the estimate is a lower bound on I(X;Z|Q), tight only where the scorer is good.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from infoagent.applications.proxies.critics import Critic, load_critic
from infoagent.applications.proxies.recipe import ProxySection
from infoagent.applications.proxies.summary import ProxyRecord
from infoagent.evaluation.cells import Cell, packs
from infoagent.evaluation.compressing import compression_key
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.evaluation.summary import summarise
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import find_model
from infoagent.lm.scoring.client import check_served
from infoagent.lm.scoring.pairs import each_alone
from infoagent.lm.settling import settle
from infoagent.lm.sizes import architecture_of
from infoagent.progress import Progress
from infoagent.recipes import EvaluationRecipe, ModelSection
from infoagent.records.grid import CompressionRecord, GridRecord, compressions_of
from infoagent.records.summaries import Summary
from infoagent.store import text_id
from infoagent.types import DTYPES, InputError, Mistakes

DIRECTORY = "proxies"


def parse_scorer(text: str) -> ProxySection:
    """From `name` or `name:dtype`. Raises InputError."""
    name, sign, dtype = text.rpartition(":")
    if not sign:
        return _plain(ModelSection(name=text))
    if dtype not in DTYPES or not name:
        raise InputError(f"--scorer {text}: must be NAME or NAME:DTYPE with a dtype of {', '.join(DTYPES)}")
    return _plain(ModelSection.model_validate({"name": name, "dtype": dtype}))


def _plain(model: ModelSection) -> ProxySection:
    settled = settle(model)
    return ProxySection(label=f"{settled.name} ({settled.dtype})", model=settled)


def check_scorers(scorers: Sequence[ProxySection], cells: Sequence[Cell]) -> None:
    """Is each scorer there, are its costs known, has it the layers, and does it hold the longest prompt? Raises
    InputError, before a model is loaded."""
    mistakes = Mistakes()
    for section in scorers:
        if section.kind == "lm":
            with mistakes.of(f"scorer {section.label}: "):
                _check(section, cells)
    mistakes.end()


def _check(section: ProxySection, cells: Sequence[Cell]) -> None:
    model, found = section.model, find_model(section.model)
    architecture_of(model.name, model.revision)
    held = getattr(found.config.get_text_config(), "num_hidden_layers", None)
    if section.layers is not None and held is not None and section.layers > held:
        raise InputError(f"layers = {section.layers}: {model.name} has {held}; name fewer, or leave it out")
    if section.url is not None:
        check_served(section.url, found.reference, model.dtype, found.tokenizer)
    for cell in cells:
        fit_to_context(cell.problems, found.tokenizer, found.context_tokens, cell.compressor.max_tokens, "error", cell.scored_as)


def proxy_summaries(
    recipe: EvaluationRecipe, cells: Sequence[Cell], records: Sequence[GridRecord], scorers: Sequence[ProxySection], quiet: bool
) -> dict[str, list[Summary]]:
    """Summaries of the grid's compressions as each scorer sees them, by the scorer's label."""
    return {section.label: summarise(proxy_rows(recipe, cells, records, section, quiet), recipe.price) for section in scorers}


def proxy_rows(
    recipe: EvaluationRecipe, cells: Sequence[Cell], records: Sequence[GridRecord], section: ProxySection, quiet: bool
) -> list[ProxyRecord]:
    """The grid's compressions with the log-probabilities of `section` in place of their own.

    What was scored before is kept in output_dir/proxies, with the seconds, GFLOP and memory that it took; a text that
    cannot be scored is a failed record.
    """
    kept = RecordFile(Path(recipe.output_dir) / DIRECTORY)
    written = {r.key: r for r in compressions_of(records) if r.is_ok and r.is_scored}
    documents = list(dict.fromkeys(d for cell in cells for i in range(len(cell.problems)) for d in cell.candidates(i)))
    identity = _identity(section, documents)
    critic: Critic | None = None  # loaded where something is missing, and one at a time
    rows: list[ProxyRecord] = []
    with Progress(len(written), f"{section.label} scores", "text", quiet) as bar:
        for pack in packs(cells):
            for index in range(len(pack[0].problems)):
                draws = [(seed, sample) for seed in recipe.seeds for sample in range(recipe.samples)]
                keys = [k for c in pack for seed, n in draws if (k := compression_key(c, index, n, seed)) in written]
                names = {k: content_key(kind="proxy", compression=k, **identity) for k in keys}
                missing = [k for k in keys if not kept.done(names[k])]
                if missing:
                    critic = critic or load_critic(section, recipe.memory_mib, documents)
                    scored = _score(critic, pack[0], index, [written[k] for k in missing])
                    results = zip(missing, scored, strict=True)
                    kept.append(*({"key": names[k], "kind": "proxy", "compression_key": k, **part} for k, part in results))
                rows += [_merged(written[k], kept.rows[names[k]]) for k in keys]
                bar.update(len(keys))
    return rows


def _merged(written: CompressionRecord, result: Row) -> ProxyRecord:
    own = {name: value for name, value in vars(written).items() if name not in ("log_probs", "tokens", "candidates")}
    fields = {name: value for name, value in result.items() if name not in ("key", "kind", "compression_key")}
    return ProxyRecord(**{**own, **fields})


def _identity(section: ProxySection, documents: Sequence[str]) -> Row:
    """What decides a score beside the text and its candidates."""
    if section.kind == "zlib":
        return {"scorer": "zlib"}
    if section.kind == "unigram":
        return {"scorer": "unigram", "collection": text_id("\n".join(documents))}
    model = section.model
    changes = {k: v for k in ("layers", "weight_bits") if (v := getattr(section, k)) is not None}
    identity = {k: v for k, v in find_model(model).identity.items() if v is not None}
    return {"scorer": model.model_dump(), **identity, **changes}


def _score(critic: Critic, cell: Cell, index: int, rows: Sequence[CompressionRecord]) -> list[Row]:
    """log p(z | x, q) of each text under the source and its negatives, in nats."""

    def score(together: Sequence[CompressionRecord]) -> list[Row]:
        start, before = time.perf_counter(), critic.gflop
        scored = critic.log_probs(cell, index, together)
        spent = {
            "scoring_seconds": (time.perf_counter() - start) / len(together),
            "gflop": None if critic.gflop is None or before is None else (critic.gflop - before) / len(together),
            "weight_mib": critic.weight_mib,
        }
        kinds = cell.kinds(index)
        return [{"status": "ok", "candidates": kinds, "log_probs": log_probs, **spent} for log_probs in scored]

    def failed(error: Exception) -> Row:
        return {"status": "failed", "cause": "scoring", "error": str(error)}

    return each_alone(score, rows, failed, (FloatingPointError, OSError))
