"""`infoagent questions` with a server that wants money: each reply kept as it comes, nothing paid twice, the limit kept."""

import json
import os
import queue
import random
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from fake_server import FakeServer, drop, empty, hang, no_usage, not_json, ok, status
from hostile import Hostile, RawServer, hostile, http

from infoagent.cli import main
from infoagent.data.questions import read_questions
from infoagent.lm.questions.files import failures_path, open_files

KEY = "sk-a/secret+that=stands-nowhere"
IN, OUT = 2.0, 10.0
"""USD per million tokens."""


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr("infoagent.lm.endpoint.client.BACKOFF_SECONDS", 0.001)


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts").mkdir()
    for n in range(12):
        (tmp_path / f"texts/{n:02}.txt").write_text(f"Plant number{n} of Lund was built in 19{n:02} and makes paper for all of us.")
    return tmp_path


def given(texts, url, *more):
    return [
        "questions",
        "--path",
        str(texts / "texts"),
        "--model",
        "fake",
        "--endpoint",
        url,
        "--out",
        str(texts / "q.jsonl"),
        "--min-words",
        "5",
        "--kinds",
        "extractive:1",
        "--quiet",
        "--price",
        str(IN),
        str(OUT),
        "--max-tokens",
        "60",
        "--api-key-env",
        "",
        *more,
    ]


def written(chat):
    """A good question for the document in the prompt."""
    number = int(chat[-1]["content"].split("number")[1].split()[0])
    return f"QUESTION: When was plant {number} built?\nANSWER: 19{number:02}"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rows(texts):
    """(questions, failures)."""
    out = texts / "q.jsonl"
    return lines(out)[1:], lines(failures_path(out))


def booked(texts):
    return sum(row["paid"]["usd"] for part in rows(texts) for row in part)


def bill(server):
    return sum(IN * r.prompt_tokens + OUT * r.completion_tokens for r in server.requests) / 1e6


def about(number):
    return lambda body, before: status(400) if f"number{number} " in body["messages"][0]["content"] else ok()


def test_a_refused_document_leaves_the_others_and_is_tried_again_after_them(texts, capsys):
    with FakeServer(written, script=about(0)) as server:
        assert main(given(texts, server.url)) == 1
        questions, failures = rows(texts)
        assert len(questions) == 11
        [failure] = failures
        assert (failure["document_id"][:2], failure["status"], failure["cause"]) == ("00", "failed", "http 400")
        assert "as told" in failure["error"]
        assert "11 questions written for 12 documents, 0 were there before, 1 failed" in capsys.readouterr().err
        assert len(server.requests) == 12
        assert main(given(texts, server.url)) == 1  # refused again: asked once more, and nobody else
        assert len(server.requests) == 13
        server.script = ()
        before = {r.body["seed"] for r in server.requests}
        assert main(given(texts, server.url)) == 0
        assert server.requests[-1].body["seed"] not in before
        assert booked(texts) == pytest.approx(bill(server))
    assert len(read_questions(str(texts / "q.jsonl")).questions) == 12


def test_the_limit_holds_over_all_calls_and_a_higher_one_goes_on(texts, capsys):
    def script(body, before):
        return (ok(), no_usage(), drop(), empty(), not_json())[len(server.requests) % 5]

    limit = 0.012
    with FakeServer(written, script=script) as server:
        for _ in range(6):
            assert main(given(texts, server.url, "--spending-limit", str(limit))) == 1
            assert booked(texts) == pytest.approx(bill(server))
            assert bill(server) <= limit * (1 + 1e-9)
        assert "spending limit" in capsys.readouterr().err
        assert bill(server) > 0.5 * limit
        before, paid = len(rows(texts)[0]), bill(server)
        assert before < 12
        server.script = ()
        assert main(given(texts, server.url, "--spending-limit", "1")) == 0
        assert len(rows(texts)[0]) == 12
        assert bill(server) > paid
        assert booked(texts) == pytest.approx(bill(server))
        assert "$ were paid for this file, in all calls" in capsys.readouterr().err


def test_a_server_that_is_gone_ends_the_call_in_one_line_and_blocks_nothing(texts, capsys):
    with FakeServer(written, script=lambda body, before: status(403)) as server:
        assert main(given(texts, server.url, "--batch-size", "1")) == 1
        assert len(server.requests) == 8
        assert "failed: http 403" in capsys.readouterr().err
        server.script = about(1)
        assert main(given(texts, server.url)) == 1
        asked = [r.body["messages"][0]["content"].split("number")[1].split()[0] for r in server.requests[8:]]
        assert set(asked[:4]) == {"8", "9", "10", "11"}  # those that were never asked come first
    assert len(rows(texts)[0]) == 11


def test_many_refusals_with_replies_between_them_end_nothing(texts):
    answered = ("number3 ", "number7 ", "number11 ")

    def script(body, before):
        return ok() if any(name in body["messages"][0]["content"] for name in answered) else status(400)

    with FakeServer(written, script=script) as server:
        assert main(given(texts, server.url, "--batch-size", "1")) == 1
        assert len(server.requests) == 12
    assert [len(part) for part in rows(texts)] == [3, 9]


def test_files_of_the_version_before_are_gone_on_with(texts):
    with FakeServer(written, script=about(3)) as server:
        assert main(given(texts, server.url, "--price", "0", "0")) == 1
        questions, [failure] = rows(texts)
        header = lines(texts / "q.jsonl")[0]
        for row in questions:
            del row["paid"]
        old = {k: v for k, v in failure.items() if k not in ("seed", "error", "paid")}
        old["attempts"] = [{"seed": n, "cause": "no line QUESTION:", "reply": "no"} for n in range(4)]
        (texts / "q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [header, *questions]))
        failures_path(texts / "q.jsonl").write_text(json.dumps(old) + "\n" + '{"half')
        server.script = ()
        assert main(given(texts, server.url)) == 0
        assert len(server.requests) == 12 + 1
    assert len(rows(texts)[0]) == 12


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"document_sha256": 1, "kind": "poem"}', '{"document_sha256": "a", "kind": "poem", "paid": {"usd": -1}}',
             '{"document_sha256": "a", "kind": "poem", "paid": {"usd": NaN}}', '{"document_sha256": "a", "kind": "poem", "attempts": 3}'],
)  # fmt: skip
def test_a_damaged_line_is_named_before_anything_is_paid(texts, capsys, line):
    with FakeServer(written, script=about(3)) as server:
        main(given(texts, server.url))
        with failures_path(texts / "q.jsonl").open("a") as stream:
            stream.write(line + "\n")
        sent = len(server.requests)
        capsys.readouterr()
        assert main(given(texts, server.url)) == 2
        assert "q.failed.jsonl:2" in capsys.readouterr().err
        assert len(server.requests) == sent


@pytest.mark.parametrize("seed", range(2))
def test_hostile_replies_are_lines_with_their_cost(seed, texts, monkeypatch, capsys):
    """A few hundred replies, many of them hostile, over calls until nothing is left to ask."""
    rng, due = random.Random(seed), []
    monkeypatch.setenv("SOME_KEY", KEY)

    def answer(path, body):
        asked = json.loads(body) if body else {"messages": []}
        if path == "/v1/models":
            return http(200, {}, json.dumps({"data": [{"id": "fake"}]}).encode())
        if not asked["messages"]:
            return http(400, {}, b"{}")
        number = int(asked["messages"][0]["content"].split("number")[1].split()[0])
        text = f"QUESTION: What is the {KEY}?\nANSWER: 19{number:02}" if number in (5, 6) else written(asked["messages"])
        good = {
            "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
        }
        reply = hostile(rng, good, KEY) if rng.random() < 0.8 else Hostile(http(200, {}, json.dumps(good).encode()))
        due.append((100 * IN + 10 * OUT) / 1e6 if reply.status == 200 else 0.0)
        return reply.sent

    with RawServer(answer) as server:
        for _ in range(30):
            command = given(texts, f"{server.url}/v1", "--api-key-env", "SOME_KEY", "--spending-limit", "100")
            code = main(command)
            assert code in (0, 1)
            assert "Traceback" not in capsys.readouterr().err
            if code == 0:
                break
    questions, failures = rows(texts)
    assert code == 0
    assert len(questions) == 12
    assert len(due) > 12
    assert booked(texts) >= sum(due) - 1e-9
    kept = json.dumps([questions, failures], ensure_ascii=False)
    assert KEY not in kept
    assert "[key]" in kept
    read_questions(str(texts / "q.jsonl"))


STARTER = """
import os, sys
import infoagent.cli, infoagent.cli.questions, infoagent.grading, infoagent.costs, infoagent.lm.endpoint.client
import infoagent.lm.questions.writing, infoagent.data.sets.own, infoagent.data.registry, infoagent.recipes.sections
import anyio, certifi, h11, httpcore, httpx, sniffio
infoagent.lm.endpoint.client.BACKOFF_SECONDS = 0.001
for line in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(infoagent.cli.main(line.rstrip("\\n").split("\\t")))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_process_killed_at_any_point_goes_on_and_pays_nothing_twice(texts):
    """20 kills at random requests. What is lost is what was under way, four requests at most."""
    rng = random.Random(7)
    kills, fuse, child = [], [0], queue.SimpleQueue()

    def script(body, before):
        fuse[0] -= 1
        if fuse[0] == 0:
            kills.append(len(server.requests))
            os.kill(child.get(timeout=60), signal.SIGKILL)
            return hang(0.2)
        return ok() if rng.random() < 0.7 else empty() if rng.random() < 0.5 else status(400)

    def reply(chat):
        return written(chat) if rng.random() < 0.5 else "I would rather not."

    # imports once; each call is a fork
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    with FakeServer(reply, script=script) as server, starter:
        command = given(texts, server.url, "--kinds", "extractive:1,email:2", "--batch-size", "4", "--max-tokens", "40")
        while len(kills) < 20:
            while not child.empty():
                child.get()
            fuse[0] = rng.randrange(1, 9)
            starter.stdin.write("\t".join(command) + "\n")
            starter.stdin.flush()
            child.put(int(starter.stdout.readline()))
            assert int(starter.stdout.readline()) in (0, 1, -signal.SIGKILL)
        starter.stdin.close()
    open_files(texts / "q.jsonl", lines(texts / "q.jsonl")[0])  # cuts off half a line
    questions, failures = rows(texts)
    paid = [row["paid"] for row in questions + failures]
    sent, calls = len(server.requests), sum(p["calls"] for p in paid)
    assert sent - 4 * 20 <= calls <= sent
    assert len(paid) > 20
    asked = [json.dumps([r.body["messages"], r.body["seed"]]) for r in server.requests]
    assert len(asked) - len(set(asked)) <= sent - calls + sum(p["retries"] for p in paid)
    assert len({(q["document_sha256"], q["kind"], q["query"]) for q in questions}) == len(questions)
