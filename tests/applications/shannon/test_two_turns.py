"""Compaction in the loop on a source whose best memories are known: all strings are enumerated, and the policy comes near them."""

import numpy as np
import pytest
from conftest import run_script

from infoagent.applications.shannon.enumeration import string_at, string_lengths, string_log_probs
from infoagent.applications.shannon.optimum import best_strings, candidates_of, mean_terms, terms_of
from infoagent.applications.shannon.tiny_lm import TEMPLATE, TinySettings, train_tiny_lm
from infoagent.data.registry import load_data
from infoagent.data.sets.shannon import QUERY, all_states
from infoagent.lm.compacting import context_text
from infoagent.lm.generation import generate
from infoagent.lm.models import load
from infoagent.lm.prompts import Prompt, compressor_ids
from infoagent.lm.scoring.exact import Scorer, continuation_ids

PRICE, NEGATIVES, LONGEST, HISTORIES = 0.1, 15, 4, 150
GATE = -3.0


def words(document):
    return tuple(word for word in document.split() if word != "№" and not word.isdigit())


def test_two_turns_are_the_source_told_in_two_parts():
    data = load_data("shannon-turns", split="test", limit=5)
    assert len(data.problems) == 4
    for first, second in zip(data.problems[::2], data.problems[1::2], strict=True):
        assert first.part_of == second.part_of
        assert second.document == f"{first.document}\n\n{second.news}"
        assert words(second.document) in all_states()
        assert words(first.document) == words(second.document)[:2]
        assert [words(n.document)[:2] for n in second.negatives] == [words(n.document) for n in first.negatives]


@pytest.mark.slow
def test_the_policy_reaches_nine_tenths_of_the_best_memories(tmp_path):
    """In each round the best of all strings of at most four tokens is what could be earned by one who has read everything; the
    policy has its own memory of the first turn in place of that turn."""
    lm_dir = tmp_path / "lm"
    train_tiny_lm(lm_dir, TinySettings(steps=800, first_turn_share=0.3), quiet=True)
    given = [
        f"output_dir={tmp_path / 'run'}", f"model.name={lm_dir}", "model.dtype=float32", "prompt.template=plain-v1",
        "data.name=shannon-turns", "data.limit=2000", "data.every=null", "data.compactions=null",
        f"negatives.counterfactual={NEGATIVES}", "reward.budget=null", f"reward.price={PRICE}", "reward.parts={}",
        "grpo.steps=150", "grpo.prompts_per_step=16", "grpo.num_generations=16", "grpo.micro_batch=256",
        "grpo.max_completion_tokens=5", "grpo.learning_rate=2e-3", "grpo.lr_scheduler=linear", "grpo.save_steps=150", "lora.r=16",
        "lora.alpha=32", "tracking.wandb=disabled",
    ]  # fmt: skip
    result = run_script("train/grpo.py", "configs/train/compaction.yaml", *given, "--quiet")
    assert result.returncode == 0, result.stderr
    base = load(str(lm_dir), dtype="float32", device="cpu")
    policy = load(str(lm_dir), dtype="float32", device="cpu", adapter=str(tmp_path / "run/checkpoint-150"))
    problems = load_data("shannon-turns", split="test", limit=2 * HISTORIES).problems
    stop = int(base.tokenizer.eos_token_id)
    alphabet = tuple(i for i in range(len(base.tokenizer)) if i != stop)
    memories, earned, best = [""] * HISTORIES, 0.0, 0.0
    for round_ in (0, 1):
        asked = problems[round_::2]
        states = list(dict.fromkeys(state[: 2 * (round_ + 1)] for state in all_states()))
        place = {state: i for i, state in enumerate(states)}
        candidates = candidates_of(
            [place[words(p.document)] for p in asked],
            [[place[words(n.document)] for n in p.negatives[:NEGATIVES]] for p in asked],
            len(states),
        )
        prompts = [compressor_ids(base.tokenizer, " ".join(state), QUERY, Prompt(TEMPLATE)) for state in states]
        table = string_log_probs(base.model, prompts, alphabet, stop, LONGEST)
        gated = np.array([not base.tokenizer.decode(string_at(z, alphabet)).strip() for z in range(len(table))])
        lengths = string_lengths(len(alphabet), LONGEST)
        optimum = best_strings(mean_terms(table, candidates), lengths, gated, PRICE, GATE)
        best += optimum.value_nats(candidates)
        read = [
            compressor_ids(base.tokenizer, context_text(memory, [p.news]), QUERY, Prompt(TEMPLATE))
            for memory, p in zip(memories, asked, strict=True)
        ]
        written = generate(policy, read, [p.id for p in asked], 5, 1.0, 0)
        memories = [z.text for z in written]
        log_probs = Scorer(base.model).score(prompts, [continuation_ids(z, stop) for z in written])
        terms = terms_of(log_probs, np.arange(HISTORIES), candidates)
        reward = terms - PRICE * np.array([z.rate_tokens for z in written])
        earned += float(np.where([not z.text.strip() for z in written], GATE, reward).mean())
    assert best > 1
    assert earned >= 0.9 * best, f"{earned:.3f} of {best:.3f} nats"
