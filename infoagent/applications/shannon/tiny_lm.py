"""A language model of a third of a million parameters, trained from scratch in a minute to describe `shannon` documents.

It learns one conditional distribution. Given a document it names a random subset of the facts, truthfully, each with
the same probability whatever its value, in a fixed order, and ends. So silence tells it nothing, and a name rules out
every document that does not state it. Now and then (`junk_share`) a description is a random string that does not look
at the document at all. This teaches the model what strings outside of its language are worth, which is nothing: without
it the tiny probabilities of such strings are left to chance, differ from document to document, and make a secret code
that a reward under this model would pay for.

The result is an ordinary model directory, with a tokenizer (one token a word) and a chat template.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoagent.data.sets.shannon import FACTS, MARK, QUERY, State, all_states
from infoagent.files import read_json, write_json
from infoagent.lm.machine.device import settle_deepspeed
from infoagent.lm.prompts import Prompt, compressor_ids
from infoagent.progress import each
from infoagent.types import InputError

TEMPLATE = "plain-v1"
END, TELL, UNKNOWN = "<end>", "<tell>", "<unknown>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' " + TELL + " ' + m['content'] + ' " + END + "' }}"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' " + TELL + "' }}{% endif %}"
)
SETTINGS_FILE = "tiny_lm.json"
"""Written last: a directory without it is a model whose training was cut off."""
IGNORED = -100


@dataclass(frozen=True)
class TinySettings:
    """How the tiny model is made."""

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    steps: int = 1500
    batch: int = 256
    learning_rate: float = 3e-3
    naming_share: float = 0.5
    """Probability that a description names a fact; descriptions that name none are drawn again."""
    junk_share: float = 0.03
    junk_stop: float = 0.5
    """Probability that a random string ends after each of its tokens."""
    first_turn_share: float = 0.0
    """Probability that a document tells the facts of the first turn of `shannon-turns` alone."""
    seed: int = 0


def tiny_tokenizer() -> Any:
    """One token a word; the number of a document is dropped."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # unknown words have a token, but no special one: what follows a header must not look like an end of turn
    words = [END, UNKNOWN, TELL, QUERY, *(value for fact in FACTS for value in fact.values)]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    backend.normalizer = normalizers.Replace(Regex(MARK + r" \d+ "), "")
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[TELL],
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def draw_description(state: State, settings: TinySettings, rng: np.random.Generator) -> list[str]:
    """The values that a description names, in the order of the facts; at least one."""
    while True:
        named = [value for value, said in zip(state, rng.random(len(state)) < settings.naming_share, strict=True) if said]
        if named:
            return named


def draw_junk(vocabulary: int, end: int, settings: TinySettings, longest: int, rng: np.random.Generator) -> list[int]:
    """Ids of a random string: uniform over every token but `end`, of a geometric length of at most `longest`."""
    length = min(int(rng.geometric(settings.junk_stop)), longest)
    return [int(t) for t in (end + rng.integers(1, vocabulary, size=length)) % vocabulary]


def train_tiny_lm(directory: str | Path, settings: TinySettings, quiet: bool = False) -> float | None:
    """Train and save the model, unless `directory` holds the finished one. Returns the seconds it took, None if kept.

    Raises InputError if `directory` holds a model made with other settings, or something else.
    """
    target = Path(directory)
    if (target / SETTINGS_FILE).is_file():
        before = read_json(target / SETTINGS_FILE)["settings"]
        different = sorted(key for key, value in asdict(settings).items() if before.get(key) != value)
        if different:
            raise InputError(
                f"{target}: holds a model made with another {', '.join(different)}; remove it or name another output_dir"
            )
        return None
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target}: is not empty and holds no tiny model; name another output_dir")
    from transformers import LlamaConfig, LlamaForCausalLM

    start = time.perf_counter()
    torch.manual_seed(settings.seed)
    tokenizer = tiny_tokenizer()
    end = int(tokenizer.eos_token_id)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden,
            intermediate_size=2 * settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.steps)
    rng = np.random.default_rng(settings.seed)
    states = all_states()  # all alike often, so that the rare ones are read as well as the frequent ones
    prompts = {
        told: compressor_ids(tokenizer, " ".join(told), QUERY, Prompt(TEMPLATE)) for state in states for told in (state, state[:2])
    }
    model.train()
    for _ in each(range(settings.steps), settings.steps, "tiny LM", "step", quiet):
        rows = []
        for drawn in rng.integers(len(states), size=settings.batch):
            told = states[drawn]
            if settings.first_turn_share and rng.random() < settings.first_turn_share:
                told = told[:2]
            if rng.random() < settings.junk_share:
                reply = draw_junk(len(tokenizer), end, settings, len(FACTS) + 2, rng)
            else:
                reply = tokenizer.convert_tokens_to_ids(draw_description(told, settings, rng))
            rows.append((prompts[told], [*reply, end]))
        ids_BT, labels_BT = _batch(rows, end)
        loss = model(input_ids=ids_BT, labels=labels_BT).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    work = target.with_name(f".{target.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    settle_deepspeed()
    model.eval().save_pretrained(work)
    tokenizer.save_pretrained(work)
    seconds = time.perf_counter() - start
    write_json(
        work / SETTINGS_FILE,
        {
            "settings": asdict(settings),
            "loss_nats": loss.item(),
            "seconds": round(seconds, 1),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
    )
    if target.exists():
        target.rmdir()  # empty, as checked above
    work.rename(target)
    return seconds


def _batch(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) ids and labels, padded on the right; only the reply counts in the loss."""
    longest = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids_BT = torch.full((len(rows), longest), pad)
    labels_BT = torch.full((len(rows), longest), IGNORED)
    for row, (prompt, reply) in enumerate(rows):
        length = len(prompt) + len(reply)
        ids_BT[row, :length] = torch.tensor([*prompt, *reply])
        labels_BT[row, len(prompt) : length] = torch.tensor(reply)
    return ids_BT, labels_BT
