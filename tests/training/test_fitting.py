"""What the two fits train on and what they minimise, counted and computed by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from tiny import tiny_model
from transformers import TrainingArguments
from trl import SFTTrainer

from infoagent.lm.activation import acts_from_instruction, invocation_ids, read_without_gradient
from infoagent.lm.models import resolve
from infoagent.lm.prompts import Prompt
from infoagent.lm.reference import load_tokenizer
from infoagent.recipes import DPORecipe, GRPORecipe, SFTRecipe
from infoagent.reward.metrics import ScoredCompression
from infoagent.training.candidates import Candidate
from infoagent.training.fitting import (
    PairTrainer,
    data_set,
    dpo_arguments,
    imitation_rows,
    preference_rows,
    sft_arguments,
    step_count,
    training_order,
)
from infoagent.training.grpo_trainer import trainer_arguments
from infoagent.training.preparation import Prepared
from infoagent.types import Compression, Problem

TEXTS = [("stop", "a fact"), ("length", "cut off he"), ("stop", "b")]


@pytest.fixture(scope="module")
def prepared(tiny_dir):
    reference = resolve(str(tiny_dir))
    problems = [Problem(f"p{i}", f"document number {i} " * (i + 1), "why?", f"d{i}") for i in range(len(TEXTS))]
    return Prepared(reference, load_tokenizer(reference), "r", problems, [])


def scored(problem, z, rate):
    return ScoredCompression(problem=problem, compression=z, rate=rate, mi_nats=1.0, easy_nats=1.0, hard_nats=1.0, reward=1.0)


@pytest.fixture(scope="module")
def candidates(prepared):
    """Sampled ids that the tokenizer would not make of the text: the end of turn is in none of them."""
    made = []
    for problem, (finish, text) in zip(prepared.problems, TEXTS, strict=True):
        ids = tuple(prepared.tokenizer(text, add_special_tokens=False)["input_ids"])
        stop = prepared.tokenizer.eos_token_id if finish == "stop" else None
        z = Compression(problem.id, text, ids, finish, stop_id=stop)
        made.append(Candidate(1, scored(problem, z, float(len(ids)))))
    return made


def recipe_of(kind, tiny_dir, tmp_path, **section):
    name = {SFTRecipe: "sft", DPORecipe: "dpo"}[kind]
    content = {"output_dir": str(tmp_path), "model": {"name": str(tiny_dir), "dtype": "float32"}}
    return kind.model_validate({**content, name: {"epochs": 1, "batch_size": 3, **section}})


def lora(prepared, activated):
    call = invocation_ids(prepared.tokenizer, Prompt()) if activated else None
    return LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", alora_invocation_tokens=call)


def policy(prepared, activated):
    """A tiny base with an adapter that is not zero, as after some training."""
    from peft import get_peft_model

    model = get_peft_model(tiny_model(len(prepared.tokenizer)), lora(prepared, activated))
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    return model


def split(trainer):
    """The model as `run_trainer` makes it ready."""
    if acts_from_instruction(trainer.model):
        read_without_gradient(trainer.model)
    return trainer.model


def log_prob(model, prefix, completion):
    """Σ log p of the completion's tokens, one text at a time, from plain logits."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prefix + completion])).logits[0].double().log_softmax(-1)
    return sum(float(logits[len(prefix) - 1 + i, token]) for i, token in enumerate(completion))


def test_the_loss_is_on_the_sampled_ids_and_the_end_of_turn_alone(prepared, candidates, tiny_dir, tmp_path):
    made = recipe_of(SFTRecipe, tiny_dir, tmp_path)
    rows = imitation_rows(prepared, made, candidates)
    end = prepared.tokenizer.eos_token_id
    for row, (finish, text) in zip(rows, TEXTS, strict=True):
        trained = [token for token in row["labels"] if token != -100]
        # one token a byte in this tokenizer: counted without it
        assert len(trained) == len(text.encode()) + (finish == "stop")
        assert prepared.tokenizer.decode([t for t in trained if t != end]) == text
        assert (trained[-1] == end) is (finish == "stop")
        assert row["input_ids"][-len(trained) :] == trained
        prompt = prepared.tokenizer.decode(row["input_ids"][: -len(trained)])
        assert prompt.endswith("<|start|>assistant\n")
        assert "why?" in prompt


@pytest.mark.parametrize("activated", [False, True])
def test_the_imitation_loss_is_the_mean_over_those_tokens(prepared, candidates, tiny_dir, tmp_path, activated):
    made = recipe_of(SFTRecipe, tiny_dir, tmp_path)
    rows = imitation_rows(prepared, made, candidates)
    model = policy(prepared, activated)
    trainer = SFTTrainer(
        model=model,
        args=sft_arguments(made, str(tmp_path), 1, True),
        processing_class=prepared.tokenizer,
        train_dataset=data_set(rows, made.sft, seed=0),
    )
    [batch] = trainer.get_train_dataloader()
    assert int((batch["labels"] != -100).sum()) == sum(len(text) + (finish == "stop") for finish, text in TEXTS)
    loss = trainer.compute_loss(split(trainer), dict(batch)).item()
    total = tokens = 0.0
    for candidate, row in zip(candidates, rows, strict=True):
        z = candidate.scored.compression
        completion = [*z.token_ids, *([z.stop_id] if z.stop_id is not None else [])]
        prefix = row["input_ids"][: len(row["input_ids"]) - len(completion)]
        total += log_prob(model, prefix, completion)
        tokens += len(completion)
    assert loss == pytest.approx(-total / tokens, abs=1e-4)


@pytest.mark.parametrize("activated", [False, True])
def test_the_preference_loss_is_that_of_the_paper_against_the_base(prepared, candidates, tiny_dir, tmp_path, activated):
    made = recipe_of(DPORecipe, tiny_dir, tmp_path, beta=0.3)
    z = [c.scored.compression for c in candidates]
    problem = candidates[0].scored.problem
    better, worse = (Candidate(1, scored(problem, z[i], 1.0)) for i in (0, 1))
    rows = preference_rows(prepared, made.prompt, [(better, worse), (worse, better)])
    assert rows[0]["chosen_ids"] == [*z[0].token_ids, prepared.tokenizer.eos_token_id]
    assert rows[0]["rejected_ids"] == list(z[1].token_ids)  # cut off: no end of turn was sampled
    trainer = PairTrainer(
        model=tiny_model(len(prepared.tokenizer)),
        args=dpo_arguments(made, 1, True),
        processing_class=prepared.tokenizer,
        train_dataset=data_set(rows, made.dpo, seed=0),
        peft_config=lora(prepared, activated),
    )
    generator = torch.Generator().manual_seed(1)
    for name, weight in trainer.model.named_parameters():
        if "lora_" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    [batch] = trainer.get_train_dataloader()
    loss = trainer.compute_loss(split(trainer), dict(batch)).item()
    ratio = {}
    for side in ("chosen_ids", "rejected_ids"):
        moved = log_prob(trainer.model, rows[0]["prompt_ids"], rows[0][side])
        with trainer.model.disable_adapter():
            ratio[side] = moved - log_prob(trainer.model, rows[0]["prompt_ids"], rows[0][side])
    margin = torch.tensor(0.3 * (ratio["chosen_ids"] - ratio["rejected_ids"]), dtype=torch.float64)
    assert abs(float(margin)) > 0.01
    expected = -(margin.sigmoid().log() + (-margin).sigmoid().log()) / 2
    assert loss == pytest.approx(float(expected), abs=1e-4)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 3), st.integers(0, 9))
def test_an_epoch_sees_every_example_once(lengths, batch_size, epochs, seed):
    order = training_order(lengths, batch_size, epochs, seed)
    assert len(order) == epochs * len(lengths)
    for epoch in range(epochs):
        assert sorted(order[epoch * len(lengths) : (epoch + 1) * len(lengths)]) == list(range(len(lengths)))
    assert order == training_order(lengths, batch_size, epochs, seed)


def test_batches_hold_texts_of_like_length_and_epochs_differ():
    lengths = [(7 * i) % 64 for i in range(64)]
    order = training_order(lengths, 8, 2, seed=0)
    batches = [[lengths[i] for i in order[at : at + 8]] for at in range(0, 64, 8)]
    assert all(max(b) - min(b) == 7 for b in batches)  # sorted, and cut into eights
    assert [min(b) for b in batches] != sorted(min(b) for b in batches)  # but the batches themselves are mixed
    assert order[:64] != order[64:]


def test_the_last_step_takes_what_is_left(tiny_dir, tmp_path):
    made = recipe_of(SFTRecipe, tiny_dir, tmp_path, batch_size=4, epochs=3)
    assert [step_count(n, made.sft) for n in (1, 4, 5)] == [1, 3, 4]


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_a_process_that_sees_several_gpus_takes_one(tiny_dir, tmp_path, monkeypatch, gpus):
    """Without a launcher transformers counts all that are visible, and TRL's trainers then refuse to be built."""

    def visible(arguments):
        if not hasattr(arguments, "_n_gpu"):
            arguments._n_gpu, arguments.distributed_state = gpus, None
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(visible))
    grpo = [{}, {"algorithm": "rloo", "loss_type": "grpo"}]
    made = [trainer_arguments(GRPORecipe.model_validate({"output_dir": str(tmp_path), "grpo": own}), True) for own in grpo]
    made += [sft_arguments(recipe_of(SFTRecipe, tiny_dir, tmp_path), str(tmp_path), 1, True)]
    made += [dpo_arguments(recipe_of(DPORecipe, tiny_dir, tmp_path), 1, True)]
    for arguments in made:
        assert arguments.n_gpu == min(gpus, 1)
        assert arguments.train_batch_size == arguments.per_device_train_batch_size
