"""What `infoagent fit` says of documents before anything is trained, and what it refuses, a line each."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import save_adapter

from infoagent.applications.fit.check import check, most_for_all
from infoagent.applications.fit.settings import FitSettings, by_owner
from infoagent.cli import main
from infoagent.data.splits import splits_of
from infoagent.types import InputError

SENTENCES = (
    "On {day} March {year} the ferry {ship} left {town} for the island with {n} passengers on board.",
    "Its captain, Ms {name}, had asked the office in {town} for {m} new ropes and got {k} of them.",
    "The crossing took {h} hours since the wind came from the north and the harbour was closed until noon.",
    "A letter of {day} April {year} says that the owner paid {price} dollars for the repair of the engine.",
)
TOWNS, NAMES = ("Norton", "Aldby", "Werfen", "Calder", "Osmund", "Hexton"), ("Miller", "Sorensen", "Adeyemi", "Kovacs", "Rossi")


def text(seed, sentences=4):
    draw = random.Random(seed)
    values = {k: draw.randint(2, 28) for k in ("day", "n", "m", "k", "h", "price")}
    values |= {"year": draw.randint(1950, 2020), "ship": draw.choice(TOWNS), "town": draw.choice(TOWNS), "name": draw.choice(NAMES)}
    return " ".join(SENTENCES[i % 4].format(**values) for i in range(sentences))


def own_rows(sentences):
    documents = [text(n, sentences) for n in range(14)]
    return [
        {"id": n, "document": d, "query": "Who was the captain?", "answer": next(name for name in NAMES if name in d)}
        for n, d in enumerate(documents)
    ]


@pytest.fixture
def folder(tmp_path):
    def of(texts):
        directory = tmp_path / "documents"
        directory.mkdir(exist_ok=True)
        for number, content in enumerate(texts):
            (directory / f"{number:02}.txt").write_text(content)
        return directory

    return of


def settings(documents, tiny_dir, tmp_path, budget=20, adapter=None, *overrides):
    given = by_owner(["data.min_words=20", "data.max_words=90", *overrides])
    return FitSettings(
        str(documents), budget, tmp_path / "out", model=str(tiny_dir), size="quick", adapter=adapter, overrides=given
    )


def mistakes(*given):
    with pytest.raises(InputError) as error:
        check(settings(*given))
    return error.value.problems


def test_a_folder_is_told_with_questions_splits_and_lengths(folder, tiny_dir, tmp_path):
    texts = [text(seed) for seed in range(16)]
    documents = folder(texts)
    plan, found = check(settings(documents, tiny_dir, tmp_path))
    assert found.kind == "cloze"
    # by hand: a byte is a token for this model, a file a passage here
    lengths = sorted(len(content.encode()) for content in texts)
    assert found.tokens == (lengths[0], (lengths[7] + lengths[8]) / 2, lengths[-1])
    assert found.tokens_per_character == pytest.approx(1)
    assert found.languages == {"en": 16}
    shares = Counter(splits_of(texts, [f"{number:02}.txt" for number in range(16)]))
    assert {name: s.documents for name, s in found.splits.items()} == dict(shares)
    assert plan.counterfactual == found.counterfactual == 3
    assert plan.train_problems == found.splits["train"].usable
    lines = "\n".join(found.lines)
    assert "16, made by blanking a span" in lines
    assert "infoagent questions" in lines
    assert not (tmp_path / "out").exists()


def test_problems_of_ones_own_keep_their_questions(tiny_dir, tmp_path):
    rows = own_rows(4)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, found = check(settings(tmp_path / "own.jsonl", tiny_dir, tmp_path))
    assert found.kind == "own"
    assert sum(s.documents for s in found.splits.values()) == 14
    _, found = check(settings(tmp_path / "own.jsonl", tiny_dir, tmp_path, 20, None, "train.validation=null"))
    assert list(found.splits) == ["train", "test"]


def test_too_few_documents_to_split(folder, tiny_dir, tmp_path):
    [line] = mistakes(folder([text(1), text(2), text(3)]), tiny_dir, tmp_path)
    assert "too few to split" in line
    assert "each needs 2" in line


def test_one_long_file_cannot_be_split(folder, tiny_dir, tmp_path):
    [line] = mistakes(folder([" ".join(text(n) for n in range(20))]), tiny_dir, tmp_path)
    assert "too few to split" in line


def test_no_question_can_be_made(folder, tiny_dir, tmp_path):
    plain = "we went down to the water and came back to the house, and nobody there said a word of it to the others. "
    [line] = mistakes(folder([plain * n for n in range(2, 14)]), tiny_dir, tmp_path)
    assert "no question can be made" in line


def test_no_passage_is_long_enough(folder, tiny_dir, tmp_path):
    [line] = mistakes(folder(["A few words."] * 9), tiny_dir, tmp_path)
    assert "hold no passage of 20 words" in line


def test_an_output_directory_among_the_documents(folder, tiny_dir, tmp_path):
    folder([text(seed) for seed in range(16)])
    [line] = mistakes(tmp_path, tiny_dir, tmp_path)
    assert "lies in DOCUMENTS" in line


def test_a_budget_is_below_the_documents(folder, tiny_dir, tmp_path):
    documents = folder([text(seed) for seed in range(16)])
    [line] = mistakes(documents, tiny_dir, tmp_path, 900)
    assert line.startswith("--budget 900: is no compression of documents of ")


def test_documents_beyond_the_context(tiny_dir, tmp_path):
    rows = own_rows(60)
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = (tmp_path / "own.jsonl", tiny_dir, tmp_path, 20, None, "data.max_words=null")
    [line] = mistakes(*given)
    assert "do not fit into the context" in line
    assert "(4096 tokens" in line
    check(settings(*given, "data.truncate=head"))


def test_a_script_that_the_base_spells_byte_by_byte(folder, tiny_dir, tmp_path):
    hindi = "समिति ने {} मार्च {} को बजट को मंजूरी दी और डॉ शर्मा ने अनुबंध की दूसरी समीक्षा मांगी जो {} पन्नों की थी। "
    texts = ["".join(hindi.format(n + k, 1990 + n, 3 * n + k) for k in range(4)) for n in range(1, 17)]
    lines = mistakes(folder(texts), tiny_dir, tmp_path)
    assert any("in a script that" in line and "cannot write" in line for line in lines)


def test_an_adapter_of_another_base(folder, tiny_dir, tmp_path):
    adapter = save_adapter(tiny_dir, tmp_path / "adapter")
    (adapter / "infoagent.json").write_text('{"base_model": "another/base"}')
    documents = folder([text(seed) for seed in range(16)])
    [line] = mistakes(documents, tiny_dir, tmp_path, 20, str(adapter))
    assert "trained on 'another/base'" in line
    [line] = mistakes(documents, tiny_dir, tmp_path, 20, "nowhere")
    assert "no such directory" in line


def test_a_benchmark_is_not_trained_on(tiny_dir, tmp_path, capsys):
    row = {
        "id": "56be4db0acb8001400a502ec",
        "question": "Who?",
        "context": text(1),
        "answers": {"text": ["Norton"], "answer_start": [3]},
    }
    (tmp_path / "dev.jsonl").write_text(json.dumps({**row, "title": "x"}) + "\n")
    assert main(["fit", "squad", "--budget", "9", "--model", str(tiny_dir)]) == 2
    assert "for evaluation only" in capsys.readouterr().err


@given(
    st.dictionaries(
        st.sampled_from(["train", "validation", "test"]), st.lists(st.integers(0, 5), max_size=12), min_size=3, max_size=3
    ),
    st.integers(0, 5),
)
def test_the_most_that_half_of_each_split_has(hard, asked):
    least = dict.fromkeys(hard, 2)
    number = most_for_all(hard, least, asked)
    assert 0 <= number <= max(asked, 1)

    def fits(n):
        kept = {name: [k for k in found if k >= n] for name, found in hard.items()}
        return all(len(kept[s]) >= 2 and len(kept[s]) >= sum(k > 0 for k in hard[s]) / 2 for s in hard)

    if number > 1 or (number == 1 and fits(1)):
        assert fits(number)
    assert not any(fits(n) for n in range(number + 1, asked + 1))
