"""Extractive baselines on hand-made documents, BM25 and PageRank against naive twins, budgets on any text."""

import math
import random
import re
import subprocess
import sys
import types
import unicodedata
from collections import Counter
from dataclasses import replace

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.baselines import PICKERS, check_extractive, compress_extractive, llmlingua2, unusable
from infoagent.data.cloze import sentences as split_sentences
from infoagent.data.ranking import _line, _words, bm25_order, bm25_scores, pagerank, textrank_order, textrank_scores
from infoagent.grading.words import has_spaceless
from infoagent.types import InputError, Problem

SENTENCES = (
    "The clinic stands in Lisbon.",
    "Olga Rossi came with a fever of 38.2 °C.",
    "The fever fell after two days.",
    "Dr. Brandt gave her metoprolol for the heart.",
    "The garden of the clinic is open on Sundays.",
)
DOCUMENT = " ".join(SENTENCES)
QUERY = "Which drug was given for the heart?"
PICKING = [kind for kind in PICKERS if kind != "llmlingua2"]
VOCABULARY = ["river", "bridge", "steel", "patient", "fever", "clinic", "market", "bond", "yield", "engine", "valve", "pump"]
VOCABULARY += ["the", "of", "and", "1990"]
DOCUMENTS = st.lists(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=8).map(lambda w: " ".join(w).capitalize() + "."),
    min_size=1,
    max_size=12,
).map(" ".join)


def problem(document=DOCUMENT, query=QUERY, answer="metoprolol", evidence=None, name="p"):
    return Problem(name, document, query, "d", answer, evidence=evidence)


def words(text):
    return len(text.split())


def compress(kind, item, sentences=None, tokens=None, count=words, seed=0):
    return compress_extractive(kind, item, sentences=sentences, tokens=tokens, count_tokens=count, seed=seed)


# --- which sentences


def test_lead_and_tail_take_the_ends_in_document_order():
    assert compress("lead", problem(), sentences=2) == " ".join(SENTENCES[:2])
    assert compress("tail", problem(), sentences=2) == " ".join(SENTENCES[3:])
    assert compress("lead", problem(), sentences=99) == DOCUMENT


def test_random_sentences_depend_on_seed_and_document_and_not_on_the_question():
    found = {seed: compress("random-sentences", problem(), sentences=2, seed=seed) for seed in range(20)}
    assert found[3] == compress("random-sentences", problem(query="Another?", name="q"), sentences=2, seed=3)
    assert len(set(found.values())) > 5
    counts = Counter(
        part for seed in range(300) for part in split_sentences(compress("random-sentences", problem(), sentences=1, seed=seed))
    )
    assert len(counts) == 5
    assert all(32 <= n <= 88 for n in counts.values())  # 60 each, up to four standard deviations


def test_bm25_takes_the_sentences_of_the_query():
    assert compress("bm25", problem(), sentences=1) == "Dr. Brandt gave her metoprolol for the heart."
    both = compress("bm25", problem(query="fever of Olga Rossi"), sentences=2)
    assert both == SENTENCES[1] + " " + SENTENCES[2]


@given(st.text() | st.text(st.characters(categories=["L", "N", "P", "S", "Z"])).filter(lambda text: not has_spaceless(text)))
def test_words_of_bm25_are_those_of_its_package_where_no_mark_stands(text):
    if has_spaceless(text) or any(unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf") for c in text.lower()):
        text = text.encode("ascii", "ignore").decode()
    [expected] = bm25s.tokenize([text], stopwords="en", return_ids=False, show_progress=False)
    assert _words([text]) == [list(expected)]
    assert _line(text) == " ".join("".join(c if c.isalnum() else " " for c in text).split())
    assert _words([text + " \u2764\ufe0f\u200d\U0001f525"]) == [list(expected)]


@pytest.mark.parametrize(
    ("sentences", "query"),
    [
        (["हिन्दी भाषा में लिखा।", "किताब मेज़ पर रखी है।", "वह दिल्ली में रहता है।"], "किताब कहाँ है"),
        (["เขาเกิดที่กรุงเทพ", "หนังสืออยู่บนโต๊ะ", "เธออยู่ที่เชียงใหม่"], "หนังสือ"),
    ],
)
def test_words_hold_together_at_their_vowel_signs(sentences, query):
    assert bm25_order(sentences, query)[0] == 1
    # letters that stand in every word here make no word alike
    assert bm25_scores(sentences, "हतल เขต")[0] == 0
    assert _words(["किताब"]) == [["किताब"]]
    # no edge to a sentence that shares letters and no word
    assert [score > 0 for score in textrank_scores(("किताब नीली", "पुरानी किताब", "कब तक नल"))] == [True, True, False]


def test_bm25_without_a_shared_word_keeps_the_order_of_the_document():
    for query in ("zebra", "the of and", "?", ""):
        assert bm25_order(SENTENCES, query) == [0, 1, 2, 3, 4]
    assert bm25_order(["The of.", "And."], "river") == [0, 1]
    assert bm25_order(["River one.", "Market.", "River one."], "river") == [0, 2, 1]


def naive_bm25(sentences, query, k1=1.5, b=0.75):
    stop = "a an and are as at be but by for if in into is it no not of on or such that the their then there these they"
    stop += " this to was will with"
    spelled = [[w for w in re.findall(r"\w\w+", s.lower()) if w not in stop.split()] for s in [*sentences, query]]
    texts, asked = spelled[:-1], spelled[-1]
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        score = 0.0
        for w in asked:
            n = sum(w in other for other in texts)
            idf = math.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
            f = text.count(w)
            score += idf * f / (f + k1 * (1 - b + b * len(text) / mean)) if f else 0.0
        scores.append(score)
    return scores


@given(DOCUMENTS, st.lists(st.sampled_from(VOCABULARY), max_size=5).map(" ".join))
@settings(max_examples=60)
def test_bm25_is_the_formula(document, query):
    found = split_sentences(document)
    assert bm25_scores(found, query) == pytest.approx(naive_bm25(found, query), abs=1e-5)


def test_textrank_prefers_the_sentence_that_shares_most_words():
    document = (
        "The bridge over the river carries steel trains. Apples grow in gardens. The steel bridge was built by engineers. "
        "Engineers inspect the river bridge and its steel trains. Clouds bring rain."
    )
    assert compress("textrank", problem(document), sentences=1) == "Engineers inspect the river bridge and its steel trains."
    unlinked = textrank_scores(tuple(split_sentences(document)))
    assert unlinked[1] == unlinked[4] == 0


def test_textrank_without_a_graph_keeps_the_order_of_the_document():
    assert textrank_order(["River bridge.", "Steel river bridge."]) == [0, 1]
    assert textrank_order(["The of.", "And the.", "12 34.", "It is."]) == [0, 1, 2, 3]
    assert textrank_order(["Apple tree.", "Steel bridge.", "Rain cloud."]) == [0, 1, 2]  # nothing shared: all alike
    assert textrank_order(["e.g. x! y? z.", "?", "…"]) == [0, 1, 2]


def test_textrank_agrees_with_summa_where_its_eigenvector_is_the_right_one():
    from summa.summarizer import summarize

    for seed in range(10):
        draw = random.Random(seed)
        lines = [" ".join(draw.sample(VOCABULARY[:12], 5)) for _ in range(8)]
        theirs = dict(summarize("\n".join(lines), ratio=1.0, split=True, scores=True))
        scale = math.sqrt(sum(v**2 for v in theirs.values())) if len(theirs) == len(lines) else None
        ours = np.array(textrank_scores(tuple(lines)))
        if scale is None:
            continue
        assert ours / np.linalg.norm(ours) == pytest.approx(np.array([theirs[x] for x in lines]) / scale, abs=1e-6)


@given(st.integers(2, 8), st.integers(0, 10_000))
@settings(max_examples=40)
def test_pagerank_solves_its_equation(n, seed):
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.random((n, n)) * (rng.random((n, n)) < 0.6), 1)
    weights = weights + weights.T
    linked = [i for i in range(n) if weights[i].any()]
    ranks = pagerank(weights)
    assert all(ranks[i] == 0 for i in range(n) if i not in linked)
    if linked:
        assert sum(ranks) == pytest.approx(1)
    for i in linked:
        arriving = sum(ranks[j] * weights[j, i] / sum(weights[j]) for j in linked)
        assert ranks[i] == pytest.approx(0.15 / len(linked) + 0.85 * arriving, abs=1e-9)


# --- the oracle


def test_the_oracle_takes_the_evidence_then_its_neighbours():
    item = problem(evidence="olga rossi came with a Fever of 38.2°C")
    assert compress("oracle", item, sentences=1) == SENTENCES[1]
    assert compress("oracle", item, sentences=2) == SENTENCES[0] + " " + SENTENCES[1]
    assert compress("oracle", item, sentences=3) == " ".join(SENTENCES[:3])


def test_evidence_may_run_over_sentences_or_stand_in_several_lines():
    over = problem(evidence="days. Dr. Brandt gave her metoprolol")
    assert compress("oracle", over, sentences=2) == "The fever fell after two days. Dr. Brandt gave her metoprolol for the heart."
    lines = problem(evidence="Not in the document at all.\n" + SENTENCES[4] + "\n" + SENTENCES[0], answer=None)
    assert compress("oracle", lines, sentences=2) == SENTENCES[0] + " " + SENTENCES[4]


def test_every_piece_of_evidence_is_held():
    pieces = problem(evidence=(SENTENCES[4], "No such text.", SENTENCES[0]), answer=None)
    assert compress("oracle", pieces, sentences=2) == SENTENCES[0] + " " + SENTENCES[4]


def test_without_evidence_the_oracle_takes_what_states_the_answer():
    assert compress("oracle", problem(), sentences=1) == "Dr. Brandt gave her metoprolol for the heart."
    assert compress("oracle", problem(evidence="No such text."), sentences=1) == "Dr. Brandt gave her metoprolol for the heart."
    assert compress("oracle", problem(answer="Dr. Brandt"), sentences=1) == SENTENCES[3]
    # of two that state it, the one that the question is about
    fever = problem(query="What fell after some days?", answer="fever")
    assert compress("oracle", fever, sentences=1) == SENTENCES[2]


def test_another_annotators_answer_will_do_where_the_first_is_part_of_a_number():
    """SQuAD's 56be59683aeaaa14008c905a: "7", which stands in "1978" alone, and "seventh"."""
    counted = replace(problem(answer="7"), references=("seventh", "metoprolol"))
    assert compress("oracle", counted, sentences=1) == "Dr. Brandt gave her metoprolol for the heart."


def test_a_question_that_the_oracle_cannot_answer_is_named():
    with pytest.raises(InputError, match="problem 'p9' has neither evidence nor an answer"):
        compress("oracle", problem(answer=None, name="p9"), sentences=1)
    with pytest.raises(InputError, match="problem 'p9' does not hold its answer"):
        compress("oracle", problem(answer="aspirin", name="p9"), sentences=1)
    many = [problem(answer=None, name=f"p{i}") for i in range(25)]
    with pytest.raises(InputError) as caught:
        check_extractive("oracle", [*many, problem()])
    assert len(caught.value.problems) == 11
    assert "15 more of 26" in caught.value.problems[-1]
    check_extractive("oracle", [problem()])


def test_what_a_kind_cannot_compress_is_told_by_its_place():
    given_ = [problem(), problem(answer="aspirin", name="p1"), problem(answer=None, name="p2")]
    assert unusable("bm25", given_) == {}
    found = unusable("oracle", given_)
    assert list(found) == [1, 2]
    assert "'p1' does not hold its answer" in found[1]
    assert "'p2' has neither" in found[2]
    with pytest.raises(InputError, match="'p1' does not hold its answer"):
        unusable("oracle", given_[1:2])


# --- budgets


@pytest.mark.parametrize("kind", ["lead", "bm25", "textrank", "oracle", "random-sentences"])
def test_a_budget_takes_the_best_sentences_up_to_the_first_that_does_not_fit(kind):
    item = problem()
    by_rank = [compress(kind, item, sentences=k) for k in range(1, 7)]
    for tokens in range(8, 40):
        fitting = [text for text in by_rank if words(text) <= tokens]
        if fitting:
            assert compress(kind, item, tokens=tokens) == fitting[-1]
    assert compress(kind, item, tokens=40) == DOCUMENT


def test_a_sentence_that_does_not_fit_is_cut_between_words():
    assert compress("lead", problem(), tokens=3) == "The clinic stands"
    assert compress("tail", problem(), tokens=3) == "open on Sundays."
    assert compress("bm25", problem(), tokens=3) == "Dr. Brandt gave"
    assert compress("lead", problem("Incomprehensibilities matter."), tokens=5, count=len) == "Incom"
    assert compress("tail", problem("They matter."), tokens=5, count=len) == "tter."
    with pytest.raises(InputError, match="not hold a single character"):
        compress("lead", problem("Words."), tokens=1, count=lambda text: 2 * len(text))


@given(
    st.one_of(DOCUMENTS, st.text(min_size=1, max_size=60).filter(lambda t: bool(split_sentences(t)))),
    st.sampled_from(PICKING),
    st.integers(1, 40),
    st.sampled_from([words, len, lambda t: len(re.findall(r"\w|\S", t)), lambda t: len(t.encode()) // 4]),
)
@settings(max_examples=150)
def test_never_empty_and_never_above_the_budget(document, kind, tokens, count):
    item = problem(document, answer=document.split()[0], evidence=document)
    text = compress(kind, item, tokens=tokens, count=count)
    assert text.strip()
    assert count(text) <= tokens
    assert compress(kind, item, tokens=tokens, count=count) == text
    found = split_sentences(document)
    kept = compress(kind, item, sentences=min(tokens, 3))
    assert kept.split() == [w for s in found for w in s.split()] or len(split_sentences(kept)) <= tokens
    # whole sentences in the document's order
    place = 0
    while kept:
        while not kept.startswith(found[place]):
            place += 1
        kept = kept[len(found[place]) :].lstrip()
        place += 1


def test_a_larger_budget_keeps_what_a_smaller_one_kept():
    for kind in PICKING:
        smaller = set()
        for tokens in range(8, 40):
            kept = set(split_sentences(compress(kind, problem(), tokens=tokens)))
            if all(s in split_sentences(DOCUMENT) for s in kept):
                assert smaller <= kept
                smaller = kept


def test_few_calls_of_the_tokenizer():
    calls = []
    document = " ".join(f"Sentence number {i} says little." for i in range(1000))
    compress("lead", problem(document), tokens=60, count=lambda t: calls.append(len(t)) or words(t))
    assert len(calls) < 12
    assert max(calls) < len(document) / 20


def test_mistakes_of_the_caller_are_named():
    for given_, line in [
        ({"sentences": 1, "tokens": 1}, "one of the two; got 2"),
        ({}, "one of the two; got 0"),
        ({"sentences": 0}, "sentences = 0; must be at least 1"),
    ]:
        with pytest.raises(InputError, match=line):
            compress("lead", problem(), **given_)
    with pytest.raises(InputError, match="kind 'head' is unknown; allowed: lead, tail"):
        compress("head", problem(), sentences=1)
    with pytest.raises(InputError, match="problem 'p' has no text"):
        compress("lead", problem(" \n"), sentences=1)
    with pytest.raises(InputError, match="problem 'p' has no text"):
        check_extractive("lead", [problem(" ")])
    with pytest.raises(InputError, match="set tokens"):
        compress("llmlingua2", problem(), sentences=1)


def test_libraries_are_silent_and_loaded_only_when_they_are_needed():
    code = (
        "import sys, infoagent.baselines as b; from infoagent.types import Problem\n"
        "assert not {'bm25s', 'summa', 'llmlingua'} & set(sys.modules)\n"
        f"p = Problem('p', {' '.join(SENTENCES)!r}, 'fever', 'd', 'fever')\n"
        "for kind in ('bm25', 'textrank', 'oracle'):\n"
        "    b.compress_extractive(kind, p, sentences=1, tokens=None, count_tokens=len, seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


# --- LLMLingua-2, with a stand-in for the package


class Dropper:
    """Keeps the longest words, half again as many as it is asked for, as its own tokenizer counts differently."""

    made = 0

    def __init__(self, model_name, device_map, use_llmlingua2, model_config):
        assert (use_llmlingua2, model_config) == (True, {"trust_remote_code": False})
        Dropper.made += 1
        self.asked = []
        random.seed(42)
        np.random.seed(42)  # noqa: NPY002  # as the package does
        if "nowhere" in model_name:
            raise OSError("nowhere is not a local folder\nand more")

    def compress_prompt(self, text, target_token):
        self.asked.append(target_token)
        keep = max(0, int(1.5 * target_token) - 3)
        every = text.split()
        chosen = sorted(sorted(range(len(every)), key=lambda i: -len(every[i]))[:keep])
        return {"compressed_prompt": " ".join(every[i] for i in chosen)}


@pytest.fixture
def _package(monkeypatch):
    module = types.ModuleType("llmlingua")
    module.PromptCompressor = Dropper
    monkeypatch.setitem(sys.modules, "llmlingua", module)
    monkeypatch.setattr(Dropper, "made", 0)
    llmlingua2._load.cache_clear()
    yield
    llmlingua2._load.cache_clear()


@pytest.mark.usefixtures("_package")
def test_llmlingua2_asks_for_less_until_the_budget_is_met():
    check_extractive("llmlingua2", [problem()])
    random.seed(7)
    before = random.getstate()
    text = compress("llmlingua2", problem(), tokens=12)
    assert random.getstate() == before
    assert words(text) <= 12
    compressor = llmlingua2._load(llmlingua2.MODEL)
    assert compressor.asked == [12, 9]  # 15 words at first, so 12 · 12 / 15
    assert "metoprolol" in text
    # one token: it keeps nothing until it is asked for more, and what it keeps then is cut
    assert words(compress("llmlingua2", problem(), tokens=1)) == 1
    assert Dropper.made == 1


@pytest.mark.usefixtures("_package")
def test_a_model_that_cannot_be_loaded_is_named():
    with pytest.raises(InputError, match=r"'nowhere' cannot be loaded \(nowhere is not a local folder\)"):
        llmlingua2.drop_words(problem().document, 3, words, model_name="nowhere")


def test_llmlingua2_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "llmlingua", None)
    llmlingua2._load.cache_clear()
    for call in (lambda: compress("llmlingua2", problem(), tokens=5), lambda: check_extractive("llmlingua2", [problem()])):
        with pytest.raises(InputError, match=r"pip install 'infoagent\[llmlingua\]'"):
            call()
