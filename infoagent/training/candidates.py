"""Scored samples on disk: what expert iteration chooses from, and what pairs are made of.

    candidates.jsonl   a line for each sample: problem, round, token ids, text, MI, rate, reward and its parts
    candidates.json    what decided them: model, prompt, negatives, data, reward, sampling, seed; commit and versions

Samples of one problem are appended together once they are scored. A killed run goes on with the problem that it was
at and draws the same samples: the seed of a batch is made of the run's seed, the round and the batch's first problem,
not of a generator that runs on. MI and rate are stored apart, so another price needs no new scoring.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.data.revisions import same_data
from infoagent.files import append_jsonl, read_json, read_jsonl, write_json, write_jsonl
from infoagent.grading import states_facts
from infoagent.lm.generation import compression_from_ids, generate, generate_groups
from infoagent.lm.identity import same_revision
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import compressor_ids, text_ids
from infoagent.pricing.parts import Price
from infoagent.progress import Progress
from infoagent.proposals.sources import GREEDY, POLICY
from infoagent.recipes.dpo import DPORecipe
from infoagent.recipes.sft import SamplingSection, SFTRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.reward.metrics import ScoredCompression
from infoagent.reward.mi_reward import MIReward
from infoagent.store import TEMPLATE_DATE, provenance, template_date, text_id
from infoagent.training.preparation import Prepared
from infoagent.training.proposing import Proposer, Scored, scored_together
from infoagent.training.run_directory import CANDIDATES_FILE
from infoagent.types import AUTO, Compression, InputError, Problem, RunFailed

logger = logging.getLogger(__name__)

MANIFEST_FILE = "candidates.json"
REPRICED = ("price", "max_failed_share")
"""Settings of the reward that may differ from those under which the samples were scored."""
WORTH = ("model", "scorer", "prompt", "negatives", "reward", "template_date")
"""What decides what a sample is worth; the other settings decide which samples were drawn."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Candidate:
    """A scored sample and the round in which it was drawn."""

    round: int
    scored: ScoredCompression
    origin: str = POLICY
    """Where the text comes from: the policy, or a source of proposals."""
    too_long: bool = False
    """Longer than its run let a text be: of a source that is always read, compared with and never chosen."""


def settings_of(recipe: TrainingRecipe, sampling: SamplingSection, prepared: Prepared) -> dict[str, Any]:
    """Everything that decides the samples of a run and what they are worth, but for the price."""
    assert AUTO not in [s.dtype for s in (recipe.model, recipe.scorer.model) if s is not None], "settle() comes first"
    return {
        "model": {"name": prepared.reference.name, "revision": prepared.reference.revision, "dtype": recipe.model.dtype},
        "scorer": None if recipe.scorer.model is None else recipe.scorer.model.model_dump(mode="json"),
        "prompt": recipe.prompt.model_dump(mode="json"),
        # samples from before this setting had as many negatives as were asked for
        "negatives": recipe.negatives.model_dump(mode="json", exclude={"missing"} if recipe.negatives.missing != "fill" else set()),
        "reward": recipe.reward.model_dump(mode="json", exclude=set(REPRICED)),
        "data_revision": prepared.data_revision,
        "template_date": None if template_date() == TEMPLATE_DATE else template_date().isoformat(),
        "sampling": sampling.model_dump(mode="json", exclude={"proposals"} if sampling.proposals is None else set()),
        "seed": recipe.seed,
    }


class CandidateFile:
    """The samples of one output directory."""

    def __init__(self, output_dir: str | Path, settings: dict[str, Any], resume: bool = True) -> None:
        """Open or begin. Raises InputError for samples that other settings drew, or for any where `resume` is off."""
        self.path = Path(output_dir) / CANDIDATES_FILE
        self.manifest_path = Path(output_dir) / MANIFEST_FILE
        self.samples = int(settings["sampling"]["samples"])
        self.most_tokens = int(settings["sampling"]["max_completion_tokens"])
        self.manifest: dict[str, Any] = {"settings": settings, "policies": {}, **provenance()}
        if self.manifest_path.is_file():
            held = read_json(self.manifest_path)
            if not resume:
                raise InputError(
                    f"output_dir = {str(output_dir)!r}: already holds {CANDIDATES_FILE}; set resume=true to go on, or another output_dir"
                )
            different = _different(held["settings"], settings, tuple(settings))
            if different:
                raise InputError(
                    f"output_dir = {str(output_dir)!r}: its {CANDIDATES_FILE} was drawn with other settings, "
                    f"{', '.join(different)} differ; restore them to resume, or name another output_dir"
                )
            self.manifest = held
        self._rows: dict[tuple[int, Key], list[dict[str, Any]]] = defaultdict(list)
        if self.manifest_path.is_file() and self.path.is_file():
            self._read()

    def _read(self) -> None:
        rows = read_jsonl(self.path)
        for row in rows:
            self._rows[row["round"], _key_of_row(row)].append(row)
        for name in [name for name, group in self._rows.items() if len(group) < group[0].get("group", self.samples)]:
            del self._rows[name]  # a killed process left a part of the group: it is drawn again
        whole = [row for group in self._rows.values() for row in group]
        if len(whole) < len(rows):
            write_jsonl(self.path, whole)

    def begin_round(self, number: int, policy: str) -> None:
        """Record whose samples a round holds: the revision of its adapter, or `base`."""
        before = self.manifest["policies"].get(str(number))
        if before not in (None, policy):
            raise InputError(
                f"{self.path}: round {number} was drawn from adapter {before}, not from {policy}; restore the checkpoint "
                "of the round before, or name another output_dir"
            )
        self.manifest["policies"][str(number)] = policy
        write_json(self.manifest_path, self.manifest)

    def end_round(self, number: int) -> None:
        """Record that a round is complete: what is fitted to it must not change any more."""
        if number not in self._complete:
            self.manifest["complete"] = [*self._complete, number]
            write_json(self.manifest_path, self.manifest)

    @property
    def _complete(self) -> list[int]:
        return list(self.manifest.get("complete", ()))

    def forget_failures(self, number: int, wanted: Sequence[Problem], most: float) -> None:
        """Let a round that is not complete try again what the scorer failed on; a complete one is what it is. `most`: how many
        failed samples a round may have."""
        names = [(number, key_of(problem)) for problem in wanted]
        failures = {name: sum("failed" in row for row in self._rows.get(name, ())) for name in names}
        as_before = all(name in self._rows for name in names) and sum(failures.values()) <= most  # rounds were not marked
        if number in self._complete or as_before:
            return
        failed = [name for name, count in failures.items() if count]
        for name in failed:
            del self._rows[name]
        if failed:
            write_jsonl(self.path, [row for group in self._rows.values() for row in group])

    def holds(self, number: int, problem: Problem) -> bool:
        return (number, key_of(problem)) in self._rows

    def group(self, number: int, problem: Problem, price: Price) -> list[Candidate]:
        """The samples of one problem, worth what they are under `price`."""
        rows = sorted(self._rows.get((number, key_of(problem)), ()), key=lambda row: row["sample"])
        return [candidate_of(row, problem, price, self.most_tokens) for row in rows]

    def append(self, number: int, scored: Sequence[Scored]) -> None:
        """All samples of one problem, in one write; none where nothing was sampled and every proposal is too long."""
        if not scored:
            return
        size = None if len(scored) == self.samples else len(scored)
        rows = append_jsonl(self.path, [row_of(number, s, origin, size) for origin, s in scored])
        self._rows[number, _key_of_row(rows[0])] = rows


def sample_candidates(
    file: CandidateFile,
    number: int,
    policy: str,
    lm: LoadedModel,
    reward: MIReward,
    indices: Sequence[int],
    recipe: SFTRecipe | DPORecipe,
    proposer: Proposer | None = None,
    quiet: bool = False,
) -> list[Candidate]:
    """The scored samples of the problems `indices` (positions in `reward.problems`) in round `number`.

    With a `proposer` its proposals stand beside them. What the file holds already is not computed again. `policy` names the
    adapter that `lm` stands with. Raises RunFailed as soon as the scorer has failed on more than `reward.max_failed_share`
    of the texts that the round asks for.
    """
    problems, sampling = reward.problems, recipe.sampling
    file.begin_round(number, policy)
    asked = len(indices) * sampling.texts
    file.forget_failures(number, [problems[i] for i in indices], reward.max_failed_share * asked)
    prompts = {i: compressor_ids(lm.tokenizer, problems[i].document, problems[i].query, reward.prompt) for i in indices}
    failures: list[str] = []
    with Progress(len(indices), f"round {number}: sample and score", "problem", quiet) as bar:
        for batch in _batches(prompts, sampling.batch_problems):
            missing = [i for i in batch if not file.holds(number, problems[i])]
            if missing:  # the whole batch is drawn again even if a part is there: the draw depends on the batch
                drawn = _drawn(lm, [problems[i] for i in batch], [prompts[i] for i in batch], sampling, number, recipe.seed)
                for i, group in zip(batch, drawn, strict=True):
                    if i in missing:
                        file.append(
                            number, scored_together(reward, i, group) if proposer is None else proposer.score(reward, i, group)
                        )
            bar.update(len(batch))
            for i in batch:
                failures += [c.scored.failed for c in file.group(number, problems[i], reward.price) if c.scored.failed]
            if len(failures) > reward.max_failed_share * asked:
                raise RunFailed(
                    f"round {number}: the scorer failed on {len(failures)} samples, more than reward.max_failed_share = "
                    f"{reward.max_failed_share:g} of the round's {asked} allows; the last "
                    f"cause: {failures[-1]}; what was scored stays in {file.path}"
                )
    file.end_round(number)
    limit = f"sampling.max_completion_tokens = {sampling.max_completion_tokens}"
    if proposer is not None and proposer.too_long:
        logger.warning("round %d: %d proposals are longer than %s and were left out", number, proposer.too_long, limit)
        proposer.too_long = 0
    groups = [file.group(number, problems[i], reward.price) for i in indices]
    without = sum(all(candidate.too_long for candidate in group) for group in groups)
    if without:
        logger.warning("round %d: %d of %d problems have no proposal within %s", number, without, len(indices), limit)
    return [candidate for group in groups for candidate in group]


def _drawn(
    lm: LoadedModel, problems: Sequence[Problem], prompts: Sequence[list[int]], sampling: SamplingSection, number: int, seed: int
) -> list[list[tuple[str, Compression]]]:
    """For each problem of a batch what the policy writes, each text with its origin."""
    ids, drawn = [p.id for p in problems], _batch_seed(seed, number, problems[0])
    groups: list[list[tuple[str, Compression]]] = [[] for _ in problems]
    limit = sampling.max_completion_tokens
    if sampling.samples:
        sampled = generate_groups(lm, prompts, ids, sampling.samples, limit, sampling.temperature, drawn)
        groups = [[(POLICY, z) for z in texts] for texts in sampled]
    if sampling.proposals is not None and sampling.proposals.greedy:
        for group, z in zip(groups, generate(lm, prompts, ids, limit, 0.0, drawn), strict=True):
            group.append((GREEDY, z))
    return groups


def load_candidates(
    directories: Sequence[str | Path], settings: dict[str, Any], problems: Sequence[Problem], price: Price
) -> list[Candidate]:
    """Scored samples of earlier runs for `problems`, worth what they are under `price`.

    Samples of other documents or questions are left out. Raises InputError, one line for each directory: one that
    holds no samples, or whose samples were scored in another way (which settings differ), or for no problem at all.
    """
    return read_candidates(directories, settings, problems, price, "candidates")


def read_candidates(
    directories: Sequence[str | Path],
    settings: dict[str, Any] | None,
    problems: Sequence[Problem],
    price: Price,
    named: str,
    policy: Prepared | None = None,
) -> list[Candidate]:
    """As `load_candidates`, for the setting `named`. Without `settings` the samples may have been scored in any way, and drawn by
    another model than `policy`, in whose tokens they are given."""
    mistakes, found = [], []
    known = {key_of(problem): problem for problem in problems}
    for directory in directories:
        manifest, samples = Path(directory) / MANIFEST_FILE, Path(directory) / CANDIDATES_FILE
        if list(directories).count(directory) > 1:
            mistakes.append(f"{named}: {str(directory)!r} stands twice; name it once")
        elif not manifest.is_file() or not samples.is_file():
            mistakes.append(
                f"{named}: {str(directory)!r} holds no {CANDIDATES_FILE}; name the output_dir of train/sft.py or train/dpo.py"
            )
        elif settings is not None and (different := _different(read_json(manifest)["settings"], settings, WORTH)):
            mistakes.append(
                f"{named}: {str(directory)!r} was scored with other settings, {', '.join(different)} differ; use the same, or draw anew"
            )
        else:
            rows = [row for row in read_jsonl(samples) if _key_of_row(row) in known]
            held = read_json(manifest).get("settings", {})
            most_tokens = held.get("sampling", {}).get("max_completion_tokens")
            if policy is not None:
                rows, most_tokens = [in_tokens_of(policy, row, held.get("model", {})) for row in rows], None
            found += [candidate_of(row, known[_key_of_row(row)], price, most_tokens) for row in rows]
            if not rows:
                mistakes.append(
                    f"{named}: {str(directory)!r} holds no sample for a problem of the recipe's data; name the data it was drawn from"
                )
    if mistakes:
        raise InputError(sorted(set(mistakes), key=mistakes.index))
    return found


def round_problems(number: int, per_round: int | None, total: int, seed: int) -> list[int]:
    """Positions of the problems of round `number` (from 1): slices of one drawn order, over its end to its start."""
    import numpy as np

    if per_round is None or per_round >= total:
        return list(range(total))
    order = np.random.default_rng(seed).permutation(total)
    return [int(order[place % total]) for place in range((number - 1) * per_round, number * per_round)]


def row_of(number: int, scored: ScoredCompression, origin: str = POLICY, group: int | None = None) -> dict[str, Any]:
    """A line of the file. A value that is not known is left out. `group`: how many texts of the problem there are, where that is
    not the number of samples."""
    z = scored.compression
    row: dict[str, Any] = {
        "problem_id": scored.problem.id, "document": text_id(scored.problem.document),
        "query": text_id(scored.problem.query), "round": number, "sample": z.sample,
        "token_ids": list(z.token_ids), "text": z.text, "finish": z.finish, "stop_id": z.stop_id,
        "mi_nats": scored.mi_nats, "easy_nats": scored.easy_nats, "hard_nats": scored.hard_nats,
        "rate_tokens": z.rate_tokens, "rate_bytes": z.rate_bytes, "reward": scored.reward, "gated": scored.gated,
        "failed": scored.failed, "parts": scored.parts, "group": group, "origin": None if origin == POLICY else origin,
        "fact_kept": states_facts(z.text, scored.problem.facts),
    }  # fmt: skip
    return {name: v for name, v in row.items() if v is not None and not (isinstance(v, float) and math.isnan(v))}


def candidate_of(row: dict[str, Any], problem: Problem, price: Price, most_tokens: int | None = None) -> Candidate:
    """The text of a line, its round and its origin. `most_tokens`: of a text that its run might choose; None: any."""
    too_long = most_tokens is not None and row["rate_tokens"] > most_tokens
    return Candidate(row["round"], scored_of(row, problem, price), row.get("origin", POLICY), too_long)


def scored_of(row: dict[str, Any], problem: Problem, price: Price) -> ScoredCompression:
    """The sample of a line. Its rate costs what `price` says now; the other parts are as they were scored."""
    z = Compression(problem.id, row["text"], tuple(row["token_ids"]), row["finish"], row["sample"], stop_id=row.get("stop_id"))
    rate = float(row[f"rate_{price.rate}"])
    parts = dict(row["parts"])
    if "rate" in parts:
        parts["rate"] = -price.price * rate
    return ScoredCompression(
        problem=problem,
        compression=z,
        rate=rate,
        mi_nats=row.get("mi_nats", math.nan),
        easy_nats=row.get("easy_nats", math.nan),
        hard_nats=row.get("hard_nats", math.nan),
        reward=None if "failed" in row else sum(parts.values()),
        gated=row["gated"],
        failed=row.get("failed"),
        parts=parts,
    )


def in_tokens_of(policy: Prepared, row: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """A line that `model` wrote, its text in the policy's tokens. The line's own where both are one model and the tokens say the text
    still; else those of the text, and a turn that ended ends by the policy's own token: a number of another vocabulary is another word
    of this one, or none."""
    tokenizer, ids = policy.tokenizer, row["token_ids"]
    is_same = model.get("name") == policy.reference.name and same_revision(model.get("revision"), policy.reference.revision)
    is_known = all(0 <= i < len(tokenizer) for i in (*ids, row.get("stop_id", 0)))
    if is_same and is_known and compression_from_ids(tokenizer, "", ids, set()).text == row["text"]:
        return row
    anew = text_ids(tokenizer, row["text"])
    return {**row, "token_ids": anew, "rate_tokens": len(anew), "stop_id": None}


def key_of(problem: Problem) -> Key:
    """A problem by its id and its texts: the same id may name another text after a change of the data."""
    return problem.id, text_id(problem.document), text_id(problem.query)


def _key_of_row(row: dict[str, Any]) -> Key:
    return row["problem_id"], row["document"], row["query"]


def _different(held: dict[str, Any], now: dict[str, Any], names: Sequence[str]) -> list[str]:
    different = []
    for name in names:
        old, new = held.get(name), now[name]
        if isinstance(old, dict) and isinstance(new, dict):
            different += [f"{name}.{key}" for key in sorted({*old, *new}) if not same_revision(old.get(key), new.get(key))]
        elif old != new and not (name == "data_revision" and old is not None and same_data(old, new)):
            different.append(name)
    return different


def _batches(prompts: dict[int, list[int]], size: int) -> Iterator[list[int]]:
    """Problems with prompts of like length together, so that little of a batch is padding."""
    order = sorted(prompts, key=lambda i: (len(prompts[i]), i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _batch_seed(seed: int, number: int, first: Problem) -> int:
    stamp = " ".join(map(str, (seed, number, *key_of(first))))
    return int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:4], "little")
