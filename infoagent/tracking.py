"""Where metrics go: a local JSONL always, W&B beside it. No result depends on a service.

Metric names are fixed here once, for both, in METRICS: to add one is one row. The parts of the reward bring theirs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.files import append_jsonl, read_jsonl, write_jsonl
from infoagent.mirror import Mirror, wandb_mode
from infoagent.pricing.parts import PARTS

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
IDENTITY_FILE = "wandb_id"
"""The id of the W&B run: a run that goes on after a kill goes on there as well."""

METRICS = {
    "mi/nats": "InfoNCE of the scored compressions among source and negatives",
    "mi/easy_nats": "the same among random, topic and sibling negatives alone",
    "mi/hard_nats": "the same among counterfactual negatives alone: the fact is kept",
    "mi/bits_per_token": "mean MI over mean length",
    "mi/ceiling_nats": "log of the number of candidates",
    "mi/saturation": "share of compressions whose source takes more than 99 %",
    "rate/tokens": "mean length without the end-of-turn token",
    "rate/bytes": "mean length in UTF-8 bytes",
    "rate/price": "nats per unit of rate",
    "rate/adherence_error": "median |length − requested| / requested",
    "rate/over_budget": "share of compressions longer than requested",
    "rate/truncated": "in evaluation: share of compressions cut at the length limit",
    "distortion/error": "1 − accuracy of the predictor",
    "distortion/nll": "nats of the reference answer under the predictor",
    "distortion/fact_missing": "share of compressions in which the asked answer does not stand",
    "research/rubric": "score of a report over its own and the reference's; 0.5 is as good",
    "research/facts": "share of the asked facts that stand in the report",
    "research/facts_in_notes": "share of the asked facts that stand in what the report was written from",
    "research/supported": "share of the cited sentences that a cited source says",
    "research/usd": "paid to others for a report, judge aside",
    "research/gflops": "computed on this machine for a report, judge aside",
    "faithfulness/unsupported": "share of compressions with a number or name that the document does not have",
    "reward/total": "MI − price · rate, with gates",
    "objective/nats": "in evaluation: mi/nats − price · rate/tokens, without training's gates and penalties",
    "objective/hard_nats": "the same among counterfactual negatives alone",
    "reward/failed": "share of compressions that the scorer failed on: dropped from their group",
    "reward/gated": "share of empty or looping compressions",
    "reward/truncated": "share of compressions cut at the length limit",
    "audit/copy_rate": "share of words in runs of at least 3 words that the document has too",
    "audit/distinct_2": "different word pairs over all word pairs of one compression",
    "audit/distinct_2_set": "the same over all compressions of a step, or of an evaluation, together",
    "audit/repeated_words": "length in words of the longest run that a compression says twice",
    "audit/identifier_only": "share of compressions that name the document and say nothing of what is asked",
    "audit/unsupported_spans": "numbers and names in a compression that neither document nor question has",
    "audit/symbol_share": "share of characters: no letter, digit or ordinary punctuation, and not in the document",
    "audit/foreign_letters": "share of letters of scripts that neither document nor question uses",
    "audit/unknown_words": "share of words that are neither in document nor question nor common",
    "audit/accuracy": "in training, every audit.every steps: share of questions that the frozen base answers right "
    "from the compression, where the problem has choices",
    "audit/closed_book": "the same from no notes at all, once at the start: what needs no compression",
    "time/generation_seconds": "of one step: sampling",
    "time/scoring_seconds": "of one step: the reward",
    "time/reference_seconds": "of one step: what stands between the reward and the loss, the KL's reference above all",
    "time/update_seconds": "of one step: forward and backward",
    "memory/peak_gib": "most memory so far: of the GPU where one is used, else of the main process",
    "scorer/seconds": "time of the reward in one step",
    "scorer/share_of_step": "that over the whole step",
    "proposals/lead_nats": "of the texts in grpo.proposals: how much more they earn than the policy's own of their group, on average",
    "loop/first_reward": "in the loop: of the memories of the first compaction, on average",
    "loop/last_reward": "in the loop: of those of the last compaction, which must hold what all turns said",
    "train/loss": "of the trainer",
    "train/grad_norm": "norm of the gradient before it is clipped",
    "train/learning_rate": "of the step",
    "train/kl": "divergence from the frozen base in nats a token",
    "train/entropy": "of the policy in nats a token",
    "train/reward_std": "standard deviation of the rewards",
    "train/step_seconds": "time of a step",
    "train/sampler_difference_nats": "|log p| a token between vLLM, which sampled, and the trainer",
    "preference/margin_nats": "DPO: β times how much more the policy prefers the chosen text than its start does",
    "preference/accuracy": "DPO: share of pairs with a margin above 0",
    "preference/chosen_nats": "DPO: β times the change of log p of the chosen text",
    "preference/rejected_nats": "DPO: β times the change of log p of the rejected text",
}
OF_PART = ("validation/", "selected/", "chosen/", "rejected/")
"""Before a name: the same metric of the validation problems, or of the samples that were chosen to train on."""


def known_metrics() -> dict[str, str]:
    """Every metric with its meaning: METRICS, and one of each part of the reward."""
    return {**METRICS, **{part.metric: part.meaning for part in PARTS.values()}}


def known_metric(name: str) -> str:
    """`name` itself. Raises ValueError for a metric that is described nowhere: it would be dropped or misread."""
    part = next((part for part in OF_PART if name.startswith(part)), "")
    if name.removeprefix(part) not in known_metrics() and name not in (f"{part}number" for part in OF_PART[1:]):
        raise ValueError(f"metric {name!r}: has no row in METRICS of infoagent/tracking.py; describe it there")
    return name


def run_group(group: str | None, output_dir: str | Path) -> str:
    """Runs of one group stand together in W&B: a training run and the evaluations of its checkpoints, the runs of a
    sweep. By name in the recipe, else WANDB_RUN_GROUP, else the name of the run's directory."""
    return group or os.environ.get("WANDB_RUN_GROUP") or Path(output_dir).resolve().name


class Tracker:
    """Metrics of one run. Only the main process of a launch creates one."""

    def __init__(
        self,
        output_dir: str | Path,
        config: Mapping[str, Any],
        wandb: str = "auto",
        project: str = "infoagent",
        group: str | None = None,
        job_type: str = "train",
        resume_step: int | None = None,
    ) -> None:
        mode = wandb_mode(wandb)
        self.directory = Path(output_dir)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in (METRICS_FILE, SAMPLES_FILE):
            self._keep_until(self.directory / name, resume_step)
        identity = self.directory / IDENTITY_FILE
        run_id = identity.read_text().strip() if resume_step is not None and identity.is_file() else None
        self.wandb = Mirror(output_dir, config, mode, project, run_group(group, output_dir), job_type, run_id)
        if self.wandb.run_id is not None:
            identity.write_text(self.wandb.run_id)

    @classmethod
    def of(cls, recipe: Any, job_type: str, resume_step: int | None = None) -> Tracker:
        """As `recipe` says in output_dir and its section tracking; the whole of it is the run's configuration."""
        section = recipe.tracking
        return cls(
            recipe.output_dir, recipe.model_dump(mode="json"), section.wandb, section.project, section.group, job_type, resume_step
        )

    @staticmethod
    def _keep_until(path: Path, step: int | None) -> None:
        """On resume, drop the steps that will be done again; on a fresh start, everything."""
        if not path.is_file():
            return
        kept = [row for row in read_jsonl(path) if step is not None and row["step"] <= step]
        write_jsonl(path, kept)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl, flushed, and the same to W&B."""
        logger.debug("step %d: %s", step, metrics)
        append_jsonl(self.directory / METRICS_FILE, [{"step": step, **metrics}])
        self.wandb.log(step, metrics)

    def samples(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """A table of sample compressions."""
        append_jsonl(self.directory / SAMPLES_FILE, [{"step": step, **row} for row in rows])
        self.wandb.table("samples", step, rows)

    def finish(self, exit_code: int = 0) -> None:
        self.wandb.finish(exit_code)
