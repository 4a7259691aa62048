"""Sentences in any script: hand-counted texts, nothing lost, every end of a quotation with its sentence."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infoagent.baselines.extracting import compress_extractive
from infoagent.data import cloze
from infoagent.data.segmentation import halves, script_language, sentence_pieces, sentence_spans, sentences
from infoagent.types import Problem

# each list was divided by hand
TEXTS = {
    "ru": ["Он родился в 1932 г. в Москве.", "Его отец, проф. Иванов, рано умер.", "«Где он?» — спросил И. И. Петров.",
           "Никто не ответил!"],
    "zh": ["他1932年出生在东京。", "你认识他吗？", "后来他去了北京！", "他说：“今天很好。”", "价格是3.5元。"],
    "ar": ["وُلد في عام 1932.", "هل تعرفه؟", "نعم، أعرفه جيدا.", "ذهب د. أحمد إلى القاهرة."],
    "hi": ["वह 1932 में पैदा हुआ।", "क्या आप उसे जानते हैं?", "डॉ. शर्मा कल आए।"],
    "ja": ["彼は1932年に東京で生まれた。", "彼を知っていますか？", "はい、よく知っています。"],
    "ko": ["그는 1932년에 태어났다.", "그를 아십니까?", "네, 압니다."],
    "el": ["Γεννήθηκε το 1932.", "Τον ξέρετε;", "Ναι, τον ξέρω."],
    "am": ["እሱ በ1932 ተወለደ።", "አዎ አውቀዋለሁ።"],
    "ur": ["وہ 1932 میں پیدا ہوا۔", "ہاں، وہ یہاں ہے۔"],
    "bn": ["সে ১৯৩২ সালে জন্মেছিল।", "তুমি কি তাকে চেনো?", "হ্যাঁ, চিনি।"],
    "th": ["เขาเกิดที่กรุงเทพและเรียนหนังสืออยู่ที่นั่นเป็นเวลาหลายปีกับพี่ชายของเขา", "จากนั้นเขาก็ไปทำงานที่เชียงใหม่และอยู่ที่นั่นจนตายในปีต่อมา"],
    "en": ["Dr. Brandt met Mr. J. K. Olsen at 5 a.m. in St. Louis.", 'He said "Stop."', "Then they left, e.g. by the U.S. train.",
           "“Really?” asked Mrs. Green.", "It costs $3.50.[3]", "See os.path.join and version 3.5.2.", "Yes!"],
    "es": ["El Sr. García llegó.", "¿Dónde está?", "Dijo «sí.»", "Luego se fue."],
}  # fmt: skip
BETWEEN = {"zh": "", "ja": ""}


@pytest.mark.parametrize("language", list(TEXTS))
def test_sentences_are_those_that_a_reader_counts(language):
    text = BETWEEN.get(language, " ").join(TEXTS[language])
    assert sentences(text) == TEXTS[language]
    assert script_language(text) == ("en" if language == "es" else "ar" if language == "ur" else language)


@pytest.mark.parametrize("language", list(TEXTS))
@pytest.mark.parametrize("kind", ["lead", "tail", "bm25", "textrank", "random-sentences", "oracle"])
def test_a_picker_of_one_sentence_picks_one_in_every_script(language, kind):
    parts = TEXTS[language]
    text = BETWEEN.get(language, " ").join(parts)
    problem = Problem("p", text, parts[1], "d", answer=parts[1], evidence=parts[1])
    assert compress_extractive(kind, problem, sentences=1, tokens=None, count_tokens=len, seed=0) in parts


MARKS = "aA b.!?\n\r\t\"'”“«»()[]1。！？「」।؟…\u2028\x85\x0b\u200b\u3000\u00a0дИ٣é|#-*กข\ud800"


@given(
    st.text()
    | st.text(alphabet=MARKS, max_size=80)
    | st.lists(st.sampled_from([part for parts in TEXTS.values() for part in parts])).map(" ".join)
)
@example("word\u3000. B").via("sentencex 1.0 breaks on white space of several bytes before a full stop")
@settings(deadline=None, max_examples=300)
def test_the_pieces_joined_are_the_text_byte_for_byte(text):
    pieces = sentence_pieces(text)
    assert "".join(pieces) == text
    spans = sentence_spans(text)
    assert [text[start:end] for start, end in spans] == pieces
    assert all(start < end for start, end in spans)
    if text.strip():
        assert all(piece.strip() for piece in pieces)
        assert sentences(text) == [piece.strip() for piece in pieces]
    else:
        assert sentences(text) == []


@given(st.text(min_size=2, max_size=80))
def test_halves_are_the_text_and_part_no_letter_from_its_accents(text):
    left, right = halves(text)
    assert left + right == text
    assert left
    assert right


def test_halves_keep_an_accent_with_its_letter():
    assert halves("ne\u0301e")[1][0] != "\u0301"
    assert halves("one two three four") == ("one two ", "three four")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He said (it was late.) and left. So be it.", ["He said (it was late.) and left.", "So be it."]),
        ('"One came. Two went." Then all left.', ['"One came.', 'Two went."', "Then all left."]),
        ("„Gut.“ Ja. « Bien. » Oui.", ["„Gut.“", "Ja.", "« Bien. »", "Oui."]),
        ('A 5" nail. It is long. Another one.', ['A 5" nail.', "It is long.", "Another one."]),
        ("1. Install it. 2. Run it.", ["1. Install it.", "2. Run it."]),
        ("Buy:\n- milk\n- bread and\n  butter\nThen go.", ["Buy:", "- milk", "- bread and\n  butter\nThen go."]),
        ("| a | b |\n| 1 | 2 |\nBelow.", ["| a | b |", "| 1 | 2 |", "Below."]),
        ("# Title\nText here.\n\nMore", ["# Title", "Text here.", "More"]),
    ],
)  # fmt: skip
def test_form_of_a_text_ends_sentences_as_well(text, expected):
    assert sentences(text) == expected


def test_a_listing_without_full_stops_comes_apart_in_lines():
    rows = [f"row {n} of the listing with some words in it" for n in range(60)]
    assert sentences("\n".join(rows)) == rows


@pytest.mark.timeout(300)  # sentencex by itself takes the square of a length without white space: minutes
@pytest.mark.parametrize("unit", ["中文很好。", "“a。”", "word. ", '"word ', "x\n", "A."])
def test_long_texts_without_white_space_are_cut_as_well(unit):
    assert "".join(sentence_pieces(unit * 20_000)) == unit * 20_000


def test_the_old_place_still_has_it():
    assert cloze.sentences is sentences
