"""A tokenizer out of a GGUF file against the one that its vocabulary was taken from, and against merging by hand."""

import itertools
from pathlib import Path

import pytest
from gguf_files import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, byte_vocabulary, write_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_model
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from infoagent.lm.gguf.header import read_header
from infoagent.lm.gguf.tokenizers import build_tokenizer, piece_merges
from infoagent.types import InputError

CORPUS = [Path(__file__).read_text(), "In 2021 it's 12345 naïve users, they'll pay 1,000.50 dollars.\n\n\tOK?  " * 20]
# how the authors of each family write it, in the places where they publish it
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXTS = st.text(max_size=60) | st.text("aeinst '1290\n\t.", max_size=60)


def cutter(pre):
    if pre == "smollm":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    if pre == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    pattern = PRETOKENIZE_REGEX if pre == "qwen2" else LLAMA3
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(pre):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = cutter(pre), decoders.ByteLevel()
    if pre == "qwen2":
        backend.normalizer = normalizers.NFC()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))
    return backend


def rebuilt(folder, vocabulary):
    model = tiny_model(len(vocabulary["tokens"]), hidden=8, layers=1)
    return build_tokenizer(read_header(write_gguf(folder / "model.gguf", model, vocabulary)))


TOKENS = {"<|endoftext|>": CONTROL, "<|im_start|>": CONTROL, "<|im_end|>": CONTROL, "<tool_call>": USER_DEFINED}


@pytest.fixture(scope="module", params=["smollm", "gpt-2", "qwen2", "llama-bpe"])
def pair(request, tmp_path_factory):
    original = trained(request.param)
    vocabulary = byte_vocabulary(original, request.param, TOKENS)
    return original, rebuilt(tmp_path_factory.mktemp(request.param), vocabulary), vocabulary


@given(text=TEXTS)
@settings(max_examples=150, deadline=None)
def test_any_text_has_the_ids_that_it_had(pair, text):
    original, tokenizer, _ = pair
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids == original.encode(text).ids
    assert tokenizer.decode(ids) == original.decode(ids)


def test_control_tokens_are_one_token_and_found_in_a_chat(pair):
    _, tokenizer, vocabulary = pair
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    start = vocabulary["tokens"].index("<|im_start|>")
    assert chat.count(start) == 2
    assert chat[0] == start
    assert tokenizer("<tool_call>", add_special_tokens=False).input_ids == [vocabulary["tokens"].index("<tool_call>")]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"


def test_a_text_begins_with_the_token_that_the_file_says(tmp_path):
    vocabulary = byte_vocabulary(trained("gpt-2"), "gpt-2", TOKENS, begins=True)
    tokenizer = rebuilt(tmp_path, vocabulary)
    plain = tokenizer("x", add_special_tokens=False).input_ids
    assert tokenizer("x").input_ids == [vocabulary["named"]["bos"], *plain]


def pieces(space_first):
    """A vocabulary of pieces: made by merging, scores by rank as SentencePiece gives them."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    words = sorted(backend.get_vocab(), key=lambda piece: backend.get_vocab()[piece])
    special = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, **{f"<0x{byte:02X}>": BYTE for byte in range(256)}}
    tokens = [*special, *[word for word in words if word not in special]]
    return {
        "model": "llama", "pre": "default", "tokens": tokens, "kinds": [*special.values()] + [NORMAL] * (len(tokens) - len(special)),
        "scores": [0.0] * len(special) + [-float(rank) for rank in range(len(tokens) - len(special))],
        "named": {"unk": 0, "bos": 1, "eos": 2}, "begins": True, "space_first": space_first, "template": None,
    }  # fmt: skip


def merged_by_hand(text, vocabulary):
    """SentencePiece's rule: of all neighbours that make a piece, join those of the highest score, the first ones first."""
    normal = {
        token: score
        for token, score, kind in zip(vocabulary["tokens"], vocabulary["scores"], vocabulary["kinds"], strict=True)
        if kind == NORMAL
    }
    place = {token: number for number, token in enumerate(vocabulary["tokens"])}
    text = ("▁" if vocabulary["space_first"] and text else "") + text.replace(" ", "▁")
    symbols = list(text)
    while True:
        found = [(normal[a + b], -i) for i, (a, b) in enumerate(itertools.pairwise(symbols)) if a + b in normal]
        if not found:
            break
        at = -max(found)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    ids = []
    for symbol in symbols:
        ids += [place[symbol]] if symbol in normal else [place[f"<0x{byte:02X}>"] for byte in symbol.encode()]
    return ids


@pytest.fixture(scope="module", params=[True, False], ids=["space first", "as it is"])
def piece_pair(request, tmp_path_factory):
    vocabulary = pieces(request.param)
    return vocabulary, rebuilt(tmp_path_factory.mktemp("pieces"), vocabulary)


@given(text=st.text("aeinst '1290\n\t.▁é日", min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_pieces_are_joined_by_their_scores(piece_pair, text):
    vocabulary, tokenizer = piece_pair
    text = text.replace("▁", "_")
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids == merged_by_hand(text, vocabulary)
    assert tokenizer.decode(ids) == text
    assert tokenizer(text).input_ids[0] == vocabulary["named"]["bos"]


def test_a_piece_can_be_made_in_several_ways():
    scores = {"a": -3.0, "b": -4.0, "c": -5.0, "ab": -1.0, "bc": -2.0, "abc": 0.0}
    assert piece_merges(scores) == [("ab", "c"), ("a", "bc"), ("a", "b"), ("b", "c")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pre": "tekken"}, "cuts by the rule 'tekken'"),
        ({"model": "bert"}, "of the kind 'bert'"),
        ({"pre": "qwen2"}, "digits make one token"),  # of a family whose digits stay together
    ],
)
def test_a_tokenizer_that_cannot_be_rebuilt_is_refused(tmp_path, change, said):
    backend = trained("gpt-2")
    vocabulary = {**byte_vocabulary(backend, "gpt-2", TOKENS), **change}
    if change.get("pre") == "qwen2":
        # the digits as a token of the text, as a file does that names a wrong rule
        vocabulary["kinds"] = list(vocabulary["kinds"])
        vocabulary["tokens"][300], vocabulary["kinds"][300] = "2021", USER_DEFINED
        vocabulary["merges"] = [merge for merge in vocabulary["merges"] if merge.replace(" ", "") in vocabulary["tokens"]]
        kept = set(vocabulary["tokens"])
        vocabulary["merges"] = [merge for merge in vocabulary["merges"] if set(merge.split(" ")) <= kept]
    with pytest.raises(InputError, match=said):
        rebuilt(tmp_path, vocabulary)


def test_a_text_that_does_not_come_back_is_refused(tmp_path):
    """A vocabulary over bytes that lacks some of them."""
    vocabulary = byte_vocabulary(trained("gpt-2"), "gpt-2", TOKENS)
    first = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("日")[0][0][0]
    vocabulary["tokens"][vocabulary["tokens"].index(first)] = "[lost]"
    vocabulary["merges"] = [merge for merge in vocabulary["merges"] if first not in merge]
    with pytest.raises(InputError, match="comes back as"):
        rebuilt(tmp_path, vocabulary)
