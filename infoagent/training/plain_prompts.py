"""The prompts of TRL's trainers as everybody else here reads them: texts as plain text, no thought, the house's date.

Left to itself TRL gives a prompt to the tokenizer with its control tokens live, so that a document could end its turn in
training, and the frozen scorer would score under other ids than those that the policy sampled from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl import GRPOTrainer

from infoagent.lm.generation import stop_ids
from infoagent.lm.prompts import chat_ids

_Trainer: Any = GRPOTrainer if TYPE_CHECKING else object  # RLOOTrainer has the same methods


class PlainPrompts(_Trainer):
    """Mixed into a TRL trainer whose prompts are chats of texts."""

    def __init__(self, *, model: Any, args: Any, processing_class: Any, **more: Any) -> None:
        # the same as whoever samples this policy elsewhere stops at; a model need not declare the token that closes its turns
        stop = sorted(stop_ids(processing_class))
        model.generation_config.eos_token_id = stop
        if args.use_vllm:  # which sees nothing of that configuration, and knows the ends of the model's own files alone
            args.generation_kwargs = {"ignore_eos": True, "stop_token_ids": stop}
        super().__init__(model=model, args=args, processing_class=processing_class, **more)

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """(ids of each prompt, no pictures, nothing else)."""
        chats = {repr(prompt): prompt for prompt in prompts}  # a group shares its prompt
        known = {key: chat_ids(self._tokenizer, chat, thinking=False) for key, chat in chats.items()}
        return [list(known[repr(prompt)]) for prompt in prompts], None, {}
