"""The speed of this machine: measured where it is asked for, kept, and never taken from a constant."""

import json
import os
import subprocess
import sys

import pytest

from infoagent.lm.machine import rates as machine_rate
from infoagent.lm.machine import told
from infoagent.lm.machine.rates import KEPT_BUSY_SECONDS, KEPT_SECONDS, machine_rates, measure
from infoagent.lm.machine.told import Told
from infoagent.shipped import PACKAGE, module_command, module_environment
from infoagent.types import RunFailed


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """An empty cache and a benchmark that counts its calls; its value is the number of the call."""
    import torch  # noqa: F401 (without it a process of its own would measure)

    calls = []
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path))

    def count(dtype):
        calls.append(dtype)
        return {"reading": 10.0 * len(calls), "writing": 1.0, "training": 5.0}

    monkeypatch.setattr(machine_rate, "measure", count)
    monkeypatch.setattr(machine_rate, "busy_share", lambda: 0.0)  # the machine of a test is seldom alone
    return calls


def test_a_stated_rate_is_taken_and_nothing_is_measured(measured):
    rates = machine_rates(300000.0, "bfloat16")
    assert (rates.reading, rates.writing, rates.training) == (300000.0,) * 3
    assert measured == []


def test_a_measurement_is_kept_for_an_hour_and_apart_by_type_and_by_what_torch_may_use(measured, monkeypatch, tmp_path):
    assert machine_rates(None, "float32").reading == 10
    assert machine_rates(None, "float32").reading == 10
    assert machine_rates(None, "bfloat16").reading == 20
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert machine_rates(None, "float32").reading == 30
    for file in (tmp_path / "rates").iterdir():
        old = file.stat().st_mtime - KEPT_SECONDS
        os.utime(file, (old, old))
    assert machine_rates(None, "float32").reading == 40
    assert len(measured) == 4


def test_each_device_behind_one_processor_has_rates_of_its_own(measured, monkeypatch):
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(told.dtype, "has_accelerator", lambda: True)
    monkeypatch.setattr(told, "_asked", lambda: Told("cuda", "the first"))
    assert [machine_rates(None, "float32").reading for _ in range(2)] == [10, 10]
    monkeypatch.setattr(told, "_asked", lambda: Told("cuda", "the second"))
    assert machine_rates(None, "float32").reading == 20
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert machine_rates(None, "float32").reading == 30
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    assert machine_rates(None, "float32").reading == 20


def test_a_process_apart_takes_no_module_from_the_folder_that_the_user_stands_in(monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('the user has a file of that name')")
    (tmp_path / "infoagent").mkdir()
    monkeypatch.chdir(tmp_path)
    code = [*module_command("infoagent.shipped")[:-2], "-c", "import json, infoagent.shipped as s; print(s.PACKAGE)"]
    done = subprocess.run(code, capture_output=True, text=True, env=module_environment())
    assert done.stdout.strip() == str(PACKAGE), done.stderr


def test_the_device_is_asked_of_a_process_of_its_own(monkeypatch):
    """Here without torch in this one: the line that the other one writes is read."""
    said = subprocess.CompletedProcess([], 0, 'a warning\n{"kind": "cuda", "name": "a GPU", "bfloat16": false}\n', "")
    monkeypatch.setattr(told.dtype, "has_accelerator", lambda: True)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for done, found in ((said, Told("cuda", "a GPU", False)), (subprocess.CompletedProcess([], 1, "", "no torch"), Told())):
        told._asked.cache_clear()
        monkeypatch.setattr(told.subprocess, "run", lambda *_, done=done, **__: done)
        assert told.device_told() == found
    told._asked.cache_clear()


def test_what_was_measured_beside_other_work_is_said_and_soon_measured_anew(measured, monkeypatch, tmp_path):
    monkeypatch.setattr(machine_rate, "busy_share", lambda: 0.85)
    for _ in range(2):
        assert machine_rates(None, "float32").line.endswith("while other work took 85% of it)")
    monkeypatch.setattr(machine_rate, "busy_share", lambda: machine_rate.BUSY_FROM - 0.01)
    assert len(measured) == 1
    [file] = (tmp_path / "rates").iterdir()
    old = file.stat().st_mtime - KEPT_BUSY_SECONDS
    os.utime(file, (old, old))
    for _ in range(2):
        assert machine_rates(None, "float32").origin == machine_rate.ORIGIN
    os.utime(file, (old, old))  # what was measured alone is kept for an hour
    assert machine_rates(None, "float32").reading == 20
    assert len(measured) == 2


def test_a_cache_that_cannot_be_written_costs_a_warning(measured, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "file"))
    assert machine_rates(None, "float32").reading == 10
    assert "the speed of this machine cannot be kept" in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"reading": 1.0, "busy": "much"}'])
def test_damaged_rates_are_measured_again(measured, tmp_path, content):
    machine_rates(None, "float32")
    [file] = (tmp_path / "rates").iterdir()
    file.write_text(content)
    assert machine_rates(None, "float32").reading == 20
    assert machine_rates(None, "float32").reading == 20


def test_a_cache_that_may_not_be_looked_into_costs_a_warning(measured, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / ("x" * 300)))
    assert machine_rates(None, "float32").reading == 10
    assert "the speed of this machine cannot be kept" in caplog.text


def test_other_work_is_seen():
    turning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        assert max(machine_rate.busy_share() for _ in range(20)) > 0.5  # they need a moment to start
    finally:
        for process in turning:
            process.kill()
            process.wait()


def test_the_benchmark_measures_and_draws_nothing_from_the_run():
    import torch

    before = torch.random.get_rng_state()
    found = measure("float32")
    assert set(found) == {"reading", "writing", "training"}
    assert all(0 < value < 1e6 for value in found.values())
    assert torch.equal(before, torch.random.get_rng_state())


def test_who_has_no_torch_has_it_measured_in_a_process_of_its_own(tmp_path):
    code = (
        "import sys\nfrom infoagent.lm.machine.rates import machine_rates\n"
        "print(machine_rates(None, 'float32').reading > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "INFOAGENT_CACHE": str(tmp_path)}
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
    [file] = (tmp_path / "rates").iterdir()
    assert json.loads(file.read_text())["reading"] > 0


def test_a_benchmark_that_fails_says_what_to_set(measured, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    failed = subprocess.CompletedProcess([], 1, "", "Traceback …\nMemoryError: no room\n")
    monkeypatch.setattr(machine_rate.subprocess, "run", lambda *args, **more: failed)
    with pytest.raises(RunFailed, match=r"MemoryError: no room; set cost\.gflops_per_second"):
        machine_rates(None, "float32")
