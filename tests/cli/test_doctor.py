"""infoagent doctor: what it says of machines that are not this one, and how it looks at this one."""

import json
from dataclasses import replace

import pytest

from infoagent.cli import main
from infoagent.cli.doctor import findings, machine
from infoagent.cli.doctor.findings import judge
from infoagent.cli.doctor.machine import Arithmetic, Device, Machine, Package, Place, Torch

H100 = Device("NVIDIA H100", 80.0, 78.0, bfloat16=True)
HEALTHY = Machine(
    python="3.12.1", cores=16, memory_gib=(128.0, 100.0), shared_memory_gib=64.0,
    packages=(Package("torch", ">=2.11,<2.14", "2.13.0+cu130"), Package("vllm", ">=0.31,<0.32", "0.31.0", "vllm"),
              Package("deepspeed", ">=0.19,<0.20", "0.19.8", "deepspeed")),
    driver="580.65.06", driver_cuda=(13, 0), torch=Torch("13.0", (H100, H100)),
    places=(Place("here", "/home/me", 500.0, True), Place("cache", "/home/me/.cache/infoagent", 500.0, True, 0.5)),
    hub_token="HF_TOKEN", wandb_mode="online", wandb_login="WANDB_API_KEY",
    tools={"g++": True, "ninja": True, "nvcc": True}, embedded={"smollm2-135m": (True, "")},
)  # fmt: skip
ON_CPU = replace(HEALTHY, driver=None, driver_cuda=None, torch=Torch())


def without(**changes):
    return replace(HEALTHY, **changes)


def packages(*changed):
    kept = {p.name: p for p in (*HEALTHY.packages, *changed)}
    return without(packages=tuple(kept.values()))


@pytest.mark.parametrize("known", [HEALTHY, ON_CPU], ids=["gpu", "cpu"])
def test_a_healthy_machine_has_nothing_to_do(known):
    assert {f.state for f in judge(known)} == {"ok"}
    assert all(not f.advice for f in judge(known))


@pytest.mark.parametrize(
    ("known", "name", "state", "says"),
    [
        (without(python="3.10.4"), "python", "wrong", "3.11 or newer"),
        (packages(Package("trl", ">=1.16,<1.17", None)), "trl", "wrong", "pip install 'trl>=1.16,<1.17'"),
        (packages(Package("trl", ">=1.16,<1.17", "1.17.0")), "trl", "wrong", "1.17.0 is outside >=1.16,<1.17"),
        (packages(Package("trl", ">=1.16,<1.17", "1.9.0")), "trl", "wrong", "outside"),  # 1.9 is older than 1.16
        (packages(Package("vllm", ">=0.31,<0.32", None, "vllm")), "vllm", "note", "pip install 'infoagent[vllm]'"),
        (packages(Package("vllm", ">=0.31,<0.32", "0.33.1", "vllm")), "vllm", "warning", "0.33.1 is outside"),
        (packages(Package("vllm", ">=0.31,<0.32", "0.31.0", "vllm", ("torch==2.12.0",))), "vllm", "warning",
         "wants torch==2.12.0, which is not here"),
        (without(tools={"g++": True, "ninja": False, "nvcc": False}), "deepspeed tools", "note", "without ninja, nvcc"),
        (replace(ON_CPU, tools={"g++": True, "ninja": False}), "deepspeed tools", "note", "without ninja no operator"),
        (without(imports={"vllm": "ImportError: libcudart.so.13"}), "import vllm", "warning", "libcudart.so.13"),
        (without(driver_cuda=None), "driver", "warning", "--gpus all"),
        (without(torch=Torch(error="libgomp.so.1 is missing")), "import torch", "wrong", "libgomp.so.1 is missing"),
        (without(torch=Torch()), "accelerator", "warning", "install a build for CUDA 13"),
        (without(driver="550.54.15", driver_cuda=(12, 4)), "accelerator", "warning",
         "driver 550.54.15 runs 12.4: no GPU is used; update the driver, or install a torch for CUDA 12"),
        (without(driver=None, driver_cuda=None, torch=Torch("13.0", error="no driver")), "accelerator", "note", "on the CPU"),
        (without(torch=Torch("13.0"), visible_devices=""), "accelerator", "warning", "CUDA_VISIBLE_DEVICES=''"),
        (without(torch=Torch("13.0", error="CUDA unknown error")), "accelerator", "warning", "CUDA unknown error"),
        (without(torch=Torch("13.0", (replace(H100, free_gib=3.0),))), "gpu 0", "warning", "3 of 80 GiB free"),
        (without(torch=Torch("13.0", (H100, Device("Tesla T4", 16.0, 15.0, False)))), "gpu 1", "warning", "model.dtype=float32"),
        (without(memory_gib=(16.0, 0.7)), "memory", "warning", "0.7 of 16.0 GiB"),
        (without(shared_memory_gib=0.0625), "shared memory", "warning", "--shm-size=8g"),
        (without(omp_threads="64"), "cores", "warning", "a number from 1 to 16"),
        (without(omp_threads="²"), "cores", "warning", "a number from 1 to 16"),
        (without(omp_threads="many"), "cores", "warning", "a number from 1 to 16"),
        (replace(ON_CPU, omp_threads="1"), "cores", "note", "unset it"),
        (without(places=(Place("here", "/x", 0.4, True),)), "here", "wrong", "free some space, or work on another disk"),
        (without(places=(Place("cache", "/x", 5.0, True, 3.0),)), "cache", "warning", "set INFOAGENT_CACHE"),
        (without(places=(Place("hub cache", "/x", 99.0, False, 3.0),)), "hub cache", "wrong", "set HF_HOME"),
        (without(embedded={"smollm2-135m": (False, "run: make it")}), "smollm2-135m", "note", "run: make it"),
        (without(unprotected="unshare: Operation not permitted"), "code", "note", "grading.unprotected=true"),
        (without(hub_token=None), "hub", "note", "hf auth login"),
        (without(offline_flags=("HF_HUB_OFFLINE",)), "hub", "note", "offline by HF_HUB_OFFLINE"),
        (without(accelerate_default="/d.yaml"), "launch default", "note", "/d.yaml holds for every launch"),
        (without(wandb_mode="offline", wandb_login=None), "W&B", "note", "wandb login"),
        (without(wandb_mode="WANDB_MODE=online: no login found"), "W&B", "warning", "no login found"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_to_do(known, name, state, says):
    [finding] = [f for f in judge(known) if f.name == name]
    assert finding.state == state
    assert says in f"{finding.found}; {finding.advice}"
    assert finding.advice or state == "warning"
    others = {f.state for f in judge(known) if f.name != name}
    assert others <= {"ok"}  # one fault is one finding


AVX2 = Arithmetic("EPYC", ("AVX2",), (), 0.08, "float32", "EPYC has no bfloat16 arithmetic (AVX2)")
AMX = Arithmetic("Xeon", ("AVX2", "AVX512", "AVX512-BF16", "AMX-BF16"), ("AVX512-BF16", "AMX-BF16"), 3.1, "bfloat16", "faster")
FORCED = replace(AMX, native=(), ratio=0.2, chosen="float32", forced=("ATEN_CPU_CAPABILITY=avx2",))
BESIDE_A_GPU = replace(AVX2, chosen="bfloat16", why="NVIDIA H100 has bfloat16 arithmetic", on_processor=False)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (AVX2, ("EPYC: AVX2", "dtype auto is float32; bfloat16 is emulated at 0.08 times float32's rate")),
        (AMX, ("AVX512-BF16, AMX-BF16", "dtype auto is bfloat16; bfloat16 is computed at 3.1 times")),
        (FORCED, ("AMX-BF16, ATEN_CPU_CAPABILITY=avx2", "float32; bfloat16 is emulated")),
        (BESIDE_A_GPU, ("EPYC: AVX2", "dtype auto is bfloat16: NVIDIA H100 has bfloat16 arithmetic")),
    ],
)
def test_what_the_processor_has_is_said_and_which_type_was_chosen(known, says):
    told = {f.name: f for f in judge(replace(ON_CPU, arithmetic=known))}
    assert says[0] in told["processor"].found
    assert says[1] in told["arithmetic"].found
    assert {f.state for f in told.values()} == {"ok"}


@pytest.mark.parametrize(("known", "warned"), [(AVX2, 2), (FORCED, 2), (AMX, 0), (BESIDE_A_GPU, 0)])
def test_a_recipe_that_names_bfloat16_is_warned_of_where_it_is_emulated(known, warned):
    asked = replace(ON_CPU, arithmetic=known, named_bfloat16=("a.yaml: model.dtype", "b.yaml: scorer.model.dtype"))
    found = [f for f in judge(asked) if f.state != "ok"]
    assert [f.state for f in found] == ["warning"] * warned
    if found:
        assert "a.yaml: model.dtype is bfloat16, which is emulated here" in found[0].found
        assert "auto" in found[0].advice


def test_recipes_are_read_for_the_types_that_they_name(monkeypatch, tmp_path, capsys):
    recipe = tmp_path / "old.yaml"
    recipe.write_text("output_dir: x\nmodel: {dtype: bfloat16}\nscorer: {model: {dtype: float32}}\ngrpo: {steps: 1}\n")
    monkeypatch.setattr("infoagent.cli.doctor.look", lambda imports, named: replace(ON_CPU, arithmetic=AVX2, named_bfloat16=named))
    assert main(["doctor", str(recipe)]) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(warned) == 1
    assert f"{recipe}: model.dtype" in warned[0]
    assert main(["doctor", str(tmp_path / "none.yaml")]) == 2
    assert "no such recipe file" in capsys.readouterr().err


def test_within_a_major_version_an_older_driver_will_do():
    older = without(driver="525.60", driver_cuda=(12, 0), torch=Torch("12.8", (H100,)))
    assert {f.state for f in judge(older)} == {"ok"}


@pytest.mark.parametrize(("version", "code"), [(None, 1), ("0.1.0", 1), ("2.13.0+cpu", 0)])
def test_the_exit_code_says_whether_training_can_work(monkeypatch, capsys, version, code):
    known = packages(Package("torch", ">=2.11,<2.14", version))
    monkeypatch.setattr("infoagent.cli.doctor.look", lambda *_: known)
    assert main(["doctor", "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] == (code == 0)
    [torch] = [f for f in told["findings"] if f["name"] == "torch"]
    assert torch["state"] == ("ok" if code == 0 else "wrong")


def test_this_machine_is_looked_at_without_secrets(monkeypatch, tmp_path, capsys):
    home = tmp_path / "home"
    (home / ".cache" / "huggingface" / "accelerate").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text("hf_secretsecret")
    (home / ".cache" / "huggingface" / "accelerate" / "default_config.yaml").write_text("x: 1")
    blobs = home / ".cache" / "huggingface" / "hub" / "models--a--b"
    blobs.mkdir(parents=True)
    (blobs / "blob").write_bytes(b"x" * 2**20)
    (blobs / "link").symlink_to(blobs / "blob")  # as the hub's snapshots name a blob
    for name in ("HF_HOME", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "XDG_CACHE_HOME", "NETRC", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "not" / "there"))
    monkeypatch.setenv("WANDB_API_KEY", "w" * 40)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen = machine.look()
    assert seen.hub_token == str(home / ".cache" / "huggingface" / "token")
    assert seen.accelerate_default == str(home / ".cache" / "huggingface" / "accelerate" / "default_config.yaml")
    assert seen.wandb_login == "WANDB_API_KEY"
    assert seen.omp_threads == "1"
    places = {p.what: p for p in seen.places}
    assert places["hub cache"].used_gib == 1 / 1024
    assert places["cache"].used_gib == 0
    assert places["cache"].writable
    assert "HF_HUB_OFFLINE" in seen.offline_flags  # as the tests set it
    assert {"torch", "trl", "numpy"} <= {p.name for p in seen.packages if p.extra is None}
    assert {p.name for p in seen.packages if p.extra is not None} >= {"vllm", "deepspeed"}
    assert all(p.version for p in seen.packages if p.extra is None)

    main(["doctor"])
    out = capsys.readouterr().out
    assert "secretsecret" not in out
    assert "wwww" not in out
    assert all(line.split()[0] in (findings.OK, findings.NOTE, findings.WARNING, findings.WRONG) for line in out.splitlines())


def test_a_requirement_of_an_engine_that_is_not_met_is_found(monkeypatch):
    installed = {"torch": "2.13.0+cpu", "transformers": "5.17.0", "engine": "1.0"}
    monkeypatch.setattr(machine, "version_of", installed.get)
    monkeypatch.setattr(
        machine.importlib.metadata,
        "requires",
        lambda name: ["torch==2.12.0", "transformers>=5,<6", "numpy==0.1", "torch==1.0; extra == 'old'"],
    )
    assert machine._conflicts("engine") == ("torch==2.12.0",)


def test_an_engine_that_cannot_be_imported_says_why():
    assert machine._import_error("json") is None
    assert machine._import_error("no_such_engine") == "ModuleNotFoundError: No module named 'no_such_engine'"


def test_a_place_of_another_user_is_not_writable_and_no_failure(tmp_path):
    hidden = tmp_path / ("x" * 300) / "cache"  # a name that the system refuses to look at, as it does for a home of mode 700
    place = machine._place("cache", hidden, measured=True)
    assert (place.path, place.used_gib) == (str(hidden), 0)
