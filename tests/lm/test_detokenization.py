"""What a limit leaves of a text: checked against the text's own bytes and against `str` slices, over many tokenizers."""

from functools import cache

import pytest
from families import family
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from infoagent.data.characters import border_before, border_behind, clusters, storable
from infoagent.lm.context import CUT_MARK, fit_to_context
from infoagent.lm.detokenization import UNREADABLE, cut_to_room, cut_to_tokens, decode_whole, token_pieces
from infoagent.lm.generation import compression_from_ids
from infoagent.lm.prompts import compressor_ids, text_ids
from infoagent.types import Problem

SAMPLES = (
    "It is 35 °C. ",
    "🙂👨‍👩‍👧🇩🇪👍🏽 ",
    "他1932年出生在东京。",
    "وُلِدَ في طوكيو ",
    "क्षत्रिय हिन्दी में ",
    "ni\u0303o e\u0301té ",
    "\ufffd ",
)
LETTERS = "".join(SAMPLES) + "\u200d\u0301\ufe0f𝕏𐍈"
TEXTS = st.lists(st.sampled_from([*LETTERS, *SAMPLES]), max_size=30).map("".join)


def merged_bytes():
    """Byte-pair encoding learnt without word borders: its tokens hold whole characters and parts of the next."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|end|>"])
    backend.train_from_iterator(["".join(SAMPLES), "我们的", "我又", "他他们", " 东 京 ", "🙂🙂🙁"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")


def byte_fallback():
    """A vocabulary of letters in which what is missing stands as <0x…>, a token a byte."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for letter in ["<unk>", "<s>", "▁", *"abceIits.0123459é京में"]:
        vocabulary.setdefault(letter, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<s>", pad_token="<s>")


@cache
def tokenizer(kind):
    return {"bytes": tiny_tokenizer, "merged bytes": merged_bytes, "byte fallback": byte_fallback}[kind]()


KINDS = st.sampled_from(["bytes", "merged bytes", "byte fallback"])


@settings(max_examples=150, deadline=None)
@given(KINDS, TEXTS, st.data())
def test_any_cut_of_any_text_decodes_to_a_part_of_it_with_no_character_lost(kind, text, data):
    tok = tokenizer(kind)
    ids = text_ids(tok, text)
    assert decode_whole(tok, ids) == text
    start = data.draw(st.integers(0, len(ids)))
    end = data.draw(st.integers(start, len(ids)))
    head = decode_whole(tok, ids[:end])
    assert text.startswith(head)
    if kind == "bytes":  # a token a byte: what is whole can be read off the bytes
        raw = text.encode()
        assert head == raw[:end].decode(errors="ignore")
        assert decode_whole(tok, ids[start:end]) == _whole(raw[start:end])
    middle = decode_whole(tok, ids[start:end])
    assert middle in text
    assert middle.count(UNREADABLE) <= text.count(UNREADABLE)
    assert "".join(token_pieces(tok, ids[:end])) == head
    assert text.startswith(decode_whole(tok, ids[:end], skip_special_tokens=True))


def _whole(raw):
    """Bytes without those of halves of characters at their ends, by hand."""
    while raw and 0x80 <= raw[0] < 0xC0:
        raw = raw[1:]
    for back in range(1, min(4, len(raw) + 1)):
        if raw[-back] >= 0xC0:
            length = 2 if raw[-back] < 0xE0 else 3 if raw[-back] < 0xF0 else 4
            raw = raw[:-back] if back < length else raw
            break
    return raw.decode()


@given(st.lists(st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "a b", "é", "\n"]), max_size=30), st.integers(0, 60))
def test_a_cut_text_takes_no_more_room_than_there_is_in_a_prompt(parts, room):
    """Its marks are one token each to a tokenizer that does not call them special, and spelled out where they are read."""
    tok, text = family("qwen3"), "".join(parts)
    head, tail = cut_to_room(tok, text, room), cut_to_room(tok, text, room, keep="tail")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert max(len(text_ids(tok, head)), len(text_ids(tok, tail))) <= room
    if len(text_ids(tok, text)) <= room:
        assert head == tail == text


@settings(max_examples=100, deadline=None)
@given(KINDS, TEXTS, st.integers(0, 40))
def test_a_document_is_cut_between_characters_of_its_own_and_no_earlier_than_need_be(kind, text, tokens):
    tok = tokenizer(kind)
    head, tail = cut_to_tokens(tok, text, tokens), cut_to_tokens(tok, text, tokens, keep="tail")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(text_ids(tok, head)) <= tokens or kind == "merged bytes"  # its borders may fall otherwise when it ends
    parts = clusters(text)
    heads = ["".join(parts[:k]) for k in range(len(parts) + 1)]
    if kind == "bytes":
        fitting = [h for h in heads if len(h.encode()) <= tokens]
        assert head == fitting[-1] or (fitting[-1] == "" and len(head.encode()) <= tokens)
    if parts and head and len(head) >= len(parts[0]):
        assert head in heads


@given(TEXTS, st.integers(-3, 120))
def test_borders_of_clusters_stand_where_clusters_counted_from_the_beginning_end(text, at):
    parts = clusters(text)
    assert "".join(parts) == text
    borders = [len("".join(parts[:k])) for k in range(len(parts) + 1)]
    inside = 0 < at < len(text)
    below = max((b for b in borders if b <= at), default=0)
    above = min((b for b in borders if b >= at), default=len(text))
    assert border_before(text, at) == ((below or at) if inside else at)
    assert border_behind(text, at) == ((above if above < len(text) else at) if inside else at)


@pytest.mark.parametrize(
    ("text", "number"), [("e\u0301", 1), ("👨‍👩‍👧", 1), ("🇩🇪🇫🇷", 2), ("👍🏽", 1), ("क्षि", 1), ("\r\n", 1), ("東京", 2), ("한국", 2)]
)
def test_what_a_reader_takes_for_one_character_is_one(text, number):
    assert len(clusters(text)) == number


def test_a_compression_that_ends_in_half_a_character_keeps_its_ids_and_reads_up_to_it():
    tok = tiny_tokenizer()
    ids = text_ids(tok, "It is 🙂")
    for cut in range(1, 4):
        z = compression_from_ids(tok, "p", ids[:-cut], {tok.eos_token_id})
        assert (z.text, z.token_ids, z.finish) == ("It is ", tuple(ids[:-cut]), "length")
        assert z.rate_bytes == 6
    ended = compression_from_ids(tok, "p", [*ids[:-1], tok.eos_token_id], {tok.eos_token_id})
    assert (ended.text, ended.finish) == ("It is ", "stop")
    genuine = compression_from_ids(tok, "p", text_ids(tok, "It is \ufffd"), {tok.eos_token_id})
    assert genuine.text == "It is \ufffd"
    assert compression_from_ids(tok, "p", ids[-3:], {tok.eos_token_id}).text == ""


def test_what_is_unreadable_in_the_middle_was_written_so_and_stays():
    tok = tiny_tokenizer()
    half, end = text_ids(tok, "京")[:1], text_ids(tok, " and")
    assert decode_whole(tok, [*text_ids(tok, "x"), *half, *end]) == "x\ufffd and"


@settings(max_examples=30, deadline=None)
@given(TEXTS.filter(lambda t: len(t.encode()) > 60), st.sampled_from(["head", "tail", "middle"]), st.integers(20, 60))
def test_a_document_shortened_to_its_context_never_gains_an_unreadable_sign(text, truncate, room):
    tok = tiny_tokenizer()
    empty = len(compressor_ids(tok, "", "why?"))
    [problem] = fit_to_context([Problem("p", text, "why?", "d")], tok, empty + 8 + room, 8, truncate)
    assert len(compressor_ids(tok, problem.document, "why?")) + 8 <= empty + 8 + room
    head, mark, tail = problem.document.partition(CUT_MARK) if truncate == "middle" else ("", "", "")
    for part in (head, tail) if mark else (problem.document,):
        assert part in text


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\ud83d\ude00b", "a😀b"), ("It is \ud83d", "It is "), ("x\ude00y\ud83dz", "x?y?z"), ("plain é", "plain é")],
)
def test_halves_of_surrogate_pairs_are_joined_dropped_at_the_end_or_marked(text, stored):
    assert storable(text) == stored
    storable(text).encode()
