"""The policy's log-probabilities of a group of completions, with the prompt they share computed once.

Shape legend: B completions, T their padded length, U different prompts, G most completions of one prompt,
P longest prompt, S = P − 1 + G · T columns of a packed row.

A group of eight completions of 30 tokens behind a prompt of 170 is 1,600 tokens of forward and backward if every
completion carries its own prompt, and 410 if all of them stand behind one. The packed row is

    prompt without its last token | last token, z_1 | last token, z_2 | … | last token, z_G

where a mask lets every segment see the prompt and its own past only, and positions count on from the prompt in each
segment. The arithmetic is that of separate rows, so values and gradients are equal to rounding; a test holds both.
Only the positions that predict a completion token meet the output layer.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import log_softmax
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from infoagent.lm.generation import shared_cache
from infoagent.lm.scoring.prefix import route_of
from infoagent.training.sampling import RowDraws

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object  # RLOOTrainer has the same methods


WHOLE_LOGITS_MIB = 512
"""Up to here logits are held whole on the CPU, where TRL's tiled head would also score every token of the prompt."""


class Packing:
    """Where every completion of a batch stands in the packed rows."""

    def __init__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_width: int) -> None:
        width = input_ids.size(1) - completion_width
        self.completion_width = completion_width
        prompt_B = [
            tuple(ids[mask].tolist()) for ids, mask in zip(input_ids[:, :width], attention_mask[:, :width].bool(), strict=True)
        ]
        self.prefix = max(map(len, prompt_B)) - 1
        members = Counter(prompt_B)
        self.group = max(members.values())
        if len(members) * (self.prefix + self.group * completion_width) > len(prompt_B) * (self.prefix + completion_width):
            self.group = 1  # one large group among many small ones would lend its width to all of them
        self.prompts: list[tuple[int, ...]] = []
        self.row_B: list[int] = []
        self.slot_B: list[int] = []
        open_row: dict[tuple[int, ...], tuple[int, int]] = {}  # of a prompt: its row, and the next free place there
        for prompt in prompt_B:
            row, slot = open_row.get(prompt, (-1, self.group))
            if slot == self.group:
                row, slot = len(self.prompts), 0
                self.prompts.append(prompt)
            open_row[prompt] = (row, slot + 1)
            self.row_B.append(row)
            self.slot_B.append(slot)
        self.columns = self.prefix + self.group * completion_width
        self.completions_BT = input_ids[:, width:]
        self.live_BT = attention_mask[:, width:].bool()
        self._fill(self.completions_BT, self.live_BT)

    def _fill(self, completions_BT: torch.Tensor, live_BT: torch.Tensor) -> None:
        device, rows, width = completions_BT.device, len(self.prompts), self.completion_width
        self.input_US = torch.zeros(rows, self.columns, dtype=torch.long, device=device)
        self.position_US = torch.zeros_like(self.input_US)
        # segment −1: padding, 0: the prompt, g + 1: completion g
        self.segment_US = torch.full_like(self.input_US, -1)
        for row, prompt in enumerate(self.prompts):
            start = self.prefix - (len(prompt) - 1)  # prompts are padded on the left, so that segments stand in line
            self.input_US[row, start : self.prefix] = torch.tensor(prompt[:-1], device=device, dtype=torch.long)
            self.position_US[row, start : self.prefix] = torch.arange(len(prompt) - 1, device=device)
            self.segment_US[row, start : self.prefix] = 0
        offset = torch.arange(width, device=device)
        for index, (row, slot) in enumerate(zip(self.row_B, self.slot_B, strict=True)):
            place = slice(self.prefix + slot * width, self.prefix + (slot + 1) * width)
            last = self.prompts[row][-1]
            # the input is one token behind its target; the completion's last token predicts nothing
            self.input_US[row, place] = torch.cat([completions_BT.new_tensor([last]), completions_BT[index, :-1]])
            self.position_US[row, place] = len(self.prompts[row]) - 1 + offset
            live = torch.cat([live_BT.new_ones(1), live_BT[index, :-1]])
            self.segment_US[row, place] = torch.where(live, slot + 1, -1)

    def attention(self, dtype: torch.dtype) -> torch.Tensor:
        """(U, 1, S, S), added to the attention scores: 0 where a column is seen. Padding sees itself alone."""
        query, key = self.segment_US[:, :, None], self.segment_US[:, None, :]
        column = torch.arange(self.columns, device=self.segment_US.device)
        seen = (column[None, :] <= column[:, None]) & (((key == 0) & (query >= 0)) | ((key == query) & (query >= 0)))
        seen |= torch.eye(self.columns, dtype=torch.bool, device=seen.device)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]

    def targets_US(self) -> torch.Tensor:
        """The token that each position predicts; −100 in the prompts and behind the end of a completion."""
        wanted_BT = self.completions_BT.masked_fill(~self.live_BT, -100)
        targets = torch.full_like(self.input_US, -100)
        for index, (row, slot) in enumerate(zip(self.row_B, self.slot_B, strict=True)):
            start = self.prefix + slot * self.completion_width
            targets[row, start : start + self.completion_width] = wanted_BT[index]
        return targets

    def unpack(self, tail: torch.Tensor) -> torch.Tensor:
        """From (U, G · T, …), what stands behind the prompts, to (B, T, …) in the order of the completions."""
        blocks = tail.reshape(len(self.prompts), self.group, self.completion_width, *tail.shape[2:])
        return blocks[self.row_B, self.slot_B]


class SharedPrefix(_Trainer):
    """Mixed into a TRL trainer: a prompt is read once for all completions of it, when they are sampled and when they
    are trained on. Where the model or the engine cannot do that, the trainer's own way is taken."""

    def _generate_single_turn(self, prompt_ids: list[list[int]], *more: Any) -> Any:
        """Completion ids with their end of turn, from the distribution that TRL samples from; GRPO's trainer also wants
        the engine's log-probabilities, of which there are none here."""
        was_training = self.model.training
        self.model.eval()  # a training step has begun, and dropout would draw from a policy that nobody serves
        try:
            return self._generate_in_evaluation(prompt_ids, *more)
        finally:
            self.model.train(was_training)

    def _generate_in_evaluation(self, prompt_ids: list[list[int]], *more: Any) -> Any:
        elsewhere = self.use_vllm or self.use_transformers_continuous_batching or self.is_fsdp_enabled
        pictures = any(more[:2]) or any(more[3:])  # images, their fields, tool images; between them the group size
        if elsewhere or pictures:
            return super()._generate_single_turn(prompt_ids, *more)
        unique = [list(p) for p in dict.fromkeys(map(tuple, prompt_ids))]
        samples = len(prompt_ids) // len(unique)
        if prompt_ids != [p for p in unique for _ in range(samples)]:
            unique, samples = prompt_ids, 1  # no groups of equal size: every row for itself
        batch = self._tokenizer.pad({"input_ids": unique}, padding=True, padding_side="left", return_tensors="pt")
        batch = batch.to(self.accelerator.device)
        many = {name: tensor.repeat_interleave(samples, dim=0) for name, tensor in batch.items()}
        decoding = copy.deepcopy(self.generation_config)
        decoding.update(do_sample=False, temperature=None, top_p=None, top_k=None, min_p=None)  # the draws have picked
        checkpointing = self.args.gradient_checkpointing_kwargs
        with (
            unwrap_model_for_generation(self.model_wrapped, self.accelerator, gradient_checkpointing_kwargs=checkpointing) as model,
            torch.no_grad(),
        ):
            if route_of(model.config) == "packed":
                many["past_key_values"] = shared_cache(model, batch, samples)
            draws = self._row_draws(len(prompt_ids), batch["input_ids"].size(1))
            output = model.generate(**many, generation_config=decoding, logits_processor=draws)
        ends = set(self.eos_token_ids)
        completions = []
        for row in output[:, batch["input_ids"].size(1) :].tolist():
            end = next((i for i, token in enumerate(row) if token in ends), len(row) - 1)
            completions.append(row[: end + 1])
        return (completions, None) if isinstance(self, GRPOTrainer) else completions

    def _drawn_rows(self, number: int) -> Sequence[int]:
        """Rows of the global batch whose texts are drawn now: rank k has those from k · number on."""
        first = self.accelerator.process_index * number
        return range(first, first + number)

    def _row_draws(self, number: int, prompt_width: int) -> list[RowDraws]:
        """What draws the tokens of so many rows."""
        if not self.generation_config.do_sample:
            return []
        return [
            RowDraws(
                self.args.seed,
                self.state.global_step,
                self._drawn_rows(number),
                prompt_width,
                self.generation_config.max_new_tokens,
                self.temperature,
            )
        ]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **more: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """(B, T) log-probabilities and entropies in nats, and no auxiliary loss."""
        config = self.accelerator.unwrap_model(model).config
        if compute_aux_loss or any(v is not None for v in more.values()) or route_of(config) != "packed":
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, compute_aux_loss, **more
            )
        size = batch_size or len(input_ids)
        rows = [
            self._packed(model, input_ids[i : i + size], attention_mask[i : i + size], logits_to_keep, compute_entropy)
            for i in range(0, len(input_ids), size)
        ]
        log_probs = torch.cat([log_probs for log_probs, _ in rows])
        entropies = [entropy for _, entropy in rows if entropy is not None]
        return log_probs, torch.cat(entropies) if entropies else None, None

    def _packed(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, width: int, with_entropy: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Float32 copies of the logits outweigh the model at 150,000 words of vocabulary: 16 completions of 64 tokens
        take 0.6 GB each time they are held. So they are made in tiles, and made again in the backward pass."""
        packing = Packing(input_ids, attention_mask, width)
        config = self.accelerator.unwrap_model(model).config.get_text_config()
        held_bytes = 3 * 4 * len(packing.prompts) * packing.group * width * config.vocab_size
        inputs: dict[str, Any] = {
            "input_ids": packing.input_US,
            "attention_mask": packing.attention(self.accelerator.unwrap_model(model).dtype),
            "position_ids": packing.position_US,
        }
        if packing.input_US.is_cuda or held_bytes > WHOLE_LOGITS_MIB * 2**20:
            with self.accelerator.autocast():
                output = model(**inputs, shift_labels=packing.targets_US(), fused_lm_head=True)
            log_probs, entropies = (packing.unpack(v[:, packing.prefix :]) for v in (output.log_probs, output.entropy))
            return log_probs, entropies.detach() if with_entropy else None
        with self.accelerator.autocast():
            logits = model(**inputs, logits_to_keep=packing.group * width, use_cache=False).logits
        log_probs_BTV = log_softmax(packing.unpack(logits).float() / self.temperature, dim=-1)
        chosen = log_probs_BTV.gather(-1, input_ids[:, -width:, None]).squeeze(-1)
        # entropy is a metric, and a filter that selects tokens: neither is differentiated
        with torch.no_grad():
            entropy = -(log_probs_BTV.exp() * log_probs_BTV).sum(-1) if with_entropy else None
        return chosen, entropy
