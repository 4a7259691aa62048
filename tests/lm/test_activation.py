"""Adapters that act behind the document: against a base that reads it and a plain adapter behind that, written out here."""

import copy
from types import SimpleNamespace

import pytest
import torch
from conftest import run_script
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.variants import calculate_alora_offsets
from tiny import tiny_model, tiny_tokenizer
from trl.trainer.utils import add_fused_lm_head

from infoagent.evaluation.models import ModelPool
from infoagent.files import read_json, read_jsonl
from infoagent.lm.activation import check_activated, invocation_ids, read_without_gradient
from infoagent.lm.adapters import read_settings
from infoagent.lm.generation import generate, generate_groups
from infoagent.lm.merging import merge_adapter
from infoagent.lm.models import LoadedModel, load, resolve
from infoagent.lm.prompts import COMPRESSOR_TEMPLATES, Prompt, chat_ids, compressor_ids, predictor_messages
from infoagent.lm.reference import load_tokenizer
from infoagent.lm.scoring.exact import Scorer, continuation_ids
from infoagent.lm.vllm.adapters import servable
from infoagent.recipes.lora_section import LoraSection
from infoagent.recipes.sections import ModelSection
from infoagent.training.shared_prefix import Packing
from infoagent.types import InputError

TOKENIZER, EMBEDDED = tiny_tokenizer(), load_tokenizer(resolve("smollm2-135m"))
CALL = invocation_ids(TOKENIZER, Prompt())
ASKED = [("a short text", "who?"), ("another text that is longer than the first", "and when was it?"), ("x", "?")]
PROMPTS = [compressor_ids(TOKENIZER, *asked, Prompt()) for asked in ASKED]
TEXTS = [[40, 41, 42, 43], [50, 51], [60, 61, 62, 63, 64]]


def place(prompt):
    """Where the instruction begins, found as text: one token a byte."""
    return next(i for i in reversed(range(len(prompt))) if prompt[i : i + len(CALL)] == CALL)


def adapted(invocation):
    base = tiny_model(len(TOKENIZER))
    add_fused_lm_head(base)
    model = get_peft_model(
        base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", alora_invocation_tokens=invocation)
    )
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # a fresh adapter changes nothing
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def naive_loss(model, rows):
    """The base's cache of what stands before the instruction, then a plain adapter on the rest: mean over the texts' tokens."""
    total, count = torch.zeros(()), 0
    for prompt, text in rows:
        start = place(prompt)
        with torch.no_grad(), model.disable_adapter():
            cache = model(input_ids=torch.tensor([prompt[:start]]), use_cache=True).past_key_values
        rest = torch.tensor([[*prompt[start:], *text]])
        logits = model(input_ids=rest, past_key_values=cache, use_cache=True).logits[0]
        behind = len(prompt) - start
        total = total + torch.nn.functional.cross_entropy(logits[behind - 1 : -1], rest[0, behind:], reduction="sum")
        count += len(text)
    return total / count


def padded(rows):
    """As TRL's collator pads them: on the right."""
    width = max(len(p) + len(t) for p, t in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    for row, (prompt, text) in enumerate(rows):
        end = len(prompt) + len(text)
        ids[row, :end], mask[row, :end] = torch.tensor([*prompt, *text]), 1
        labels[row, len(prompt) : end] = torch.tensor(text)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@pytest.mark.parametrize("split", [False, True])
def test_loss_and_gradients_are_those_of_an_adapter_behind_a_frozen_reading(split):
    rows = list(zip(PROMPTS, TEXTS, strict=True))
    plain, activated = adapted(None), adapted(CALL)
    naive_loss(plain, rows).backward()
    if split:
        read_without_gradient(activated)
    loss = activated(**padded(rows)).loss
    loss.backward()
    assert loss.item() == pytest.approx(naive_loss(plain, rows).item(), abs=1e-5)
    wanted, found = gradients(plain), gradients(activated)
    assert wanted.keys() == found.keys()
    assert len(wanted) > 10
    for name in wanted:
        assert torch.allclose(wanted[name], found[name], atol=1e-5), name


def test_a_document_that_quotes_the_instruction_is_read_by_the_base():
    quoting = compressor_ids(TOKENIZER, TOKENIZER.decode(CALL) + " it said", "who?", Prompt())
    rows = [(quoting, TEXTS[0]), (PROMPTS[1], TEXTS[1])]
    plain, activated = adapted(None), adapted(CALL)
    read_without_gradient(activated)
    assert activated(**padded(rows)).loss.item() == pytest.approx(naive_loss(plain, rows).item(), abs=1e-5)


def test_the_pass_before_the_split_keeps_no_activations():
    model, seen = adapted(CALL), []
    inner = model.base_model.model.model.layers[0]
    inner.register_forward_hook(lambda _, inputs, output: seen.append((torch.is_grad_enabled(), output.shape[1])))
    read_without_gradient(model)
    model(**padded(list(zip(PROMPTS, TEXTS, strict=True)))).loss.backward()
    assert [grad for grad, _ in seen] == [False, True]
    assert seen[0][1] == min(map(place, PROMPTS))
    with torch.no_grad():
        model(**padded(list(zip(PROMPTS, TEXTS, strict=True))))
    assert len(seen) == 3  # without a gradient there is nothing to save


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("split", [False, True])
def test_a_packed_group_is_split_too(split, fused):
    """GRPO's rows: a mask of four dimensions, positions of their own, prompts padded on the left."""
    group = [(PROMPTS[0], TEXTS[0]), (PROMPTS[0], TEXTS[1]), (PROMPTS[1], TEXTS[2])]
    width, longest = max(len(t) for _, t in group), max(len(p) for p, _ in group)
    ids, live = torch.zeros(3, longest + width, dtype=torch.long), torch.zeros(3, longest + width, dtype=torch.long)
    for row, (prompt, text) in enumerate(group):
        for tokens, start in ((prompt, longest - len(prompt)), (text, longest)):
            ids[row, start : start + len(tokens)], live[row, start : start + len(tokens)] = torch.tensor(tokens), 1
    packing = Packing(ids, live, width)
    plain, activated = adapted(None), adapted(CALL)
    naive_loss(plain, group).backward()
    if split:
        read_without_gradient(activated)
    row = {
        "input_ids": packing.input_US,
        "attention_mask": packing.attention(torch.float32),
        "position_ids": packing.position_US,
        "use_cache": False,
    }
    if fused:  # TRL's head, which is computed in tiles
        output = activated(**row, shift_labels=packing.targets_US(), fused_lm_head=True)
        log_probs = packing.unpack(output.log_probs[:, packing.prefix :])
    else:
        logits = activated(**row, logits_to_keep=packing.group * width).logits
        log_probs = torch.log_softmax(packing.unpack(logits), -1).gather(-1, packing.completions_BT[..., None])[..., 0]
    loss = -(log_probs * packing.live_BT).sum() / packing.live_BT.sum()
    loss.backward()
    assert loss.item() == pytest.approx(naive_loss(plain, group).item(), abs=1e-5)
    wanted, found = gradients(plain), gradients(activated)
    for name in wanted:
        assert torch.allclose(wanted[name], found[name], atol=1e-5), name


def greedy(model, prompt, tokens):
    start = place(prompt)
    with torch.no_grad():
        with model.disable_adapter():
            past = model(input_ids=torch.tensor([prompt[:start]]), use_cache=True).past_key_values
        text = []
        for _ in range(tokens):
            rest = torch.tensor([[*prompt[start:], *text]])
            text.append(int(model(input_ids=rest, past_key_values=copy.deepcopy(past), use_cache=True).logits[0, -1].argmax()))
            if text[-1] == TOKENIZER.eos_token_id:
                break
    return text


def test_texts_are_those_of_the_adapter_behind_a_frozen_reading(tiny_dir):
    plain, activated = adapted(None).eval(), adapted(CALL).eval()
    reference = resolve(str(tiny_dir))
    lm = LoadedModel(reference, activated, load_tokenizer(reference), "float32", "somewhere")
    names = [f"p{i}" for i in range(len(PROMPTS))]
    wanted = [greedy(plain, prompt, 8) for prompt in PROMPTS]
    found = [list(continuation_ids(z, 0)) for z in generate(lm, PROMPTS, names, 8, 0.0, 0)]
    assert found == wanted
    with activated.disable_adapter():
        base = [list(continuation_ids(z, 0)) for z in generate(lm, PROMPTS, names, 8, 0.0, 0)]
    assert base != wanted
    groups = generate_groups(lm, PROMPTS, names, 2, 8, 0.0, 0)
    assert [[list(continuation_ids(z, 0)) for z in group] for group in groups] == [[w, w] for w in wanted]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(WORDS, WORDS, st.sampled_from([n for n in COMPRESSOR_TEMPLATES if n not in ("plain-v1", "sentences-v1")]))
def test_the_instruction_is_found_behind_any_document(document, query, template):
    form = "as JSON" if "{form}" in COMPRESSOR_TEMPLATES[template] else None
    prompt = Prompt(template=template, form=form, budget_words=12)
    for tokenizer in (TOKENIZER, EMBEDDED):
        call = invocation_ids(tokenizer, prompt)
        settings = LoraConfig(task_type="CAUSAL_LM", alora_invocation_tokens=call)
        ids = compressor_ids(tokenizer, document, query, prompt)
        check_activated(SimpleNamespace(active_peft_config=settings), [ids])
        [offset] = calculate_alora_offsets({"default": settings}, "default", torch.tensor([ids]))  # where PEFT lets it act
        assert offset is not None
        assert tokenizer.decode(ids[-offset:]).startswith(tokenizer.decode(call))


def test_what_it_cannot_do_is_refused():
    with pytest.raises(InputError, match="no words behind the document"):
        invocation_ids(TOKENIZER, Prompt(template="plain-v1"))
    with pytest.raises(ValueError, match="activated with dora"):
        LoraSection(activated=True, dora=True)
    with pytest.raises(InputError, match="scores nothing"):
        Scorer(adapted(CALL))
    Scorer(adapted(CALL), base_only=True)
    with pytest.raises(InputError, match="not in this one"):
        check_activated(adapted(CALL), [[1, 2, 3]])
    model = adapted(CALL)
    with model.disable_adapter():  # a frozen base that carries it reads any prompt
        check_activated(model, [[1, 2, 3]])
        Scorer(model)
    assert "instruction" in servable({"alora_invocation_tokens": CALL, "r": 4})


def run(*arguments):
    done = run_script(*arguments)
    assert done.returncode == 0, done.stderr[-2000:]


def test_it_is_trained_compared_and_trained_on_by_the_scripts(tiny_dir, tmp_path):
    common = [
        f"model.name={tiny_dir}", "model.dtype=float32", "data.limit=8", "data.min_words=30", "data.max_words=40",
        "lora.r=4", "lora.activated=true", "negatives.random=1", "negatives.counterfactual=2", "tracking.wandb=disabled",
    ]  # fmt: skip
    warm = tmp_path / "warm"
    run(
        "train/sft.py", "configs/train/sft.yaml", f"output_dir={warm}", *common, "more_data=[]", "sft.rounds=1",
        "sft.problems_per_round=8", "sft.batch_size=2",
        "sft.micro_batch=2", "sft.epochs=2", "sft.learning_rate=0.01", "selection.min_reward_nats=null", "validation=null",
    )  # fmt: skip
    [checkpoint] = [d for d in warm.glob("checkpoint-*") if (d / "adapter_config.json").is_file()]
    assert read_settings(checkpoint)["alora_invocation_tokens"] == CALL
    losses = [line["train/loss"] for line in read_jsonl(warm / "metrics.jsonl") if "train/loss" in line]
    assert losses[-1] < losses[0]
    assert "activated LoRA" in (checkpoint / "README.md").read_text()
    grpo = tmp_path / "grpo"
    run(
        "train/grpo.py", "configs/train/records.yaml", f"output_dir={grpo}", *common, f"init_adapter={checkpoint}",
        "grpo.steps=2", "grpo.num_generations=3", "grpo.prompts_per_step=2", "grpo.max_completion_tokens=8",
        "grpo.save_steps=2", "validation=null",
    )  # fmt: skip
    out = tmp_path / "eval"
    run(
        "eval/checkpoint.py", "configs/eval/compressor.yaml", f"output_dir={out}", f"checkpoint={grpo}/checkpoint-2",
        "data.0.limit=3", "data.0.min_words=30", "data.0.max_words=40", "negatives.random=1", "negatives.counterfactual=2",
        f"predictors.0.name={tiny_dir}", "tracking.wandb=disabled",
        f'compressors=[{{label: frozen, model: {{name: "{tiny_dir}", dtype: float32}}, max_tokens: 8, temperature: 0}}]', "compare=[]",
    )  # fmt: skip
    labels = {row["compressor"]["label"] for row in read_jsonl(out / "records.jsonl")}
    assert len(labels) == 2
    with pytest.raises(InputError, match="cannot be merged"):
        merge_adapter(str(checkpoint), tmp_path / "merged", "float32")
    assert read_json(checkpoint / "infoagent.json")["prompt"]["template"] == "query-v1"
    # in a grid one base carries it: with the adapter for compressions, without it for every other prompt
    pool, plain = ModelPool(64), ModelSection(name=str(tiny_dir), dtype="float32")
    lm = pool.get(plain.model_copy(update={"adapter": str(checkpoint)}))
    prompt, other = compressor_ids(lm.tokenizer, *ASKED[0], Prompt()), chat_ids(lm.tokenizer, predictor_messages("notes", "who?"))
    compressed = generate(lm, [prompt], ["p"], 8, 0.0, 0)[0].token_ids
    with pytest.raises(InputError, match="not in this one"):
        generate(lm, [other], ["p"], 8, 0.0, 0)
    alone = load(str(tiny_dir), dtype="float32")
    base = pool.get(plain)
    pool.scorer(plain)
    for asked in (prompt, other):
        assert generate(base, [asked], ["p"], 8, 0.0, 0)[0].token_ids == generate(alone, [asked], ["p"], 8, 0.0, 0)[0].token_ids
    again = load(str(tiny_dir), dtype="float32", adapter=str(checkpoint))
    assert generate(again, [prompt], ["p"], 8, 0.0, 0)[0].token_ids == compressed
