"""Local corpora: what BM25 finds, and the files that hold no text."""

import json
import math
import re

import numpy as np
import pytest

from infoagent.applications.research.search import SearchFailed, Source, corpus_of_data, corpus_of_file, corpus_of_folder
from infoagent.data.registry import load_data
from infoagent.types import InputError

RECORDS = {"name": "records", "split": "test", "limit": 12, "min_words": 40, "max_words": 60, "seed": 0}
STOP = {"the", "is", "of", "and", "to", "in", "was", "it", "for", "with", "at", "on", "this", "that"}


def naive_bm25(texts, query, k1=1.5, b=0.75):
    """The formula of the docstring, word by word."""
    words = [re.findall(r"\b\w\w+\b", t.lower()) for t in texts]
    mean = np.mean([len(w) for w in words])
    scores = []
    for own in words:
        score = 0.0
        for word in re.findall(r"\b\w\w+\b", query.lower()):
            n = sum(word in other for other in words)
            f = own.count(word)
            if f:
                score += math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) * f / (f + k1 * (1 - b + b * len(own) / mean))
        scores.append(score)
    return scores


def test_the_order_is_that_of_the_formula(tmp_path):
    texts = {"one": "zebra zebra grass", "two": "zebra lion grass lion", "three": "whale plankton", "four": "lion"}
    file = tmp_path / "c.jsonl"
    file.write_text("\n".join(json.dumps({"id": k, "title": k, "text": v}) for k, v in texts.items()))
    corpus = corpus_of_file(str(file))
    for query in ("zebra lion", "grass", "whale lion plankton"):
        scores = naive_bm25([f"{k}\n{v}" for k, v in texts.items()], query)
        order = sorted(range(4), key=lambda i: -scores[i])
        wanted = [list(texts)[i] for i in order if scores[i] > 0]
        assert [s.id for s in corpus.search(query, 10)] == wanted
        assert [s.id for s in corpus.search(query, 1)] == wanted[:1]
    assert corpus.search("penguin", 3) == []
    assert corpus.fetch(Source("two", "", "")).text == texts["two"]
    with pytest.raises(SearchFailed, match="not in the corpus"):
        corpus.fetch(Source("five", "", ""))


def test_a_data_set_is_its_distinct_documents():
    corpus = corpus_of_data(RECORDS)
    assert {s.text for s in corpus.sources} == {p.document for p in load_data(**RECORDS).problems}
    record = corpus.sources[5]
    name = re.search(r"Name: (.+)|about (.+?) \(", record.text)
    assert name is not None
    assert record.id in [s.id for s in corpus.search(name[1] or name[2], 3)]
    other = corpus_of_data({**RECORDS, "seed": 1})
    assert other.identity != corpus.identity


def test_a_folder_of_files(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("The heron stands in the water of the pond and waits for a small fish to pass.")
    (tmp_path / "sub" / "b.md").write_text("# Owls\n\nAn owl hears a mouse below the snow, and turns its head to find it.")
    (tmp_path / "c.csv").write_text("heron,heron,heron")
    corpus = corpus_of_folder(str(tmp_path), 250)
    assert {s.address for s in corpus.sources} == {"a.txt", "sub/b.md"}
    assert [s.address for s in corpus.search("heron", 5)] == ["a.txt"]


def test_a_corpus_without_text_is_refused(tmp_path):
    (tmp_path / "notes.csv").write_text("1,2")
    with pytest.raises(InputError, match="holds no file that ends in"):
        corpus_of_folder(str(tmp_path), 250)
    (tmp_path / "empty.txt").write_text("  \n")
    with pytest.raises(InputError, match="the document is empty"):
        corpus_of_folder(str(tmp_path), 250)
    (tmp_path / "empty.txt").write_text("Too short.")
    with pytest.raises(InputError, match="holds no text"):
        corpus_of_folder(str(tmp_path), 250)
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no row"):
        corpus_of_file(str(tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="no such file"):
        corpus_of_file(str(tmp_path / "nowhere.jsonl"))


def test_each_bad_row_of_an_index_file_is_named(tmp_path):
    file = tmp_path / "c.jsonl"
    file.write_text('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n{"id": "b", "text": " "}\nno json\n{"text": "z"}\n')
    with pytest.raises(InputError) as error:
        corpus_of_file(str(file))
    lines = error.value.problems
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5"]
    assert "'a' stands already at" in lines[0]
    assert "field 'text': must be a string that is not empty" in lines[1]
