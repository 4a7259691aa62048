"""The prefix-shared scorer against its one-by-one twin, and against an enumerated message space."""

import itertools

import exact_channels
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model

from infoagent.information import channels, estimate_mi
from infoagent.lm.scoring.exact import Scorer, continuation_ids, tokens_read
from infoagent.lm.scoring.prefix import route_of
from infoagent.types import Compression

MODEL = tiny_model(16)


def random_ids(rng, low, high):
    return rng.integers(16, size=int(rng.integers(low, high + 1))).tolist()


def test_every_message_enumerated_sums_to_one_and_gives_the_exact_information():
    """|z| ≤ 3 over 16 tokens, token 0 ends the turn: strings that stop, and strings cut at the limit."""
    words = range(1, 16)
    stopped = [Compression("p", "", z, "stop") for n in range(3) for z in itertools.product(words, repeat=n)]
    cut = [Compression("p", "", z, "length") for z in itertools.product(words, repeat=3)]
    continuations = [continuation_ids(z, 0) for z in (*stopped, *cut)]
    prefixes = [[3, 5, 7], [3, 5, 9, 2], [1], [3, 5, 7, 7, 7, 7]]
    log_probs_CK = Scorer(MODEL, pack_tokens=500).score(prefixes, continuations)

    assert np.exp(log_probs_CK).sum(axis=0) == pytest.approx(np.ones(4), abs=1e-5)
    conditional_XZ = np.exp(log_probs_CK.T)
    conditional_XZ /= conditional_XZ.sum(axis=1, keepdims=True)
    enumerated, source, weights = exact_channels.enumerate_outputs(conditional_XZ)
    exact = channels.mutual_information_nats(conditional_XZ)
    assert exact > 0.05
    assert estimate_mi(enumerated, source, weights=weights).infonce_nats == pytest.approx(exact, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 3, 8, 64, 4096]))
@settings(deadline=None, max_examples=25)
def test_equals_the_one_by_one_twin_for_any_batch_and_pack(seed, prefix_count, continuation_count, pack):
    rng = np.random.default_rng(seed)
    shared = random_ids(rng, 0, 20)
    prefixes = [shared + random_ids(rng, 1, 30) for _ in range(prefix_count)]
    continuations = [random_ids(rng, 1, 12) for _ in range(continuation_count)]
    scorer = Scorer(MODEL, pack_tokens=pack)
    assert scorer.score(prefixes, continuations) == pytest.approx(scorer.score_one_by_one(prefixes, continuations), abs=2e-4)


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_what_will_be_read_is_counted_before_there_is_a_model(seed, prefix_count, continuation_count):
    rng = np.random.default_rng(seed)
    beginnings = [random_ids(rng, 1, 12) for _ in range(3)]
    prefixes = [beginnings[rng.integers(3)] + random_ids(rng, 0, 6) for _ in range(prefix_count)]
    scorer = Scorer(MODEL)
    scorer.score(prefixes, [random_ids(rng, 1, 5) for _ in range(continuation_count)])
    assert tokens_read(prefixes) == scorer.prefix_tokens


def test_equals_an_independent_loss_of_the_library():
    """transformers' own cross-entropy, with the prefix masked out of the labels."""
    prefix, continuation = [4, 8, 15, 2, 3], [6, 1, 0]
    ids = torch.tensor([prefix + continuation])
    labels = torch.tensor([[-100] * len(prefix) + continuation])
    with torch.no_grad():
        loss = MODEL(input_ids=ids, labels=labels).loss
    assert Scorer(MODEL).score([prefix], [continuation])[0, 0] == pytest.approx(-3 * float(loss), abs=1e-4)


def test_permuting_prefixes_and_continuations_permutes_the_matrix():
    rng = np.random.default_rng(0)
    prefixes = [random_ids(rng, 5, 40) for _ in range(6)]
    continuations = [random_ids(rng, 1, 10) for _ in range(5)]
    matrix = Scorer(MODEL).score(prefixes, continuations)
    rows, columns = rng.permutation(5), rng.permutation(6)
    moved = Scorer(MODEL).score([prefixes[k] for k in columns], [continuations[c] for c in rows])
    assert moved == pytest.approx(matrix[rows][:, columns], abs=2e-4)


def test_equal_prefixes_give_equal_columns_and_are_computed_once():
    scorer = Scorer(MODEL)
    matrix = scorer.score([[1, 2, 3, 4, 5]] * 3, [[6, 7], [8]])
    assert matrix[:, 0] == pytest.approx(matrix[:, 2], abs=1e-6)
    assert scorer.prefix_tokens == 5


def test_equal_continuations_are_computed_once():
    scorer = Scorer(MODEL)
    matrix = scorer.score([[1, 2, 3]], [[6, 7, 8], [9], [6, 7, 8]])
    assert scorer.continuation_tokens == 2  # the first token is scored by the prefix, the last predicts nothing scored
    assert matrix[0] == matrix[2] != matrix[1]


def test_a_scorer_that_remembers_says_the_same_and_computes_less():
    rng = np.random.default_rng(0)
    prefixes = [random_ids(rng, 4, 9) for _ in range(3)]
    continuations = [random_ids(rng, 2, 6) for _ in range(4)]
    plain, remembering = Scorer(MODEL), Scorer(MODEL, remember=100)
    remembering.score(prefixes[:2], continuations[:3])
    counted = remembering.prefix_tokens
    expected = plain.score(prefixes, continuations)
    assert remembering.score(prefixes, continuations) == pytest.approx(expected, abs=2e-4)
    work = remembering.prefix_tokens, remembering.continuation_tokens
    assert counted < work[0]  # the third prefix is new
    again = remembering.score(prefixes[::-1], continuations[::-1])
    assert again == pytest.approx(expected[::-1, ::-1], abs=2e-4)
    assert (remembering.prefix_tokens, remembering.continuation_tokens) == work


def test_a_scorer_forgets_when_it_holds_too_much():
    scorer = Scorer(MODEL, remember=2)
    scorer.score([[1, 2]], [[3], [4], [5]])
    computed = scorer.prefix_tokens
    scorer.score([[1, 2]], [[3]])
    assert scorer.prefix_tokens > computed


def test_shared_beginnings_are_computed_once():
    scorer = Scorer(MODEL)
    beginning = list(range(1, 15)) * 3
    scorer.score([[*beginning, 1, 2], [*beginning, 3, 4], [*beginning, 1, 5]], [[6, 7]])
    assert scorer.prefix_tokens == len(beginning) + 2 + 1 + 2


def test_training_mode_is_restored_and_does_not_change_scores():
    model = tiny_model(16)
    expected = Scorer(model).score([[1, 2, 3]], [[4, 5, 6]])
    model.train()
    model.gradient_checkpointing_enable()
    assert Scorer(model).score([[1, 2, 3]], [[4, 5, 6]]) == pytest.approx(expected, abs=1e-6)
    assert model.training


def test_the_frozen_base_is_scored_while_the_adapter_moves():
    from peft import LoraConfig, get_peft_model

    expected = Scorer(MODEL).score([[1, 2, 3]], [[4, 5, 6], [7]])
    policy = get_peft_model(tiny_model(16), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    assert Scorer(policy, base_only=True).score([[1, 2, 3]], [[4, 5, 6], [7]]) == pytest.approx(expected, abs=1e-5)
    assert abs(Scorer(policy).score([[1, 2, 3]], [[4, 5, 6], [7]]) - expected).max() > 0.05


def test_bfloat16_is_close_to_float32():
    rng = np.random.default_rng(1)
    prefixes = [random_ids(rng, 20, 60) for _ in range(3)]
    continuations = [random_ids(rng, 4, 10) for _ in range(6)]
    exact = Scorer(tiny_model(16)).score(prefixes, continuations)
    rounded = Scorer(tiny_model(16).to(torch.bfloat16)).score(prefixes, continuations)
    per_token = abs(rounded - exact) / np.array([[len(c)] for c in continuations])
    assert per_token.mean() < 0.05


def test_another_attention_kernel_gives_the_same():
    model = tiny_model(16)
    expected = Scorer(model).score([[1, 2, 3]], [[4, 5, 6], [7, 8]])
    model.set_attn_implementation("eager")
    scorer = Scorer(model)
    assert scorer.score([[1, 2, 3]], [[4, 5, 6], [7, 8]]) == pytest.approx(expected, abs=1e-4)


def test_a_model_with_sliding_windows_takes_the_slow_path():
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=16,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
            initializer_range=0.25,
        )
    ).eval()
    assert route_of(model.config) == "forked"
    rng = np.random.default_rng(2)
    prefixes, continuations = [random_ids(rng, 20, 30) for _ in range(3)], [random_ids(rng, 3, 6) for _ in range(3)]
    scorer = Scorer(model)
    assert scorer.score(prefixes, continuations) == pytest.approx(scorer.score_one_by_one(prefixes, continuations), abs=1e-4)


@pytest.mark.parametrize(("prefixes", "continuations"), [([[1]], []), ([[1]], [[]]), ([], [[1]]), ([[]], [[1]])])
def test_nothing_to_score_is_an_error_not_a_zero(prefixes, continuations):
    with pytest.raises(ValueError, match="token"):
        Scorer(MODEL).score(prefixes, continuations)


def test_a_model_that_returns_nan_is_an_error():
    model = tiny_model(16)
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="NaN"):
        Scorer(model).score([[1, 2]], [[3]])


@pytest.mark.gpu
def test_scores_on_an_accelerator_equal_those_on_the_cpu():
    rng = np.random.default_rng(3)
    prefixes, continuations = [random_ids(rng, 20, 90) for _ in range(4)], [random_ids(rng, 1, 20) for _ in range(7)]
    expected = Scorer(tiny_model(16)).score(prefixes, continuations)
    assert Scorer(tiny_model(16).cuda()).score(prefixes, continuations) == pytest.approx(expected, abs=1e-3)
