"""`infoagent serve` as a user runs it, beside a training run that scores with it."""

import re
import signal
import subprocess
from types import SimpleNamespace

import httpx
import pytest
from conftest import eventually, start_script
from test_grpo import adapter, overrides, trajectory
from tiny import save_tiny

from infoagent.config import load_recipe
from infoagent.lm.scoring.protocol import TOKEN_VARIABLE
from infoagent.lm.settling import settle
from infoagent.recipes import GRPORecipe
from infoagent.training.preparation import prepare
from infoagent.types import InputError


@pytest.fixture(autouse=True)
def token(monkeypatch):
    """Both sides have it from the environment."""
    monkeypatch.setenv(TOKEN_VARIABLE, "known-to-both")


class Served:
    """A server process; `with` ends it."""

    def __init__(self, *arguments):
        command = ["-m", "infoagent.cli", "serve", *map(str, arguments)]
        self.process = start_script(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self):
        line = self.process.stdout.readline()
        found = re.search(r"at (http://127\.0\.0\.1:\d+)$", line)
        assert found, line + self.process.stderr.read()
        self.url = found[1]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def train(tiny_dir, out, *more):
    command = ["train/grpo.py", *overrides(tiny_dir, out), *more]
    return start_script(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_run_with_a_served_scorer_is_the_run_with_a_local_one_and_survives_the_server(tiny_dir, tmp_path):
    local, out = train(tiny_dir, tmp_path / "local"), tmp_path / "served"
    with Served(tiny_dir, "--port", 0, "--dtype", "float32") as first:
        settings = [f"scorer.url={first.url}", "scorer.patience_seconds=5"]
        run = train(tiny_dir, out, *settings)
        eventually(lambda: (out / "checkpoint-2" / "infoagent.json").is_file() or run.poll() is not None)
        first.process.kill()
        _, errors = run.communicate(timeout=500)
    assert run.returncode == 1, errors
    [line] = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert re.search(r"the scorer failed on \d+ of the last \d+ compressions.*ConnectionError: http://127", line)
    assert "Traceback" not in errors

    with Served(tiny_dir, "--port", 0, "--dtype", "float32") as second:  # another address is no other recipe
        run = train(tiny_dir, out, f"scorer.url={second.url}")
        _, errors = run.communicate(timeout=500)
        assert run.returncode == 0, errors
        assert "resuming from" in errors
        second.process.send_signal(signal.SIGTERM)
        said, complaints = second.process.communicate(timeout=500)
        assert second.process.returncode == 0
        assert "Traceback" not in complaints
        assert re.search(r"stopped; [1-9]\d* tokens", said)
    _, errors = local.communicate(timeout=500)
    assert local.returncode == 0, errors
    expected, found = trajectory(tmp_path / "local"), trajectory(out)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(expected, found, strict=True):
        assert b["mi/nats"] == pytest.approx(a["mi/nats"], abs=1e-6)
        assert b["reward/total"] == pytest.approx(a["reward/total"], abs=1e-6)
        assert b["train/loss"] == pytest.approx(a["train/loss"], abs=1e-6)
    whole, resumed = adapter(tmp_path / "local", 6), adapter(out, 6)
    assert max(float((whole[n] - resumed[n]).abs().max()) for n in whole) < 1e-5


def test_a_run_is_refused_before_its_model_loads_unless_its_scorer_is_served(tiny_dir, tmp_path):
    def prepared(url, **scorer):
        path, *more = overrides(tiny_dir, tmp_path)
        more += [f"scorer.url={url}", *(f"scorer.model.{name}={value}" for name, value in scorer.items())]
        return prepare(settle(load_recipe(GRPORecipe, path, more)), 10)

    other = save_tiny(tmp_path / "other")
    with Served(other, "--port", 0, "--dtype", "bfloat16") as served:
        with pytest.raises(InputError) as caught:
            prepared(served.url)  # the base is wanted, in float32
        assert [("name the served one as scorer.model" in p, "--dtype float32" in p) for p in caught.value.problems] == [
            (True, False),
            (False, True),
        ]
        assert prepared(served.url, name=other).problems
    with pytest.raises(InputError, match=r"no answer .*infoagent serve MODEL"):
        prepared(served.url, name=other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tiny}", "--port", "70000"], "--port 70000: must be at most 65535"),
        (["{tiny}", "--memory-mib", "0"], "--memory-mib 0: must be at least 1"),
        (["{tiny}", "--device", "cuda:99"], "--device cuda:99: cannot be used"),
        (["{tiny}", "--host", "203.0.113.1", "--port", "0"], "--host 203.0.113.1 --port 0: cannot be served on"),
        (["./nowhere"], "no such directory"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(tiny_dir, capsys, arguments, message):
    from infoagent.cli import main

    assert main(["serve", *(a.format(tiny=tiny_dir) for a in arguments)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(("more", "status"), [([], 401), (["--no-token"], 200), (["--no-token", "--generate"], 200)])
def test_who_brings_no_token_is_answered_only_where_that_was_asked_for(tiny_dir, capsys, monkeypatch, more, status):
    from infoagent.cli import main, serve

    asked, said, known = [], [], {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    class Stop:
        """Asked to stop after one request."""

        def set(self):
            raise AssertionError

        def wait(self):
            said.append(capsys.readouterr())
            url = re.search(r" at (http://127\.0\.0\.1:\d+)", said[0].out)[1]
            asked.append(httpx.get(f"{url}/health", trust_env=False).status_code)
            asked.append(httpx.get(f"{url}/health", headers={"Origin": "http://x"}, trust_env=False).status_code)

    monkeypatch.setattr(serve, "threading", SimpleNamespace(Event=Stop))
    try:
        assert main(["serve", str(tiny_dir), "--port", "0", "--dtype", "float32", *more]) == 0
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)
    assert asked == [status, 403]
    assert ("every program that reaches" in said[0].err) == bool(more)
    assert "INFOAGENT_SCORER_TOKEN" not in said[0].out  # the environment has it, or nobody needs it
