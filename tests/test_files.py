"""What is written survives kills, full disks and foreign text, and nothing that is not ours is replaced."""

import contextlib
import errno
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pydantic_core
import pytest
from conftest import ROOT, run_script
from hypothesis import given, settings
from hypothesis import strategies as st
from summarised import finding, information, summary_of

from infoagent import files
from infoagent.config import exit_code
from infoagent.information.scores import ScoreMatrix
from infoagent.records.json_form import as_json
from infoagent.records.summaries import read_summary_file
from infoagent.store import check_output_dir
from infoagent.training.run_directory import complete_checkpoints, take_directory
from infoagent.types import InputError

FOREIGN_TEXT = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\ud800", "a\udc00b", "\x00", "\x1b]0;t\x07", "\x7f", "\r\n", "\u2028", "\ufffe", "é" * 20, "\x85", '"\\']
)
FOREIGN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**320) | st.floats() | FOREIGN_TEXT
    | st.sampled_from([1, -1]).map(lambda sign: sign * 10**5000),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FOREIGN_TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def strictly(line: bytes):
    """Another library's reader, of strict JSON in UTF-8."""
    return pydantic_core.from_json(line, allow_inf_nan=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(FOREIGN_TEXT, FOREIGN, max_size=4), min_size=1, max_size=4))
def test_whatever_stands_in_foreign_rows_a_strict_reader_takes_every_line(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    kept = files.append_jsonl(path, rows)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    assert [strictly(line) for line in lines] == kept == files.read_jsonl(path)
    assert not any(c < 32 or c == 127 for line in lines for c in line)
    files.write_json(path.with_name("rows.json"), rows)
    assert strictly(path.with_name("rows.json").read_bytes()) == kept


@settings(max_examples=300, deadline=None)
@given(FOREIGN)
def test_what_is_fit_already_stays_as_it_is(value):
    once = files.clean(value)
    assert files.clean(once) == once


def test_what_is_nested_without_end_is_cut():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested deeper" in files.json_text({"reply": deep})


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=30), max_size=3), max_size=5),
    st.integers(0, 400), st.binary(max_size=8),
)  # fmt: skip
def test_half_a_line_is_cut_before_the_next(tmp_path_factory, rows, cut, junk):
    """Whatever a kill or a crash left behind the last line end: whole rows stay, and the next row stands alone."""
    path = tmp_path_factory.mktemp("half") / "rows.jsonl"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(text[:cut] + junk.replace(b"\n", b""))
    whole = []
    for line in path.read_bytes().split(b"\n"):  # a naive twin of the reader
        try:
            row = json.loads(line)
        except ValueError:
            continue
        whole += [row] if isinstance(row, dict) else []
    if b"\n" in path.read_bytes().rstrip(b"\n") and len(whole) < path.read_bytes().count(b"\n"):
        return  # a line before the last one is damaged: that is not what a kill leaves
    files.append_jsonl(path, [{"new": 1}])
    assert files.read_jsonl(path) == [*whole, {"new": 1}]


def _writer(path, name, number):
    for i in range(number):
        files.append_jsonl(path, [{"by": name, "i": i, "text": "x" * random.Random(i).randrange(3000)}])


def test_processes_append_to_one_file_without_breaking_a_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_writer, args=(path, name, 60)) for name in "abcd"]
    [p.start() for p in processes]
    [p.join() for p in processes]
    rows = files.read_jsonl(path)
    assert {name: [r["i"] for r in rows if r["by"] == name] for name in "abcd"} == {n: list(range(60)) for n in "abcd"}


def forked(work, limit=None):
    """Run `work` in a fork, with at most `limit` bytes a file; its exit code (negative: the signal)."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work()
            code = 0
        except OSError:
            code = 7
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_writer_killed_at_any_time_leaves_whole_lines_or_half_of_the_last(tmp_path):
    for trial in range(25):
        path = tmp_path / f"{trial}.jsonl"

        def work(path=path):
            for i in range(100_000):
                files.append_jsonl(path, [{"i": i, "text": "x" * 5000}])

        pid = os.fork()
        if not pid:
            work()
            os._exit(0)
        while not path.exists() or not path.stat().st_size:
            time.sleep(0.0005)
        time.sleep(random.Random(trial).random() * 0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        before = [r["i"] for r in files.read_jsonl(path)]
        files.append_jsonl(path, [{"i": "next"}])
        assert [r["i"] for r in files.read_jsonl(path)] == [*range(len(before)), "next"]


@pytest.mark.parametrize("room", random.Random(1).sample(range(1, 60_000), 40))
def test_a_disk_that_fills_at_any_byte_takes_nothing_away(tmp_path, room):
    """The file holds what it held, whole lines alone; a whole file is the old one or the new one."""
    path, whole = tmp_path / "rows.jsonl", tmp_path / "whole.json"
    files.write_json(whole, {"old": True})

    def work():
        for i in range(100):
            files.append_jsonl(path, [{"i": i, "text": "x" * 1000}])

    assert forked(work, room) == (7 if room < 100_000 else 0)
    rows = files.read_jsonl(path)
    assert [r["i"] for r in rows] == list(range(len(rows)))
    assert path.read_bytes() == b"" or path.read_bytes().endswith(b"\n")
    assert len(path.read_bytes()) <= room < len(path.read_bytes()) + 1100
    assert forked(lambda: files.write_json(whole, {"new": "y" * 100_000}), room) == 7
    assert json.loads(whole.read_text()) == {"old": True}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl", "whole.json"]
    files.append_jsonl(path, [{"i": "next"}])
    assert files.read_jsonl(path)[-1] == {"i": "next"}


def test_all_json_of_the_repository_is_strict():
    tracked = subprocess.run(
        ["git", "ls-files", "*.json", "*.jsonl"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(tracked) > 60
    for name in tracked:
        content = (ROOT / name).read_bytes()
        for line in content.splitlines() if name.endswith("l") else [content]:
            strictly(line)


def test_unknown_numbers_of_a_summary_are_null_in_the_file_and_nan_to_its_readers(tmp_path):
    nan = float("nan")
    hard = information(1.0, nan, 1.1)
    summary = summary_of("lm", values={"audit/distinct_2_set": finding(0.5, nan)}, estimates={"hard": hard}, extra={"note": None})
    files.write_json(tmp_path / "summary.json", {"schema_version": 1, "summaries": as_json([summary])})
    [row] = json.loads((tmp_path / "summary.json").read_text())["summaries"]
    kept = row["estimates"]["hard"]
    assert (kept["midpoint_nats"], kept["midpoint_ci_nats"], kept["ci_nats"]) == (None, [None, None], [None, None])
    [read] = read_summary_file(tmp_path / "summary.json").summaries
    assert np.isnan([read.values["audit/distinct_2_set"].low, read.estimates["hard"].midpoint_nats]).all()
    assert np.isnan([*read.estimates["hard"].midpoint_ci_nats, *read.estimates["hard"].ci_nats]).all()
    assert (read.extra, as_json(read)["note"]) == ({"note": None}, None)


# ---- whose it is ----------------------------------------------------------------------------------------------------


def test_a_directory_has_one_writer_and_the_second_hears_who_it_is(tmp_path):
    holding = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from infoagent.files import hold; hold(sys.argv[1]); print('held', flush=True);input()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holding.stdout.readline() == "held\n"
    for share in ("", "-1of2"):
        with pytest.raises(InputError, match=f"process {holding.pid} on"), files.only_writer(tmp_path, share):
            pass
    with pytest.raises(InputError, match=f"process {holding.pid} on"):
        take_directory(tmp_path)
    holding.kill()
    holding.wait()
    with files.only_writer(tmp_path, "-1of2"), files.only_writer(tmp_path, "-2of2"):
        pass
    with files.only_writer(tmp_path):  # a kill gives it free
        pass


def test_shares_stand_beside_one_another_and_keep_the_whole_out(tmp_path):
    with files.only_writer(tmp_path, "-1of2"):
        inside = "from infoagent.files import only_writer as w\nimport sys\nwith w(sys.argv[1], sys.argv[2]): print('in')"
        for share, said in (("-2of2", "in"), ("-1of2", f"process {os.getpid()}"), ("", "is being written by")):
            done = subprocess.run([sys.executable, "-c", inside, str(tmp_path), share], capture_output=True, text=True)
            assert said in done.stdout + done.stderr


def test_a_file_that_is_appended_to_has_one_writer(tmp_path):
    path = tmp_path / "q.jsonl"
    code = "import sys; from infoagent.files import hold_file; hold_file(sys.argv[1]); print('held', flush=True); input()"
    holding = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holding.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"--out {path}: is being written by process {holding.pid} on"):
        files.hold_file(path)
    files.hold_file(tmp_path / "other.jsonl")
    files.hold_file(tmp_path / "other.jsonl")  # again is nothing
    holding.kill()
    holding.wait()
    files.hold_file(path)


ERRORS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENAMETOOLONG", "ESTALE", "EBUSY", "ENODEV")


@pytest.mark.parametrize("name", ERRORS)
def test_what_the_machine_refuses_is_one_line_and_exit_code_1(capsys, name):
    def work():
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)), "runs/x.json")

    assert exit_code(work) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("failed: ")
    assert "runs/x.json" in line
    assert ("free some space" in line) == (name in ("ENOSPC", "EDQUOT", "EFBIG"))


def test_too_little_memory_is_one_line(capsys):
    def work():
        raise MemoryError("Unable to allocate 99 TiB")

    assert exit_code(work) == 1
    assert capsys.readouterr().err.startswith("failed: out of memory (Unable to allocate 99 TiB); take smaller batches")


class OutOfMemoryError(RuntimeError):
    """As torch.OutOfMemoryError, by whose name it is known."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB"), "failed: out of memory (CUDA out of memory. Tried"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "failed: out of memory (DefaultCPUAllocator: can't"),
        (FloatingPointError("the model returned NaN; try dtype float32"), "failed: the model returned NaN; try dtype float32"),
        (FloatingPointError(), "failed: FloatingPointError"),
    ],
)
def test_what_a_model_meets_is_one_line(capsys, error, said):
    def work():
        raise error

    assert exit_code(work) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_a_mistake_of_ours_keeps_its_traceback():
    def work():
        raise RuntimeError("tensors on two devices")

    with pytest.raises(RuntimeError, match="two devices"):
        exit_code(work)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = run_script("-m", "infoagent.cli", "models", "prepare", "smollm2-135m", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("failed: ")
    assert str(tmp_path / "file") in line


def test_only_what_a_trainer_left_half_saved_is_removed(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    mine = {
        "checkpoint-notes": ["plan.txt"],
        "checkpoint-5": ["plan.txt", "adapter_config.json"],
        "checkpoint-6": ["README.md"],
        "checkpoint-7-old": ["adapter_config.json", "trainer_state.json"],
        "checkpoint-8": ["mine/optimizer.pt"],
        "checkpoint-९": ["trainer_state.json"],
    }
    half = {
        "checkpoint-1": [],
        "checkpoint-2": ["README.md", "adapter_model.safetensors"],
        "checkpoint-3": ["adapter_config.json", "rng_state_1.pth", "tokenizer.json"],
        "checkpoint-4": ["global_step4/mp_rank_00_model_states.pt", "latest"],
    }
    for name, held in {**mine, **half}.items():
        (tmp_path / name).mkdir()
        for file in held:
            (tmp_path / name / file).parent.mkdir(exist_ok=True)
            (tmp_path / name / file).write_text("x")
    (tmp_path / "checkpoint-10").symlink_to(tmp_path / "checkpoint-6")
    complete = tmp_path / "checkpoint-9"
    complete.mkdir()
    (complete / "infoagent.json").write_text("{}")
    (tmp_path / "checkpoint-notes" / "infoagent.json").write_text("{}")
    assert complete_checkpoints(tmp_path) == [complete]
    take_directory(tmp_path)
    assert {p.name for p in tmp_path.glob("checkpoint-*")} == {*mine, "checkpoint-9", "checkpoint-10"}


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "summary.json", "best.json", "problems.jsonl"])
def test_a_directory_of_nobodys_run_is_not_written_into(tmp_path, name):
    (tmp_path / name).write_text("mine")
    for kind in ("train", "evaluate", "measure"):
        with pytest.raises(InputError, match=name):
            check_output_dir(str(tmp_path), kind)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": "npm"}', "\udc80", '{"recipe": 3}', "[" * 9999])
def test_a_foreign_or_damaged_run_file_is_one_line(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError) as caught:
        check_output_dir(str(tmp_path), "train")
    assert len(caught.value.problems) == 1
    assert "run.json" in str(caught.value)


def test_a_command_replaces_its_own_output_and_nothing_else(tmp_path):
    def may(name, program, **more):
        with contextlib.suppress(InputError):
            files.check_output_file(tmp_path / name, program, **more)
            return True
        return False

    assert may("new.json", "infoagent report")
    (tmp_path / "run.json").write_text('{"kind": "evaluate", "command": "eval/frozen.py output_dir=runs/report"}')
    assert not may("run.json", "infoagent report")
    assert not may("run.json", "eval/bench/coverage.py")
    files.write_json(tmp_path / "r.json", {files.WRITTEN_BY: "infoagent report", "x": 1})
    assert may("r.json", "infoagent report")
    assert not may("r.json", "infoagent calibrate")
    (tmp_path / "c.json").write_text('{"coverage": {}, "command": "eval/bench/coverage.py --out c.json"}')
    assert may("c.json", "eval/bench/coverage.py")
    ScoreMatrix(np.zeros((2, 2)), np.array([0, 1]), about={}).save(tmp_path / "s.npz")
    assert may("s.npz", "infoagent score")
    np.savez(tmp_path / "u.npz", log_probs=np.zeros((2, 2)), source=np.zeros(2))
    assert not may("u.npz", "infoagent score", earlier=("about.npy",))
    with pytest.raises(InputError, match="is a directory"):
        files.check_output_file(tmp_path, "infoagent report")


def test_a_place_that_may_not_be_written_is_refused_early(tmp_path):
    def work():
        if os.getuid() == 0:
            os.setuid(65534)  # root may write anywhere
        os.chdir("/")
        with pytest.raises(InputError, match=r"may not be written|Permission denied"):
            files.check_writable(tmp_path / "a" / "b.json", "--out")

    tmp_path.chmod(0o500)
    assert forked(work) == 0
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("path", ["file/below", "n\x00ul", "x" * 300])
def test_an_impossible_place_is_refused_early(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        files.check_writable(tmp_path / path, "--out")
    assert len(caught.value.problems) == 1
