"""Which prompts a compression is scored under, and texts that a scorer's tokenizer cannot write."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from infoagent.lm.prompts import end_of_turn_id
from infoagent.measurement.pool import Pool, express
from infoagent.measurement.run import draw_pool, refuse_repeated
from infoagent.types import Compression, InputError, Negative, Problem


def problem(name, document, query, group=None):
    return Problem(name, document, query, document_id=document, group=group)


A, B, C = problem("a", "X", "qa"), problem("b", "Y", "qb"), problem("c", "Z", "qc")


def test_shared_puts_every_document_under_the_question_of_the_row():
    pairs, rows = Pool([A, B], [B, A, B], {"b": [Negative("counterfactual", "Y'")]}).prompts()
    assert [[pairs[k] for k in row] for row in rows] == [
        [("X", "qb"), ("Y", "qb"), ("Y'", "qb")],
        [("X", "qa"), ("Y", "qa")],
        [("X", "qb"), ("Y", "qb"), ("Y'", "qb")],
    ]
    assert len(pairs) == 5  # two compressions of one question share their prompts


def test_own_document_puts_each_under_its_own():
    pairs, rows = Pool([A, B, C], [B], {}, query="own_document").prompts()
    assert [pairs[k] for k in rows[0]] == [("X", "qa"), ("Y", "qb"), ("Z", "qc")]


def test_own_document_keeps_the_own_question_where_two_stand_on_one_text():
    second = problem("a2", "X", "another question on X")
    pairs, rows = Pool([A, B], [second], {}, query="own_document").prompts()
    assert [pairs[k] for k in rows[0]] == [("X", "another question on X"), ("Y", "qb")]


def test_sources_are_found_by_the_text():
    other_question = problem("d", "Y", "another question on Y")
    assert Pool([A, B], [other_question, A], {}).sources() == [1, 0]


def test_a_pool_has_one_problem_for_each_document_and_depends_on_the_seed():
    problems = [problem(f"{i}-{q}", f"text {i}", f"q{q}", group=str(i % 3)) for i in range(9) for q in range(2)]
    drawn = draw_pool(problems, 6, "spread", seed=0)
    assert len({p.document for p in drawn}) == 6
    assert drawn == draw_pool(problems, 6, "spread", seed=0)
    assert drawn != draw_pool(problems, 6, "spread", seed=1)
    whole_topics = draw_pool(problems, 6, "topics", seed=0)
    assert len({p.group for p in whole_topics}) == 2
    with pytest.raises(InputError, match="only 9 different documents"):
        draw_pool(problems, 10, "spread", seed=0)


def test_documents_that_differ_in_spaces_and_case_only_are_named():
    with pytest.raises(InputError, match="'a', 'c' are the same text"):
        refuse_repeated({"a": "One  text\n", "b": "another", "c": "one TEXT"})
    refuse_repeated({"a": "one text", "b": "one text more"})


def words_only():
    """A tokenizer that knows three words and reads everything else as unknown."""
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "cat": 2, "<end>": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<end>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} <end> {% endfor %}"
    return tokenizer


def test_a_text_that_the_scorer_cannot_write_is_named():
    texts = [Compression("p", "the cat", (7,), "stop"), Compression("q", "the dog", (8,), "stop", sample=2)]
    with pytest.raises(InputError) as caught:
        express(words_only(), texts, own_ids=False, scorer="words")
    assert len(caught.value.problems) == 1
    assert "compression q#2: the tokenizer of 'words' cannot express it" in str(caught.value)
    [ids] = express(words_only(), texts[:1], own_ids=False, scorer="words")
    assert ids == (1, 2, end_of_turn_id(words_only()))


def test_the_compressors_own_ids_are_scored_as_they_were_sampled():
    texts = [Compression("p", "the cat", (7, 8), "stop", stop_id=9), Compression("q", "the", (5,), "length")]
    assert express(words_only(), texts, own_ids=True, scorer="words") == [(7, 8, 9), (5,)]
