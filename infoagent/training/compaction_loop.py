"""Compaction trained as it is used: each sample of a history's group goes a course of its own.

    m_1 ~ π(· | turns of round 1)          m_r ~ π(· | [m_{r−1}, turns of round r])          r = 1 … R, all in one step

    r_r  = log K + log softmax_k(β · log p(m_r | history_k up to r))[0] − price · tokens(m_r) + …     the reward of all trainers
    G_r  = r_r + γ · G_{r+1}                      what later memories keep of it, by `grpo.loop.discount`
    A_r  = G_r − mean of G_r over the group       γ = 0: every memory pays for itself

The policy reads its own memory and the newest turns; the judge reads everything that was said. A fact that was dropped once is missing
in every later memory, where a counterfactual history asks for it again, so forgetting costs as long as the history goes on. The
states are drawn in the step that learns from them: none is stale, and a run that is killed draws them again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from trl import GRPOTrainer

from infoagent.lm.compacting import context_text
from infoagent.lm.generation import compression_from_ids
from infoagent.lm.prompts import Prompt, compressor_messages
from infoagent.recipes import GRPORecipe
from infoagent.training.group_proposals import advantages, leads
from infoagent.training.prompt_rows import NEWS, PLACE, QUERY

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object


@dataclass(frozen=True)
class Course:
    """What a policy is told in every compaction, and what of later rewards a memory earns."""

    prompt: Prompt
    discount: float


def course_of(recipe: GRPORecipe) -> Course | None:
    """None where the recipe has no loop."""
    loop = recipe.grpo.loop
    return None if loop is None else Course(Prompt.of(recipe.prompt), loop.discount)


class CompactionLoop(_Trainer):
    """Mixed into a TRL trainer whose rows are those of `training_rows` in the loop. Without a course it changes nothing."""

    course: Course | None = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.course is not None:
            self.rollout_func = self._go

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        self._course_rows = inputs
        output = super()._generate_and_score_completions(inputs)
        if self.course is None:
            return output
        places_B = torch.tensor([row[PLACE] for row in inputs], device=self._rewards_B.device)
        first = self.accelerator.process_index * len(inputs)
        rewards_B = self._rewards_B[first : first + len(inputs)]
        returns_B = returns(rewards_B, int(places_B.max()), self.num_generations, self.course.discount)
        none_B = torch.zeros_like(places_B, dtype=torch.bool)
        output["advantages"] = advantages(leads(returns_B, none_B, self.num_generations), none_B)
        for name, place in (("first", 1), ("last", int(places_B.max()))):
            of_place = self.accelerator.gather(rewards_B[places_B == place]).nanmean().item()
            self._metrics["train"][f"loop/{name}_reward"].append(of_place)
        return output

    def _go(self, prompts: list[Any], _: Any) -> dict[str, Any]:
        """Prompt and completion ids of every row, round after round: a row of round r follows the row of its own sample in round
        r − 1, which stands a group before it."""
        rows, group, stop = self._course_rows, self.num_generations, set(self.eos_token_ids)
        prompt_ids: list[list[int]] = [[] for _ in rows]
        completion_ids: list[list[int]] = [[] for _ in rows]
        memories = [""] * len(rows)
        for place in range(1, max(row[PLACE] for row in rows) + 1):
            self._drawn = [i for i, row in enumerate(rows) if row[PLACE] == place]
            chats = [self._chat("" if place == 1 else memories[i - group], rows[i]) for i in self._drawn]
            asked, *_ = self._tokenize_prompts(chats)
            written, _ = self._generate_single_turn(asked, None, {}, group)
            for i, ids, answer in zip(self._drawn, asked, written, strict=True):
                prompt_ids[i], completion_ids[i] = ids, answer
                memories[i] = compression_from_ids(self._tokenizer, "", answer, stop).text
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}

    def _chat(self, memory: str, row: dict[str, Any]) -> list[dict[str, str]]:
        assert self.course is not None
        prompt = self.course.prompt
        if "budget" in row:
            prompt = replace(prompt, budget_words=None, budget_tokens=row["budget"])
        return compressor_messages(context_text(memory, [row[NEWS]]), row[QUERY], prompt)

    def _drawn_rows(self, number: int) -> list[int]:
        """Rows of the global batch whose texts are drawn now: each has draws of its own in every round."""
        if self.course is None:
            return list(super()._drawn_rows(number))
        first = self.accelerator.process_index * len(self._course_rows)
        return [first + place for place in self._drawn]


def returns(rewards_B: torch.Tensor, rounds: int, group: int, discount: float) -> torch.Tensor:
    """(B,) G in nats of rewards that lie history after history, in each round after round, in each sample after sample. A reward that
    is NaN makes that of the earlier rounds of its course NaN, where they count it."""
    if discount == 0:  # 0 · NaN would be NaN
        return rewards_B
    return_HRG = rewards_B.reshape(-1, rounds, group).clone()
    for place in reversed(range(rounds - 1)):
        return_HRG[:, place] += discount * return_HRG[:, place + 1]
    return return_HRG.reshape(-1)
