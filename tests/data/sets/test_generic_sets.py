"""WildChat and FineWeb: which rows make documents, splits by document, and questions, stored ones or blanks."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from infoagent.cli import main
from infoagent.data.counterfactual.documents import span_pattern
from infoagent.data.questions import document_hash
from infoagent.data.reading.chat_logs import SPEAKERS
from infoagent.data.registry import load_data
from infoagent.data.sets.fineweb import DOCUMENTS
from infoagent.types import InputError

START = datetime(2023, 4, 9, 0, 2, 53, tzinfo=UTC)
HEADER = {
    "questions_version": 1, "model": "m", "model_revision": "r", "template": "questions-v1", "temperature": 0.7,
    "seed": 0, "created": "2025-01-01T00:00:00Z", "commit": "c", "data": {"name": "wildchat", "revision": "sha256:1"},
}  # fmt: skip
NAMES = ("Anna Lind", "Bo Ek", "Carl Dahl", "Dora Berg", "Egil Holm", "Frida Sund", "Gustav Falk", "Hanna Strand")


def write(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


def chat(number, **more):
    """A conversation an hour after the one before; its number stands in it."""
    turns = [
        ("user", f"Where did {NAMES[number % 8]} sell lot {number * 17}? "),
        ("assistant", f"In a town of {900 + number} people."),
    ]
    return {
        "conversation_hash": f"hash{number}",
        "model": "gpt-4",
        "timestamp": (START + timedelta(hours=number)).isoformat(),
        "conversation": [{"role": role, "content": content, "language": "English"} for role, content in turns],
        "turn": 4 + number % 5,
        "language": "English",
        **more,
    }


def shuffled(chats):
    return chats[::2] + chats[1::2][::-1]


def test_ten_conversations_in_the_order_of_their_time_make_a_memory(tmp_path):
    chats = [chat(n) for n in range(20)]
    left_out = [
        chat(100, language="French"),
        chat(101, turn=3),
        chat(102, turn=9),
        chat(30),
        chat(31),  # the last two are a rest
    ]
    data = load_data("wildchat", write(tmp_path / "w.jsonl", shuffled(chats) + left_out), "all")
    first, second = data.problems
    lines = [
        f"Conversation {n + 1}, 2023-04-09\nUser: Where did {NAMES[n % 8]} sell lot {n * 17}?\n"
        f"Assistant: In a town of {900 + n} people."
        for n in range(10)
    ]
    assert first.document == "\n\n".join(lines)
    assert (first.document_id, second.document_id, first.group, first.part_of) == ("user-0000", "user-0001", None, None)
    assert [n for n in range(20) if f"of {900 + n} people" in second.document] == list(range(10, 20))
    for problem in data.problems:
        assert len(list(span_pattern(problem.answer).places(problem.document))) == 1
        assert problem.answer in problem.choices
        assert len(problem.choices) > 1
        assert not any(choice in problem.document for choice in problem.choices if choice != problem.answer)
        [sentence] = problem.evidence
        assert sentence in problem.document
        assert problem.query.endswith(sentence.replace(problem.answer, "____"))


def test_every_way_to_write_a_time_gives_the_same_order(tmp_path):
    moments = [START + timedelta(hours=n) for n in range(20)]
    ways = {
        "iso": [m.isoformat() for m in moments],
        "space": [f"{m:%Y-%m-%d %H:%M:%S}+00:00" for m in moments],
        "zulu": [f"{m:%Y-%m-%dT%H:%M:%S}Z" for m in moments],
        "seconds": [m.timestamp() for m in moments],
        "milliseconds": [int(m.timestamp() * 1000) for m in moments],
    }
    found = {
        name: load_data(
            "wildchat", write(tmp_path / f"{name}.jsonl", shuffled([chat(n, timestamp=t) for n, t in enumerate(times)])), "all"
        ).problems
        for name, times in ways.items()
    }
    assert all(problems == found["iso"] for problems in found.values())
    import pyarrow as arrow
    from pyarrow import parquet

    rows = shuffled([chat(n, timestamp=m) for n, m in enumerate(moments)])
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "w.parquet")
    assert load_data("wildchat", str(tmp_path / "w.parquet"), "all").problems == found["iso"]


def test_wildchat_names_row_and_field_of_what_it_reads(tmp_path):
    silent = chat(1, conversation=[{"role": "user", "content": 5}])
    path = write(
        tmp_path / "w.jsonl",
        [
            chat(0, timestamp="yesterday"),
            silent,
            {**silent, "turn": 2},
            chat(3, turn="4"),
            chat(4, conversation=[{"role": "robot", "content": ""}]),
        ],
    )
    with pytest.raises(InputError) as error:
        load_data("wildchat", path, "all")
    assert error.value.problems == [
        f"{path}: row 1: field 'timestamp': must be a time, e.g. 2023-04-09T00:02:53+00:00, got str 'yesterday'",
        f"{path}: row 2: field 'conversation[0].content': must be a string, null or a list of parts, got int 5",
        f"{path}: row 4: field 'turn': must be a whole number, got str '4'",
        f"{path}: row 5: field 'conversation[0].role': must be one of {', '.join(SPEAKERS)}, got str 'robot'",
    ]
    with pytest.raises(InputError, match="holds 9 English conversations of 4 to 8 turns; a document is made of 10"):
        load_data("wildchat", write(tmp_path / "few.jsonl", [chat(n) for n in range(9)]), "all")


def test_stored_questions_are_asked_in_place_of_blanks(tmp_path, capsys):
    path = write(tmp_path / "w.jsonl", [chat(n) for n in range(20)])
    documents = [p.document for p in load_data("wildchat", path, "all").problems]
    stored = [
        {"document_sha256": document_hash(text), "document_id": "d", "kind": "memory", "query": f"Q{n}?", "answer": "A"}
        for n, text in enumerate(documents)
    ]
    questions = write(tmp_path / "q.jsonl", [HEADER, *stored])
    data = load_data("wildchat", path, "all", questions=questions)
    assert [(p.document, p.query, p.answer, p.choices) for p in data.problems] == [
        (documents[0], "Q0?", "A", ()),
        (documents[1], "Q1?", "A", ()),
    ]
    plain = load_data("wildchat", path, "all").revision
    assert data.revision.startswith(plain + "+sha256:")
    write(tmp_path / "q.jsonl", [HEADER, {**stored[0], "answer": "B"}])
    other = load_data("wildchat", path, "all", questions=questions)
    assert (len(other), other.revision.startswith(plain), other.revision == data.revision) == (1, True, False)
    arguments = ["data", "show", "wildchat", f"data.path={path}", f"data.questions={questions}", "--json"]
    assert main(arguments) == 0
    assert set(json.loads(capsys.readouterr().out)) >= {"name", "revision", "problems", "documents", "groups", "first"}


def page(number, sentences=60, **more):
    text = "\n".join(
        f"In the year {1700 + number * 100 + n} the mill of {NAMES[number % 8]} at site {number} ground {n * 31} tonnes of rye."
        for n in range(sentences)
    )
    return {
        "text": text,
        "id": f"<urn:uuid:{number}>",
        "dump": "CC-MAIN-2023-50",
        "url": f"https://x/{number}",
        "date": "2023-01-01T00:00:00Z",
        "language": "en",
        "language_score": 0.98,
        "token_count": 20_000,
        **more,
    }


def test_fineweb_takes_long_english_pages_whole(tmp_path):
    rows = [
        page(0, language="de"),
        page(1),
        page(2, token_count=14_999),
        page(3, token_count=15_000),
        page(4, token_count=28_000),
        page(5, token_count=28_001),
    ]
    data = load_data("fineweb", write(tmp_path / "f.jsonl", rows), "all")
    assert [(p.document_id, p.document) for p in data.problems] == [(rows[n]["id"], rows[n]["text"]) for n in (1, 3, 4)]
    for problem in data.problems:
        assert len(list(span_pattern(problem.answer).places(problem.document))) == 1
        assert not any(choice in problem.document for choice in problem.choices if choice != problem.answer)
    assert load_data("fineweb", str(tmp_path / "f.jsonl"), "all") == data
    assert load_data("fineweb", str(tmp_path / "f.jsonl"), "all", seed=1).problems != data.problems
    with pytest.raises(InputError, match="holds no English document of 15,000 to 28,000 tokens"):
        load_data("fineweb", write(tmp_path / "f.jsonl", rows[:1]), "all")


def test_the_hundredth_page_is_the_last_that_is_read(tmp_path):
    rows = [page(n, 12) for n in range(DOCUMENTS + 5)]
    data = load_data("fineweb", write(tmp_path / "f.jsonl", [*rows[:DOCUMENTS], "no JSON\n"]), "all")
    assert [p.document_id for p in data.problems] == [row["id"] for row in rows[:100]]
    with pytest.raises(InputError, match="row 100: not valid JSON"):
        load_data("fineweb", write(tmp_path / "f.jsonl", [*rows[: DOCUMENTS - 1], "no JSON\n"]), "all")


def test_passages_of_a_small_run_keep_to_their_page_and_its_split(tmp_path):
    path = write(tmp_path / "f.jsonl", [page(n) for n in range(20)])
    seen = {}
    for split in ("train", "validation", "test"):
        data = load_data("fineweb", path, split, max_words=80)
        assert all(80 / 2 <= len(p.document.split()) <= 80 for p in data.problems)
        assert all(p.group == p.part_of == p.document_id.rsplit("-", 1)[0] for p in data.problems)
        seen[split] = data.groups
        whole = load_data("fineweb", path, split)
        assert whole.documents == data.groups
    assert sorted(n for groups in seen.values() for n in groups) == sorted(page(n)["id"] for n in range(20))
    assert len(seen["train"]) > len(seen["test"]) + len(seen["validation"])
    with pytest.raises(InputError, match="holds no passage of 5000-5000 words"):
        load_data("fineweb", path, "all", min_words=5000)
    with pytest.raises(InputError, match="split 'test' of fineweb is empty with 1 documents"):
        load_data("fineweb", write(tmp_path / "one.jsonl", [page(1)]), "test")
