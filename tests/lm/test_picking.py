"""What is picked of a document: a hand count, and any text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.data.segmentation import sentences
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.lm.context import fit_to_context
from infoagent.lm.dry_run import read_tokens
from infoagent.lm.models import load_tokenizer, resolve
from infoagent.lm.picking import pick
from infoagent.lm.prompts import Prompt, chat_ids, check_prompt, compressor_ids, compressor_messages, text_ids
from infoagent.measurement.estimate import describe_measurement
from infoagent.recipes import EvaluationRecipe, GRPORecipe, InformationRecipe, PromptSection
from infoagent.training.estimate import describe_grpo
from infoagent.training.preparation import prepare
from infoagent.training.prompt_rows import training_rows
from infoagent.types import InputError, Problem

TOKENIZER = load_tokenizer(resolve("smollm2-135m"))
HARBOUR = (
    "The harbour opened in 1921. Its lighthouse was built by Ada Quist. Ferries leave every hour. "
    "The lighthouse burns oil from Oslo. Fish is sold at noon."
)


def test_the_best_match_stands_last_and_the_rest_before_it_while_it_fits():
    # by hand: "lighthouse" and "built" in the second sentence, "lighthouse" in the fourth, nothing elsewhere
    asked = "Who built the lighthouse?"
    assert pick(TOKENIZER, HARBOUR, asked, 24).split("\n") == [
        "The lighthouse burns oil from Oslo.",
        "Its lighthouse was built by Ada Quist.",
    ]
    assert pick(TOKENIZER, HARBOUR, asked, 1000).split("\n")[:3] == [
        "Fish is sold at noon.",
        "Ferries leave every hour.",
        "The harbour opened in 1921.",
    ]


def test_a_sentence_that_is_too_long_alone_is_cut_and_a_later_one_may_take_the_room_of_one_that_does_not_fit():
    long = "The lighthouse " + "and the lighthouse " * 60 + "stands. Nobody lives there."
    cut = pick(TOKENIZER, long, "lighthouse", 20)
    assert long.startswith(cut)
    assert 0 < len(text_ids(TOKENIZER, cut)) <= 20
    text = f"Quist. {long}"
    assert pick(TOKENIZER, text, "Quist", 20).split("\n") == ["Nobody lives there.", "Quist."]


@given(st.text(max_size=600), st.text(max_size=80), st.integers(16, 200))
def test_any_text(document, query, tokens):
    read = pick(TOKENIZER, document, query, tokens)
    whole = [s.strip() for s in sentences(document)]
    lines = read.split("\n") if "\n" not in document.strip() else []
    assert len(text_ids(TOKENIZER, read)) <= tokens + read.count("\n") + 1
    assert all(line in whole or document.find(line) >= 0 for line in lines)
    assert bool(read) == bool(document.strip()) or not any(whole)


def test_the_prompt_holds_what_was_picked_and_fits_where_the_document_does_not():
    prompt = Prompt(pick_tokens=24)
    asked = "Who built the lighthouse?"
    short = pick(TOKENIZER, HARBOUR, asked, 24)
    assert compressor_ids(TOKENIZER, HARBOUR, asked, prompt) == compressor_ids(TOKENIZER, short, asked)
    problem = Problem("a", HARBOUR * 400, asked, document_id="a")
    assert fit_to_context([problem], TOKENIZER, 256, 32, "error", prompt) == [problem]
    with pytest.raises(InputError, match=r"prompt\.pick_tokens = 24: prompt and reply take \d+ tokens, .* holds 64; lower it"):
        fit_to_context([problem], TOKENIZER, 64, 32, "error", prompt)


def test_a_prompt_without_a_question_cannot_pick():
    with pytest.raises(InputError, match=r"pick_tokens = 64: template 'agnostic-v1' names no question"):
        check_prompt(PromptSection(template="agnostic-v1", pick_tokens=64))
    check_prompt(PromptSection(pick_tokens=64))


def test_grpo_trains_on_the_very_prompts_that_are_scored(tmp_path):
    """A chat that TRL turns into tokens, and the ids of the scorer's prefix: with picking both read the same sentences."""
    recipe = GRPORecipe.model_validate(
        {"output_dir": str(tmp_path), "model": {"name": "smollm2-135m"}, "prompt": {"pick_tokens": 48}, "reward": {"price": 0.02},
         "data": {"name": "records", "split": "train", "limit": 4}, "negatives": {"random": 1}}
    )  # fmt: skip
    prepared = prepare(recipe, 20, quiet=True)
    for row in training_rows(prepared, recipe):
        problem = prepared.problems[row["problem_index"]]
        scored = compressor_ids(TOKENIZER, problem.document, problem.query, Prompt(pick_tokens=48, thinking=False))
        assert chat_ids(TOKENIZER, row["prompt"], thinking=False) == scored
        assert len(scored) < len(compressor_ids(TOKENIZER, problem.document, problem.query, Prompt(thinking=False)))


def test_without_a_tokenizer_nothing_is_picked_in_silence():
    with pytest.raises(InputError, match=r"pick_tokens = 24: no sentences are picked here"):
        compressor_messages(HARBOUR, "Who?", Prompt(pick_tokens=24))
    with pytest.raises(InputError, match=r"pick_tokens = 64: no sentences are picked here"):
        check_prompt(PromptSection(pick_tokens=64), may_pick=False)


def test_estimates_count_what_is_read():
    assert [read_tokens(300.0, PromptSection(pick_tokens=pick)) for pick in (None, 64, 400)] == [300.0, 64, 300.0]


PLANS = [
    ("configs/train/records.yaml", GRPORecipe, describe_grpo, "prompt"),
    ("configs/eval/information.yaml", InformationRecipe, describe_measurement, "compressor.prompt"),
    ("configs/eval/records.yaml", EvaluationRecipe, describe_evaluation, "compressors.0.prompt"),
]


@pytest.mark.parametrize(("recipe", "schema", "describe", "key"), PLANS, ids=[p[0] for p in PLANS])
def test_every_plan_is_smaller_where_less_is_read(recipe, schema, describe, key):
    few = ["data.limit=20"] if schema is GRPORecipe else []  # lists and pools have a size of their own
    plans = [describe(load_recipe(schema, recipe, [*few, *given])) for given in ([], [f"{key}.pick_tokens=16"])]
    whole, picked = (float(re.search(r"([\d,.]+) GFLOP", plan)[1].replace(",", "")) for plan in plans)
    assert picked < whole


@pytest.mark.parametrize(("recipe", "schema", "describe", "key"), PLANS, ids=[p[0] for p in PLANS])
def test_a_plan_refuses_a_template_and_an_adapter_that_are_not_there(recipe, schema, describe, key):
    """As the run would, whose plan it is."""
    adapter = "init_adapter" if key == "prompt" else key.replace("prompt", "model.adapter")
    for wrong, said in (
        (f"{key}.template=nosuch", "prompt.template: 'nosuch' is unknown"),
        (f"{adapter}=runs/nope", "no such directory"),
    ):
        with pytest.raises(InputError, match=said):
            describe(load_recipe(schema, recipe, [wrong]))
