"""Questions that a model writes: what is stored, what is refused, and that nothing is asked or paid for twice."""

import json
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest
from fake_server import FakeServer, status
from transformers import AutoTokenizer

from infoagent.cli import main
from infoagent.data.questions import SourceDocument, attach_questions, document_hash
from infoagent.data.sets.own import as_documents, load_text, read_texts
from infoagent.grading import states_fact
from infoagent.lm import generation
from infoagent.lm.endpoint.client import Endpoint, EndpointSettings
from infoagent.lm.questions.prompts import RejectedReply, read_reply
from infoagent.lm.questions.writing import Replied, Wanted, local_writer, question_header, served_writer, write_questions
from infoagent.types import Compression, InputError

HEADER = {
    "questions_version": 1, "model": "m", "model_revision": "r", "template": "questions-v1", "temperature": 0.7,
    "seed": 0, "created": "2025-01-01T00:00:00Z", "commit": "c", "data": {"name": "text", "revision": "sha256:1"},
}  # fmt: skip
DOCUMENTS = [
    SourceDocument(f"d{n}", f"Plant {n} stands in Lund. It made {n}00 tonnes in 199{n}.", f"g{n % 2}", "whole") for n in range(5)
]


def row(document, query="How much?", kind="extractive", **more):
    identity = {"document_sha256": document_hash(document.text), "document_id": document.id}
    return {**identity, "kind": kind, "query": query, "answer": "Lund", **more}


def write_file(path, rows, header=HEADER):
    path.write_text("".join(json.dumps(r) + "\n" for r in [header, *rows]))
    return str(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- reading ----------------------------------------------------------------------------------------------------


def test_questions_join_by_text_whatever_the_ids_say(tmp_path, caplog):
    first, second, third = DOCUMENTS[:3]
    renamed = [SourceDocument(second.id, first.text, "new", None), SourceDocument(first.id, second.text, None), third]
    rows = [
        row(second, "B?"),
        row(first, "A?", evidence="Plant 0 stands in Lund."),
        row(first, "P?", "poem"),
        row(first, "AA?"),
        row(DOCUMENTS[4], "elsewhere?"),
    ]
    found = attach_questions(renamed, write_file(tmp_path / "q.jsonl", rows))
    assert [(p.id, p.query, p.document, p.document_id) for p in found] == [
        ("d1#extractive-0", "A?", first.text, "d1"),
        ("d1#poem-0", "P?", first.text, "d1"),
        ("d1#extractive-1", "AA?", first.text, "d1"),
        ("d0#extractive-0", "B?", second.text, "d0"),
    ]
    assert (found[0].group, found[0].evidence, found[3].group, found[3].evidence) == ("new", ("Plant 0 stands in Lund.",), None, ())
    assert "1 of 3 documents have no question" in caplog.text


def test_a_file_for_other_texts_says_what_it_was_made_for(tmp_path):
    path = write_file(tmp_path / "q.jsonl", [row(DOCUMENTS[0])])
    with pytest.raises(InputError, match=r"its 1 questions belong to none of the 1 documents.*text, revision sha256:1"):
        attach_questions([SourceDocument("d0", DOCUMENTS[0].text + " ", None)], path)


GOOD = row(DOCUMENTS[0])


@pytest.mark.parametrize(
    ("rows", "header", "expected"),
    [
        ([{k: v for k, v in GOOD.items() if k != "answer"}], HEADER, [":2: field 'answer': missing"]),
        ([{**GOOD, "answer": " "}, {**GOOD, "query": 3}], HEADER, [":2: field 'answer'", ":3: field 'query'"]),
        ([{**GOOD, "kind": "song"}], HEADER, [":2: field 'kind': 'song' is unknown; allowed are extractive"]),
        ([{**GOOD, "document_sha256": "d0"}], HEADER, [":2: field 'document_sha256': must be 64"]),
        ([{**GOOD, "note": "x"}], HEADER, [":2: field 'note': unknown"]),
        ([GOOD, GOOD], HEADER, [":3: field 'query': stands already in line 2"]),
        ([["a"]], HEADER, [":2: a line must be a JSON object"]),
        ([], {**HEADER, "questions_version": 2}, [":1: field 'questions_version': 2 is not known"]),
        ([], GOOD, [":1: field 'questions_version': missing"]),
        ([], {k: v for k, v in HEADER.items() if k != "seed"}, [":1: field 'seed': missing"]),
        ([], {**HEADER, "data": {"name": "text"}}, [":1: field 'data.revision'"]),
        ([], {**HEADER, "temperature": True}, [":1: field 'temperature': of the wrong type bool"]),
    ],
)
def test_every_mistake_has_its_line_and_field(tmp_path, rows, header, expected):
    path = write_file(tmp_path / "q.jsonl", rows, header)
    with pytest.raises(InputError) as error:
        attach_questions(DOCUMENTS, path)
    assert len(error.value.problems) == len(expected)
    for line, part in zip(error.value.problems, expected, strict=True):
        assert line.startswith(path + part)


def test_own_folders_take_stored_questions_in_place_of_blanks(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "abcdefgh":
        (folder / f"{name}.txt").write_text(f"The {name} plant stands in Lund. " * 10)
    documents = as_documents(read_texts(str(folder), 20, 80).passages)
    path = write_file(tmp_path / "q.jsonl", [row(d, f"Where is {d.id}?") for d in documents])
    whole = load_text(str(folder), "all", 0, 20, 80, questions=path)
    assert [p.query for p in whole.problems] == [f"Where is {d.id}?" for d in documents]
    assert {p.group for p in whole.problems} == {f"{name}.txt" for name in "abcdefgh"}
    parts = [load_text(str(folder), split, 0, 20, 80, questions=path) for split in ("train", "validation", "test")]
    assert sorted(p.id for part in parts for p in part.problems) == sorted(p.id for p in whole.problems)
    other = write_file(tmp_path / "other.jsonl", [row(d, f"And where is {d.id}?") for d in documents])
    assert load_text(str(folder), "all", 0, 20, 80, questions=other).revision != whole.revision
    with pytest.raises(InputError, match="belong to none"):
        load_text(str(folder), "all", 0, 20, 40, questions=path)  # cut otherwise


# ---- replies ----------------------------------------------------------------------------------------------------

TEXT = "The plant in Lund made 1,700 tonnes of paper in 1994."
POEM = "Paper white as any snow,\nmade in Lund so long ago."


@pytest.mark.parametrize(
    ("reply", "kind", "expected"),
    [
        ("QUESTION: How much?\nANSWER: 1700 tonnes", "extractive", ("How much?", "1700 tonnes")),
        ("<think>QUESTION: no\nANSWER: no</think>\n**Question:** Where\nto?\n**Answer:** \"Lund\".", "extractive",
         ("Where to?", "Lund")),
        (f"Sure!\n\nQUESTION: Write a poem on paper.\nANSWER:\n{POEM}\n", "poem", ("Write a poem on paper.", POEM)),
        ("QUESTION: In which town?\nANSWER: 'Lund.'", "extractive", ("In which town?", "Lund")),
        ("QUESTION: Shall I buy more?\nANSWER: No: you have 40.", "memory", ("Shall I buy more?", "No: you have 40.")),
    ],
)  # fmt: skip
def test_a_good_reply_is_read(reply, kind, expected):
    assert read_reply(reply, kind, TEXT, states_fact) == expected


@pytest.mark.parametrize(
    ("reply", "kind", "cause"),
    [
        ("The plant is in Lund.", "extractive", "no line QUESTION"),
        ("QUESTION: Where is it?", "extractive", "no line ANSWER"),
        ("QUESTION:\nANSWER: Lund", "extractive", "empty question"),
        ("QUESTION: Where?\nANSWER: ...", "extractive", "empty answer"),
        ("QUESTION: Where?\nANSWER: Malmö", "extractive", "does not stand in the document"),
        ("QUESTION: Where?\nANSWER: Lun", "extractive", "does not stand in the document"),
        ("QUESTION: What does the plant in Lund make?\nANSWER: Lund", "extractive", "gives its answer away"),
        ("QUESTION: Where?\nANSWER: Lund\nQUESTION: When?\nANSWER: 1994", "extractive", "more than one question"),
        ("QUESTION: <the question>\nANSWER: <the phrase>", "extractive", "the form's own words"),
        ("QUESTION: How, much?\nANSWER: Lund", "extractive", "stands already"),
        (f"QUESTION: All of it?\nANSWER: {TEXT * 4}", "extractive", "more than 30 words"),
        ("QUESTION: Write a poem.\nANSWER: Sure.", "poem", "less than 8 words"),
        (f"<think>A draft:\nQUESTION: Write a poem.\nANSWER: {POEM}", "poem", "unfinished thinking"),
        ("[THINK]QUESTION: When?\nANSWER: 1994", "extractive", "unfinished thinking"),
        ("[THINK]QUESTION: When?\nANSWER: 1994[/THINK]Sorry.", "extractive", "no line QUESTION"),
    ],
)
def test_a_bad_reply_is_rejected_with_its_cause(reply, kind, cause):
    with pytest.raises(RejectedReply, match=cause):
        read_reply(reply, kind, TEXT, states_fact, ["how much"])


# ---- writing ----------------------------------------------------------------------------------------------------


class Writer:
    """A fake model: knows each document's number, replies badly where told, and can be killed at a call."""

    def __init__(self, bad=lambda number, attempt: False, killed_at=None):
        self.bad, self.killed_at, self.calls = bad, killed_at, []
        self.attempts = {}

    def __call__(self, prompts, seed, keep):
        if len(self.calls) == self.killed_at:
            raise KeyboardInterrupt
        self.calls.append((list(prompts), seed))
        for number, prompt in enumerate(prompts):
            keep(number, Replied(self.reply(prompt)))

    def reply(self, prompt):
        number = int(prompt.split()[1])
        attempt = self.attempts[prompt] = self.attempts.get(prompt, -1) + 1
        if self.bad(number, attempt):
            return "I would rather not."
        if "taken already" in prompt:
            return f"QUESTION: When did it make them?\nANSWER: 199{number}."
        return f"QUESTION: How much did it make?\nANSWER: {number}00 tonnes"

    @property
    def prompts(self):
        return [prompt for prompts, _ in self.calls for prompt in prompts]


def run(path, writer, per_document=2, documents=DOCUMENTS, **more):
    wanted = Wanted({"extractive": per_document}, batch_size=2, **more)
    header = question_header("m", "r", wanted, "text", "sha256:1")
    return write_questions(documents, path, header, wanted, writer, states_fact, quiet=True)


def test_what_is_written_is_what_the_loader_reads(tmp_path):
    path = tmp_path / "q.jsonl"
    done = run(path, Writer())
    assert (done.stored, done.before, done.failed) == (10, 0, 0)
    problems = attach_questions(DOCUMENTS, str(path))
    for number, document in enumerate(DOCUMENTS):
        mine = [p for p in problems if p.document_id == document.id]
        assert [(p.id, p.answer) for p in mine] == [
            (f"d{number}#extractive-0", f"{number}00 tonnes"),
            (f"d{number}#extractive-1", f"199{number}"),
        ]
        assert all(p.evidence == (f"It made {number}00 tonnes in 199{number}.",) for p in mine)
    header = lines(path)[0]
    assert (header["model"], header["template"], header["data"]) == ("m", "questions-v1", {"name": "text", "revision": "sha256:1"})


def test_bad_replies_are_tried_under_other_seeds_then_recorded_and_never_stored(tmp_path):
    path = tmp_path / "q.jsonl"
    writer = Writer(bad=lambda number, attempt: number == 3 or (number == 1 and attempt < 2))
    done = run(path, writer, per_document=1)
    assert (done.stored, done.failed) == (4, 1)
    assert done.causes == {"no line QUESTION:": 4 + 2}
    assert {r["document_id"] for r in lines(path)[1:]} == {"d0", "d1", "d2", "d4"}
    rejected = lines(tmp_path / "q.failed.jsonl")
    assert {(r["status"], r["cause"], r["reply"]) for r in rejected} == {("failed", "no line QUESTION:", "I would rather not.")}
    assert Counter(r["document_id"] for r in rejected) == {"d3": 4, "d1": 2}
    assert len({r["seed"] for r in rejected if r["document_id"] == "d3"}) == 4
    again = Writer()
    done = run(path, again, per_document=1)
    assert (done.stored, done.before, done.failed) == (1, 4, 0)
    assert len(again.prompts) == 1
    assert {seed for _, seed in again.calls}.isdisjoint(r["seed"] for r in rejected)
    assert len(attach_questions(DOCUMENTS, str(path))) == 5


@pytest.mark.parametrize("per_document", [1, 3])
def test_greedy_replies_are_not_tried_again(tmp_path, per_document):
    writer = Writer(bad=lambda number, attempt: True)
    assert run(tmp_path / "q.jsonl", writer, per_document=per_document, temperature=0.0).failed == 5 * per_document
    assert len(writer.prompts) == 5
    again = Writer()  # another call does try again
    assert run(tmp_path / "q.jsonl", again, per_document=1, temperature=0.0).stored == 5


def test_greedy_replies_are_asked_for_again_where_a_taken_question_changes_the_prompt(tmp_path):
    class SecondIsBad(Writer):
        def reply(self, prompt):
            return "No." if "taken already" in prompt else super().reply(prompt)

    writer = SecondIsBad()
    done = run(tmp_path / "q.jsonl", writer, per_document=4, temperature=0.0)
    assert (done.stored, done.failed) == (5, 15)
    assert len(writer.prompts) == len(set(writer.prompts)) == 10


@pytest.mark.parametrize(
    ("finish", "cause"), [("length", "cut off at max_tokens"), ("content_filter", "cut off by the server's filter"), ("stop", None)]
)
def test_half_a_reply_is_no_question(tmp_path, finish, cause):
    """Its answer may stand in the document, and is half of what the model would have said."""

    def handler(request):
        message = {"role": "assistant", "content": "QUESTION: When did it make them?\nANSWER: 1990"}
        return httpx.Response(200, json={"choices": [{"message": message, "finish_reason": finish}]})

    endpoint = Endpoint(EndpointSettings("http://127.0.0.1:9/v1", "m", None), transport=httpx.MockTransport(handler))
    done = run(tmp_path / "q.jsonl", served_writer(endpoint), 1, DOCUMENTS[:1], temperature=0.0)
    assert (done.stored, done.failed, dict(done.causes)) == ((1, 0, {}) if cause is None else (0, 1, {cause: 1}))
    if cause is not None:
        assert [(r["cause"], r["reply"][-4:]) for r in lines(tmp_path / "q.failed.jsonl")] == [(cause, "1990")]


def test_half_a_reply_of_a_model_that_runs_here_is_no_question(tmp_path, monkeypatch, tiny_dir):
    def half(lm, prompts, names, max_tokens, temperature, seed):
        text = "QUESTION: When did it make them?\nANSWER: 1990"
        return [Compression(name, text, (1,) * max_tokens, "length") for name in names]

    monkeypatch.setattr(generation, "generate", half)
    writer = local_writer(SimpleNamespace(tokenizer=AutoTokenizer.from_pretrained(tiny_dir)), 5, 0.0)
    done = run(tmp_path / "q.jsonl", writer, 1, DOCUMENTS[:1], temperature=0.0)
    assert (done.stored, dict(done.causes)) == (0, {"cut off at max_tokens": 1})


@pytest.mark.parametrize("killed_at", [0, 1, 3, 5])
def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path, killed_at):
    path, whole = tmp_path / "q.jsonl", Writer()
    run(tmp_path / "whole.jsonl", whole)
    killed, resumed = Writer(killed_at=killed_at), Writer()
    with pytest.raises(KeyboardInterrupt):
        run(path, killed)
    with path.open("a") as stream:
        stream.write('{"document_sha256": "half a li')
    run(path, resumed)
    assert sorted(killed.prompts + resumed.prompts) == sorted(whole.prompts)
    problems = [attach_questions(DOCUMENTS, str(p)) for p in (path, tmp_path / "whole.jsonl")]
    assert problems[0] == problems[1]
    more = Writer()
    assert run(path, more).before == 10
    assert more.calls == []


def test_more_documents_and_more_questions_extend_a_file(tmp_path):
    path = tmp_path / "q.jsonl"
    run(path, Writer(), per_document=1, documents=DOCUMENTS[:2])
    ids = [p.id for p in attach_questions(DOCUMENTS, str(path))]
    done = run(path, Writer(), per_document=2, documents=[*DOCUMENTS, SourceDocument("copy", DOCUMENTS[0].text, None)])
    assert (done.before, done.stored) == (2, 8)  # one text under two names is asked about once
    assert ids == [p.id for p in attach_questions(DOCUMENTS, str(path)) if p.id in ids]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "other"), ("model_revision", "2"), ("template", "questions-v0"), ("temperature", 0.5), ("seed", 1),
        ("data", {"name": "text", "revision": "sha256:2"}),
    ],
)  # fmt: skip
def test_a_file_of_another_model_template_or_data_is_refused(tmp_path, key, value):
    path = tmp_path / "q.jsonl"
    run(path, Writer())
    header, *rows = lines(path)
    write_file(path, rows, {**header, key: value})
    before, writer = path.read_bytes(), Writer()
    with pytest.raises(InputError, match=f"made otherwise, {key} was"):
        run(path, writer)
    assert (path.read_bytes(), writer.calls) == (before, [])


def test_a_file_of_the_users_is_left_alone(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text("my notes, without a line break at the end")
    with pytest.raises(InputError, match="holds no questions; name another file"):
        run(path, Writer())
    assert path.read_text() == "my notes, without a line break at the end"


# ---- the command --------------------------------------------------------------------------------------------------


def command(*arguments):
    return main(["questions", *map(str, arguments)])


def test_a_model_that_writes_nonsense_stores_nothing_and_says_so(tmp_path, tiny_dir, capsys):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "b.md"):
        (folder / name).write_text(f"The plant of {name} stands in Lund and makes paper for all of us.")
    out = tmp_path / "q.jsonl"
    given = ["--path", folder, "--model", tiny_dir, "--dtype", "float32", "--out", out, "--min-words", 5]
    code = command(*given, "--kinds", "extractive:1,poem:2", "--max-tokens", 8, "--quiet")
    captured = capsys.readouterr()
    assert code == 1
    assert "0 questions written for 2 documents, 0 were there before, 6 failed" in captured.err
    assert "×: cut off at max_tokens" in captured.err
    assert [r.get("questions_version") for r in lines(out)] == [1]
    failures = lines(tmp_path / "q.failed.jsonl")
    assert {r["cause"] for r in failures} <= {"cut off at max_tokens", "no line QUESTION:"}
    assert Counter(r["kind"] for r in failures) == {"extractive": 2 * 4, "poem": 4 * 4}
    assert len({r["seed"] for r in failures}) == 2 * 4  # two batches: one of four, one of two
    with pytest.raises(InputError, match="its 0 questions belong to none"):
        load_text(str(folder), "all", 0, 5, None, questions=str(out))


def test_mistakes_of_the_command_are_lines_before_any_model_is_loaded(tmp_path, tiny_dir, capsys):
    given = ["--path", tmp_path, "--model", tiny_dir]
    assert command(*given, "--out", "q.txt", "--per-document", 0, "--seed", -1) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == [" --per-document 0", " --seed -1"]
    assert command(*given, "--out", "q.txt", "--kinds", "songs,poem:0,email:²,memory:" + "9" * 5000 + ",rap,rap") == 2
    errors = capsys.readouterr().err
    for part in ("--out q.txt: must end in .jsonl", "--kinds 'songs'", "'poem:0'", "'email:²'", "'memory:999", "rap stands twice"):
        assert part in errors
    (tmp_path / "long.txt").write_text("It is a long text of words. " * 300)
    assert command(*given, "--out", tmp_path / "q.jsonl", "--max-words", 2000) == 2
    assert "document 'long.txt-000': with prompt and reply it takes" in capsys.readouterr().err
    assert not (tmp_path / "q.jsonl").exists()


def test_an_endpoint_writes_and_its_failure_ends_the_run_in_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("The plant of Lund was built in 1912 and makes paper for all of us to this day.")
    out, reply = tmp_path / "q.jsonl", "QUESTION: When was the plant of Lund built?\nANSWER: 1912"
    with FakeServer(lambda chat: reply) as server:
        given = ["--path", tmp_path / "texts", "--model", "fake", "--endpoint", server.url, "--out", out]
        more = ["--min-words", 5, "--kinds", "extractive:1", "--quiet", "--api-key-env", ""]
        assert command(*given, *more) == 2  # a model without a price, and none was named
        assert "has no price" in capsys.readouterr().err
        assert command(*given, *more, "--price", 0, 0) == 0
        [header, question] = lines(out)
        assert (header["model"], header["model_revision"]) == ("fake", server.url)
        assert question["answer"] == "1912"
        assert len(server.requests) == 1
        server.script = lambda body, before: status(400)
        assert command(*given[:-1], tmp_path / "r.jsonl", *more, "--price", 0, 0) == 1
        assert "rejected 1 ×: http 400" in capsys.readouterr().err
        assert command(*given[:-1], tmp_path / "s.jsonl", *more, "--price", 9, 9, "--spending-limit", 0) == 1
        assert "spending limit" in capsys.readouterr().err
