import pytest

from infoagent.lm import prompts
from infoagent.lm.context import fit_to_context
from infoagent.lm.generation import compression_from_ids, generate, generate_groups
from infoagent.lm.models import load
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.lm.serving.chat_model import ChatModel
from infoagent.types import InputError, Negative, Problem


@pytest.fixture(scope="module")
def lm(tiny_dir):
    return load(str(tiny_dir), dtype="float32", device="cpu")


def test_the_first_stop_token_ends_the_text(lm):
    z = compression_from_ids(lm.tokenizer, "p", [40, 41, 7, 42, 7], {7})
    assert (z.token_ids, z.finish, z.rate_tokens) == ((40, 41), "stop", 2)
    cut = compression_from_ids(lm.tokenizer, "p", [40, 41], {7})
    assert cut.finish == "length"
    assert z.text == lm.tokenizer.decode([40, 41])
    assert continuation_ids(z, 9) == (40, 41, 7)  # the stop token that was sampled, not the template's
    assert continuation_ids(cut, 9) == (40, 41)


def test_the_models_own_generation_settings_do_not_bend_the_sampler(lm):
    ids = [prompts.compressor_ids(lm.tokenizer, "a document", "why?")] * 4
    plain = generate(lm, ids, list("abcd"), max_tokens=20, temperature=1.0, seed=3)
    settings = lm.model.generation_config
    before = settings.repetition_penalty
    settings.repetition_penalty = 5.0
    try:
        bent = generate(lm, ids, list("abcd"), max_tokens=20, temperature=1.0, seed=3)
    finally:
        settings.repetition_penalty = before
    assert [z.token_ids for z in bent] == [z.token_ids for z in plain]


def test_generation_repeats_with_its_seed_and_obeys_the_limit(lm):
    ids = [prompts.compressor_ids(lm.tokenizer, text, "why?") for text in ("short", "a somewhat longer document")]
    first = generate(lm, ids, ["a", "b"], max_tokens=9, temperature=1.0, seed=3)
    again = generate(lm, ids, ["a", "b"], max_tokens=9, temperature=1.0, seed=3)
    other = generate(lm, ids, ["a", "b"], max_tokens=9, temperature=1.0, seed=4)
    assert [z.token_ids for z in first] == [z.token_ids for z in again]
    assert [z.token_ids for z in first] != [z.token_ids for z in other]
    assert all(z.rate_tokens <= 9 for z in first)


def test_greedy_decoding_does_not_depend_on_the_padding_of_its_batch(lm):
    ids = [prompts.compressor_ids(lm.tokenizer, "x" * n, "why?") for n in (3, 60)]
    together = generate(lm, ids, ["a", "b"], 12, 0.0, 0)
    alone = [generate(lm, [i], ["a"], 12, 0.0, 0)[0] for i in ids]
    assert [z.token_ids for z in together] == [z.token_ids for z in alone]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_returns_nan_writes_no_text(lm, temperature, value):
    ids = [prompts.compressor_ids(lm.tokenizer, "a document", "why?")] * 2
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    bias = lm.model.lm_head.register_forward_hook(lambda module, given, logits: logits + value)
    try:
        with pytest.raises(FloatingPointError, match="the model returned NaN; try dtype float32"):
            generate(lm, ids, ["a", "b"], 4, temperature, 0)
        with pytest.raises(FloatingPointError, match="NaN"):
            generate(lm, ids, ["a", "b"], 4, temperature, 0, schema=schema)
        with pytest.raises(FloatingPointError, match="NaN"):
            generate_groups(lm, ids, ["a", "b"], 2, 4, temperature, 0)
        with pytest.raises(FloatingPointError, match="NaN"):
            ChatModel(lm, 0).write(ids[0], 4, temperature, 0)
    finally:
        bias.remove()
    assert generate(lm, ids, ["a", "b"], 4, temperature, 0)


def problem(document):
    return Problem("p", document, "why?", "d", negatives=(Negative("counterfactual", document.replace("a", "b")),))


def test_a_long_document_is_refused_with_its_length_and_the_way_out(lm):
    with pytest.raises(InputError, match=r"problem 'p'.*take \d+ tokens.*holds 300; set data.truncate to head, tail or middle"):
        fit_to_context([problem("a" * 400)], lm.tokenizer, 300, 20, "error")


@pytest.mark.parametrize(("way", "kept"), [("head", "<<"), ("tail", ">>"), ("middle", "<< >>")])
def test_truncation_keeps_what_it_says_and_fits(lm, way, kept):
    document = "<<" + "a" * 600 + ">>"
    [fitted] = fit_to_context([problem(document)], lm.tokenizer, 300, 20, way)
    assert len(prompts.compressor_ids(lm.tokenizer, fitted.document, fitted.query)) + 20 <= 300
    assert len(prompts.compressor_ids(lm.tokenizer, fitted.negatives[0].document, fitted.query)) + 20 <= 300
    assert all(part in fitted.document for part in kept.split())
    assert len(fitted.document) > 100


def test_what_fits_is_left_alone(lm):
    assert fit_to_context([problem("a short one")], lm.tokenizer, 300, 20, "head") == [problem("a short one")]


def test_groups_are_what_repeated_prompts_give(lm):
    ids = [prompts.compressor_ids(lm.tokenizer, "x" * n, "why?") for n in (40, 3)]
    groups = generate_groups(lm, ids, ["a", "b"], 3, max_tokens=8, temperature=1.0, seed=5)
    plain = generate(lm, [i for i in ids for _ in range(3)], list("aaabbb"), max_tokens=8, temperature=1.0, seed=5)
    assert [z.token_ids for group in groups for z in group] == [z.token_ids for z in plain]
    assert [[(z.problem_id, z.sample) for z in g] for g in groups] == [[(p, n) for n in range(3)] for p in "ab"]
    assert len({z.token_ids for z in groups[0]}) > 1


def test_a_model_whose_cache_cannot_be_shared_draws_the_same(lm, monkeypatch):
    ids = [prompts.compressor_ids(lm.tokenizer, "x" * n, "why?") for n in (40, 3)]
    shared = generate_groups(lm, ids, ["a", "b"], 2, max_tokens=8, temperature=1.0, seed=5)
    monkeypatch.setattr("infoagent.lm.generation.route_of", lambda config: "one by one")
    plain = generate_groups(lm, ids, ["a", "b"], 2, max_tokens=8, temperature=1.0, seed=5)
    assert [[z.token_ids for z in g] for g in shared] == [[z.token_ids for z in g] for g in plain]
